// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "core/core_env.h"

#include <algorithm>

#include "core/ecc.h"
#include "core/footprint.h"

namespace npu::model {

namespace {

Box ScalarBox(uint64_t va, unsigned size) {
  Box box;
  box.ptr = va;
  box.count[0] = size;
  return box;
}

}  // namespace

void TranslationCache::Clear() {
  for (Entry& e : entries_) e = {};
}

void TranslationCache::Refresh(const AddressSpace& space) {
  const uint32_t bounds = space.bounds_epoch();
  const uint64_t mmu = space.mmu_epoch();
  if (bounds == bounds_epoch_ && mmu == mmu_epoch_) return;
  Clear();
  bounds_epoch_ = bounds;
  mmu_epoch_ = mmu;
}

void TranslationCache::Insert(uint64_t ptr, const BoundsView& bounds, const PageView& page) {
  const uint64_t first = NPU_PTR_VA(ptr) & ~uint64_t{NPU_PAGE_SIZE - 1};
  const Wide low = std::max<Wide>(bounds.base, first);
  const Wide high = std::min<Wide>(Wide(bounds.base) + bounds.size, Wide(first) + NPU_PAGE_SIZE);
  Entry& e = entries_[(ptr >> NPU_PAGE_SHIFT) % kEntries];
  e.key = ptr >> NPU_PAGE_SHIFT;
  e.page = page.host + (first - page.va);
  e.low = static_cast<uint16_t>(low - first);
  e.high = static_cast<uint16_t>(high - first);
  const bool read = (bounds.ctl & NPU_BOUNDS_READ) && (page.rights & NPU_PTE_READ);
  const bool write = (bounds.ctl & NPU_BOUNDS_WRITE) && (page.rights & NPU_PTE_WRITE);
  e.rights = static_cast<uint16_t>((read ? kRead : 0) | (write ? kWrite : 0));
}

void CoreEnv::Begin(const LaunchContext& launch, uint32_t block) {
  if (space_ != launch.space) tlb_.Clear();
  launch_ = &launch;
  space_ = launch.space;
  block_ = block;
  const uint32_t gx = std::max(launch.grid[0], 1u), gy = std::max(launch.grid[1], 1u);
  blocks_ = gx * gy * std::max(launch.grid[2], 1u);
  block_xyz_[0] = block % gx;
  block_xyz_[1] = block / gx % gy;
  block_xyz_[2] = block / gx / gy;
  reserved_ = at_grid_barrier = at_work_limit = false;
  stalled = 0;
  fault = {};
}

void CoreEnv::Record(uint8_t kind, uint16_t detail, uint64_t extra0) {
  fault = {};
  fault.info.kind = kind;
  fault.info.detail = detail;
  fault.extra[0] = extra0;
}

// An instruction fetch says that it was one; what the check found is its detail.
bool CoreEnv::FetchFault() {
  fault.info.detail = fault.info.kind;
  fault.info.kind = NPU_FAULT_FETCH;
  return false;
}

const uint8_t* CoreEnv::Code(uint64_t pc, uint64_t* bytes) {
  fault = {};
  BoundsView bounds;
  if (!space_->CheckBounds(pc, 2, NPU_ACCESS_EXEC, &bounds, &fault.info)) {
    FetchFault();
    return nullptr;
  }
  const uint64_t va = NPU_PTR_VA(pc);
  const PageView page = space_->Lookup(va);
  if (!page.bytes || !(page.rights & NPU_PTE_EXEC)) {
    RefuseWhole(ScalarBox(pc, 2), page.RefusedKind(), NPU_ACCESS_EXEC, &fault.info);
    FetchFault();
    return nullptr;
  }
  const uint64_t in_page = page.va + page.bytes - va;
  const uint64_t in_buffer = bounds.size - (va - bounds.base);
  *bytes = std::min<uint64_t>({in_page, in_buffer, NPU_PAGE_SIZE});
  if (page.host) {
    if (space_->Flawed(page.bus, page.bytes))
      code_.NoteOther();
    else
      code_.Note(pc, *bytes, bounds, page);
    // Code up to the first word that cannot be read is good.
    const uint64_t bad = space_->FindBad(page.bus + (va - page.va), *bytes, NPU_ACCESS_EXEC);
    if (bad != Ecc::kNone && bad < 2) {
      space_->RefuseWord(pc, 2, bad, NPU_ACCESS_EXEC, bounds, &fault.info);
      FetchFault();
      return nullptr;
    }
    *bytes = std::min(*bytes, bad);
    return page.host + (va - page.va);
  }
  code_.NoteOther();
  const Platform& platform = space_->platform();
  if (!platform.ops->dma_read(platform.opaque, page.bus + (va - page.va), fetched_, *bytes)) return fetched_;
  RefuseWhole(ScalarBox(pc, 2), NPU_FAULT_BUS, NPU_ACCESS_EXEC, &fault.info);
  FetchFault();
  return nullptr;
}

bool CoreEnv::BusFault(uint64_t va, unsigned size, npu_access access) {
  fault = {};
  RefuseWhole(ScalarBox(va, size), NPU_FAULT_BUS, access, &fault.info);
  return false;
}

bool CoreEnv::Translate(uint64_t va, unsigned size, npu_access access, uint8_t** host, uint64_t* bus) {
  fault = {};
  const Box box = ScalarBox(va, size);
  if (va & (size - 1)) {
    RefuseWhole(box, NPU_FAULT_MISALIGNED, access, &fault.info);
    return false;
  }
  if (LocalMemory::IsLocal(va)) {
    *host = local_.Resolve(box, access, &fault.info);
    quick_sram_ = local_.Flawed() ? 0 : kSramBytes;
    return *host;
  }
  tlb_.Refresh(*space_);
  BoundsView bounds;
  if (!space_->CheckBounds(va, size, access, &bounds, &fault.info)) return false;
  const PageView page = space_->Lookup(NPU_PTR_VA(va));
  const uint64_t need = access == NPU_ACCESS_READ ? NPU_PTE_READ : NPU_PTE_WRITE;
  if (!page.bytes || !(page.rights & need)) {
    RefuseWhole(box, page.RefusedKind(), access, &fault.info);
    fault.info.buf_base = bounds.base;
    fault.info.buf_size = bounds.size;
    fault.info.buf_ctl = bounds.ctl;
    return false;
  }
  const uint64_t offset = NPU_PTR_VA(va) - page.va;
  *bus = page.bus + offset;
  *host = page.host ? page.host + offset : nullptr;
  if (page.host) {
    const uint64_t bad = space_->FindBad(*bus, size, access);
    if (bad != Ecc::kNone) return space_->RefuseWord(va, size, bad, access, bounds, &fault.info);
    if (!space_->Flawed(*bus & ~uint64_t{NPU_PAGE_SIZE - 1}, NPU_PAGE_SIZE)) tlb_.Insert(va, bounds, page);
  }
  AddCycles(&hart_->cycles, page.host ? kTiming.scalar_memory_cycles : kTiming.scalar_host_cycles);
  return true;
}

bool CoreEnv::SlowLoad(uint64_t va, unsigned size, uint64_t* out) {
  uint8_t* host = nullptr;
  uint64_t bus = 0;
  if (!Translate(va, size, NPU_ACCESS_READ, &host, &bus)) return false;
  if (host) {
    *out = Get(host, size);
    return true;
  }
  const Platform& platform = space_->platform();
  uint64_t value = 0;
  const int error = size == 8 ? platform.ops->dma_load64(platform.opaque, bus, &value)
                              : platform.ops->dma_read(platform.opaque, bus, &value, size);
  if (error) return BusFault(va, size, NPU_ACCESS_READ);
  *out = value;
  return true;
}

bool CoreEnv::SlowStore(uint64_t va, unsigned size, uint64_t value) {
  uint8_t* host = nullptr;
  uint64_t bus = 0;
  if (!Translate(va, size, NPU_ACCESS_WRITE, &host, &bus)) return false;
  if (host) {
    Put(host, size, value);
    return true;
  }
  const Platform& platform = space_->platform();
  const int error = size == 8 ? platform.ops->dma_store64(platform.opaque, bus, value)
                              : platform.ops->dma_write(platform.opaque, bus, &value, size);
  return !error || BusFault(va, size, NPU_ACCESS_WRITE);
}

// Atomic compare and exchange anywhere; *expected becomes what was there.
bool CoreEnv::Exchange(uint64_t va, unsigned size, uint64_t* expected, uint64_t desired) {
  fault = {};
  if (!LocalMemory::IsLocal(va)) {
    AddCycles(&hart_->cycles, kTiming.scalar_memory_cycles);
    return space_->CompareExchange(va, expected, desired, size, &fault.info);
  }
  uint8_t* host = nullptr;
  uint64_t bus = 0;
  if (!Translate(va, size, NPU_ACCESS_ATOMIC, &host, &bus)) return false;
  const uint64_t old = Get(host, size);  // nobody else reaches local memory
  if (old == *expected) Put(host, size, desired);
  *expected = old;
  return true;
}

bool CoreEnv::Amo(AmoOp op, uint64_t va, unsigned size, uint64_t value, uint64_t* old) {
  const uint64_t cycles = hart_->cycles;
  uint64_t guess = 0;
  for (;;) {
    uint64_t seen = guess;
    if (!Exchange(va, size, &seen, AmoResult(op, size, guess, value))) return false;
    if (seen == guess) break;
    guess = seen;
  }
  // The device does this in one round trip, however often the host had to try.
  if (kTimed && !LocalMemory::IsLocal(va)) hart_->cycles = cycles + kTiming.scalar_memory_cycles;
  *old = guess;
  return true;
}

bool CoreEnv::LoadReserved(uint64_t va, unsigned size, uint64_t* out) {
  uint64_t value = 0;
  if (!Exchange(va, size, &value, 0)) return false;  // 0 for 0: a read with the rights of an atomic
  reserved_ = true;
  reserved_va_ = va;
  reserved_size_ = size;
  reserved_value_ = *out = value;
  return true;
}

bool CoreEnv::StoreConditional(uint64_t va, unsigned size, uint64_t value, bool* stored) {
  const bool mine = reserved_ && reserved_va_ == va && reserved_size_ == size;
  reserved_ = false;
  *stored = false;
  if (!mine) return true;
  uint64_t seen = reserved_value_;
  const uint64_t mask = size == 8 ? ~uint64_t{0} : 0xffffffffu;
  if (!Exchange(va, size, &seen, value & mask)) return false;
  *stored = seen == reserved_value_;
  return true;
}

bool CoreEnv::CsrRead(unsigned csr, uint64_t* value) {
  switch (csr) {
    case NPU_CSR_BLOCK_X:
    case NPU_CSR_BLOCK_Y:
    case NPU_CSR_BLOCK_Z:
      *value = block_xyz_[csr - NPU_CSR_BLOCK_X];
      return true;
    case NPU_CSR_GRID_X:
    case NPU_CSR_GRID_Y:
    case NPU_CSR_GRID_Z:
      *value = launch_->grid[csr - NPU_CSR_GRID_X];
      return true;
    case NPU_CSR_BLOCK:
      *value = block_;
      return true;
    case NPU_CSR_BLOCKS:
      *value = blocks_;
      return true;
    case NPU_CSR_CORE:
      *value = id_;
      return true;
    case NPU_CSR_CORES:
      *value = launch_->cores;
      return true;
    case NPU_CSR_SRAM_BASE:
      *value = NPU_LOCAL_SRAM_BASE;
      return true;
    case NPU_CSR_SRAM_BYTES:
      *value = kSramBytes;
      return true;
    case NPU_CSR_ARGS_BYTES:
      *value = launch_->args_bytes;
      return true;
    default:
      return false;
  }
}

bool CoreEnv::Ecall() {
  Record(NPU_FAULT_TRAP, 2, hart_->x[10]);
  return false;
}

void CoreEnv::Ebreak() {
  Record(NPU_FAULT_TRAP, 1, 0);
}

void CoreEnv::Illegal(uint32_t insn) {
  Record(NPU_FAULT_ILLEGAL, 0, insn);
}

}  // namespace npu::model
