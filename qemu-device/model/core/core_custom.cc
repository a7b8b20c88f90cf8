// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The core's own instructions (custom-0).
#include <cstring>

#include "core/core_env.h"
#include "core/footprint.h"

namespace npu::model {

Custom CoreEnv::Execute(uint32_t insn, uint64_t rs1, uint64_t rs2, uint64_t* rd) {
  if ((insn & 0x7f) != NPU_OPCODE_CUSTOM0) return Custom::kIllegal;
  const uint32_t variant = insn >> 25;
  switch ((insn >> 12) & 7) {
    case NPU_INSN_ISSUE:
      return Issue(variant, rs1);
    case NPU_INSN_SET_FLAG:
    case NPU_INSN_WAIT_FLAG:
      if (variant) return Custom::kIllegal;
      return Flag(rs1, ((insn >> 12) & 7) == NPU_INSN_WAIT_FLAG);
    case NPU_INSN_BARRIER:
      return Barrier(variant, rs1);
    case NPU_INSN_LOCAL:
      return Local(variant, rs1, rs2, rd);
    case NPU_INSN_TRAP:
      if (variant) return Custom::kIllegal;
      Record(NPU_FAULT_TRAP, 0, rs1);
      return Custom::kFault;
    default:
      return Custom::kIllegal;
  }
}

// The end of an instruction that may have waited: before is the clock as it was without waiting.
Custom CoreEnv::Waited(bool ok, uint64_t before) {
  AddCycles(&stalled, hart_->cycles - before);
  return ok ? Custom::kDone : Custom::kFault;
}

// The end of an instruction that may have set pipes to work.
Custom CoreEnv::Worked(Custom done) {
  if (done != Custom::kDone || pipes_.work() < kQuiesceWork) return done;
  at_work_limit = true;
  return Custom::kDoneStop;
}

bool CoreEnv::ReadDescriptor(uint64_t ptr, uint64_t bytes, npu_pipe pipe, void* out) {
  Box box;
  box.ptr = ptr;
  box.count[0] = bytes;
  fault.engine = Pipes::EngineOf(pipe);
  if (!LocalMemory::IsLocal(ptr)) return BadDesc(&fault.info, NPU_DESC_ERR_SPACE);
  if (ptr % 8) {
    RefuseWhole(box, NPU_FAULT_MISALIGNED, NPU_ACCESS_READ, &fault.info);
    return false;
  }
  const uint8_t* host = local_.Resolve(box, NPU_ACCESS_READ, &fault.info);
  if (!host) return false;
  std::memcpy(out, host, bytes);
  return true;
}

Custom CoreEnv::Issue(uint32_t pipe, uint64_t ptr) {
  if (pipe < NPU_PIPE_MATRIX || pipe >= NPU_PIPES) return Custom::kIllegal;
  const auto to = static_cast<npu_pipe>(pipe);
  fault = {};
  PipeOp op;
  op.kind = PipeOp::kWork;
  op.pc = hart_->pc;
  bool ok;
  if (to == NPU_PIPE_MATRIX)
    ok = ReadDescriptor(ptr, sizeof(op.matrix), to, &op.matrix) && ValidateMatrix(op.matrix, &fault.info);
  else if (to == NPU_PIPE_VECTOR)
    ok = ReadDescriptor(ptr, sizeof(op.vector), to, &op.vector) && ValidateVector(op.vector, &fault.info);
  else
    ok = ReadDescriptor(ptr, sizeof(op.dma), to, &op.dma) && ValidateDma(op.dma, to, &fault.info);
  if (!ok) return Custom::kFault;
  fault = {};
  AddCycles(&hart_->cycles, kTiming.issue_cycles);
  const uint64_t before = hart_->cycles;
  return Worked(Waited(pipes_.Issue(to, &op, &hart_->cycles, &fault), before));
}

Custom CoreEnv::Flag(uint64_t flag, bool wait) {
  if (!Pipes::ValidFlag(flag)) {
    Record(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_FLAGS, flag);
    return Custom::kFault;
  }
  fault = {};
  AddCycles(&hart_->cycles, kTiming.issue_cycles);
  const uint64_t before = hart_->cycles;
  const auto pipe = static_cast<npu_pipe>(wait ? (flag >> 4) & 15 : flag & 15);
  if (pipe == NPU_PIPE_SCALAR) {
    const bool ok =
        wait ? pipes_.HartWait(flag, hart_->pc, &hart_->cycles, &fault) : pipes_.HartSet(flag, hart_->cycles, &fault);
    return Worked(Waited(ok, before));
  }
  PipeOp op;
  op.kind = wait ? PipeOp::kWaitFlag : PipeOp::kSetFlag;
  op.flag = flag;
  op.pc = hart_->pc;
  return Worked(Waited(pipes_.Issue(pipe, &op, &hart_->cycles, &fault), before));
}

Custom CoreEnv::Barrier(uint32_t variant, uint64_t mask) {
  constexpr uint64_t kAll = (1u << NPU_PIPES) - 1;
  if (variant > 1) return Custom::kIllegal;
  if (variant == 0 && (mask & ~kAll)) {
    Record(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_FLAGS, mask);
    return Custom::kFault;
  }
  fault = {};
  AddCycles(&hart_->cycles, kTiming.issue_cycles);
  const uint64_t before = hart_->cycles;
  const Custom done = Waited(pipes_.Drain(variant ? kAll : mask, &hart_->cycles, &fault), before);
  if (variant == 0 || done != Custom::kDone || blocks_ == 1) return done;
  if (blocks_ > launch_->cores) {
    // The blocks that have no core yet cannot come before these have ended.
    Record(NPU_FAULT_DEADLOCK, 0, 0);
    fault.extra[2] = kDeadlockGridBarrier;
    return Custom::kFault;
  }
  at_grid_barrier = true;
  return Custom::kDoneStop;
}

Custom CoreEnv::Local(uint32_t variant, uint64_t rs1, uint64_t rs2, uint64_t* rd) {
  fault = {};
  if (variant == NPU_LOCAL_SET) {
    if (rs2 >> 34) {
      Record(NPU_FAULT_BAD_DESC, NPU_DESC_ERR_FLAGS, rs2);
      return Custom::kFault;
    }
    const auto rights = static_cast<unsigned>(rs2 >> 32) & 3u;
    return local_.Set(rs1, static_cast<uint32_t>(rs2), rights, rd, &fault.info) ? Custom::kDone : Custom::kFault;
  }
  if (variant != NPU_LOCAL_CLEAR) return Custom::kIllegal;
  return local_.Clear(rs1, &fault.info) ? Custom::kDone : Custom::kFault;
}

}  // namespace npu::model
