// SPDX-License-Identifier: Apache-2.0
//
// The control firmware, with a driver that sends it anything: mailbox commands, descriptors, doorbells and packets.  It
// has to answer every command, and must not crash.  NPU_CONTROL_PACKAGE in the environment names another package.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

#include "device_bench.h"
#include "fuzz.h"
#include "npu_admin.h"

namespace {

using fuzz::DeviceBench;
using fuzz::Input;

constexpr uint64_t kMailbox = 0x60000;
constexpr uint32_t kMaxActions = 48;

std::string LoadPackage() {
  const char* given = std::getenv("NPU_CONTROL_PACKAGE");
  const std::string path = given ? given : NPU_CONTROL_PACKAGE;
  std::ifstream file(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (bytes.empty() || bytes.size() > fuzz::kRings - fuzz::kPackage) {
    std::fprintf(stderr, "%s: no firmware package; make host builds it\n", path.c_str());
    std::exit(1);
  }
  return bytes;
}

uint64_t Number(Input& in) {
  const uint8_t kind = in.Take<uint8_t>();
  if (kind < 180) return kind % 20;
  if (kind < 220) return uint64_t{in.Take<uint16_t>()} << (kind % 4 * 4);
  return kind < 250 ? in.Take<uint64_t>() : ~uint64_t{kind % 4u};
}

class Driver {
 public:
  Driver(DeviceBench& bench, Input& in) : bench_(bench), in_(in) {}

  void Boot(const std::string& package) {
    for (uint64_t at = 0; at < package.size(); at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, &package[at], std::min<size_t>(8, package.size() - at));
      bench_.StoreVram(fuzz::kPackage + at, word);
    }
    bench_.Set(NPU_REG_MBOX_ADDR, kMailbox, 8);
    bench_.Set(NPU_REG_FW_ADDR, fuzz::kPackage, 8);
    bench_.Set(NPU_REG_FW_SIZE, package.size());
    bench_.Set(NPU_REG_FW_CTRL, NPU_FW_CTRL_LOAD);
    FUZZ_CHECK(bench_.Until(20000, [&] { return bench_.Get(NPU_REG_FW_STATE) == NPU_FW_STATE_READY; }));
    const uint64_t hello[] = {NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION};
    Command(NPU_ADMIN_HELLO, hello, 2);
  }

  void Run() {
    for (uint32_t i = 0; i < kMaxActions && !in_.empty(); ++i) Act();
    const uint64_t hello[] = {NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION};
    Command(NPU_ADMIN_HELLO, hello, 2);
  }

 private:
  void Command(uint32_t op, const uint64_t* args, uint32_t count) {
    ++seq_;
    bench_.StoreVram(kMailbox, uint64_t{op} << 32 | seq_);
    for (uint32_t i = 0; i < count; ++i) bench_.StoreVram(kMailbox + offsetof(npu_mbox, arg) + i * 8, args[i]);
    bench_.Set(NPU_REG_MBOX_DB, seq_);
    FUZZ_CHECK(bench_.Until(20000, [&] {
      const uint64_t state = bench_.Get(NPU_REG_FW_STATE);
      FUZZ_CHECK(state == NPU_FW_STATE_READY);
      return bench_.Get(NPU_REG_MBOX_ACK) == seq_;
    }));
  }

  void Act() {
    const uint8_t kind = in_.Take<uint8_t>();
    const uint32_t queue = in_.Below(fuzz::kQueues);
    if (kind < 80) {  // a context and a queue, as a driver makes them
      const uint64_t context = 1 + queue % fuzz::kContexts, number = queue;
      Command(NPU_ADMIN_CTX_CREATE, &context, 1);
      Command(NPU_ADMIN_QUEUE_CREATE, &number, 1);
    } else if (kind < 150) {
      uint64_t args[4] = {in_.Below(8) ? queue : Number(in_), Number(in_), Number(in_), Number(in_)};
      Command(kind < 145 ? kind % (NPU_ADMIN_OPS + 1) : in_.Take<uint32_t>(), args, 4);
    } else if (kind < 180) {
      npu_packet packet{};
      packet.type = kind % NPU_PKT_TYPES;
      packet.flags = packet.type == NPU_PKT_SIGNAL;
      packet.signal_addr = NPU_PTR(1, 1, fuzz::kVramVa + in_.Take<uint8_t>() * 8);
      packet.u.raw[0] = NPU_PTR(1, 1, fuzz::kVramVa + in_.Take<uint8_t>() * 8);
      packet.u.raw[1] = Number(in_);
      packet.u.raw[2] = in_.Take<uint32_t>();
      bench_.Push(queue, wptr_[queue]++, packet);
      bench_.Doorbell(queue, in_.Below(8) ? wptr_[queue] : Number(in_));
    } else if (kind < 230) {  // descriptors, and what else the firmware reads
      static constexpr uint64_t kPlaces[] = {fuzz::kCtxTable, fuzz::kQueueTable, kMailbox, fuzz::kQueueTable};
      bench_.StoreVram(kPlaces[kind % 4] + in_.Take<uint8_t>() * 8, Number(in_));
    } else {
      HostRegister(kind);
    }
  }

  void HostRegister(uint8_t kind) {
    static constexpr uint32_t kRegisters[] = {NPU_REG_EVENTS,   NPU_REG_EVENT_MASK, NPU_REG_TLB_INV,
                                              NPU_REG_MBOX_DB,  NPU_REG_CTX_TABLE,  NPU_REG_QUEUE_TABLE,
                                              NPU_REG_INJ_ADDR, NPU_REG_INJ_COUNT,  NPU_REG_INJ_KIND};
    const uint32_t reg = kRegisters[kind % std::size(kRegisters)];
    if (reg == NPU_REG_MBOX_DB) return bench_.Set(reg, seq_);  // the same again
    bench_.Set(reg, Number(in_), reg == NPU_REG_CTX_TABLE || reg == NPU_REG_QUEUE_TABLE ? 8 : 4);
    if (reg == NPU_REG_INJ_KIND && bench_.Get(reg) != NPU_INJ_FW_CRASH) bench_.Set(NPU_REG_INJ_CTRL, 1);
  }

  DeviceBench& bench_;
  Input& in_;
  uint32_t seq_ = 0;
  uint64_t wptr_[fuzz::kQueues] = {};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  static DeviceBench bench;
  static const std::string package = LoadPackage();
  Input in(bytes, count);
  bench.Reset();
  Driver driver(bench, in);
  driver.Boot(package);
  driver.Run();
  return 0;
}
