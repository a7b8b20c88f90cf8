// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Copy engines: copy and fill packets, a slice at a time, so that launches, packets and kills come between.
#include <algorithm>

#include "core/timing.h"
#include "device/dispatcher.h"

namespace npu::model {

void Dispatcher::StartCopy(uint32_t index) {
  Slot& slot = slots_[index];
  slot.copy = CopyJob{};
  slot.copy.context = slot.context;
  slot.copy.slot = index;
  slot.copy.active = true;
  slot.phase = Phase::kAsync;
}

namespace {

uint64_t CopyCycles(uint64_t bytes) {
  return kTiming.copy_startup_cycles + (bytes + kTiming.copy_bytes_per_cycle - 1) / kTiming.copy_bytes_per_cycle;
}

uint64_t PacketBytes(const npu_packet& packet) {
  return packet.type == NPU_PKT_FILL ? packet.u.fill.bytes : packet.u.copy.row_bytes * packet.u.copy.rows;
}

Box CopyBox(uint64_t ptr, const npu_pkt_copy& copy, uint32_t pitch) {
  Box box;
  box.ptr = ptr;
  box.count[0] = copy.row_bytes;
  box.count[1] = copy.rows;
  box.stride[1] = pitch;
  return box;
}

}  // namespace

// Before the first byte the whole footprint of both sides is checked; every slice is checked again, because rights may
// be taken away meanwhile.
Dispatcher::CopyEnd Dispatcher::CopySlice(Slot& slot) {
  const npu_pkt_copy& p = slot.packet.u.copy;
  AddressSpace& space = slot.context->space;
  CopyJob& job = slot.copy;
  FaultInfo info;
  bool ok = true;
  if (!job.checked) {
    info.operand = 0;
    ok = space.CheckBox(CopyBox(p.dst, p, p.dst_pitch), NPU_ACCESS_WRITE, &info);
    if (!ok) info.operand = 0;
    if (ok && !space.CheckBox(CopyBox(p.src, p, p.src_pitch), NPU_ACCESS_READ, &info)) {
      ok = false;
      info.operand = 1;
    }
    job.checked = ok;
  }
  if (ok) {
    uint64_t dst = p.dst + job.row * p.dst_pitch + job.offset, src = p.src + job.row * p.src_pitch + job.offset;
    if (p.row_bytes > kCopySlice || job.offset) {
      uint64_t bytes = std::min(kCopySlice, p.row_bytes - job.offset);
      ok = space.Copy(dst, 0, src, 0, bytes, 1, &info);
      job.offset += bytes;
      if (job.offset == p.row_bytes) {
        job.offset = 0;
        ++job.row;
      }
    } else {
      uint64_t rows = std::min<uint64_t>(std::max<uint64_t>(1, kCopySlice / p.row_bytes), p.rows - job.row);
      ok = space.Copy(dst, p.dst_pitch, src, p.src_pitch, p.row_bytes, rows, &info);
      job.row += rows;
    }
  }
  if (!ok) {
    FaultMemory(slot, info, NPU_ENGINE_COPY);
    return CopyEnd::kFault;
  }
  return job.row == p.rows ? CopyEnd::kDone : CopyEnd::kMore;
}

Dispatcher::CopyEnd Dispatcher::FillSlice(Slot& slot) {
  const npu_pkt_fill& p = slot.packet.u.fill;
  CopyJob& job = slot.copy;
  FaultInfo info;
  bool ok = job.checked || slot.context->space.Check(p.dst, p.bytes, NPU_ACCESS_WRITE, &info);
  job.checked = ok;
  if (ok) {
    // kCopySlice is a multiple of every pattern, so each slice begins with the pattern's lowest byte.
    uint64_t bytes = std::min(kCopySlice, p.bytes - job.offset);
    ok = slot.context->space.Fill(p.dst + job.offset, bytes, p.pattern, p.pattern_bytes, &info);
    job.offset += bytes;
  }
  if (!ok) {
    info.operand = 0;
    FaultMemory(slot, info, NPU_ENGINE_COPY);
    return CopyEnd::kFault;
  }
  return job.offset == p.bytes ? CopyEnd::kDone : CopyEnd::kMore;
}

Dispatcher::Task Dispatcher::RunCopy(Worker& worker, uint32_t index) {
  Slot& slot = slots_[index];
  worker.quiesce.Enter();
  CopyEnd end = slot.packet.type == NPU_PKT_FILL ? FillSlice(slot) : CopySlice(slot);
  worker.quiesce.Leave();
  slot.progress.fetch_add(1, std::memory_order_relaxed);

  std::unique_lock lock(mu_);
  Task next;
  --copies_claimed_;
  slot.copy.claimed = false;
  if (end == CopyEnd::kFault) {
    slot.copy.active = false;
    BeginFault(index, true);
  } else if (slot.copy.aborting) {
    slot.copy.active = false;
    FaultKind(slot, static_cast<uint8_t>(slot.kill_kind), 0);
    slot.record.engine = NPU_ENGINE_COPY;
    BeginFault(index, slot.kill_kind != NPU_FAULT_NONE);
  } else if (end == CopyEnd::kDone) {
    slot.copy.active = false;
    npu_counters& counters = slot.q->counters;
    uint64_t bytes = PacketBytes(slot.packet), cycles = CopyCycles(bytes);
    counters.cycles += cycles;
    counters.copy_bytes += bytes;
    time_cycles_.fetch_add(cycles, std::memory_order_relaxed);
    slot.op_done = true;
    slot.phase = Phase::kReady;
    if (MayGoOn(worker)) {
      slot.phase = Phase::kClaimed;
      slot.recheck = false;
      next = {Task::kSlot, index};
    }
  }
  Notify();
  UnlockAndTell(lock);
  return next;
}

}  // namespace npu::model
