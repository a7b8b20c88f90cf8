// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// What the scalar hart of a compute core sees around it: local memory, the address space through a small translation
// cache, the pipes, and the core's CSRs.
#pragma once

#include <cstdint>

#include "core/code_pages.h"
#include "core/core.h"
#include "core/local_memory.h"
#include "core/pipes.h"
#include "core/timing.h"
#include "hart/hart.h"

namespace npu::model {

// A small direct-mapped cache of pieces of pages that one buffer owns.
class TranslationCache {
 public:
  enum Rights : uint16_t { kRead = 1, kWrite = 2 };
  struct Entry {
    uint64_t key = ~uint64_t{0};  // tagged pointer >> NPU_PAGE_SHIFT
    uint8_t* page = nullptr;
    uint16_t low = 0, high = 0;  // bytes of the page that belong to the buffer
    uint16_t rights = 0;
  };
  static constexpr uint32_t kEntries = 256;

  // Host address of [ptr, ptr + size), or nullptr: ask the address space.
  uint8_t* Find(const AddressSpace& space, uint64_t ptr, unsigned size, uint16_t right) const {
    const Entry& e = entries_[(ptr >> NPU_PAGE_SHIFT) % kEntries];
    const auto offset = static_cast<uint32_t>(ptr & (NPU_PAGE_SIZE - 1));
    const bool hit = e.key == ptr >> NPU_PAGE_SHIFT && (e.rights & right) && offset >= e.low && offset + size <= e.high;
    return hit && Fresh(space) ? e.page + offset : nullptr;
  }
  // Nothing that rests on older rights survives.  Before the look-up whose result is inserted.
  void Refresh(const AddressSpace& space);
  void Insert(uint64_t ptr, const BoundsView& bounds, const PageView& page);
  void Clear();

 private:
  bool Fresh(const AddressSpace& space) const {
    return space.bounds_epoch() == bounds_epoch_ && space.mmu_epoch() == mmu_epoch_;
  }
  Entry entries_[kEntries];
  uint32_t bounds_epoch_ = 0;
  uint64_t mmu_epoch_ = 0;
};

class CoreEnv {
 public:
  static constexpr bool kMachineMode = false;
  static constexpr bool kFloat = true;

  CoreEnv(uint32_t id, LocalMemory* local, Pipes* pipes)
      : id_(id), local_(*local), pipes_(*pipes), sram_(local->sram()), stack_(local->stack()) {}

  void Attach(HartState* hart) { hart_ = hart; }
  void Begin(const LaunchContext& launch, uint32_t block);
  void ForgetTranslations() { tlb_.Clear(); }
  // Errors were put into SRAM, so that every access to it has to ask.
  void CheckSram() { quick_sram_ = 0; }

  // The last fault that a function below recorded.  pc is 0 when it belongs to the instruction at the hart's pc.
  PipeFault fault;
  // The hart stopped at a barrier of all blocks.
  bool at_grid_barrier = false;
  // The hart stopped because its pipes have worked for long; it goes on with the next instruction.
  bool at_work_limit = false;
  // Cycles that the hart has waited, of HartState::cycles.
  uint64_t stalled = 0;

  // The hart's interface: see HartEnv.
  uint64_t code_epoch() const { return (space_->mmu_epoch() << 32) + space_->bounds_epoch(); }
  bool IsExit(uint64_t pc) const { return pc == NPU_LOCAL_EXIT_PC; }
  const uint8_t* Code(uint64_t pc, uint64_t* bytes);
  bool CodeStands() const { return code_.Stand(*space_); }
  void ForgetCode() { code_.Forget(); }
  [[gnu::always_inline]] bool Load(uint64_t va, unsigned size, uint64_t* out) {
    if (const uint8_t* p = Quick(va, size, TranslationCache::kRead)) {
      *out = Get(p, size);
      return true;
    }
    return SlowLoad(va, size, out);
  }
  [[gnu::always_inline]] bool Store(uint64_t va, unsigned size, uint64_t value) {
    if (uint8_t* p = Quick(va, size, TranslationCache::kWrite)) {
      Put(p, size, value);
      return true;
    }
    return SlowStore(va, size, value);
  }
  bool Amo(AmoOp op, uint64_t va, unsigned size, uint64_t value, uint64_t* old);
  bool LoadReserved(uint64_t va, unsigned size, uint64_t* out);
  bool StoreConditional(uint64_t va, unsigned size, uint64_t value, bool* stored);
  Custom Execute(uint32_t insn, uint64_t rs1, uint64_t rs2, uint64_t* rd);
  bool CsrRead(unsigned csr, uint64_t* value);
  bool Ecall();
  void Ebreak();
  void Illegal(uint32_t insn);

