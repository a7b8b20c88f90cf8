// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The constants of the cycle model.  Members are named after the properties of the hardware's device tree (npu_dt.h).
// All times are core cycles.
#pragma once

#include <cstdint>

#include "hart/timed.h"

namespace npu::model {

struct Timing {
  uint64_t clock_hz = 1000000000;

  // Matrix unit: a rows x columns array that keeps a tile of D and takes steps of k, as many a cycle as the operands'
  // type allows: steps = macs_per_cycle / (rows * columns).  An operation costs
  // ceil(m / rows) * ceil(n / columns) * ceil(k / steps) + fill_cycles.
  uint32_t rows = 16;
  uint32_t columns = 16;
  uint32_t f32_macs_per_cycle = 256;
  uint32_t tf32_macs_per_cycle = 512;
  uint32_t f16_macs_per_cycle = 1024;  // and bf16
  uint32_t f8_macs_per_cycle = 2048;
  uint32_t i8_macs_per_cycle = 2048;  // and i8 with i4
  uint32_t i4_macs_per_cycle = 4096;
  uint32_t fill_cycles = 32;

  // Vector unit: startup_cycles + steps * cost of the operation, where a step is up to `lanes` elements of one row
  // (rows that follow each other without gaps in all operands count as one long row).
  uint32_t lanes = 64;
  uint32_t vector_startup_cycles = 16;
  uint32_t vector_divide_cost = 4;      // div, sqrt, rsqrt, recip
  uint32_t vector_function_cost = 8;    // exp, log, tanh, erf, sin, cos, sigmoid
  uint32_t vector_stochastic_cost = 2;  // convert with stochastic rounding
  uint32_t vector_scan_cost = 7;        // a prefix network over the lanes: log2(lanes) + 1
  uint32_t vector_gather_cost = 4;      // gather, scatter; gather of rows: a row costs its steps + this once
  // sort: rows * ceil(cols / lanes) * passes(cols) * sort_cost; top-k: rows * ceil(cols / lanes) * (1 + passes(k) *
  // sort_cost), where passes(n) = L * (L + 1) / 2 with L = ceil(log2(max(n, 2))).
  uint32_t vector_sort_cost = 1;

  // DMA: an operation keeps its pipe for dma_startup_cycles + rows * (row_cycles + ceil(row bytes / share)) and is done
  // memory_latency_cycles after that when device memory is one of its sides (the next operation starts meanwhile).
  // Rows that follow each other without gaps on both sides count as one.
  uint32_t bytes_per_cycle = 64;
  uint32_t dma_startup_cycles = 24;
  uint32_t row_cycles = 2;
  // The other side is a peer's SRAM: full bytes_per_cycle, and this in place of memory_latency_cycles.
  uint32_t peer_latency_cycles = 40;

  // Shared memory: each of n cores in use gets min(bytes_per_cycle, memory_bytes_per_cycle / n) a direction.
  uint32_t memory_bytes_per_cycle = 128;
  uint32_t memory_latency_cycles = 200;
  // Scalar accesses outside of local memory.
  uint32_t scalar_memory_cycles = 40;
  uint32_t scalar_host_cycles = 400;
  // An instruction that issues a pipe operation, sets or waits for a flag.
  uint32_t issue_cycles = 4;

  // The dispatcher and the copy engines: charged by the device, not by the core.
  uint32_t launch_cycles = 600;
  uint32_t block_cycles = 60;
  uint32_t copy_bytes_per_cycle = 32;
  uint32_t copy_startup_cycles = 300;
};

inline constexpr Timing kTiming{};

}  // namespace npu::model
