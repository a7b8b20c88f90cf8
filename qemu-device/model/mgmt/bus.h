// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// What the management hart sees around itself: its SRAM, device memory and the registers.  An environment for Hart<>.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "hart/hart.h"
#include "npu_mgmt.h"

namespace npu::model {

class StateReader;
class StateWriter;

// The machine behind the registers.  Offsets are from NPU_MG_MMIO_BASE, naturally aligned, size 4 or 8.
class MgmtRegisters {
 public:
  virtual ~MgmtRegisters() = default;
  virtual bool ReadRegister(uint32_t offset, unsigned size, uint64_t* value) = 0;
  virtual bool WriteRegister(uint32_t offset, unsigned size, uint64_t value) = 0;
  virtual uint64_t TimeNs() = 0;
};

// Used by the management thread only; device memory alone is shared, and reached by single-copy atomic accesses.
class MgmtBus {
 public:
  static constexpr bool kMachineMode = true;
  static constexpr bool kFloat = false;

  MgmtBus(uint8_t* memory, uint64_t memory_bytes, MgmtRegisters& registers)
      : memory_(memory), memory_bytes_(memory_bytes), registers_(registers), sram_(NPU_MG_SRAM_BYTES) {}

  uint8_t* sram() { return sram_.data(); }
  // snapshot.cc
  void Save(StateWriter& out) const;
  void Load(StateReader& in);
  // The hart's mtvec, so that a trap that has no handler to go to ends the run instead of trapping for ever.
  void set_hart(const HartState* hart) { hart_ = hart; }

  uint64_t code_epoch() const { return 0; }  // a load resets the hart, and firmware that changes code does fence.i
  bool IsExit(uint64_t pc) const {
    const uint64_t handler = hart_->mtvec & ~uint64_t{3};
    return !InSram(handler, 4) && !InSram(pc, 2) && pc - handler < kVectorBytes;
  }
  const uint8_t* Code(uint64_t pc, uint64_t* bytes) {
    if (!InSram(pc, 2)) return nullptr;
    *bytes = NPU_MG_SRAM_BASE + NPU_MG_SRAM_BYTES - pc;
    return sram_.data() + (pc - NPU_MG_SRAM_BASE);
  }

  bool Load(uint64_t va, unsigned size, uint64_t* value) {
    if (va & (size - 1)) return false;
    if (InSram(va, size)) {
      *value = 0;
      std::memcpy(value, sram_.data() + (va - NPU_MG_SRAM_BASE), size);
      return true;
    }
    if (InMemory(va, size)) {
      *value = LoadShared(memory_ + (va - NPU_MG_MEM_BASE), size);
      return true;
    }
    return InMmio(va, size) && registers_.ReadRegister(static_cast<uint32_t>(va - NPU_MG_MMIO_BASE), size, value);
  }

  bool Store(uint64_t va, unsigned size, uint64_t value) {
    if (va & (size - 1)) return false;
    if (InSram(va, size)) {
      std::memcpy(sram_.data() + (va - NPU_MG_SRAM_BASE), &value, size);
      return true;
    }
    if (InMemory(va, size)) {
      StoreShared(memory_ + (va - NPU_MG_MEM_BASE), size, value);
      return true;
    }
    return InMmio(va, size) && registers_.WriteRegister(static_cast<uint32_t>(va - NPU_MG_MMIO_BASE), size, value);
  }

  bool Amo(AmoOp op, uint64_t va, unsigned size, uint64_t value, uint64_t* old);
  bool LoadReserved(uint64_t va, unsigned size, uint64_t* value);
  bool StoreConditional(uint64_t va, unsigned size, uint64_t value, bool* stored);

  Custom Execute(uint32_t, uint64_t, uint64_t, uint64_t*) { return Custom::kIllegal; }
  bool CsrRead(unsigned csr, uint64_t* value) {
    if (csr != kCsrTime) return false;
    *value = registers_.TimeNs();
    return true;
  }
  // Never called in machine mode: these become traps.
  bool Ecall() { return false; }
  void Ebreak() {}
  void Illegal(uint32_t) {}

 private:
  static constexpr unsigned kCsrTime = 0xc01;
  static constexpr uint64_t kVectorBytes = 4 * 64;  // base and every vectored interrupt

  static bool Inside(uint64_t va, unsigned size, uint64_t base, uint64_t bytes) {
    return va >= base && va - base <= bytes - size;
  }
  static bool InSram(uint64_t va, unsigned size) { return Inside(va, size, NPU_MG_SRAM_BASE, NPU_MG_SRAM_BYTES); }
  bool InMemory(uint64_t va, unsigned size) const { return Inside(va, size, NPU_MG_MEM_BASE, memory_bytes_); }
  static bool InMmio(uint64_t va, unsigned size) {
    return size >= 4 && Inside(va, size, NPU_MG_MMIO_BASE, NPU_MG_MMIO_BYTES);
  }
  static uint64_t LoadShared(const uint8_t* from, unsigned size);
  static void StoreShared(uint8_t* to, unsigned size, uint64_t value);

  uint8_t* memory_;
  uint64_t memory_bytes_;
  MgmtRegisters& registers_;
  const HartState* hart_ = nullptr;
  std::vector<uint8_t> sram_;
  // The reservation of lr: address and the value seen; sc compares, which is what this single hart can tell.
  uint64_t reserved_va_ = 0;
  uint64_t reserved_value_ = 0;
  unsigned reserved_size_ = 0;  // 0: none
};

}  // namespace npu::model
