// SPDX-License-Identifier: Apache-2.0
//
// D = act(A * B + bias), batched, any of A and B stored transposed.
//
// Each output tile stays in SRAM while k runs in chunks; the DMA of the next chunk (also the next tile's first) runs
// beside the matrix operation of this one, and the store of the tile before beside both.  Sums run over k ascending.
#include "npu_device.h"
#include "npu_op_args.h"
#include "work.h"

namespace npu {
namespace {

struct Item {
  uint64_t batch;
  uint32_t m0, n0, ms, ns;
};

Item item_at(const NpuMatmulArgs& a, uint64_t index) {
  const uint32_t tiles = a.m_tiles * a.n_tiles, in_matrix = static_cast<uint32_t>(index % tiles);
  Item t;
  t.batch = index / tiles;
  t.m0 = in_matrix / a.n_tiles * a.m_tile;
  t.n0 = in_matrix % a.n_tiles * a.n_tile;
  t.ms = min(a.m_tile, a.m - t.m0);
  t.ns = min(a.n_tile, a.n - t.n0);
  return t;
}

// A rectangle of a row-major matrix, packed.
void load(float* dst, uint64_t base, uint64_t offset, uint32_t ld, uint32_t rows, uint32_t cols) {
  Dma d = dma(dst, device_pointer<const float>(base, offset), cols * sizeof(float));
  d.dim(1, rows, cols * sizeof(float), static_cast<int64_t>(ld) * sizeof(float));
  dma_in(d);
}

struct Chunk {
  float *a, *b, *bias;
};

void load_chunk(const NpuMatmulArgs& a, const Item& t, uint32_t k0, uint32_t ks, const Chunk& c) {
  const uint64_t a0 = t.batch * a.batch_a, b0 = t.batch * a.batch_b;
  if (a.flags & NPU_OP_F_TRANS_A) {
    load(c.a, a.a, a0 + static_cast<uint64_t>(k0) * a.lda + t.m0, a.lda, ks, t.ms);
  } else {
    load(c.a, a.a, a0 + static_cast<uint64_t>(t.m0) * a.lda + k0, a.lda, t.ms, ks);
  }
  if (a.flags & NPU_OP_F_TRANS_B) {
    load(c.b, a.b, b0 + static_cast<uint64_t>(t.n0) * a.ldb + k0, a.ldb, t.ns, ks);
  } else {
    load(c.b, a.b, b0 + static_cast<uint64_t>(k0) * a.ldb + t.n0, a.ldb, ks, t.ns);
  }
  if (k0 == 0 && (a.flags & NPU_OP_F_BIAS)) {
    dma_in(dma(c.bias, device_pointer<const float>(a.bias, t.n0), t.ns * sizeof(float)));
  }
}

void multiply(const NpuMatmulArgs& a, const Item& t, uint32_t k0, uint32_t ks, const Chunk& c, float* d) {
  uint32_t flags = 0;
  if (k0) {
    flags |= NPU_MATRIX_ACCUMULATE;
  } else if (a.flags & NPU_OP_F_BIAS) {
    flags |= NPU_MATRIX_BIAS;
  }
  if (k0 + ks == a.k && (a.flags & NPU_OP_F_RELU)) flags |= NPU_MATRIX_RELU;
  uint32_t a_pitch = ks, b_pitch = t.ns;
  if (a.flags & NPU_OP_F_TRANS_A) {
    flags |= NPU_MATRIX_TRANS_A;
    a_pitch = t.ms;
  }
  if (a.flags & NPU_OP_F_TRANS_B) {
    flags |= NPU_MATRIX_TRANS_B;
    b_pitch = ks;
  }
  constexpr uint32_t kBytes = sizeof(float);
  mma<float, float>({d, t.ns * kBytes}, {c.a, a_pitch * kBytes}, {c.b, b_pitch * kBytes}, t.ms, t.ns, ks, flags,
                    c.bias);
}

void store(const NpuMatmulArgs& a, const Item& t, const float* d) {
  const uint64_t at = t.batch * a.batch_d + static_cast<uint64_t>(t.m0) * a.ldd + t.n0;
  Dma out = dma(device_pointer<float>(a.d, at), d, t.ns * sizeof(float));
  out.dim(1, t.ms, static_cast<int64_t>(a.ldd) * sizeof(float), t.ns * sizeof(float));
  dma_out(out);
}

// The k loop of one tile, into d.
void accumulate(const NpuMatmulArgs& a, const Item& t, Channel<kDmaIn, kMatrix>& in, const Chunk* chunks, float* d) {
  for (uint32_t k0 = 0; k0 < a.k; k0 += a.k_tile) {
    const uint32_t ks = min(a.k_tile, a.k - k0);
    in.acquire();
    load_chunk(a, t, k0, ks, chunks[in.index()]);
    in.publish();
    in.receive();
    multiply(a, t, k0, ks, chunks[in.taken()], d);
    in.release();
  }
}

struct Buffers {
  Chunk chunk[2];
  float* d[2];
};

Buffers allocate(const NpuMatmulArgs& a) {
  Sram sram;
  Buffers b;
  for (Chunk& c : b.chunk) {
    c.a = sram.alloc<float>(static_cast<uint64_t>(a.m_tile) * a.k_tile);
    c.b = sram.alloc<float>(static_cast<uint64_t>(a.k_tile) * a.n_tile);
    c.bias = sram.alloc<float>(a.n_tile);
  }
  for (float*& d : b.d) d = sram.alloc<float>(static_cast<uint64_t>(a.m_tile) * a.n_tile);
  return b;
}

uint64_t items(const NpuMatmulArgs& a) {
  return static_cast<uint64_t>(a.batch) * a.m_tiles * a.n_tiles;
}

void run(const NpuMatmulArgs& a) {
  const Buffers b = allocate(a);
  Channel<kDmaIn, kMatrix> in;
  Channel<kMatrix, kDmaOut> out;
  const Range range = my_items(items(a));
  for (uint64_t i = range.first; i < range.last; ++i) {
    const Item t = item_at(a, i);
    out.acquire();
    accumulate(a, t, in, b.chunk, b.d[out.index()]);
    out.publish();
    out.receive();
    store(a, t, b.d[out.taken()]);
    out.release();
  }
  in.drain();
  out.drain();
}

// With a function of the vector unit between matrix unit and store, in place.
void run_function(const NpuMatmulArgs& a, npu_vector_op function) {
  const Buffers b = allocate(a);
  Channel<kDmaIn, kMatrix> in;
  Channel<kMatrix, kVector> mid;
  // The tile goes back to the matrix unit from the store, not from the vector unit.
  Channel<kVector, kDmaOut> out;
  Channel<kMatrix, kDmaOut> whole(4);
  const Range range = my_items(items(a));
  for (uint64_t i = range.first; i < range.last; ++i) {
    const Item t = item_at(a, i);
    float* d = b.d[whole.index()];
    whole.acquire();
    accumulate(a, t, in, b.chunk, d);
    mid.acquire();
    mid.publish();
    mid.receive();
    vec<float>(function, d, 1, t.ms * t.ns, 0).operand(0, d, 0).issue();
    mid.release();
    out.acquire();
    out.publish();
    whole.publish();
    out.receive();
    whole.receive();
    store(a, t, d);
    out.release();
    whole.release();
  }
  in.drain();
  mid.drain();
  out.drain();
  whole.drain();
}

}  // namespace
}  // namespace npu

NPU_KERNEL matmul_f32(const NpuMatmulArgs* args) {
  const NpuMatmulArgs a = *args;
  npu::run(a);
}

NPU_KERNEL matmul_sigmoid_f32(const NpuMatmulArgs* args) {
  const NpuMatmulArgs a = *args;
  npu::run_function(a, NPU_V_SIGMOID);
}

NPU_KERNEL matmul_tanh_f32(const NpuMatmulArgs* args) {
  const NpuMatmulArgs a = *args;
  npu::run_function(a, NPU_V_TANH);
}
