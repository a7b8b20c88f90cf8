// SPDX-License-Identifier: Apache-2.0
//
// Page tables and bounds tables.  The input writes tables and then lists accesses; each is also worked out byte by byte
// from the manual's words, and both must agree on what is refused, where, and on every byte of memory afterwards.
#include <algorithm>
#include <vector>

#include "../unit/host_memory.h"
#include "core/address_space.h"
#include "fuzz.h"

namespace {

using namespace npu::model;
using fuzz::Input;

// One big page is all of device memory, the tables among it.
constexpr uint64_t kVram = NPU_BIG_PAGE_SIZE, kHostBytes = 2 * NPU_PAGE_SIZE, kBus = 0x100000000ull;
constexpr uint64_t kRoot = 0x2000, kMid = 0x4000, kLeaf = 0x5000, kBounds = 0x8000, kData = 0x10000;
constexpr uint64_t kVa = 0x40000000;
constexpr uint32_t kEntries = 16, kMaxBytes = 3 * NPU_PAGE_SIZE, kMaxAccesses = 24;

struct Memory {
  std::vector<uint8_t> vram, host;

  uint8_t* HostAt(uint64_t bus, uint64_t bytes) {
    return bus < kBus || bus - kBus > host.size() || bytes > host.size() - (bus - kBus) ? nullptr : &host[bus - kBus];
  }
};

npu_model_host_ops Ops() {
  npu_model_host_ops ops{};
  npu::test::HostMemory<Memory>::Fill(&ops);
  return ops;
}

// A byte's place: in device memory, or on the bus.
struct Place {
  bool host;
  uint64_t at;
};
struct Verdict {
  uint8_t kind = NPU_FAULT_NONE;
  uint64_t bad = 0, bad_bytes = 0;  // of faults of pages: the first refused byte, and how many
  bool known_bad = false;
  std::vector<Place> places;  // of every byte, when nothing is refused
};

// The rules, byte by byte (within a page all have the same fate).
class Reference {
 public:
  Reference(const Memory& memory, const npu_ctx_desc& desc) : memory_(memory), desc_(desc) {}

  Verdict Access(uint64_t ptr, uint64_t bytes, npu_access access) const {
    Verdict v;
    npu_bounds_entry entry{};
    v.kind = Bounds(ptr, access, &entry);
    const uint64_t va = NPU_PTR_VA(ptr);
    if (v.kind == NPU_FAULT_NONE || v.kind == NPU_FAULT_PERM) {
      for (uint64_t i = 0; i < bytes; ++i) {
        const uint64_t at = va + i;
        if (at <= NPU_VA_MASK && at >= entry.base && at - entry.base < entry.size) continue;
        v.kind = NPU_FAULT_OOB;
        v.bad = at;
        v.known_bad = true;
        return v;
      }
    }
    if (v.kind != NPU_FAULT_NONE) return v;
    Place place{};
    uint8_t kind = NPU_FAULT_NONE;
    for (uint64_t i = 0; i < bytes; ++i) {
      if (i == 0 || (va + i) % NPU_PAGE_SIZE == 0)
        kind = Page(va + i, access, &place);
      else
        ++place.at;
      v.places.push_back(place);
      if (kind == NPU_FAULT_NONE) continue;
      if (!v.bad_bytes) v.kind = kind, v.bad = va + i, v.known_bad = true;
      ++v.bad_bytes;
    }
    return v;
  }

 private:
  template <class T>
  T Word(uint64_t at) const {
    T value;
    FUZZ_CHECK(at <= kVram - sizeof(T));
    std::memcpy(&value, &memory_.vram[at], sizeof(T));
    return value;
  }

