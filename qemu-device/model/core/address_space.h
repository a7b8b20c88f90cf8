// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// One context's view of memory: tagged pointer -> bounds table -> page tables -> bytes.
//
// Everything that is read from device memory (page tables, bounds entries) may be scribbled over by the guest at any
// time: it is read once into a private copy, and every address in it is checked against the size of device memory
// before use.  The worst that a hostile table can do is to make its own context read and write the device memory that
// it names.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "core/memory.h"

namespace npu::model {

// A piece of a checked footprint.
struct Span {
  uint8_t* host;  // device memory; nullptr: host memory at `bus`
  uint64_t bus;
  uint64_t bytes;
};

// The bounds entry as one check saw it.
struct BoundsView {
  uint64_t base = 0;
  uint64_t size = 0;
  uint32_t ctl = 0;
  bool poisoned = false;  // the entry cannot be read
};

// One page of an address space: where it is and what the page table allows.
struct PageView {
  uint8_t* host = nullptr;  // first byte of the page in device memory, or nullptr
  uint64_t bus = 0;         // bus address, if host is nullptr
  uint64_t va = 0;          // first byte
  uint64_t bytes = 0;       // NPU_PAGE_SIZE or NPU_BIG_PAGE_SIZE; 0: not mapped
  uint64_t rights = 0;      // NPU_PTE_READ | WRITE | EXEC
  bool poisoned = false;    // not mapped, because a table's word cannot be read
  // Why an access to the page is refused that it does not allow.
  uint8_t RefusedKind() const {
    return bytes ? uint8_t{NPU_FAULT_PAGE_PERM} : poisoned ? uint8_t{NPU_FAULT_ECC} : uint8_t{NPU_FAULT_PAGE};
  }
};

// Threads: all methods may run on any number of threads at the same time.  A checked footprint is looked up completely
// before its first byte moves, so a fault changes nothing; the exception is a bus error of host memory in the middle of
// a write, which the device cannot take back.
//
// Addresses are tagged device pointers.  Pointers with number 0 or of a core's local table are not in an address space:
// NULL in the null page, LOCAL_OOB, STACK or UNKNOWN_BUF elsewhere.
class AddressSpace {
 public:
  AddressSpace(const Platform& platform, uint32_t context, const npu_ctx_desc& desc);
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  uint32_t context() const { return context_; }
  const Platform& platform() const { return platform_; }
  const npu_ctx_desc& desc() const { return desc_; }  // private copy as it was at construction

  // After a change of the page tables: nothing that was looked up before is used by an access that starts after this.
  // Accesses under way may still use it: see QuiesceCounter.
  void InvalidateTranslations() { mmu_epoch_.fetch_add(1, std::memory_order_seq_cst); }
  uint64_t mmu_epoch() const { return mmu_epoch_.load(std::memory_order_relaxed); }
  // ctl of the bounds table's entry 0: moves whenever rights were taken away.
  uint32_t bounds_epoch() const { return bounds_epoch_ ? __atomic_load_n(bounds_epoch_, __ATOMIC_ACQUIRE) : 0; }

  // False: refused, *fault is filled (seq, time, queue and the like are the caller's).  bytes = 0 is allowed and
  // touches nothing.  access is one of NPU_ACCESS_*; ATOMIC needs the ATOMIC right or READ and WRITE, and read and
  // write pages.
  bool Check(uint64_t ptr, uint64_t bytes, npu_access access, FaultInfo* fault) const;
  bool CheckBox(const Box& box, npu_access access, FaultInfo* fault) const;

  // Check, then move.
  bool Read(uint64_t ptr, void* dst, uint64_t bytes, FaultInfo* fault) const;
  bool Write(uint64_t ptr, const void* src, uint64_t bytes, FaultInfo* fault) const;
  // pattern_bytes is 1, 2, 4 or 8 and divides bytes; repeated from pattern's lowest byte.
  bool Fill(uint64_t ptr, uint64_t bytes, uint64_t pattern, unsigned pattern_bytes, FaultInfo* fault) const;
  // rows rows of row_bytes each, pitches as in struct npu_pkt_copy.  operand of the fault: 0 dst, 1 src.
  bool Copy(uint64_t dst, uint64_t dst_pitch, uint64_t src, uint64_t src_pitch, uint64_t row_bytes, uint64_t rows,
            FaultInfo* fault) const;

