// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <cstring>
#include <fstream>
#include <iterator>

#include "suite.h"

namespace {

constexpr uint64_t kPackageAt = 0x400000;

std::vector<uint8_t> ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  assert_true(bytes.size() > 100);
  return bytes;
}

}  // namespace

std::vector<uint8_t> ControlPackage() {
  return ReadFile(NPU_CONTROL_PACKAGE);
}
std::vector<uint8_t> ProbePackage() {
  return ReadFile(NPU_PROBE_PACKAGE);
}

Rig::Rig(const std::string& nvram) {
  npu::model::MgmtPlatform platform;
  platform.memory = device.memory.data();
  platform.memory_bytes = device.memory.size();
  platform.power_on = std::chrono::steady_clock::now();
  platform.nvram_path = nvram;
  platform.log = [this](npu_model_log, const char* line) {
    {
      std::lock_guard lock(log_mutex_);
      log_.emplace_back(line);
    }
    device.Poke();
  };
  mgmt = std::make_unique<npu::model::Mgmt>(std::move(platform), device);
  device.With([&] { device.mgmt = mgmt.get(); });
}

Rig::~Rig() {
  device.With([&] { device.mgmt = nullptr; });
  mgmt.reset();
}

bool Rig::LogContains(const std::string& text) {
  std::lock_guard lock(log_mutex_);
  for (const std::string& line : log_)
    if (line.find(text) != std::string::npos) return true;
  return false;
}

void Rig::Load(const std::vector<uint8_t>& package) {
  std::memcpy(device.memory.data() + kPackageAt, package.data(), package.size());
  mgmt->LoadFirmware(kPackageAt, package.size());
}

void Rig::LoadProbe(uint32_t behaviour) {
  device.With([&] { device.mbox_db = behaviour; });
  Load(ProbePackage());
}

void Rig::Expect(uint32_t state) {
  if (device.WaitFor([&] { return mgmt->state() == state; })) return;
  print_error("state %u, expected %u: %s\n", mgmt->state(), state, mgmt->Describe().c_str());
  std::lock_guard lock(log_mutex_);
  for (const std::string& line : log_) print_error("  %s\n", line.c_str());
  fail();
}

void Rig::Boot() {
  Load(ControlPackage());
  Expect(NPU_FW_STATE_READY);
}

npu_mbox* Rig::mailbox() {
  return reinterpret_cast<npu_mbox*>(device.memory.data() + FakeDevice::kMailbox);
}

uint32_t Rig::Send(uint32_t op, std::initializer_list<uint64_t> args) {
  npu_mbox* box = mailbox();
  std::memset(static_cast<void*>(box), 0, offsetof(npu_mbox, data));
  box->seq = ++seq_;
  box->op = op;
  box->status = ~0u;
  size_t i = 0;
  for (uint64_t arg : args) box->arg[i++] = arg;
  device.With([&] { device.mbox_db = seq_; });
  mgmt->RaiseIrq(NPU_MG_IRQ_MBOX);
  return seq_;
}

Rig::Answer Rig::Receive(uint32_t seq) {
  if (!device.WaitFor([&] { return device.mbox_ack == seq; })) {
    print_error("no answer to command %u: %s\n", seq, mgmt->Describe().c_str());
    fail();
  }
  Answer answer;
  const npu_mbox* box = mailbox();
  answer.status = box->status;
  answer.detail = box->detail;
  std::memcpy(answer.arg, box->arg, sizeof answer.arg);
  return answer;
}

Rig::Answer Rig::Command(uint32_t op, std::initializer_list<uint64_t> args) {
  return Receive(Send(op, args));
}

npu_ctx_desc* Rig::context(uint32_t number) {
  return reinterpret_cast<npu_ctx_desc*>(device.memory.data() + FakeDevice::kContextTable) + number;
}

npu_queue_desc* Rig::queue(uint32_t number) {
  return reinterpret_cast<npu_queue_desc*>(device.memory.data() + FakeDevice::kQueueTable) + number;
}

void Rig::CreateContext(uint32_t number) {
  npu_ctx_desc* desc = context(number);
  *desc = npu_ctx_desc{};
  desc->flags = NPU_CTX_VALID;
  desc->irq_vector = NPU_IRQ_FENCE0;
  desc->pt_root = 0x800000;
  desc->bounds_addr = 0x900000;
  desc->bounds_entries = 1024;
  desc->fault_ring = 0x7000;
  desc->fault_entries = 16;
  assert_int_equal(Command(NPU_ADMIN_CTX_CREATE, {number}).status, NPU_ADMIN_OK);
}

void Rig::DescribeQueue(uint32_t number, uint32_t context_number, uint32_t priority, uint64_t timeout_ns) {
  npu_queue_desc* desc = queue(number);
  *desc = npu_queue_desc{};
  desc->flags = NPU_QUEUE_VALID;
  desc->context = context_number;
  desc->ring_addr = FakeDevice::kRings + uint64_t{number} * NPU_PAGE_SIZE;
  desc->ring_log2 = 6;
  desc->priority = priority;
  desc->status_addr = 0x100000000ull + uint64_t{number} * NPU_PAGE_SIZE;
  desc->timeout_ns = timeout_ns;
}

void Rig::CreateQueue(uint32_t number, uint32_t priority, uint64_t timeout_ns) {
  DescribeQueue(number, 1, priority, timeout_ns);
  assert_int_equal(Command(NPU_ADMIN_QUEUE_CREATE, {number}).status, NPU_ADMIN_OK);
}