  uint8_t Bounds(uint64_t ptr, npu_access access, npu_bounds_entry* entry) const {
    const uint64_t number = NPU_PTR_BUF(ptr), entries = std::min<uint64_t>(desc_.bounds_entries, NPU_BOUNDS_ENTRIES);
    if (number >= NPU_BUF_LOCAL_FIRST) return NPU_FAULT_LOCAL_OOB;
    const uint64_t table = desc_.bounds_addr;
    const bool usable = table && table % 32 == 0 && entries * 32 <= kVram && table <= kVram - entries * 32;
    if (number < NPU_BUF_FIRST || !usable || number >= entries) return NPU_FAULT_UNKNOWN_BUF;
    *entry = Word<npu_bounds_entry>(table + number * 32);
    const uint32_t ctl = entry->ctl, state = NPU_BOUNDS_STATE(ctl);
    if (state == NPU_BOUNDS_STATE_FREED) return NPU_FAULT_STALE;
    if (state != NPU_BOUNDS_STATE_LIVE) return NPU_FAULT_UNKNOWN_BUF;
    if ((ctl & NPU_BOUNDS_GEN_MASK) != NPU_PTR_GEN(ptr)) return NPU_FAULT_STALE;
    const bool r = ctl & NPU_BOUNDS_READ, w = ctl & NPU_BOUNDS_WRITE;
    const bool allowed = access == NPU_ACCESS_READ    ? r
                         : access == NPU_ACCESS_WRITE ? w
                         : access == NPU_ACCESS_EXEC  ? (ctl & NPU_BOUNDS_EXEC) != 0
                                                      : (ctl & NPU_BOUNDS_ATOMIC) || (r && w);
    return allowed ? NPU_FAULT_NONE : NPU_FAULT_PERM;
  }

  uint8_t Page(uint64_t va, npu_access access, Place* place) const {
    if (desc_.pt_root % NPU_PAGE_SIZE || desc_.pt_root > kVram - NPU_PT_ROOT_ENTRIES * 8) return NPU_FAULT_PAGE;
    uint64_t entry = Word<uint64_t>(desc_.pt_root + (va >> NPU_PT_ROOT_SHIFT) * 8);
    uint64_t shift = NPU_PT_MID_SHIFT;
    for (;; shift = NPU_PAGE_SHIFT) {
      const uint64_t table = entry & NPU_PTE_ADDR_MASK;
      if (!(entry & NPU_PTE_VALID) || table > kVram - NPU_PT_ENTRIES * 8) return NPU_FAULT_PAGE;
      entry = Word<uint64_t>(table + (va >> shift) % NPU_PT_ENTRIES * 8);
      if (shift == NPU_PAGE_SHIFT || (entry & NPU_PTE_LEAF)) break;
    }
    const uint64_t bytes = 1ull << shift, address = entry & NPU_PTE_ADDR_MASK;
    if (!(entry & NPU_PTE_VALID) || address % bytes) return NPU_FAULT_PAGE;
    if (!(entry & NPU_PTE_HOST) && address > kVram - bytes) return NPU_FAULT_PAGE;
    *place = {(entry & NPU_PTE_HOST) != 0, address + va % bytes};
    uint64_t need = NPU_PTE_READ | NPU_PTE_WRITE;
    if (access == NPU_ACCESS_READ) need = NPU_PTE_READ;
    if (access == NPU_ACCESS_WRITE) need = NPU_PTE_WRITE;
    if (access == NPU_ACCESS_EXEC) need = NPU_PTE_EXEC;
    return (entry & need) == need ? NPU_FAULT_NONE : NPU_FAULT_PAGE_PERM;
  }

  const Memory& memory_;
  const npu_ctx_desc& desc_;
};

uint64_t Entry(Input& in) {
  const uint8_t kind = in.Take<uint8_t>();
  if (kind >= 250) return in.Take<uint64_t>();
  uint64_t entry = kind & 0x3f;
  if (kind < 192) entry |= NPU_PTE_VALID;
  const uint8_t page = in.Take<uint8_t>();
  if (entry & NPU_PTE_HOST) return entry | (kBus + page % 4 * NPU_PAGE_SIZE);
  if (page >= 240) return entry | (kVram + (page - 248ll) * NPU_PAGE_SIZE);
  return entry | uint64_t{page} * NPU_PAGE_SIZE;
}

class Session {
 public:
  Session(Input& in, Memory& memory, Memory& expected) : in_(in), memory_(memory), expected_(expected) {}

