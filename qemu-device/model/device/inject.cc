// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Error injection.
#include "device/device.h"
#include "npu_regs.h"

namespace npu::model {
namespace {

// The codes of NPU_REG_INJ_STATUS are those of Linux, whatever the host.
constexpr uint32_t kInvalid = 22, kNoDevice = 19, kNotSupported = 95;

}  // namespace

// One of the armed occasions, if there is one.
bool Device::Take(Armed& armed) {
  uint32_t left = armed.left.load(std::memory_order_relaxed);
  while (left)
    if (armed.left.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel)) {
      inj_done_.fetch_add(1, std::memory_order_relaxed);
      return true;
    }
  return false;
}

Hang Device::TakeHang() {
  const Hang kind = hang_kind_.load(std::memory_order_relaxed);
  return Take(hang_) ? kind : Hang::kNone;
}

void Device::DisarmInjections() {
  for (Armed* armed : {&hang_, &lost_irq_, &dma_error_}) armed->left.store(0);
  sensors_.Inject(0);
}

uint32_t Device::ArmInjection(uint32_t kind, uint32_t count, uint64_t target) {
  switch (kind) {
    case NPU_INJ_HANG:
      if (target > 2) return kInvalid;
      hang_kind_.store(target == 0 ? Hang::kUntilKill : target == 1 ? Hang::kUntilCoreReset : Hang::kUntilReset);
      hang_.left.store(count);
      return 0;
    case NPU_INJ_LOST_IRQ:
      lost_irq_.left.store(count);
      return 0;
    case NPU_INJ_DMA_ERROR:
      dma_error_.left.store(count);
      return 0;
    case NPU_INJ_FW_CRASH:
      if (!mgmt_->InjectCrash()) return kNoDevice;
      inj_done_.fetch_add(1);
      return 0;
    case NPU_INJ_TEMP: {
      auto millidegrees = static_cast<int64_t>(target);
      if (millidegrees < -200000 || millidegrees > 200000) return kInvalid;
      sensors_.Inject(static_cast<int32_t>(millidegrees));
      inj_done_.fetch_add(1);
      return 0;
    }
    case NPU_INJ_ECC_CE:
    case NPU_INJ_ECC_UE:
    case NPU_INJ_LINK:
      return kNotSupported;
    default:
      return kInvalid;
  }
}

void Device::WriteInjection(uint32_t command) {
  uint32_t status = 0;
  if (command == 1)
    status = ArmInjection(inj_kind_.load(), inj_count_.load(), inj_addr_.value.load());
  else if (command == 2)
    DisarmInjections();
  else
    status = kInvalid;
  inj_status_.store(status);
  if (status)
    Log(NPU_MODEL_LOG_GUEST_ERROR, "injection of kind %u, command %u refused: error %u", inj_kind_.load(), command,
        status);
}

// Host operations as the data plane sees them: an armed DMA error answers in the host's place.
npu_model_host_ops Device::WrappedOps() {
  npu_model_host_ops ops{};
  ops.dma_read = [](void* self, uint64_t bus, void* dst, uint64_t bytes) {
    auto* d = static_cast<Device*>(self);
    return d->Take(d->dma_error_) ? -1 : d->config_.ops.dma_read(d->config_.opaque, bus, dst, bytes);
  };
  ops.dma_write = [](void* self, uint64_t bus, const void* src, uint64_t bytes) {
    auto* d = static_cast<Device*>(self);
    return d->Take(d->dma_error_) ? -1 : d->config_.ops.dma_write(d->config_.opaque, bus, src, bytes);
  };
  ops.dma_store64 = [](void* self, uint64_t bus, uint64_t value) {
    auto* d = static_cast<Device*>(self);
    return d->Take(d->dma_error_) ? -1 : d->config_.ops.dma_store64(d->config_.opaque, bus, value);
  };
  ops.dma_load64 = [](void* self, uint64_t bus, uint64_t* value) {
    auto* d = static_cast<Device*>(self);
    return d->Take(d->dma_error_) ? -1 : d->config_.ops.dma_load64(d->config_.opaque, bus, value);
  };
  ops.dma_cmpxchg = [](void* self, uint64_t bus, uint64_t* expected, uint64_t desired, unsigned size) {
    auto* d = static_cast<Device*>(self);
    return d->Take(d->dma_error_) ? -1 : d->config_.ops.dma_cmpxchg(d->config_.opaque, bus, expected, desired, size);
  };
  ops.msix = [](void* self, unsigned vector) { static_cast<Device*>(self)->RaiseMsix(vector); };
  ops.log = [](void* self, npu_model_log level, const char* line) {
    auto* d = static_cast<Device*>(self);
    d->config_.ops.log(d->config_.opaque, level, line);
  };
  ops.trace = [](void* self, const char* event, uint64_t a, uint64_t b, uint64_t c) {
    static_cast<Device*>(self)->Trace(event, a, b, c);
  };
  return ops;
}

}  // namespace npu::model
