// SPDX-License-Identifier: Apache-2.0
#include <poll.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include "npu_admin.h"
#include "rig.hpp"

using namespace npu::hal;

// The newest record of the context; there must be one.
static npu_fault_record LastRecord(Device& device) {
  uint64_t written = std::atomic_ref<uint64_t>(device.faults()->written).load(std::memory_order_acquire);
  assert_true(written > 0);
  npu_fault_record record;
  auto* records = reinterpret_cast<const npu_fault_record*>(device.faults() + 1);
  std::memcpy(&record, &records[(written - 1) % device.fault_entries()], sizeof(record));
  return record;
}

static void garbage_faults_the_queue_only(void**) {
  Rig rig, other;
  npu_packet garbage;
  std::memset(&garbage, 0xee, sizeof(garbage));
  std::memcpy(rig.queue->ring(), &garbage, sizeof(garbage));
  rig.queue->Doorbell(rig.submitted = 1);
  assert_int_equal(rig.Wait().code, EIO);
  assert_int_equal(LoadShared(rig.queue->status()->state), NPU_QUEUE_FAULTED);
  assert_int_equal(LoadShared(rig.queue->status()->error), NPU_FAULT_BAD_PACKET);
  npu_fault_record record = LastRecord(*rig.device);
  assert_int_equal(record.kind, NPU_FAULT_BAD_PACKET);
  assert_int_equal(record.queue, rig.queue->id());
  assert_int_equal(record.context, rig.device->context_id());
  assert_int_equal(record.packet, 0);
  // The device goes on: for another context, and for another queue of this one.
  other.Submit(FillPacket(other.memory->pointer(), 3, 4096));
  AssertOk(other.Wait());
  assert_int_equal(other.memory->as<char>()[4095], 3);
  auto made = rig.device->CreateQueue(6, 1, 0);
  AssertOk(made);
  rig.queue = std::move(*made);
  rig.submitted = 0;
  rig.Submit(FillPacket(rig.memory->pointer(), 4, 4096));
  AssertOk(rig.Wait());
}

static void an_empty_ring_does_not_run_on(void**) {
  Rig rig;
  rig.queue->Doorbell(rig.submitted = 1);
  assert_int_equal(rig.Wait().code, EIO);
  assert_int_equal(LastRecord(*rig.device).detail, NPU_PKT_ERR_TYPE);
}

static void a_wild_doorbell_faults(void**) {
  Rig rig;
  rig.queue->Doorbell(100000);
  assert_int_equal(rig.device->Wait(*rig.fence->buffer, 0, 1, NPU_WAIT_GE, In(10000), rig.queue.get()).code, EIO);
  assert_int_equal(LoadShared(rig.queue->status()->error), NPU_FAULT_BAD_DOORBELL);
}

static void out_of_bounds_copies_change_nothing(void**) {
  Rig rig;
  std::memset(rig.memory->as<char>(), 6, 65536);
  rig.device->bounds()[1].size = 1000;
  uint32_t epoch = rig.device->bounds()[0].ctl;
  std::atomic_ref<uint32_t>(rig.device->bounds()[0].ctl).store(epoch + 1);
  rig.Submit(CopyPacket(rig.memory->pointer(900), rig.host->pointer(), 101));
  assert_int_equal(rig.Wait().code, EIO);
  for (int i = 0; i < 65536; i++) assert_int_equal(rig.memory->as<char>()[i], 6);
  npu_fault_record record = LastRecord(*rig.device);
  assert_int_equal(record.kind, NPU_FAULT_OOB);
  assert_int_equal(record.access, NPU_ACCESS_WRITE);
  assert_int_equal(record.engine, NPU_ENGINE_COPY);
  assert_int_equal(record.addr, rig.memory->pointer(900));
  assert_int_equal(record.size, 101);
  assert_int_equal(record.bad_addr, rig.memory->va + 1000);
  assert_int_equal(record.bad_bytes, 1);
  assert_int_equal(record.buf_number, 1);
  assert_int_equal(record.buf_base, rig.memory->va);
  assert_int_equal(record.buf_size, 1000);
}

