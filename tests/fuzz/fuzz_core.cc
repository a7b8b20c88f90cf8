// SPDX-License-Identifier: Apache-2.0
//
// Random instruction streams.  Input: how the block starts (1 byte: blocks of the launch), how much of the rest is data
// (1 byte, in 16 bytes), the data (in the data buffer, which a0 points to, and in SRAM), then the code.  Before it
// runs, s2 .. s9 get the ends of all memories and other pointers that a random program would not find.
#include <iterator>

#include "core_bench.h"
#include "fuzz.h"

namespace {

constexpr uint64_t kPointers[] = {
    fuzz::kDataPtr + fuzz::kDataBytes - 8,
    fuzz::kHostPtr + fuzz::kHostBytes - 28,
    NPU_LOCAL_SRAM_BASE + npu::model::kSramBytes - 8,
    NPU_LOCAL_STACK_BASE + NPU_LOCAL_STACK_BYTES - 8,
    fuzz::kCodePtr,
    fuzz::kFreedPtr,
    fuzz::kHostPtr,
    NPU_LOCAL_SRAM_BASE,
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  static fuzz::CoreBench bench;
  fuzz::Input in(bytes, count);
  bench.Reset();
  const uint32_t blocks = 1 + in.Below(4);
  const size_t data = size_t{in.Take<uint8_t>()} * 16;
  bench.Begin(blocks);
  std::memcpy(bench.data(0), kPointers, sizeof(kPointers));
  in.Bytes(bench.data(sizeof(kPointers)), data < 4000 ? data : 4000);
  std::memcpy(bench.core().sram(), bench.data(sizeof(kPointers)), data < 4000 ? data : 4000);
  constexpr uint32_t kCount = std::size(kPointers);
  for (uint32_t i = 0; i < kCount; ++i) {
    const uint32_t load = i * 8 << 20 | 10 << 15 | 3 << 12 | (18 + i) << 7 | 0x03;  // ld s2 + i, 8 * i(a0)
    std::memcpy(bench.code() + i * 4, &load, 4);
  }
  in.Bytes(bench.code() + kCount * 4, fuzz::kCodeBytes - kCount * 4);
  bench.Finish(4);
  bench.CheckUntouched();
  return 0;
}