  void Run() {
    Build();
    Describe();
    static const npu_model_host_ops ops = Ops();
    const Platform platform{memory_.vram.data(), kVram, &ops, &memory_};
    AddressSpace space(platform, 1, desc_);
    space_ = &space;
    expected_ = memory_;
    for (uint32_t i = 0; i < kMaxAccesses && !in_.empty(); ++i) {
      Access();
      if (skip_) expected_ = memory_;
      skip_ = false;
    }
    FUZZ_CHECK(expected_.vram == memory_.vram && expected_.host == memory_.host);
  }

 private:
  void Put(uint64_t at, uint64_t value) { std::memcpy(&memory_.vram[at], &value, 8); }

  // Working tables, then what the input makes of them.
  void Build() {
    memory_.vram.assign(kVram, 0x5a);
    memory_.host.assign(kHostBytes, 0xa5);
    std::memset(memory_.vram.data(), 0, kData);
    constexpr uint64_t kAll = NPU_PTE_VALID | NPU_PTE_READ | NPU_PTE_WRITE | NPU_PTE_EXEC;
    Put(kRoot + (kVa >> NPU_PT_ROOT_SHIFT) * 8, kMid | NPU_PTE_VALID);
    Put(kRoot + (NPU_PT_ROOT_ENTRIES - 1) * 8, kMid | NPU_PTE_VALID);
    Put(kMid, kLeaf | NPU_PTE_VALID);
    Put(kMid + 8, kAll | NPU_PTE_LEAF);
    Put(kMid + (NPU_PT_ENTRIES - 1) * 8, kLeaf | NPU_PTE_VALID);
    for (uint64_t i = 0; i < 8; ++i) Put(kLeaf + i * 8, (kData + (i * 5 % 8) * NPU_PAGE_SIZE) | kAll);
    Put(kLeaf + 8 * 8, kBus | kAll | NPU_PTE_HOST);
    Put(kLeaf + 9 * 8, (kBus + NPU_PAGE_SIZE) | kAll | NPU_PTE_HOST);
    Put(kLeaf + (NPU_PT_ENTRIES - 1) * 8, kData | kAll);
    for (uint32_t i = 1; i < 4; ++i)
      PutBounds(i, {kVa, i * 0x180000ull, 0xf00u | NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT | i, 0, 0});
    for (uint32_t n = in_.Below(16); n && !in_.empty(); --n) {
      static constexpr uint64_t kTables[] = {kLeaf, kLeaf, kMid, kRoot};
      const uint8_t kind = in_.Take<uint8_t>();
      const uint64_t first = kTables[kind % 4] == kRoot ? kVa >> NPU_PT_ROOT_SHIFT : 0;
      const uint64_t index = kind & 0x80 ? in_.Take<uint16_t>() % NPU_PT_ENTRIES : kind / 4 % 16;
      Put(kTables[kind % 4] + (first + index) * 8, Entry(in_));
    }
    for (uint32_t n = in_.Below(8); n && !in_.empty(); --n) {
      npu_bounds_entry entry{};
      const uint32_t number = in_.Below(kEntries);
      entry.base = Address();
      entry.size = in_.Below(8) ? in_.Take<uint16_t>() : in_.Take<uint64_t>();
      entry.ctl = in_.Take<uint16_t>();
      if (in_.Below(4)) entry.ctl = (entry.ctl & 0xfff) | NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT;
      PutBounds(number, entry);
    }
  }

  void PutBounds(uint32_t number, const npu_bounds_entry& entry) {
    std::memcpy(&memory_.vram[kBounds + number * sizeof(entry)], &entry, sizeof(entry));
  }

