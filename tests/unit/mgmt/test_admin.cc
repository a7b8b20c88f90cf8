// SPDX-License-Identifier: Apache-2.0
//
// The control firmware's mailbox: every command, and every way to refuse it.
#include <unistd.h>

#include <cstring>

#include "rig.h"
#include "suite.h"

namespace {

void Hello(void**) {
  Rig rig;
  rig.Boot();
  const Rig::Answer answer = rig.Command(NPU_ADMIN_HELLO, {NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION});
  assert_int_equal(answer.status, NPU_ADMIN_OK);
  assert_int_equal(answer.arg[0], NPU_ADMIN_PROTOCOL);
  assert_int_equal(answer.arg[1], rig.mgmt->version());
  assert_int_equal(rig.Command(NPU_ADMIN_HELLO, {NPU_ADMIN_PROTOCOL + 1, NPU_CONTRACT_VERSION}).status,
                   NPU_ADMIN_EVERSION);
  assert_int_equal(rig.Command(NPU_ADMIN_HELLO, {NPU_ADMIN_PROTOCOL, (NPU_CONTRACT_MAJOR + 1) << 16}).status,
                   NPU_ADMIN_EVERSION);
}

void UnknownCommands(void**) {
  Rig rig;
  rig.Boot();
  for (uint32_t op : {0u, uint32_t{NPU_ADMIN_OPS}, 1000u, ~0u})
    assert_int_equal(rig.Command(op).status, NPU_ADMIN_EOPNOTSUPP);
}

void MalformedRequests(void**) {
  Rig rig;
  rig.Boot();
  const uint32_t heartbeat = rig.mgmt->heartbeat();
  // A reserved word that is not zero.
  rig.mgmt->Pause();
  uint32_t seq = rig.Send(NPU_ADMIN_HELLO, {NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION});
  rig.mailbox()->reserved[7] = 1;
  rig.mgmt->Resume();
  assert_int_equal(rig.Receive(seq).status, NPU_ADMIN_EINVAL);
  // The mailbox's number is not the doorbell's.
  rig.mgmt->Pause();
  seq = rig.Send(NPU_ADMIN_HELLO, {NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION});
  rig.mailbox()->seq = seq + 5;
  rig.mgmt->Resume();
  const Rig::Answer answer = rig.Receive(seq);
  assert_int_equal(answer.status, NPU_ADMIN_EINVAL);
  assert_int_equal(answer.detail, offsetof(npu_mbox, seq));
  assert_true(rig.mgmt->heartbeat() != heartbeat);
}

// A mailbox outside device memory cannot be read: no answer, a line in the log, and the firmware lives.
void MailboxOutsideMemory(void**) {
  Rig rig;
  rig.Boot();
  for (uint64_t address : {FakeDevice::kMemoryBytes - 8, ~uint64_t{7}, FakeDevice::kMailbox + 4}) {
    rig.device.With([&] { rig.device.mbox_addr = address; });
    const uint32_t heartbeat = rig.mgmt->heartbeat();
    const uint32_t seq = rig.Send(NPU_ADMIN_HELLO);
    assert_true(rig.device.WaitFor([&] { return rig.LogContains("command " + std::to_string(seq) + " not read"); }));
    assert_true(rig.mgmt->heartbeat() != heartbeat);
  }
  rig.device.With([&] { rig.device.mbox_addr = FakeDevice::kMailbox; });
  assert_int_equal(rig.Command(NPU_ADMIN_HELLO, {NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION}).status, NPU_ADMIN_OK);
}

void Contexts(void**) {
  Rig rig;
  rig.Boot();
  rig.CreateContext(1);
  assert_int_equal(rig.Command(NPU_ADMIN_CTX_CREATE, {1}).status, NPU_ADMIN_EEXIST);
  for (uint64_t number : {uint64_t{0}, uint64_t{256}, uint64_t{1} << 32 | 2, ~uint64_t{0}}) {
    assert_int_equal(rig.Command(NPU_ADMIN_CTX_CREATE, {number}).status, NPU_ADMIN_EINVAL);
    assert_int_equal(rig.Command(NPU_ADMIN_CTX_DESTROY, {number}).status, NPU_ADMIN_EINVAL);
  }
  assert_int_equal(rig.Command(NPU_ADMIN_CTX_DESTROY, {2}).status, NPU_ADMIN_ENOENT);
  rig.CreateContext(255);
  rig.device.With([&] { assert_true(rig.device.contexts == std::set<uint32_t>({1, 255})); });
  rig.CreateQueue(7);
  assert_int_equal(rig.Command(NPU_ADMIN_CTX_DESTROY, {1}).status, NPU_ADMIN_EBUSY);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_DESTROY, {7}).status, NPU_ADMIN_OK);
  assert_int_equal(rig.Command(NPU_ADMIN_CTX_DESTROY, {1}).status, NPU_ADMIN_OK);
  rig.device.With([&] { assert_true(rig.device.contexts == std::set<uint32_t>({255})); });
}

