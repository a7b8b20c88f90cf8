// SPDX-License-Identifier: Apache-2.0
//
// BAR0 through the C ABI: identification, sizes, events, ROM, bad accesses, configuration errors, injection.
#include <libfdt.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/timing.h"
#include "suite.h"

using rig::Rig;

namespace {

// A model made through the C ABI with the rig's configuration (and its own memory).
struct Abi {
  explicit Abi(Rig& rig) : config(rig.config()), memory(rig::kMemory + 4096) {
    auto at = (reinterpret_cast<uintptr_t>(memory.data()) + 4095) & ~uintptr_t{4095};
    config.memory = reinterpret_cast<void*>(at);
    model = api->create(&config, error, sizeof(error));
  }
  ~Abi() {
    if (model) api->destroy(model);
  }
  uint64_t Get(uint64_t offset, unsigned size = 4) { return api->mmio_read(model, offset, size); }
  const npu_model_api* api = npu_model_get_api(NPU_MODEL_ABI);
  npu_model_config config;
  std::vector<uint8_t> memory;
  npu_model* model = nullptr;
  char error[256] = "";
};

void Identification(void** state) {
  Rig rig(Threads(state));
  Abi abi(rig);
  assert_non_null(abi.model);
  assert_null(npu_model_get_api(NPU_MODEL_ABI + 1));
  assert_int_equal(abi.Get(NPU_REG_MAGIC), NPU_MAGIC);
  assert_int_equal(abi.Get(NPU_REG_CONTRACT_VERSION), NPU_CONTRACT_VERSION);
  assert_true(abi.Get(NPU_REG_MEM_SIZE, 8) == rig::kMemory);
  assert_int_equal(abi.Get(NPU_REG_MEM_SIZE), static_cast<uint32_t>(rig::kMemory));
  assert_int_equal(abi.Get(NPU_REG_MEM_SIZE + 4), rig::kMemory >> 32);
  assert_int_equal(abi.Get(NPU_REG_NUM_CORES), 4);
  assert_int_equal(abi.Get(NPU_REG_NUM_QUEUES), NPU_MAX_QUEUES);
  assert_int_equal(abi.Get(NPU_REG_NUM_SLOTS), NPU_MAX_SLOTS);
  assert_int_equal(abi.Get(NPU_REG_NUM_CONTEXTS), NPU_MAX_CONTEXTS);
  assert_int_equal(abi.Get(NPU_REG_FW_STATE), NPU_FW_STATE_OFF);
  assert_true(abi.Get(NPU_REG_UUID, 8) == rig.Get(NPU_REG_UUID, 8));
  uint64_t t = abi.Get(NPU_REG_TIME_NS, 8);
  assert_true(abi.Get(NPU_REG_TIME_NS, 8) > t);
  char text[64];
  size_t all = abi.api->describe(abi.model, text, sizeof(text));
  assert_true(all > sizeof(text));
  assert_int_equal(strlen(text), sizeof(text) - 1);
}

void Rom(void** state) {
  Rig rig(Threads(state));
  auto bytes = static_cast<uint32_t>(rig.Get(NPU_REG_ROM_BYTES));
  std::vector<uint8_t> rom(bytes + 8);
  for (uint32_t i = 0; i < bytes; i += 4) {
    auto word = static_cast<uint32_t>(rig.Get(NPU_ROM_OFFSET + i));
    memcpy(rom.data() + i, &word, 4);
  }
  assert_int_equal(rig.Get(NPU_ROM_OFFSET + 1, 1), rom[1]);
  assert_int_equal(fdt_check_full(rom.data(), bytes), 0);
  assert_int_equal(fdt_node_check_compatible(rom.data(), 0, "npu,npu1"), 0);
  auto cell = [&rom](const char* node, const char* name) {
    int n = fdt_path_offset(rom.data(), node), length = 0;
    const void* p = fdt_getprop(rom.data(), n, name, &length);
    assert_non_null(p);
    uint64_t value = 0;
    for (int i = 0; i < length; ++i) value = value << 8 | static_cast<const uint8_t*>(p)[i];
    return value;
  };
  assert_int_equal(cell("/cores", "npu,count"), 4);
  assert_true(cell("/memory", "npu,bytes") == rig::kMemory);
  assert_int_equal(cell("/timing", "npu,launch-cycles"), npu::model::kTiming.launch_cycles);
  assert_int_equal(cell("/cores/matrix", "npu,f32-macs-per-cycle"), npu::model::kTiming.f32_macs_per_cycle);
  assert_int_equal(cell("/cores/matrix", "npu,tf32-macs-per-cycle"), npu::model::kTiming.tf32_macs_per_cycle);
  assert_int_equal(cell("/cores/matrix", "npu,f16-macs-per-cycle"), npu::model::kTiming.f16_macs_per_cycle);
  assert_int_equal(cell("/cores/matrix", "npu,f8-macs-per-cycle"), npu::model::kTiming.f8_macs_per_cycle);
  assert_int_equal(cell("/cores/matrix", "npu,i8-macs-per-cycle"), npu::model::kTiming.i8_macs_per_cycle);
  assert_int_equal(cell("/cores/matrix", "npu,i4-macs-per-cycle"), npu::model::kTiming.i4_macs_per_cycle);
  assert_true(fdt_getprop(rom.data(), fdt_path_offset(rom.data(), "/features"), "npu,bounds", nullptr) != nullptr);
}

void WideRegistersInHalves(void** state) {
  Rig rig(Threads(state));
  rig.Set(NPU_REG_MBOX_ADDR, 0x1111222233334444ull, 8);
  rig.Set(NPU_REG_MBOX_ADDR, 0xaaaabbbb);
  assert_true(rig.Get(NPU_REG_MBOX_ADDR, 8) == 0x1111222233334444ull);  // not before the high half
  rig.Set(NPU_REG_MBOX_ADDR + 4, 0xccccdddd);
  assert_true(rig.Get(NPU_REG_MBOX_ADDR, 8) == 0xccccddddaaaabbbbull);
  assert_true(rig.Mg(NPU_MG_MBOX_ADDR, 8) == 0xccccddddaaaabbbbull);
}

void BadAccesses(void** state) {
  Rig rig(Threads(state));
  struct Bad {
    uint64_t offset;
    unsigned size;
  };
  for (Bad bad : {Bad{0x000c, 4},
                  {0x1, 4},
                  {0x2, 2},
                  {0x0, 8},
                  {0x0, 3},
                  {NPU_BAR0_SIZE, 4},
                  {~0ull - 3, 4},
                  {NPU_CORE_OFFSET + 4 * NPU_CORE_STRIDE, 8},
                  {0x300000, 4}}) {
    uint32_t before = rig.guest_errors();
    assert_true(rig.device().MmioRead(bad.offset, bad.size) == 0);
    assert_int_equal(rig.guest_errors(), before + 1);
    rig.device().MmioWrite(bad.offset, ~0ull, bad.size);
    assert_int_equal(rig.guest_errors(), before + 2);
  }
  rig.Set(NPU_REG_MAGIC, 0);
  assert_int_equal(rig.Get(NPU_REG_MAGIC), NPU_MAGIC);
  for (uint32_t offset = 0; offset < NPU_BAR0_SIZE; offset += 0x1fc)
    for (unsigned size : {1u, 2u, 4u, 8u}) rig.Get(offset, size);
}

void Events(void** state) {
  Rig rig(Threads(state));
  rig.MgSet(NPU_MG_HOST_EVENT, NPU_EVENT_FW_MSG);
  assert_int_equal(rig.irqs(NPU_IRQ_ADMIN), 0);
  assert_int_equal(rig.Get(NPU_REG_EVENTS), NPU_EVENT_FW_MSG);
  rig.Set(NPU_REG_EVENT_MASK, NPU_EVENT_FW_MSG | NPU_EVENT_MBOX | NPU_EVENT_RAS);
  assert_int_equal(rig.irqs(NPU_IRQ_ADMIN), 1);  // was pending when it was unmasked
  rig.MgSet(NPU_MG_MBOX_ACK, 7);
  assert_int_equal(rig.Get(NPU_REG_MBOX_ACK), 7);
  assert_int_equal(rig.irqs(NPU_IRQ_ADMIN), 2);
  rig.MgSet(NPU_MG_HOST_EVENT, NPU_EVENT_RAS);
  assert_int_equal(rig.irqs(NPU_IRQ_ERROR), 1);
  rig.Set(NPU_REG_EVENTS, NPU_EVENT_MBOX);
  assert_int_equal(rig.Get(NPU_REG_EVENTS), NPU_EVENT_FW_MSG | NPU_EVENT_RAS);
  rig.Set(NPU_REG_INJ_KIND, NPU_INJ_LOST_IRQ);
  rig.Set(NPU_REG_INJ_COUNT, 1);
  rig.Set(NPU_REG_INJ_CTRL, 1);
  rig.MgSet(NPU_MG_HOST_EVENT, NPU_EVENT_RAS);
  assert_int_equal(rig.irqs(NPU_IRQ_ERROR), 1);
  assert_true(rig.Get(NPU_REG_INJ_DONE, 8) == 1);
  rig.MgSet(NPU_MG_HOST_EVENT, NPU_EVENT_RAS);
  assert_int_equal(rig.irqs(NPU_IRQ_ERROR), 2);
}

void Injection(void** state) {
  Rig rig(Threads(state));
  auto arm = [&rig](uint32_t kind) {
    rig.Set(NPU_REG_INJ_KIND, kind);
    rig.Set(NPU_REG_INJ_CTRL, 1);
    return static_cast<uint32_t>(rig.Get(NPU_REG_INJ_STATUS));
  };
  assert_int_equal(arm(NPU_INJ_NONE), 22);
  assert_int_equal(arm(99), 22);
  assert_int_equal(arm(NPU_INJ_FW_CRASH), 19);  // no firmware runs
  auto before = static_cast<int32_t>(rig.Mg(NPU_MG_SENSOR_TEMP));
  assert_in_range(before, 34000, 36000);
  rig.Set(NPU_REG_INJ_ADDR, 60000, 8);
  assert_int_equal(arm(NPU_INJ_TEMP), 0);
  assert_in_range(rig.Mg(NPU_MG_SENSOR_TEMP), 94000, 96500);
  rig.Set(NPU_REG_INJ_CTRL, 2);
  assert_in_range(rig.Mg(NPU_MG_SENSOR_TEMP), 34000, 36500);
}

void Published(void** state) {
  Rig rig(Threads(state));
  rig.MgSet(NPU_MG_HEALTH, NPU_HEALTH_WARN);
  rig.MgSet(NPU_MG_PUB_TEMP, 41000);
  rig.MgSet(NPU_MG_PUB_UTIL, 123);
  rig.MgSet(NPU_MG_CLOCK_KHZ, 600000);
  rig.MgSet(NPU_MG_CLOCK_KHZ, 1);  // not a clock that there is
  assert_int_equal(rig.Get(NPU_REG_HEALTH), NPU_HEALTH_WARN);
  assert_int_equal(rig.Get(NPU_REG_TEMP_MC), 41000);
  assert_int_equal(rig.Get(NPU_REG_UTIL_PERMILLE), 123);
  assert_int_equal(rig.Get(NPU_REG_CLOCK_KHZ), 600000);
  uint64_t value = 0;
  assert_false(rig.device().MgmtRead(NPU_MG_SENSOR_ENERGY, 4, &value));
  assert_false(rig.device().MgmtRead(0x2fc, 4, &value));
  assert_false(rig.device().MgmtWrite(NPU_MG_NUM_CORES, 4, 1));
  assert_false(rig.device().MgmtWrite(NPU_MG_SLOT_OFFSET + NPU_MG_SLOT_STATE, 4, 1));
}

void Configurations(void** state) {
  Rig rig(Threads(state));
  auto refused = [&rig](auto change, const char* word) {
    npu_model_config config = rig.config();
    change(config);
    char error[256] = "";
    const npu_model_api* api = npu_model_get_api(NPU_MODEL_ABI);
    npu_model* model = api->create(&config, error, sizeof(error));
    assert_null(model);
    assert_non_null(strstr(error, word));
  };
  refused([](npu_model_config& c) { c.abi = 9; }, "abi");
  refused([](npu_model_config& c) { c.cores = 65; }, "cores");
  refused([](npu_model_config& c) { c.queues = 8; }, "queues");
  refused([](npu_model_config& c) { c.memory_bytes = 100 << 20; }, "memory_bytes");
  refused([](npu_model_config& c) { c.memory = nullptr; }, "memory");
  refused([](npu_model_config& c) { c.ops.msix = nullptr; }, "ops");
  refused([](npu_model_config& c) { c.simd = "sse9"; }, "sse9");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {NPU_CASE(Identification), NPU_CASE(Rom),           NPU_CASE(WideRegistersInHalves),
                              NPU_CASE(BadAccesses),    NPU_CASE(Events),        NPU_CASE(Injection),
                              NPU_CASE(Published),      NPU_CASE(Configurations)};
  return cmocka_run_group_tests_name("device.registers", tests, nullptr, nullptr);
}
