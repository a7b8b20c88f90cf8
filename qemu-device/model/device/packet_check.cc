// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "device/packet_check.h"

#include <cstddef>

#include "npu_mmu.h"

namespace npu::model {
namespace {

template <size_t n, class T>
bool AllZero(const T (&words)[n]) {
  T any = 0;
  for (T word : words) any |= word;
  return any == 0;
}

bool Aligned8(uint64_t address) {
  return (address & 7) == 0;
}

npu_packet_error CheckLaunch(const npu_pkt_launch& p) {
  if (!AllZero(p.reserved)) return NPU_PKT_ERR_RESERVED;
  // Each factor is below 2^32 and the running product is held below 2^31, so nothing overflows.
  uint64_t blocks = 1;
  for (uint32_t n : p.grid) {
    if (n == 0) return NPU_PKT_ERR_GRID;
    blocks *= n;
    if (blocks > 0x7fffffffull) return NPU_PKT_ERR_GRID;
  }
  if (p.args_bytes > NPU_LAUNCH_ARGS_MAX || p.args_bytes % 8) return NPU_PKT_ERR_ARGS;
  if (!Aligned8(p.args)) return NPU_PKT_ERR_ALIGN;
  return NPU_PKT_ERR_NONE;
}

// True when rows of row_bytes at this pitch stay within the 40-bit address space, so that later sums cannot wrap.
bool BoxFits(uint64_t row_bytes, uint32_t rows, uint32_t pitch) {
  const uint64_t gaps = static_cast<uint64_t>(rows ? rows - 1 : 0) * pitch;  // below 2^64, but its sum may not be
  return row_bytes <= NPU_VA_MASK && gaps <= NPU_VA_MASK && row_bytes + gaps <= NPU_VA_MASK + 1;
}

npu_packet_error CheckCopy(const npu_pkt_copy& p) {
  if (p.reserved) return NPU_PKT_ERR_RESERVED;
  if (!p.rows || !p.row_bytes) return NPU_PKT_ERR_RANGE;
  if (!BoxFits(p.row_bytes, p.rows, p.dst_pitch) || !BoxFits(p.row_bytes, p.rows, p.src_pitch))
    return NPU_PKT_ERR_RANGE;
  // Rows of the destination must not overlap each other.
  if (p.rows > 1 && p.dst_pitch < p.row_bytes) return NPU_PKT_ERR_RANGE;
  return NPU_PKT_ERR_NONE;
}

npu_packet_error CheckFill(const npu_pkt_fill& p) {
  if (!AllZero(p.reserved)) return NPU_PKT_ERR_RESERVED;
  uint32_t n = p.pattern_bytes;
  if (n != 1 && n != 2 && n != 4 && n != 8) return NPU_PKT_ERR_RANGE;
  if (!p.bytes || p.bytes > NPU_VA_MASK || p.bytes % n) return NPU_PKT_ERR_RANGE;
  return NPU_PKT_ERR_NONE;
}

npu_packet_error CheckWait(const npu_pkt_wait& p) {
  if (!AllZero(p.reserved)) return NPU_PKT_ERR_RESERVED;
  if (p.cond > NPU_WAIT_NE) return NPU_PKT_ERR_COND;
  return Aligned8(p.addr) ? NPU_PKT_ERR_NONE : NPU_PKT_ERR_ALIGN;
}

npu_packet_error CheckIndirect(const npu_pkt_indirect& p, bool indirect) {
  if (indirect) return NPU_PKT_ERR_NESTED;
  if (p.reserved || !AllZero(p.reserved2)) return NPU_PKT_ERR_RESERVED;
  if (p.addr % NPU_PACKET_BYTES) return NPU_PKT_ERR_ALIGN;
  if (!p.count) return NPU_PKT_ERR_RANGE;
  return NPU_PKT_ERR_NONE;
}

npu_packet_error CheckBody(const npu_packet& packet, bool indirect) {
  switch (packet.type) {
    case NPU_PKT_NOP:
    case NPU_PKT_SIGNAL:
      return AllZero(packet.u.raw) ? NPU_PKT_ERR_NONE : NPU_PKT_ERR_RESERVED;
    case NPU_PKT_LAUNCH:
      return CheckLaunch(packet.u.launch);
    case NPU_PKT_COPY:
      return CheckCopy(packet.u.copy);
    case NPU_PKT_FILL:
      return CheckFill(packet.u.fill);
    case NPU_PKT_WAIT:
      return CheckWait(packet.u.wait);
    case NPU_PKT_TIMESTAMP:
      if (!AllZero(packet.u.timestamp.reserved)) return NPU_PKT_ERR_RESERVED;
      return Aligned8(packet.u.timestamp.addr) ? NPU_PKT_ERR_NONE : NPU_PKT_ERR_ALIGN;
    case NPU_PKT_COUNTERS:
      if (!AllZero(packet.u.counters.reserved)) return NPU_PKT_ERR_RESERVED;
      return Aligned8(packet.u.counters.addr) ? NPU_PKT_ERR_NONE : NPU_PKT_ERR_ALIGN;
    case NPU_PKT_INDIRECT:
      return CheckIndirect(packet.u.indirect, indirect);
    default:
      return NPU_PKT_ERR_TYPE;
  }
}

}  // namespace

npu_packet_error CheckPacket(const npu_packet& packet, bool indirect) {
  if (packet.type == NPU_PKT_INVALID || packet.type >= NPU_PKT_TYPES) return NPU_PKT_ERR_TYPE;
  if (packet.flags & ~NPU_PKT_F_MASK) return NPU_PKT_ERR_FLAGS;
  if (packet.reserved) return NPU_PKT_ERR_RESERVED;
  // A signal packet signals with or without the flag; elsewhere the two fields are not looked at without it.
  bool signals = packet.type == NPU_PKT_SIGNAL || (packet.flags & NPU_PKT_F_SIGNAL);
  if (signals && !Aligned8(packet.signal_addr)) return NPU_PKT_ERR_ALIGN;
  return CheckBody(packet, indirect);
}

}  // namespace npu::model
