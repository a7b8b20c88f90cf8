// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "npu_packet.h"
#include "registry.hpp"

namespace npu::rt {
namespace {

template <size_t n>
void CopyText(char (&to)[n], const std::string& from) {
  size_t length = std::min(from.size(), n - 1);
  std::memcpy(to, from.data(), length);
  to[length] = 0;
}

}  // namespace
}  // namespace npu::rt

using namespace npu::rt;

npuError_t npuSetBackend(const char* backend) {
  return Guard([&]() -> Status {
    if (!backend) return Fail(npuErrorInvalidValue, "backend is NULL");
    return Registry::Get().SetBackend(backend);
  });
}

npuError_t npuRuntimeGetVersion(uint32_t* version) {
  return Guard([&]() -> Status {
    if (!version) return Fail(npuErrorInvalidValue, "version is NULL");
    *version = NPU_RUNTIME_VERSION;
    return {};
  });
}

npuError_t npuGetDeviceCount(int* count) {
  return Guard([&]() -> Status {
    if (!count) return Fail(npuErrorInvalidValue, "count is NULL");
    return Registry::Get().Count(count);
  });
}

npuError_t npuSetDevice(int device) {
  return Guard([&]() -> Status {
    NPU_TRY(Registry::Get().CheckIndex(device));
    Registry::current_device() = device;
    return {};
  });
}

npuError_t npuGetDevice(int* device) {
  return Guard([&]() -> Status {
    if (!device) return Fail(npuErrorInvalidValue, "device is NULL");
    *device = Registry::current_device();
    return {};
  });
}

npuError_t npuGetDeviceProperties(npuDeviceProp* prop, int device) {
  return Guard([&]() -> Status {
    if (!prop) return Fail(npuErrorInvalidValue, "prop is NULL");
    std::shared_ptr<Context> context;
    NPU_TRY(Registry::Get().Open(device, &context));
    const npu::hal::DeviceInfo& info = context->device().info();
    npuDeviceProp p = {};
    CopyText(p.name, info.name);
    CopyText(p.backend, info.backend);
    CopyText(p.bdf, info.bdf);
    CopyText(p.node, info.node);
    p.uuid = info.uuid;
    p.hwVersion = info.hw_version;
    p.contractVersion = info.contract_version;
    p.firmwareVersion = info.fw_version;
    p.cores = info.cores;
    p.sramBytes = info.sram_bytes;
    p.queues = info.queues;
    p.totalMemory = info.memory_bytes;
    p.clockHz = info.clock_hz;
    p.f32MacsPerCycle = info.f32_macs_per_cycle;
    p.maxArgsBytes = NPU_LAUNCH_ARGS_MAX;
    p.f16MacsPerCycle = info.f16_macs_per_cycle;
    p.i8MacsPerCycle = info.i8_macs_per_cycle;
    p.dmaBytesPerCycle = info.dma_bytes_per_cycle;
    p.memoryBytesPerCycle = info.memory_bytes_per_cycle;
    *prop = p;
    return {};
  });
}

npuError_t npuDeviceGetStatus(npuDeviceStatus* status, int device) {
  return Guard([&]() -> Status {
    if (!status) return Fail(npuErrorInvalidValue, "status is NULL");
    std::shared_ptr<Context> context;
    NPU_TRY(Registry::Get().Open(device, &context));
    auto now = context->device().Status();
    if (!now) return FromHal(now.error(), fmt::format("status of device {}", device));
    *status = {now->health,    now->temperature_mc, now->power_mw,   now->clock_khz, now->utilisation_permille,
               now->energy_uj, now->memory_total,   now->memory_free};
    return {};
  });
}

npuError_t npuDeviceSynchronize(void) {
  return Guard([&]() -> Status {
    std::shared_ptr<Context> context;
    NPU_TRY(Registry::Get().Current(&context));
    return context->Synchronize();
  });
}

npuError_t npuDeviceReset(void) {
  return Guard([&]() -> Status { return Registry::Get().Reset(Registry::current_device()); });
}
