// SPDX-License-Identifier: Apache-2.0
//
// Device memory, host memory, page tables and a bounds table for tests of the core.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/core.h"
#include "core/ecc.h"
#include "core/local_memory.h"
#include "core/pipes.h"
#include "core/unit.h"

namespace npu::test {

inline constexpr uint64_t kVram = 64u << 20;
inline constexpr uint64_t kHostBus = 0x200000000ull;
inline constexpr uint64_t kHostBytes = 1u << 20;
inline constexpr uint64_t kReadWrite = NPU_PTE_READ | NPU_PTE_WRITE;
inline constexpr uint32_t kLiveReadWrite =
    NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | (NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT);
inline constexpr uint32_t kLiveCode = kLiveReadWrite | NPU_BOUNDS_EXEC;

// Everything that an access could change.
struct Snapshot {
  std::vector<uint8_t> vram, host, sram;
  bool operator==(const Snapshot&) const = default;
};

class World {
 public:
  World();

  // Page-table entry for [va, va + bytes): 4 KiB pages, or 2 MiB leaves with big.  address: in vram or on the bus.
  void Map(uint64_t va, uint64_t address, uint64_t bytes, uint64_t rights, bool host = false, bool big = false);
  void Unmap(uint64_t va) { *Pte(va) = 0; }
  uint64_t* Pte(uint64_t va);  // level 2
  npu_bounds_entry& Bounds(uint32_t number);
  // A buffer of its own: fresh pages, device or host memory, filled with a pattern.  Returns the tagged pointer.
  uint64_t Buffer(uint64_t bytes, bool host = false, uint32_t ctl = kLiveReadWrite);
  uint8_t* At(uint64_t ptr);  // host address of a buffer's byte
  // For the model.
  uint8_t* HostAt(uint64_t bus, uint64_t bytes);
  // Copies an operator's flat image into a buffer of its own.
  uint64_t LoadCode(const std::string& path);

  Snapshot Save(const uint8_t* sram = nullptr) const;

  std::vector<uint8_t> vram, host;
  uint32_t ecc_news = 0;  // how often an error was counted
  model::Ecc ecc{[this] { ++ecc_news; }};
  model::Platform platform;
  npu_model_host_ops ops{};
  npu_ctx_desc ctx{};
  uint64_t bus_error_at = ~uint64_t{0};  // accesses that touch this bus address fail
  std::unique_ptr<model::AddressSpace> space;

 private:
  uint64_t NewTable();
  uint64_t next_table_ = 0x10000;
  uint64_t next_page_ = 8u << 20;
  uint64_t next_host_ = 0;
  uint64_t next_va_ = 0x40000000;
  uint32_t next_number_ = 1;
};

// The units without a hart.
struct Units {
  explicit Units(World& world) : unit{local, counters} {
    unit.space = world.space.get();
    local.Attach(&world.ecc, 0);
  }
  model::LocalMemory local;
  npu_counters counters{};
  model::Unit unit;
  model::FaultInfo fault;
  model::OpCost cost;

  // Fault kind, or NONE.
  int Dma(const npu_dma_desc& d, npu_pipe pipe);
  int Matrix(const npu_matrix_desc& d);
  int Vector(const npu_vector_desc& d);
};

// Runs d on every SIMD level and demands the same SRAM and cost from all; leaves the result in place.
void RunVector(Units* u, const npu_vector_desc& d);

// A small deterministic generator.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  uint64_t Next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  uint32_t Below(uint32_t n) { return static_cast<uint32_t>((Next() >> 32) % n); }
  float Float() { return static_cast<float>(static_cast<int32_t>(Next() >> 32)) * 0x1p-30f; }

 private:
  uint64_t state_;
};

// The SIMD levels that this CPU has, "baseline" first.
std::vector<const char*> SimdLevels();

}  // namespace npu::test
