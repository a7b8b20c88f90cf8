// SPDX-License-Identifier: Apache-2.0
#include "user_machine.h"

#include "hart/hart_impl.h"

template class npu::model::Hart<npu::test::UserMachine>;

namespace npu::test {

model::Custom UserMachine::Execute(uint32_t insn, uint64_t rs1, uint64_t rs2, uint64_t* rd) {
  ++custom_calls;
  custom_insn = insn;
  custom_rs1 = rs1;
  custom_rs2 = rs2;
  custom_pc = hart->pc;
  custom_instret = hart->instret;
  custom_cycles = hart->cycles;
  if (custom_answer == model::Custom::kDone || custom_answer == model::Custom::kDoneStop) *rd = rs1 + rs2;
  if (custom_answer == model::Custom::kFault) Refuse(Refusal::kCustom, hart->pc);
  return custom_answer;
}

bool UserMachine::CsrRead(unsigned csr, uint64_t* value) {
  if (csr != 0xcc0) return false;
  *value = 42;
  return true;
}

bool UserMachine::Ecall() {
  if (hart->x[17] == 64) {  // write: the caller looks at memory itself
    hart->x[10] = hart->x[12];
    return true;
  }
  exited = hart->x[17] == 93;
  exit_status = hart->x[10];
  return Refuse(Refusal::kEcall, hart->pc);
}

}  // namespace npu::test
