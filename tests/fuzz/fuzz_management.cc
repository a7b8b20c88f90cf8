// SPDX-License-Identifier: Apache-2.0
//
// Random code on the management hart.  The input is first what a host does, then the code of a firmware, which the
// boot ROM accepts.  It runs with pointers to all that it could reach in registers, and a handler that steps over
// what traps.  Whatever it did, the device must come back from a reset.
#include <libfdt.h>

#include <algorithm>
#include <vector>

#include "device_bench.h"
#include "fuzz.h"
#include "mgmt/package.h"

namespace {

using namespace npu::model;
using fuzz::DeviceBench;
using fuzz::Input;

constexpr uint32_t kCodeBytes = 2048, kEnded = 0x0e0d;

uint32_t Lui(unsigned rd, uint64_t value) {
  return static_cast<uint32_t>(value & 0xfffff000) | rd << 7 | 0x37;
}
uint32_t Immediate(unsigned rd, unsigned rs1, unsigned funct3, int value, unsigned opcode = 0x13) {
  return static_cast<uint32_t>(value) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode;
}
uint32_t Store(unsigned rs1, unsigned rs2, unsigned funct3, unsigned offset) {
  return (offset >> 5 & 0x7f) << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (offset & 0x1f) << 7 | 0x23;
}

// What runs before and after the input's code, and what its traps come to.
class Program {
 public:
  explicit Program(Input& in) {
    // The handler: over the instruction; compressed ones are run over at half of the next one.
    words_ = {
        0,                        // j start, filled in below
        0x34102f73,               // csrr t5, mepc
        Immediate(30, 30, 0, 4),  // addi t5, t5, 4
        0x341f1073,               // csrw mepc, t5
        0x30200073,               // mret
    };
    words_[0] = 20u / 2 << 21 | 0x6f;             // jal x0, +20
    words_.push_back(0x00000f17);                 // auipc t5, 0: this address
    words_.push_back(Immediate(30, 30, 0, -16));  // the handler
    words_.push_back(0x305f1073);                 // csrw mtvec, t5
    words_.push_back(Lui(8, NPU_MG_MMIO_BASE));   // s0: registers
    words_.push_back(Immediate(9, 0, 0, 1));      // s1: SRAM
    words_.push_back(Immediate(9, 9, 1, 31));
    words_.push_back(Immediate(18, 0, 0, 1));  // s2: device memory
    words_.push_back(Immediate(18, 18, 1, 44));
    words_.push_back(Lui(19, NPU_MG_MMIO_BASE + NPU_MG_SLOT_OFFSET));   // s3: slots
    words_.push_back(Lui(20, NPU_MG_MMIO_BASE + NPU_MG_NVRAM_OFFSET));  // s4: NVRAM
    words_.push_back(Lui(21, 0x40000));                                 // s5: the end of SRAM
    words_.push_back(9u << 20 | 21u << 15 | 21u << 7 | 0x33);
    words_.push_back(Lui(22, fuzz::kMemory));  // s6: the end of device memory
    words_.push_back(18u << 20 | 22u << 15 | 22u << 7 | 0x33);
    words_.push_back(Immediate(5, 0, 0, 1));
    words_.push_back(Store(8, 5, 2, NPU_MG_FW_READY));
    std::vector<uint32_t> code(std::min<size_t>(in.left(), kCodeBytes) / 4);
    in.Bytes(code.data(), code.size() * 4);
    words_.insert(words_.end(), code.begin(), code.end());
    words_.insert(words_.end(), 4, 0x00000013);  // to land on
    words_.push_back(Lui(8, NPU_MG_MMIO_BASE));
    words_.push_back(Lui(5, kEnded + 0x800));
    words_.push_back(Immediate(5, 5, 0, static_cast<int>(kEnded)));
    words_.push_back(Store(8, 5, 2, NPU_MG_HEARTBEAT));
    words_.push_back(0x10500073);  // wfi
    words_.push_back(0xffdff06f);  // j -4
  }
  std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> out(words_.size() * 4);
    std::memcpy(out.data(), words_.data(), out.size());
    return out;
  }

 private:
  std::vector<uint32_t> words_;
};

