// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The management core as the device uses it: commands to the management thread, from any thread.
#include "mgmt/mgmt.h"

#include <cinttypes>
#include <cstdio>

#include "mgmt/machine.h"

namespace npu::model {

void Mgmt::Impl::LoadFirmware(uint64_t addr, uint64_t size) {
  {
    std::lock_guard lock(mutex_);
    const uint32_t now = state.load(std::memory_order_relaxed);
    const bool idle = now == NPU_FW_STATE_OFF || now == NPU_FW_STATE_REJECTED || now == NPU_FW_STATE_CRASHED;
    if (load_wanted_ || (!idle && !stop_wanted_)) {
      error.store(NPU_FW_ERR_BUSY, std::memory_order_relaxed);
      return;
    }
    load_wanted_ = true;
    load_addr_ = addr, load_size_ = size;
    error.store(NPU_FW_ERR_NONE, std::memory_order_relaxed);
    error_info.store(0, std::memory_order_relaxed);
    crash_pc.store(0, std::memory_order_relaxed);
    version.store(0, std::memory_order_relaxed);
    state.store(NPU_FW_STATE_VERIFY, std::memory_order_release);
    wake_.notify_all();
  }
  port_.MgmtStateChanged();
}

void Mgmt::Impl::Stop() {
  std::lock_guard lock(mutex_);
  load_wanted_ = false;
  stop_wanted_ = true;
  wake_.notify_all();
}

void Mgmt::Impl::RaiseIrq(uint32_t bits) {
  std::lock_guard lock(mutex_);
  irq_ |= bits;
  UpdateExternal();
  if (sleeps_ && (irq_ & irq_enable_) != 0) wake_.notify_all();
}

bool Mgmt::Impl::InjectCrash() {
  std::lock_guard lock(mutex_);
  if (!running_) return false;
  crash_wanted_ = true;
  wake_.notify_all();
  return true;
}

void Mgmt::Impl::StandStill(Lock& lock) {
  pause_ = true;
  wake_.notify_all();
  standing_.wait(lock, [this] { return stands_still_; });
}

void Mgmt::Impl::Pause() {
  Lock lock(mutex_);
  if (pause_) return;
  StandStill(lock);
  pause_began_ = std::chrono::steady_clock::now();
}

void Mgmt::Impl::Resume() {
  std::lock_guard lock(mutex_);
  if (!pause_) return;
  lost_time_ += std::chrono::steady_clock::now() - pause_began_;
  pause_ = false;
  wake_.notify_all();
}

void Mgmt::Impl::Reset() {
  Lock lock(mutex_);
  const bool paused = pause_;
  if (!paused) StandStill(lock);
  FlushConsole();
  nvram_.Flush();
  ClearMachine();
  stop_wanted_ = load_wanted_ = crash_wanted_ = running_ = in_wfi_ = false;
  irq_ = irq_enable_ = 0;
  timecmp_ = ~uint64_t{0};
  error.store(NPU_FW_ERR_NONE, std::memory_order_relaxed);
  error_info.store(0, std::memory_order_relaxed);
  crash_pc.store(0, std::memory_order_relaxed);
  version.store(0, std::memory_order_relaxed);
  heartbeat.store(0, std::memory_order_relaxed);
  state.store(NPU_FW_STATE_OFF, std::memory_order_release);
  pause_ = paused;
  wake_.notify_all();
}

std::string Mgmt::Impl::Describe() {
  static constexpr const char* kNames[] = {"off", "verifying", "booting", "ready", "rejected", "crashed"};
  std::lock_guard lock(mutex_);
  const uint32_t now = state.load(std::memory_order_relaxed);
  const uint32_t number = version.load(std::memory_order_relaxed);
  char text[160];
  std::snprintf(text, sizeof text, "management core: %s%s, firmware %u.%u.%u, heartbeat %u, error %u, irq %#x/%#x",
                kNames[now], running_ && in_wfi_ ? " (wfi)" : "", number >> 24, number >> 16 & 0xff, number & 0xffff,
                heartbeat.load(std::memory_order_relaxed), error.load(std::memory_order_relaxed), irq_, irq_enable_);
  return text;
}

Mgmt::Mgmt(MgmtPlatform platform, MgmtPort& port) : impl_(std::make_unique<Impl>(std::move(platform), port)) {}
Mgmt::~Mgmt() = default;

void Mgmt::LoadFirmware(uint64_t addr, uint64_t size) {
  impl_->LoadFirmware(addr, size);
}
void Mgmt::Stop() {
  impl_->Stop();
}
void Mgmt::RaiseIrq(uint32_t bits) {
  impl_->RaiseIrq(bits);
}
bool Mgmt::InjectCrash() {
  return impl_->InjectCrash();
}
uint32_t Mgmt::state() const {
  return impl_->state.load(std::memory_order_acquire);
}
uint32_t Mgmt::error() const {
  return impl_->error.load(std::memory_order_acquire);
}
uint32_t Mgmt::error_info() const {
  return impl_->error_info.load(std::memory_order_acquire);
}
uint32_t Mgmt::version() const {
  return impl_->version.load(std::memory_order_acquire);
}
uint32_t Mgmt::heartbeat() const {
  return impl_->heartbeat.load(std::memory_order_acquire);
}
uint64_t Mgmt::crash_pc() const {
  return impl_->crash_pc.load(std::memory_order_acquire);
}
void Mgmt::Pause() {
  impl_->Pause();
}
void Mgmt::Resume() {
  impl_->Resume();
}
void Mgmt::Reset() {
  impl_->Reset();
}
void Mgmt::Save(StateWriter& out) const {
  impl_->Save(out);
}
void Mgmt::Load(StateReader& in) {
  impl_->Load(in);
}
std::string Mgmt::Describe() const {
  return impl_->Describe();
}

}  // namespace npu::model
