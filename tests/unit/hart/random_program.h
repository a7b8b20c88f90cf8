// SPDX-License-Identifier: Apache-2.0
// Random RV64IMAFC programs for the comparison with another implementation.
#ifndef NPU_TESTS_UNIT_HART_RANDOM_PROGRAM_H_
#define NPU_TESTS_UNIT_HART_RANDOM_PROGRAM_H_

#include <cstdint>
#include <vector>

namespace npu::test {

// What a program starts from and what it leaves: loaded into the registers before it, stored back after it.
struct ProgramState {
  static constexpr unsigned kScratch = 512;
  uint64_t x[32];  // x0-x4, x6 and x8 have fixed uses and are not loaded
  uint32_t f[32];
  uint64_t fcsr;
  uint64_t reserved;
  uint8_t scratch[kScratch];  // loads, stores and atomics reach this
  uint8_t padding[1024 - 256 - 128 - 16 - kScratch];
};
static_assert(sizeof(ProgramState) == 1024);

// Many programs in one static Linux executable image, which runs them in order, writes all ProgramStates to file
// descriptor 1 and exits with status 0.  Uses the system calls write (64) and exit (93) only.
struct Batch {
  static constexpr uint64_t kBase = 0x100000;  // address of image[0]
  std::vector<uint8_t> image;                  // code, then the states
  uint64_t states_offset = 0;
  std::vector<uint64_t> code_offsets;  // of each program; one more at the end
};

// Programs first_seed, first_seed + 1, ...: each depends on its own seed only (and on where it lies: auipc).
Batch MakeBatch(uint64_t first_seed, unsigned programs);

// The image as an ELF file's bytes.
std::vector<uint8_t> MakeElf(const Batch& batch);

}  // namespace npu::test

#endif  // NPU_TESTS_UNIT_HART_RANDOM_PROGRAM_H_
