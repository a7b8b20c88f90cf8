// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The management thread: boot ROM, running, sleeping, stopping.
#include "mgmt/machine.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "npu_thread_name.h"

namespace npu::model {
namespace {

// How long the hart runs before commands and the timer are looked at: tens of microseconds.
constexpr uint64_t kBatchInstructions = 20000;
// A firmware that runs for so long without sleeping and without a heartbeat hangs: about a second.  Counted in
// instructions, so that a busy host cannot make it happen.
constexpr uint64_t kHangInstructions = 400'000'000;
// Deadlines beyond this are "never"; keeps time arithmetic from wrapping.
constexpr uint64_t kNever = uint64_t{1} << 62;

}  // namespace

Mgmt::Impl::Impl(MgmtPlatform platform, MgmtPort& port)
    : platform_(std::move(platform)),
      port_(port),
      bus_(platform_.memory, platform_.memory_bytes, *this),
      hart_(bus_),
      nvram_(platform_.nvram_path, [this](const std::string& line) { Log(NPU_MODEL_LOG_INFO, line); }) {
  bus_.set_hart(&hart_);
  hart_.mhartid = 0;
  ClearMachine();
  thread_ = std::thread([this] { Main(); });
}

Mgmt::Impl::~Impl() {
  {
    std::lock_guard lock(mutex_);
    quit_ = true;
    wake_.notify_all();
  }
  thread_.join();
  nvram_.Flush();
}

void Mgmt::Impl::Main() {
  npu_name_thread("npu-mgmt");
  Lock lock(mutex_);
  while (!quit_) {
    if (pause_) {
      stands_still_ = true;
      standing_.notify_all();
      wake_.wait(lock, [this] { return quit_ || !pause_; });
      stands_still_ = false;
    } else if (stop_wanted_) {
      DoStop(lock);
    } else if (load_wanted_) {
      DoLoad(lock);
    } else if (!running_) {
      wake_.wait(lock);  // every command notifies; the loop looks again
    } else if (crash_wanted_) {
      Crash(lock, NPU_FW_ERR_TRAP, kCauseIllegal, hart_.pc);
    } else if (in_wfi_) {
      Sleep(lock);
    } else {
      RunBatch(lock);
    }
  }
}

// In wfi: until an enabled interrupt is pending, or there is a command.
void Mgmt::Impl::Sleep(Lock& lock) {
  UpdateTimer();
  if ((hart_.mip.load(std::memory_order_relaxed) & hart_.mie) != 0) {
    in_wfi_ = false;
    return;
  }
  sleeps_ = true;
  if (timecmp_ >= kNever)
    wake_.wait(lock);
  else
    wake_.wait_until(lock, platform_.power_on + lost_time_ + std::chrono::nanoseconds(timecmp_));
  sleeps_ = false;
}

void Mgmt::Impl::RunBatch(Lock& lock) {
  UpdateTimer();
  lock.unlock();
  const npu::model::Stop why = hart_.Run(kBatchInstructions);
  nvram_.Flush();
  lock.lock();
  switch (why) {
    case npu::model::Stop::kWfi:
      in_wfi_ = true;
      alive_instret_ = hart_.instret;
      break;
    case npu::model::Stop::kBudget:
      if (state.load(std::memory_order_relaxed) == NPU_FW_STATE_READY &&
          hart_.instret - alive_instret_ > kHangInstructions)
        Crash(lock, NPU_FW_ERR_HEARTBEAT, 0, hart_.pc);
      break;
    default:
      // A trap without a handler, see MgmtBus::IsExit; mcause 0 means that there was none, but a jump to where the
      // handler should be.
      if (hart_.mcause != 0)
        Crash(lock, NPU_FW_ERR_TRAP, hart_.mcause, hart_.mepc);
      else
        Crash(lock, NPU_FW_ERR_TRAP, kCauseFetchAccess, hart_.pc);
  }
}

void Mgmt::Impl::Crash(Lock& lock, npu_fw_error why, uint64_t cause, uint64_t pc) {
  running_ = false;
  crash_wanted_ = false;
  if (stop_wanted_) return;  // the host has given it up already
  error_info.store(static_cast<uint32_t>(cause), std::memory_order_relaxed);
  crash_pc.store(pc, std::memory_order_relaxed);
  error.store(why, std::memory_order_relaxed);
  char line[160];
  if (why == NPU_FW_ERR_HEARTBEAT)
    std::snprintf(line, sizeof line, "firmware hangs: no heartbeat, pc %#" PRIx64, pc);
  else
    std::snprintf(line, sizeof line, "firmware crashed: mcause %" PRIu64 ", pc %#" PRIx64 ", mtval %#" PRIx64,
                  cause & ~kCauseInterrupt, pc, hart_.mtval);
  SetState(lock, NPU_FW_STATE_CRASHED);
  lock.unlock();
  FlushConsole();
  Log(NPU_MODEL_LOG_INFO, line);
  lock.lock();
}

// The callback runs without the lock: the caller must look at everything again.
void Mgmt::Impl::SetState(Lock& lock, uint32_t now) {
  state.store(now, std::memory_order_release);
  lock.unlock();
  port_.MgmtStateChanged();
  lock.lock();
}

void Mgmt::Impl::DoStop(Lock& lock) {
  stop_wanted_ = false;
  running_ = false;
  crash_wanted_ = false;
  if (load_wanted_) return;  // the state is VERIFY already
  error.store(NPU_FW_ERR_NONE, std::memory_order_relaxed);
  error_info.store(0, std::memory_order_relaxed);
  SetState(lock, NPU_FW_STATE_OFF);
}

// Copies the package out of device memory once, so that nobody can change what is being verified.
PackageError Mgmt::Impl::FetchPackage(uint64_t addr, uint64_t size, std::vector<uint64_t>* copy,
                                      Package* package) const {
  if (size == 0 || size > NPU_FW_MAX_BYTES || addr > platform_.memory_bytes || size > platform_.memory_bytes - addr)
    return {NPU_FW_ERR_SIZE, static_cast<uint32_t>(size),
            "the package's address or size lies outside device memory, or it has more than " +
                std::to_string(NPU_FW_MAX_BYTES) + " bytes"};
  copy->assign((size + 7) / 8, 0);  // 64-bit words: libfdt wants 8-byte alignment
  std::memcpy(copy->data(), platform_.memory + addr, size);
  return ReadPackage({reinterpret_cast<const uint8_t*>(copy->data()), size}, package);
}

void Mgmt::Impl::DoLoad(Lock& lock) {
  load_wanted_ = false;
  const uint64_t addr = load_addr_, size = load_size_;
  lock.unlock();
  std::vector<uint64_t> copy;
  Package package;
  const PackageError refused = FetchPackage(addr, size, &copy, &package);
  if (refused)
    Log(NPU_MODEL_LOG_INFO, "firmware refused: " + refused.message);
  else
    Place(package);
  lock.lock();
  if (stop_wanted_) return;
  if (refused) {
    error_info.store(refused.info, std::memory_order_relaxed);
    error.store(refused.code, std::memory_order_relaxed);
    SetState(lock, NPU_FW_STATE_REJECTED);
    return;
  }
  irq_ = irq_enable_ = 0;
  timecmp_ = ~uint64_t{0};
  in_wfi_ = false;
  running_ = true;
  SetState(lock, NPU_FW_STATE_BOOT);
}

// The hart's state for the first instruction.
void Mgmt::Impl::Place(const Package& package) {
  ClearMachine();
  for (const PackageSection& section : package.sections)
    std::memcpy(bus_.sram() + (section.load - NPU_MG_SRAM_BASE), section.data.data(), section.data.size());
  hart_.Reset(package.entry);
}

void Mgmt::Impl::ClearMachine() {
  std::memset(bus_.sram(), 0, NPU_MG_SRAM_BYTES);
  hart_.Reset(NPU_MG_SRAM_BASE);
  hart_.mip.store(0, std::memory_order_relaxed);
  console_line_.clear();
  alive_instret_ = 0;
}

void Mgmt::Impl::UpdateTimer() {
  if (timecmp_ < kNever && TimeNs() >= timecmp_)
    hart_.mip.fetch_or(kMipTimer, std::memory_order_relaxed);
  else
    hart_.mip.fetch_and(~kMipTimer, std::memory_order_relaxed);
}

void Mgmt::Impl::UpdateExternal() {
  if ((irq_ & irq_enable_) != 0)
    hart_.mip.fetch_or(kMipExternal, std::memory_order_release);
  else
    hart_.mip.fetch_and(~kMipExternal, std::memory_order_release);
}

}  // namespace npu::model