// A package of one section.
std::vector<uint8_t> MakePackage(const std::vector<uint8_t>& code) {
  Package package;
  PackageSection section;
  section.name = "text";
  section.load = package.entry = NPU_MG_SRAM_BASE;
  section.memsize = static_cast<uint32_t>(code.size());
  section.data = code;
  section.digest = Sha256Of(code.data(), code.size());
  package.contract = NPU_CONTRACT_VERSION;
  package.version[0] = 1;
  package.build = "fuzz";
  package.sections.push_back(section);
  const Sha256Digest digest = PackageDigest(package);

  std::vector<uint8_t> tree(code.size() + 2048);
  void* fdt = tree.data();
  int error = 0;
  const auto put = [&](const char* name, const void* value, size_t bytes) {
    error |= fdt_property(fdt, name, value, static_cast<int>(bytes));
  };
  error |= fdt_create(fdt, static_cast<int>(tree.size()));
  error |= fdt_finish_reservemap(fdt);
  error |= fdt_begin_node(fdt, "");
  put("compatible", NPU_FW_COMPATIBLE, sizeof(NPU_FW_COMPATIBLE));
  error |= fdt_property_u32(fdt, "npu,package-version", NPU_FW_PACKAGE_VERSION);
  error |= fdt_property_u32(fdt, "npu,contract", package.contract);
  const uint32_t version[3] = {cpu_to_fdt32(1), 0, 0};
  put("npu,version", version, sizeof(version));
  put("npu,build", package.build.c_str(), package.build.size() + 1);
  error |= fdt_property_u64(fdt, "npu,entry", package.entry);
  put("npu,sha256", digest.data(), digest.size());
  error |= fdt_begin_node(fdt, "sections");
  error |= fdt_begin_node(fdt, "text");
  error |= fdt_property_u64(fdt, "npu,load", section.load);
  error |= fdt_property_u32(fdt, "npu,memsize", section.memsize);
  put("data", code.data(), code.size());
  put("npu,sha256", section.digest.data(), section.digest.size());
  for (int node = 0; node < 3; ++node) error |= fdt_end_node(fdt);
  error |= fdt_finish(fdt);
  FUZZ_CHECK(error == 0);
  tree.resize(fdt_totalsize(fdt));
  return tree;
}

class Session {
 public:
  Session(DeviceBench& bench, Input& in) : bench_(bench), in_(in) {}

  void Run() {
    uint8_t host[12];
    for (uint8_t& byte : host) byte = in_.Take<uint8_t>();
    const std::vector<uint8_t> package = MakePackage(Program(in_).bytes());
    for (uint64_t at = 0; at < package.size(); at += 8) {
      uint64_t word = 0;
      std::memcpy(&word, &package[at], std::min<size_t>(8, package.size() - at));
      bench_.StoreVram(fuzz::kPackage + at, word);
    }
    bench_.Set(NPU_REG_MBOX_ADDR, fuzz::kData, 8);
    bench_.Set(NPU_REG_FW_ADDR, fuzz::kPackage, 8);
    bench_.Set(NPU_REG_FW_SIZE, package.size());
    bench_.Set(NPU_REG_FW_CTRL, NPU_FW_CTRL_LOAD);
    FUZZ_CHECK(bench_.Until(20000, [&] { return bench_.Get(NPU_REG_FW_STATE) != NPU_FW_STATE_VERIFY; }));
    FUZZ_CHECK(bench_.Get(NPU_REG_FW_STATE) != NPU_FW_STATE_REJECTED);
    for (uint8_t byte : host) Host(byte);
    // Most programs end; one that runs in circles gets a moment.
    bench_.Until(5, [&] {
      return bench_.Get(NPU_REG_FW_HEARTBEAT) == kEnded || bench_.Get(NPU_REG_FW_STATE) == NPU_FW_STATE_CRASHED;
    });
  }

 private:
  void Host(uint8_t action) {
    const uint32_t queue = action >> 3 & 7;
    switch (action & 7) {
      case 1:
        return bench_.Set(NPU_REG_MBOX_DB, ++seq_);
      case 2:
        return bench_.Doorbell(queue, action >> 6);
      case 3:
        bench_.Set(NPU_REG_INJ_KIND, action >> 3);
        bench_.Set(NPU_REG_INJ_COUNT, 1);
        return bench_.Set(NPU_REG_INJ_CTRL, 1);
      case 4: {
        npu_packet packet{};
        packet.type = NPU_PKT_NOP;
        bench_.Push(queue, pushed_++, packet);
        return bench_.Doorbell(queue, pushed_);
      }
      case 5:
        bench_.Get(NPU_REG_FW_CRASH_PC, 8);
        bench_.Get(NPU_REG_FW_ERROR);
        return;
      case 6:
        return bench_.Set(NPU_REG_FW_CTRL, action >> 3 & 1 ? NPU_FW_CTRL_STOP : NPU_FW_CTRL_LOAD);
      case 7:
        bench_.device().Pause();
        return bench_.device().Resume();
      default:
        return std::this_thread::yield();
    }
  }

  DeviceBench& bench_;
  Input& in_;
  uint32_t seq_ = 0;
  uint64_t pushed_ = 0;
};

// A good firmware starts, and is done.
void CheckAlive(DeviceBench& bench) {
  static const uint8_t nothing[1] = {};
  Input none(nothing, 0);
  bench.Reset();
  FUZZ_CHECK(bench.Get(NPU_REG_FW_STATE) == NPU_FW_STATE_OFF);
  Session(bench, none).Run();
  FUZZ_CHECK(bench.Until(20000, [&] { return bench.Get(NPU_REG_FW_HEARTBEAT) == kEnded; }));
  FUZZ_CHECK(bench.Get(NPU_REG_FW_STATE) == NPU_FW_STATE_READY);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  static std::unique_ptr<DeviceBench> bench;
  static uint32_t runs = 0;
  if (runs % 256 == 0) bench.reset();  // power-off with firmware at work
  if (!bench) bench = std::make_unique<DeviceBench>();
  if (runs++ % 16 == 0) CheckAlive(*bench);
  bench->Reset();
  Input in(bytes, count);
  Session(*bench, in).Run();
  return 0;
}
