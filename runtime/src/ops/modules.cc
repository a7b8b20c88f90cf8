// SPDX-License-Identifier: Apache-2.0
//
// Error sentences, device facts, and the device code: where it lies, and the kernels that have been loaded.
#include <dlfcn.h>
#include <sys/stat.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "internal.h"

namespace npu::ops {
namespace {

thread_local std::string last_message;

// What has been loaded, by device.
struct Loaded {
  std::map<std::string, npuModule_t> modules;
  std::map<std::pair<std::string, std::string>, npuFunction_t> functions;  // by module and kernel
};

struct Registry {
  std::mutex mutex;  // guards everything below; held while a module is loaded, so that it is loaded once
  std::map<int, Loaded> devices;
  std::map<int, DeviceFacts> facts;
};

// Never destroyed: other threads may still launch while the process ends.
Registry& TheRegistry() {
  static Registry* registry = new Registry;
  return *registry;
}

// Passes on what libnpu refused.
npuError_t FromRuntime(npuError_t error, const char* doing) {
  const char* sentence = npuGetLastErrorMessage();
  return Refuse(error, "%s: %s", doing, *sentence ? sentence : npuGetErrorString(error));
}

std::vector<std::string> Folders() {
  if (const char* dir = std::getenv("NPU_OPS_DIR"); dir && *dir) return {dir};
  std::vector<std::string> folders;
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&npuOpsGetModulePath), &info) && info.dli_fname) {
    std::string library = info.dli_fname;
    const size_t slash = library.rfind('/');
    const std::string here = slash == std::string::npos ? "." : library.substr(0, slash);
    folders = {here + "/../ops", here + "/npu/ops"};
  }
  return folders;
}

npuError_t FindModule(const std::string& module, std::string* path) {
  std::string tried;
  for (const std::string& folder : Folders()) {
    *path = folder + "/" + module + ".elf";
    struct stat st;
    if (stat(path->c_str(), &st) == 0 && S_ISREG(st.st_mode)) return npuSuccess;
    tried += (tried.empty() ? "" : ", ") + *path;
  }
  return Refuse(
      npuErrorFileNotFound,
      "device code %s.elf not found (looked for %s); build the target npu-ops-modules or set NPU_OPS_DIR to its folder",
      module.c_str(), tried.c_str());
}

// With the registry's mutex held.
npuError_t FindFunction(Loaded& loaded, const char* module, const char* kernel, npuFunction_t* function) {
  auto known = loaded.functions.find({module, kernel});
  if (known != loaded.functions.end()) {
    *function = known->second;
    return npuSuccess;
  }
  npuModule_t& handle = loaded.modules[module];
  if (!handle) {
    std::string path;
    if (npuError_t e = FindModule(module, &path)) return e;
    if (npuError_t e = npuModuleLoad(&handle, path.c_str())) {
      handle = nullptr;
      return FromRuntime(e, "loading device code");
    }
  }
  if (npuError_t e = npuModuleGetFunction(function, handle, kernel)) return FromRuntime(e, "looking a kernel up");
  loaded.functions[{module, kernel}] = *function;
  return npuSuccess;
}

}  // namespace

npuError_t Refuse(npuError_t error, const char* format, ...) {
  char text[768];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  last_message = text;
  return error;
}

npuError_t GetDeviceFacts(DeviceFacts* facts) {
  int device = 0;
  if (npuError_t e = npuGetDevice(&device)) return FromRuntime(e, "current device");
  Registry& registry = TheRegistry();
  std::lock_guard lock(registry.mutex);
  auto known = registry.facts.find(device);
  if (known == registry.facts.end()) {
    npuDeviceProp prop;
    if (npuError_t e = npuGetDeviceProperties(&prop, device)) return FromRuntime(e, "device properties");
    known = registry.facts.emplace(device, DeviceFacts{device, prop.cores, prop.sramBytes}).first;
  }
  *facts = known->second;
  return npuSuccess;
}

npuError_t Launch(const DeviceFacts& device, const char* module, const char* kernel, npuDim3 grid, const void* args,
                  size_t args_bytes, npuStream_t stream) {
  Registry& registry = TheRegistry();
  for (bool again = false;; again = true) {
    npuFunction_t function;
    {
      std::lock_guard lock(registry.mutex);
      if (npuError_t e = FindFunction(registry.devices[device.index], module, kernel, &function)) return e;
    }
    const npuError_t e = npuLaunchKernel(function, grid, args, args_bytes, stream);
    if (e == npuSuccess) return e;
    if (e != npuErrorInvalidHandle || again) return FromRuntime(e, kernel);
    // npuDeviceReset has ended all modules, or the stream does not exist: load again once, then it is the stream.
    std::lock_guard lock(registry.mutex);
    registry.devices.erase(device.index);
  }
}

npuError_t CheckDimension(const char* operation, const char* name, uint32_t value, uint32_t most) {
  if (value != 0 && value <= most) return npuSuccess;
  return Refuse(npuErrorInvalidValue, "%s: %s = %u; it must be 1 .. %u", operation, name, value, most);
}

npuError_t CheckWindow(const char* operation, const char* axis, uint32_t size, uint32_t window, uint32_t lo,
                       uint32_t hi) {
  if (lo >= window || hi >= window) {
    return Refuse(npuErrorInvalidValue, "%s: padding %u and %u in %s; each must be smaller than the window (%u)",
                  operation, lo, hi, axis, window);
  }
  if (uint64_t{size} + lo + hi < window) {
    return Refuse(npuErrorInvalidValue, "%s: the window of %u does not fit into the %s of %u with padding %u + %u",
                  operation, window, axis, size, lo, hi);
  }
  return npuSuccess;
}

npuError_t CheckPointer(const char* operation, const char* name, const void* pointer, size_t align) {
  if (!pointer) return Refuse(npuErrorInvalidValue, "%s: %s is NULL; give a device pointer", operation, name);
  if (Bits(pointer) % align) {
    return Refuse(npuErrorInvalidValue, "%s: %s is not %zu-byte aligned; its elements have %zu bytes", operation, name,
                  align, align);
  }
  return npuSuccess;
}

uint32_t BlocksFor(const DeviceFacts& device, uint64_t items, uint64_t work) {
  constexpr uint64_t kItemsInBlock = 128, kWorkInBlock = uint64_t{1} << 31;
  if (items <= device.cores) return static_cast<uint32_t>(items);
  const uint64_t most = std::clamp<uint64_t>(work ? kWorkInBlock / work : kItemsInBlock, 1, kItemsInBlock);
  const uint64_t rounds = DivUp(items, most * device.cores);
  return static_cast<uint32_t>(std::min<uint64_t>(rounds * device.cores, 1u << 30));
}

}  // namespace npu::ops

extern "C" const char* npuOpsGetLastErrorMessage(void) {
  return npu::ops::last_message.c_str();
}

extern "C" npuError_t npuOpsGetModulePath(const char* module, char* path, size_t bytes) {
  using npu::ops::Refuse;
  if (!module || !*module || std::strchr(module, '/')) {
    return Refuse(npuErrorInvalidValue, "npuOpsGetModulePath: the module is a name without folders");
  }
  std::string found;
  if (npuError_t e = npu::ops::FindModule(module, &found)) return e;
  if (!path || bytes <= found.size()) {
    return Refuse(npuErrorInvalidValue, "npuOpsGetModulePath: the path needs %zu bytes, there is room for %zu",
                  found.size() + 1, path ? bytes : size_t{0});
  }
  std::memcpy(path, found.c_str(), found.size() + 1);
  return npuSuccess;
}
