// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Which SIMD level the arithmetic uses.
#include <atomic>
#include <cstring>

#include "core/core.h"
#include "core/kernels.h"

namespace npu::model {

namespace {

bool Supported(SimdLevel level) {
#if defined(__x86_64__)
  switch (level) {
    case SimdLevel::kBaseline:
      return true;
    case SimdLevel::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case SimdLevel::kAvx512Vnni:
      return Supported(SimdLevel::kAvx512) && __builtin_cpu_supports("avx512vnni");
    case SimdLevel::kAvx512:
      return __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
  return false;
#else
  return level == SimdLevel::kBaseline;
#endif
}

SimdLevel Best() {
  if (Supported(SimdLevel::kAvx512Vnni)) return SimdLevel::kAvx512Vnni;
  if (Supported(SimdLevel::kAvx512)) return SimdLevel::kAvx512;
  return Supported(SimdLevel::kAvx2) ? SimdLevel::kAvx2 : SimdLevel::kBaseline;
}

const Kernels* TableOf(SimdLevel level) {
#if defined(__x86_64__)
  static const Kernels vnni = [] {
    Kernels k = kKernelsAvx512;
    k.gemm_int = GemmIntVnni;
    return k;
  }();
  if (level == SimdLevel::kAvx512Vnni) return &vnni;
  if (level == SimdLevel::kAvx512) return &kKernelsAvx512;
  if (level == SimdLevel::kAvx2) return &kKernelsAvx2;
#endif
  (void)level;
  return &kKernelsBaseline;
}

// Written by SelectSimd, read by every core at every operation.
std::atomic<SimdLevel>& Level() {
  static std::atomic<SimdLevel> level{Best()};
  return level;
}

std::atomic<const Kernels*>& Table() {
  static std::atomic<const Kernels*> table{TableOf(Level().load())};
  return table;
}

}  // namespace

bool SelectSimd(const char* name, const char** error) {
  SimdLevel level = Best();
  if (name) {
    if (!std::strcmp(name, "baseline")) {
      level = SimdLevel::kBaseline;
    } else if (!std::strcmp(name, "avx2")) {
      level = SimdLevel::kAvx2;
    } else if (!std::strcmp(name, "avx512")) {
      level = Supported(SimdLevel::kAvx512Vnni) ? SimdLevel::kAvx512Vnni : SimdLevel::kAvx512;
    } else if (!std::strcmp(name, "avx512bw")) {
      level = SimdLevel::kAvx512;
    } else {
      if (error) *error = "simd: unknown level; use \"baseline\", \"avx2\", \"avx512bw\" or \"avx512\"";
      return false;
    }
  }
  if (!Supported(level)) {
    if (error)
      *error = "simd: this CPU does not have the level asked for; use a lower one or leave the choice to the device";
    return false;
  }
  Level().store(level, std::memory_order_relaxed);
  Table().store(TableOf(level), std::memory_order_relaxed);
  return true;
}

SimdLevel CurrentSimd() {
  return Level().load(std::memory_order_relaxed);
}
const Kernels& ActiveKernels() {
  return *Table().load(std::memory_order_relaxed);
}

}  // namespace npu::model
