// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "registry.hpp"

namespace npu::rt {
namespace {

constexpr uint32_t kDataRights = NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_ATOMIC;

Status Allocate(Context& context, hal::Memory kind, void** ptr, size_t bytes, const char* name) {
  if (!ptr) return Fail(npuErrorInvalidValue, "ptr is NULL");
  if (bytes == 0) return Fail(npuErrorInvalidValue, "an allocation cannot have 0 bytes");
  AllocationRef made;
  Owner owner = kind == hal::Memory::kDevice ? Owner::kUser : Owner::kHost;
  NPU_TRY(
      context.memory().Allocate(kind, bytes, kDataRights, owner, std::string(name ? name : "").substr(0, 63), &made));
  *ptr = owner == Owner::kHost ? static_cast<void*>(made->host) : reinterpret_cast<void*>(made->pointer());
  return {};
}

Status Malloc(void** ptr, size_t bytes, const char* name) {
  std::shared_ptr<Context> context;
  NPU_TRY(Registry::Get().Current(&context));
  return Allocate(*context, hal::Memory::kDevice, ptr, bytes, name);
}

// The allocation of exactly this pointer and kind.
Status FindExact(Context& context, void* ptr, Owner owner, AllocationRef* out) {
  uint64_t pointer = reinterpret_cast<uint64_t>(ptr);
  Memory& memory = context.memory();
  AllocationRef found = owner == Owner::kHost ? memory.FindHost(ptr) : memory.Find(pointer);
  if (!found && owner != Owner::kHost) {
    AllocationRef last = memory.Last(static_cast<uint16_t>(NPU_PTR_BUF(pointer)));
    return Fail(npuErrorInvalidPointer, "{:#x} is no live allocation of device {}{}", pointer, context.index(),
                last ? fmt::format(": buffer {} ({}) was freed already", last->number, memory.Name(*last)) : "");
  }
  if (!found) return Fail(npuErrorInvalidPointer, "{} is no memory of npuMallocHost (any more)", ptr);
  bool exact = owner == Owner::kHost ? found->host == ptr : found->pointer() == pointer;
  if (found->owner != owner || !exact) {
    return Fail(npuErrorInvalidPointer,
                "{} lies in {} but is not a pointer that this function can free; it begins at {:#x}", ptr,
                memory.Name(*found), found->pointer());
  }
  *out = std::move(found);
  return {};
}

Status FreeNow(void* ptr, Owner owner) {
  if (!ptr) return {};
  std::shared_ptr<Context> context;
  NPU_TRY(Registry::Get().Current(&context));
  AllocationRef allocation;
  NPU_TRY(FindExact(*context, ptr, owner, &allocation));
  NPU_TRY(context->WaitIdle());
  // Found again, as another thread may have freed it while this one waited.
  NPU_TRY(FindExact(*context, ptr, owner, &allocation));
  context->memory().Release(allocation);
  return {};
}

Status Attributes(npuPointerAttributes* attributes, const void* ptr) {
  std::shared_ptr<Context> context;
  NPU_TRY(Registry::Get().Current(&context));
  npuPointerAttributes a = {};
  uint64_t pointer = reinterpret_cast<uint64_t>(ptr);
  bool device = NPU_PTR_BUF(pointer) != 0;
  AllocationRef found = device ? context->memory().Find(pointer) : context->memory().FindHost(ptr);
  if (!found && device) return Fail(npuErrorInvalidPointer, "{:#x} is no pointer to a live allocation", pointer);
  if (found) {
    bool host = found->owner == Owner::kHost;
    a.type = host ? npuMemoryHost : npuMemoryDevice;
    a.device = context->index();
    a.devicePointer = reinterpret_cast<void*>(found->pointer());
    a.hostPointer = host ? found->host : nullptr;
    a.bytes = found->bytes;
    a.offset =
        device ? NPU_PTR_VA(pointer) - found->va : static_cast<size_t>(static_cast<const char*>(ptr) - found->host);
    a.buffer = found->number;
    a.generation = found->generation;
    std::string name = context->memory().Name(*found);
    std::memcpy(a.name, name.data(), std::min(name.size(), sizeof(a.name) - 1));
  }
  *attributes = a;
  return {};
}

Status Narrow(void** narrowed, void* ptr, size_t offset, size_t bytes) {
  if (!narrowed) return Fail(npuErrorInvalidValue, "narrowed is NULL");
  if (bytes == 0) return Fail(npuErrorInvalidValue, "a narrowed pointer cannot reach 0 bytes");
  std::shared_ptr<Context> context;
  NPU_TRY(Registry::Get().Current(&context));
  uint64_t pointer = reinterpret_cast<uint64_t>(ptr), whole;
  if (__builtin_add_overflow(offset, bytes, &whole)) return Fail(npuErrorInvalidValue, "offset and bytes overflow");
  AllocationRef parent, part;
  NPU_TRY(CheckRange(context->memory(), pointer, whole, "narrowed range", &parent));
  NPU_TRY(context->memory().Narrow(parent, NPU_PTR_VA(pointer) + offset, bytes, &part));
  *narrowed = reinterpret_cast<void*>(part->pointer());
  return {};
}

}  // namespace
}  // namespace npu::rt

