// SPDX-License-Identifier: Apache-2.0
//
// What the demonstration reads: the Fashion-MNIST test set, the network's weights, the reference's results.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace demo {

// A file that is missing or malformed; what() names it, says why and what to do.
struct FileError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline constexpr uint32_t kSide = 28, kPixels = kSide * kSide, kClasses = 10;
extern const char* const kClassNames[kClasses];

struct Dataset {
  uint32_t count = 0;
  std::vector<uint8_t> images;  // [count][28][28]
  std::vector<uint8_t> labels;  // [count], below kClasses
};

// Folder of the dataset: dir, or when that is empty the first of the usual places that has it.
Dataset LoadDataset(const std::string& dir);

// All weights as f32 (stored as fp16 they widen exactly); layouts as the operators take them.
struct Weights {
  float scale = 0, offset = 0;      // of the input: pixel * scale + offset
  std::vector<float> conv1, bias1;  // [3][3][1][16]
  std::vector<float> conv2, bias2;  // [3][3][16][32]
  std::vector<float> fc1, bias3;    // [1568][128]
  std::vector<float> fc2, bias4;    // [128][10]
};
inline constexpr uint32_t kConv1 = 16, kConv2 = 32, kFlat = 7 * 7 * kConv2, kHidden = 128;

// path empty: fashion_cnn.npuw beside the program's share folder.
Weights LoadWeights(const std::string& path);

// What the CPU reference gives for the whole test set, computed once and kept beside the weights.
struct Golden {
  uint32_t images = 0, correct = 0;
  uint64_t digest = 0;  // FNV-1a of all logits in order
};
Golden LoadGolden(const std::string& path);
void SaveGolden(const std::string& path, const Golden& golden);

// FNV-1a, 64 bit, over 32-bit words in little-endian order.
uint64_t Digest(const float* values, size_t count);

}  // namespace demo
