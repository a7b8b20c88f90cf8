// SPDX-License-Identifier: Apache-2.0
#include "null_launch.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "bench.h"

namespace npu::bench {
namespace {

constexpr uint64_t kRead = NPU_PTE_READ, kWrite = NPU_PTE_WRITE, kExec = NPU_PTE_EXEC;
constexpr uint32_t kRingLog2 = 8;
constexpr uint64_t kGate = 64;  // offset in the fence's page: in another cache line

std::atomic_ref<uint64_t> SharedWord(void* page, uint64_t offset) {
  return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(static_cast<char*>(page) + offset));
}

}  // namespace

std::unique_ptr<hal::Device> OpenDevice() {
  const char* backend = getenv("NPU_BACKEND");
  auto device = hal::OpenDevice(backend ? backend : "sim");
  if (!device) Fail(device.error().message);
  return std::move(*device);
}

NullLauncher::NullLauncher() : device_(OpenDevice()) {
  code_ = MakeBuffer(hal::Memory::kDevice, kRead | kExec, 1, 0);
  fence_ = MakeBuffer(hal::Memory::kHost, kRead | kWrite, 2, 1);
  const uint16_t ret = 0x8082;  // c.jr ra
  memcpy(code_->map(), &ret, sizeof ret);
  auto queue = device_->CreateQueue(kRingLog2, 1, 0);
  if (!queue) Fail(queue.error().message);
  queue_ = std::move(*queue);
}

NullLauncher::~NullLauncher() {
  queue_.reset();
  device_->Unbind(device_->info().va_start, 2 * NPU_PAGE_SIZE);
}

void NullLauncher::Launch(unsigned packets) {
  npu_packet packet{};
  packet.type = NPU_PKT_LAUNCH;
  packet.flags = NPU_PKT_F_SIGNAL;
  packet.signal_addr = Pointer(2, 1);
  packet.u.launch.entry = Pointer(1, 0);
  packet.u.launch.args = Pointer(2, 1);
  packet.u.launch.grid[0] = packet.u.launch.grid[1] = packet.u.launch.grid[2] = 1;
  for (unsigned i = 0; i < packets; i++) {
    npu_packet* slot = &queue_->ring()[launched_ % queue_->ring_packets()];
    packet.signal_value = ++launched_;
    memcpy(slot, &packet, sizeof packet);
  }
  queue_->Doorbell(launched_);
}

void NullLauncher::Hold() {
  npu_packet packet{};
  packet.type = NPU_PKT_WAIT;
  packet.flags = NPU_PKT_F_SIGNAL;
  packet.signal_addr = Pointer(2, 1);
  packet.u.wait.addr = Pointer(2, 1) + kGate;
  packet.u.wait.cond = NPU_WAIT_GE;
  npu_packet* slot = &queue_->ring()[launched_ % queue_->ring_packets()];
  packet.u.wait.value = packet.signal_value = ++launched_;
  memcpy(slot, &packet, sizeof packet);
  queue_->Doorbell(launched_);
}

void NullLauncher::Release() {
  SharedWord(fence_->map(), kGate).store(launched_, std::memory_order_release);
  queue_->Kick();
}

uint64_t NullLauncher::Finished() const {
  return SharedWord(fence_->map(), 0).load(std::memory_order_acquire);
}

void NullLauncher::PollFor(uint64_t finished) const {
  while (Finished() < finished) {
    if (hal::LoadShared(queue_->status()->state) != NPU_QUEUE_OK) Fail("the null kernel's queue faulted");
  }
}

void NullLauncher::WaitFor(uint64_t finished) {
  const auto deadline = hal::Clock::now() + std::chrono::seconds(60);
  if (auto error = device_->Wait(*fence_, 0, finished, NPU_WAIT_GE, deadline, queue_.get())) Fail(error.message);
}

uint64_t NullLauncher::Pointer(uint16_t number, uint64_t page) const {
  return NPU_PTR(number, 0, device_->info().va_start + page * NPU_PAGE_SIZE);
}

std::unique_ptr<hal::Buffer> NullLauncher::MakeBuffer(hal::Memory memory, uint64_t rights, uint16_t number,
                                                      uint64_t page) {
  auto buffer = device_->CreateBuffer(NPU_PAGE_SIZE, memory);
  if (!buffer) Fail(buffer.error().message);
  const uint64_t va = device_->info().va_start + page * NPU_PAGE_SIZE;
  if (auto error = device_->Bind(**buffer, 0, va, NPU_PAGE_SIZE, rights)) Fail(error.message);
  npu_bounds_entry& entry = device_->bounds()[number];
  entry.base = va;
  entry.size = NPU_PAGE_SIZE;
  std::atomic_ref<uint32_t>(entry.ctl).store(
      (NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT) | NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_EXEC,
      std::memory_order_release);
  return std::move(*buffer);
}

}  // namespace npu::bench
