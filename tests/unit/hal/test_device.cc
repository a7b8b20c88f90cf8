// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include "rig.hpp"

using namespace npu::hal;

static void describes_itself(void**) {
  auto device = OpenDevice();
  const DeviceInfo& info = device->info();
  assert_string_equal(info.backend.c_str(), backend_under_test.c_str());
  assert_false(info.name.empty());
  assert_true(info.cores >= 1);
  assert_true(info.queues >= 16);
  assert_true(info.slots >= 1);
  assert_true(info.sram_bytes >= 65536);
  assert_true(info.memory_bytes >= 64u << 20);
  assert_true(info.clock_hz > 0);
  assert_true(info.f32_macs_per_cycle > 0);
  assert_true(info.f16_macs_per_cycle >= info.f32_macs_per_cycle);
  assert_true(info.i8_macs_per_cycle >= info.f16_macs_per_cycle);
  assert_true(info.dma_bytes_per_cycle > 0 && info.memory_bytes_per_cycle > 0);
  assert_int_equal(info.contract_version >> 16, NPU_CONTRACT_MAJOR);
  assert_true(info.fw_version != 0);
  assert_true(info.va_start > 0 && info.va_start < info.va_end);
  assert_true(info.va_end <= 1ull << NPU_VA_BITS);
  assert_false(info.tree.empty());
}

static void tells_its_status(void**) {
  auto device = OpenDevice();
  auto status = device->Status();
  AssertOk(status);
  assert_true(status->memory_total > 0);
  assert_true(status->memory_free <= status->memory_total);
  assert_true(status->clock_khz > 0);
  assert_true(status->temperature_mc > 0 && status->temperature_mc < 150000);
}

static void is_listed(void**) {
  assert_false(ListDevices(backend_under_test).empty());
  assert_true(ListDevices("no such backend").empty());
}

static void refuses_unknown_names(void**) {
  auto device = npu::hal::OpenDevice("toaster");
  assert_false(static_cast<bool>(device));
  assert_int_equal(device.error().code, EINVAL);
  auto node = npu::hal::OpenDevice("/dev/null");
  assert_false(static_cast<bool>(node));
  assert_false(node.error().message.empty());
}

static void contexts_differ(void**) {
  auto a = OpenDevice();
  auto b = OpenDevice();
  assert_int_not_equal(a->context_id(), b->context_id());
  assert_ptr_not_equal(a->bounds(), b->bounds());
  assert_ptr_not_equal(a->faults(), b->faults());
}

static void closing_gives_memory_back(void**) {
  auto watcher = OpenDevice();
  auto before = watcher->Status();
  AssertOk(before);
  {
    auto device = OpenDevice();
    auto buffer = device->CreateBuffer(8 << 20, Memory::kDevice);
    AssertOk(buffer);
    auto during = watcher->Status();
    AssertOk(during);
    assert_true(during->memory_free <= before->memory_free - (8 << 20));
  }
  auto after = watcher->Status();
  AssertOk(after);
  assert_int_equal(after->memory_free, before->memory_free);
}

const CMUnitTest device_tests[] = {
    cmocka_unit_test(describes_itself), cmocka_unit_test(tells_its_status),
    cmocka_unit_test(is_listed),        cmocka_unit_test(refuses_unknown_names),
    cmocka_unit_test(contexts_differ),  cmocka_unit_test(closing_gives_memory_back),
};
const size_t device_test_count = sizeof(device_tests) / sizeof(device_tests[0]);
