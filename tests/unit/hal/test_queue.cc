// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "rig.hpp"

using namespace npu::hal;

static void copies_between_all_memories(void**) {
  Rig rig;
  auto* host = rig.host->as<uint8_t>();
  for (int i = 0; i < 32768; i++) host[i] = static_cast<uint8_t>(i * 7 + i / 256);
  rig.Submit(CopyPacket(rig.memory->pointer(1), rig.host->pointer(), 32767));
  rig.Submit(CopyPacket(rig.memory->pointer(32768), rig.memory->pointer(1), 32767));
  rig.Submit(CopyPacket(rig.host->pointer(32768), rig.memory->pointer(32768), 32767));
  AssertOk(rig.Wait());
  for (int i = 0; i < 32767; i++) assert_int_equal(host[32768 + i], host[i]);
  assert_int_equal(LoadShared(rig.queue->status()->rptr), 3);
  assert_int_equal(LoadShared(rig.queue->status()->counters.copy_bytes), 3 * 32767);
}

static void rings_wrap(void**) {
  Rig rig(4);
  auto* words = rig.memory->as<volatile uint8_t>();
  for (int round = 0; round < 200; round++) {
    // At most a ring of packets that have not ended.
    if (rig.submitted >= 16) {
      AssertOk(rig.device->Wait(*rig.fence->buffer, 0, rig.submitted - 15, NPU_WAIT_GE, In(10000), rig.queue.get()));
    }
    rig.Submit(FillPacket(rig.memory->pointer(static_cast<uint64_t>(round)), static_cast<uint8_t>(round + 1), 1));
  }
  AssertOk(rig.Wait());
  for (int i = 0; i < 200; i++) assert_int_equal(words[i], static_cast<uint8_t>(i + 1));
  assert_int_equal(LoadShared(rig.queue->status()->rptr), 200);
}

static void waits_have_a_deadline(void**) {
  Rig rig;
  auto start = Clock::now();
  Error e = rig.device->Wait(*rig.fence->buffer, 0, 1, NPU_WAIT_GE, In(50), rig.queue.get());
  assert_int_equal(e.code, ETIME);
  assert_true(Clock::now() - start >= std::chrono::milliseconds(50));
  assert_int_equal(rig.device->Wait(*rig.fence->buffer, 0, 1, NPU_WAIT_GE, Clock::now(), nullptr).code, ETIME);
  AssertOk(rig.device->Wait(*rig.fence->buffer, 0, 0, NPU_WAIT_EQ, Clock::now(), nullptr));
  AssertOk(rig.device->Wait(*rig.fence->buffer, 0, 5, NPU_WAIT_NE, Clock::now(), nullptr));
  assert_int_equal(rig.device->Wait(*rig.fence->buffer, 4, 0, NPU_WAIT_GE, In(10), nullptr).code, EINVAL);
  assert_int_equal(rig.device->Wait(*rig.fence->buffer, 4096, 0, NPU_WAIT_GE, In(10), nullptr).code, EINVAL);
  assert_int_equal(rig.device->Wait(*rig.fence->buffer, 0, 0, 77, In(10), nullptr).code, EINVAL);
}

static void queues_wait_for_each_other(void**) {
  Rig rig;
  auto made = rig.device->CreateQueue(6, 1, 0);
  AssertOk(made);
  Queue& other = **made;
  // The other queue first waits for the fence of the rig's queue, then copies what that wrote.
  npu_packet packets[2] = {WaitPacket(rig.fence->pointer(), 1),
                           CopyPacket(rig.host->pointer(), rig.memory->pointer(), 4096)};
  packets[1].flags = NPU_PKT_F_SIGNAL;
  packets[1].signal_addr = rig.fence->pointer(64);
  packets[1].signal_value = 1;
  std::memcpy(other.ring(), packets, sizeof(packets));
  other.Doorbell(2);
  assert_int_equal(rig.device->Wait(*rig.fence->buffer, 64, 1, NPU_WAIT_GE, In(30), &other).code, ETIME);
  rig.Submit(FillPacket(rig.memory->pointer(), 0x5a, 4096));
  AssertOk(rig.device->Wait(*rig.fence->buffer, 64, 1, NPU_WAIT_GE, In(10000), &other));
  for (int i = 0; i < 4096; i++) assert_int_equal(rig.host->as<char>()[i], 0x5a);
}