  void Describe() {
    desc_.flags = NPU_CTX_VALID;
    desc_.pt_root = kRoot;
    desc_.bounds_addr = kBounds;
    desc_.bounds_entries = kEntries;
    const uint8_t kind = in_.Take<uint8_t>();
    if (kind >= 224 && kind & 1) desc_.pt_root = kind & 8 ? in_.Take<uint64_t>() : kVram - in_.Take<uint16_t>();
    if (kind >= 224 && kind & 2) desc_.bounds_addr = kind & 8 ? in_.Take<uint64_t>() : kVram - in_.Take<uint16_t>();
    if (kind >= 224 && kind & 4) desc_.bounds_entries = in_.Take<uint32_t>();
  }

  uint64_t Address() {
    const uint8_t kind = in_.Take<uint8_t>();
    if (kind >= 250) return in_.Take<uint64_t>();
    if (kind >= 230) return NPU_VA_MASK + 1 - in_.Take<uint16_t>();
    if (kind >= 200) return kVa + NPU_BIG_PAGE_SIZE + (int64_t{in_.Take<int16_t>()} << (kind % 8));
    const uint64_t offset = in_.Take<uint8_t>();
    return kVa + kind % 16 * NPU_PAGE_SIZE + (kind & 16 ? offset : 0ull - offset);
  }
  uint64_t Pointer() {
    const uint8_t kind = in_.Take<uint8_t>();
    const uint64_t va = Address();
    if (kind < 200) return NPU_PTR(kind % 4, kind % 4, va);
    if (kind >= 250) return NPU_PTR(0xff00 + kind, 0, va);
    return NPU_PTR(in_.Below(kEntries + 1), in_.Take<uint8_t>(), va);
  }
  uint64_t Bytes() {
    const uint8_t kind = in_.Take<uint8_t>();
    return kind < 160 ? kind : in_.Take<uint16_t>() % kMaxBytes;
  }

  // Device memory that a table's word is read from or may be.
  static bool HitsTables(const std::vector<Place>& places) {
    return std::any_of(places.begin(), places.end(), [](const Place& p) { return !p.host && p.at < kData; });
  }

  // Both must say the same.  True: the access was carried out.
  bool Agree(const Verdict& v, bool done, const FaultInfo& fault, uint64_t ptr) {
    const auto outside = [](const Place& p) { return p.host && (p.at < kBus || p.at >= kBus + kHostBytes); };
    const bool bus = v.kind == NPU_FAULT_NONE && std::any_of(v.places.begin(), v.places.end(), outside);
    if (bus && !done && fault.kind == NPU_FAULT_BUS) {
      skip_ = true;  // a write may have begun
      return false;
    }
    FUZZ_CHECK(done == (v.kind == NPU_FAULT_NONE));
    if (done) return true;
    const bool local = NPU_PTR_BUF(ptr) < NPU_BUF_FIRST;  // NULL, LOCAL_OOB, STACK: by the address
    FUZZ_CHECK(local ? fault.kind != NPU_FAULT_NONE : fault.kind == v.kind);
    if (v.known_bad) FUZZ_CHECK(fault.bad_addr == v.bad);
    return false;
  }

  void Store(const std::vector<Place>& places, const uint8_t* bytes) {
    if (HitsTables(places)) skip_ = true;  // what is read from there meanwhile is either
    for (size_t i = 0; i < places.size(); ++i) Byte(places[i]) = bytes[i];
  }
  uint8_t& Byte(const Place& p) { return p.host ? expected_.host[p.at - kBus] : expected_.vram[p.at]; }

  void Access() {
    const uint8_t kind = in_.Take<uint8_t>();
    switch (kind % 8) {
      case 0:
      case 1:
        return Check(static_cast<npu_access>(NPU_ACCESS_READ + kind / 8 % 4));
      case 2:
        return Read();
      case 3:
        return Write();
      case 4:
        return Fill();
      case 5:
        return Copy();
      case 6:
        return Exchange(kind & 8 ? 8 : 4);
      default:
        return Word(kind & 8);
    }
  }

