// SPDX-License-Identifier: Apache-2.0
#include "copy.hpp"

#include <algorithm>
#include <cstring>

#include "context.hpp"

namespace npu::rt {
namespace {

// Pageable memory goes through a ring of pinned bytes, a piece at a time, so that the host's copy of one piece runs
// beside the device's copy of another.
constexpr uint64_t kStagingBytes = 1 << 20;
constexpr uint64_t kPieceBytes = 256 << 10;

// One side of a copy.
struct Side {
  bool device = false;   // the device reaches it: pointer is valid
  uint64_t pointer = 0;  // tagged
  char* host = nullptr;  // not device: where it is
  uint64_t pitch = 0;
};

Status Extent(uint64_t pitch, uint64_t width, uint64_t height, uint64_t* bytes) {
  uint64_t whole;
  if (__builtin_mul_overflow(pitch, height - 1, &whole) || __builtin_add_overflow(whole, width, bytes)) {
    return Fail(npuErrorInvalidValue, "{} rows at a pitch of {} bytes overflow 64 bits", height, pitch);
  }
  return {};
}

bool IsDevicePointer(const void* ptr) {
  return NPU_PTR_BUF(reinterpret_cast<uint64_t>(ptr)) != 0;
}

// Checks a side against what lives there.
Status Resolve(Memory& memory, const void* ptr, bool device, uint64_t pitch, uint64_t extent, const char* what,
               Side* side) {
  side->pitch = pitch;
  AllocationRef found;
  if (device) {
    side->device = true;
    side->pointer = reinterpret_cast<uint64_t>(ptr);
    return CheckRange(memory, side->pointer, extent, what, &found);
  }
  if (!ptr) return Fail(npuErrorInvalidValue, "{} is NULL", what);
  if (IsDevicePointer(ptr)) {
    return Fail(npuErrorInvalidValue, "{} {} is a device pointer, but the kind of copy says host", what, ptr);
  }
  side->host = static_cast<char*>(const_cast<void*>(ptr));
  found = memory.FindHost(ptr);
  if (!found) return {};
  side->device = true;
  side->pointer = found->pointer() + static_cast<uint64_t>(side->host - found->host);
  return CheckRange(memory, side->pointer, extent, what, &found);
}

Status SubmitCopy(Stream& stream, uint64_t dst, uint64_t dst_pitch, uint64_t src, uint64_t src_pitch, uint64_t width,
                  uint64_t rows, uint64_t* value) {
  npu_packet packet = {};
  packet.type = NPU_PKT_COPY;
  packet.u.copy.dst = dst;
  packet.u.copy.src = src;
  packet.u.copy.row_bytes = width;
  packet.u.copy.rows = static_cast<uint32_t>(rows);
  packet.u.copy.dst_pitch = rows > 1 ? static_cast<uint32_t>(dst_pitch) : 0;
  packet.u.copy.src_pitch = rows > 1 ? static_cast<uint32_t>(src_pitch) : 0;
  return stream.Submit(packet, value);
}

// A piece of a copy: rows [row, row + rows), or a part of one row.
struct Piece {
  uint64_t row, rows, column, width;
  uint64_t bytes() const { return rows * width; }
  uint64_t Offset(uint64_t pitch) const { return row * pitch + column; }
};

// Calls body(piece) for pieces of at most kPieceBytes, in order.
template <class Body>
Status ForPieces(uint64_t width, uint64_t height, Body body) {
  if (width >= kPieceBytes) {
    for (uint64_t row = 0; row < height; row++) {
      for (uint64_t column = 0; column < width; column += kPieceBytes) {
        NPU_TRY(body(Piece{row, 1, column, std::min(kPieceBytes, width - column)}));
      }
    }
    return {};
  }
  uint64_t rows = kPieceBytes / width;
  for (uint64_t row = 0; row < height; row += rows) {
    NPU_TRY(body(Piece{row, std::min(rows, height - row), 0, width}));
  }
  return {};
}

void Gather(char* to, const Side& from, const Piece& p) {
  for (uint64_t r = 0; r < p.rows; r++) {
    std::memcpy(to + r * p.width, from.host + p.Offset(from.pitch) + r * from.pitch, p.width);
  }
}

void Scatter(const Side& to, const char* from, const Piece& p) {
  for (uint64_t r = 0; r < p.rows; r++) {
    std::memcpy(to.host + p.Offset(to.pitch) + r * to.pitch, from + r * p.width, p.width);
  }
}

// Room in the stream's staging ring; the caller holds staging_mutex.
Status TakeStaging(Stream& stream, uint64_t bytes, uint64_t* offset) {
  FencedRing& ring = stream.staging;
  if (ring.empty()) {
    AllocationRef memory;
    NPU_TRY(stream.context().memory().Allocate(hal::Memory::kHost, kStagingBytes, NPU_BOUNDS_READ | NPU_BOUNDS_WRITE,
                                               Owner::kInternal, "(runtime: staging)", &memory));
    ring.Adopt(std::move(memory));
  }
  auto ended = [&](uint64_t value) { return stream.fence()->Ended(value); };
  uint64_t rounded = (bytes + 63) / 64 * 64;
  ring.Reclaim(ended);
  while (!ring.Take(rounded, offset)) {
    NPU_TRY(stream.WaitFor(ring.Oldest(), hal::Clock::time_point::max()));
    ring.Reclaim(ended);
  }
  return {};
}

// Pageable host memory to the device: its bytes have been read when this returns.
Status StageIn(Stream& stream, const Side& dst, const Side& src, uint64_t width, uint64_t height) {
  std::lock_guard lock(stream.staging_mutex);
  FencedRing& ring = stream.staging;
  return ForPieces(width, height, [&](const Piece& p) -> Status {
    uint64_t offset = 0, value = 0;
    NPU_TRY(TakeStaging(stream, p.bytes(), &offset));
    Gather(ring.HostAt(offset), src, p);
    Status s = SubmitCopy(stream, dst.pointer + p.Offset(dst.pitch), dst.pitch, ring.PointerAt(offset), p.width,
                          p.width, p.rows, &value);
    if (s.ok()) {
      ring.Fence(value);
    } else {
      ring.Untake();
    }
    return s;
  });
}

// The device to pageable host memory: the bytes are there when this returns.  Two pieces are on their way at a time;
// the ring holds four, so a piece is never handed out again before it was copied on.
Status StageOut(Stream& stream, const Side& dst, const Side& src, uint64_t width, uint64_t height) {
  std::lock_guard lock(stream.staging_mutex);
  FencedRing& ring = stream.staging;
  struct Flight {
    Piece piece;
    uint64_t offset, value;
  };
  std::deque<Flight> flights;
  auto land = [&]() -> Status {
    Flight f = flights.front();
    flights.pop_front();
    NPU_TRY(stream.WaitFor(f.value, hal::Clock::time_point::max()));
    Scatter(dst, ring.HostAt(f.offset), f.piece);
    return {};
  };
  NPU_TRY(ForPieces(width, height, [&](const Piece& p) -> Status {
    if (flights.size() == 2) NPU_TRY(land());
    Flight f{p, 0, 0};
    NPU_TRY(TakeStaging(stream, p.bytes(), &f.offset));
    Status s = SubmitCopy(stream, ring.PointerAt(f.offset), p.width, src.pointer + p.Offset(src.pitch), src.pitch,
                          p.width, p.rows, &f.value);
    if (!s.ok()) {
      ring.Untake();
      return s;
    }
    ring.Fence(f.value);
    flights.push_back(f);
    return {};
  }));
  while (!flights.empty()) NPU_TRY(land());
  return {};
}

// Both sides in reach of the device.
Status Direct(Stream& stream, const Side& dst, const Side& src, uint64_t width, uint64_t height) {
  constexpr uint64_t kMaxRows = 1u << 30;
  for (uint64_t row = 0; row < height; row += kMaxRows) {
    uint64_t rows = std::min(kMaxRows, height - row);
    NPU_TRY(SubmitCopy(stream, dst.pointer + row * dst.pitch, dst.pitch, src.pointer + row * src.pitch, src.pitch,
                       width, rows, nullptr));
  }
  return {};
}

Status HostToHost(Stream& stream, const Side& dst, const Side& src, uint64_t width, uint64_t height) {
  NPU_TRY(stream.Synchronize());
  for (uint64_t r = 0; r < height; r++) std::memmove(dst.host + r * dst.pitch, src.host + r * src.pitch, width);
  return {};
}

Status CheckKind(const CopyJob& job, bool* dst_device, bool* src_device) {
  switch (job.kind) {
    case npuMemcpyHostToHost:
      *dst_device = *src_device = false;
      return {};
    case npuMemcpyHostToDevice:
      *dst_device = true, *src_device = false;
      return {};
    case npuMemcpyDeviceToHost:
      *dst_device = false, *src_device = true;
      return {};
    case npuMemcpyDeviceToDevice:
      *dst_device = *src_device = true;
      return {};
    case npuMemcpyDefault:
      *dst_device = IsDevicePointer(job.dst);
      *src_device = IsDevicePointer(job.src);
      return {};
  }
  return Fail(npuErrorInvalidValue, "copy kind {} does not exist", static_cast<int>(job.kind));
}

}  // namespace

Status Copy(Stream& stream, const CopyJob& job) {
  bool dst_device = false, src_device = false;
  NPU_TRY(CheckKind(job, &dst_device, &src_device));
  if (job.width == 0 || job.height == 0) return {};
  if (job.height > 1) {
    if (job.dst_pitch < job.width || job.src_pitch < job.width || job.dst_pitch > UINT32_MAX ||
        job.src_pitch > UINT32_MAX) {
      return Fail(npuErrorInvalidValue, "pitches {} and {} must be at least the width {} and below 4 GiB",
                  job.dst_pitch, job.src_pitch, job.width);
    }
  }
  uint64_t dst_extent = 0, src_extent = 0;
  NPU_TRY(Extent(job.dst_pitch, job.width, job.height, &dst_extent));
  NPU_TRY(Extent(job.src_pitch, job.width, job.height, &src_extent));
  Memory& memory = stream.context().memory();
  Side dst, src;
  NPU_TRY(Resolve(memory, job.dst, dst_device, job.dst_pitch, dst_extent, "destination", &dst));
  NPU_TRY(Resolve(memory, job.src, src_device, job.src_pitch, src_extent, "source", &src));
  if (!dst_device && !src_device) return HostToHost(stream, dst, src, job.width, job.height);
  if (dst.device && src.device) {
    uint64_t d = NPU_PTR_VA(dst.pointer), s = NPU_PTR_VA(src.pointer);
    if (d < s + src_extent && s < d + dst_extent) {
      return Fail(npuErrorInvalidValue, "source {:#x} and destination {:#x} overlap", src.pointer, dst.pointer);
    }
    return Direct(stream, dst, src, job.width, job.height);
  }
  return dst.device ? StageIn(stream, dst, src, job.width, job.height)
                    : StageOut(stream, dst, src, job.width, job.height);
}

Status Fill(Stream& stream, void* ptr, uint64_t pattern, uint32_t pattern_bytes, uint64_t bytes) {
  if (bytes == 0) return {};
  AllocationRef found;
  Memory& memory = stream.context().memory();
  uint64_t pointer = reinterpret_cast<uint64_t>(ptr);
  if (!IsDevicePointer(ptr)) {
    AllocationRef host = memory.FindHost(ptr);
    if (host) pointer = host->pointer() + static_cast<uint64_t>(static_cast<char*>(ptr) - host->host);
  }
  NPU_TRY(CheckRange(memory, pointer, bytes, "destination", &found));
  npu_packet packet = {};
  packet.type = NPU_PKT_FILL;
  packet.u.fill.dst = pointer;
  packet.u.fill.bytes = bytes;
  packet.u.fill.pattern = pattern;
  packet.u.fill.pattern_bytes = pattern_bytes;
  return stream.Submit(packet, nullptr);
}

}  // namespace npu::rt
