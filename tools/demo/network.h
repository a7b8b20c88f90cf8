// SPDX-License-Identifier: Apache-2.0
//
// The network on the device: weights resident, images streamed through several lanes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "files.h"
#include "npu_ops.h"

namespace demo {

struct DeviceError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throw DeviceError with the sentence of libnpu or libnpu_ops.
void CheckNpu(npuError_t error, const char* doing);
void CheckOps(npuError_t error, const char* doing);

// Device memory with a name, freed with the object.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(size_t bytes, const char* name);
  DeviceBuffer(const std::vector<float>& values, const char* name);
  DeviceBuffer(DeviceBuffer&& other) noexcept { std::swap(p_, other.p_); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(p_, other.p_);
    return *this;
  }
  ~DeviceBuffer() { npuFree(p_); }
  void* get() const { return p_; }

 private:
  void* p_ = nullptr;
};

struct Results {
  std::vector<float> logits, probabilities;  // [count][10]
  std::vector<int32_t> predictions;          // [count]
  npuCounters counters = {};                 // sums over the lanes
  double seconds = 0;                        // from the first packet to the last result, on this host's clock
  // On the device's clock: how long copies ran, and how much of that beside another lane's layers.
  double copy_ms = 0, hidden_ms = 0;
};

inline constexpr uint32_t kLanes = 3, kBatch = 500;

// Multiply-accumulates of the layers for one image, borders included, without what the hardware pads.
uint64_t UsefulMacs();

// Classifies count images: batches of kBatch go round over kLanes streams, each of which copies in, runs the layers and
// copies out.  progress(done) is called after each batch.
Results Classify(const Weights& weights, const uint8_t* images, uint32_t count,
                 const std::function<void(uint32_t)>& progress);

}  // namespace demo
