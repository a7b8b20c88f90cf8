// SPDX-License-Identifier: Apache-2.0
//
// test-hal [--backend sim|drm]: the hal's rules on one backend.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "rig.hpp"

using namespace npu::hal;

std::string backend_under_test = "sim";

std::unique_ptr<Device> OpenDevice() {
  auto device = npu::hal::OpenDevice(backend_under_test);
  AssertOk(device);
  return std::move(*device);
}

Area::Area(Device& d, Memory memory, uint64_t bytes, uint64_t address, uint16_t buffer_number)
    : device(&d), va(address), number(buffer_number) {
  auto made = d.CreateBuffer(bytes, memory);
  AssertOk(made);
  buffer = std::move(*made);
  AssertOk(d.Bind(*buffer, 0, va, buffer->size(), NPU_PTE_READ | NPU_PTE_WRITE));
  npu_bounds_entry& entry = d.bounds()[number];
  entry.base = va;
  entry.size = bytes;
  uint32_t ctl = NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT;
  std::atomic_ref<uint32_t>(entry.ctl).store(ctl, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

Area::~Area() {
  if (buffer) device->Unbind(va, buffer->size());
}

Rig::Rig(uint32_t ring_log2) : device(::OpenDevice()) {
  uint64_t va = device->info().va_start;
  memory = std::make_unique<Area>(*device, Memory::kDevice, 65536, va, 1);
  host = std::make_unique<Area>(*device, Memory::kHost, 65536, va + 0x200000, 2);
  fence = std::make_unique<Area>(*device, Memory::kHost, 4096, va + 0x400000, 3);
  auto made = device->CreateQueue(ring_log2, 1, 0);
  AssertOk(made);
  queue = std::move(*made);
}

void Rig::Submit(npu_packet packet) {
  packet.flags |= NPU_PKT_F_SIGNAL;
  packet.signal_addr = fence->pointer();
  packet.signal_value = submitted + 1;
  std::memcpy(queue->ring() + submitted % queue->ring_packets(), &packet, sizeof(packet));
  queue->Doorbell(++submitted);
}

Error Rig::Wait(int milliseconds) {
  return device->Wait(*fence->buffer, 0, submitted, NPU_WAIT_GE, In(milliseconds), queue.get());
}

npu_packet CopyPacket(uint64_t dst, uint64_t src, uint64_t bytes) {
  npu_packet p = {};
  p.type = NPU_PKT_COPY;
  p.u.copy.dst = dst;
  p.u.copy.src = src;
  p.u.copy.row_bytes = bytes;
  p.u.copy.rows = 1;
  return p;
}

npu_packet FillPacket(uint64_t dst, uint8_t value, uint64_t bytes) {
  npu_packet p = {};
  p.type = NPU_PKT_FILL;
  p.u.fill.dst = dst;
  p.u.fill.bytes = bytes;
  p.u.fill.pattern = value;
  p.u.fill.pattern_bytes = 1;
  return p;
}

npu_packet WaitPacket(uint64_t address, uint64_t value) {
  npu_packet p = {};
  p.type = NPU_PKT_WAIT;
  p.u.wait.addr = address;
  p.u.wait.value = value;
  p.u.wait.cond = NPU_WAIT_GE;
  return p;
}

int main(int argc, char** argv) {
  if (const char* env = std::getenv("NPU_BACKEND"); env && *env) backend_under_test = env;
  for (int i = 1; i < argc; i++) {
    if (std::string(argv[i]) == "--backend" && i + 1 < argc) {
      backend_under_test = argv[++i];
    } else {
      std::fprintf(stderr, "usage: %s [--backend sim|drm]\n", argv[0]);
      return 2;
    }
  }
  int failed = _cmocka_run_group_tests("hal device", device_tests, device_test_count, nullptr, nullptr);
  failed += _cmocka_run_group_tests("hal memory", memory_tests, memory_test_count, nullptr, nullptr);
  failed += _cmocka_run_group_tests("hal queues", queue_tests, queue_test_count, nullptr, nullptr);
  failed += _cmocka_run_group_tests("hal faults", fault_tests, fault_test_count, nullptr, nullptr);
  return failed ? 1 : 0;
}
