// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Every number of every type is mantissa * 2^exponent with a mantissa of at most 32 bits, so a conversion is exact
// integer work: take apart, shift and round once, put together.  The frequent pairs have kernels of their own with the
// same results.
#include "core/convert.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/kernels.h"

namespace npu::model {

namespace {

constexpr size_t kChunk = 256;  // elements taken apart at once; even, for i4

enum class Kind : uint8_t { kFinite, kInfinite, kNan };

struct Number {
  uint32_t mantissa;
  int32_t exponent;
  bool negative;
  Kind kind;
};

// A floating-point format without its sign bit.
struct Format {
  int mantissa_bits;
  int least;          // exponent of the smallest normal number
  uint32_t largest;   // finite
  uint32_t infinity;  // what stands for it: NaN in e4m3
  uint32_t nan;       // the canonical one
  int sign;           // position of the sign bit
  int unused;         // low bits of the storage that are always 0
};

constexpr Format FormatOf(uint8_t type) {
  switch (type) {
    case NPU_F16:
      return {10, -14, 0x7bff, 0x7c00, 0x7e00, 15, 0};
    case NPU_BF16:
      return {7, -126, 0x7f7f, 0x7f80, 0x7fc0, 15, 0};
    case NPU_TF32:
      return {10, -126, 0x3fbff, 0x3fc00, 0x3fe00, 18, 13};
    case NPU_F8E4M3:
      return {3, -6, 0x7e, 0x7f, 0x7f, 7, 0};
    case NPU_F8E5M2:
      return {2, -14, 0x7b, 0x7c, 0x7e, 7, 0};
    default:
      return {23, -126, 0x7f7fffff, 0x7f800000, 0x7fc00000, 31, 0};
  }
}

template <uint8_t kType>
uint32_t LoadBits(const void* in, size_t i) {
  if constexpr (DtypeBits(kType) == 32) {
    return static_cast<const uint32_t*>(in)[i];
  } else if constexpr (DtypeBits(kType) == 16) {
    return static_cast<const uint16_t*>(in)[i];
  } else if constexpr (DtypeBits(kType) == 8) {
    return static_cast<const uint8_t*>(in)[i];
  } else {
    return static_cast<const uint8_t*>(in)[i / 2] >> (i % 2 * 4) & 15u;
  }
}

template <uint8_t kType>
void StoreBits(void* out, size_t i, uint32_t bits) {
  if constexpr (DtypeBits(kType) == 32) {
    static_cast<uint32_t*>(out)[i] = bits;
  } else if constexpr (DtypeBits(kType) == 16) {
    static_cast<uint16_t*>(out)[i] = static_cast<uint16_t>(bits);
  } else if constexpr (DtypeBits(kType) == 8) {
    static_cast<uint8_t*>(out)[i] = static_cast<uint8_t>(bits);
  } else {
    uint8_t& pair = static_cast<uint8_t*>(out)[i / 2];
    pair = static_cast<uint8_t>(i % 2 ? (pair & 15u) | bits << 4 : bits & 15u);
  }
}

template <uint8_t kType>
Number TakeApart(uint32_t bits) {
  if constexpr (DtypeIsFloat(kType)) {
    constexpr Format f = FormatOf(kType);
    bits >>= f.unused;
    const bool negative = bits >> f.sign & 1;
    bits &= (1u << f.sign) - 1;
    if (bits >= f.infinity) {
      const bool infinite = f.infinity != f.nan && bits == f.infinity;
      return {0, 0, negative, infinite ? Kind::kInfinite : Kind::kNan};
    }
    const uint32_t field = bits >> f.mantissa_bits, low = bits & ((1u << f.mantissa_bits) - 1);
    const int32_t exponent = f.least - f.mantissa_bits;
    if (!field) return {low, exponent, negative, Kind::kFinite};
    return {low | 1u << f.mantissa_bits, exponent + static_cast<int32_t>(field) - 1, negative, Kind::kFinite};
  } else {
    constexpr uint32_t kBits = DtypeBits(kType);
    constexpr bool kSigned = kType != NPU_U8 && kType != NPU_U32;
    const bool negative = kSigned && bits >> (kBits - 1) & 1;
    const uint32_t mask = kBits == 32 ? 0xffffffffu : (1u << (kBits % 32)) - 1;
    return {negative ? (0u - bits) & mask : bits, 0, negative, Kind::kFinite};
  }
}

// mantissa / 2^shift as an integer.  The caller keeps shift above -32.
uint64_t RoundAt(uint32_t mantissa, int shift, bool negative, uint8_t mode, uint32_t random) {
  if (shift <= 0) return uint64_t{mantissa} << -shift;
  const uint64_t kept = shift < 32 ? mantissa >> shift : 0;
  // What is cut off, in units of 2^-64; what lies below that counts as a little more than nothing.
  uint64_t rest = 0;
  if (shift < 64)
    rest = uint64_t{mantissa} << (64 - shift);
  else if (shift < 128)
    rest = mantissa >> std::min(shift - 64, 31) >> (shift - 64 > 31);
  const bool exact = !rest && (shift < 64 || !mantissa);
  constexpr uint64_t kHalf = uint64_t{1} << 63;
  switch (mode) {
    case NPU_ROUND_NEAREST:
      return kept + (rest > kHalf || (rest == kHalf && (kept & 1)));
    case NPU_ROUND_AWAY:
      return kept + (rest >= kHalf);
    case NPU_ROUND_DOWN:
      return kept + (!exact && negative);
    case NPU_ROUND_UP:
      return kept + (!exact && !negative);
    case NPU_ROUND_STOCHASTIC:
      return kept + (random < rest >> 32);
    default:
      return kept;
  }
}

// Too large for the type, of this sign: whether that means infinity.
bool OverflowIsInfinite(bool negative, uint8_t mode) {
  if (mode == NPU_ROUND_ZERO) return false;
  if (mode == NPU_ROUND_DOWN) return negative;
  return mode != NPU_ROUND_UP || !negative;
}

template <uint8_t kType>
uint32_t PutFloat(const Number& x, const Rounding& rounding, uint32_t random) {
  constexpr Format f = FormatOf(kType);
  if (x.kind == Kind::kNan) return f.nan << f.unused;
  uint32_t bits = 0;
  bool infinite = x.kind == Kind::kInfinite;
  if (!infinite && x.mantissa) {
    const int top = x.exponent + 31 - std::countl_zero(x.mantissa);
    const int biased = top > f.least ? top - f.least : 0;  // the leading bit of a normal number adds one more
    const uint64_t kept =
        RoundAt(x.mantissa, f.least + biased - f.mantissa_bits - x.exponent, x.negative, rounding.mode, random);
    const uint64_t number = (uint64_t{static_cast<uint32_t>(biased)} << f.mantissa_bits) + kept;
    const bool overflow = number > f.largest;
    infinite = overflow && OverflowIsInfinite(x.negative, rounding.mode);
    bits = overflow ? f.largest : static_cast<uint32_t>(number);
  }
  if (infinite) bits = rounding.saturate ? f.largest : f.infinity;
  // Where NaN stands for infinity, it is the canonical NaN, without a sign.
  const bool nan = infinite && !rounding.saturate && f.infinity == f.nan;
  return (bits | static_cast<uint32_t>(x.negative && !nan) << f.sign) << f.unused;
}

template <uint8_t kType>
uint32_t PutInteger(const Number& x, const Rounding& rounding, uint32_t random) {
  constexpr bool kSigned = kType != NPU_U8 && kType != NPU_U32;
  constexpr uint32_t kBits = DtypeBits(kType);
  constexpr int64_t kLow = kSigned ? -(int64_t{1} << (kBits - 1)) : 0;
  constexpr int64_t kHigh = (int64_t{1} << (kSigned ? kBits - 1 : kBits)) - 1;
  if (x.kind == Kind::kNan) return 0;
  const bool huge = x.kind == Kind::kInfinite || (x.mantissa && x.exponent > 31);
  if (huge) return static_cast<uint32_t>(x.negative ? kLow : kHigh);
  const int shift = x.mantissa ? -x.exponent : 0;
  const auto magnitude = static_cast<int64_t>(RoundAt(x.mantissa, shift, x.negative, rounding.mode, random));
  const int64_t value = x.negative ? -magnitude : magnitude;
  return static_cast<uint32_t>(value < kLow ? kLow : value > kHigh ? kHigh : value);
}

template <uint8_t kType>
void LoadChunk(const void* in, size_t from, size_t n, Number* out) {
  for (size_t i = 0; i < n; ++i) out[i] = TakeApart<kType>(LoadBits<kType>(in, from + i));
}

template <uint8_t kType>
void StoreChunk(void* out, size_t to, size_t n, const Number* in, const Rounding& rounding, uint32_t first) {
  const bool random = rounding.mode == NPU_ROUND_STOCHASTIC;
  for (size_t i = 0; i < n; ++i) {
    const uint32_t bits = random ? StochasticBits(rounding.seed, first + static_cast<uint32_t>(i)) : 0;
    if constexpr (DtypeIsFloat(kType))
      StoreBits<kType>(out, to + i, PutFloat<kType>(in[i], rounding, bits));
    else
      StoreBits<kType>(out, to + i, PutInteger<kType>(in[i], rounding, bits));
  }
}

using LoadFn = void (*)(const void*, size_t, size_t, Number*);
using StoreFn = void (*)(void*, size_t, size_t, const Number*, const Rounding&, uint32_t);

// By enum npu_dtype.
constexpr LoadFn kLoad[NPU_DTYPES] = {LoadChunk<0>, LoadChunk<1>, LoadChunk<2>,  LoadChunk<3>,
                                      LoadChunk<4>, LoadChunk<5>, LoadChunk<6>,  LoadChunk<7>,
                                      LoadChunk<8>, LoadChunk<9>, LoadChunk<10>, LoadChunk<11>};
constexpr StoreFn kStore[NPU_DTYPES] = {StoreChunk<0>, StoreChunk<1>, StoreChunk<2>,  StoreChunk<3>,
                                        StoreChunk<4>, StoreChunk<5>, StoreChunk<6>,  StoreChunk<7>,
                                        StoreChunk<8>, StoreChunk<9>, StoreChunk<10>, StoreChunk<11>};

// A kernel that gives the same result, or nullptr.
RowFn QuickWay(uint8_t dst_type, uint8_t src_type, const Rounding& rounding) {
  const Kernels& k = ActiveKernels();
  if (rounding.saturate) return nullptr;
  if (dst_type == NPU_F32 && k.widen[src_type]) return k.widen[src_type];  // exact: nothing to round
  if (rounding.mode != NPU_ROUND_NEAREST) return nullptr;
  if (src_type == NPU_F32 && k.narrow[dst_type]) return k.narrow[dst_type];
  const int from = KernelIndex(src_type), to = KernelIndex(dst_type);
  return from >= 0 && to >= 0 && from + to ? k.convert[from][to] : nullptr;
}

}  // namespace

void ConvertElements(void* out, uint8_t dst_type, const void* in, uint8_t src_type, const Rounding& rounding,
                     uint32_t first, size_t n) {
  if (dst_type == src_type) {
    if (out != in) std::memcpy(out, in, n * DtypeBits(src_type) / 8);
    return;
  }
  if (const RowFn quick = QuickWay(dst_type, src_type, rounding)) return quick(out, in, nullptr, nullptr, n);
  Number numbers[kChunk];
  for (size_t at = 0; at < n; at += kChunk) {
    const size_t m = std::min(n - at, kChunk);
    kLoad[src_type](in, at, m, numbers);
    kStore[dst_type](out, at, m, numbers, rounding, first + static_cast<uint32_t>(at));
  }
}

}  // namespace npu::model
