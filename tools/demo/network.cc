// SPDX-License-Identifier: Apache-2.0
#include "network.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace demo {
namespace {

// Memory of npuMallocHost: the device copies from and to it by itself.
template <class T>
class HostBuffer {
 public:
  explicit HostBuffer(size_t count) {
    void* p = nullptr;
    CheckNpu(npuMallocHost(&p, count * sizeof(T)), "host memory for a lane");
    p_ = static_cast<T*>(p);
  }
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;
  ~HostBuffer() { npuFreeHost(p_); }
  T* get() const { return p_; }

 private:
  T* p_ = nullptr;
};

class Event {
 public:
  Event() { CheckNpu(npuEventCreate(&event_), "event"); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { npuEventDestroy(event_); }
  void Record(npuStream_t stream) { CheckNpu(npuEventRecord(event_, stream), "event"); }
  // Milliseconds since the other.
  double Since(const Event& other) const {
    float ms = 0;
    CheckNpu(npuEventElapsedTime(&ms, other.event_, event_), "event times");
    return ms;
  }

 private:
  npuEvent_t event_ = nullptr;
};

struct DeviceWeights {
  explicit DeviceWeights(const Weights& w)
      : conv1(w.conv1, "conv1 weights"),
        bias1(w.bias1, "conv1 bias"),
        conv2(w.conv2, "conv2 weights"),
        bias2(w.bias2, "conv2 bias"),
        fc1(w.fc1, "fc1 weights"),
        bias3(w.bias3, "fc1 bias"),
        fc2(w.fc2, "fc2 weights"),
        bias4(w.bias4, "fc2 bias"),
        scale(w.scale),
        offset(w.offset) {}
  DeviceBuffer conv1, bias1, conv2, bias2, fc1, bias3, fc2, bias4;
  float scale, offset;
};

// When the parts of a batch ran, in milliseconds since the first record.
struct Spans {
  double in_begin, in_end, out_begin, out_end;
};

// One stream with tensors of its own for a batch.
class Lane {
 public:
  Lane()
      : images_(kBatch * kPixels, "images"),
        input_(sizeof(float) * kBatch * kPixels, "normalised images"),
        conv1_(sizeof(float) * kBatch * 14 * 14 * kConv1, "conv1 output"),
        conv2_(sizeof(float) * kBatch * kFlat, "conv2 output"),
        hidden_(sizeof(float) * kBatch * kHidden, "fc1 output"),
        logits_(sizeof(float) * kBatch * kClasses, "logits"),
        probabilities_(sizeof(float) * kBatch * kClasses, "probabilities"),
        predictions_(sizeof(int32_t) * kBatch, "predictions"),
        host_images_(kBatch * kPixels),
        host_logits_(kBatch * kClasses),
        host_probabilities_(kBatch * kClasses),
        host_predictions_(kBatch) {
    CheckNpu(npuStreamCreate(&stream_), "stream");
    CheckNpu(npuStreamGetCounters(stream_, &start_), "counters");
  }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;
  ~Lane() { npuStreamDestroy(stream_); }

  npuStream_t stream() const { return stream_; }
  bool busy() const { return busy_; }

  // Queues a whole batch with one doorbell.  The lane must have been collected.
  void Submit(const DeviceWeights& w, const uint8_t* images, uint32_t first, uint32_t n) {
    first_ = first;
    count_ = n;
    busy_ = true;
    std::memcpy(host_images_.get(), images + size_t{first} * kPixels, size_t{n} * kPixels);
    CheckNpu(npuStreamBatchBegin(stream_), "batch");
    in_begin_.Record(stream_);
    Copy(images_.get(), host_images_.get(), size_t{n} * kPixels, npuMemcpyHostToDevice);
    in_end_.Record(stream_);
    Layers(w, n);
    out_begin_.Record(stream_);
    Copy(host_logits_.get(), logits_.get(), sizeof(float) * n * kClasses, npuMemcpyDeviceToHost);
    Copy(host_probabilities_.get(), probabilities_.get(), sizeof(float) * n * kClasses, npuMemcpyDeviceToHost);
    Copy(host_predictions_.get(), predictions_.get(), sizeof(int32_t) * n, npuMemcpyDeviceToHost);
    out_end_.Record(stream_);
    CheckNpu(npuStreamBatchEnd(stream_), "batch");
  }

