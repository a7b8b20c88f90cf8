// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Element types and conversions among all of them, for the vector unit and the DMA pipes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "npu_isa.h"

namespace npu::model {

// Bits of one element in memory; 0: no such type.
inline constexpr uint32_t DtypeBits(uint8_t type) {
  switch (type) {
    case NPU_F32:
    case NPU_TF32:
    case NPU_I32:
    case NPU_U32:
      return 32;
    case NPU_F16:
    case NPU_BF16:
    case NPU_I16:
      return 16;
    case NPU_F8E4M3:
    case NPU_F8E5M2:
    case NPU_I8:
    case NPU_U8:
      return 8;
    case NPU_I4:
      return 4;
    default:
      return 0;
  }
}

inline constexpr bool DtypeIsFloat(uint8_t type) {
  return type <= NPU_F8E5M2;
}

// Position in Kernels::convert, or -1.
inline constexpr int KernelIndex(uint8_t type) {
  switch (type) {
    case NPU_F32:
      return 0;
    case NPU_I32:
      return 1;
    case NPU_I8:
      return 2;
    case NPU_U8:
      return 3;
    default:
      return -1;
  }
}

struct Rounding {
  uint8_t mode = NPU_ROUND_NEAREST;
  bool saturate = false;  // floating-point destinations: the largest number in place of infinity (e4m3: of NaN)
  uint32_t seed = 0;
};

// The random number of NPU_ROUND_STOCHASTIC for the element with this number.
inline constexpr uint32_t MixBits(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85ebca6bu;
  x = (x ^ (x >> 13)) * 0xc2b2ae35u;
  return x ^ (x >> 16);
}
inline constexpr uint32_t StochasticBits(uint32_t seed, uint32_t number) {
  return MixBits(MixBits(number + 0x9e3779b9u) ^ seed);
}

// out[i] = in[i] in another type, i < n; element i has the number first + i.  The two do not overlap unless the types
// have the same width and out == in.  Both are aligned to their elements; with i4 on either side n is even.
void ConvertElements(void* out, uint8_t dst_type, const void* in, uint8_t src_type, const Rounding& rounding,
                     uint32_t first, size_t n);

}  // namespace npu::model
