// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// A bare machine: one hart in machine mode, flat memory, and a `tohost` word that ends the program.
#ifndef NPU_MODEL_HART_FLAT_MACHINE_H_
#define NPU_MODEL_HART_FLAT_MACHINE_H_

#include <cstdint>

#include "hart/flat_memory.h"
#include "hart/hart.h"

namespace npu::model {

class FlatMachine : public FlatMemory {
 public:
  static constexpr bool kMachineMode = true;
  static constexpr bool kFloat = true;

  // A store of something other than 0 to the word at `tohost` ends the program at the next block.
  FlatMachine(uint64_t base, uint64_t bytes, uint64_t tohost) : FlatMemory(base, bytes), tohost_(tohost) {}

  // What the program wrote to tohost; 0: it has not ended.  1 means passed, otherwise its code is the value >> 1.
  uint64_t exit_value() const { return exit_value_; }

  uint64_t code_epoch() const { return exit_value_; }
  bool IsExit(uint64_t pc) const {
    (void)pc;
    return exit_value_ != 0;
  }
  bool Store(uint64_t va, unsigned size, uint64_t value) {
    if (!FlatMemory::Store(va, size, value)) return false;
    if (va == tohost_) [[unlikely]]
      exit_value_ = size == 8 ? value : static_cast<uint32_t>(value);
    return true;
  }
  Custom Execute(uint32_t insn, uint64_t rs1, uint64_t rs2, uint64_t* rd) {
    (void)insn, (void)rs1, (void)rs2, (void)rd;
    return Custom::kIllegal;
  }
  bool CsrRead(unsigned csr, uint64_t* value) {
    (void)csr, (void)value;
    return false;
  }

 private:
  uint64_t tohost_;
  uint64_t exit_value_ = 0;
};

extern template class Hart<FlatMachine>;

}  // namespace npu::model

#endif  // NPU_MODEL_HART_FLAT_MACHINE_H_
