// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// AddressSpace: moving bytes.
#include <algorithm>
#include <memory>

#include "core/address_space.h"
#include "core/address_walk.h"
#include "core/footprint.h"
#include "core/shared_bytes.h"

namespace npu::model {

bool AddressSpace::BusError(uint64_t ptr, uint64_t bytes, npu_access access, uint64_t offset, FaultInfo* fault) const {
  DescribeBox(LinearBox(ptr, bytes), access, fault);
  fault->kind = NPU_FAULT_BUS;
  fault->bad_addr = NPU_PTR_VA(ptr) + offset;
  fault->bad_bytes = bytes - offset;
  fault->bad_index[0] = static_cast<uint32_t>(offset);
  return false;
}

bool AddressSpace::Read(uint64_t ptr, void* dst, uint64_t bytes, FaultInfo* fault) const {
  std::vector<Span> spans;
  if (!Resolve(LinearBox(ptr, bytes), NPU_ACCESS_READ, &spans, fault)) return false;
  uint64_t done = 0;
  for (const Span& s : spans) {
    uint8_t* to = static_cast<uint8_t*>(dst) + done;
    if (s.host)
      MoveShared(to, s.host, s.bytes);
    else if (platform_.ops->dma_read(platform_.opaque, s.bus, to, s.bytes))
      return BusError(ptr, bytes, NPU_ACCESS_READ, done, fault);
    done += s.bytes;
  }
  return true;
}

bool AddressSpace::Write(uint64_t ptr, const void* src, uint64_t bytes, FaultInfo* fault) const {
  std::vector<Span> spans;
  if (!Resolve(LinearBox(ptr, bytes), NPU_ACCESS_WRITE, &spans, fault)) return false;
  uint64_t done = 0;
  for (const Span& s : spans) {
    const uint8_t* from = static_cast<const uint8_t*>(src) + done;
    if (s.host)
      MoveShared(s.host, from, s.bytes);
    else if (platform_.ops->dma_write(platform_.opaque, s.bus, from, s.bytes))
      return BusError(ptr, bytes, NPU_ACCESS_WRITE, done, fault);
    done += s.bytes;
  }
  return true;
}

bool AddressSpace::Fill(uint64_t ptr, uint64_t bytes, uint64_t pattern, unsigned pattern_bytes,
                        FaultInfo* fault) const {
  if (!Check(ptr, bytes, NPU_ACCESS_WRITE, fault)) return false;
  // A block of whole patterns: pages and blocks are multiples of 8, so a block may start anywhere in the pattern's
  // period as long as it starts at its phase.
  constexpr uint64_t kBlock = 4096;
  uint8_t block[kBlock + 8];
  for (uint64_t i = 0; i < sizeof(block); ++i) block[i] = static_cast<uint8_t>(pattern >> (8 * (i % pattern_bytes)));
  Walk walk{*this, {}};
  uint64_t rights = 0;
  for (uint64_t done = 0; done < bytes;) {
    const Span s = walk.Piece(NPU_PTR_VA(ptr) + done, std::min(bytes - done, kBlock), &rights);
    const uint8_t* from = block + done % pattern_bytes;
    if (!s.bytes || !(rights & NPU_PTE_WRITE)) {
      // The page table changed between the check and now.
      return Check(ptr, bytes, NPU_ACCESS_WRITE, fault) && Lost(ptr, bytes, NPU_ACCESS_WRITE, done, fault);
    }
    if (s.host)
      MoveShared(s.host, from, s.bytes);
    else if (platform_.ops->dma_write(platform_.opaque, s.bus, from, s.bytes))
      return BusError(ptr, bytes, NPU_ACCESS_WRITE, done, fault);
    done += s.bytes;
  }
  return true;
}

// A page was there at the check and is not there any more: the guest took it away under a running access.
bool AddressSpace::Lost(uint64_t ptr, uint64_t bytes, npu_access access, uint64_t offset, FaultInfo* fault) const {
  BusError(ptr, bytes, access, offset, fault);
  fault->kind = NPU_FAULT_PAGE;
  return false;
}

bool AddressSpace::CopyRow(Mover* mover, uint64_t dst, uint64_t src, uint64_t bytes, FaultInfo* fault) const {
  uint64_t rights = 0;
  for (uint64_t done = 0; done < bytes;) {
    const auto lost = [&](npu_access access) {
      const bool write = access == NPU_ACCESS_WRITE;
      fault->operand = write ? 0 : 1;
      return Lost(write ? dst : src, bytes, access, done, fault);
    };
    const auto bus_error = [&](npu_access access) {
      const bool write = access == NPU_ACCESS_WRITE;
      fault->operand = write ? 0 : 1;
      return BusError(write ? dst : src, bytes, access, done, fault);
    };
    const Span from = mover->src.Piece(NPU_PTR_VA(src) + done, bytes - done, &rights);
    if (!from.bytes || !(rights & NPU_PTE_READ)) return lost(NPU_ACCESS_READ);
    const Span to = mover->dst.Piece(NPU_PTR_VA(dst) + done, from.bytes, &rights);
    if (!to.bytes || !(rights & NPU_PTE_WRITE)) return lost(NPU_ACCESS_WRITE);
    uint64_t n = to.bytes;
    if (from.host && to.host) {
      MoveShared(to.host, from.host, n);
    } else if (from.host) {
      if (platform_.ops->dma_write(platform_.opaque, to.bus, from.host, n)) return bus_error(NPU_ACCESS_WRITE);
    } else if (to.host) {
      if (platform_.ops->dma_read(platform_.opaque, from.bus, to.host, n)) return bus_error(NPU_ACCESS_READ);
    } else {
      n = std::min<uint64_t>(n, kBounceBytes);
      if (!mover->bounce) mover->bounce = std::make_unique<uint8_t[]>(kBounceBytes);
      uint8_t* bounce = mover->bounce.get();
      if (platform_.ops->dma_read(platform_.opaque, from.bus, bounce, n)) return bus_error(NPU_ACCESS_READ);
      if (platform_.ops->dma_write(platform_.opaque, to.bus, bounce, n)) return bus_error(NPU_ACCESS_WRITE);
    }
    done += n;
  }
  return true;
}

bool AddressSpace::Copy(uint64_t dst, uint64_t dst_pitch, uint64_t src, uint64_t src_pitch, uint64_t row_bytes,
                        uint64_t rows, FaultInfo* fault) const {
  if (!row_bytes || !rows) return true;
  Box to = LinearBox(dst, row_bytes), from = LinearBox(src, row_bytes);
  to.count[1] = from.count[1] = rows;
  to.stride[1] = static_cast<int64_t>(dst_pitch);
  from.stride[1] = static_cast<int64_t>(src_pitch);
  fault->operand = 1;
  if (!CheckBox(from, NPU_ACCESS_READ, fault)) return false;
  fault->operand = 0;
  if (!CheckBox(to, NPU_ACCESS_WRITE, fault)) return false;
  Mover mover{{*this, {}}, {*this, {}}, nullptr};
  for (uint64_t row = 0; row < rows; ++row) {
    fault->operand = kNoOperand;
    if (!CopyRow(&mover, dst + row * dst_pitch, src + row * src_pitch, row_bytes, fault)) {
      fault->bad_index[1] = static_cast<uint32_t>(row);
      return false;
    }
  }
  return true;
}

}  // namespace npu::model
