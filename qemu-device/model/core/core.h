// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// A compute core: scalar hart, local SRAM and stack, local bounds table, four pipes, cycle model.  Runs one block at a
// time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "core/address_space.h"
#include "core/memory.h"
#include "core/peers.h"
#include "npu_packet.h"

namespace npu::model {

enum class SimdLevel { kBaseline, kAvx2, kAvx512, kAvx512Vnni };

// name: NULL (best of this CPU), "baseline", "avx2", "avx512bw" (AVX-512 F, BW, DQ and VL) or "avx512" (with VNNI too,
// where it is there).  False when the name is unknown or this CPU lacks it;
// then *error is a sentence.  Process-wide (results do not depend on it, only speed does); set it before cores run.
bool SelectSimd(const char* name, const char** error);
SimdLevel CurrentSimd();

// What all blocks of one launch share.
struct LaunchContext {
  AddressSpace* space = nullptr;
  uint64_t entry = 0;
  uint64_t args = 0;
  uint32_t args_bytes = 0;
  uint32_t grid[3] = {1, 1, 1};
  uint32_t cores = 1;                  // of the device: NPU_CSR_CORES
  uint32_t cores_used = 1;             // min(blocks, cores): shares the memory's bandwidth
  std::shared_ptr<PeerWindows> peers;  // for all blocks; nullptr unless each of them has a core of its own at once
};

enum class Outcome {
  kDone,
  kFault,        // fault() says why; nothing of the refused operation has happened
  kBudget,       // budget used up; Run goes on
  kGridBarrier,  // at a barrier of all blocks; ReleaseBarrier or FailBarrier, then Run goes on
  kAborted,      // RequestAbort was seen; the block cannot go on
};

// Threads: one thread at a time calls Begin, Run, ReleaseBarrier, FailBarrier and the getters.  RequestAbort, quiesce,
// pc and the live counters may be used from any thread.
class Core {
 public:
  Core(uint32_t id, const Platform& platform);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  uint32_t id() const;

  // Prepares block (linear index).  launch must stay until the block has ended.  SRAM keeps its contents unless the
  // context (its number or its AddressSpace object) differs from the last block's: then it is filled with 0xcd.  Clears
  // a pending abort request.
  void Begin(const LaunchContext& launch, uint32_t block);

  // Runs at most budget instructions.  Quiescent points lie no further than kQuiesceInstructions and kQuiesceWork
  // apart; the latter counts like kQuiesceInstructions, so a small budget ends soon whatever the pipes have to do.
  // *progress grows whenever the block's pipes have done kQuiesceWork, but not for more than kProgressWork in a block:
  // a block with much to multiply is no hang on a slow host, and a loop around a multiplication that never ends is one.
  Outcome Run(uint64_t budget, std::atomic<uint64_t>* progress = nullptr);

  // After kFault (and after kAborted, as far as known: pc, ra, sp, block, core, kernel, engine): every field but seq,
  // time_ns, queue, packet, packet_tag and packet_type.  An aborted block has kind NPU_FAULT_NONE: the device fills it.
  const npu_fault_record& fault() const;

  // Of the block so far; complete after kDone and kFault.  cycles = the block's length (its last pipe included),
  // blocks = 1; launches, core_cycles and copy_bytes are 0.
  const npu_counters& cost();

  // Pieces of code decoded since the core was made: for tests and for finding out where time goes.
  uint64_t decoded() const;

  // After kGridBarrier: the block's clock, and going on at the launch's (the maximum over its blocks).
  uint64_t barrier_cycles() const;
  void ReleaseBarrier(uint64_t cycles);
  // The barrier cannot open, because another block ended without it: the next Run returns kFault with
  // NPU_FAULT_DEADLOCK.
  void FailBarrier();

  // Run returns kAborted soon.
  void RequestAbort();
  // Odd while inside Run; see QuiesceCounter.
  const QuiesceCounter& quiesce() const;
  // Of the instruction at the last quiescent point; 0 when idle.
  uint64_t live_pc() const;

  // Power-on state: SRAM 0xcd, no context.  Not while inside Run.
  void Reset();
  // The context is being destroyed: forget its translations; the next block finds SRAM cleared.
  void ForgetContext(const AddressSpace* space);

  // Errors were put into SRAM (Platform::ecc); not while inside Run.
  void CheckSram();

  // For saving and loading a core between blocks: what SRAM and stack hold, and whose it is (nullptr: nobody's, and
  // then they are as after power-on).  Adopt makes space the owner of what sram() and stack() hold (which tests and
  // injected errors reach as well).
  const AddressSpace* owner() const;
  void Adopt(const AddressSpace* space);
  uint8_t* sram();
  uint8_t* stack();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

inline constexpr uint32_t kSramBytes = 1u << 20;
inline constexpr uint64_t kQuiesceInstructions = 20000;
inline constexpr uint64_t kQuiesceWork = 4u << 20;  // of the pipes (Pipes::work): some milliseconds
inline constexpr uint64_t kProgressWork = 1u << 30;

}  // namespace npu::model
