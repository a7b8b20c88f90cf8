// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The device: host registers, the device's half of the management core's registers, events and interrupts, error
// injection.  The data plane is in Dispatcher, the management core in Mgmt.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/ecc.h"
#include "device/bus.h"
#include "device/dispatcher.h"
#include "device/sensors.h"
#include "mgmt/mgmt.h"
#include "npu_model.h"

namespace npu::model {

class Device final : public MgmtPort, public DeviceBus {
 public:
  // nullptr and a sentence in *error when the configuration is not one that the contract allows.
  static std::unique_ptr<Device> Create(const npu_model_config& config, std::string* error);
  ~Device() override;

  // The C ABI's functions; see npu_model.h for threads and rules.
  void Reset(npu_model_reset kind);
  uint64_t MmioRead(uint64_t offset, unsigned size);
  void MmioWrite(uint64_t offset, uint64_t value, unsigned size);
  void Pause();
  void Resume();
  std::string Describe();
  bool Drain(unsigned limit_ms);
  // Empty, and a sentence in *error, on failure.
  std::vector<uint8_t> Save(std::string* error);
  bool Load(std::span<const uint8_t> data, std::string* error);

  // MgmtPort (and, in tests, whoever plays the firmware).
  bool MgmtRead(uint32_t offset, unsigned size, uint64_t* value) override;
  bool MgmtWrite(uint32_t offset, unsigned size, uint64_t value) override;
  void MgmtStateChanged() override { LatchEvents(NPU_EVENT_FW_STATE); }

  // DeviceBus
  void LatchEvents(uint32_t bits) override;
  void RaiseMsix(uint32_t vector) override;
  void RaiseMgmt(uint32_t bits) override;
  uint64_t TimeNs() const override;
  Hang TakeHang() override;
  void CountFault() override { fault_count_.fetch_add(1, std::memory_order_relaxed); }
  void Log(npu_model_log level, const char* format, ...) override __attribute__((format(printf, 3, 4)));
  void Trace(const char* event, uint64_t a, uint64_t b, uint64_t c) override {
    if (config_.ops.trace) config_.ops.trace(config_.opaque, event, a, b, c);
  }

 private:
  // A 64-bit register that may be written in two halves: a write takes effect with the high half.
  struct Wide {
    std::atomic<uint64_t> value{0};
    std::atomic<uint32_t> low{0};
  };
  // An injection that is armed: how often it still is to happen.
  struct Armed {
    const char* what;  // for the log
    std::atomic<uint32_t> left{0};
  };
  // Memory errors that wait for a moment without running engines.
  struct Flaw {
    bool uncorrectable;
    uint32_t count;
    uint64_t target;
    uint32_t seed;
  };

  Device(const npu_model_config& config, std::vector<uint8_t> rom, uint64_t uuid);

  // regs.cc
  uint64_t ReadRegister(uint32_t offset, unsigned size);
  bool Register(uint32_t offset, uint64_t* value, bool* wide);
  bool ReadCoreWindow(uint32_t offset, uint64_t* value, bool* wide);
  bool ReadSlotWindow(uint32_t offset, uint64_t* value, bool* wide);
  uint64_t ReadDoorbell(uint32_t offset, unsigned size);
  bool WriteRegister(uint32_t offset, uint64_t value, unsigned size);
  Wide* WideRegister(uint32_t offset);
  uint64_t ReadRom(uint32_t offset, unsigned size) const;
  void WriteFirmwareControl(uint32_t command);
  void SetEventMask(uint32_t mask);
  void UpdateTables();

  // mgmt_regs.cc
  bool MgmtReadSensor(uint32_t offset, uint64_t* value);
  bool MgmtReadQueues(uint32_t offset, uint64_t* value);
  bool MgmtWriteSelected(uint32_t offset, uint64_t value);

  // inject.cc
  void WriteInjection(uint32_t command);
  void DisarmInjections();
  uint32_t CheckFlaw(const Flaw& flaw) const;
  uint32_t RequestFlaw(const Flaw& flaw);
  void PlaceFlaws(const std::deque<Flaw>& flaws);
  void PlaceFlaw(const Flaw& flaw, uint64_t* cores);
  bool LinkFails();
  bool AccessFails();
  void LinkError(bool uncorrected);
  uint32_t ArmInjection(uint32_t kind, uint32_t count, uint64_t target);
  bool Take(Armed& armed);
  void Injected(const char* what);
  npu_model_host_ops WrappedOps();

  // snapshot.cc
  void LoadMemoryErrors(StateReader& in);
  template <class Archive>
  void RegisterFields(Archive& archive);
  void LoadAll(StateReader& in);

  // device.cc
  void ResetAll();
  void ResetRegisters();
  void ResetIfRequested();
  void CarryOutRequests();
  void EccNews();
  void ControlMain();

  const npu_model_config config_;
  const std::vector<uint8_t> rom_;
  const uint64_t uuid_;
  const std::chrono::steady_clock::time_point power_on_;
  // What was loaded goes on from its own time: added to the time since power-on.  Written while paused.
  std::atomic<int64_t> time_shift_ns_{0};
  const npu_model_host_ops ops_;  // the host's, behind the injection of DMA errors

  // Host registers: written by host threads, read by all.
  std::atomic<uint32_t> events_{0}, event_mask_{0};
  Wide fw_addr_, mbox_addr_, ctx_table_, queue_table_, inj_addr_;
  std::atomic<uint32_t> fw_size_{0}, mbox_db_{0}, mbox_ack_{0};
  std::atomic<uint32_t> inj_kind_{0}, inj_count_{0}, inj_seed_{0}, inj_status_{0};
  std::atomic<uint64_t> inj_done_{0}, fault_count_{0};
  Armed hang_{"a hang", {}}, lost_irq_{"a lost interrupt", {}}, dma_error_{"a host memory error", {}},
      link_error_{"a link error", {}};
  std::atomic<bool> link_fails_{false};  // the armed link errors are not corrected
  std::atomic<uint64_t> link_errors_{0};
  std::atomic<Hang> hang_kind_{Hang::kNone};  // of the armed hangs

  // Published by the firmware: written by the management thread.
  std::atomic<uint32_t> health_{0}, pub_temp_{0}, pub_power_{0}, pub_util_{0}, pub_throttle_{0}, pub_active_{0},
      pub_retired_{0};
  std::atomic<uint32_t> db_queue_{0}, ctx_result_{0};
  Sensors sensors_;

  Ecc ecc_{[this] { EccNews(); }};

  // Guards the three below and makes pauses and resets take turns.  Held across waiting for workers, so never taken by
  // register accesses; host operations do not need it.
  std::mutex control_mu_;
  bool paused_ = false;  // by Pause

  // The control thread carries out what has to wait for the engines, because the writer of a register must not wait:
  // NPU_CTRL_RESET and memory errors.  Guards the requests; taken inside of control_mu_.
  std::mutex request_mu_;
  std::condition_variable request_;
  bool reset_requested_ = false;
  bool disarm_requested_ = false;  // of memory errors; before flaws_
  std::deque<Flaw> flaws_;
  bool exit_ = false;
  std::atomic<bool> resetting_{false};

  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<Mgmt> mgmt_;
  std::thread control_;
};

}  // namespace npu::model