static void the_fault_descriptor_becomes_readable(void**) {
  Rig rig;
  pollfd fd = {rig.device->fault_fd(), POLLIN, 0};
  assert_true(fd.fd >= 0);
  assert_int_equal(poll(&fd, 1, 0), 0);
  rig.queue->Doorbell(rig.submitted = 1);
  assert_int_equal(poll(&fd, 1, 10000), 1);
  assert_true(fd.revents & POLLIN);
}

static void a_queue_goes_on_behind_the_fault(void**) {
  Rig rig;
  rig.Submit(FillPacket(rig.memory->pointer(65536), 1, 1));
  rig.Submit(FillPacket(rig.memory->pointer(0), 2, 16));
  assert_int_equal(rig.Wait().code, EIO);
  assert_int_equal(LoadShared(rig.queue->status()->rptr), 0);
  assert_int_equal(rig.memory->as<char>()[0], 0);
  AssertOk(rig.queue->Resume(NPU_RESUME_SKIP));
  AssertOk(rig.Wait());
  assert_int_equal(rig.memory->as<char>()[0], 2);
  assert_int_equal(LoadShared(rig.queue->status()->state), NPU_QUEUE_OK);
}

static void a_flush_drops_what_was_published(void**) {
  Rig rig;
  rig.Submit(FillPacket(rig.memory->pointer(65536), 1, 1));
  rig.Submit(FillPacket(rig.memory->pointer(0), 2, 16));
  assert_int_equal(rig.Wait().code, EIO);
  AssertOk(rig.queue->Resume(NPU_RESUME_FLUSH));
  // The device writes the state first, which Resume waits for, and then the read index.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (LoadShared(rig.queue->status()->rptr) != 2 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  assert_int_equal(LoadShared(rig.queue->status()->rptr), 2);
  rig.Submit(FillPacket(rig.memory->pointer(100), 3, 16));
  AssertOk(rig.Wait());
  assert_int_equal(rig.memory->as<char>()[0], 0);
  assert_int_equal(rig.memory->as<char>()[100], 3);
  // There is nothing to leave any more.
  assert_int_equal(rig.queue->Resume(NPU_RESUME_SKIP).code, EINVAL);
  assert_int_equal(rig.queue->Resume(99).code, EINVAL);
}

static void a_revoked_number_stops_a_waiting_queue(void**) {
  Rig rig;
  rig.Submit(WaitPacket(rig.host->pointer(), 1));
  assert_int_equal(rig.Wait(30).code, ETIME);
  npu_bounds_entry* bounds = rig.device->bounds();
  std::atomic_ref<uint32_t>(bounds[2].ctl).store(1 | NPU_BOUNDS_STATE_FREED << NPU_BOUNDS_STATE_SHIFT);
  uint32_t epoch = bounds[0].ctl;
  std::atomic_ref<uint32_t>(bounds[0].ctl).store(epoch + 1);
  rig.queue->Kick();
  assert_int_equal(rig.Wait().code, EIO);
  assert_int_equal(LastRecord(*rig.device).kind, NPU_FAULT_STALE);
  assert_int_equal(LastRecord(*rig.device).packet_type, NPU_PKT_WAIT);
}

const CMUnitTest fault_tests[] = {
    cmocka_unit_test(garbage_faults_the_queue_only),
    cmocka_unit_test(an_empty_ring_does_not_run_on),
    cmocka_unit_test(a_wild_doorbell_faults),
    cmocka_unit_test(out_of_bounds_copies_change_nothing),
    cmocka_unit_test(the_fault_descriptor_becomes_readable),
    cmocka_unit_test(a_queue_goes_on_behind_the_fault),
    cmocka_unit_test(a_flush_drops_what_was_published),
    cmocka_unit_test(a_revoked_number_stops_a_waiting_queue),
};
const size_t fault_test_count = sizeof(fault_tests) / sizeof(fault_tests[0]);
