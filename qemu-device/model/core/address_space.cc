// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "core/address_space.h"

#include <algorithm>

#include "core/address_walk.h"
#include "core/ecc.h"
#include "core/footprint.h"

namespace npu::model {

namespace {

constexpr uint64_t kRootBytes = NPU_PT_ROOT_ENTRIES * 8;
constexpr uint64_t kTableBytes = NPU_PT_ENTRIES * 8;

bool BoundsAllow(uint32_t ctl, npu_access access) {
  constexpr uint32_t kReadWrite = NPU_BOUNDS_READ | NPU_BOUNDS_WRITE;
  switch (access) {
    case NPU_ACCESS_READ:
      return ctl & NPU_BOUNDS_READ;
    case NPU_ACCESS_WRITE:
      return ctl & NPU_BOUNDS_WRITE;
    case NPU_ACCESS_EXEC:
      return ctl & NPU_BOUNDS_EXEC;
    default:
      return (ctl & NPU_BOUNDS_ATOMIC) || (ctl & kReadWrite) == kReadWrite;
  }
}

}  // namespace

AddressSpace::AddressSpace(const Platform& platform, uint32_t context, const npu_ctx_desc& desc)
    : platform_(platform), context_(context), desc_(desc) {
  const uint64_t vram = platform_.vram_bytes;
  root_ok_ = desc_.pt_root % NPU_PAGE_SIZE == 0 && vram >= kRootBytes && desc_.pt_root <= vram - kRootBytes;
  const uint64_t entries = std::min<uint64_t>(desc_.bounds_entries, NPU_BOUNDS_ENTRIES);
  const uint64_t table = entries * sizeof(npu_bounds_entry);
  if (desc_.bounds_addr && desc_.bounds_addr % sizeof(npu_bounds_entry) == 0 && entries && vram >= table &&
      desc_.bounds_addr <= vram - table) {
    bounds_entries_ = static_cast<uint32_t>(entries);
    bounds_epoch_ = &reinterpret_cast<const npu_bounds_entry*>(platform_.vram + desc_.bounds_addr)->ctl;
  }
}

PageView AddressSpace::Lookup(uint64_t va) const {
  const uint64_t vram = platform_.vram_bytes;
  bool poisoned = false;
  const auto load = [&](uint64_t table, uint64_t index) -> uint64_t {
    if (FindBad(table + 8 * index, 8, NPU_ACCESS_READ) != Ecc::kNone) {
      poisoned = true;
      return 0;
    }
    return __atomic_load_n(reinterpret_cast<const uint64_t*>(platform_.vram + table) + index, __ATOMIC_RELAXED);
  };
  const auto table_ok = [&](uint64_t pte) {
    return (pte & NPU_PTE_VALID) && (pte & NPU_PTE_ADDR_MASK) <= vram - kTableBytes;
  };
  const auto leaf = [&](uint64_t pte, uint64_t bytes) {
    PageView page;
    const uint64_t address = pte & NPU_PTE_ADDR_MASK;
    page.poisoned = poisoned;
    if (!(pte & NPU_PTE_VALID) || address % bytes) return page;
    if (!(pte & NPU_PTE_HOST)) {
      if (bytes > vram || address > vram - bytes) return page;
      page.host = platform_.vram + address;
    }
    page.bus = address;
    page.va = va & ~(bytes - 1);
    page.bytes = bytes;
    page.rights = pte & (NPU_PTE_READ | NPU_PTE_WRITE | NPU_PTE_EXEC);
    return page;
  };
  if (!root_ok_ || va > NPU_VA_MASK) return {};
  const uint64_t root = load(desc_.pt_root, va >> NPU_PT_ROOT_SHIFT);
  PageView none;
  none.poisoned = poisoned;
  if (!table_ok(root)) return none;
  const uint64_t mid = load(root & NPU_PTE_ADDR_MASK, (va >> NPU_PT_MID_SHIFT) & (NPU_PT_ENTRIES - 1));
  if (mid & NPU_PTE_LEAF) return leaf(mid, NPU_BIG_PAGE_SIZE);
  none.poisoned = poisoned;
  if (!table_ok(mid)) return none;
  return leaf(load(mid & NPU_PTE_ADDR_MASK, (va >> NPU_PAGE_SHIFT) & (NPU_PT_ENTRIES - 1)), NPU_PAGE_SIZE);
}

bool AddressSpace::ReadBounds(uint32_t number, BoundsView* view, bool* torn) const {
  if (number >= bounds_entries_) return false;
  const uint64_t at = desc_.bounds_addr + number * sizeof(npu_bounds_entry);
  view->poisoned = FindBad(at, sizeof(npu_bounds_entry), NPU_ACCESS_READ) != Ecc::kNone;
  const auto* entry = reinterpret_cast<const npu_bounds_entry*>(platform_.vram + desc_.bounds_addr) + number;
  view->ctl = __atomic_load_n(&entry->ctl, __ATOMIC_ACQUIRE);
  view->base = __atomic_load_n(&entry->base, __ATOMIC_RELAXED);
  view->size = __atomic_load_n(&entry->size, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  *torn = __atomic_load_n(&entry->ctl, __ATOMIC_RELAXED) != view->ctl;
  return true;
}

// Everything about the entry but the position: a fault kind, or NONE.
uint8_t AddressSpace::BoundsKind(uint64_t ptr, npu_access access, BoundsView* view) const {
  const auto number = static_cast<uint32_t>(NPU_PTR_BUF(ptr));
  if (number < NPU_BUF_FIRST) return NPU_PTR_GEN(ptr) ? uint8_t{NPU_FAULT_UNKNOWN_BUF} : LocalKind(NPU_PTR_VA(ptr));
  if (number >= NPU_BUF_LOCAL_FIRST) return NPU_FAULT_LOCAL_OOB;  // a core's own table, from outside of that core
  bool torn = false;
  if (!ReadBounds(number, view, &torn)) return NPU_FAULT_UNKNOWN_BUF;
  if (view->poisoned) return NPU_FAULT_ECC;
  const uint32_t state = NPU_BOUNDS_STATE(view->ctl);
  if (torn || state == NPU_BOUNDS_STATE_FREED) return NPU_FAULT_STALE;
  if (state != NPU_BOUNDS_STATE_LIVE) return NPU_FAULT_UNKNOWN_BUF;
  if ((view->ctl & NPU_BOUNDS_GEN_MASK) != NPU_PTR_GEN(ptr)) return NPU_FAULT_STALE;
  return BoundsAllow(view->ctl, access) ? NPU_FAULT_NONE : NPU_FAULT_PERM;
}

bool AddressSpace::Refuse(const Box& box, uint8_t kind, npu_access access, const BoundsView& view,
                          FaultInfo* fault) const {
  RefuseWhole(box, kind, access, fault);
  fault->buf_base = view.base;
  fault->buf_size = view.size;
  fault->buf_ctl = view.ctl;
  return false;
}

bool AddressSpace::CheckBounds(uint64_t ptr, uint64_t bytes, npu_access access, BoundsView* view,
                               FaultInfo* fault) const {
  const uint8_t kind = BoundsKind(ptr, access, view);
  const uint64_t va = NPU_PTR_VA(ptr);
  const bool inside =
      va >= view->base && bytes <= view->size && va - view->base <= view->size - bytes && bytes <= NPU_VA_MASK + 1 - va;
  if (kind == NPU_FAULT_NONE && inside) return true;
  const Box box = LinearBox(ptr, bytes);
  // A position outside says more than a missing right.
  if ((kind == NPU_FAULT_NONE || kind == NPU_FAULT_PERM) && !inside) {
    const Wide end = std::min<Wide>(Wide(view->base) + view->size, Wide(NPU_VA_MASK) + 1);
    RefuseOutside(box, NPU_FAULT_OOB, access, FindOutside(box, view->base, end), fault);
    fault->buf_base = view->base;
    fault->buf_size = view->size;
    fault->buf_ctl = view->ctl;
    return false;
  }
  return Refuse(box, kind, access, *view, fault);
}

bool AddressSpace::Resolve(const Box& box, npu_access access, std::vector<Span>* spans, FaultInfo* fault) const {
  if (!box.count[0]) return true;
  const Extent e = BoxExtent(box);
  BoundsView view;
  const uint8_t kind = BoundsKind(box.ptr, access, &view);
  const Wide end = std::min<Wide>(Wide(view.base) + view.size, Wide(NPU_VA_MASK) + 1);
  const bool inside = e.low >= Wide(view.base) && e.high <= end;
  if ((kind == NPU_FAULT_NONE || kind == NPU_FAULT_PERM) && !inside) {
    RefuseOutside(box, NPU_FAULT_OOB, access, FindOutside(box, view.base, end), fault);
    fault->buf_base = view.base;
    fault->buf_size = view.size;
    fault->buf_ctl = view.ctl;
    return false;
  }
  if (kind != NPU_FAULT_NONE) return Refuse(box, kind, access, view, fault);
  if (CheckPages(box, static_cast<uint64_t>(e.low), static_cast<uint64_t>(e.high), access, spans, fault)) return true;
  fault->buf_base = view.base;
  fault->buf_size = view.size;
  fault->buf_ctl = view.ctl;
  return false;
}

uint8_t* AddressSpace::ResolveStretch(const Box& box, npu_access access) const {
  if (platform_.ecc && platform_.ecc->armed()) return nullptr;  // every word would have to be looked at
  const Extent e = BoxExtent(box);
  BoundsView view;
  if (BoundsKind(box.ptr, access, &view) != NPU_FAULT_NONE) return nullptr;
  const Wide end = std::min<Wide>(Wide(view.base) + view.size, Wide(NPU_VA_MASK) + 1);
  if (e.low < Wide(view.base) || e.high > end) return nullptr;
  const auto low = static_cast<uint64_t>(e.low), bytes = static_cast<uint64_t>(e.high - e.low);
  const uint64_t need = PageRights(access);
  // Rows far apart in small pages: going from row to row is less work than all the pages between them.
  uint64_t looks = 2 + box.count[1] * box.count[2] * box.count[3];
  Walk walk{*this, {}};
  uint8_t* first = nullptr;
  for (uint64_t done = 0; done < bytes;) {
    uint64_t rights = 0;
    const Span piece = walk.Piece(low + done, bytes - done, &rights);
    if (!piece.host || (rights & need) != need || !looks--) return nullptr;
    if (!done) first = piece.host;
    if (piece.host != first + done) return nullptr;
    done += piece.bytes;
  }
  return first + (NPU_PTR_VA(box.ptr) - low);
}

// The box lies in the buffer.  Looks at the pages of every row; with spans also collects the pieces.
bool AddressSpace::CheckPages(const Box& box, uint64_t low, uint64_t high, npu_access access, std::vector<Span>* spans,
                              FaultInfo* fault) const {
  const uint64_t need = PageRights(access);
  Walk walk{*this, {}};
  uint64_t rights = 0;
  const bool flawless = !platform_.ecc || !platform_.ecc->armed();
  if (!spans && flawless) {
    // One look is enough when all of it lies in one page.
    const Span all = walk.Piece(low, high - low, &rights);
    if (all.bytes == high - low && (rights & need) == need) return true;
    // Rows that repeat touch the same pages again; look once, and count exactly only if that fails.
    Box once = box;
    for (int d = 1; d < 4; ++d)
      if (!once.stride[d]) once.count[d] = 1;
    const bool repeats = BoxBytes(once) != BoxBytes(box);
    FaultInfo ignored;
    if (repeats && CheckPages(once, low, high, access, nullptr, &ignored)) return true;
  }
  const size_t before = spans ? spans->size() : 0;
  const uint64_t width = box.RowBytes();
  uint64_t bad_bytes = 0;
  ForEachRow(box, [&](uint64_t row, const uint64_t* index) {
    row = NPU_PTR_VA(row);
    for (uint64_t done = 0; done < width;) {
      const Span piece = walk.Piece(row + done, width - done, &rights);
      bool ok = piece.bytes && (rights & need) == need;
      const uint64_t step =
          piece.bytes ? piece.bytes : std::min(width - done, NPU_PAGE_SIZE - ((row + done) & (NPU_PAGE_SIZE - 1)));
      if (!ok && !bad_bytes) {
        DescribeBox(box, access, fault);
        fault->kind = walk.page.RefusedKind();
        fault->bad_addr = row + done;
        fault->bad_index[0] = static_cast<uint32_t>(done / box.elem_bytes);
        for (int d = 0; d < 3; ++d) fault->bad_index[d + 1] = static_cast<uint32_t>(index[d]);
      }
      if (!ok) bad_bytes += step;
      const uint64_t bad = ok && !flawless && piece.host ? FindBad(piece.bus, piece.bytes, access) : Ecc::kNone;
      if (bad != Ecc::kNone) {
        if (!bad_bytes) {
          DescribeBox(box, access, fault);
          fault->kind = NPU_FAULT_ECC;
          fault->bad_addr = row + done + bad;
          fault->bad_index[0] = static_cast<uint32_t>((done + bad) / box.elem_bytes);
          for (int d = 0; d < 3; ++d) fault->bad_index[d + 1] = static_cast<uint32_t>(index[d]);
        }
        bad_bytes += std::min(Ecc::kWord - (piece.bus + bad) % Ecc::kWord, piece.bytes - bad);
        ok = false;
      }
      if (ok && spans && !bad_bytes) {
        Span* last = spans->size() > before ? &spans->back() : nullptr;
        const bool joins = last && !last->host == !piece.host && last->bus + last->bytes == piece.bus;
        if (joins)
          last->bytes += piece.bytes;
        else
          spans->push_back(piece);
      }
      done += step;
    }
    return true;
  });
  if (!bad_bytes) return true;
  if (spans) spans->resize(before);
  fault->bad_bytes = bad_bytes;
  return false;
}

bool AddressSpace::CheckBox(const Box& box, npu_access access, FaultInfo* fault) const {
  return Resolve(box, access, nullptr, fault);
}

bool AddressSpace::Check(uint64_t ptr, uint64_t bytes, npu_access access, FaultInfo* fault) const {
  return CheckBox(LinearBox(ptr, bytes), access, fault);
}

// An aligned number lies in one page.
bool AddressSpace::Atomic(uint64_t ptr, unsigned size, npu_access access, Span* span, FaultInfo* fault) const {
  const Box box = LinearBox(ptr, size);
  if (ptr % size) {
    RefuseWhole(box, NPU_FAULT_MISALIGNED, access, fault);
    return false;
  }
  BoundsView view;
  if (!CheckBounds(ptr, size, access, &view, fault)) return false;
  Walk walk{*this, {}};
  uint64_t rights = 0;
  *span = walk.Piece(NPU_PTR_VA(ptr), size, &rights);
  const uint64_t need = PageRights(access);
  if (!span->bytes || (rights & need) != need) return Refuse(box, walk.page.RefusedKind(), access, view, fault);
  const uint64_t bad = span->host ? FindBad(span->bus, size, access) : Ecc::kNone;
  return bad == Ecc::kNone || RefuseWord(ptr, size, bad, access, view, fault);
}

bool AddressSpace::Flawed(uint64_t offset, uint64_t bytes) const {
  return platform_.ecc && platform_.ecc->AnyIn(offset, bytes);
}

uint64_t AddressSpace::FindBad(uint64_t offset, uint64_t bytes, npu_access access) const {
  if (!platform_.ecc || !platform_.ecc->armed()) return Ecc::kNone;
  const uint64_t word = platform_.ecc->Access(offset, bytes, access);
  if (word == Ecc::kNone) return word;
  return word > offset ? word - offset : 0;
}

// The access at ptr is good but for a word of memory, at `at` bytes behind its beginning, that cannot be read.
bool AddressSpace::RefuseWord(uint64_t ptr, uint64_t bytes, uint64_t at, npu_access access, const BoundsView& view,
                              FaultInfo* fault) const {
  Refuse(LinearBox(ptr, bytes), NPU_FAULT_ECC, access, view, fault);
  fault->bad_addr += at;
  fault->bad_bytes = std::min<uint64_t>(Ecc::kWord, bytes - at);
  fault->bad_index[0] = static_cast<uint32_t>(at);
  return false;
}

bool AddressSpace::Load64(uint64_t ptr, uint64_t* value, FaultInfo* fault) const {
  Span s;
  if (!Atomic(ptr, 8, NPU_ACCESS_READ, &s, fault)) return false;
  if (s.host)
    *value = __atomic_load_n(reinterpret_cast<uint64_t*>(s.host), __ATOMIC_SEQ_CST);
  else if (platform_.ops->dma_load64(platform_.opaque, s.bus, value))
    return BusError(ptr, 8, NPU_ACCESS_READ, 0, fault);
  return true;
}

bool AddressSpace::Store64(uint64_t ptr, uint64_t value, FaultInfo* fault, Span* where) const {
  Span s;
  if (!Atomic(ptr, 8, NPU_ACCESS_WRITE, &s, fault)) return false;
  if (s.host)
    __atomic_store_n(reinterpret_cast<uint64_t*>(s.host), value, __ATOMIC_SEQ_CST);
  else if (platform_.ops->dma_store64(platform_.opaque, s.bus, value))
    return BusError(ptr, 8, NPU_ACCESS_WRITE, 0, fault);
  if (where) *where = s;
  return true;
}

bool AddressSpace::CompareExchange(uint64_t ptr, uint64_t* expected, uint64_t desired, unsigned size,
                                   FaultInfo* fault) const {
  Span s;
  if (!Atomic(ptr, size, NPU_ACCESS_ATOMIC, &s, fault)) return false;
  if (!s.host) {
    if (!platform_.ops->dma_cmpxchg(platform_.opaque, s.bus, expected, desired, size)) return true;
    return BusError(ptr, size, NPU_ACCESS_ATOMIC, 0, fault);
  }
  if (size == 8) {
    __atomic_compare_exchange_n(reinterpret_cast<uint64_t*>(s.host), expected, desired, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_SEQ_CST);
  } else {
    auto old = static_cast<uint32_t>(*expected);
    __atomic_compare_exchange_n(reinterpret_cast<uint32_t*>(s.host), &old, static_cast<uint32_t>(desired), false,
                                __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    *expected = old;
  }
  return true;
}

}  // namespace npu::model