  void Check(npu_access access) {
    const uint64_t ptr = Pointer(), bytes = Bytes();
    FaultInfo fault;
    const bool done = space_->Check(ptr, bytes, access, &fault);
    if (!bytes) return FUZZ_CHECK(done);
    const Verdict v = Reference(expected_, desc_).Access(ptr, bytes, access);
    FUZZ_CHECK(done == (v.kind == NPU_FAULT_NONE));
    if (!done) Agree(v, done, fault, ptr);
    if (v.bad_bytes) FUZZ_CHECK(fault.bad_bytes == v.bad_bytes);
  }

  void Read() {
    const uint64_t ptr = Pointer(), bytes = Bytes();
    std::vector<uint8_t> got(bytes);
    FaultInfo fault;
    const bool done = space_->Read(ptr, got.data(), bytes, &fault);
    if (!bytes) return FUZZ_CHECK(done);
    const Verdict v = Reference(expected_, desc_).Access(ptr, bytes, NPU_ACCESS_READ);
    if (!Agree(v, done, fault, ptr)) return;
    for (uint64_t i = 0; i < bytes; ++i) FUZZ_CHECK(got[i] == Byte(v.places[i]));
  }

  void Write() {
    const uint64_t ptr = Pointer(), bytes = Bytes();
    std::vector<uint8_t> data(bytes, in_.Take<uint8_t>());
    in_.Bytes(data.data(), std::min<size_t>(bytes, 16));
    FaultInfo fault;
    const bool done = space_->Write(ptr, data.data(), bytes, &fault);
    if (!bytes) return FUZZ_CHECK(done);
    const Verdict v = Reference(expected_, desc_).Access(ptr, bytes, NPU_ACCESS_WRITE);
    if (Agree(v, done, fault, ptr)) Store(v.places, data.data());
  }

  void Fill() {
    const uint64_t ptr = Pointer(), pattern = in_.Take<uint64_t>();
    const unsigned width = 1u << in_.Below(4);
    const uint64_t bytes = Bytes() / width * width;
    FaultInfo fault;
    const bool done = space_->Fill(ptr, bytes, pattern, width, &fault);
    if (!bytes) return FUZZ_CHECK(done);
    const Verdict v = Reference(expected_, desc_).Access(ptr, bytes, NPU_ACCESS_WRITE);
    // The pages are looked up again while the bytes move: one that was its own table may be gone.
    if (!done && v.kind == NPU_FAULT_NONE && HitsTables(v.places)) skip_ = true;
    if (skip_ || !Agree(v, done, fault, ptr)) return;
    std::vector<uint8_t> data(bytes);
    for (uint64_t i = 0; i < bytes; ++i) data[i] = static_cast<uint8_t>(pattern >> 8 * (i % width));
    Store(v.places, data.data());
  }

  void Copy() {
    const uint64_t dst = Pointer(), src = Pointer(), row = Bytes() % 2048, rows = in_.Below(5);
    const uint64_t dst_pitch = in_.Take<uint16_t>() % 8192, src_pitch = in_.Take<uint16_t>() % 8192;
    FaultInfo fault;
    const bool done = space_->Copy(dst, dst_pitch, src, src_pitch, row, rows, &fault);
    if (!row || !rows) return FUZZ_CHECK(done);
    const Reference reference(expected_, desc_);
    std::vector<Place> to, from;
    bool allowed = true;
    for (uint64_t i = 0; i < rows; ++i) {
      const Verdict w = Row(reference, dst, i * dst_pitch, row, NPU_ACCESS_WRITE);
      const Verdict r = Row(reference, src, i * src_pitch, row, NPU_ACCESS_READ);
      allowed = allowed && w.kind == NPU_FAULT_NONE && r.kind == NPU_FAULT_NONE;
      to.insert(to.end(), w.places.begin(), w.places.end());
      from.insert(from.end(), r.places.begin(), r.places.end());
    }
    const auto outside = [](const Place& p) { return p.host && p.at >= kBus + kHostBytes; };
    skip_ = allowed && (HitsTables(to) || std::any_of(to.begin(), to.end(), outside) ||
                        std::any_of(from.begin(), from.end(), outside) || Overlap(to, from));
    if (skip_) return;
    FUZZ_CHECK(done == allowed);
    if (!done) return FUZZ_CHECK(fault.kind != NPU_FAULT_NONE && fault.operand <= 1);
    for (size_t i = 0; i < to.size(); ++i) Byte(to[i]) = Byte(from[i]);
  }