  // Waits for the batch and takes its results over.
  uint32_t Collect(Results* results) {
    CheckNpu(npuStreamSynchronize(stream_), "waiting for a batch");
    const size_t at = size_t{first_} * kClasses;
    std::copy_n(host_logits_.get(), count_ * kClasses, results->logits.begin() + static_cast<ptrdiff_t>(at));
    std::copy_n(host_probabilities_.get(), count_ * kClasses,
                results->probabilities.begin() + static_cast<ptrdiff_t>(at));
    std::copy_n(host_predictions_.get(), count_, results->predictions.begin() + first_);
    busy_ = false;
    return count_;
  }

  // Of the batch that was collected last.
  Spans Times(const Event& origin) const {
    return {in_begin_.Since(origin), in_end_.Since(origin), out_begin_.Since(origin), out_end_.Since(origin)};
  }

  void AddCounters(npuCounters* sum) const {
    npuCounters now;
    CheckNpu(npuStreamGetCounters(stream_, &now), "counters");
    const auto* a = reinterpret_cast<const uint64_t*>(&start_);
    const auto* b = reinterpret_cast<const uint64_t*>(&now);
    auto* s = reinterpret_cast<uint64_t*>(sum);
    for (size_t i = 0; i < sizeof now / sizeof *a; ++i) s[i] += b[i] - a[i];
  }

 private:
  void Copy(void* dst, const void* src, size_t bytes, npuMemcpyKind kind) {
    CheckNpu(npuMemcpyAsync(dst, src, bytes, kind, stream_), "copy");
  }

  void Convolution(uint32_t n, uint32_t side, uint32_t c, uint32_t o, const void* x, const DeviceBuffer& w,
                   const DeviceBuffer& bias, void* y) {
    npuOpsConv2dDesc d = {};
    d.n = n;
    d.h = d.w = side;
    d.c = c;
    d.o = o;
    d.kh = d.kw = 3;
    d.strideH = d.strideW = 1;
    d.padTop = d.padLeft = d.padBottom = d.padRight = 1;
    d.activation = npuOpsActivationRelu;
    d.maxPool2x2 = 1;
    CheckOps(npuOpsConv2d(&d, x, w.get(), bias.get(), y, stream_), "convolution");
  }

  void Connected(uint32_t m, uint32_t n, uint32_t k, npuOpsActivation act, const void* x, const DeviceBuffer& w,
                 const DeviceBuffer& bias, void* y) {
    npuOpsMatmulDesc d = {};
    d.m = m;
    d.n = n;
    d.k = k;
    d.activation = act;
    CheckOps(npuOpsMatmul(&d, x, w.get(), bias.get(), y, stream_), "fully connected layer");
  }

  void Layers(const DeviceWeights& w, uint32_t n) {
    CheckOps(npuOpsNormalizeU8(uint64_t{n} * kPixels, images_.get(), w.scale, w.offset, input_.get(), stream_),
             "normalise");
    Convolution(n, 28, 1, kConv1, input_.get(), w.conv1, w.bias1, conv1_.get());
    Convolution(n, 14, kConv1, kConv2, conv1_.get(), w.conv2, w.bias2, conv2_.get());
    Connected(n, kHidden, kFlat, npuOpsActivationRelu, conv2_.get(), w.fc1, w.bias3, hidden_.get());
    Connected(n, kClasses, kHidden, npuOpsActivationNone, hidden_.get(), w.fc2, w.bias4, logits_.get());
    CheckOps(npuOpsSoftmax(n, kClasses, logits_.get(), probabilities_.get(), stream_), "softmax");
    CheckOps(npuOpsArgmax(n, kClasses, logits_.get(), predictions_.get(), stream_), "argmax");
  }

