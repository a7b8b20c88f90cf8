// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The C ABI.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <string>

#include "device/device.h"
#include "npu_model.h"

using npu::model::Device;

// The handle that callers hold is the device.
struct npu_model {
  std::unique_ptr<Device> device;
};

namespace {

void Say(const std::string& error, char* err, size_t err_bytes) {
  if (err && err_bytes) std::snprintf(err, err_bytes, "%s", error.c_str());
}

npu_model* Create(const npu_model_config* config, char* err, size_t err_bytes) {
  std::string error = "config is a null pointer";
  npu_model* model = nullptr;
  // Nothing may be thrown through C: threads or memory may be lacking.
  try {
    std::unique_ptr<Device> device = config ? Device::Create(*config, &error) : nullptr;
    if (device) model = new npu_model{std::move(device)};
  } catch (const std::exception& e) {
    error = std::string("cannot make the device: ") + e.what();
  }
  if (!model) Say(error, err, err_bytes);
  return model;
}

void* Save(npu_model* m, size_t* bytes, char* err, size_t err_bytes) {
  std::string error;
  void* copy = nullptr;
  *bytes = 0;
  try {
    std::vector<uint8_t> data = m->device->Save(&error);
    if (error.empty() && !(copy = std::malloc(data.size()))) error = "no memory for the saved state";
    if (copy) {
      std::memcpy(copy, data.data(), data.size());
      *bytes = data.size();
    }
  } catch (const std::exception& e) {
    error = std::string("cannot save the device: ") + e.what();
  }
  Say(error, err, err_bytes);
  return copy;
}

int Load(npu_model* m, const void* data, size_t bytes, char* err, size_t err_bytes) {
  std::string error;
  bool good = false;
  try {
    good = m->device->Load({static_cast<const uint8_t*>(data), bytes}, &error);
  } catch (const std::exception& e) {
    error = std::string("cannot load the device: ") + e.what();
  }
  Say(error, err, err_bytes);
  return good ? 0 : -1;
}

size_t Describe(npu_model* m, char* text, size_t bytes) {
  std::string all;
  try {
    all = m->device->Describe();
  } catch (const std::bad_alloc&) {
    // Nothing to show, then.
  }
  if (text && bytes) {
    size_t n = std::min(bytes - 1, all.size());
    std::memcpy(text, all.data(), n);
    text[n] = 0;
  }
  return all.size();
}

constexpr npu_model_api kApi = {
    NPU_MODEL_ABI,
    Create,
    [](npu_model* m) { delete m; },
    [](npu_model* m, npu_model_reset kind) { m->device->Reset(kind); },
    [](npu_model* m, uint64_t offset, unsigned size) { return m->device->MmioRead(offset, size); },
    [](npu_model* m, uint64_t offset, uint64_t value, unsigned size) { m->device->MmioWrite(offset, value, size); },
    [](npu_model* m) { m->device->Pause(); },
    [](npu_model* m) { m->device->Resume(); },
    Describe,
    [](npu_model* m, unsigned limit_ms) { return m->device->Drain(limit_ms) ? 1 : 0; },
    Save,
    Load,
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const npu_model_api* npu_model_get_api(uint32_t abi) {
  return abi == NPU_MODEL_ABI ? &kApi : nullptr;
}
