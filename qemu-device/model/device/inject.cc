// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Error injection.
#include <cstdio>

#include "device/device.h"
#include "npu_mgmt.h"
#include "npu_regs.h"

namespace npu::model {
namespace {

// The codes of NPU_REG_INJ_STATUS are those of Linux, whatever the host.
constexpr uint32_t kBusy = 16, kNoDevice = 19, kInvalid = 22, kNoSpace = 28;

constexpr uint64_t kAnywhere = ~uint64_t{0};
constexpr uint64_t kSramTarget = 1ull << 63;
constexpr size_t kMaxWaiting = 64;  // injections that wait for the engines

// splitmix64: the next number of the seed's series.
uint64_t Next(uint64_t* state) {
  uint64_t x = *state += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// Two different bits of a word.
uint64_t TwoBits(uint64_t random) {
  const uint64_t first = random % 64, second = (first + 1 + random / 64 % 63) % 64;
  return 1ull << first | 1ull << second;
}

}  // namespace

void Device::Injected(const char* what) {
  Log(NPU_MODEL_LOG_INFO, "injected: %s (%llu so far)", what,
      static_cast<unsigned long long>(inj_done_.fetch_add(1, std::memory_order_acq_rel) + 1));
}

// One of the armed occasions, if there is one.
bool Device::Take(Armed& armed) {
  uint32_t left = armed.left.load(std::memory_order_relaxed);
  while (left)
    if (armed.left.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel)) {
      Injected(armed.what);
      return true;
    }
  return false;
}

Hang Device::TakeHang() {
  const Hang kind = hang_kind_.load(std::memory_order_relaxed);
  return Take(hang_) ? kind : Hang::kNone;
}

void Device::DisarmInjections() {
  for (Armed* armed : {&hang_, &lost_irq_, &dma_error_, &link_error_}) armed->left.store(0);
  sensors_.Inject(0);
  std::lock_guard lock(request_mu_);
  flaws_.clear();
  disarm_requested_ = true;
  request_.notify_all();
}

// 0, or the code of an injection that is not possible.
uint32_t Device::CheckFlaw(const Flaw& flaw) const {
  if (flaw.count == 0 || flaw.count > Ecc::kMaxErrors) return kInvalid;
  if (flaw.target == kAnywhere) return 0;
  const uint64_t bytes = flaw.uncorrectable ? flaw.count * Ecc::kWord : Ecc::kWord;
  uint64_t offset = flaw.target & ~(Ecc::kWord - 1), size = config_.memory_bytes;
  if (flaw.target & kSramTarget) {
    const uint64_t core = (flaw.target & ~kSramTarget) >> 32;
    if (core >= config_.cores) return kInvalid;
    offset &= 0xffffffff;
    size = kSramBytes;
  }
  return offset < size && bytes <= size - offset ? 0 : kInvalid;
}

uint32_t Device::RequestFlaw(const Flaw& flaw) {
  if (const uint32_t error = CheckFlaw(flaw)) return error;
  std::lock_guard lock(request_mu_);
  if (flaws_.size() == kMaxWaiting) return kBusy;
  flaws_.push_back(flaw);
  request_.notify_all();
  return 0;
}

// Correctable errors of one word come one after another; uncorrectable ones take as many words.
void Device::PlaceFlaw(const Flaw& flaw, uint64_t* cores) {
  uint64_t state = flaw.seed;
  const bool anywhere = flaw.target == kAnywhere;
  const uint32_t words = anywhere || flaw.uncorrectable ? flaw.count : 1;
  for (uint32_t i = 0; i < words; ++i) {
    uint64_t place = (flaw.target & ~(Ecc::kWord - 1)) + i * Ecc::kWord;
    if (anywhere) place = Next(&state) % config_.memory_bytes & ~(Ecc::kWord - 1);
    uint8_t* at;
    if (place & kSramTarget) {
      const auto core = static_cast<uint32_t>((place & ~kSramTarget) >> 32);
      at = dispatcher_->sram(core) + (place & 0xffffffff);
      *cores |= 1ull << core;
    } else {
      at = static_cast<uint8_t*>(config_.memory) + place;
    }
    const uint64_t flip = flaw.uncorrectable ? TwoBits(Next(&state)) : 0;
    if (!ecc_.Inject(place, reinterpret_cast<uint64_t*>(at), flip, anywhere ? 1 : flaw.count)) {
      inj_status_.store(kNoSpace);
      Log(NPU_MODEL_LOG_GUEST_ERROR, "injection: there are %zu memory errors already", Ecc::kMaxErrors);
      return;
    }
    char what[80];
    std::snprintf(what, sizeof(what), "%s memory error at 0x%llx", flip ? "an uncorrectable" : "a correctable",
                  static_cast<unsigned long long>(place));
    for (uint32_t n = flip || anywhere ? 1 : flaw.count; n; --n) Injected(what);
  }
}

// No engine runs.
void Device::PlaceFlaws(const std::deque<Flaw>& flaws) {
  uint64_t cores = 0;
  for (const Flaw& flaw : flaws) PlaceFlaw(flaw, &cores);
  dispatcher_->MemoryFlawed(cores);
}

// A bus access meets an error of the link: replayed, or given up.  True: given up.
bool Device::LinkFails() {
  const bool fails = link_fails_.load(std::memory_order_relaxed);
  if (!Take(link_error_)) return false;
  LinkError(fails);
  return fails;
}

bool Device::AccessFails() {
  return Take(dma_error_) || LinkFails();
}

void Device::LinkError(bool uncorrected) {
  link_errors_.fetch_add(1, std::memory_order_relaxed);
  LatchEvents(NPU_EVENT_RAS);
  RaiseMgmt(NPU_MG_IRQ_RAS);
  if (config_.ops.link_error) config_.ops.link_error(config_.opaque, uncorrected);
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
      Injected("a crash of the firmware");
      return 0;
    case NPU_INJ_TEMP: {
      auto millidegrees = static_cast<int64_t>(target);
      if (millidegrees < -200000 || millidegrees > 200000) return kInvalid;
      sensors_.Inject(static_cast<int32_t>(millidegrees));
      RaiseMgmt(NPU_MG_IRQ_RAS);  // the firmware looks at its sensors
      Injected("a temperature");
      return 0;
    }
    case NPU_INJ_ECC_CE:
    case NPU_INJ_ECC_UE:
      return RequestFlaw({kind == NPU_INJ_ECC_UE, count, target, inj_seed_.load()});
    case NPU_INJ_LINK:
      if (target > 1) return kInvalid;
      link_fails_.store(target == 1);
      link_error_.left.store(count);
      return 0;
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
    return d->AccessFails() ? -1 : d->config_.ops.dma_read(d->config_.opaque, bus, dst, bytes);
  };
  ops.dma_write = [](void* self, uint64_t bus, const void* src, uint64_t bytes) {
    auto* d = static_cast<Device*>(self);
    return d->AccessFails() ? -1 : d->config_.ops.dma_write(d->config_.opaque, bus, src, bytes);
  };
  ops.dma_store64 = [](void* self, uint64_t bus, uint64_t value) {
    auto* d = static_cast<Device*>(self);
    return d->AccessFails() ? -1 : d->config_.ops.dma_store64(d->config_.opaque, bus, value);
  };
  ops.dma_load64 = [](void* self, uint64_t bus, uint64_t* value) {
    auto* d = static_cast<Device*>(self);
    return d->AccessFails() ? -1 : d->config_.ops.dma_load64(d->config_.opaque, bus, value);
  };
  ops.dma_cmpxchg = [](void* self, uint64_t bus, uint64_t* expected, uint64_t desired, unsigned size) {
    auto* d = static_cast<Device*>(self);
    return d->AccessFails() ? -1 : d->config_.ops.dma_cmpxchg(d->config_.opaque, bus, expected, desired, size);
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
