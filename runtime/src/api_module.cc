// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "registry.hpp"

namespace npu::rt {
namespace {

constexpr uint64_t kMaxFile = 256ull << 20;

Status ReadFile(const char* path, std::vector<uint8_t>* out) {
  std::error_code ec;
  if (!std::filesystem::is_regular_file(path, ec)) {
    return Fail(npuErrorFileNotFound, "kernel file {} cannot be read: {}", path,
                ec ? ec.message() : "it is no regular file");
  }
  uint64_t bytes = std::filesystem::file_size(path, ec);
  if (ec) return Fail(npuErrorFileNotFound, "kernel file {} cannot be read: {}", path, ec.message());
  if (bytes > kMaxFile)
    return Fail(npuErrorInvalidImage, "kernel file {} has {} bytes; the limit is {}", path, bytes, kMaxFile);
  out->resize(bytes);
  std::ifstream file(path, std::ios::binary);
  if (!file || !file.read(reinterpret_cast<char*>(out->data()), static_cast<std::streamsize>(bytes))) {
    return Fail(npuErrorFileNotFound, "kernel file {} cannot be read: {}", path, strerror(errno));
  }
  return {};
}

Status Load(npuModule_t* handle, std::vector<uint8_t> file, const std::string& name) {
  std::shared_ptr<Context> context;
  NPU_TRY(Registry::Get().Current(&context));
  std::shared_ptr<Module> module;
  NPU_TRY(Module::Load(context, std::move(file), name, &module));
  *handle = Registry::Get().modules.Add(std::move(module));
  return {};
}

Status Unload(npuModule_t handle) {
  std::shared_ptr<Module> module;
  NPU_TRY(Registry::Get().Find(handle, &module));
  NPU_TRY(module->context().WaitIdle());
  if (!Registry::Get().modules.Remove(handle)) return Fail(npuErrorInvalidHandle, "the module was unloaded meanwhile");
  Registry::Get().functions.RemoveIf([&](const Function& f) { return f.module == module; });
  module->Unload();
  return {};
}

Status GetFunction(npuFunction_t* handle, npuModule_t module_handle, const char* name) {
  if (!handle || !name) return Fail(npuErrorInvalidValue, "function or name is NULL");
  std::shared_ptr<Module> module;
  NPU_TRY(Registry::Get().Find(module_handle, &module));
  auto function = std::make_shared<Function>(Function{module, name, 0});
  NPU_TRY(module->Entry(name, &function->entry));
  *handle = Registry::Get().functions.Add(std::move(function));
  return {};
}

Status Launch(npuFunction_t handle, npuDim3 grid, const void* args, size_t args_bytes, npuStream_t stream_handle) {
  std::shared_ptr<Function> function;
  NPU_TRY(Registry::Get().Find(handle, &function));
  std::shared_ptr<Stream> stream;
  NPU_TRY(Registry::Get().Find(stream_handle, &stream));
  if (&stream->context() != &function->module->context()) {
    return Fail(npuErrorInvalidHandle, "kernel {} is loaded on device {}, the stream is of device {}", function->name,
                function->module->context().index(), stream->context().index());
  }
  // 2^31 - 1 blocks at most; a product of two dimensions cannot overflow 64 bits.
  uint64_t plane = uint64_t{grid.x} * grid.y;
  if (plane == 0 || grid.z == 0 || plane > INT32_MAX || plane * grid.z > INT32_MAX) {
    return Fail(npuErrorInvalidGrid,
                "kernel {}: a grid of {} x {} x {} blocks; each dimension must be at least 1 and the "
                "product below 2^31",
                function->name, grid.x, grid.y, grid.z);
  }
  if (args_bytes > NPU_LAUNCH_ARGS_MAX) {
    return Fail(npuErrorTooManyArguments,
                "kernel {}: too many arguments: {} bytes, the limit is {}; pass a pointer to device "
                "memory instead",
                function->name, args_bytes, NPU_LAUNCH_ARGS_MAX);
  }
  if (args_bytes && !args) return Fail(npuErrorInvalidValue, "kernel {}: args is NULL", function->name);
  npu_packet packet = {};
  packet.type = NPU_PKT_LAUNCH;
  packet.u.launch.entry = function->entry;
  packet.u.launch.grid[0] = grid.x;
  packet.u.launch.grid[1] = grid.y;
  packet.u.launch.grid[2] = grid.z;
  return stream->SubmitLaunch(packet, args, args_bytes);
}

}  // namespace
}  // namespace npu::rt

using namespace npu::rt;

npuError_t npuModuleLoad(npuModule_t* module, const char* file) {
  return Guard([&]() -> Status {
    if (!module || !file) return Fail(npuErrorInvalidValue, "module or file is NULL");
    std::vector<uint8_t> bytes;
    NPU_TRY(ReadFile(file, &bytes));
    return Load(module, std::move(bytes), file);
  });
}

npuError_t npuModuleLoadData(npuModule_t* module, const void* image, size_t bytes, const char* name) {
  return Guard([&]() -> Status {
    if (!module || !image) return Fail(npuErrorInvalidValue, "module or image is NULL");
    if (bytes > kMaxFile) return Fail(npuErrorInvalidImage, "the image has {} bytes; the limit is {}", bytes, kMaxFile);
    const uint8_t* from = static_cast<const uint8_t*>(image);
    return Load(module, std::vector<uint8_t>(from, from + bytes), name ? name : "<memory>");
  });
}

npuError_t npuModuleUnload(npuModule_t module) {
  return Guard([&] { return Unload(module); });
}

npuError_t npuModuleGetFunction(npuFunction_t* function, npuModule_t module, const char* name) {
  return Guard([&] { return GetFunction(function, module, name); });
}

npuError_t npuModuleGetGlobal(void** ptr, size_t* bytes, npuModule_t module, const char* name) {
  return Guard([&]() -> Status {
    if (!ptr || !name) return Fail(npuErrorInvalidValue, "ptr or name is NULL");
    std::shared_ptr<Module> m;
    NPU_TRY(Registry::Get().Find(module, &m));
    uint64_t pointer = 0, size = 0;
    NPU_TRY(m->Global(name, &pointer, &size));
    *ptr = reinterpret_cast<void*>(pointer);
    if (bytes) *bytes = size;
    return {};
  });
}

npuError_t npuLaunchKernel(npuFunction_t function, npuDim3 grid, const void* args, size_t args_bytes,
                           npuStream_t stream) {
  return Guard([&] { return Launch(function, grid, args, args_bytes, stream); });
}
