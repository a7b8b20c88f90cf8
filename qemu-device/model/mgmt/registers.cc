// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The management core's registers.  What is not here belongs to the device (MgmtPort).
#include "mgmt/machine.h"

namespace npu::model {
namespace {

constexpr size_t kConsoleLine = 240;

bool IsNvram(uint32_t offset) {
  return offset >= NPU_MG_NVRAM_OFFSET && offset < NPU_MG_NVRAM_OFFSET + NPU_MG_NVRAM_BYTES;
}

}  // namespace

bool Mgmt::Impl::ReadRegister(uint32_t offset, unsigned size, uint64_t* value) {
  *value = 0;
  if (IsNvram(offset)) {
    *value = nvram_.Read(offset - NPU_MG_NVRAM_OFFSET, size);
    return true;
  }
  switch (offset) {
    case NPU_MG_IRQ: {
      std::lock_guard lock(mutex_);
      *value = irq_;
      return size == 4;
    }
    case NPU_MG_IRQ_ENABLE: {
      std::lock_guard lock(mutex_);
      *value = irq_enable_;
      return size == 4;
    }
    case NPU_MG_TIME:
      *value = TimeNs();
      return size == 8;
    case NPU_MG_TIMECMP: {
      std::lock_guard lock(mutex_);
      *value = timecmp_;
      return size == 8;
    }
    case NPU_MG_HEARTBEAT:
      *value = heartbeat.load(std::memory_order_relaxed);
      return size == 4;
    case NPU_MG_FW_VERSION:
    case NPU_MG_FW_READY:
    case NPU_MG_CONSOLE:
      return false;
    default:
      return port_.MgmtRead(offset, size, value);
  }
}

bool Mgmt::Impl::WriteRegister(uint32_t offset, unsigned size, uint64_t value) {
  if (IsNvram(offset)) {
    nvram_.Write(offset - NPU_MG_NVRAM_OFFSET, size, value);
    return true;
  }
  const auto low = static_cast<uint32_t>(value);
  switch (offset) {
    case NPU_MG_IRQ: {
      if (size != 4) return false;
      std::lock_guard lock(mutex_);
      irq_ &= ~low;
      UpdateExternal();
      return true;
    }
    case NPU_MG_IRQ_ENABLE: {
      if (size != 4) return false;
      std::lock_guard lock(mutex_);
      irq_enable_ = low;
      UpdateExternal();
      return true;
    }
    case NPU_MG_TIMECMP: {
      if (size != 8) return false;
      std::lock_guard lock(mutex_);
      timecmp_ = value;
      UpdateTimer();
      return true;
    }
    case NPU_MG_FW_VERSION:
      version.store(low, std::memory_order_relaxed);
      return size == 4;
    case NPU_MG_FW_READY:
      return size == 4 && low == 1 && Ready();
    case NPU_MG_HEARTBEAT:
      if (heartbeat.exchange(low, std::memory_order_relaxed) != low) alive_instret_ = hart_.instret;
      return size == 4;
    case NPU_MG_CONSOLE:
      if (size != 4) return false;
      Console(static_cast<uint8_t>(low));
      return true;
    case NPU_MG_TIME:
      return false;
    default:
      return port_.MgmtWrite(offset, size, value);
  }
}

bool Mgmt::Impl::Ready() {
  {
    std::lock_guard lock(mutex_);
    if (stop_wanted_ || state.load(std::memory_order_relaxed) != NPU_FW_STATE_BOOT) return true;
    state.store(NPU_FW_STATE_READY, std::memory_order_release);
  }
  port_.MgmtStateChanged();
  return true;
}

uint64_t Mgmt::Impl::TimeNs() {
  const auto now = std::chrono::steady_clock::now() - platform_.power_on - lost_time_;
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

void Mgmt::Impl::Console(uint8_t byte) {
  if (byte == '\n') {
    FlushConsole();
    return;
  }
  console_line_ += byte >= ' ' && byte < 0x7f ? static_cast<char>(byte) : '?';
  if (console_line_.size() >= kConsoleLine) FlushConsole();
}

void Mgmt::Impl::FlushConsole() {
  if (!console_line_.empty()) Log(NPU_MODEL_LOG_FIRMWARE, console_line_);
  console_line_.clear();
}

void Mgmt::Impl::Log(npu_model_log level, const std::string& line) const {
  if (platform_.log) platform_.log(level, line.c_str());
}

}  // namespace npu::model
