// SPDX-License-Identifier: Apache-2.0
#include "cpu_reference.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace demo {
namespace {

// std::fma is one instruction in the first two versions, and a function call in the last.  The results are the same.
#define CPU_VERSIONS __attribute__((noinline, target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))

// y[side][side][O] = relu(bias + sum over ky, kx, c of x * w) with a border of zeros; x: [side + 2][side + 2][C].
// The loops over o are innermost, so that they become vectors; each o still sums in the order of (ky, kx, c).
template <uint32_t kSize, uint32_t C, uint32_t O>
__attribute__((always_inline)) inline void Convolve(const float* x, const float* w, const float* bias, float* y) {
  for (uint32_t oy = 0; oy < kSize; ++oy) {
    for (uint32_t ox = 0; ox < kSize; ++ox, y += O) {
      float sum[O];
      for (uint32_t o = 0; o < O; ++o) sum[o] = bias[o];
      for (uint32_t ky = 0; ky < 3; ++ky) {
        // The values under one window row are contiguous.
        const float* row = x + ((oy + ky) * (kSize + 2) + ox) * C;
        const float* weights = w + ky * 3 * C * O;
        for (uint32_t k = 0; k < 3 * C; ++k) {
          for (uint32_t o = 0; o < O; ++o) sum[o] = std::fma(row[k], weights[k * O + o], sum[o]);
        }
      }
      for (uint32_t o = 0; o < O; ++o) y[o] = std::max(sum[o], 0.0f);
    }
  }
}

CPU_VERSIONS void Convolve1(const float* x, const float* w, const float* bias, float* y) {
  Convolve<28, 1, kConv1>(x, w, bias, y);
}

CPU_VERSIONS void Convolve2(const float* x, const float* w, const float* bias, float* y) {
  Convolve<14, kConv1, kConv2>(x, w, bias, y);
}

// y[n] = bias[n] + sum over k of x[k] * w[k][n].
CPU_VERSIONS void Connect(const float* x, const float* w, const float* bias, uint32_t ks, uint32_t n, float* y) {
  for (uint32_t o = 0; o < n; ++o) y[o] = bias[o];
  for (uint32_t k = 0; k < ks; ++k) {
    for (uint32_t o = 0; o < n; ++o) y[o] = std::fma(x[k], w[size_t{k} * n + o], y[o]);
  }
}

CPU_VERSIONS void Normalize(const uint8_t* image, float scale, float offset, float* y) {
  for (uint32_t r = 0; r < kSide; ++r) {
    for (uint32_t c = 0; c < kSide; ++c) {
      y[(r + 1) * (kSide + 2) + c + 1] = std::fma(static_cast<float>(image[r * kSide + c]), scale, offset);
    }
  }
}

// 2x2 maximum of [2 * half][2 * half][c] into the rows of a picture that is pitch pixels wide.
void Pool(const float* x, uint32_t half, uint32_t c, float* y, uint32_t pitch) {
  for (uint32_t r = 0; r < half; ++r) {
    for (uint32_t col = 0; col < half; ++col) {
      const float* a = x + ((2 * r) * 2 * half + 2 * col) * c;
      const float* b = a + 2 * half * c;
      float* out = y + (r * pitch + col) * c;
      for (uint32_t i = 0; i < c; ++i) out[i] = std::max(std::max(a[i], b[i]), std::max(a[i + c], b[i + c]));
    }
  }
}

}  // namespace

void CpuReference(const Weights& w, const uint8_t* images, uint32_t count, float* logits) {
  // Inputs with their border of zeros, which the loops never write.
  std::vector<float> in1(30 * 30), in2(16 * 16 * kConv1);
  std::vector<float> out1(28 * 28 * kConv1), out2(14 * 14 * kConv2), flat(kFlat), hidden(kHidden);
  for (uint32_t i = 0; i < count; ++i) {
    Normalize(images + size_t{i} * kPixels, w.scale, w.offset, in1.data());
    Convolve1(in1.data(), w.conv1.data(), w.bias1.data(), out1.data());
    Pool(out1.data(), 14, kConv1, in2.data() + (16 + 1) * kConv1, 16);
    Convolve2(in2.data(), w.conv2.data(), w.bias2.data(), out2.data());
    Pool(out2.data(), 7, kConv2, flat.data(), 7);
    Connect(flat.data(), w.fc1.data(), w.bias3.data(), kFlat, kHidden, hidden.data());
    for (float& v : hidden) v = std::max(v, 0.0f);
    Connect(hidden.data(), w.fc2.data(), w.bias4.data(), kHidden, kClasses, logits + size_t{i} * kClasses);
  }
}

uint32_t Argmax(const float* logits) {
  return static_cast<uint32_t>(std::max_element(logits, logits + kClasses) - logits);
}

}  // namespace demo
