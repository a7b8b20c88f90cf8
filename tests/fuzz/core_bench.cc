// SPDX-License-Identifier: Apache-2.0
#include "core_bench.h"

#include "../unit/host_memory.h"

#include "fuzz.h"
#include "npu_isa.h"

namespace fuzz {

using namespace npu::model;

namespace {

template <class T>
void Put(std::vector<uint8_t>& memory, uint64_t at, const T& value) {
  std::memcpy(&memory[at], &value, sizeof(value));
}

}  // namespace

uint8_t* CoreBench::HostAt(uint64_t bus, uint64_t bytes) {
  if (bus < kBus || bus - kBus > host_.size() || bytes > host_.size() - (bus - kBus)) return nullptr;
  return host_.data() + (bus - kBus);
}

CoreBench::CoreBench() : vram_(kVram, 0x77), host_(kHostBytes) {
  std::memset(vram_.data(), 0, kCode);
  constexpr uint64_t kRw = NPU_PTE_VALID | NPU_PTE_READ | NPU_PTE_WRITE;
  const uint64_t table = (kCodeVa >> NPU_PAGE_SHIFT) & (NPU_PT_ENTRIES - 1);
  Put<uint64_t>(vram_, kRoot + 8 * (kCodeVa >> NPU_PT_ROOT_SHIFT), kMid | NPU_PTE_VALID);
  Put<uint64_t>(vram_, kMid + 8 * ((kCodeVa >> NPU_PT_MID_SHIFT) & (NPU_PT_ENTRIES - 1)), kLeaf | NPU_PTE_VALID);
  Put<uint64_t>(vram_, kLeaf + 8 * table, kCode | NPU_PTE_VALID | NPU_PTE_READ | NPU_PTE_EXEC);
  for (uint64_t page = 0; page < kDataPages; ++page)
    Put<uint64_t>(vram_, kLeaf + 8 * (table + 16 + page), (kData + page * 8192) | kRw);
  Put<uint64_t>(vram_, kLeaf + 8 * (table + 32), kBus | kRw | NPU_PTE_HOST);
  constexpr uint32_t kLive = NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT;
  constexpr uint32_t kFreed = NPU_BOUNDS_STATE_FREED << NPU_BOUNDS_STATE_SHIFT;
  Put(vram_, kBounds + 32, npu_bounds_entry{kCodeVa, kCodeBytes, kLive | NPU_BOUNDS_EXEC | 3, 0, 0});
  Put(vram_, kBounds + 64, npu_bounds_entry{kDataVa, kDataBytes, kLive | NPU_BOUNDS_ATOMIC | 5, 0, 0});
  Put(vram_, kBounds + 96, npu_bounds_entry{kHostVa, kHostBytes - 20, kLive | NPU_BOUNDS_ATOMIC | 7, 0, 0});
  Put(vram_, kBounds + 128, npu_bounds_entry{kDataVa, kDataBytes, kFreed | 1, 0, 0});
  first_vram_ = vram_;

  npu::test::HostMemory<CoreBench>::Fill(&ops_);
  platform_ = {vram_.data(), vram_.size(), &ops_, this};
  npu_ctx_desc desc{};
  desc.flags = NPU_CTX_VALID;
  desc.pt_root = kRoot;
  desc.bounds_addr = kBounds;
  desc.bounds_entries = 16;
  space_ = std::make_unique<AddressSpace>(platform_, 7, desc);
  core_ = std::make_unique<Core>(0, platform_);
}

void CoreBench::Reset() {
  std::memcpy(code(), &first_vram_[kCode], kCodeBytes);
  std::memcpy(vram_.data() + kData, &first_vram_[kData], kDataPages * 8192);
  std::memset(host_.data(), 0x55, host_.size());
  neighbour_.assign(kSramBytes, 0x33);
  space_->InvalidateTranslations();
  core_->Reset();
}

void CoreBench::Begin(uint32_t blocks) {
  launch_.space = space_.get();
  launch_.entry = kCodePtr;
  launch_.args = kDataPtr;
  launch_.args_bytes = 256;
  launch_.grid[0] = blocks;
  launch_.cores = 4;
  launch_.cores_used = blocks < 4 ? blocks : 4;
  launch_.peers.reset();
  if (blocks > 1) {
    launch_.peers = std::make_shared<PeerWindows>(blocks);
    launch_.peers->Open(1, neighbour_.data());
  }
  core_->Begin(launch_, 0);
}

Result CoreBench::Finish(unsigned slices) {
  Result result{};
  bool aborted = false;
  for (;;) {
    result.outcome = core_->Run(kQuiesceInstructions);
    if (result.outcome == Outcome::kGridBarrier) core_->ReleaseBarrier(core_->barrier_cycles() + 10);
    if (result.outcome != Outcome::kBudget && result.outcome != Outcome::kGridBarrier) break;
    FUZZ_CHECK(!aborted);
    if (slices > 1) {
      --slices;
    } else {
      core_->RequestAbort();
      aborted = true;
    }
  }
  FUZZ_CHECK((core_->quiesce().Snapshot() & 1) == 0);
  result.fault = core_->fault();
  result.cost = core_->cost();
  FUZZ_CHECK(result.outcome != Outcome::kFault || result.fault.kind != NPU_FAULT_NONE);
  return result;
}

void CoreBench::CheckUntouched() const {
  const uint8_t* now = vram_.data();
  const uint8_t* then = first_vram_.data();
  FUZZ_CHECK(std::memcmp(now, then, kCode) == 0);
  FUZZ_CHECK(std::memcmp(now + kCode + kCodeBytes, then + kCode + kCodeBytes, kData - kCode - kCodeBytes) == 0);
  for (uint64_t page = 0; page < kDataPages; ++page)
    FUZZ_CHECK(std::memcmp(now + kData + page * 8192 + 4096, then + kData + page * 8192 + 4096, 4096) == 0);
  const uint64_t end = kData + (kDataPages - 1) * 8192 + kDataBytes % 4096;
  FUZZ_CHECK(std::memcmp(now + end, then + end, kVram - end) == 0);
  for (uint64_t i = kHostBytes - 20; i < kHostBytes; ++i) FUZZ_CHECK(host_[i] == 0x55);
}

void CoreBench::Keep() {
  kept_vram_ = vram_;
  kept_host_ = host_;
  kept_sram_.assign(core_->sram(), core_->sram() + kSramBytes);
  kept_neighbour_ = neighbour_;
}

bool CoreBench::SameAsKept() const {
  return kept_vram_ == vram_ && kept_host_ == host_ && kept_neighbour_ == neighbour_ &&
         std::memcmp(kept_sram_.data(), core_->sram(), kSramBytes) == 0;
}

}  // namespace fuzz
