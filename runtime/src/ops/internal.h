// SPDX-License-Identifier: Apache-2.0
//
// What the operators' host side shares: refusals with a sentence, device facts, kernels, and the planning arithmetic.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "npu_op_args.h"
#include "npu_ops.h"

namespace npu::ops {

// Keeps the sentence for npuOpsGetLastErrorMessage and gives the error back.
npuError_t Refuse(npuError_t error, const char* format, ...) __attribute__((format(printf, 2, 3)));

// Facts of the calling thread's current device, read once.
struct DeviceFacts {
  int index = 0;
  uint32_t cores = 1;
  uint64_t sram_bytes = 0;
};
npuError_t GetDeviceFacts(DeviceFacts* facts);

// Launches kernel of module (without ".elf") on the current device; loads it at first use.
npuError_t Launch(const DeviceFacts& device, const char* module, const char* kernel, npuDim3 grid, const void* args,
                  size_t args_bytes, npuStream_t stream);

// Refuses what is not in 1 .. most.
npuError_t CheckDimension(const char* operation, const char* name, uint32_t value, uint32_t most);

// One axis of a window: padding smaller than the window, which fits into the padded image.
npuError_t CheckWindow(const char* operation, const char* axis, uint32_t size, uint32_t window, uint32_t lo,
                       uint32_t hi);

// The part of a window's geometry that convolutions and pools share: Desc and Args are npuOpsConv2dDesc and
// NpuConv2dArgs, or npuOpsPool2dDesc and NpuPoolArgs.
template <class Desc, class Args>
void WindowGeometry(const Desc& d, Args* a) {
  a->n = d.n;
  a->h = d.h;
  a->width = d.w;
  a->c = d.c;
  a->kh = d.kh;
  a->kw = d.kw;
  a->stride_h = d.strideH;
  a->stride_w = d.strideW;
  a->pad_top = d.padTop;
  a->pad_left = d.padLeft;
  a->oh = (d.h + d.padTop + d.padBottom - d.kh) / d.strideH + 1;
  a->ow = (d.w + d.padLeft + d.padRight - d.kw) / d.strideW + 1;
}

// Refuses NULL and addresses that are not a multiple of align.
npuError_t CheckPointer(const char* operation, const char* name, const void* pointer, size_t align = 4);

inline uint64_t Bits(const void* pointer) {
  return reinterpret_cast<uint64_t>(pointer);
}
inline uint64_t DivUp(uint64_t a, uint64_t b) {
  return a / b + (a % b != 0);
}
inline uint64_t RoundUp(uint64_t a, uint64_t b) {
  return DivUp(a, b) * b;
}

// Products of several dimensions, without overflow.
__extension__ typedef unsigned __int128 Wide;

// Bytes that the device's allocator takes for count floats; capped far above what a core has.
inline uint64_t SramFloats(Wide count) {
  constexpr uint64_t kCap = 1ull << 48;
  return count > kCap ? kCap : RoundUp(static_cast<uint64_t>(count) * sizeof(float), 64);
}

// No dimension may be larger: one plus padding fits into 31 bits, a product of two into 64.
inline constexpr uint32_t kMaxDimension = 1u << 24;
inline constexpr uint32_t kMaxWindow = 4096;  // of a window's side, and of a stride

// Blocks for items that are dealt out evenly: all cores busy, and no block so long that another queue waits for it
// forever, or the watchdog, which sees only blocks that end, takes it for hanging on a slow host.  work: of an item, in
// multiply-accumulates.
uint32_t BlocksFor(const DeviceFacts& device, uint64_t items, uint64_t work = 0);

// The cycle model's constants as far as plans are compared by them.  Only the choice of tiles depends on them, never a
// result.
struct Cost {
  static constexpr uint64_t kArray = 16;     // rows and columns of the matrix unit
  static constexpr uint64_t kFill = 32;      // a matrix operation's constant part
  static constexpr uint64_t kDmaBytes = 32;  // a cycle, with all cores working
  static constexpr uint64_t kDmaStart = 24;
  static constexpr uint64_t kDmaRow = 2;
  // steps: of k, that the array takes a cycle; more for smaller types.
  static uint64_t Mma(uint64_t m, uint64_t n, uint64_t k, uint64_t steps = 1) {
    return DivUp(m, kArray) * DivUp(n, kArray) * DivUp(k, steps) + kFill;
  }
  static uint64_t Dma(uint64_t rows, uint64_t row_bytes) {
    return kDmaStart + rows * (kDmaRow + DivUp(row_bytes, kDmaBytes));
  }
};

}  // namespace npu::ops
