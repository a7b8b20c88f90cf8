// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "hart/block.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "hart/hart.h"
#include "hart/state.h"

namespace npu::model {
namespace {

// The longest an instruction gets is Li64 + Jal + Link or Jalr + Link + return address: 4 slots; and the block's End.
constexpr size_t kMaxSlots = kMaxBlockInstructions * 4 + 2;
constexpr size_t kMaxBlockBytes = sizeof(Block) + kMaxSlots * (sizeof(Slot) + sizeof(SlotInfo));

constexpr uint32_t kCosts[] = {
#define NPU_HART_COST(name, cost) cost,
    NPU_HART_OPS(NPU_HART_COST)
#undef NPU_HART_COST
};

// The price does not depend on who computes: host unit or software.
uint32_t CostOf(const Insn& d) {
  const uint32_t funct7 = d.raw >> 25;
  const bool is_slow = (d.raw & 0x7f) == 0x53 && (funct7 == 0x0c || funct7 == 0x2c);  // fdiv.s, fsqrt.s
  return d.opc == Opc::kFpSoft && is_slow ? cost::kFloatDiv : kCosts[static_cast<size_t>(d.opc)];
}

bool IsConditionalBranch(Opc o) {
  return o >= Opc::kBeq && o <= Opc::kBgeu;
}
bool IsSystem(Opc o) {
  return o >= Opc::kFenceI && o <= Opc::kIllegal;
}

Opc FusedOf(Opc first, Opc second) {
  switch (first) {
    case Opc::kAddi:
      if (second == Opc::kBne) return Opc::kAddiBne;
      if (second == Opc::kBeq) return Opc::kAddiBeq;
      if (second == Opc::kBlt) return Opc::kAddiBlt;
      if (second == Opc::kBltu) return Opc::kAddiBltu;
      if (second == Opc::kAddi) return Opc::kAddiAddi;
      break;
    case Opc::kAddiw:
      if (second == Opc::kBne) return Opc::kAddiwBne;
      break;
    case Opc::kSlli:
      if (second == Opc::kAdd) return Opc::kSlliAdd;
      if (second == Opc::kSrli) return Opc::kSlliSrli;
      break;
    case Opc::kAdd:
      if (second == Opc::kAdd) return Opc::kAddAdd;
      break;
    case Opc::kXor:
      if (second == Opc::kXor) return Opc::kXorXor;
      break;
    default:
      break;
  }
  return Opc::kCount;
}

}  // namespace

// Writes one block into memory of kMaxBlockBytes.
class BlockCache::Builder {
 public:
  Builder(const BlockCache& cache, void* memory, uint64_t pc) : cache_(cache), block_(new (memory) Block{}) {
    block_->pc = pc;
  }

  void Run(const uint8_t* code, uint64_t bytes, unsigned limit) {
    while (count_ < limit && Step(code, bytes)) {
    }
    if (!closed_) Emit(Opc::kEnd, {}), EmitLink(0, 0);
    Finish();
  }

  Block* block() const { return block_; }
  size_t bytes() const { return sizeof(Block) + block_->slots * (sizeof(Slot) + sizeof(SlotInfo)); }

 private:
  // One instruction.  False: the block ends here.
  bool Step(const uint8_t* code, uint64_t bytes) {
    const uint64_t at = static_cast<uint64_t>(offset_);
    if (at + 2 > bytes) return false;
    uint16_t low, high = 0;
    std::memcpy(&low, code + at, 2);
    if (InsnLength(low) == 4) {
      if (at + 4 > bytes) return false;
      std::memcpy(&high, code + at + 2, 2);
    }
    const Insn d = Decode(low | static_cast<uint32_t>(high) << 16, cache_.has_float_);
    const bool go_on = Translate(d, bytes);
    if (d.opc != Opc::kJal || !go_on) offset_ += d.length;
    return go_on;
  }

  bool Translate(const Insn& d, uint64_t bytes) {
    const uint32_t cost = CostOf(d);
    if (d.opc == Opc::kNop) {
      Account(cost);
      return true;
    }
    if (d.opc == Opc::kJal) return TranslateJal(d, cost, bytes);
    if (d.opc == Opc::kJalr) {
      Emit(d.opc, d);
      EmitLink(1, cost);
      EmitValue(NextPc(d));
      return Close();
    }
    if (IsSystem(d.opc)) {
      Emit(d.opc, d);
      EmitLink(1, cost);
      return Close();
    }
    if (IsConditionalBranch(d.opc)) {
      Emit(d.opc, d);
      EmitLink(1, cost + cost::kTaken);
      Account(cost);
      return d.imm > 0;  // a backward branch is mostly taken: what follows is not worth decoding here
    }
    if (d.opc == Opc::kLi64) {
      Emit(d.opc, d);
      EmitValue(Pc() + static_cast<uint64_t>(static_cast<int64_t>(d.imm)));
    } else {
      Emit(d.opc, d);
    }
    Account(cost);
    return true;
  }

