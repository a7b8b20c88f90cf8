// SPDX-License-Identifier: Apache-2.0
//
// What is global in a process: the backend, the devices, the handles, each thread's current device.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "context.hpp"
#include "event.hpp"
#include "handles.hpp"
#include "module.hpp"
#include "stream.hpp"

namespace npu::rt {

class Registry {
 public:
  static Registry& Get();

  Status SetBackend(const std::string& backend);
  Status Count(int* count);
  Status CheckIndex(int device);
  // The context on a device, opened at the first call.
  Status Open(int device, std::shared_ptr<Context>* out);
  Status Current(std::shared_ptr<Context>* out);
  // Ends the context on a device and all handles of its objects.
  Status Reset(int device);

  // NULL is the current device's default stream.
  Status Find(npuStream_t handle, std::shared_ptr<Stream>* out);
  Status Find(npuEvent_t handle, std::shared_ptr<Event>* out);
  Status Find(npuModule_t handle, std::shared_ptr<Module>* out);
  Status Find(npuFunction_t handle, std::shared_ptr<Function>* out);

  HandleTable<Stream, npuStream_t, 0x51> streams;
  HandleTable<Event, npuEvent_t, 0x52> events;
  HandleTable<Module, npuModule_t, 0x53> modules;
  HandleTable<Function, npuFunction_t, 0x54> functions;

  // The calling thread's device.
  static int& current_device();

 private:
  struct Slot {
    std::string name;
    std::shared_ptr<Context> context;
  };
  Status Enumerate();
  static void AtExit();

  std::mutex mutex_;  // guards all below; held while a device is opened, so that it is opened once
  bool enumerated_ = false, ended_ = false;
  std::string backend_;  // of npuSetBackend, "" when it was not called
  std::vector<Slot> devices_;
};

}  // namespace npu::rt
