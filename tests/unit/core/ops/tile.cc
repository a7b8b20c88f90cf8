// SPDX-License-Identifier: Apache-2.0
//
// relu(A x B) of one tile through all four pipes, ordered by flags alone.
#include "npu_device.h"
#include "npu_mmu.h"

struct TileArgs {
  uint64_t a, b, d;
  uint64_t m, n, k;
};

extern "C" __attribute__((section(".entry"), used)) void tile(const TileArgs* t) {
  const auto m = static_cast<uint32_t>(t->m), n = static_cast<uint32_t>(t->n), k = static_cast<uint32_t>(t->k);
  const uint64_t a = NPU_LOCAL_SRAM_BASE, b = a + 4ull * m * k, d = b + 4ull * k * n, y = d + 4ull * m * n;
  npu_dma_desc in{};
  in.op = NPU_DMA_COPY;
  in.dst = a, in.src = t->a;
  in.count[0] = m * k * 4;
  npu::issue<npu::kDmaIn>(&in);
  in.dst = b, in.src = t->b;
  in.count[0] = k * n * 4;
  npu::issue<npu::kDmaIn>(&in);
  npu::set_flag<npu::kDmaIn, npu::kMatrix>(0);
  npu_matrix_desc mm{};
  mm.op = NPU_MATRIX_MMA;
  mm.d = d, mm.a = a, mm.b = b;
  mm.m = m, mm.n = n, mm.k = k;
  mm.d_pitch = n * 4, mm.a_pitch = k * 4, mm.b_pitch = n * 4;
  npu::wait_flag<npu::kDmaIn, npu::kMatrix>(0);
  npu::issue<npu::kMatrix>(&mm);
  npu::set_flag<npu::kMatrix, npu::kVector>(0);
  npu_vector_desc v{};
  v.op = NPU_V_RELU;
  v.dst = y, v.src[0] = d;
  v.rows = m, v.cols = n;
  v.row_pitch[0] = v.row_pitch[1] = static_cast<int32_t>(n * 4);
  npu::wait_flag<npu::kMatrix, npu::kVector>(0);
  npu::issue<npu::kVector>(&v);
  npu::set_flag<npu::kVector, npu::kDmaOut>(0);
  npu_dma_desc out{};
  out.op = NPU_DMA_COPY;
  out.dst = t->d, out.src = y;
  out.count[0] = m * n * 4;
  npu::wait_flag<npu::kVector, npu::kDmaOut>(0);
  npu::issue<npu::kDmaOut>(&out);
}
