// SPDX-License-Identifier: Apache-2.0
//
// The operators as plain loops, with the orders of summation that npu_ops.h promises.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "npu_ops.h"

namespace reference {

using Floats = std::vector<float>;

// std::fma is one instruction where the CPU has it, and a slow function where it has not.
#define REFERENCE_FAST __attribute__((noinline, target_clones("fma", "default"))) static

[[maybe_unused]] REFERENCE_FAST Floats Conv2d(const npuOpsConv2dDesc& d, uint32_t oh, uint32_t ow, const Floats& x,
                                              const Floats& w, const float* bias) {
  Floats y(size_t{d.n} * oh * ow * d.o);
  size_t at = 0;
  for (uint32_t n = 0; n < d.n; ++n)
    for (uint32_t oy = 0; oy < oh; ++oy)
      for (uint32_t ox = 0; ox < ow; ++ox)
        for (uint32_t o = 0; o < d.o; ++o) {
          float sum = bias ? bias[o] : 0.0f;
          for (uint32_t ky = 0; ky < d.kh; ++ky)
            for (uint32_t kx = 0; kx < d.kw; ++kx)
              for (uint32_t c = 0; c < d.c; ++c) {
                const int64_t iy = int64_t{oy} * d.strideH + ky - d.padTop,
                              ix = int64_t{ox} * d.strideW + kx - d.padLeft;
                const bool inside = iy >= 0 && iy < d.h && ix >= 0 && ix < d.w;
                const float value = inside ? x[((n * size_t{d.h} + iy) * d.w + ix) * d.c + c] : 0.0f;
                sum = std::fma(value, w[((size_t{ky} * d.kw + kx) * d.c + c) * d.o + o], sum);
              }
          y[at++] = d.activation == npuOpsActivationRelu ? std::max(sum, 0.0f) : sum;
        }
  return y;
}

[[maybe_unused]] REFERENCE_FAST Floats Matmul(uint32_t m, uint32_t n, uint32_t k, bool trans_a, bool trans_b,
                                              const float* a, const float* b, const float* bias) {
  Floats d(size_t{m} * n);
  for (size_t i = 0; i < m; ++i)
    for (size_t j = 0; j < n; ++j) {
      float sum = bias ? bias[j] : 0.0f;
      for (size_t l = 0; l < k; ++l) {
        sum = std::fma(trans_a ? a[l * m + i] : a[i * k + l], trans_b ? b[j * k + l] : b[l * n + j], sum);
      }
      d[i * n + j] = sum;
    }
  return d;
}

// One window: its columns' rows first, then the columns.
inline float Window(const npuOpsPool2dDesc& d, const Floats& x, uint32_t n, int64_t y0, int64_t x0, uint32_t c) {
  const bool average = d.kind == npuOpsPoolAverage;
  float total = 0;
  for (uint32_t kx = 0; kx < d.kw; ++kx) {
    float column = 0;
    for (uint32_t ky = 0; ky < d.kh; ++ky) {
      const int64_t iy = y0 + ky, ix = x0 + kx;
      const bool inside = iy >= 0 && iy < d.h && ix >= 0 && ix < d.w;
      const float border = average ? 0.0f : -std::numeric_limits<float>::infinity();
      const float v = inside ? x[((n * size_t{d.h} + iy) * d.w + ix) * d.c + c] : border;
      column = ky == 0 ? v : average ? column + v : std::max(column, v);
    }
    total = kx == 0 ? column : average ? total + column : std::max(total, column);
  }
  return average ? total * (1.0f / static_cast<float>(d.kh * d.kw)) : total;
}

inline Floats Pool2d(const npuOpsPool2dDesc& d, uint32_t oh, uint32_t ow, const Floats& x) {
  Floats y;
  for (uint32_t n = 0; n < d.n; ++n)
    for (uint32_t oy = 0; oy < oh; ++oy)
      for (uint32_t ox = 0; ox < ow; ++ox)
        for (uint32_t c = 0; c < d.c; ++c) {
          y.push_back(Window(d, x, n, int64_t{oy} * d.strideH - d.padTop, int64_t{ox} * d.strideW - d.padLeft, c));
        }
  return y;
}

inline Floats Softmax(uint32_t rows, uint32_t cols, const Floats& x) {
  Floats y(x.size());
  for (size_t r = 0; r < rows; ++r) {
    const float* in = &x[r * cols];
    const double most = *std::max_element(in, in + cols);
    double sum = 0;
    for (size_t c = 0; c < cols; ++c) sum += std::exp(in[c] - most);
    for (size_t c = 0; c < cols; ++c) y[r * cols + c] = static_cast<float>(std::exp(in[c] - most) / sum);
  }
  return y;
}

}  // namespace reference
