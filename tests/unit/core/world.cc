// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "../host_memory.h"
#include "suite.h"

namespace npu::test {

using namespace model;

namespace {

constexpr uint64_t kRoot = 0x4000;
constexpr uint64_t kBounds = 0x400000;

}  // namespace

uint8_t* World::HostAt(uint64_t bus, uint64_t bytes) {
  if (bus < kHostBus || bytes > kHostBytes || bus - kHostBus > kHostBytes - bytes) return nullptr;
  return bus_error_at - bus < bytes ? nullptr : host.data() + (bus - kHostBus);
}

World::World() : vram(kVram), host(kHostBytes) {
  HostMemory<World>::Fill(&ops);
  platform = {vram.data(), vram.size(), &ops, this, &ecc};
  ctx.flags = NPU_CTX_VALID;
  ctx.pt_root = kRoot;
  ctx.bounds_addr = kBounds;
  ctx.bounds_entries = NPU_BOUNDS_ENTRIES;
  space = std::make_unique<AddressSpace>(platform, 7, ctx);
}

uint64_t World::NewTable() {
  const uint64_t table = next_table_;
  next_table_ += NPU_PAGE_SIZE;
  if (next_table_ > kBounds) std::abort();
  return table;
}

uint64_t* World::Pte(uint64_t va) {
  auto* root = reinterpret_cast<uint64_t*>(vram.data() + kRoot) + (va >> NPU_PT_ROOT_SHIFT);
  if (!*root) *root = NewTable() | NPU_PTE_VALID;
  auto* mid = reinterpret_cast<uint64_t*>(vram.data() + (*root & NPU_PTE_ADDR_MASK)) +
              ((va >> NPU_PT_MID_SHIFT) & (NPU_PT_ENTRIES - 1));
  if (!*mid) *mid = NewTable() | NPU_PTE_VALID;
  return reinterpret_cast<uint64_t*>(vram.data() + (*mid & NPU_PTE_ADDR_MASK)) +
         ((va >> NPU_PAGE_SHIFT) & (NPU_PT_ENTRIES - 1));
}

void World::Map(uint64_t va, uint64_t address, uint64_t bytes, uint64_t rights, bool host_memory, bool big) {
  const uint64_t flags = rights | NPU_PTE_VALID | (host_memory ? uint64_t{NPU_PTE_HOST} : 0);
  for (uint64_t done = 0; done < bytes; done += big ? NPU_BIG_PAGE_SIZE : NPU_PAGE_SIZE) {
    if (!big) {
      *Pte(va + done) = (address + done) | flags;
      continue;
    }
    auto* root = reinterpret_cast<uint64_t*>(vram.data() + kRoot) + ((va + done) >> NPU_PT_ROOT_SHIFT);
    if (!*root) *root = NewTable() | NPU_PTE_VALID;
    auto* mid = reinterpret_cast<uint64_t*>(vram.data() + (*root & NPU_PTE_ADDR_MASK)) +
                (((va + done) >> NPU_PT_MID_SHIFT) & (NPU_PT_ENTRIES - 1));
    *mid = (address + done) | flags | NPU_PTE_LEAF;
  }
}

npu_bounds_entry& World::Bounds(uint32_t number) {
  return reinterpret_cast<npu_bounds_entry*>(vram.data() + kBounds)[number];
}

uint64_t World::Buffer(uint64_t bytes, bool host_memory, uint32_t ctl) {
  const uint64_t pages = (bytes + NPU_PAGE_SIZE - 1) & ~uint64_t{NPU_PAGE_SIZE - 1};
  const uint64_t va = next_va_;
  next_va_ += pages;  // the next buffer follows without a gap, as in a real address space
  uint64_t& next = host_memory ? next_host_ : next_page_;
  const uint64_t address = host_memory ? kHostBus + next : next;
  uint8_t* bytes_at = (host_memory ? host.data() : vram.data()) + next;
  next += pages;
  const uint64_t exec = ctl & NPU_BOUNDS_EXEC ? uint64_t{NPU_PTE_EXEC} : 0;
  Map(va, address, pages, kReadWrite | exec, host_memory);
  for (uint64_t i = 0; i < pages; ++i) bytes_at[i] = static_cast<uint8_t>(i * 7 + i / 256 + next_number_);
  npu_bounds_entry& entry = Bounds(next_number_);
  const uint64_t generation = next_number_ * 3 & NPU_GEN_MASK;
  entry.base = va;
  entry.size = bytes;
  entry.ctl = ctl | static_cast<uint32_t>(generation);
  return NPU_PTR(next_number_++, generation, va);
}

uint8_t* World::At(uint64_t ptr) {
  const uint64_t pte = *Pte(NPU_PTR_VA(ptr));
  const uint64_t address = (pte & NPU_PTE_ADDR_MASK) + (ptr & (NPU_PAGE_SIZE - 1));
  return pte & NPU_PTE_HOST ? host.data() + (address - kHostBus) : vram.data() + address;
}

uint64_t World::LoadCode(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> image((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (image.empty()) {
    std::fprintf(stderr, "%s: missing or empty\n", path.c_str());
    std::abort();
  }
  const uint64_t ptr = Buffer(image.size(), false, kLiveCode);
  std::memcpy(At(ptr), image.data(), image.size());
  return ptr;
}

Snapshot World::Save(const uint8_t* sram) const {
  Snapshot s{vram, host, {}};
  if (sram) s.sram.assign(sram, sram + kSramBytes);
  return s;
}

int Units::Dma(const npu_dma_desc& d, npu_pipe pipe) {
  fault = {};
  if (!ValidateDma(d, pipe, &fault)) return fault.kind;
  return ExecuteDma(&unit, d, pipe, &cost, &fault) ? int{NPU_FAULT_NONE} : fault.kind;
}
int Units::Matrix(const npu_matrix_desc& d) {
  fault = {};
  if (!ValidateMatrix(d, &fault)) return fault.kind;
  return ExecuteMatrix(&unit, d, &cost, &fault) ? int{NPU_FAULT_NONE} : fault.kind;
}
int Units::Vector(const npu_vector_desc& d) {
  fault = {};
  if (!ValidateVector(d, &fault)) return fault.kind;
  return ExecuteVector(&unit, d, &cost, &fault) ? int{NPU_FAULT_NONE} : fault.kind;
}

void RunVector(Units* u, const npu_vector_desc& d) {
  const std::vector<uint8_t> before(u->local.sram(), u->local.sram() + kSramBytes);
  std::vector<uint8_t> first;
  uint64_t busy = 0;
  for (const char* level : SimdLevels()) {
    assert_true(SelectSimd(level, nullptr));
    std::memcpy(u->local.sram(), before.data(), kSramBytes);
    assert_int_equal(u->Vector(d), NPU_FAULT_NONE);
    std::vector<uint8_t> now(u->local.sram(), u->local.sram() + kSramBytes);
    if (first.empty())
      first = std::move(now), busy = u->cost.busy;
    else if (now != first) {
      print_error("level %s differs for operation %u\n", level, d.op);
      fail();
    }
    assert_int_equal(u->cost.busy, busy);
  }
  SelectSimd(nullptr, nullptr);
}

std::vector<const char*> SimdLevels() {
  std::vector<const char*> levels;
  for (const char* name : {"baseline", "avx2", "avx512bw", "avx512"})
    if (SelectSimd(name, nullptr)) levels.push_back(name);
  SelectSimd(nullptr, nullptr);
  return levels;
}

}  // namespace npu::test