// Each field of a descriptor, wrong by itself: refused, and the detail names the field.
template <class Descriptor>
struct Damage {
  size_t field;
  void (*apply)(Descriptor*);
};

void ContextDescriptors(void**) {
  Rig rig;
  rig.Boot();
  rig.CreateContext(1);
  const npu_ctx_desc good = *rig.context(1);
  const Damage<npu_ctx_desc> kDamages[] = {
      {offsetof(npu_ctx_desc, flags), [](npu_ctx_desc* d) { d->flags = 0; }},
      {offsetof(npu_ctx_desc, flags), [](npu_ctx_desc* d) { d->flags |= 0x80; }},
      {offsetof(npu_ctx_desc, irq_vector), [](npu_ctx_desc* d) { d->irq_vector = NPU_NUM_VECTORS; }},
      {offsetof(npu_ctx_desc, pt_root), [](npu_ctx_desc* d) { d->pt_root += 8; }},
      {offsetof(npu_ctx_desc, pt_root), [](npu_ctx_desc* d) { d->pt_root = FakeDevice::kMemoryBytes - 4096; }},
      {offsetof(npu_ctx_desc, pt_root), [](npu_ctx_desc* d) { d->pt_root = ~uint64_t{4095}; }},
      {offsetof(npu_ctx_desc, bounds_entries), [](npu_ctx_desc* d) { d->bounds_entries = 65537; }},
      {offsetof(npu_ctx_desc, bounds_addr), [](npu_ctx_desc* d) { d->bounds_addr = FakeDevice::kMemoryBytes - 32; }},
      {offsetof(npu_ctx_desc, bounds_addr), [](npu_ctx_desc* d) { d->bounds_addr = ~uint64_t{31}; }},
      {offsetof(npu_ctx_desc, fault_ring), [](npu_ctx_desc* d) { d->fault_ring += 64; }},
      {offsetof(npu_ctx_desc, fault_entries), [](npu_ctx_desc* d) { d->fault_entries = 12; }},
      {offsetof(npu_ctx_desc, fault_entries), [](npu_ctx_desc* d) { d->fault_entries = 0; }},
      {offsetof(npu_ctx_desc, reserved), [](npu_ctx_desc* d) { d->reserved[9] = 1; }},
  };
  for (const auto& damage : kDamages) {
    *rig.context(2) = good;
    damage.apply(rig.context(2));
    const Rig::Answer answer = rig.Command(NPU_ADMIN_CTX_CREATE, {2});
    assert_int_equal(answer.status, NPU_ADMIN_EINVAL);
    assert_int_equal(answer.detail, damage.field);
  }
  rig.device.With([&] { assert_int_equal(rig.device.contexts.size(), 1); });
}

void QueueDescriptors(void**) {
  Rig rig;
  rig.Boot();
  rig.CreateContext(1);
  const Damage<npu_queue_desc> kDamages[] = {
      {offsetof(npu_queue_desc, flags), [](npu_queue_desc* d) { d->flags = 0; }},
      {offsetof(npu_queue_desc, flags), [](npu_queue_desc* d) { d->flags |= 2; }},
      {offsetof(npu_queue_desc, ring_log2), [](npu_queue_desc* d) { d->ring_log2 = NPU_RING_LOG2_MIN - 1; }},
      {offsetof(npu_queue_desc, ring_log2), [](npu_queue_desc* d) { d->ring_log2 = NPU_RING_LOG2_MAX + 1; }},
      {offsetof(npu_queue_desc, ring_log2), [](npu_queue_desc* d) { d->ring_log2 = ~0u; }},
      {offsetof(npu_queue_desc, ring_addr), [](npu_queue_desc* d) { d->ring_addr += 64; }},
      {offsetof(npu_queue_desc, ring_addr), [](npu_queue_desc* d) { d->ring_addr = FakeDevice::kMemoryBytes; }},
      {offsetof(npu_queue_desc, ring_addr), [](npu_queue_desc* d) { d->ring_addr = ~uint64_t{4095}; }},
      {offsetof(npu_queue_desc, priority), [](npu_queue_desc* d) { d->priority = NPU_QUEUE_PRIORITIES; }},
      {offsetof(npu_queue_desc, status_addr), [](npu_queue_desc* d) { d->status_addr = 0; }},
      {offsetof(npu_queue_desc, status_addr), [](npu_queue_desc* d) { d->status_addr += 4; }},
      {offsetof(npu_queue_desc, status_addr), [](npu_queue_desc* d) { d->status_addr += 4096 - 248; }},
      {offsetof(npu_queue_desc, reserved), [](npu_queue_desc* d) { d->reserved[10] = 1; }},
  };
  for (const auto& damage : kDamages) {
    rig.DescribeQueue(5, 1, 1, 0);
    damage.apply(rig.queue(5));
    const Rig::Answer answer = rig.Command(NPU_ADMIN_QUEUE_CREATE, {5});
    assert_int_equal(answer.status, NPU_ADMIN_EINVAL);
    assert_int_equal(answer.detail, damage.field);
  }
  rig.DescribeQueue(5, 2, 1, 0);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_CREATE, {5}).status, NPU_ADMIN_ENOENT);
  rig.device.With([&] { assert_true(rig.device.map_order.empty()); });
}

