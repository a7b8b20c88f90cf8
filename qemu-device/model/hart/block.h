// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// Decoded code: blocks of ready-to-run operations, found by pc and linked to one another.
#ifndef NPU_MODEL_HART_BLOCK_H_
#define NPU_MODEL_HART_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "hart/decode.h"

namespace npu::model {

struct Block;

// An operation: where its code is in the interpreter, and its operands (see Insn).
struct Op {
  const void* handler;
  int32_t imm;
  uint8_t rd, rs1, rs2, rs3;
};

// A way out of a block; follows the operation that takes it.
struct Link {
  Block* target;   // nullptr: not looked up yet.  For Jalr: never set, the hash table is asked.
  uint32_t count;  // instructions from the block's start up to and including the one that leaves
  uint32_t cost;   // their cycles
};

union Slot {
  Op op;
  Link link;
  uint64_t value;  // Li64: the constant; Jalr: the return address
};
static_assert(sizeof(Slot) == 16);

// For a slot that holds an operation: the instruction it came from, relative to the block's start.
struct SlotInfo {
  int32_t pc_offset;
  uint16_t count;  // instructions before it
  uint16_t cost;   // and their cycles
};

struct alignas(16) Block {
  uint64_t pc;
  const SlotInfo* info;
  Block* next;     // in the same bucket
  uint32_t count;  // instructions, when no side exit is taken
  uint32_t slots;

  Slot* code() { return reinterpret_cast<Slot*>(this + 1); }
  const SlotInfo& InfoOf(const Slot* slot) { return info[slot - code()]; }
};

// One hart's decoded code.  Not thread-safe.
class BlockCache {
 public:
  static constexpr size_t kBuckets = 4096;

  // handlers: the interpreter's code address for every Opc; must stay alive.
  BlockCache(const void* const* handlers, bool has_float, bool has_fma);

  Block* Find(uint64_t pc) {
    Block* head = Head(pc);
    if (head != nullptr && head->pc == pc) [[likely]]
      return head;
    return FindInChain(pc);
  }
  // Only the bucket's first block: what the interpreter looks at without leaving its loop.
  Block* Head(uint64_t pc) const { return buckets_[(pc >> 1) % kBuckets]; }

  // Decodes the code at pc (`bytes` of it, at least one whole instruction) and keeps it.
  Block* Build(uint64_t pc, const uint8_t* code, uint64_t bytes);

  // The same for at most `limit` instructions, valid until the next call; not found by Find.
  Block* BuildPartial(uint64_t pc, const uint8_t* code, uint64_t bytes, unsigned limit);

  // Forgets everything.  Blocks and links that were handed out are invalid.
  void Flush();

  // How often Build was called.
  uint64_t built() const { return built_; }

  // Changes with every Flush.
  uint64_t generation() const { return generation_; }

 private:
  class Builder;
  static constexpr size_t kChunkBytes = 64 * 1024;
  static constexpr size_t kMaxChunks = 128;

  Block* FindInChain(uint64_t pc);
  void* Allocate(size_t bytes);

  const void* const* handlers_;
  const bool has_float_;
  const bool has_fma_;
  uint64_t generation_ = 0;
  uint64_t built_ = 0;
  std::unique_ptr<Block*[]> buckets_;
  std::vector<std::unique_ptr<uint8_t[]>> chunks_;
  size_t chunk_ = 0;  // the one in use
  size_t used_ = 0;   // bytes of it
  std::unique_ptr<uint8_t[]> partial_;
};

}  // namespace npu::model

#endif  // NPU_MODEL_HART_BLOCK_H_
