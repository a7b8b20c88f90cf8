// SPDX-License-Identifier: Apache-2.0
//
// npuOpsMatmul: checks and the choice of tiles.  The kernel is firmware/ops/matmul.cc.
#include <vector>

#include "internal.h"

namespace npu::ops {
namespace {

constexpr char kName[] = "npuOpsMatmul";

// What depends on the type of a and b.
struct TypeFacts {
  npuOpsType type;
  const char* kernel;
  uint32_t bytes;  // of an element
  uint32_t steps;  // of k, that the matrix unit takes a cycle
};
constexpr TypeFacts kTypes[] = {{npuOpsTypeF32, "matmul_f32", 4, 1},
                                {npuOpsTypeF16, "matmul_f16", 2, 4},
                                {npuOpsTypeBF16, "matmul_bf16", 2, 4},
                                {npuOpsTypeI8, "matmul_i8", 1, 8}};

const TypeFacts* FactsOf(npuOpsType type) {
  for (const TypeFacts& t : kTypes)
    if (t.type == type) return &t;
  return nullptr;
}

npuError_t CheckLeading(const char* name, uint32_t given, uint32_t dense, uint32_t* out) {
  *out = given ? given : dense;
  if (*out < dense || *out > kMaxDimension * 16) {
    return Refuse(npuErrorInvalidValue, "%s: %s = %u; a row has %u elements, so it must be 0 or %u .. %u", kName, name,
                  given, dense, dense, kMaxDimension * 16);
  }
  return npuSuccess;
}

npuError_t Check(const npuOpsMatmulDesc* d, NpuMatmulArgs* a) {
  if (!d) return Refuse(npuErrorInvalidValue, "%s: the description is NULL", kName);
  if (npuError_t e = CheckDimension(kName, "m", d->m, kMaxDimension)) return e;
  if (npuError_t e = CheckDimension(kName, "n", d->n, kMaxDimension)) return e;
  if (npuError_t e = CheckDimension(kName, "k", d->k, kMaxDimension)) return e;
  if (d->transA > 1 || d->transB > 1) return Refuse(npuErrorInvalidValue, "%s: transA and transB are 0 or 1", kName);
  if (d->activation < npuOpsActivationNone || d->activation > npuOpsActivationTanh) {
    return Refuse(npuErrorInvalidValue, "%s: activation %d is unknown", kName, static_cast<int>(d->activation));
  }
  if (!FactsOf(d->type)) {
    return Refuse(npuErrorInvalidValue, "%s: type %d; a and b are f32, f16, bf16 or i8", kName,
                  static_cast<int>(d->type));
  }
  if (d->type != npuOpsTypeF32 && d->activation > npuOpsActivationRelu) {
    return Refuse(npuErrorNotSupported, "%s: sigmoid and tanh are for f32 only; use none or relu", kName);
  }
  if (npuError_t e = CheckLeading("lda", d->lda, d->transA ? d->m : d->k, &a->lda)) return e;
  if (npuError_t e = CheckLeading("ldb", d->ldb, d->transB ? d->k : d->n, &a->ldb)) return e;
  if (npuError_t e = CheckLeading("ldd", d->ldd, d->n, &a->ldd)) return e;
  constexpr uint64_t kMaxStride = 1ull << 37;  // 40-bit addresses
  if (d->batchStrideA > kMaxStride || d->batchStrideB > kMaxStride || d->batchStrideD > kMaxStride) {
    return Refuse(npuErrorInvalidValue, "%s: a batch stride is over %llu elements, more than the device can address",
                  kName, static_cast<unsigned long long>(kMaxStride));
  }
  a->batch = d->batch ? d->batch : 1;
  if (a->batch > kMaxDimension) {
    return Refuse(npuErrorInvalidValue, "%s: batch = %u; it must be at most %u", kName, a->batch, kMaxDimension);
  }
  if (a->batch > 1 && d->batchStrideD < uint64_t{d->m - 1} * a->ldd + d->n) {
    return Refuse(npuErrorInvalidValue, "%s: batchStrideD = %llu lets the results of the batch overlap", kName,
                  static_cast<unsigned long long>(d->batchStrideD));
  }
  a->m = d->m;
  a->n = d->n;
  a->k = d->k;
  a->batch_a = d->batchStrideA;
  a->batch_b = d->batchStrideB;
  a->batch_d = d->batchStrideD;
  a->flags = (d->transA ? NPU_OP_F_TRANS_A : 0) | (d->transB ? NPU_OP_F_TRANS_B : 0) |
             (d->activation == npuOpsActivationRelu ? NPU_OP_F_RELU : 0);
  return npuSuccess;
}

uint64_t SramNeeded(const NpuMatmulArgs& a, const TypeFacts& type, uint64_t m, uint64_t n, uint64_t k) {
  const uint64_t in = RoundUp(m * k * type.bytes, 64) + RoundUp(k * n * type.bytes, 64);
  const uint64_t bias = a.flags & NPU_OP_F_BIAS ? SramFloats(n) : 0;
  return 2 * (in + bias) + 2 * SramFloats(m * n);
}

// What a choice of tiles costs.
struct Plan {
  uint32_t m = 0, n = 0, k = 0;
  uint64_t cycles = 0;   // modelled, of the whole product
  uint64_t traffic = 0;  // elements that the cores load
};

Plan MakePlan(const NpuMatmulArgs& a, const TypeFacts& type, const DeviceFacts& device, uint32_t m, uint32_t n,
              uint32_t k) {
  const uint64_t tiles = a.batch * DivUp(a.m, m) * DivUp(a.n, n), chunks = DivUp(a.k, k);
  const uint64_t load_a = (a.flags & NPU_OP_F_TRANS_A) ? Cost::Dma(k, m * type.bytes) : Cost::Dma(m, k * type.bytes);
  const uint64_t load_b = (a.flags & NPU_OP_F_TRANS_B) ? Cost::Dma(n, k * type.bytes) : Cost::Dma(k, n * type.bytes);
  const uint64_t load = load_a + load_b, mma = Cost::Mma(m, n, k, type.steps), store = Cost::Dma(m, n * 4);
  const uint64_t one = std::max({chunks * std::max(load, mma), store});
  Plan plan{m, n, k};
  plan.cycles = DivUp(tiles, device.cores) * one + load + store;
  plan.traffic = tiles * chunks * k * (uint64_t{m} + n);
  return plan;
}

// Sizes of tiles.  Long ones are for products with a short side: rows that are moved in few pieces.
constexpr uint32_t kSizes[] = {16, 32, 48, 64, 96, 128, 160, 192, 256, 320, 512, 1024, 2048};
constexpr uint32_t kDepths[] = {32, 64, 128, 256, 512, 1024, 2048, 4096};

// The plans of tiles of m x n: one for each depth that is any different and fits into local memory.
void AddPlans(const NpuMatmulArgs& a, const TypeFacts& type, const DeviceFacts& device, uint32_t m, uint32_t n,
              std::vector<Plan>* plans) {
  for (const uint32_t ks : kDepths) {
    const uint32_t k = std::min(ks, a.k);
    if (SramNeeded(a, type, m, n, k) > device.sram_bytes) return;
    plans->push_back(MakePlan(a, type, device, m, n, k));
    if (k == a.k) return;
  }
}

// The least traffic among the plans that are (nearly) the fastest: it is what other engines are disturbed by.  m = 0:
// not even the smallest tile fits into local memory.
Plan ChooseTiles(const DeviceFacts& device, const TypeFacts& type, const NpuMatmulArgs& a) {
  std::vector<Plan> plans;
  for (const uint32_t ms : kSizes) {
    const uint32_t m = std::min(ms, a.m);
    for (const uint32_t ns : kSizes) {
      AddPlans(a, type, device, m, std::min(ns, a.n), &plans);
      if (ns >= a.n) break;
    }
    if (ms >= a.m) break;
  }
  uint64_t fastest = UINT64_MAX;
  for (const Plan& p : plans) fastest = std::min(fastest, p.cycles);
  const Plan* best = nullptr;
  for (const Plan& p : plans) {
    if (p.cycles > fastest + fastest / 50) continue;
    const bool better = !best || p.traffic < best->traffic || (p.traffic == best->traffic && p.k > best->k);
    if (better) best = &p;
  }
  if (!best) return {};
  // Larger tiles that are hardly slower: what an operation costs the hart, and the host of a simulation, comes once a
  // chunk.
  const Plan least = *best;
  for (const Plan& p : plans) {
    const bool covers = p.m >= least.m && p.n >= least.n && p.k >= least.k;
    const bool better = p.traffic < best->traffic || (p.traffic == best->traffic && p.k > best->k);
    if (covers && better && p.cycles <= fastest + fastest / 20) best = &p;
  }
  return *best;
}

// Most products are like the one before, and choosing takes a good part of a small one's time.
void PlanTiles(const DeviceFacts& device, const TypeFacts& type, NpuMatmulArgs* a) {
  struct Choice {
    npuOpsType type;
    uint32_t batch, m, n, k, flags;
    uint64_t cores, sram_bytes;
    bool operator==(const Choice&) const = default;
  };
  thread_local Choice last{};
  thread_local Plan plan;
  const Choice now{type.type, a->batch, a->m, a->n, a->k, a->flags, device.cores, device.sram_bytes};
  if (!(now == last)) {
    plan = ChooseTiles(device, type, *a);
    last = now;
  }
  a->m_tile = plan.m;
  a->n_tile = plan.n;
  a->k_tile = plan.k;
  if (!plan.m) return;  // nothing fits
  a->m_tiles = static_cast<uint32_t>(DivUp(a->m, a->m_tile));
  a->n_tiles = static_cast<uint32_t>(DivUp(a->n, a->n_tile));
}

const char* KernelFor(const TypeFacts& type, npuOpsActivation activation) {
  switch (activation) {
    case npuOpsActivationSigmoid:
      return "matmul_sigmoid_f32";
    case npuOpsActivationTanh:
      return "matmul_tanh_f32";
    default:
      return type.kernel;
  }
}

}  // namespace
}  // namespace npu::ops

