// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "core/pipes.h"

#include <algorithm>

#include "hart/timed.h"

namespace npu::model {
namespace {

[[maybe_unused]] uint64_t& WaitOf(npu_counters& c, npu_pipe pipe) {
  switch (pipe) {
    case NPU_PIPE_MATRIX:
      return c.wait_matrix;
    case NPU_PIPE_VECTOR:
      return c.wait_vector;
    case NPU_PIPE_DMA_IN:
      return c.wait_dma_in;
    default:
      return c.wait_dma_out;
  }
}

// See Pipes::work.  From the descriptor alone, so that a block is cut into the same slices on every host.  The
// descriptor is valid, so the products are small.
uint64_t WorkOf(npu_pipe pipe, const PipeOp& op) {
  if (pipe == NPU_PIPE_MATRIX) return uint64_t{op.matrix.m} * op.matrix.n * op.matrix.k / 16;
  if (pipe == NPU_PIPE_VECTOR) {
    const bool sorts = op.vector.op == NPU_V_SORT || op.vector.op == NPU_V_TOPK;
    return uint64_t{op.vector.rows} * op.vector.cols * (sorts ? 16 : 1);
  }
  uint64_t rows = 1;
  for (int i = 1; i < 4; ++i) rows *= std::max(op.dma.count[i], 1u);
  const bool converts = op.dma.op == NPU_DMA_CONVERT;
  return rows * 8 + rows * op.dma.count[0] / (converts ? 1 : 64);
}

}  // namespace

void Pipes::Reset() {
  for (Pipe& p : pipes_) {
    p.head = p.count = 0;
    p.free = p.done = p.issued = p.finished = 0;
    std::fill(std::begin(p.completions), std::end(p.completions), 0);
  }
  for (auto& from : flags_)
    for (auto& to : from)
      for (Flag& flag : to) flag = {};
}

bool Pipes::ValidFlag(uint64_t flag) {
  return (flag & 15) < NPU_PIPES && ((flag >> 4) & 15) < NPU_PIPES && (flag >> 8) < NPU_FLAG_IDS;
}

void Pipes::SetFlag(uint64_t flag, uint64_t time) {
  Flag& f = FlagOf(flag);
  f.set = true;
  if constexpr (kTimed) f.time = std::max(f.time, time);
}

bool Pipes::Issue(npu_pipe pipe, PipeOp* op, uint64_t* clock, PipeFault* fault) {
  Pipe& p = pipes_[pipe];
  if (p.count == NPU_PIPE_QUEUE_DEPTH) return Deadlock(kDeadlockQueueFull, fault);
  // The place was taken by the operation so many before this one; it is finished, or the queue would be full.
  const uint64_t room = p.completions[p.issued % NPU_PIPE_QUEUE_DEPTH];
  if (kTimed && room > *clock) {
    unit_->counters.stall_queue += room - *clock;
    *clock = room;
  }
  op->issued = *clock;
  p.queue[(p.head + p.count) % NPU_PIPE_QUEUE_DEPTH] = *op;
  ++p.count;
  ++p.issued;
  return Pump(fault);
}

bool Pipes::Pump(PipeFault* fault) {
  for (bool progress = true; progress;) {
    progress = false;
    for (uint32_t i = NPU_PIPE_MATRIX; i < NPU_PIPES; ++i)
      if (!Step(static_cast<npu_pipe>(i), &progress, fault)) return false;
  }
  return true;
}

// Carries out what the pipe can do now.
bool Pipes::Step(npu_pipe pipe, bool* progress, PipeFault* fault) {
  Pipe& p = pipes_[pipe];
  while (p.count) {
    const PipeOp& op = p.queue[p.head];
    if (op.kind == PipeOp::kWaitFlag) {
      Flag& flag = FlagOf(op.flag);
      if (!flag.set) return true;
      if constexpr (kTimed) {
        const uint64_t start = std::max(p.free, op.issued);
        p.free = std::max(start, flag.time);
        p.done = std::max(p.done, p.free);
        unit_->counters.stall_flag += p.free - start;
        WaitOf(unit_->counters, pipe) += p.free - start;
      }
      flag = {};
    } else if (op.kind == PipeOp::kSetFlag) {
      if constexpr (kTimed) p.done = std::max(p.done, op.issued);
      SetFlag(op.flag, p.done);
    } else if (!Work(pipe, op, fault)) {
      return false;
    }
    if constexpr (kTimed) p.completions[p.finished++ % NPU_PIPE_QUEUE_DEPTH] = p.done;
    p.head = (p.head + 1) % NPU_PIPE_QUEUE_DEPTH;
    --p.count;
    *progress = true;
  }
  return true;
}

bool Pipes::Work(npu_pipe pipe, const PipeOp& op, PipeFault* fault) {
  Pipe& p = pipes_[pipe];
  npu_counters& c = unit_->counters;
  OpCost cost;
  bool ok = false;
  uint64_t* busy = nullptr;
  work_ += WorkOf(pipe, op);
  switch (pipe) {
    case NPU_PIPE_MATRIX:
      ok = ExecuteMatrix(unit_, op.matrix, &cost, &fault->info);
      busy = &c.matrix_busy;
      break;
    case NPU_PIPE_VECTOR:
      ok = ExecuteVector(unit_, op.vector, &cost, &fault->info);
      busy = &c.vector_busy;
      break;
    default:
      ok = ExecuteDma(unit_, op.dma, pipe, &cost, &fault->info);
      busy = pipe == NPU_PIPE_DMA_IN ? &c.dma_in_busy : &c.dma_out_busy;
  }
  if (!ok) {
    fault->engine = EngineOf(pipe);
    fault->pc = op.pc;
    return false;
  }
  if constexpr (!kTimed) return true;
  p.free = std::max(p.free, op.issued) + cost.busy;
  p.done = std::max(p.done, p.free + cost.latency);
  *busy += cost.busy;
  return true;
}

bool Pipes::Deadlock(uint64_t why, PipeFault* fault) const {
  fault->info = FaultInfo{};
  fault->info.kind = NPU_FAULT_DEADLOCK;
  fault->extra[1] = 0;
  fault->extra[2] = why;
  for (uint32_t i = NPU_PIPES - 1; i >= NPU_PIPE_MATRIX; --i) {
    const Pipe& p = pipes_[i];
    if (!p.count) continue;
    const PipeOp& op = p.queue[p.head];  // a held pipe's first operation is the wait
    fault->extra[0] = op.flag;
    fault->extra[1] |= uint64_t{1} << i;
    fault->engine = EngineOf(static_cast<npu_pipe>(i));
    fault->pc = op.pc;
  }
  return false;
}

bool Pipes::HartSet(uint64_t flag, uint64_t clock, PipeFault* fault) {
  SetFlag(flag, clock);
  return Pump(fault);
}

bool Pipes::HartWait(uint64_t flag, uint64_t pc, uint64_t* clock, PipeFault* fault) {
  Flag& f = FlagOf(flag);
  if (!f.set) {
    Deadlock(kDeadlockWait, fault);
    fault->extra[0] = flag;
    fault->engine = NPU_ENGINE_SCALAR;
    fault->pc = pc;
    return false;
  }
  if (kTimed && f.time > *clock) {
    unit_->counters.stall_flag += f.time - *clock;
    *clock = f.time;
  }
  f = {};
  return true;
}

bool Pipes::Drain(uint64_t mask, uint64_t* clock, PipeFault* fault) {
  uint64_t end = *clock;
  for (uint32_t i = NPU_PIPE_MATRIX; i < NPU_PIPES; ++i) {
    if (!(mask >> i & 1)) continue;
    if (pipes_[i].count) return Deadlock(kDeadlockBarrier, fault);
    if constexpr (kTimed) end = std::max(end, pipes_[i].done);
  }
  AddCycles(&unit_->counters.stall_drain, end - *clock);
  *clock = end;
  return true;
}

}  // namespace npu::model
