// SPDX-License-Identifier: Apache-2.0
//
// D = act(A * B + bias), batched, any of A and B stored transposed; A and B of type S, D and bias of type D.
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
template <class S>
void load(S* dst, uint64_t base, uint64_t offset, uint32_t ld, uint32_t rows, uint32_t cols) {
  Dma d = dma(dst, device_pointer<const S>(base, offset), cols * sizeof(S));
  d.dim(1, rows, cols * sizeof(S), static_cast<int64_t>(ld) * sizeof(S));
  dma_in(d);
}

template <class S, class D>
struct Chunk {
  S *a, *b;
  D* bias;
};

template <class S, class D>
void load_chunk(const NpuMatmulArgs& a, const Item& t, uint32_t k0, uint32_t ks, const Chunk<S, D>& c) {
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
    dma_in(dma(c.bias, device_pointer<const D>(a.bias, t.n0), t.ns * sizeof(D)));
  }
}

template <class S, class D>
void multiply(const NpuMatmulArgs& a, const Item& t, uint32_t k0, uint32_t ks, const Chunk<S, D>& c, D* d) {
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
  constexpr uint32_t kIn = sizeof(S), kOut = sizeof(D);
  mma<D, S>({d, t.ns * kOut}, {c.a, a_pitch * kIn}, {c.b, b_pitch * kIn}, t.ms, t.ns, ks, flags, c.bias);
}

template <class D>
void store(const NpuMatmulArgs& a, const Item& t, const D* d) {
  const uint64_t at = t.batch * a.batch_d + static_cast<uint64_t>(t.m0) * a.ldd + t.n0;
  Dma out = dma(device_pointer<D>(a.d, at), d, t.ns * sizeof(D));
  out.dim(1, t.ms, static_cast<int64_t>(a.ldd) * sizeof(D), t.ns * sizeof(D));
  dma_out(out);
}

// The k loop of one tile, into d.
template <class S, class D>
void accumulate(const NpuMatmulArgs& a, const Item& t, Channel<kDmaIn, kMatrix>& in, const Chunk<S, D>* chunks, D* d) {
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

template <class S, class D>
struct Buffers {
  Chunk<S, D> chunk[2];
  D* d[2];
};

template <class S, class D>
Buffers<S, D> allocate(const NpuMatmulArgs& a) {
  Sram sram;
  Buffers<S, D> b;
  for (Chunk<S, D>& c : b.chunk) {
    c.a = sram.alloc<S>(static_cast<uint64_t>(a.m_tile) * a.k_tile);
    c.b = sram.alloc<S>(static_cast<uint64_t>(a.k_tile) * a.n_tile);
    c.bias = a.flags & NPU_OP_F_BIAS ? sram.alloc<D>(a.n_tile) : nullptr;
  }
  for (D*& d : b.d) d = sram.alloc<D>(static_cast<uint64_t>(a.m_tile) * a.n_tile);
  return b;
}

uint64_t items(const NpuMatmulArgs& a) {
  return static_cast<uint64_t>(a.batch) * a.m_tiles * a.n_tiles;
}

template <class S, class D>
void run(const NpuMatmulArgs& a) {
  const Buffers<S, D> b = allocate<S, D>(a);
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
  const Buffers<float, float> b = allocate<float, float>(a);
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
  npu::run<float, float>(a);
}
NPU_KERNEL matmul_f16(const NpuMatmulArgs* args) {
  const NpuMatmulArgs a = *args;
  npu::run<npu::f16, float>(a);
}
NPU_KERNEL matmul_bf16(const NpuMatmulArgs* args) {
  const NpuMatmulArgs a = *args;
  npu::run<npu::bf16, float>(a);
}
NPU_KERNEL matmul_i8(const NpuMatmulArgs* args) {
  const NpuMatmulArgs a = *args;
  npu::run<int8_t, int32_t>(a);
}

NPU_KERNEL matmul_sigmoid_f32(const NpuMatmulArgs* args) {
  const NpuMatmulArgs a = *args;
  npu::run_function(a, NPU_V_SIGMOID);
}

NPU_KERNEL matmul_tanh_f32(const NpuMatmulArgs* args) {
  const NpuMatmulArgs a = *args;
  npu::run_function(a, NPU_V_TANH);
}
