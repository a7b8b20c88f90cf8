// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Copy engines: copy and fill packets, a slice at a time, so that launches, packets and kills come between.
#include <algorithm>

#include "core/timing.h"
#include "device/dispatcher.h"

namespace npu::model {

namespace {

uint64_t CopyCycles(uint64_t bytes) {
  return kTiming.copy_startup_cycles + (bytes + kTiming.copy_bytes_per_cycle - 1) / kTiming.copy_bytes_per_cycle;
}

uint64_t PacketBytes(const npu_packet& packet) {
  return packet.type == NPU_PKT_FILL ? packet.u.fill.bytes : packet.u.copy.row_bytes * packet.u.copy.rows;
}

// A fill is a copy without source.
npu_pkt_copy Geometry(const npu_packet& packet) {
  if (packet.type == NPU_PKT_COPY) return packet.u.copy;
  npu_pkt_copy copy{};
  copy.dst = packet.u.fill.dst;
  copy.row_bytes = packet.u.fill.bytes;
  copy.rows = 1;
  return copy;
}

Box WholeBox(const npu_pkt_copy& copy, bool src) {
  Box box;
  box.ptr = src ? copy.src : copy.dst;
  box.count[0] = copy.row_bytes;
  box.count[1] = copy.rows;
  box.stride[1] = src ? copy.src_pitch : copy.dst_pitch;
  return box;
}

// The next piece of the packet's rows from the job's place: a part of one long row, or several short ones.  Moves the
// place on; true when that was the last.
bool NextPiece(const npu_pkt_copy& copy, uint64_t most, CopyJob* job, uint64_t* row, uint64_t* offset, Box* piece) {
  *row = job->row;
  *offset = job->offset;
  *piece = Box{};
  if (copy.row_bytes > most) {
    piece->count[0] = std::min(most, copy.row_bytes - job->offset);
    job->offset += piece->count[0];
    if (job->offset == copy.row_bytes) job->offset = 0, ++job->row;
  } else {
    uint64_t rows = std::clamp<uint64_t>(most / copy.row_bytes, 1, kRowsASlice);
    piece->count[0] = copy.row_bytes;
    piece->count[1] = std::min<uint64_t>(rows, copy.rows - job->row);
    job->row += piece->count[1];
  }
  return job->row == copy.rows;
}

}  // namespace

void Dispatcher::StartCopy(uint32_t index) {
  Slot& slot = slots_[index];
  slot.copy = CopyJob{};
  slot.copy.context = slot.context;
  slot.copy.slot = index;
  slot.copy.active = true;
  // What moves in one piece is checked whole by the move itself.
  npu_pkt_copy p = Geometry(slot.packet);
  if (p.row_bytes * p.rows <= kCopySlice && p.rows <= kRowsASlice) slot.copy.phase = CopyJob::Phase::kMove;
  slot.phase = Phase::kAsync;
}

// A piece that fails is described as a part of the whole: the record is about the packet.
bool Dispatcher::CheckPiece(const Slot& slot, const npu_pkt_copy& copy, const Box& piece, FaultInfo* info) const {
  bool src = slot.copy.phase == CopyJob::Phase::kCheckSrc;
  npu_access access = src ? NPU_ACCESS_READ : NPU_ACCESS_WRITE;
  const AddressSpace& space = slot.context->space;
  if (space.CheckBox(piece, access, info)) return true;
  // An exact account of all refused bytes, unless that would keep the engine for long.
  Box whole = WholeBox(copy, src);
  FaultInfo exact;
  if (copy.row_bytes * copy.rows <= kCheckSlice && copy.rows <= kRowsASlice && !space.CheckBox(whole, access, &exact))
    *info = exact;
  info->addr = whole.ptr;
  info->size = copy.row_bytes + (copy.rows - 1) * static_cast<uint64_t>(whole.stride[1]);
  info->operand = src ? 1 : 0;
  return false;
}

// Not a byte moves before the whole footprint of both sides was found good.  Every slice that moves is checked again,
// because rights may be taken away meanwhile.
Dispatcher::CopyEnd Dispatcher::CopySlice(Slot& slot) {
  const npu_pkt_copy p = Geometry(slot.packet);
  const npu_pkt_fill& fill = slot.packet.u.fill;
  bool filling = slot.packet.type == NPU_PKT_FILL;
  CopyJob& job = slot.copy;
  bool moving = job.phase == CopyJob::Phase::kMove, src = job.phase == CopyJob::Phase::kCheckSrc;
  uint64_t row = 0, offset = 0;
  Box piece;
  // kCopySlice is a multiple of every pattern, so each piece of a fill begins with the pattern's lowest byte.
  bool last = NextPiece(p, moving ? kCopySlice : kCheckSlice, &job, &row, &offset, &piece);
  uint64_t dst_at = p.dst + row * p.dst_pitch + offset, src_at = p.src + row * p.src_pitch + offset;
  FaultInfo info;
  bool ok = false;
  if (!moving) {
    piece.ptr = src ? src_at : dst_at;
    piece.stride[1] = src ? p.src_pitch : p.dst_pitch;
    ok = CheckPiece(slot, p, piece, &info);
  } else if (filling) {
    ok = slot.context->space.Fill(dst_at, piece.count[0], fill.pattern, fill.pattern_bytes, &info);
  } else {
    ok = slot.context->space.Copy(dst_at, p.dst_pitch, src_at, p.src_pitch, piece.count[0], piece.count[1], &info);
  }
  if (!ok) {
    if (filling) info.operand = 0;
    FaultMemory(slot, info, NPU_ENGINE_COPY);
    return CopyEnd::kFault;
  }
  if (!last) return CopyEnd::kMore;
  if (moving) return CopyEnd::kDone;
  job.row = job.offset = 0;
  job.phase = src || filling ? CopyJob::Phase::kMove : CopyJob::Phase::kCheckSrc;
  return CopyEnd::kMore;
}

Dispatcher::Task Dispatcher::RunCopy(Worker& worker, uint32_t index) {
  Slot& slot = slots_[index];
  worker.quiesce.Enter();
  CopyEnd end = CopySlice(slot);
  worker.quiesce.Leave();
  slot.progress.fetch_add(1, std::memory_order_relaxed);

  std::unique_lock lock(mu_);
  Task next;
  --copies_claimed_;
  slot.copy.claimed = false;
  slot.since = turn_;
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
