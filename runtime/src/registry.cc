// SPDX-License-Identifier: Apache-2.0
#include "registry.hpp"

#include <cstdlib>

namespace npu::rt {

Registry& Registry::Get() {
  // Never destroyed: threads of the application may still call while the process exits.
  static Registry* registry = new Registry;
  return *registry;
}

int& Registry::current_device() {
  thread_local int device = 0;
  return device;
}

Status Registry::SetBackend(const std::string& backend) {
  if (backend != "auto" && backend != "drm" && backend != "sim") {
    return Fail(npuErrorInvalidValue, "backend \"{}\" does not exist: use auto, drm or sim", backend);
  }
  std::lock_guard lock(mutex_);
  if (enumerated_) return Fail(npuErrorNotPermitted, "the backend cannot change after devices were counted or opened");
  backend_ = backend;
  return {};
}

Status Registry::Enumerate() {
  if (ended_) return Fail(npuErrorNotPermitted, "the process is exiting: the runtime has closed its devices");
  if (enumerated_) return {};
  std::string backend = backend_;
  if (backend.empty()) {
    const char* env = std::getenv("NPU_BACKEND");
    backend = env && *env ? env : "auto";
  }
  if (backend != "auto" && backend != "drm" && backend != "sim") {
    return Fail(npuErrorInvalidValue, "NPU_BACKEND=\"{}\" does not exist: use auto, drm or sim", backend);
  }
  std::vector<std::string> names = hal::ListDevices(backend == "auto" ? "drm" : backend);
  if (names.empty() && backend == "auto") names = hal::ListDevices("sim");
  for (std::string& name : names) devices_.push_back({std::move(name), nullptr});
  enumerated_ = true;
  return {};
}

Status Registry::Count(int* count) {
  std::lock_guard lock(mutex_);
  NPU_TRY(Enumerate());
  *count = static_cast<int>(devices_.size());
  return {};
}

Status Registry::CheckIndex(int device) {
  int count = 0;
  NPU_TRY(Count(&count));
  if (count == 0) {
    return Fail(npuErrorNoDevice,
                "no device of the npu driver is there; load npu.ko, or set NPU_BACKEND=sim to use the "
                "device model in this process");
  }
  if (device < 0 || device >= count) {
    return Fail(npuErrorInvalidDevice, "device {} does not exist: there are {}", device, count);
  }
  return {};
}

Status Registry::Open(int device, std::shared_ptr<Context>* out) {
  NPU_TRY(CheckIndex(device));
  std::lock_guard lock(mutex_);
  if (ended_) return Fail(npuErrorNotPermitted, "the process is exiting: the runtime has closed its devices");
  Slot& slot = devices_[static_cast<size_t>(device)];
  if (!slot.context) {
    NPU_TRY(Context::Open(device, slot.name, &slot.context));
    static const int registered = std::atexit(&Registry::AtExit);
    (void)registered;
  }
  *out = slot.context;
  return {};
}

Status Registry::Current(std::shared_ptr<Context>* out) {
  return Open(current_device(), out);
}

Status Registry::Reset(int device) {
  NPU_TRY(CheckIndex(device));
  std::shared_ptr<Context> context;
  {
    std::lock_guard lock(mutex_);
    context = std::move(devices_[static_cast<size_t>(device)].context);
    devices_[static_cast<size_t>(device)].context.reset();
  }
  if (!context) return {};
  Context* raw = context.get();
  context->Close();
  // The objects go before the context that they hold.
  functions.RemoveIf([&](const Function& f) { return &f.module->context() == raw; });
  for (const auto& module : modules.RemoveIf([&](const Module& m) { return &m.context() == raw; })) module->Unload();
  events.RemoveIf([&](const Event& e) { return &e.context() == raw; });
  streams.RemoveIf([&](const Stream& s) { return &s.context() == raw; });
  return {};
}

// Before the destructors of static objects, in particular the model's, run: queues end, threads are joined.
void Registry::AtExit() {
  Registry& registry = Get();
  size_t count;
  {
    std::lock_guard lock(registry.mutex_);
    count = registry.devices_.size();
  }
  for (size_t i = 0; i < count; i++) (void)registry.Reset(static_cast<int>(i));
  std::lock_guard lock(registry.mutex_);
  registry.ended_ = true;
}

Status Registry::Find(npuStream_t handle, std::shared_ptr<Stream>* out) {
  if (!handle) {
    std::shared_ptr<Context> context;
    NPU_TRY(Current(&context));
    return context->DefaultStream(out);
  }
  *out = streams.Get(handle);
  return *out ? Status{} : Fail(npuErrorInvalidHandle, "{} is no stream (any more)", static_cast<const void*>(handle));
}

Status Registry::Find(npuEvent_t handle, std::shared_ptr<Event>* out) {
  *out = events.Get(handle);
  return *out ? Status{} : Fail(npuErrorInvalidHandle, "{} is no event (any more)", static_cast<const void*>(handle));
}

Status Registry::Find(npuModule_t handle, std::shared_ptr<Module>* out) {
  *out = modules.Get(handle);
  return *out ? Status{} : Fail(npuErrorInvalidHandle, "{} is no module (any more)", static_cast<const void*>(handle));
}

Status Registry::Find(npuFunction_t handle, std::shared_ptr<Function>* out) {
  *out = functions.Get(handle);
  return *out ? Status{}
              : Fail(npuErrorInvalidHandle, "{} is no function of a loaded module", static_cast<const void*>(handle));
}

}  // namespace npu::rt