 private:
  // Aligned accesses to SRAM, stack or a cached page; nullptr: the slow way.
  [[gnu::always_inline]] uint8_t* Quick(uint64_t va, unsigned size, uint16_t right) {
    if (va & (size - 1)) return nullptr;
    const uint64_t in_sram = va - NPU_LOCAL_SRAM_BASE, in_stack = va - NPU_LOCAL_STACK_BASE;
    if (in_stack < NPU_LOCAL_STACK_BYTES) return stack_ + in_stack;
    if (in_sram < quick_sram_) return sram_ + in_sram;
    uint8_t* p = tlb_.Find(*space_, va, size, right);
    if (p) AddCycles(&hart_->cycles, kTiming.scalar_memory_cycles);
    return p;
  }
  // Aligned: one access for the host, too, since other cores may look.
  [[gnu::always_inline]] static uint64_t Get(const uint8_t* p, unsigned size) {
    switch (size) {
      case 1:
        return __atomic_load_n(p, __ATOMIC_RELAXED);
      case 2:
        return __atomic_load_n(reinterpret_cast<const uint16_t*>(p), __ATOMIC_RELAXED);
      case 4:
        return __atomic_load_n(reinterpret_cast<const uint32_t*>(p), __ATOMIC_RELAXED);
      default:
        return __atomic_load_n(reinterpret_cast<const uint64_t*>(p), __ATOMIC_RELAXED);
    }
  }
  [[gnu::always_inline]] static void Put(uint8_t* p, unsigned size, uint64_t value) {
    switch (size) {
      case 1:
        return __atomic_store_n(p, static_cast<uint8_t>(value), __ATOMIC_RELAXED);
      case 2:
        return __atomic_store_n(reinterpret_cast<uint16_t*>(p), static_cast<uint16_t>(value), __ATOMIC_RELAXED);
      case 4:
        return __atomic_store_n(reinterpret_cast<uint32_t*>(p), static_cast<uint32_t>(value), __ATOMIC_RELAXED);
      default:
        return __atomic_store_n(reinterpret_cast<uint64_t*>(p), value, __ATOMIC_RELAXED);
    }
  }

  [[gnu::noinline]] bool SlowLoad(uint64_t va, unsigned size, uint64_t* out);
  [[gnu::noinline]] bool SlowStore(uint64_t va, unsigned size, uint64_t value);
  // The bytes of an aligned access: *host, or *bus when they are host memory.
  bool Translate(uint64_t va, unsigned size, npu_access access, uint8_t** host, uint64_t* bus);
  bool BusFault(uint64_t va, unsigned size, npu_access access);
  bool Exchange(uint64_t va, unsigned size, uint64_t* expected, uint64_t desired);
  bool FetchFault();
  bool ReadDescriptor(uint64_t ptr, uint64_t bytes, npu_pipe pipe, void* out);

  Custom Issue(uint32_t pipe, uint64_t ptr);
  Custom Flag(uint64_t flag, bool wait);
  Custom Barrier(uint32_t variant, uint64_t mask);
  Custom Local(uint32_t variant, uint64_t rs1, uint64_t rs2, uint64_t* rd);
  Custom Waited(bool ok, uint64_t before);
  Custom Worked(Custom done);
  void Record(uint8_t kind, uint16_t detail, uint64_t extra0);

  const uint32_t id_;
  LocalMemory& local_;
  Pipes& pipes_;
  uint8_t* const sram_;
  uint8_t* const stack_;
  uint64_t quick_sram_ = kSramBytes;  // 0 while SRAM has errors
  HartState* hart_ = nullptr;
  AddressSpace* space_ = nullptr;
  const LaunchContext* launch_ = nullptr;
  uint32_t block_ = 0;
  uint32_t blocks_ = 0;
  uint32_t block_xyz_[3] = {};
  bool reserved_ = false;
  uint64_t reserved_va_ = 0, reserved_value_ = 0;
  unsigned reserved_size_ = 0;
  TranslationCache tlb_;
  CodePages code_;
  alignas(8) uint8_t fetched_[NPU_PAGE_SIZE];  // code in host memory
};

}  // namespace npu::model
