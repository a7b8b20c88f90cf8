// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <sys/mman.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "../host_memory.h"

namespace rig {
namespace {

// clang-format off
constexpr uint32_t kProgram[] = {
    0x00008067,  // null:    ret
    0x00053603,  // store:   ld   a2, 0(a0)       args[0][block] = block + 1
    0x00359693,  //          slli a3, a1, 3
    0x00d60633,  //          add  a2, a2, a3
    0x00158593,  //          addi a1, a1, 1
    0x00b63023,  //          sd   a1, 0(a2)
    0x00008067,  //          ret
    0x00053603,  // loop:    ld   a2, 0(a0)       counts args[0] down
    0xfff60613,  // 1:       addi a2, a2, -1
    0xfe061ee3,  //          bnez a2, 1b
    0x00008067,  //          ret
    0x0000006f,  // spin:    j    spin
    0x0200300b,  // barrier: npu barrier of all blocks, then as store
    0x00053603,  //          ld   a2, 0(a0)
    0x00359693,  //          slli a3, a1, 3
    0x00d60633,  //          add  a2, a2, a3
    0x00158593,  //          addi a1, a1, 1
    0x00b63023,  //          sd   a1, 0(a2)
    0x00008067,  //          ret
    0x00058463,  // some:    beqz a1, 2f          a barrier that block 0 leaves out
    0x0200300b,  //          npu barrier
    0x00008067,  // 2:       ret
    0x00053603,  // wild:    ld   a2, 0(a0)       block 0 stores at args[0]
    0x00059463,  //          bnez a1, 3f
    0x00b63023,  //          sd   a1, 0(a2)
    0x00008067,  // 3:       ret
    0x00100073,  // trap:    ebreak
    0x00053603,  // until:   ld   a2, 0(a0)       until args[0] is not 0
    0xfe060ee3,  //          beqz a2, until
    0x00008067,  //          ret
};
// clang-format on

constexpr uint32_t kBoundsEntries = 64;
constexpr uint64_t kRoot = kTables, kMidVram = kTables + 0x2000, kMidHost = kTables + 0x3000,
                   kBounds = kTables + 0x4000;

template <class T>
void Put(uint8_t* at, const T& value) {
  std::memcpy(at, &value, sizeof(value));
}

}  // namespace

npu_packet Packet(npu_packet_type type, uint32_t tag) {
  npu_packet packet{};
  packet.type = type;
  packet.tag = tag;
  return packet;
}

npu_packet Launch(Operator entry, uint64_t args, uint32_t blocks) {
  npu_packet packet = Packet(NPU_PKT_LAUNCH);
  packet.u.launch.entry = Dev(kCode + entry);
  packet.u.launch.args = args;
  packet.u.launch.args_bytes = args ? 8 : 0;
  packet.u.launch.grid[0] = blocks;
  packet.u.launch.grid[1] = packet.u.launch.grid[2] = 1;
  return packet;
}

npu_packet WithSignal(npu_packet packet, uint64_t addr, uint64_t value) {
  packet.flags |= NPU_PKT_F_SIGNAL;
  packet.signal_addr = addr;
  packet.signal_value = value;
  return packet;
}

npu_packet Signal(uint64_t addr, uint64_t value) {
  return WithSignal(Packet(NPU_PKT_SIGNAL), addr, value);
}

npu_packet Wait(uint64_t addr, uint64_t value, uint32_t cond) {
  npu_packet packet = Packet(NPU_PKT_WAIT);
  packet.u.wait.addr = addr;
  packet.u.wait.value = value;
  packet.u.wait.cond = cond;
  return packet;
}

npu_packet Copy(uint64_t dst, uint64_t src, uint64_t bytes) {
  npu_packet packet = Packet(NPU_PKT_COPY);
  packet.u.copy.dst = dst;
  packet.u.copy.src = src;
  packet.u.copy.row_bytes = bytes;
  packet.u.copy.rows = 1;
  return packet;
}

Rig::Rig(uint32_t threads, uint32_t cores) : host_(new uint8_t[kHost]()) {
  void* memory = mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  vram_ = static_cast<uint8_t*>(memory);
  config_.abi = NPU_MODEL_ABI;
  config_.cores = cores;
  config_.threads = threads;
  config_.memory_bytes = kMemory;
  config_.memory = vram_;
  config_.seed = 7;
  config_.opaque = this;
  FillOps();
  BuildTables();
  CreateDevice();
  Set(NPU_REG_CTX_TABLE, kCtxTable, 8);
  Set(NPU_REG_QUEUE_TABLE, kQueueTable, 8);
}

void Rig::CreateDevice() {
  std::string error;
  device_ = npu::model::Device::Create(config_, &error);
  if (!device_) {
    std::fprintf(stderr, "rig: %s\n", error.c_str());
    std::abort();
  }
}

void Rig::Replace(uint32_t threads) {
  device_.reset();
  config_.threads = threads;
  CreateDevice();
}

Rig::~Rig() {
  device_.reset();
  munmap(vram_, kMemory);
}

uint8_t* Rig::HostAt(uint64_t bus, uint64_t bytes) {
  dma_ops_.fetch_add(1);
  while (dma_held_.load()) std::this_thread::yield();
  if (bus < kBus || bus - kBus > kHost || bytes > kHost - (bus - kBus)) return nullptr;
  return host_.get() + (bus - kBus);
}

void Rig::FillOps() {
  npu_model_host_ops& ops = config_.ops;
  npu::test::HostMemory<Rig>::Fill(&ops);
  ops.msix = [](void* o, unsigned vector) { static_cast<Rig*>(o)->irqs_.at(vector).fetch_add(1); };
  ops.log = [](void* o, npu_model_log level, const char* line) {
    if (level == NPU_MODEL_LOG_GUEST_ERROR) static_cast<Rig*>(o)->guest_errors_.fetch_add(1);
    if (std::strstr(line, "injected: a hang")) static_cast<Rig*>(o)->hangs_.fetch_add(1);
    if (std::getenv("RIG_LOG")) std::fprintf(stderr, "log %d: %s\n", level, line);
  };
}

// All contexts share one page table and one bounds table.
void Rig::BuildTables() {
  std::memcpy(vram_ + kCode, kProgram, sizeof(kProgram));
  constexpr uint64_t kRights = NPU_PTE_VALID | NPU_PTE_READ | NPU_PTE_WRITE | NPU_PTE_EXEC | NPU_PTE_LEAF;
  Put<uint64_t>(vram_ + kRoot + 8 * (kVram >> NPU_PT_ROOT_SHIFT), kMidVram | NPU_PTE_VALID);
  Put<uint64_t>(vram_ + kRoot + 8 * (kHostVa >> NPU_PT_ROOT_SHIFT), kMidHost | NPU_PTE_VALID);
  for (uint64_t at = 0; at < kMemory; at += NPU_BIG_PAGE_SIZE)
    Put<uint64_t>(vram_ + kMidVram + 8 * (at >> NPU_PT_MID_SHIFT), at | kRights);
  for (uint64_t at = 0; at < kHost; at += NPU_BIG_PAGE_SIZE)
    Put<uint64_t>(vram_ + kMidHost + 8 * (at >> NPU_PT_MID_SHIFT), (kBus + at) | kRights | NPU_PTE_HOST);
  uint32_t live = 1 | NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_EXEC | NPU_BOUNDS_ATOMIC |
                  NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT;
  Put(vram_ + kBounds + 32, npu_bounds_entry{kVram, kMemory, live, 0, 0});
  Put(vram_ + kBounds + 64, npu_bounds_entry{kHostVa, kHost, live, 0, 0});
}

uint64_t Rig::Load(uint64_t offset) const {
  return __atomic_load_n(reinterpret_cast<const uint64_t*>(vram_ + offset), __ATOMIC_SEQ_CST);
}
uint64_t Rig::LoadHost(uint64_t offset) const {
  return __atomic_load_n(reinterpret_cast<const uint64_t*>(host_.get() + offset), __ATOMIC_SEQ_CST);
}
void Rig::Store(uint64_t offset, uint64_t value) {
  __atomic_store_n(reinterpret_cast<uint64_t*>(vram_ + offset), value, __ATOMIC_SEQ_CST);
}

uint64_t* Rig::VramEntry(uint64_t offset) {
  return reinterpret_cast<uint64_t*>(vram_ + kMidVram) + (offset >> NPU_PT_MID_SHIFT);
}

uint64_t Rig::Mg(uint32_t reg, unsigned size) {
  uint64_t value = 0;
  if (!device_->MgmtRead(reg, size, &value)) std::abort();
  return value;
}
void Rig::MgSet(uint32_t reg, uint64_t value, unsigned size) {
  if (!device_->MgmtWrite(reg, size, value)) std::abort();
}
uint64_t Rig::SlotGet(uint32_t slot, uint32_t reg, unsigned size) {
  return Mg(NPU_MG_SLOT_OFFSET + slot * NPU_MG_SLOT_STRIDE + reg, size);
}
void Rig::SlotSet(uint32_t slot, uint32_t reg, uint64_t value, unsigned size) {
  MgSet(NPU_MG_SLOT_OFFSET + slot * NPU_MG_SLOT_STRIDE + reg, value, size);
}
uint32_t Rig::Command(uint32_t slot, uint32_t command) {
  SlotSet(slot, NPU_MG_SLOT_CMD, command);
  return static_cast<uint32_t>(SlotGet(slot, NPU_MG_SLOT_RESULT));
}

void Rig::WriteContext(uint32_t id, npu_ctx_desc* out) {
  npu_ctx_desc desc{};
  desc.flags = NPU_CTX_VALID;
  desc.irq_vector = NPU_IRQ_FENCE0 + id % 4;
  desc.pt_root = kRoot;
  desc.bounds_addr = kBounds;
  desc.bounds_entries = kBoundsEntries;
  desc.fault_ring = kBus + kFaultRings + (id % 64) * 0x1000;
  desc.fault_entries = kFaultEntries;
  Put(vram_ + kCtxTable + id * sizeof(desc), desc);
  if (out) *out = desc;
}

uint32_t Rig::EnableContext(uint32_t id) {
  WriteContext(id);
  MgSet(NPU_MG_CTX_ENABLE, id);
  return static_cast<uint32_t>(Mg(NPU_MG_CTX_RESULT));
}

void Rig::WriteQueue(uint32_t queue, uint32_t context, uint32_t priority) {
  npu_queue_desc desc{};
  desc.flags = NPU_QUEUE_VALID;
  desc.context = context;
  desc.ring_addr = RingAt(queue);
  desc.ring_log2 = kRingLog2;
  desc.priority = priority;
  desc.status_addr = kBus + StatusAt(queue);
  Put(vram_ + kQueueTable + queue * sizeof(desc), desc);
}

void Rig::MakeQueue(uint32_t queue, uint32_t context, uint32_t priority) {
  WriteQueue(queue, context, priority);
  MgSet(NPU_MG_DB_QUEUE, queue);
  MgSet(NPU_MG_DB_CLEAR, 1);
  MgSet(NPU_MG_DB_DEAD, 0);
}

uint32_t Rig::Map(uint32_t slot, uint32_t queue, uint64_t rptr) {
  SlotSet(slot, NPU_MG_SLOT_QUEUE, queue);
  SlotSet(slot, NPU_MG_SLOT_SET_RPTR, rptr, 8);
  return Command(slot, NPU_MG_SLOT_CMD_MAP);
}

void Rig::Push(uint32_t queue, const npu_packet& packet) {
  uint64_t at = RingAt(queue) + (wptr_[queue]++ % (1u << kRingLog2)) * sizeof(packet);
  uint64_t words[8];
  std::memcpy(words, &packet, sizeof(words));
  for (uint64_t i = 0; i < 8; ++i) Store(at + i * 8, words[i]);
}

void Rig::Doorbell(uint32_t queue, uint64_t wptr) {
  Set(NPU_DOORBELL_OFFSET + queue * NPU_DOORBELL_STRIDE + NPU_DB_WPTR, wptr, 8);
}
void Rig::Kick(uint32_t queue) {
  Set(NPU_DOORBELL_OFFSET + queue * NPU_DOORBELL_STRIDE + NPU_DB_KICK, 1);
}

uint32_t Rig::QueueState(uint32_t queue) const {
  return static_cast<uint32_t>(LoadHost(StatusAt(queue) + offsetof(npu_queue_status, state)));
}
npu_queue_status Rig::Status(uint32_t queue) const {
  npu_queue_status status;
  std::memcpy(&status, host_.get() + StatusAt(queue), sizeof(status));
  return status;
}
npu_fault_ring Rig::FaultRing(uint32_t context) const {
  npu_fault_ring ring;
  std::memcpy(&ring, host_.get() + kFaultRings + (context % 64) * 0x1000, sizeof(ring));
  return ring;
}
npu_fault_record Rig::Fault(uint32_t context, uint32_t index) const {
  npu_fault_record record;
  std::memcpy(&record,
              host_.get() + kFaultRings + (context % 64) * 0x1000 + sizeof(npu_fault_ring) + index * sizeof(record),
              sizeof(record));
  return record;
}

bool Rig::UntilImpl(bool (*condition)(void*), void* f) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);  // a sanitizer on a busy host is slow
  while (!condition(f)) {
    if (std::chrono::steady_clock::now() > end) {
      std::fprintf(stderr, "%s", device_->Describe().c_str());
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

}  // namespace rig
