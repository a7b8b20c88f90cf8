// SPDX-License-Identifier: Apache-2.0
//
// Allocations of a context: who owns which device addresses, under which buffer number.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bounds_table.hpp"
#include "fence.hpp"
#include "hal/hal.hpp"
#include "pool.hpp"
#include "status.hpp"

namespace npu::rt {

class Module;

enum class Owner {
  kUser,      // npuMalloc
  kHost,      // npuMallocHost
  kNarrow,    // npuNarrow: shares the bytes of its parent
  kModule,    // a module's image
  kInternal,  // the runtime's own: rings of arguments, staging, fences
};

struct Allocation {
  uint64_t va = 0, bytes = 0;  // bytes as asked for
  uint16_t number = 0;
  uint8_t generation = 0;
  Owner owner = Owner::kUser;
  Block block;                         // where the bytes lie; chunk is null when the pool does not own them
  char* host = nullptr;                // host mapping of the first byte, or null
  std::shared_ptr<Allocation> parent;  // kNarrow
  std::weak_ptr<Module> module;        // kModule; set before the number is published to launches
  // Guarded by Memory::mutex_:
  bool live = true;
  bool freeing = false;  // npuFreeAsync was called
  std::string name;
  std::vector<std::weak_ptr<Allocation>> children;

  uint64_t pointer() const { return NPU_PTR(number, generation, va); }
};

using AllocationRef = std::shared_ptr<Allocation>;

class Memory {
 public:
  Memory(hal::Device& device, VaSpace& va, uint64_t device_chunk, uint64_t host_chunk);

  // Bytes from the pool of the kind, under a number of their own.  rights: NPU_BOUNDS_*.
  Status Allocate(hal::Memory kind, uint64_t bytes, uint32_t rights, Owner owner, const std::string& name,
                  AllocationRef* out);
  // A number for addresses that somebody else keeps.
  Status Register(uint64_t va, uint64_t bytes, uint32_t rights, Owner owner, char* host, const std::string& name,
                  AllocationRef* out);
  Status Narrow(const AllocationRef& parent, uint64_t va, uint64_t bytes, AllocationRef* out);
  // Ends the allocation and all narrowed parts of it: their pointers are stale, the bytes may be used again.  The
  // device must not work with it any more.
  void Release(const AllocationRef& allocation);
  // Release as soon as the fence has reached value.  InvalidPointer when that was asked for already.
  Status ReleaseAfter(const AllocationRef& allocation, std::shared_ptr<FenceSlot> fence, uint64_t value);
  // Does the releases that have become due.
  void Collect();

  // The live allocation that a device pointer names, by number and generation; null if there is none.
  AllocationRef Find(uint64_t pointer) const;
  // The one that host memory belongs to (kHost only), by any address inside.
  AllocationRef FindHost(const void* host) const;
  // The live one whose bytes lie at an untagged device address, or the first that starts before end.
  AllocationRef FindOwner(uint64_t va, uint64_t end) const;
  // The last allocation under a number, live or not.
  AllocationRef Last(uint16_t number) const;
  std::string Name(const Allocation& allocation) const;
  bool Live(const Allocation& allocation) const;
  void SetName(Allocation& allocation, const std::string& name);

  uint64_t Trim();
  uint64_t free_device_bytes() const { return device_pool_.free_bytes(); }

 private:
  void Publish(const AllocationRef& allocation);

  struct Pending {
    AllocationRef allocation;
    std::shared_ptr<FenceSlot> fence;
    uint64_t value;
  };

  BoundsTable bounds_;
  Pool device_pool_, host_pool_;
  mutable std::mutex mutex_;  // guards all below
  std::vector<AllocationRef> by_number_;
  std::map<uint64_t, AllocationRef> by_va_;    // live ones but kNarrow
  std::map<uint64_t, AllocationRef> by_host_;  // live kHost ones, by host address
  std::vector<Pending> pending_;
};

// Checks that [pointer, pointer + bytes) lies in a live allocation; what names the range in the message.
Status CheckRange(const Memory& memory, uint64_t pointer, uint64_t bytes, const char* what, AllocationRef* out);

}  // namespace npu::rt
