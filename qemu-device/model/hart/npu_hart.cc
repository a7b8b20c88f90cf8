// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// npu-hart: runs a bare static RISC-V ELF file on one hart until it writes its `tohost` symbol.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "hart/decode.h"
#include "hart/elf_image.h"
#include "hart/flat_machine.h"

namespace {

using npu::model::ElfImage;
using npu::model::FlatMachine;
using npu::model::Stop;
using Hart = npu::model::Hart<FlatMachine>;

// Exit statuses of the tool; a program's own failure code is printed, not returned: it may not fit.
enum Status { kPassed = 0, kFailed = 1, kUsage = 2, kNotEnded = 3 };

struct Options {
  std::string file;
  bool trace = false;
  uint64_t max_instructions = UINT64_MAX;
  uint64_t memory_bytes = uint64_t{16} << 20;
};

const char* XName(unsigned i) {
  static const char* const kNames[32] = {"zero", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
                                         "a1",   "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
                                         "s6",   "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
  return kNames[i];
}

uint32_t InstructionAt(FlatMachine& machine, uint64_t pc) {
  uint64_t bytes = 0;
  const uint8_t* code = machine.Code(pc, &bytes);
  uint16_t half[2] = {0, 0};
  if (code == nullptr) return 0;
  std::memcpy(half, code, 2);
  if (npu::model::InsnLength(half[0]) == 4 && bytes >= 4) std::memcpy(half, code, 4);
  return half[0] | static_cast<uint32_t>(half[1]) << 16;
}

// One instruction at a time: pc, the instruction, and what it wrote.
Stop RunTraced(Hart& hart, FlatMachine& machine, uint64_t limit) {
  Stop stop = Stop::kBudget;
  for (uint64_t i = 0; i < limit && stop == Stop::kBudget; ++i) {
    uint64_t x[32];
    uint32_t f[32];
    std::copy_n(hart.x, 32, x);
    std::copy_n(hart.f, 32, f);
    const uint64_t pc = hart.pc;
    const uint64_t before = hart.instret;
    const uint32_t fcsr = hart.fcsr;
    const uint32_t insn = InstructionAt(machine, pc);
    stop = hart.Run(1);
    if (stop == Stop::kEnv) break;
    std::printf("%016" PRIx64 " %0*x", pc, npu::model::InsnLength(static_cast<uint16_t>(insn)) == 4 ? 8 : 4, insn);
    for (unsigned r = 1; r < 32; ++r) {
      if (hart.x[r] != x[r]) std::printf(" %s=%016" PRIx64, XName(r), hart.x[r]);
    }
    for (unsigned r = 0; r < 32; ++r) {
      if (hart.f[r] != f[r]) std::printf(" f%u=%08x", r, hart.f[r]);
    }
    if (hart.fcsr != fcsr) std::printf(" fcsr=%02x", hart.fcsr);
    if (hart.instret == before) std::printf(" trap mcause=%" PRIx64 " mtval=%" PRIx64, hart.mcause, hart.mtval);
    std::printf("\n");
  }
  return stop;
}

int Report(const Options& options, const Hart& hart, const FlatMachine& machine, Stop stop, double seconds) {
  const double mips = seconds > 0 ? static_cast<double>(hart.instret) / seconds / 1e6 : 0;
  std::fprintf(stderr, "%" PRIu64 " instructions, %" PRIu64 " cycles, %.3f s, %.1f MIPS\n", hart.instret, hart.cycles,
               seconds, mips);
  const char* file = options.file.c_str();
  if (machine.exit_value() == 1) return kPassed;
  if (machine.exit_value() != 0) {
    std::fprintf(stderr, "npu-hart: %s: failed with code %" PRIu64 "\n", file, machine.exit_value() >> 1);
    return kFailed;
  }
  const char* why = stop == Stop::kBudget ? "stopped: --max-instructions is used up"
                    : stop == Stop::kWfi  ? "waits for an interrupt, and this machine has no source of any"
                                          : "trapped, and mtvec names no code";
  std::fprintf(stderr,
               "npu-hart: %s: %s (pc %#" PRIx64 ", mepc %#" PRIx64 ", mcause %#" PRIx64 ", mtval %#" PRIx64 ")\n", file,
               why, hart.pc, hart.mepc, hart.mcause, hart.mtval);
  return kNotEnded;
}

int RunFile(const Options& options) {
  ElfImage image;
  std::string error;
  if (!image.Read(options.file, &error)) {
    std::fprintf(stderr, "npu-hart: %s\n", error.c_str());
    return kUsage;
  }
  const auto tohost = image.symbols.find("tohost");
  if (tohost == image.symbols.end()) {
    std::fprintf(stderr, "npu-hart: %s: no symbol `tohost`: the program could never end\n", options.file.c_str());
    return kUsage;
  }
  const uint64_t base = image.low & ~uint64_t{4095};
  FlatMachine machine(base, std::max(options.memory_bytes, image.high - base), tohost->second);
  image.CopyTo(machine);
  Hart hart(machine);
  hart.Reset(image.entry);
  const auto start = std::chrono::steady_clock::now();
  const Stop stop =
      options.trace ? RunTraced(hart, machine, options.max_instructions) : hart.Run(options.max_instructions);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::fflush(stdout);
  return Report(options, hart, machine, stop, took.count());
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{
      "Runs a bare static RV64IMAFC ELF file on one hart, in machine mode, at its load addresses, until it writes its "
      "`tohost` symbol (1: passed; otherwise code << 1 | 1)."};
  app.footer(
      "Exit status: 0 passed, 1 failed, 2 the file cannot be run, 3 stopped without an answer.\n"
      "All registers are 0 at the start, sp too.");
  app.add_option("file", options.file, "ELF file")->required();
  app.add_flag("--trace", options.trace, "print every instruction: pc, encoding, registers that changed");
  app.add_option("--max-instructions", options.max_instructions, "stop after so many instructions");
  app.add_option("--memory", options.memory_bytes, "bytes of memory from the program's lowest address (default 16 MiB)")
      ->check(CLI::Range(uint64_t{4096}, uint64_t{1} << 32));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kUsage;
  }
  return RunFile(options);
}
