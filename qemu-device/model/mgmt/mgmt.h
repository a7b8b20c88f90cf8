// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The management core: one RV64IMAC hart with its own SRAM, boot ROM, timer, interrupt controller, console and NVRAM,
// on a host thread of its own.  It runs the control firmware (hal/hw/npu_mgmt.h is the firmware's view, npu_fw.h the
// package's).  Everything else that the firmware sees at NPU_MG_MMIO_BASE belongs to the device: see MgmtPort.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "npu_fw.h"
#include "npu_mgmt.h"
#include "npu_model.h"
#include "npu_regs.h"

namespace npu::model {

// The registers of the management core that the device implements: every offset from NPU_MG_HOST_EVENT to
// NPU_MG_PUB_RETIRED and the slot windows.  (IRQ, IRQ_ENABLE, TIME, TIMECMP, FW_VERSION, FW_READY, HEARTBEAT, CONSOLE
// and the NVRAM window are Mgmt's own and never come here.)
//
// Threads: called on the management thread only, one call at a time, with none of Mgmt's locks held; a call may call
// Mgmt::RaiseIrq.  It must not wait for the device's work.  No call comes while the hart is stopped, paused or reset.
class MgmtPort {
 public:
  virtual ~MgmtPort() = default;
  // offset from NPU_MG_MMIO_BASE, naturally aligned; size 4 or 8 bytes.  False when there is no such register or it
  // does not have that size or direction: the firmware takes an access fault.
  virtual bool MgmtRead(uint32_t offset, unsigned size, uint64_t* value) = 0;
  virtual bool MgmtWrite(uint32_t offset, unsigned size, uint64_t value) = 0;
  // NPU_REG_FW_STATE changed (the device latches NPU_EVENT_FW_STATE).  May also come on the thread that called
  // LoadFirmware.
  virtual void MgmtStateChanged() = 0;
};

class StateReader;
class StateWriter;

struct MgmtPlatform {
  // Device memory, shared with everything else: the firmware's window at NPU_MG_MEM_BASE and the source of packages.
  uint8_t* memory = nullptr;
  uint64_t memory_bytes = 0;
  // NPU_MG_TIME counts nanoseconds from here; the device's NPU_REG_TIME_NS should use the same.
  std::chrono::steady_clock::time_point power_on{};
  // One line, without a newline.  Called on any thread that calls into Mgmt and on the management thread, without
  // locks.
  std::function<void(npu_model_log level, const char* line)> log;
  // File that keeps the NVRAM; empty: it is lost with the object.
  std::string nvram_path;
};

// Threads: every method may be called from any thread at any time, except that the constructor, the destructor, Pause,
// Resume and Reset must not run beside each other.  None waits for firmware; Pause, Reset and the destructor wait until
// the management thread stands still (microseconds; at most the verification of one package), so they must not be
// called with a lock held that MgmtPort calls or the log need.
class Mgmt {
 public:
  // Starts the management thread, which sleeps until LoadFirmware.
  Mgmt(MgmtPlatform platform, MgmtPort& port);
  ~Mgmt();
  Mgmt(const Mgmt&) = delete;
  Mgmt& operator=(const Mgmt&) = delete;

  // NPU_FW_CTRL_LOAD: verifies the package at [addr, addr + size) of device memory and starts it, on the management
  // thread.  The state is VERIFY when this returns, then BOOT or REJECTED.  While the hart runs nothing happens but
  // error() = NPU_FW_ERR_BUSY, unless Stop was called before.
  void LoadFirmware(uint64_t addr, uint64_t size);
  // NPU_FW_CTRL_STOP: the state becomes OFF soon, at an instruction boundary.
  void Stop();
  // Sets bits of NPU_MG_IRQ and wakes the hart if they are enabled.  Stores made before the call are seen by the
  // firmware.
  void RaiseIrq(uint32_t bits);
  // NPU_INJ_FW_CRASH: the hart's next instruction is illegal.  False when the hart does not run.
  bool InjectCrash();

  // What the host registers show.  error() and its companions are valid for the state read before them.
  uint32_t state() const;       // NPU_FW_STATE_*
  uint32_t error() const;       // enum npu_fw_error
  uint32_t error_info() const;  // NPU_REG_FW_ERROR_INFO
  uint32_t version() const;     // as the firmware wrote NPU_MG_FW_VERSION; 0 before
  uint32_t heartbeat() const;
  uint64_t crash_pc() const;

  // After Pause returns the management thread touches neither memory nor port nor log.  NPU_MG_TIME stands still, so
  // that a pause is nobody's timeout.
  void Pause();
  void Resume();
  // The state after power-on, whatever was going on: OFF, SRAM lost, interrupts cleared; the NVRAM is kept.  A paused
  // Mgmt stays paused.
  void Reset();

  // Only while paused.  Load leaves anything behind when it fails: reset then.
  void Save(StateWriter& out) const;
  void Load(StateReader& in);

  // One line for people: state, pc, sleeping or running.
  std::string Describe() const;

  struct Impl;  // in machine.h

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace npu::model
