// SPDX-License-Identifier: Apache-2.0
#include "device_bench.h"

#include "../unit/host_memory.h"

#include <sys/mman.h>

#include "fuzz.h"

namespace fuzz {
namespace {

constexpr uint64_t kGuard = 1ull << 20;

template <class T>
void Put(uint8_t* at, const T& value) {
  std::memcpy(at, &value, sizeof(value));
}

}  // namespace

DeviceBench::DeviceBench() : host_(kHost / 8) {
  void* all = mmap(nullptr, kMemory + 2 * kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  FUZZ_CHECK(all != MAP_FAILED);
  guarded_ = static_cast<uint8_t*>(all);
  vram_ = guarded_ + kGuard;
  FUZZ_CHECK(mprotect(vram_, kMemory, PROT_READ | PROT_WRITE) == 0);
  npu_model_config config{};
  config.abi = NPU_MODEL_ABI;
  config.cores = 3;
  config.threads = 1;
  config.memory_bytes = kMemory;
  config.memory = vram_;
  config.seed = 7;
  config.opaque = this;
  FillOps(&config.ops);
  std::string error;
  device_ = npu::model::Device::Create(config, &error);
  FUZZ_CHECK(device_ != nullptr);
}

DeviceBench::~DeviceBench() {
  device_.reset();
  munmap(guarded_, kMemory + 2 * kGuard);
}

uint8_t* DeviceBench::HostAt(uint64_t bus, uint64_t bytes) {
  if (bus < kBus || bus - kBus > kHost || bytes > kHost - (bus - kBus)) return nullptr;
  return reinterpret_cast<uint8_t*>(host_.data()) + (bus - kBus);
}

void DeviceBench::FillOps(npu_model_host_ops* ops) {
  npu::test::HostMemory<DeviceBench>::Fill(ops);
  ops->msix = [](void*, unsigned vector) { FUZZ_CHECK(vector < NPU_NUM_VECTORS); };
  ops->log = [](void*, npu_model_log, const char* line) { FUZZ_CHECK(line != nullptr); };
}

void DeviceBench::Reset() {
  // A cold reset looks at all of the memory.  The other kind does the same to the device, and is a hundred times
  // faster.
  device_->Reset(resets_++ % 256 ? NPU_MODEL_RESET_FLR : NPU_MODEL_RESET_COLD);
  FUZZ_CHECK(madvise(vram_, kMemory, MADV_DONTNEED) == 0);
  std::fill(host_.begin(), host_.end(), 0);
  BuildTables();
  Set(NPU_REG_CTX_TABLE, kCtxTable, 8);
  Set(NPU_REG_QUEUE_TABLE, kQueueTable, 8);
}

void DeviceBench::BuildTables() {
  constexpr uint64_t kRights = NPU_PTE_VALID | NPU_PTE_READ | NPU_PTE_WRITE | NPU_PTE_EXEC;
  Put<uint64_t>(vram_ + kRoot + 8 * (kVramVa >> NPU_PT_ROOT_SHIFT), kMid | NPU_PTE_VALID);
  Put<uint64_t>(vram_ + kRoot + 8 * (kHostVa >> NPU_PT_ROOT_SHIFT), kMidHost | NPU_PTE_VALID);
  for (uint64_t at = 0; at < kMappedBytes; at += NPU_BIG_PAGE_SIZE)
    Put<uint64_t>(vram_ + kMid + 8 * (at >> NPU_PT_MID_SHIFT), (kData + at) | kRights | NPU_PTE_LEAF);
  Put<uint64_t>(vram_ + kMidHost, kLeaf | NPU_PTE_VALID);
  for (uint64_t at = 0; at < kHost; at += NPU_PAGE_SIZE)
    Put<uint64_t>(vram_ + kLeaf + 8 * (at >> NPU_PAGE_SHIFT), (kBus + at) | kRights | NPU_PTE_HOST);
  constexpr uint32_t kLive = 1 | NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_EXEC | NPU_BOUNDS_ATOMIC |
                             NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT;
  Put(vram_ + kBounds + 32, npu_bounds_entry{kVramVa, kMappedBytes, kLive, 0, 0});
  Put(vram_ + kBounds + 64, npu_bounds_entry{kHostVa, kHost, kLive, 0, 0});
  for (uint32_t id = 1; id <= kContexts; ++id) {
    npu_ctx_desc desc{};
    desc.flags = NPU_CTX_VALID;
    desc.irq_vector = NPU_IRQ_FENCE0 + id;
    desc.pt_root = kRoot;
    desc.bounds_addr = kBounds;
    desc.bounds_entries = 64;
    desc.fault_ring = kBus + kFaultRings + id * 0x1000;
    desc.fault_entries = 8;
    Put(vram_ + kCtxTable + id * sizeof(desc), desc);
  }
  for (uint32_t queue = 0; queue < kQueues; ++queue) {
    npu_queue_desc desc{};
    desc.flags = NPU_QUEUE_VALID;
    desc.context = 1 + queue % kContexts;
    desc.ring_addr = RingAt(queue);
    desc.ring_log2 = kRingLog2;
    desc.priority = queue % NPU_QUEUE_PRIORITIES;
    desc.status_addr = kBus + kStatus + queue * sizeof(npu_queue_status);
    Put(vram_ + kQueueTable + queue * sizeof(desc), desc);
  }
}

uint64_t DeviceBench::Mg(uint32_t reg, unsigned size) {
  uint64_t value = 0;
  (void)device_->MgmtRead(reg, size, &value);
  return value;
}

void DeviceBench::StoreVram(uint64_t offset, uint64_t value) {
  __atomic_store_n(reinterpret_cast<uint64_t*>(vram_ + offset % kMemory / 8 * 8), value, __ATOMIC_SEQ_CST);
}
void DeviceBench::StoreHost(uint64_t offset, uint64_t value) {
  __atomic_store_n(&host_[offset % kHost / 8], value, __ATOMIC_SEQ_CST);
}
uint64_t DeviceBench::LoadHost(uint64_t offset) const {
  return __atomic_load_n(&host_[offset / 8], __ATOMIC_SEQ_CST);
}

uint32_t DeviceBench::EnableContext(uint32_t context) {
  MgSet(NPU_MG_CTX_ENABLE, context);
  return static_cast<uint32_t>(Mg(NPU_MG_CTX_RESULT));
}

void DeviceBench::MakeQueue(uint32_t queue) {
  MgSet(NPU_MG_DB_QUEUE, queue);
  MgSet(NPU_MG_DB_CLEAR, 1);
  MgSet(NPU_MG_DB_DEAD, 0);
}

uint32_t DeviceBench::Map(uint32_t slot, uint32_t queue, uint64_t rptr) {
  const uint32_t window = NPU_MG_SLOT_OFFSET + slot * NPU_MG_SLOT_STRIDE;
  MgSet(window + NPU_MG_SLOT_QUEUE, queue);
  MgSet(window + NPU_MG_SLOT_SET_RPTR, rptr, 8);
  MgSet(window + NPU_MG_SLOT_CMD, NPU_MG_SLOT_CMD_MAP);
  return static_cast<uint32_t>(Mg(window + NPU_MG_SLOT_RESULT));
}

void DeviceBench::Push(uint32_t queue, uint64_t index, const npu_packet& packet) {
  uint64_t words[8];
  std::memcpy(words, &packet, sizeof(words));
  for (uint64_t i = 0; i < 8; ++i)
    StoreVram(RingAt(queue) + index % (1u << kRingLog2) * sizeof(packet) + i * 8, words[i]);
}

void DeviceBench::Doorbell(uint32_t queue, uint64_t wptr) {
  Set(NPU_DOORBELL_OFFSET + queue * NPU_DOORBELL_STRIDE + NPU_DB_WPTR, wptr, 8);
}

}  // namespace fuzz
