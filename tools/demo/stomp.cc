// SPDX-License-Identifier: Apache-2.0
#include "stomp.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "network.h"
#include "npu_op_args.h"

namespace demo {
namespace {

constexpr uint32_t kCount = 16384;  // elements: 64 KiB, so that the next tensor can begin at the very next byte
constexpr size_t kBytes = kCount * sizeof(float);
constexpr uint64_t kAddressMask = (1ull << 40) - 1;  // of a device pointer

uint64_t Address(const DeviceBuffer& b) {
  return reinterpret_cast<uint64_t>(b.get()) & kAddressMask;
}

// Two live tensors of which the second begins where the first ends.
struct Neighbours {
  std::vector<std::unique_ptr<DeviceBuffer>> all;
  DeviceBuffer* first = nullptr;
  DeviceBuffer* second = nullptr;
};

Neighbours MakeNeighbours() {
  Neighbours n;
  for (int i = 0; i < 16; ++i) {
    n.all.push_back(std::make_unique<DeviceBuffer>(kBytes, "spare"));
    for (auto& a : n.all) {
      for (auto& b : n.all) {
        if (Address(*a) + kBytes == Address(*b)) {
          n.first = a.get();
          n.second = b.get();
          CheckNpu(npuSetBufferName(n.first->get(), "attention.scores"), "name");
          CheckNpu(npuSetBufferName(n.second->get(), "layer7.weights"), "name");
          return n;
        }
      }
    }
  }
  n.first = n.all[0].get();
  n.second = n.all[1].get();
  return n;
}

struct Stream {
  Stream() { CheckNpu(npuStreamCreate(&handle), "stream"); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { npuStreamDestroy(handle); }
  npuStream_t handle = nullptr;
};

struct Module {
  explicit Module(const char* name) {
    char path[4096];
    CheckOps(npuOpsGetModulePath(name, path, sizeof path), "faulty operator");
    CheckNpu(npuModuleLoad(&handle, path), "faulty operator");
  }
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;
  ~Module() { npuModuleUnload(handle); }
  npuFunction_t Function(const char* name) {
    npuFunction_t f;
    CheckNpu(npuModuleGetFunction(&f, handle, name), name);
    return f;
  }
  npuModule_t handle = nullptr;
};

std::vector<float> Ramp(float start, float step) {
  std::vector<float> v(kCount);
  for (uint32_t i = 0; i < kCount; ++i) v[i] = start + step * static_cast<float>(i);
  return v;
}

// An honest operator in a stream of its own: y = x * scale + offset.
class Bystander {
 public:
  Bystander() : x_(Ramp(-3.0f, 0.25f)), in_(x_, "bystander.x"), out_(kBytes, "bystander.y") {}

  void Queue(npuStream_t stream, float scale) {
    CheckOps(npuOpsScale(kCount, in_.get(), scale, 1.0f, out_.get(), stream), "bystander");
  }
  bool Right(npuStream_t stream, float scale) {
    std::vector<float> y(kCount);
    CheckNpu(npuMemcpyAsync(y.data(), out_.get(), kBytes, npuMemcpyDeviceToHost, stream), "bystander");
    CheckNpu(npuStreamSynchronize(stream), "bystander");
    for (uint32_t i = 0; i < kCount; ++i) {
      if (y[i] != std::fma(x_[i], scale, 1.0f)) return false;
    }
    return true;
  }

 private:
  std::vector<float> x_;
  DeviceBuffer in_, out_;
};

void ReadReport(StompResult* r) {
  uint64_t count = 0, dropped = 0;
  CheckNpu(npuGetFaultCount(&count, &dropped), "fault count");
  if (count == 0) return;
  CheckNpu(npuGetFault(0, &r->fault), "fault");
  size_t bytes = 0;
  CheckNpu(npuGetFaultReport(npuReportText, nullptr, &bytes), "fault report");
  r->report.resize(bytes);
  CheckNpu(npuGetFaultReport(npuReportText, r->report.data(), &bytes), "fault report");
  r->report.resize(std::strlen(r->report.c_str()));
  const npuFault& f = r->fault;
  r->named = std::strcmp(f.kernel, "scale_off_by_one") == 0 && std::strstr(f.file, "demo_faults.cc") && f.line > 0 &&
             f.buffer.known && std::strcmp(f.buffer.name, "attention.scores") == 0 && f.buffer.distance == 0 &&
             f.victim.known && std::strcmp(f.victim.name, "layer7.weights") == 0 && f.badBytes == sizeof(float);
}

}  // namespace

StompResult RunStomp() {
  StompResult r;
  CheckNpu(npuClearFaults(), "clearing faults");
  Neighbours tensors = MakeNeighbours();
  r.adjacent = Address(*tensors.first) + kBytes == Address(*tensors.second);
  const std::vector<float> x = Ramp(0.5f, 0.125f), precious = Ramp(1000.0f, -0.5f);
  const DeviceBuffer input(x, "attention.input");
  CheckNpu(npuMemcpy(tensors.second->get(), precious.data(), kBytes, npuMemcpyHostToDevice), "neighbour");

  Stream faulty, good;
  Bystander bystander;
  Module module("demo_faults");
  const npuFunction_t function = module.Function("scale_off_by_one");
  const NpuDemoFaultArgs args = {reinterpret_cast<uint64_t>(input.get()),
                                 reinterpret_cast<uint64_t>(tensors.first->get()), kCount, 0.125f};
  bystander.Queue(good.handle, 2.0f);
  CheckNpu(npuLaunchKernel(function, {1, 1, 1}, &args, sizeof args, faulty.handle), "launch");
  const bool before = bystander.Right(good.handle, 2.0f);
  r.stopped = npuStreamSynchronize(faulty.handle) == npuErrorMemoryFault;
  // The faulty stream stands still now; the other goes on.
  bystander.Queue(good.handle, 3.0f);
  r.other_stream = before && bystander.Right(good.handle, 3.0f);
  ReadReport(&r);

  std::vector<float> now(kCount);
  CheckNpu(npuMemcpy(now.data(), tensors.second->get(), kBytes, npuMemcpyDeviceToHost), "neighbour");
  r.compared_bytes = kBytes;
  r.unchanged = std::memcmp(now.data(), precious.data(), kBytes) == 0;

  if (r.stopped) CheckNpu(npuStreamReset(faulty.handle), "reset of the stream");
  bystander.Queue(faulty.handle, 4.0f);
  r.usable_again = bystander.Right(faulty.handle, 4.0f);
  return r;
}

}  // namespace demo