  // A row that leaves the 40 bits is outside of every buffer; it does not come back at the other end.
  static Verdict Row(const Reference& reference, uint64_t ptr, uint64_t offset, uint64_t bytes, npu_access access) {
    if (NPU_PTR_VA(ptr) + offset <= NPU_VA_MASK) return reference.Access(ptr + offset, bytes, access);
    Verdict v;
    v.kind = NPU_FAULT_OOB;
    return v;
  }

  // The order in which bytes move would matter.
  static bool Overlap(const std::vector<Place>& to, const std::vector<Place>& from) {
    static std::vector<uint8_t> vram(kVram), host(kHostBytes);
    const auto mark = [](const Place& p) -> uint8_t& { return p.host ? host[p.at - kBus] : vram[p.at]; };
    for (const Place& p : from) mark(p) = 1;
    const bool hit = std::any_of(to.begin(), to.end(), [&](const Place& p) { return mark(p) != 0; });
    for (const Place& p : from) mark(p) = 0;
    return hit;
  }

  void Exchange(unsigned size) {
    const uint64_t ptr = Pointer() & (in_.Below(8) ? ~7ull : ~0ull), desired = in_.Take<uint64_t>();
    uint64_t expected = in_.Below(2) ? 0x5a5a5a5a5a5a5a5aull : in_.Take<uint64_t>(), low = 0;
    if (size == 4) expected &= 0xffffffff;
    low = expected;
    FaultInfo fault;
    const bool done = space_->CompareExchange(ptr, &expected, desired, size, &fault);
    if (ptr % size) return FUZZ_CHECK(!done && fault.kind == NPU_FAULT_MISALIGNED);
    const Verdict v = Reference(expected_, desc_).Access(ptr, size, NPU_ACCESS_ATOMIC);
    if (!Agree(v, done, fault, ptr)) return;
    uint64_t old = 0;
    for (unsigned i = 0; i < size; ++i) old |= uint64_t{Byte(v.places[i])} << 8 * i;
    FUZZ_CHECK(old == expected);
    if (old == low) Store(v.places, reinterpret_cast<const uint8_t*>(&desired));
  }

  void Word(bool store) {
    const uint64_t ptr = Pointer() & (in_.Below(8) ? ~7ull : ~0ull);
    uint64_t value = in_.Take<uint64_t>();
    FaultInfo fault;
    const bool done = store ? space_->Store64(ptr, value, &fault) : space_->Load64(ptr, &value, &fault);
    if (ptr % 8) return FUZZ_CHECK(!done && fault.kind == NPU_FAULT_MISALIGNED);
    const Verdict v = Reference(expected_, desc_).Access(ptr, 8, store ? NPU_ACCESS_WRITE : NPU_ACCESS_READ);
    if (!Agree(v, done, fault, ptr)) return;
    if (store) return Store(v.places, reinterpret_cast<const uint8_t*>(&value));
    for (unsigned i = 0; i < 8; ++i) FUZZ_CHECK(static_cast<uint8_t>(value >> 8 * i) == Byte(v.places[i]));
  }

  Input& in_;
  Memory &memory_, &expected_;
  npu_ctx_desc desc_{};
  AddressSpace* space_ = nullptr;
  bool skip_ = false;  // what this access leaves in memory is not one thing
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  static Memory memory, expected;
  Input in(bytes, count);
  Session(in, memory, expected).Run();
  return 0;
}