// Numbers that name no queue, for each command that takes one.
void QueueNumbers(void**) {
  Rig rig;
  rig.Boot();
  rig.CreateContext(1);
  for (uint32_t op :
       {uint32_t{NPU_ADMIN_QUEUE_CREATE}, uint32_t{NPU_ADMIN_QUEUE_DESTROY}, uint32_t{NPU_ADMIN_QUEUE_RESUME},
        uint32_t{NPU_ADMIN_QUEUE_SUSPEND}, uint32_t{NPU_ADMIN_QUEUE_INFO}}) {
    for (uint64_t number : {uint64_t{1024}, uint64_t{1} << 32, ~uint64_t{0}})
      assert_int_equal(rig.Command(op, {number}).status, NPU_ADMIN_EINVAL);
    if (op != NPU_ADMIN_QUEUE_CREATE) assert_int_equal(rig.Command(op, {9}).status, NPU_ADMIN_ENOENT);
  }
  rig.CreateQueue(9);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_CREATE, {9}).status, NPU_ADMIN_EEXIST);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {9, NPU_RESUME_SKIP}).status, NPU_ADMIN_EINVAL);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_RESUME, {9, 2}).status, NPU_ADMIN_EINVAL);
}

void QueueLife(void**) {
  Rig rig;
  rig.Boot();
  rig.CreateContext(1);
  rig.CreateQueue(0);
  rig.device.With([&] {
    assert_int_equal(rig.device.active_queues, 1);
    assert_int_equal(rig.device.queues[0].slot, 0);
    assert_false(rig.device.queues[0].dead);
  });
  rig.device.Ring(0, 5);
  Rig::Answer info = rig.Command(NPU_ADMIN_QUEUE_INFO, {0});
  assert_int_equal(info.arg[0], 1);
  assert_int_equal(info.arg[1], NPU_SLOT_IDLE);
  assert_int_equal(info.arg[2], 5);
  assert_int_equal(info.arg[3], 5);
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_DESTROY, {0}).status, NPU_ADMIN_OK);
  rig.device.With([&] {
    assert_int_equal(rig.device.active_queues, 0);
    assert_int_equal(rig.device.queues[0].slot, -1);
    assert_true(rig.device.queues[0].dead);
  });
  assert_int_equal(rig.Command(NPU_ADMIN_QUEUE_DESTROY, {0}).status, NPU_ADMIN_ENOENT);
  rig.CreateQueue(0);  // starts anew
  info = rig.Command(NPU_ADMIN_QUEUE_INFO, {0});
  assert_int_equal(info.arg[2], 0);
  assert_int_equal(info.arg[3], 0);
}

void Log(void**) {
  Rig rig;
  rig.Boot();
  const Rig::Answer first = rig.Command(NPU_ADMIN_GET_LOG, {0});
  assert_int_equal(first.status, NPU_ADMIN_OK);
  assert_true(first.arg[0] > 0 && first.arg[0] <= NPU_MBOX_DATA);
  const std::string text(reinterpret_cast<const char*>(rig.mailbox()->data), first.arg[0]);
  assert_true(text.find("control firmware 1.0.0: 4 cores") != std::string::npos);
  const Rig::Answer rest = rig.Command(NPU_ADMIN_GET_LOG, {first.arg[1]});
  assert_int_equal(rest.arg[0], 0);
  assert_int_equal(rest.arg[1], first.arg[1]);
  assert_int_equal(rig.Command(NPU_ADMIN_GET_LOG, {~uint64_t{0}}).arg[0], 0);
  // More than the ring holds: reading from the start begins with the oldest that is left, and ends.
  for (int i = 0; i < 300; ++i) rig.Command(~0u);
  uint64_t position = 0, bytes = 0;
  for (int i = 0; i < 4; ++i) {
    const Rig::Answer part = rig.Command(NPU_ADMIN_GET_LOG, {position});
    bytes += part.arg[0];
    position = part.arg[1];
  }
  assert_true(bytes > 8000 && bytes <= 8192);
}