using namespace npu::rt;

npuError_t npuMalloc(void** ptr, size_t bytes) {
  return Guard([&] { return Malloc(ptr, bytes, nullptr); });
}

npuError_t npuMallocNamed(void** ptr, size_t bytes, const char* name) {
  return Guard([&] { return Malloc(ptr, bytes, name); });
}

npuError_t npuSetBufferName(void* ptr, const char* name) {
  return Guard([&]() -> Status {
    if (!name) return Fail(npuErrorInvalidValue, "name is NULL");
    std::shared_ptr<Context> context;
    NPU_TRY(Registry::Get().Current(&context));
    uint64_t pointer = reinterpret_cast<uint64_t>(ptr);
    AllocationRef found = NPU_PTR_BUF(pointer) ? context->memory().Find(pointer) : context->memory().FindHost(ptr);
    if (!found) return Fail(npuErrorInvalidPointer, "{} is no pointer to a live allocation", ptr);
    context->memory().SetName(*found, name);
    return {};
  });
}

npuError_t npuFree(void* ptr) {
  return Guard([&] { return FreeNow(ptr, Owner::kUser); });
}

npuError_t npuFreeHost(void* ptr) {
  return Guard([&] { return FreeNow(ptr, Owner::kHost); });
}

npuError_t npuNarrow(void** narrowed, void* ptr, size_t offset, size_t bytes) {
  return Guard([&] { return Narrow(narrowed, ptr, offset, bytes); });
}

npuError_t npuNarrowEnd(void* narrowed) {
  return Guard([&] { return FreeNow(narrowed, Owner::kNarrow); });
}

npuError_t npuMallocAsync(void** ptr, size_t bytes, npuStream_t stream) {
  return Guard([&]() -> Status {
    std::shared_ptr<Stream> s;
    NPU_TRY(Registry::Get().Find(stream, &s));
    // The pool gives only memory whose last use has ended, so it can be used in any stream.
    return Allocate(s->context(), npu::hal::Memory::kDevice, ptr, bytes, nullptr);
  });
}

npuError_t npuFreeAsync(void* ptr, npuStream_t stream) {
  return Guard([&]() -> Status {
    if (!ptr) return {};
    std::shared_ptr<Stream> s;
    NPU_TRY(Registry::Get().Find(stream, &s));
    AllocationRef allocation;
    NPU_TRY(FindExact(s->context(), ptr, Owner::kUser, &allocation));
    NPU_TRY(s->context().memory().ReleaseAfter(allocation, s->fence(), s->Last()));
    s->context().memory().Collect();
    return {};
  });
}

npuError_t npuMallocHost(void** ptr, size_t bytes) {
  return Guard([&]() -> Status {
    std::shared_ptr<Context> context;
    NPU_TRY(Registry::Get().Current(&context));
    return Allocate(*context, npu::hal::Memory::kHost, ptr, bytes, nullptr);
  });
}

npuError_t npuHostGetDevicePointer(void** device_ptr, void* host) {
  return Guard([&]() -> Status {
    if (!device_ptr) return Fail(npuErrorInvalidValue, "device_ptr is NULL");
    std::shared_ptr<Context> context;
    NPU_TRY(Registry::Get().Current(&context));
    AllocationRef found = context->memory().FindHost(host);
    if (!found) return Fail(npuErrorInvalidPointer, "{} is no memory of npuMallocHost", host);
    *device_ptr =
        reinterpret_cast<void*>(found->pointer() + static_cast<uint64_t>(static_cast<char*>(host) - found->host));
    return {};
  });
}

npuError_t npuMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  return Guard([&]() -> Status {
    if (!free_bytes || !total_bytes) return Fail(npuErrorInvalidValue, "free_bytes or total_bytes is NULL");
    std::shared_ptr<Context> context;
    NPU_TRY(Registry::Get().Current(&context));
    auto now = context->device().Status();
    if (!now) return FromHal(now.error(), "memory of the device");
    // What the pool keeps for later is free to this process.
    *free_bytes = now->memory_free + context->memory().free_device_bytes();
    *total_bytes = now->memory_total;
    return {};
  });
}

npuError_t npuMemTrim(size_t* released) {
  return Guard([&]() -> Status {
    std::shared_ptr<Context> context;
    NPU_TRY(Registry::Get().Current(&context));
    uint64_t bytes = context->memory().Trim();
    if (released) *released = bytes;
    return {};
  });
}

npuError_t npuPointerGetAttributes(npuPointerAttributes* attributes, const void* ptr) {
  return Guard([&]() -> Status {
    if (!attributes) return Fail(npuErrorInvalidValue, "attributes is NULL");
    return Attributes(attributes, ptr);
  });
}