using namespace npu::ops;

extern "C" npuError_t npuOpsMatmul(const npuOpsMatmulDesc* desc, const void* a_matrix, const void* b_matrix,
                                   const void* bias, void* d_matrix, npuStream_t stream) {
  NpuMatmulArgs a = {};
  if (npuError_t e = Check(desc, &a)) return e;
  const TypeFacts& type = *FactsOf(desc->type);
  if (npuError_t e = CheckPointer(kName, "a", a_matrix, type.bytes)) return e;
  if (npuError_t e = CheckPointer(kName, "b", b_matrix, type.bytes)) return e;
  if (npuError_t e = bias ? CheckPointer(kName, "bias", bias) : npuSuccess) return e;
  if (npuError_t e = CheckPointer(kName, "d", d_matrix)) return e;
  DeviceFacts device;
  if (npuError_t e = GetDeviceFacts(&device)) return e;
  if (bias) a.flags |= NPU_OP_F_BIAS;
  PlanTiles(device, type, &a);
  if (!a.m_tile) {
    return Refuse(npuErrorNotSupported, "%s: a core's local memory of %llu bytes is too small for the smallest tile",
                  kName, static_cast<unsigned long long>(device.sram_bytes));
  }
  a.a = Bits(a_matrix);
  a.b = Bits(b_matrix);
  a.bias = Bits(bias);
  a.d = Bits(d_matrix);
  const uint64_t work = uint64_t{a.m_tile} * a.n_tile * a.k;
  const npuDim3 grid = {BlocksFor(device, uint64_t{a.batch} * a.m_tiles * a.n_tiles, work), 1, 1};
  return Launch(device, "matmul", KernelFor(type, desc->activation), grid, &a, sizeof a, stream);
}
