// SPDX-License-Identifier: Apache-2.0
//
// A management core with a fake device around it, and a host that talks to its firmware.
#pragma once

#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fake_device.h"
#include "npu_mmu.h"

std::vector<uint8_t> ControlPackage();
std::vector<uint8_t> ProbePackage();

class Rig {
 public:
  explicit Rig(const std::string& nvram = "");
  ~Rig();

  // Copies a package into device memory and loads it.
  void Load(const std::vector<uint8_t>& package);
  // Loads the probe firmware (probe.S).
  void LoadProbe(uint32_t behaviour);
  // Waits for a firmware state; fails the test after 30 s.
  void Expect(uint32_t state);
  // Loads the control firmware and waits until it is ready.
  void Boot();

  struct Answer {
    uint32_t status = ~0u;
    uint32_t detail = 0;
    uint64_t arg[NPU_MBOX_ARGS] = {};
  };
  // Sends a mailbox command and waits for its answer.
  Answer Command(uint32_t op, std::initializer_list<uint64_t> args = {});
  uint32_t Send(uint32_t op, std::initializer_list<uint64_t> args = {});  // sequence number
  Answer Receive(uint32_t seq);
  npu_mbox* mailbox();

  npu_ctx_desc* context(uint32_t number);
  npu_queue_desc* queue(uint32_t number);
  // Fills in a good descriptor and creates it; fails the test when refused.
  void CreateContext(uint32_t number);
  void DescribeQueue(uint32_t number, uint32_t context, uint32_t priority, uint64_t timeout_ns);
  void CreateQueue(uint32_t number, uint32_t priority = 1, uint64_t timeout_ns = 0);

  bool LogContains(const std::string& text);

  FakeDevice device;
  std::unique_ptr<npu::model::Mgmt> mgmt;

 private:
  std::mutex log_mutex_;
  std::vector<std::string> log_;  // guarded by log_mutex_
  uint32_t seq_ = 0;
};