void PowerLevels(void**) {
  Rig rig;
  rig.Boot();
  const uint32_t kClocks[] = {400'000, 600'000, 800'000, 1'000'000};
  for (uint32_t level : {0u, 2u, 1u, 3u}) {
    assert_int_equal(rig.Command(NPU_ADMIN_SET_POWER, {level}).status, NPU_ADMIN_OK);
    rig.device.With([&] {
      assert_int_equal(rig.device.clock_khz, kClocks[level]);
      assert_int_equal(rig.device.throttle, level < 3 ? NPU_THROTTLE_POWER : 0);
    });
  }
  assert_int_equal(rig.Command(NPU_ADMIN_SET_POWER, {4}).status, NPU_ADMIN_EINVAL);
  assert_int_equal(rig.Command(NPU_ADMIN_SET_POWER, {uint64_t{1} << 32}).status, NPU_ADMIN_EINVAL);
}

// Hot: one step down a sample; cool again: one step up; between the two thresholds: no change.
void ThermalThrottling(void**) {
  Rig rig;
  rig.Boot();
  const auto sample = [&](int32_t temperature) {
    rig.device.With([&] { rig.device.temperature = temperature; });
    rig.Command(NPU_ADMIN_QUEUE_INFO, {0});
    uint32_t clock = 0;
    rig.device.With([&] { clock = rig.device.clock_khz; });
    return clock;
  };
  assert_int_equal(sample(94'999), 1'000'000);
  assert_true(sample(95'000) < 1'000'000);
  for (int i = 0; i < 5; ++i) sample(110'000);
  rig.device.With([&] {
    assert_int_equal(rig.device.clock_khz, 400'000);
    assert_int_equal(rig.device.throttle, NPU_THROTTLE_THERMAL);
    assert_int_equal(rig.device.health, NPU_HEALTH_DEGRADED);
  });
  assert_int_equal(sample(90'000), 400'000);
  const Rig::Answer event = rig.Command(NPU_ADMIN_GET_EVENT);
  assert_int_equal(event.arg[0], NPU_FW_EVENT_THERMAL);
  assert_int_equal(event.arg[1], 95'000);
  // Cool: it recovers by itself, without commands, because a throttled device is sampled.
  rig.device.With([&] { rig.device.temperature = 60'000; });
  rig.mgmt->RaiseIrq(NPU_MG_IRQ_RAS);
  for (int i = 0; i < 5; ++i) sample(60'000);
  rig.device.With([&] {
    assert_int_equal(rig.device.clock_khz, 1'000'000);
    assert_int_equal(rig.device.throttle, 0);
    assert_int_equal(rig.device.health, NPU_HEALTH_OK);
  });
}

void RetiredPages(void**) {
  char dir[] = "/tmp/npu-mgmt-XXXXXX";
  assert_non_null(mkdtemp(dir));
  const std::string path = std::string(dir) + "/nvram";
  {
    Rig rig(path);
    rig.Boot();
    assert_int_equal(rig.Command(NPU_ADMIN_RETIRE_PAGE, {0x5000}).status, NPU_ADMIN_OK);
    assert_int_equal(rig.Command(NPU_ADMIN_RETIRE_PAGE, {0x5000}).status, NPU_ADMIN_EEXIST);
    assert_int_equal(rig.Command(NPU_ADMIN_RETIRE_PAGE, {0x5001}).status, NPU_ADMIN_EINVAL);
    assert_int_equal(rig.Command(NPU_ADMIN_RETIRE_PAGE, {FakeDevice::kMemoryBytes}).status, NPU_ADMIN_EINVAL);
    assert_int_equal(rig.Command(NPU_ADMIN_RETIRE_PAGE, {~uint64_t{4095}}).status, NPU_ADMIN_EINVAL);
    rig.mgmt->Stop();
    rig.Expect(NPU_FW_STATE_OFF);
    rig.Boot();
    assert_int_equal(rig.Command(NPU_ADMIN_GET_RETIRED).arg[0], 1);
  }
  Rig rig(path);  // power cycle
  rig.Boot();
  assert_int_equal(rig.Command(NPU_ADMIN_GET_RETIRED).arg[0], 1);
  uint64_t page = 0;
  std::memcpy(&page, rig.mailbox()->data, 8);
  assert_int_equal(page, 0x5000);
  for (uint64_t i = 1; i < 64; ++i)
    assert_int_equal(rig.Command(NPU_ADMIN_RETIRE_PAGE, {0x100000 + i * 4096}).status, NPU_ADMIN_OK);
  assert_int_equal(rig.Command(NPU_ADMIN_RETIRE_PAGE, {0x6000}).status, NPU_ADMIN_ENOSPC);
  assert_int_equal(rig.Command(NPU_ADMIN_GET_RETIRED).arg[0], 64);
  rig.device.With([&] { assert_int_equal(rig.device.retired, 64); });
  unlink(path.c_str());
  rmdir(dir);
}

// One correctable error is forgiven, the second at the same place retires the page; an uncorrectable one at once.  Each
// retired page is scrubbed.  Errors of SRAM retire nothing, those of the link are told.
void EccRetiresPages(void**) {
  Rig rig;
  rig.Boot();
  rig.device.With([&] { rig.device.ecc = {0x9008}; });
  rig.device.RaiseRas();
  assert_true(rig.device.WaitFor([&] { return rig.device.ecc.empty(); }));
  assert_int_equal(rig.Command(NPU_ADMIN_GET_RETIRED).arg[0], 0);
  rig.device.With([&] { rig.device.ecc = {0x9ff8, NPU_INJ_SRAM(2, 0x40) | 1ull << 62, NPU_INJ_SRAM(2, 0x40)}; });
  rig.device.RaiseRas();
  assert_true(rig.device.WaitFor([&] { return rig.device.ecc.empty(); }));
  assert_int_equal(rig.Command(NPU_ADMIN_GET_RETIRED).arg[0], 0);
  assert_true(rig.LogContains("uncorrectable error in the SRAM of core 2 at 0x40"));
  rig.device.With([&] { rig.device.ecc = {0x9008}; });
  rig.device.RaiseRas();
  assert_true(rig.device.WaitFor([&] { return rig.device.retired == 1; }));
  rig.device.With([&] { rig.device.ecc = {0x20010 | 1ull << 62}; });
  rig.device.RaiseRas();
  assert_true(rig.device.WaitFor([&] { return rig.device.retired == 2; }));
  const Rig::Answer event = rig.Command(NPU_ADMIN_GET_EVENT);
  assert_int_equal(event.arg[0], NPU_FW_EVENT_PAGE);
  assert_int_equal(event.arg[1], 0x9000);
  assert_int_equal(rig.Command(NPU_ADMIN_GET_EVENT).arg[1], 0x20000);
  assert_int_equal(rig.Command(NPU_ADMIN_GET_EVENT).arg[0], NPU_FW_EVENT_NONE);
  rig.device.With([&] {
    assert_true(rig.device.scrubs == (std::vector<uint64_t>{0x9000, 0x20000}));
    rig.device.host_events = 0;
    rig.device.link = 3;
  });
  rig.device.RaiseRas();
  assert_true(rig.device.WaitFor([&] { return rig.device.host_events & NPU_EVENT_FW_MSG; }));
  const Rig::Answer link = rig.Command(NPU_ADMIN_GET_EVENT);
  assert_true(link.arg[0] == NPU_FW_EVENT_LINK && link.arg[1] == 3);
  // When there is no room for more the device is not what it was.
  for (uint64_t i = 0; i < 62; ++i) {
    rig.device.With([&] { rig.device.ecc = {(0x100000 + i * 4096) | 1ull << 62}; });
    rig.device.RaiseRas();
    assert_true(rig.device.WaitFor([&] { return rig.device.retired == i + 3; }));
  }
  assert_true(rig.device.WaitFor([&] { return rig.device.health == NPU_HEALTH_DEGRADED; }));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(Hello),
      cmocka_unit_test(UnknownCommands),
      cmocka_unit_test(MalformedRequests),
      cmocka_unit_test(MailboxOutsideMemory),
      cmocka_unit_test(Contexts),
      cmocka_unit_test(ContextDescriptors),
      cmocka_unit_test(QueueDescriptors),
      cmocka_unit_test(QueueNumbers),
      cmocka_unit_test(QueueLife),
      cmocka_unit_test(Log),
      cmocka_unit_test(PowerLevels),
      cmocka_unit_test(ThermalThrottling),
      cmocka_unit_test(RetiredPages),
      cmocka_unit_test(EccRetiresPages),
  };
  return cmocka_run_group_tests_name("mgmt.admin", tests, nullptr, nullptr);
}
