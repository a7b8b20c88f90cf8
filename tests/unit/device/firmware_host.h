// SPDX-License-Identifier: Apache-2.0
//
// A rig whose firmware is the real one, with the host's side of the mailbox.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "npu_admin.h"
#include "suite.h"

using rig::Dev;
using rig::Rig;
using rig::Signal;

inline constexpr uint64_t kPackage = 0x3000000, kMailbox = 0x2f00000, kFence = rig::kData;

class Host : public Rig {
 public:
  explicit Host(void** state, uint32_t cores = 4) : Rig(Threads(state), cores) {}
  void Boot() {
    std::ifstream file(NPU_CONTROL_PACKAGE, std::ios::binary);
    std::vector<char> package((std::istreambuf_iterator<char>(file)), {});
    assert_true(package.size() > 1000);
    memcpy(vram() + kPackage, package.data(), package.size());
    Set(NPU_REG_CTX_TABLE, rig::kCtxTable, 8);
    Set(NPU_REG_QUEUE_TABLE, rig::kQueueTable, 8);
    Set(NPU_REG_MBOX_ADDR, kMailbox, 8);
    Set(NPU_REG_FW_ADDR, kPackage, 8);
    Set(NPU_REG_FW_SIZE, package.size());
    Set(NPU_REG_FW_CTRL, NPU_FW_CTRL_LOAD);
    assert_true(Until([this] { return Get(NPU_REG_FW_STATE) == NPU_FW_STATE_READY; }));
    Admin(NPU_ADMIN_HELLO, NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION);
    assert_int_equal(status(), NPU_ADMIN_OK);
  }
  npu_mbox& mbox() { return *reinterpret_cast<npu_mbox*>(vram() + kMailbox); }
  uint32_t status() { return mbox().status; }
  void Send(uint32_t op, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0) {
    mbox().seq = ++seq_;
    mbox().op = op;
    mbox().arg[0] = a0;
    mbox().arg[1] = a1;
    mbox().arg[2] = a2;
    Set(NPU_REG_MBOX_DB, seq_);
  }
  uint32_t Receive() {
    assert_true(Until([this] { return Get(NPU_REG_MBOX_ACK) == seq_; }));
    return mbox().status;
  }
  uint32_t Admin(uint32_t op, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0) {
    Send(op, a0, a1, a2);
    return Receive();
  }
  void CreateQueue(uint32_t queue, uint32_t context, uint64_t timeout_ns = 0) {
    WriteQueue(queue, context);
    memcpy(vram() + rig::kQueueTable + queue * sizeof(npu_queue_desc) + offsetof(npu_queue_desc, timeout_ns),
           &timeout_ns, 8);
    assert_int_equal(Admin(NPU_ADMIN_QUEUE_CREATE, queue), NPU_ADMIN_OK);
  }
  void CreateContext(uint32_t id) {
    WriteContext(id);
    assert_int_equal(Admin(NPU_ADMIN_CTX_CREATE, id), NPU_ADMIN_OK);
  }

  // Takes events until one of this kind comes; its values are in the mailbox.  Those of other kinds are kept for later:
  // faults of queues and news of the device come in any order.
  void NextEvent(uint32_t kind) {
    auto kept = std::find_if(kept_.begin(), kept_.end(), [&](const Event& e) { return e[0] == kind; });
    if (kept != kept_.end()) {
      memcpy(mbox().arg, kept->data(), sizeof(Event));
      kept_.erase(kept);
      return;
    }
    assert_true(Until([&] {
      Admin(NPU_ADMIN_GET_EVENT);
      if (mbox().arg[0] == kind) return true;
      if (mbox().arg[0] == NPU_FW_EVENT_NONE) return false;
      Event event;
      memcpy(event.data(), mbox().arg, sizeof(Event));
      kept_.push_back(event);
      return false;
    }));
  }
  // The stop shows in the status page before the firmware has heard of it, which then knows of nothing to resume.
  void Resume(uint32_t queue, uint32_t mode) {
    assert_true(Until([&] { return Admin(NPU_ADMIN_QUEUE_RESUME, queue, mode) == NPU_ADMIN_OK; }));
  }
  // Arms an injection; the device's code, 0 when it took it.
  uint32_t Inject(uint32_t kind, uint32_t count, uint64_t addr, uint32_t seed = 1) {
    Set(NPU_REG_INJ_KIND, kind);
    Set(NPU_REG_INJ_COUNT, count);
    Set(NPU_REG_INJ_ADDR, addr, 8);
    Set(NPU_REG_INJ_SEED, seed);
    Set(NPU_REG_INJ_CTRL, 1);
    return static_cast<uint32_t>(Get(NPU_REG_INJ_STATUS));
  }

 private:
  using Event = std::array<uint64_t, NPU_MBOX_ARGS>;
  std::vector<Event> kept_;
  uint32_t seq_ = 0;
};
