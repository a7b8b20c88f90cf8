// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The four pipes of a core: queues, flags, clocks.
//
// An operation is carried out on the host at the moment the hart issues it, unless its pipe is held by a wait_flag
// whose flag is not set; then it stays queued until the flag is.  So when the hart waits, everything that can progress
// already has, and whatever is still held is held for ever: a deadlock.  Clocks are modelled beside that: an operation
// starts when its pipe is free, it has been issued, and the flags before it are set.
#pragma once

#include <cstdint>

#include "core/unit.h"

namespace npu::model {

struct PipeOp {
  enum Kind : uint8_t { kWork, kSetFlag, kWaitFlag } kind = kWork;
  uint64_t flag = 0;  // NPU_FLAG
  uint64_t pc = 0;    // of the instruction that issued it
  uint64_t issued = 0;
  union {
    npu_dma_desc dma;
    npu_matrix_desc matrix;
    npu_vector_desc vector;
  };
  PipeOp() : dma() {}
};

// Why an operation was refused, with the place in the program that it belongs to.
struct PipeFault {
  FaultInfo info;
  uint8_t engine = NPU_ENGINE_SCALAR;
  uint64_t pc = 0;
  uint64_t extra[5] = {};
};

// One thread at a time.  Functions that answer false have filled *fault.
class Pipes {
 public:
  explicit Pipes(Unit* unit) : unit_(unit) {}

  // Start of a block: idle, clocks 0, all flags clear.
  void Reset();

  // Queues *op (kind, flag or descriptor, pc filled in) in pipe 1..4.  *clock is the hart's; it moves when the queue is
  // full.  A fault may belong to an older operation that this one released.
  bool Issue(npu_pipe pipe, PipeOp* op, uint64_t* clock, PipeFault* fault);

  // The hart's own set_flag and wait_flag.  flag must be valid.
  bool HartSet(uint64_t flag, uint64_t clock, PipeFault* fault);
  bool HartWait(uint64_t flag, uint64_t pc, uint64_t* clock, PipeFault* fault);

  // The hart waits until the pipes in mask (bit = enum npu_pipe) are idle; at the end of a block, all of them.
  bool Drain(uint64_t mask, uint64_t* clock, PipeFault* fault);

  // How much the operations carried out since the last ForgetWork have given the host to do, roughly in the time of a
  // scalar instruction: whoever runs the hart must come up for air however large its operations are.
  uint64_t work() const { return work_; }
  void ForgetWork() { work_ = 0; }

  static bool ValidFlag(uint64_t flag);
  static uint8_t EngineOf(npu_pipe pipe) { return static_cast<uint8_t>(uint32_t{pipe} + NPU_ENGINE_SCALAR); }

 private:
  struct Pipe {
    PipeOp queue[NPU_PIPE_QUEUE_DEPTH];
    uint32_t head = 0, count = 0;
    uint64_t free = 0;                                // when the next operation can start
    uint64_t done = 0;                                // when all operations so far have their results in place
    uint64_t completions[NPU_PIPE_QUEUE_DEPTH] = {};  // of the last operations, by their number
    uint64_t issued = 0, finished = 0;
  };
  struct Flag {
    bool set = false;
    uint64_t time = 0;
  };
  Flag& FlagOf(uint64_t flag) { return flags_[flag & 15][(flag >> 4) & 15][(flag >> 8) & 15]; }
  bool Pump(PipeFault* fault);
  bool Step(npu_pipe pipe, bool* progress, PipeFault* fault);
  bool Work(npu_pipe pipe, const PipeOp& op, PipeFault* fault);
  bool Deadlock(uint64_t why, PipeFault* fault) const;
  void SetFlag(uint64_t flag, uint64_t time);

  Unit* const unit_;
  uint64_t work_ = 0;
  Pipe pipes_[NPU_PIPES];
  Flag flags_[NPU_PIPES][NPU_PIPES][NPU_FLAG_IDS];
};

// extra[2] of a DEADLOCK record: what the hart was doing.  extra[0] is a flag waited for, extra[1] the mask of pipes
// held.
enum DeadlockAt : uint64_t {
  kDeadlockWait = 0,
  kDeadlockBarrier = 1,
  kDeadlockQueueFull = 2,
  kDeadlockGridBarrier = 3,
};

}  // namespace npu::model
