// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Saves and loads the device: header, registers, data plane (snapshot_dispatcher.cc), management core.
#include <new>

#include "device/device.h"
#include "device/sensors.h"
#include "mgmt/stream.h"

namespace npu::model {
namespace {

constexpr uint64_t kMagic = 0x50414e535550'4e01;
constexpr uint32_t kFormat = 1;  // moves with every change of what is saved
constexpr uint32_t kRegisters = 0x53474552;
constexpr uint32_t kMemoryErrors = 0x53434345;
constexpr uint32_t kSensors = 0x534e4553;

}  // namespace

void Sensors::Save(StateWriter& out) const {
  std::lock_guard lock(mu_);
  out.Begin(kSensors);
  out.U32(khz_);
  out.U64(last_ns_);
  out.U64(last_busy_);
  out.U32(static_cast<uint32_t>(injected_mc_));
  out.U64(power_ns_);
  for (double v : {energy_uj_, celsius_, power_energy_uj_, power_mw_}) out.F64(v);
  out.End();
}

void Sensors::Load(StateReader& in, uint64_t now_ns) {
  std::lock_guard lock(mu_);
  in.Begin(kSensors, "the sensors");
  khz_ = in.U32();
  in.Require(!in.ok() || ValidClock(khz_), "the core clock has a frequency that there is not");
  last_ns_ = in.U64();
  last_busy_ = in.U64();
  injected_mc_ = static_cast<int32_t>(in.U32());
  in.Require(injected_mc_ >= -200000 && injected_mc_ <= 200000, "the injected temperature is out of range");
  power_ns_ = in.U64();
  // Else the sensors would stand still until that time has come.
  in.Require(last_ns_ <= now_ns && power_ns_ <= now_ns, "a sensor was read in the future");
  for (double* v : {&energy_uj_, &celsius_, &power_energy_uj_, &power_mw_}) {
    *v = in.F64();
    // They become integers; energy grows, for years if need be.
    in.Require(*v >= 0 && *v < 1e18, "a sensor shows what it never can");
  }
  in.Require(power_energy_uj_ <= energy_uj_, "the energy has fallen");
  in.End("the sensors");
}

bool Device::Drain(unsigned limit_ms) {
  return dispatcher_->Drain(std::chrono::milliseconds(limit_ms));
}

// Every register but those that the data plane and the management core have.
template <class Archive>
void Device::RegisterFields(Archive& a) {
  a.All(events_, event_mask_);
  for (Wide* wide : {&fw_addr_, &mbox_addr_, &ctx_table_, &queue_table_, &inj_addr_}) a.All(wide->value, wide->low);
  for (auto* word :
       {&fw_size_, &mbox_db_, &mbox_ack_, &inj_kind_, &inj_count_, &inj_seed_, &inj_status_, &health_, &pub_temp_,
        &pub_power_, &pub_util_, &pub_throttle_, &pub_active_, &pub_retired_, &db_queue_, &ctx_result_})
    a.Io(*word);
  a.All(inj_done_, fault_count_);
  for (Armed* armed : {&hang_, &lost_irq_, &dma_error_, &link_error_}) a.Io(armed->left);
  a.All(link_errors_, link_fails_, hang_kind_);
}

std::vector<uint8_t> Device::Save(std::string* error) {
  std::lock_guard control(control_mu_);
  if (!paused_) {
    *error = "the device is not paused";
    return {};
  }
  ResetIfRequested();
  CarryOutRequests();
  *error = dispatcher_->CanSave();
  if (!error->empty()) return {};
  StateWriter out;
  out.U64(kMagic);
  out.U32(kFormat);
  out.U32(NPU_CONTRACT_VERSION);
  out.U32(config_.cores);
  out.U32(config_.queues);
  out.U64(config_.memory_bytes);
  out.U64(uuid_);
  out.Begin(kRegisters);
  out.U64(TimeNs());
  RegisterFields(out);
  out.End();
  sensors_.Save(out);
  dispatcher_->Save(out);
  out.Begin(kMemoryErrors);
  ecc_.Save(out);
  out.End();
  mgmt_->Save(out);
  return out.bytes();
}

void Device::LoadMemoryErrors(StateReader& in) {
  uint64_t cores = 0;
  in.Begin(kMemoryErrors, "memory errors");
  ecc_.Load(in, [&](uint64_t place) -> uint64_t* {
    uint64_t offset = place, bytes = config_.memory_bytes;
    uint8_t* base = static_cast<uint8_t*>(config_.memory);
    if (place >> 63) {
      const uint64_t core = (place & ~(1ull << 63)) >> 32;
      if (core >= config_.cores) return nullptr;
      base = dispatcher_->sram(static_cast<uint32_t>(core));
      offset = place & 0xffffffff;
      bytes = kSramBytes;
      cores |= 1ull << core;
    }
    return offset <= bytes - sizeof(uint64_t) ? reinterpret_cast<uint64_t*>(base + offset) : nullptr;
  });
  in.End("memory errors");
  dispatcher_->MemoryFlawed(cores);
}

void Device::LoadAll(StateReader& in) {
  if (!in.Require(in.U64() == kMagic, "this is no saved NPU")) return;
  if (!in.Require(in.U32() == kFormat, "it was saved in another version of the format")) return;
  if (!in.Require(in.U32() == NPU_CONTRACT_VERSION, "it was saved by another version of the hardware")) return;
  if (!in.Require(in.U32() == config_.cores, "it had another number of cores")) return;
  if (!in.Require(in.U32() == config_.queues, "it had another number of queues")) return;
  if (!in.Require(in.U64() == config_.memory_bytes, "it had another size of device memory")) return;
  if (!in.Require(in.U64() == uuid_, "it had another seed, so it is another unit")) return;
  in.Begin(kRegisters, "registers");
  const uint64_t now = in.U64();
  in.Require(now < uint64_t{1} << 62, "the device's time is beyond its range");
  RegisterFields(in);
  in.Require(hang_kind_.load() <= Hang::kUntilReset, "an injected hang ends in a way that there is not");
  constexpr uint32_t kEvents = NPU_EVENT_ADMIN_BITS | NPU_EVENT_ERROR_BITS;
  in.Require(!((events_.load() | event_mask_.load()) & ~kEvents), "there is an event that there is not");
  in.End("registers");
  if (!in.ok()) return;
  time_shift_ns_ += static_cast<int64_t>(now) - static_cast<int64_t>(TimeNs());
  dispatcher_->SetQueueTable(queue_table_.value);
  sensors_.Load(in, TimeNs());
  dispatcher_->Load(in);
  LoadMemoryErrors(in);
  mgmt_->Load(in);
}

bool Device::Load(std::span<const uint8_t> data, std::string* error) {
  std::lock_guard control(control_mu_);
  if (!paused_) {
    *error = "the device is not paused";
    return false;
  }
  ResetAll();
  StateReader in(data);
  try {
    LoadAll(in);
  } catch (const std::bad_alloc&) {
    in.Fail("no memory for it");
  }
  if (in.ok()) {
    std::lock_guard lock(request_mu_);
    reset_requested_ = false;
    resetting_.store(false, std::memory_order_release);
    return true;
  }
  ResetAll();
  ecc_.Reset(true);  // a reset keeps errors of device memory, but these were none of ours
  *error = "the saved state is not usable: " + in.error();
  return false;
}

}  // namespace npu::model
