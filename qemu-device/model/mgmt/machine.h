// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Inside of Mgmt: the machine that the management hart runs in, and its thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "hart/hart.h"
#include "mgmt/bus.h"
#include "mgmt/mgmt.h"
#include "mgmt/nvram.h"
#include "mgmt/package.h"

namespace npu::model {

extern template class Hart<MgmtBus>;

// "The management thread stands still" means: it is paused, holds no reference into memory, and its private fields may
// be changed by whoever paused it.
struct Mgmt::Impl final : MgmtRegisters {
  Impl(MgmtPlatform platform, MgmtPort& port);
  ~Impl() override;

  // From any thread; see mgmt.h.
  void LoadFirmware(uint64_t addr, uint64_t size);
  void Stop();
  void RaiseIrq(uint32_t bits);
  bool InjectCrash();
  void Pause();
  void Resume();
  void Reset();
  std::string Describe();
  void Save(StateWriter& out);
  void Load(StateReader& in);

  // What the host sees.  Written with mutex_ held, error and its companions before state; read by anybody.
  std::atomic<uint32_t> state{NPU_FW_STATE_OFF}, error{NPU_FW_ERR_NONE}, error_info{0};
  std::atomic<uint64_t> crash_pc{0};
  // Written by the management thread while the hart runs, and with mutex_ held by LoadFirmware while it does not.
  std::atomic<uint32_t> version{0}, heartbeat{0};

 private:
  using Lock = std::unique_lock<std::mutex>;

  // The thread (machine.cc).  Those that take a Lock are called with mutex_ held and may release it for a while.
  void Main();
  void Sleep(Lock& lock);
  void RunBatch(Lock& lock);
  void DoStop(Lock& lock);
  void DoLoad(Lock& lock);
  void Crash(Lock& lock, npu_fw_error why, uint64_t cause, uint64_t pc);
  void SetState(Lock& lock, uint32_t now);
  void StandStill(Lock& lock);
  PackageError FetchPackage(uint64_t addr, uint64_t size, std::vector<uint64_t>* copy, Package* package) const;
  void Place(const Package& package);
  void ClearMachine();
  void UpdateTimer();
  void UpdateExternal();

  // The registers (registers.cc), on the management thread, mutex_ not held.
  bool ReadRegister(uint32_t offset, unsigned size, uint64_t* value) override;
  bool WriteRegister(uint32_t offset, unsigned size, uint64_t value) override;
  uint64_t TimeNs() override;
  bool Ready();
  void Console(uint8_t byte);
  void FlushConsole();
  void Log(npu_model_log level, const std::string& line) const;

  const MgmtPlatform platform_;
  MgmtPort& port_;

  // The management thread's own; others touch them only while it stands still.
  MgmtBus bus_;
  Hart<MgmtBus> hart_;  // but hart_.mip, which is written with mutex_ held
  Nvram nvram_;
  std::string console_line_;
  uint64_t alive_instret_ = 0;             // hart_.instret when the firmware last gave a sign of life
  std::chrono::nanoseconds lost_time_{0};  // spent paused; NPU_MG_TIME does not count it

  // mutex_ guards commands, the interrupt controller and the life cycle: everything below, and hart_.mip.
  mutable std::mutex mutex_;
  std::condition_variable wake_;      // for the management thread: a command or an interrupt
  std::condition_variable standing_;  // for Pause: the management thread stands still
  bool quit_ = false, pause_ = false, stands_still_ = false;
  bool stop_wanted_ = false, load_wanted_ = false, crash_wanted_ = false;
  uint64_t load_addr_ = 0, load_size_ = 0;
  bool running_ = false;  // the hart executes or sleeps in wfi
  bool in_wfi_ = false;   // and it is the latter
  bool sleeps_ = false;   // the thread waits in Sleep: RaiseIrq has to wake it
  uint32_t irq_ = 0, irq_enable_ = 0;
  uint64_t timecmp_ = ~uint64_t{0};
  std::chrono::steady_clock::time_point pause_began_{};

  std::thread thread_;  // last: everything above exists when it starts
};

}  // namespace npu::model