static void a_kick_makes_the_device_look_again(void**) {
  Rig rig;
  rig.Submit(WaitPacket(rig.host->pointer(), 42));
  assert_int_equal(rig.Wait(30).code, ETIME);
  std::atomic_ref<uint64_t>(*rig.host->as<uint64_t>()).store(42);
  rig.queue->Kick();
  AssertOk(rig.Wait());
}

static void many_threads_many_queues(void**) {
  auto device = OpenDevice();
  uint64_t va = device->info().va_start;
  Area memory(*device, Memory::kDevice, 8 * 4096, va, 1);
  Area fences(*device, Memory::kHost, 4096, va + 0x200000, 2);
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 8; t++) {
    threads.emplace_back([&, t] {
      auto made = device->CreateQueue(5, 1, 0);
      if (!made) {
        failures++;
        return;
      }
      Queue& queue = **made;
      for (uint64_t n = 0; n < 100; n++) {
        npu_packet p = FillPacket(memory.pointer(static_cast<uint64_t>(t) * 4096), static_cast<uint8_t>(n), 4096);
        p.flags = NPU_PKT_F_SIGNAL;
        p.signal_addr = fences.pointer(static_cast<uint64_t>(t) * 64);
        p.signal_value = n + 1;
        std::memcpy(queue.ring() + n % queue.ring_packets(), &p, sizeof(p));
        queue.Doorbell(n + 1);
        if (device->Wait(*fences.buffer, static_cast<uint64_t>(t) * 64, n + 1, NPU_WAIT_GE, In(20000), &queue))
          failures++;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  assert_int_equal(failures.load(), 0);
  for (int i = 0; i < 8 * 4096; i++) assert_int_equal(memory.as<uint8_t>()[i], 99);
}

static void refuses_bad_queues(void**) {
  auto device = OpenDevice();
  assert_int_equal(device->CreateQueue(NPU_RING_LOG2_MIN - 1, 1, 0).error().code, EINVAL);
  assert_int_equal(device->CreateQueue(NPU_RING_LOG2_MAX + 1, 1, 0).error().code, EINVAL);
  assert_int_equal(device->CreateQueue(6, NPU_QUEUE_PRIORITIES, 0).error().code, EINVAL);
}

static void queues_end_with_work_in_them(void**) {
  Rig rig;
  rig.Submit(WaitPacket(rig.host->pointer(), 1));
  rig.Submit(FillPacket(rig.memory->pointer(), 1, 4096));
  rig.queue.reset();
  // The device does not touch the memory any more, and others work.
  assert_int_equal(rig.memory->as<char>()[0], 0);
  auto made = rig.device->CreateQueue(6, 1, 0);
  AssertOk(made);
  rig.queue = std::move(*made);
  rig.submitted = 0;
  rig.Submit(FillPacket(rig.memory->pointer(), 8, 4096));
  AssertOk(rig.Wait());
  assert_int_equal(rig.memory->as<char>()[0], 8);
}

const CMUnitTest queue_tests[] = {
    cmocka_unit_test(copies_between_all_memories),
    cmocka_unit_test(rings_wrap),
    cmocka_unit_test(waits_have_a_deadline),
    cmocka_unit_test(queues_wait_for_each_other),
    cmocka_unit_test(a_kick_makes_the_device_look_again),
    cmocka_unit_test(many_threads_many_queues),
    cmocka_unit_test(refuses_bad_queues),
    cmocka_unit_test(queues_end_with_work_in_them),
};
const size_t queue_test_count = sizeof(queue_tests) / sizeof(queue_tests[0]);
