// SPDX-License-Identifier: Apache-2.0
#include "sim/page_table.hpp"

#include <algorithm>
#include <atomic>

#include "common/error.hpp"

namespace npu::hal::sim {
namespace {

constexpr uint64_t kRootBytes = NPU_PT_ROOT_ENTRIES * 8;

void Store(uint64_t* entry, uint64_t value) {
  std::atomic_ref<uint64_t>(*entry).store(value, std::memory_order_release);
}

// Is the 2 MiB page at va mapped by one level-1 entry when [start, end) -> address is mapped?
bool BigPage(uint64_t va, uint64_t end, uint64_t address, bool allowed) {
  return allowed && va % NPU_BIG_PAGE_SIZE == 0 && address % NPU_BIG_PAGE_SIZE == 0 && end - va >= NPU_BIG_PAGE_SIZE;
}

uint64_t NextBoundary(uint64_t va, uint64_t end) {
  return std::min(end, (va / NPU_BIG_PAGE_SIZE + 1) * NPU_BIG_PAGE_SIZE);
}

}  // namespace

PageTable::~PageTable() {
  for (uint64_t table : tables_) vram_.Free(table, NPU_PAGE_SIZE);
  if (root_) vram_.Free(root_, kRootBytes);
}

Error PageTable::Create() {
  Result<uint64_t> root = vram_.Allocate(kRootBytes, NPU_PAGE_SIZE);
  if (!root) return root.error();
  root_ = *root;
  return {};
}

Result<uint64_t> PageTable::NewTable() {
  Result<uint64_t> table = vram_.Allocate(NPU_PAGE_SIZE, NPU_PAGE_SIZE);
  if (table) tables_.push_back(*table);
  return table;
}

Result<uint64_t> PageTable::Descend(uint64_t* entry, bool split_leaf) {
  uint64_t now = *entry;
  if ((now & NPU_PTE_VALID) && !(now & NPU_PTE_LEAF)) return uint64_t{now & NPU_PTE_ADDR_MASK};
  Result<uint64_t> table = NewTable();
  if (!table) return table;
  if ((now & NPU_PTE_VALID) && split_leaf) {
    uint64_t* small = reinterpret_cast<uint64_t*>(vram_.At(*table));
    for (uint64_t i = 0; i < NPU_PT_ENTRIES; i++) small[i] = (now & ~uint64_t{NPU_PTE_LEAF}) + i * NPU_PAGE_SIZE;
  }
  Store(entry, *table | NPU_PTE_VALID);
  return table;
}

// The level-1 entry of va, or null when there is no level-1 table yet.
uint64_t* PageTable::MidEntry(uint64_t va) {
  uint64_t* root = reinterpret_cast<uint64_t*>(vram_.At(root_));
  uint64_t entry = root[va >> NPU_PT_ROOT_SHIFT];
  if (!(entry & NPU_PTE_VALID)) return nullptr;
  uint64_t* mid = reinterpret_cast<uint64_t*>(vram_.At(entry & NPU_PTE_ADDR_MASK));
  return &mid[(va >> NPU_PT_MID_SHIFT) % NPU_PT_ENTRIES];
}

// Makes every table that mapping the range needs, so that the mapping itself cannot fail half-way.
Error PageTable::Prepare(uint64_t va, uint64_t bytes, uint64_t address, bool big) {
  uint64_t end = va + bytes, start = va;
  for (; va < end; va = NextBoundary(va, end)) {
    uint64_t* root = reinterpret_cast<uint64_t*>(vram_.At(root_));
    Result<uint64_t> mid = Descend(&root[va >> NPU_PT_ROOT_SHIFT], false);
    if (!mid) return mid.error();
    if (BigPage(va, end, address + (va - start), big)) continue;
    Result<uint64_t> low = Descend(MidEntry(va), true);
    if (!low) return low.error();
  }
  return {};
}

Error PageTable::Map(uint64_t va, uint64_t address, uint64_t bytes, uint64_t flags, bool* replaced) {
  bool big = !(flags & NPU_PTE_HOST);
  *replaced = false;
  if (Error e = Prepare(va, bytes, address, big)) return e;
  uint64_t end = va + bytes;
  while (va < end) {
    uint64_t* mid = MidEntry(va);
    if (BigPage(va, end, address, big) && !((*mid & NPU_PTE_VALID) && !(*mid & NPU_PTE_LEAF))) {
      *replaced |= (*mid & NPU_PTE_VALID) != 0;
      Store(mid, address | flags | NPU_PTE_VALID | NPU_PTE_LEAF);
      va += NPU_BIG_PAGE_SIZE;
      address += NPU_BIG_PAGE_SIZE;
      continue;
    }
    // A level-2 table that is there already is kept, also for a large page.
    uint64_t* low = reinterpret_cast<uint64_t*>(vram_.At(*mid & NPU_PTE_ADDR_MASK));
    for (uint64_t stop = NextBoundary(va, end); va < stop; va += NPU_PAGE_SIZE, address += NPU_PAGE_SIZE) {
      uint64_t* entry = &low[(va >> NPU_PAGE_SHIFT) % NPU_PT_ENTRIES];
      *replaced |= (*entry & NPU_PTE_VALID) != 0;
      Store(entry, address | flags | NPU_PTE_VALID);
    }
  }
  return {};
}

Error PageTable::Unmap(uint64_t va, uint64_t bytes) {
  uint64_t end = va + bytes;
  while (va < end) {
    uint64_t stop = NextBoundary(va, end);
    uint64_t* mid = MidEntry(va);
    if (mid && (*mid & NPU_PTE_VALID)) {
      bool whole = stop - va == NPU_BIG_PAGE_SIZE;
      if ((*mid & NPU_PTE_LEAF) && whole) {
        Store(mid, 0);
      } else {
        Result<uint64_t> low = Descend(mid, true);
        if (!low) return low.error();
        uint64_t* entries = reinterpret_cast<uint64_t*>(vram_.At(*low));
        for (uint64_t v = va; v < stop; v += NPU_PAGE_SIZE) Store(&entries[(v >> NPU_PAGE_SHIFT) % NPU_PT_ENTRIES], 0);
      }
    }
    va = stop;
  }
  return {};
}

}  // namespace npu::hal::sim