  // Single-copy atomic; MISALIGNED unless ptr is a multiple of the size.  Sequentially consistent in device memory.
  bool Load64(uint64_t ptr, uint64_t* value, FaultInfo* fault) const;
  // where: told where the word lies.
  bool Store64(uint64_t ptr, uint64_t value, FaultInfo* fault, Span* where = nullptr) const;
  // size 4 or 8.  *expected is replaced by what was there; the exchange happened if that equals what was passed.
  bool CompareExchange(uint64_t ptr, uint64_t* expected, uint64_t desired, unsigned size, FaultInfo* fault) const;

  // The check of CheckBox, which also appends the footprint's pieces, row by row in the order of the elements, to
  // *spans (contiguous ones merged).  For engines that move bytes themselves; the pieces may be used until the engine's
  // next quiescent point.
  bool Resolve(const Box& box, npu_access access, std::vector<Span>* spans, FaultInfo* fault) const;

  // The host address of the box's first byte when all that lies between its lowest and its highest byte is one stretch
  // of device memory that the access may touch; nullptr: it is not, or not found out cheaply, and Resolve has the answer.
  uint8_t* ResolveStretch(const Box& box, npu_access access) const;

  // For the cores' translation caches.  The bounds check of [ptr, ptr + bytes) alone, and one page alone (bytes = 0 in
  // the answer when there is none).
  bool CheckBounds(uint64_t ptr, uint64_t bytes, npu_access access, BoundsView* view, FaultInfo* fault) const;
  PageView Lookup(uint64_t va) const;
  bool RefuseWord(uint64_t ptr, uint64_t bytes, uint64_t at, npu_access access, const BoundsView& view,
                  FaultInfo* fault) const;
  // Whether [offset, offset + bytes) of device memory has memory errors, so that no look-up may be kept.
  bool Flawed(uint64_t offset, uint64_t bytes) const;
  // An access of [offset, offset + bytes) of device memory that was found good otherwise: where in it the first word
  // lies that cannot be read, or Ecc::kNone.
  uint64_t FindBad(uint64_t offset, uint64_t bytes, npu_access access) const;

 private:
  struct Walk;
  struct Mover;
  bool ReadBounds(uint32_t number, BoundsView* view, bool* torn) const;
  uint8_t BoundsKind(uint64_t ptr, npu_access access, BoundsView* view) const;
  bool CheckPages(const Box& box, uint64_t low, uint64_t high, npu_access access, std::vector<Span>* spans,
                  FaultInfo* fault) const;
  bool CopyRow(Mover* mover, uint64_t dst, uint64_t src, uint64_t bytes, FaultInfo* fault) const;
  bool Refuse(const Box& box, uint8_t kind, npu_access access, const BoundsView& view, FaultInfo* fault) const;
  bool BusError(uint64_t ptr, uint64_t bytes, npu_access access, uint64_t offset, FaultInfo* fault) const;
  bool Lost(uint64_t ptr, uint64_t bytes, npu_access access, uint64_t offset, FaultInfo* fault) const;
  bool Atomic(uint64_t ptr, unsigned size, npu_access access, Span* span, FaultInfo* fault) const;

  const Platform platform_;
  const uint32_t context_;
  const npu_ctx_desc desc_;
  const uint32_t* bounds_epoch_ = nullptr;  // in device memory; nullptr when the context has no (valid) table
  uint32_t bounds_entries_ = 0;             // readable entries, after the check against device memory
  bool root_ok_ = false;
  std::atomic<uint64_t> mmu_epoch_{1};  // written by the device, read by every engine
};

}  // namespace npu::model
