// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "core/local_memory.h"

#include <algorithm>
#include <cstring>

#include "core/ecc.h"
#include "core/footprint.h"

namespace npu::model {

namespace {

constexpr uint8_t kPowerOnByte = 0xcd;

}  // namespace

LocalMemory::LocalMemory()
    : sram_(static_cast<uint8_t*>(AllocateLargePages(kSramBytes))), stack_(new uint8_t[NPU_LOCAL_STACK_BYTES]) {
  Scrub();
  ResetTable();
}

void LocalMemory::Scrub() {
  std::memset(sram_.get(), kPowerOnByte, kSramBytes);
  std::memset(stack_.get(), kPowerOnByte, NPU_LOCAL_STACK_BYTES);
}

void LocalMemory::ResetTable() {
  for (uint32_t i = 0; i < NPU_LOCAL_ENTRIES; ++i) {
    table_[i] = {};
    free_[i] = static_cast<uint16_t>(i);
  }
  free_head_ = 0;
  free_count_ = NPU_LOCAL_ENTRIES;
}

bool LocalMemory::IsStack(uint64_t ptr) {
  return (ptr >> NPU_TAG_SHIFT) == 0 && LocalKind(NPU_PTR_VA(ptr)) == NPU_FAULT_STACK;
}

// The entry that bounds the pointer, and everything but the position: a fault kind or NONE.
uint8_t LocalMemory::Kind(uint64_t ptr, npu_access access, Entry* entry) const {
  const uint64_t number = NPU_PTR_BUF(ptr);
  if (number < NPU_BUF_FIRST) {
    const uint64_t va = NPU_PTR_VA(ptr);
    if (NPU_PTR_GEN(ptr)) return NPU_FAULT_UNKNOWN_BUF;
    if (va - NPU_LOCAL_SRAM_BASE < kSramBytes)
      *entry = {NPU_LOCAL_SRAM_BASE, kSramBytes, 0};
    else if (va - NPU_LOCAL_STACK_BASE < NPU_LOCAL_STACK_BYTES)
      *entry = {NPU_LOCAL_STACK_BASE, NPU_LOCAL_STACK_BYTES, 0};
    else
      return LocalKind(va);
    return NPU_FAULT_NONE;
  }
  *entry = table_[number - NPU_BUF_LOCAL_FIRST];
  const uint32_t state = NPU_BOUNDS_STATE(entry->ctl);
  if (state == NPU_BOUNDS_STATE_UNUSED) return NPU_FAULT_UNKNOWN_BUF;
  if (state != NPU_BOUNDS_STATE_LIVE || (entry->ctl & NPU_BOUNDS_GEN_MASK) != NPU_PTR_GEN(ptr)) return NPU_FAULT_STALE;
  const uint32_t need = access == NPU_ACCESS_READ    ? NPU_BOUNDS_READ
                        : access == NPU_ACCESS_WRITE ? NPU_BOUNDS_WRITE
                                                     : NPU_BOUNDS_READ | NPU_BOUNDS_WRITE;
  return (entry->ctl & need) == need ? NPU_FAULT_NONE : NPU_FAULT_PERM;
}

bool LocalMemory::Flawed() const {
  return ecc_ && ecc_->AnyIn(NPU_INJ_SRAM(core_, 0), kSramBytes);
}

// The box lies in SRAM.  False: some word of it cannot be read.
bool LocalMemory::Readable(const Box& box, npu_access access, const Entry& entry, FaultInfo* fault) const {
  const uint64_t width = box.RowBytes();
  uint64_t bad_bytes = 0;
  ForEachRow(box, [&](uint64_t row, const uint64_t* index) {
    const uint64_t place = NPU_INJ_SRAM(core_, 0) + (NPU_PTR_VA(row) - NPU_LOCAL_SRAM_BASE);
    const uint64_t word = ecc_->Access(place, width, access);
    if (word == Ecc::kNone) return true;
    const uint64_t first = std::max(word, place), end = std::min(word + Ecc::kWord, place + width);
    if (!bad_bytes) {
      DescribeBox(box, access, fault);
      fault->kind = NPU_FAULT_ECC;
      fault->bad_addr = NPU_PTR_VA(row) + (first - place);
      fault->bad_index[0] = static_cast<uint32_t>((first - place) / box.elem_bytes);
      for (int d = 0; d < 3; ++d) fault->bad_index[d + 1] = static_cast<uint32_t>(index[d]);
      fault->buf_base = entry.base;
      fault->buf_size = entry.size;
      fault->buf_ctl = entry.ctl;
    }
    bad_bytes += end - first;
    return true;
  });
  if (bad_bytes) fault->bad_bytes = bad_bytes;
  return !bad_bytes;
}

uint8_t* LocalMemory::Resolve(const Box& box, npu_access access, FaultInfo* fault) {
  Entry entry{};
  const uint8_t kind = Kind(box.ptr, access, &entry);
  const Wide low = entry.base, high = Wide(entry.base) + entry.size;
  const Extent e = BoxExtent(box);
  const bool inside = e.low >= low && e.high <= high;
  if (kind == NPU_FAULT_NONE && inside) {
    const uint64_t va = NPU_PTR_VA(box.ptr);
    if (entry.base == NPU_LOCAL_STACK_BASE) return stack_.get() + (va - NPU_LOCAL_STACK_BASE);
    if (ecc_ && ecc_->armed() && !Readable(box, access, entry, fault)) return nullptr;
    return sram_.get() + (va - NPU_LOCAL_SRAM_BASE);
  }
  if ((kind == NPU_FAULT_NONE || kind == NPU_FAULT_PERM) && !inside) {
    const bool stack = entry.base == NPU_LOCAL_STACK_BASE;
    RefuseOutside(box, stack ? NPU_FAULT_STACK : NPU_FAULT_LOCAL_OOB, access, FindOutside(box, low, high), fault);
  } else {
    RefuseWhole(box, kind, access, fault);
  }
  fault->buf_base = entry.base;
  fault->buf_size = entry.size;
  fault->buf_ctl = entry.ctl;
  return nullptr;
}

bool LocalMemory::Set(uint64_t ptr, uint32_t bytes, unsigned rights, uint64_t* tagged, FaultInfo* fault) {
  Box box;
  box.ptr = ptr;
  box.count[0] = bytes;
  // The rights of the new entry are a part of the old one's.
  const npu_access access = rights == 3 ? NPU_ACCESS_ATOMIC : rights == 2 ? NPU_ACCESS_WRITE : NPU_ACCESS_READ;
  if (!IsLocal(ptr) || IsStack(ptr)) {
    RefuseWhole(box, NPU_FAULT_LOCAL_OOB, access, fault);
    return false;
  }
  // One past the end of SRAM is a place for an empty entry, nothing else is.
  const bool empty_end = !bytes && ptr == NPU_LOCAL_SRAM_BASE + kSramBytes;
  if (!empty_end && !Resolve(box, access, fault)) return false;
  *tagged = 0;
  if (!free_count_) return true;
  const uint32_t index = free_[free_head_];
  free_head_ = (free_head_ + 1) % NPU_LOCAL_ENTRIES;
  --free_count_;
  Entry& entry = table_[index];
  const uint32_t generation = entry.ctl & NPU_BOUNDS_GEN_MASK;
  entry.base = NPU_PTR_VA(ptr);
  entry.size = bytes;
  entry.ctl = generation | (rights & 3u) * NPU_BOUNDS_READ | NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT;
  *tagged = NPU_PTR(NPU_BUF_LOCAL_FIRST + index, generation, entry.base);
  return true;
}

bool LocalMemory::Clear(uint64_t ptr, FaultInfo* fault) {
  Box box;
  box.ptr = ptr;
  box.count[0] = 0;
  const uint64_t number = NPU_PTR_BUF(ptr);
  Entry entry{};
  uint8_t kind = number < NPU_BUF_LOCAL_FIRST ? uint8_t{NPU_FAULT_UNKNOWN_BUF} : Kind(ptr, NPU_ACCESS_NONE, &entry);
  if (kind == NPU_FAULT_PERM) kind = NPU_FAULT_NONE;
  if (kind != NPU_FAULT_NONE) {
    RefuseWhole(box, kind, NPU_ACCESS_NONE, fault);
    fault->buf_base = entry.base;
    fault->buf_size = entry.size;
    fault->buf_ctl = entry.ctl;
    return false;
  }
  const auto index = static_cast<uint32_t>(number - NPU_BUF_LOCAL_FIRST);
  const uint32_t generation = (entry.ctl + 1) & NPU_BOUNDS_GEN_MASK;
  table_[index].ctl = generation | NPU_BOUNDS_STATE_FREED << NPU_BOUNDS_STATE_SHIFT;
  free_[(free_head_ + free_count_) % NPU_LOCAL_ENTRIES] = static_cast<uint16_t>(index);
  ++free_count_;
  return true;
}

}  // namespace npu::model