  npuStream_t stream_ = nullptr;
  DeviceBuffer images_, input_, conv1_, conv2_, hidden_, logits_, probabilities_, predictions_;
  HostBuffer<uint8_t> host_images_;
  HostBuffer<float> host_logits_, host_probabilities_;
  HostBuffer<int32_t> host_predictions_;
  Event in_begin_, in_end_, out_begin_, out_end_;
  npuCounters start_ = {};
  uint32_t first_ = 0, count_ = 0;
  bool busy_ = false;
};

// Copies of one lane beside layers of another.
void MeasureOverlap(const std::vector<std::pair<uint32_t, Spans>>& batches, Results* results) {
  std::vector<std::pair<double, double>> pieces;
  for (const auto& [lane, s] : batches) {
    for (auto [begin, end] : {std::pair(s.in_begin, s.in_end), std::pair(s.out_begin, s.out_end)}) {
      results->copy_ms += end - begin;
      // What other lanes' layers cover of [begin, end), counted once.
      pieces.clear();
      for (const auto& [other, o] : batches) {
        if (other == lane) continue;
        const double from = std::max(begin, o.in_end), to = std::min(end, o.out_begin);
        if (from < to) pieces.emplace_back(from, to);
      }
      std::sort(pieces.begin(), pieces.end());
      double covered = begin;
      for (auto [from, to] : pieces) {
        if (to <= covered) continue;
        results->hidden_ms += to - std::max(from, covered);
        covered = to;
      }
    }
  }
}

}  // namespace

void CheckNpu(npuError_t error, const char* doing) {
  if (error == npuSuccess) return;
  const char* sentence = npuGetLastErrorMessage();
  throw DeviceError(std::string(doing) + ": " + (*sentence ? sentence : npuGetErrorString(error)));
}

void CheckOps(npuError_t error, const char* doing) {
  if (error != npuSuccess) throw DeviceError(std::string(doing) + ": " + npuOpsGetLastErrorMessage());
}

DeviceBuffer::DeviceBuffer(size_t bytes, const char* name) {
  CheckNpu(npuMallocNamed(&p_, bytes, name), name);
}

DeviceBuffer::DeviceBuffer(const std::vector<float>& values, const char* name)
    : DeviceBuffer(values.size() * sizeof(float), name) {
  CheckNpu(npuMemcpy(p_, values.data(), values.size() * sizeof(float), npuMemcpyHostToDevice), name);
}

uint64_t UsefulMacs() {
  return 28 * 28 * 9 * kConv1 + 14 * 14 * 9 * kConv1 * kConv2 + kFlat * kHidden + kHidden * kClasses;
}

Results Classify(const Weights& weights, const uint8_t* images, uint32_t count,
                 const std::function<void(uint32_t)>& progress) {
  Results results;
  results.logits.resize(size_t{count} * kClasses);
  results.probabilities.resize(size_t{count} * kClasses);
  results.predictions.resize(count);
  const DeviceWeights on_device(weights);
  std::vector<std::unique_ptr<Lane>> lanes;
  for (uint32_t i = 0; i < kLanes; ++i) lanes.push_back(std::make_unique<Lane>());
  Event origin;
  origin.Record(lanes[0]->stream());
  CheckNpu(npuStreamSynchronize(lanes[0]->stream()), "first packet");

  std::vector<std::pair<uint32_t, Spans>> batches;
  uint32_t done = 0;
  auto collect = [&](uint32_t lane) {
    if (!lanes[lane]->busy()) return;
    done += lanes[lane]->Collect(&results);
    batches.emplace_back(lane, lanes[lane]->Times(origin));
    progress(done);
  };
  const auto start = std::chrono::steady_clock::now();
  uint32_t next = 0;
  for (uint32_t first = 0; first < count; first += kBatch, next = (next + 1) % kLanes) {
    collect(next);
    lanes[next]->Submit(on_device, images, first, std::min(kBatch, count - first));
  }
  for (uint32_t i = 0; i < kLanes; ++i) collect((next + i) % kLanes);
  results.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const auto& lane : lanes) lane->AddCounters(&results.counters);
  MeasureOverlap(batches, &results);
  return results;
}

}  // namespace demo
