// SPDX-License-Identifier: Apache-2.0
//
// Random instruction streams.  Input: how the block starts (1 byte: blocks of the launch), how much of the rest is data
// (1 byte, in 16 bytes), the data (start of the data buffer, which a0 points to, and start of SRAM), then the code.
#include "core_bench.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  static fuzz::CoreBench bench;
  fuzz::Input in(bytes, count);
  bench.Reset();
  const uint32_t blocks = 1 + in.Below(4);
  const size_t data = size_t{in.Take<uint8_t>()} * 16;
  bench.Begin(blocks);
  in.Bytes(bench.data(0), data < 4096 ? data : 4096);
  std::memcpy(bench.core().sram(), bench.data(0), data);
  in.Bytes(bench.code(), fuzz::kCodeBytes);
  bench.Finish(4);
  bench.CheckUntouched();
  return 0;
}