  // A jump forward to code at hand is followed while decoding.
  bool TranslateJal(const Insn& d, uint32_t cost, uint64_t bytes) {
    if (d.rd != HartState::kSink) {
      Emit(Opc::kLi64, d);
      EmitValue(NextPc(d));
    }
    if (d.imm > 0 && static_cast<uint64_t>(offset_) + static_cast<uint64_t>(d.imm) + 4 <= bytes) {
      Account(cost);
      offset_ += d.imm;
      return true;
    }
    Emit(Opc::kJal, d);
    EmitLink(1, cost);
    return Close();
  }

  bool Close() {
    Account(0);
    closed_ = true;
    return false;
  }

  uint64_t Pc() const { return block_->pc + static_cast<uint64_t>(offset_); }
  uint64_t NextPc(const Insn& d) const { return Pc() + d.length; }

  void Account(uint32_t cost) {
    ++count_;
    cost_ += cost;
  }

  Slot& NewSlot() {
    infos_[block_->slots] = {static_cast<int32_t>(offset_), static_cast<uint16_t>(count_),
                             static_cast<uint16_t>(cost_)};
    return block_->code()[block_->slots++];
  }

  // Called before Account, except for End.
  void Emit(Opc opc, const Insn& d) {
    Opc run = opc;
    const bool is_fma = opc >= Opc::kFmaddS && opc <= Opc::kFnmaddS;
    if (is_fma && !cache_.has_fma_) run = Opc::kFpSoft;
    const uint32_t slot = block_->slots;
    NewSlot().op = {Handler(run), d.imm, d.rd, d.rs1, d.rs2, d.rs3};
    FuseWithLast(slot, run);
  }

  // Two operations in one step: only the first one's handler changes, so that whatever follows can still name either.
  void FuseWithLast(uint32_t slot, Opc opc) {
    const bool adjacent = last_ != Opc::kCount && last_slot_ + 1 == slot;
    const Opc fused = adjacent ? FusedOf(last_, opc) : Opc::kCount;
    if (fused != Opc::kCount) {
      block_->code()[last_slot_].op.handler = Handler(fused);
      last_ = Opc::kCount;
      return;
    }
    last_ = opc;
    last_slot_ = slot;
  }

  void EmitLink(uint32_t more, uint32_t cost) { NewSlot().link = {nullptr, count_ + more, cost_ + cost}; }
  void EmitValue(uint64_t v) { NewSlot().value = v; }
  const void* Handler(Opc opc) const { return cache_.handlers_[static_cast<size_t>(opc)]; }

  void Finish() {
    auto* info = reinterpret_cast<SlotInfo*>(block_->code() + block_->slots);
    std::copy_n(infos_, block_->slots, info);
    block_->info = info;
    block_->count = count_;
  }

  const BlockCache& cache_;
  Block* block_;
  int64_t offset_ = 0;  // of the instruction in work, from the block's start
  uint32_t count_ = 0;
  uint32_t cost_ = 0;
  bool closed_ = false;
  Opc last_ = Opc::kCount;
  uint32_t last_slot_ = 0;
  SlotInfo infos_[kMaxSlots];
};

BlockCache::BlockCache(const void* const* handlers, bool has_float, bool has_fma)
    : handlers_(handlers),
      has_float_(has_float),
      has_fma_(has_fma),
      buckets_(std::make_unique<Block*[]>(kBuckets)),
      partial_(std::make_unique<uint8_t[]>(kMaxBlockBytes)) {}

Block* BlockCache::FindInChain(uint64_t pc) {
  Block** head = &buckets_[(pc >> 1) % kBuckets];
  for (Block** link = head; *link != nullptr; link = &(*link)->next) {
    Block* block = *link;
    if (block->pc != pc) continue;
    *link = block->next;  // to the front: indirect jumps look only there
    block->next = *head;
    *head = block;
    return block;
  }
  return nullptr;
}

void* BlockCache::Allocate(size_t bytes) {
  if (chunks_.empty() || used_ + bytes > kChunkBytes) {
    if (!chunks_.empty()) ++chunk_;
    if (chunk_ == kMaxChunks) Flush();
    if (chunk_ == chunks_.size()) chunks_.push_back(std::make_unique_for_overwrite<uint8_t[]>(kChunkBytes));
    used_ = 0;
  }
  return chunks_[chunk_].get() + used_;
}

Block* BlockCache::Build(uint64_t pc, const uint8_t* code, uint64_t bytes) {
  ++built_;
  Builder builder(*this, Allocate(kMaxBlockBytes), pc);
  builder.Run(code, bytes, kMaxBlockInstructions);
  used_ += (builder.bytes() + 15) / 16 * 16;
  Block* block = builder.block();
  Block*& head = buckets_[(pc >> 1) % kBuckets];
  block->next = head;
  head = block;
  return block;
}

Block* BlockCache::BuildPartial(uint64_t pc, const uint8_t* code, uint64_t bytes, unsigned limit) {
  Builder builder(*this, partial_.get(), pc);
  builder.Run(code, bytes, std::min(limit, kMaxBlockInstructions));
  return builder.block();
}

void BlockCache::Flush() {
  ++generation_;
  std::fill_n(buckets_.get(), kBuckets, nullptr);
  chunk_ = 0;
  used_ = 0;
}

}  // namespace npu::model
