// SPDX-License-Identifier: Apache-2.0
//
// What an operator's device code includes: block ids, local SRAM, pipe operations, order between pipes.
//
// An operator is a freestanding C++ function that the device calls once a block:
//
//   struct Args { uint64_t x, y; uint32_t n; };
//   NPU_KERNEL scale(const Args* a) { ... }
//
// It runs on one core's scalar hart and gives work to four pipes: matrix, vector, DMA in, DMA out.  A pipe does its own
// operations in order; the pipes and the hart run beside each other.  Order between them is made with flags, for which
// Channel (below) is the convenient form, or with barrier().
//
// Pointers: device memory is reached with ordinary pointers (tagged with their buffer, checked on every access).  The
// matrix and vector pipes work on local SRAM only; DMA moves data between it and device memory.  All sizes and pitches
// are in bytes and all counts in elements unless a comment says otherwise.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "npu_isa.h"

// Names the kernel's function so that the module loader finds it, and keeps it although nothing calls it.
#define NPU_KERNEL extern "C" __attribute__((used, visibility("default"), noinline)) void

// A function that only puts instructions into its caller.  Fault reports name the line outside of this header that
// called it.
#define NPU_INTRINSIC inline __attribute__((always_inline))

namespace npu {

// --- Where am I -----------------------------------------------------------------------------------------------------

// Not volatile: none of the identification registers changes within a block.
#define NPU_DEVICE_CSR(name, number)                \
  NPU_INTRINSIC uint32_t name() {                   \
    uint64_t value;                                 \
    asm("csrr %0, %1" : "=r"(value) : "i"(number)); \
    return static_cast<uint32_t>(value);            \
  }
NPU_DEVICE_CSR(block_x, NPU_CSR_BLOCK_X)
NPU_DEVICE_CSR(block_y, NPU_CSR_BLOCK_Y)
NPU_DEVICE_CSR(block_z, NPU_CSR_BLOCK_Z)
NPU_DEVICE_CSR(grid_x, NPU_CSR_GRID_X)
NPU_DEVICE_CSR(grid_y, NPU_CSR_GRID_Y)
NPU_DEVICE_CSR(grid_z, NPU_CSR_GRID_Z)
NPU_DEVICE_CSR(block, NPU_CSR_BLOCK)    // linear: x + grid_x * (y + grid_y * z)
NPU_DEVICE_CSR(blocks, NPU_CSR_BLOCKS)  // of the launch
NPU_DEVICE_CSR(core, NPU_CSR_CORE)
NPU_DEVICE_CSR(cores, NPU_CSR_CORES)
NPU_DEVICE_CSR(sram_bytes, NPU_CSR_SRAM_BYTES)
NPU_DEVICE_CSR(args_bytes, NPU_CSR_ARGS_BYTES)
#undef NPU_DEVICE_CSR

NPU_INTRINSIC uint64_t sram_base() {
  uint64_t value;
  asm("csrr %0, %1" : "=r"(value) : "i"(NPU_CSR_SRAM_BASE));
  return value;
}

// Modelled cycles since the block began.
NPU_INTRINSIC uint64_t cycle() {
  uint64_t value;
  asm volatile("csrr %0, cycle" : "=r"(value));
  return value;
}

// --- Stopping -------------------------------------------------------------------------------------------------------

// Ends the launch with NPU_FAULT_TRAP; the code comes back in the fault record.
[[noreturn]] NPU_INTRINSIC void trap(uint64_t code) {
  asm volatile(".insn r 0x0b, 7, 0, x0, %0, x0" ::"r"(code) : "memory");
  __builtin_unreachable();
}

enum TrapCode : uint64_t {
  kTrapAssert = 1,     // NPU_ASSERT; bits 63:32 hold the source line
  kTrapSramFull = 2,   // Sram: more asked for than the core has; bits 63:32 hold KiB asked for in all
  kTrapLocalFull = 3,  // Sram: no free entry in the local bounds table
  kTrapIndex = 4,      // an operator's index is outside of its table; bits 63:32 hold it
};

#define NPU_ASSERT(condition)                                                                                         \
  do {                                                                                                                \
    if (__builtin_expect(!(condition), 0)) ::npu::trap(::npu::kTrapAssert | (static_cast<uint64_t>(__LINE__) << 32)); \
  } while (0)

// --- Pipes and order ------------------------------------------------------------------------------------------------

enum Pipe : uint32_t {
  kScalar = NPU_PIPE_SCALAR,
  kMatrix = NPU_PIPE_MATRIX,
  kVector = NPU_PIPE_VECTOR,
  kDmaIn = NPU_PIPE_DMA_IN,
  kDmaOut = NPU_PIPE_DMA_OUT,
};

// Queues the operation; the descriptor is copied, so it may be changed and issued again at once.
template <Pipe kPipe>
NPU_INTRINSIC void issue(const void* descriptor) {
  asm volatile(".insn r 0x0b, 0, %0, x0, %1, x0" ::"i"(kPipe), "r"(descriptor) : "memory");
}

// Queued in pipe kFrom: the flag becomes set when all earlier operations of kFrom are done.
template <Pipe kFrom, Pipe kTo>
NPU_INTRINSIC void set_flag(uint32_t id) {
  asm volatile(".insn r 0x0b, 1, 0, x0, %0, x0" ::"r"(NPU_FLAG(kFrom, kTo, id)) : "memory");
}

// Queued in pipe kTo: holds it until the flag is set, then clears the flag.  The set_flag must come first in program
// order.
template <Pipe kFrom, Pipe kTo>
NPU_INTRINSIC void wait_flag(uint32_t id) {
  asm volatile(".insn r 0x0b, 2, 0, x0, %0, x0" ::"r"(NPU_FLAG(kFrom, kTo, id)) : "memory");
}

// The hart waits until the pipes of the mask (1 << Pipe) are idle.
NPU_INTRINSIC void barrier(uint64_t pipes) {
  asm volatile(".insn r 0x0b, 3, 0, x0, %0, x0" ::"r"(pipes) : "memory");
}

NPU_INTRINSIC void barrier_all_pipes() {
  barrier((1u << kMatrix) | (1u << kVector) | (1u << kDmaIn) | (1u << kDmaOut));
}

// All blocks of the launch meet here; the grid must not have more blocks than the device has cores.
NPU_INTRINSIC void barrier_grid() {
  asm volatile(".insn r 0x0b, 3, 1, x0, x0, x0" ::: "memory");
}

// A bounded hand-over of SRAM buffers from one pipe to another: the flags behind double buffering.  The producer's
// operations stand between acquire() and publish(), the consumer's between receive() and release(); index() and
// taken() say which of the kDepth buffers is meant.  Every item must be issued to the producer before it is issued to
// the consumer.  A channel uses flag ids first_id .. first_id + kDepth - 1 in both directions.
template <Pipe kFrom, Pipe kTo, uint32_t kDepth = 2>
class Channel {
 public:
  explicit Channel(uint32_t first_id = 0) : id_(first_id) {}

  NPU_INTRINSIC void acquire() {
    if (published_ >= kDepth) wait_flag<kTo, kFrom>(id_ + index());
  }
  NPU_INTRINSIC void publish() {
    set_flag<kFrom, kTo>(id_ + index());
    ++published_;
  }
  NPU_INTRINSIC void receive() { wait_flag<kFrom, kTo>(id_ + taken()); }
  NPU_INTRINSIC void release() {
    set_flag<kTo, kFrom>(id_ + taken());
    ++released_;
  }
  uint32_t index() const { return published_ % kDepth; }
  uint32_t taken() const { return released_ % kDepth; }

  // Takes back the flags of the last releases, so that the block leaves none set.
  NPU_INTRINSIC void drain() {
    for (uint32_t i = released_ < kDepth ? 0 : released_ - kDepth; i < released_; ++i) {
      wait_flag<kTo, kFrom>(id_ + i % kDepth);
    }
  }

 private:
  uint32_t id_;
  uint32_t published_ = 0, released_ = 0;
};

// --- Local SRAM -----------------------------------------------------------------------------------------------------

// A bump allocator over the core's SRAM.  What it gives lives until the block ends.
class Sram {
 public:
  Sram() : at_(sram_base()), end_(sram_base() + sram_bytes()) {}

  // Bytes of SRAM with a bounds entry of their own: an operation that leaves them faults, although the SRAM around them
  // is in use too.  Contents are whatever was there before.
  template <class T>
  T* alloc(uint64_t count, uint64_t align = 64) {
    return reinterpret_cast<T*>(bound(take(count * sizeof(T), align), count * sizeof(T)));
  }

  // Without bounds of its own, for kernels that need more pieces than there are entries.
  template <class T>
  T* alloc_unbounded(uint64_t count, uint64_t align = 64) {
    return reinterpret_cast<T*>(take(count * sizeof(T), align));
  }

  uint64_t left() const { return end_ - at_; }

 private:
  uint64_t take(uint64_t bytes, uint64_t align) {
    uint64_t start = (at_ + align - 1) & ~(align - 1);
    if (start > end_ || bytes > end_ - start) {
      trap(kTrapSramFull | (((start - sram_base() + bytes) >> 10) << 32));
    }
    at_ = start + bytes;
    return start;
  }

  static uint64_t bound(uint64_t start, uint64_t bytes) {
    uint64_t pointer, range = bytes | (3ull << 32);  // read and write
    asm volatile(".insn r 0x0b, 4, 0, %0, %1, %2" : "=r"(pointer) : "r"(start), "r"(range) : "memory");
    if (!pointer) trap(kTrapLocalFull);
    return pointer;
  }

  uint64_t at_, end_;
};

NPU_INTRINSIC uint64_t address(const volatile void* p) {
  return reinterpret_cast<uint64_t>(p);
}

// --- Element types --------------------------------------------------------------------------------------------------

// Storage of the types that C++ does not have.
struct f16 {
  uint16_t bits;
};
struct bf16 {
  uint16_t bits;
};
struct tf32 {
  uint32_t bits;
};
struct e4m3 {
  uint8_t bits;
};
struct e5m2 {
  uint8_t bits;
};
// Two elements; the one with the even index is the low half.
struct i4x2 {
  uint8_t bits;
};

template <class T>
struct DataType;
#define NPU_DEVICE_TYPE(type, number)        \
  template <>                                \
  struct DataType<type> {                    \
    static constexpr uint8_t value = number; \
  };
NPU_DEVICE_TYPE(float, NPU_F32)
NPU_DEVICE_TYPE(f16, NPU_F16)
NPU_DEVICE_TYPE(bf16, NPU_BF16)
NPU_DEVICE_TYPE(tf32, NPU_TF32)
NPU_DEVICE_TYPE(e4m3, NPU_F8E4M3)
NPU_DEVICE_TYPE(e5m2, NPU_F8E5M2)
NPU_DEVICE_TYPE(int8_t, NPU_I8)
NPU_DEVICE_TYPE(uint8_t, NPU_U8)
NPU_DEVICE_TYPE(int16_t, NPU_I16)
NPU_DEVICE_TYPE(int32_t, NPU_I32)
NPU_DEVICE_TYPE(uint32_t, NPU_U32)
NPU_DEVICE_TYPE(i4x2, NPU_I4)
#undef NPU_DEVICE_TYPE

// --- DMA ------------------------------------------------------------------------------------------------------------

// A box of up to four dimensions; dimension 0 is contiguous and counts bytes.  Start with dma() and chain:
//   dma_in(dma(dst, src, row_bytes).dim(1, rows, dst_pitch, src_pitch));
struct Dma : npu_dma_desc {
  Dma& dim(uint32_t index, uint32_t n, int64_t dst_step, int64_t src_step) {
    count[index] = n;
    dst_stride[index - 1] = dst_step;
    src_stride[index - 1] = src_step;
    return *this;
  }
  // Of dimension index only [lo, lo + n) comes from the source (bytes in dimension 0); the rest of the box becomes
  // zero. src is the address of the first valid element.  Call it for every dimension, dimensions without padding with
  // (0, count).
  Dma& pad(uint32_t index, uint32_t lo, uint32_t n) {
    flags |= NPU_DMA_F_PAD;
    pad_lo[index] = lo;
    valid[index] = n;
    return *this;
  }
};

// Member by member: the compiler would clear a whole descriptor with a call to memset.
NPU_INTRINSIC Dma dma_box(uint32_t op, uint64_t dst, uint64_t src, uint64_t bytes, uint32_t value) {
  Dma d;
  d.op = op;
  d.flags = 0;
  d.dst = dst;
  d.src = src;
  d.count[0] = static_cast<uint32_t>(bytes);
  d.count[1] = d.count[2] = d.count[3] = 1;
  d.dst_stride[0] = d.dst_stride[1] = d.dst_stride[2] = 0;
  d.src_stride[0] = d.src_stride[1] = d.src_stride[2] = 0;
  d.pad_lo[0] = d.pad_lo[1] = d.pad_lo[2] = d.pad_lo[3] = 0;
  d.valid[0] = d.valid[1] = d.valid[2] = d.valid[3] = 0;
  d.value = value;
  d.seed = 0;
  return d;
}

NPU_INTRINSIC Dma dma(void* dst, const void* src, uint64_t bytes) {
  return dma_box(NPU_DMA_COPY, address(dst), address(src), bytes, 0);
}

// bytes: a multiple of 4.
NPU_INTRINSIC Dma dma_fill(void* dst, uint32_t pattern, uint64_t bytes) {
  return dma_box(NPU_DMA_FILL, address(dst), 0, bytes, pattern);
}

// How a conversion rounds.  Numbers for NPU_ROUND_STOCHASTIC come from the seed and the number of the element, so that
// the same call gives the same result everywhere.
struct Round {
  npu_round mode = NPU_ROUND_NEAREST;
  bool saturate = false;  // floating-point destinations: the largest number in place of infinity
  uint32_t seed = 0;      // NPU_ROUND_STOCHASTIC only
};

// Elements of type S become elements of type D on their way; bytes of the box's dimension 0 are elements here, in pad()
// too.  At most 2^20 elements; no alignment is needed.
template <class D, class S>
NPU_INTRINSIC Dma dma_convert(D* dst, const S* src, uint32_t elements, const Round& round = {}) {
  Dma d = dma_box(
      NPU_DMA_CONVERT, address(dst), address(src), elements,
      NPU_DMA_TYPES(DataType<D>::value, DataType<S>::value, round.mode) | (round.saturate ? NPU_DMA_SATURATE : 0));
  d.seed = round.seed;
  return d;
}

// Where a DMA pipe finds, in the SRAM of the core that runs the given block of this launch, what lies at `own` in this
// core's SRAM.  dma_in reads it, dma_out writes it; nothing else reaches it.  The grid must not have more blocks than
// the device has cores.  Peers are there between the first barrier_grid() and the end of their block, so a program that
// uses them begins with a barrier and ends with one; order between cores is made with barriers too.
template <class T>
NPU_INTRINSIC T* peer(uint32_t block, T* own) {
  const uint64_t offset = (reinterpret_cast<uint64_t>(own) & ((1ull << 40) - 1)) - sram_base();
  return reinterpret_cast<T*>(NPU_LOCAL_PEER_BASE + block * NPU_LOCAL_PEER_STRIDE + offset);
}

NPU_INTRINSIC void dma_in(const Dma& d) {
  issue<kDmaIn>(&d);
}
NPU_INTRINSIC void dma_out(const Dma& d) {
  issue<kDmaOut>(&d);
}

// --- Matrix unit ----------------------------------------------------------------------------------------------------

// A row-major matrix in SRAM; pitch in bytes from row to row.
template <class T>
struct Tile {
  T* data;
  uint32_t pitch;
};

// D[m][n] (+)= sum over k of A[m][k] * B[k][n].  flags: NPU_MATRIX_*; bias holds n elements, with NPU_MATRIX_BIAS.
template <class D, class S>
NPU_INTRINSIC void mma(Tile<D> d, Tile<const S> a, Tile<const S> b, uint32_t m, uint32_t n, uint32_t k, uint32_t flags,
                       const D* bias = nullptr) {
  npu_matrix_desc op;
  op.d = address(d.data);
  op.a = address(a.data);
  op.b = address(b.data);
  op.bias = address(bias);
  op.m = m;
  op.n = n;
  op.k = k;
  op.d_pitch = d.pitch;
  op.a_pitch = a.pitch;
  op.b_pitch = b.pitch;
  op.d_type = DataType<D>::value;
  op.a_type = DataType<S>::value;
  op.b_type = DataType<S>::value;
  op.op = NPU_MATRIX_MMA;
  op.flags = flags;
  issue<kMatrix>(&op);
}

// --- Vector unit ----------------------------------------------------------------------------------------------------

NPU_INTRINSIC uint32_t bits(float value) {
  return __builtin_bit_cast(uint32_t, value);
}

// rows x cols elements; operands are added by chaining:
//   vec<float>(NPU_V_MAX, dst, rows, cols, pitch).operand(0, a, pitch_a).operand(1, b, pitch_b).issue();
struct Vec : npu_vector_desc {
  // pitch 0 repeats one row.
  Vec& operand(uint32_t index, const void* p, uint32_t pitch) {
    src[index] = address(p);
    row_pitch[index + 1] = static_cast<int32_t>(pitch);
    return *this;
  }
  // One element a row, pitch bytes from one to the next.
  Vec& column(uint32_t index, const void* p, uint32_t pitch) {
    flags |= NPU_VEC_COL_BCAST0 << index;
    return operand(index, p, pitch);
  }
  // Operand 1 or 2 is this constant.
  Vec& constant(uint32_t index, uint32_t pattern) {
    flags |= index == 1 ? NPU_VEC_IMM1 : NPU_VEC_IMM2;
    imm[index - 1] = pattern;
    return *this;
  }
  Vec& constant(uint32_t index, float value) { return constant(index, bits(value)); }
  // CONVERT; first: number of the first element, for tiles of a large array.
  Vec& rounding(const Round& round, uint32_t first = 0) {
    flags |= NPU_VEC_ROUND(round.mode) | (round.saturate ? NPU_VEC_SATURATE : 0);
    imm[0] = round.seed;
    imm[1] = first;
    return *this;
  }
  // SORT, TOPK: largest first.
  Vec& descending() {
    flags |= NPU_VEC_DESCENDING;
    return *this;
  }
  // SORT, TOPK: where the elements came from, pitch bytes from row to row.
  Vec& indices(int32_t* p, uint32_t pitch) {
    flags |= NPU_VEC_INDEX;
    dst2 = address(p);
    dst2_pitch = static_cast<int32_t>(pitch);
    return *this;
  }
  // The operation's own size: k of TOPK, the table's columns or rows, PAD's columns.
  Vec& counted(uint32_t n) {
    count = n;
    return *this;
  }
  NPU_INTRINSIC void issue() const { ::npu::issue<kVector>(this); }
};

template <class D, class S = D>
NPU_INTRINSIC Vec vec(npu_vector_op op, D* dst, uint32_t rows, uint32_t cols, uint32_t dst_pitch) {
  Vec v;
  v.op = static_cast<uint16_t>(op);
  v.dst_type = DataType<D>::value;
  v.src_type = DataType<S>::value;
  v.flags = 0;
  v.dst = address(dst);
  v.src[0] = v.src[1] = v.src[2] = 0;
  v.rows = rows;
  v.cols = cols;
  v.row_pitch[0] = static_cast<int32_t>(dst_pitch);
  v.row_pitch[1] = v.row_pitch[2] = v.row_pitch[3] = 0;
  v.imm[0] = v.imm[1] = 0;
  v.dst2 = 0;
  v.dst2_pitch = 0;
  v.count = 0;
  v.reserved = 0;
  return v;
}

// Whole operations, queued in the vector pipe.  Pitches in bytes, from row to row; sources are read, destinations
// written, all of them in SRAM.  What each does exactly is in the manual (docs/hardware.md, section 8).

// dst[r][c] = src[r][c] in another type.  Of i4x2, cols counts single elements and is even.
template <class D, class S>
NPU_INTRINSIC void convert(D* dst, uint32_t dst_pitch, const S* src, uint32_t src_pitch, uint32_t rows, uint32_t cols,
                           const Round& round = {}, uint32_t first = 0) {
  vec<D, S>(NPU_V_CONVERT, dst, rows, cols, dst_pitch).operand(0, src, src_pitch).rounding(round, first).issue();
}

// op: NPU_V_SCAN_SUM, _MAX or _MIN along the columns.  T: float, f16, bf16 or int32_t; in place if dst == src.
template <class T>
NPU_INTRINSIC void scan(npu_vector_op op, T* dst, uint32_t dst_pitch, const T* src, uint32_t src_pitch, uint32_t rows,
                        uint32_t cols) {
  vec<T>(op, dst, rows, cols, dst_pitch).operand(0, src, src_pitch).issue();
}

// Every row in ascending order (stable; NaN above all); in place if dst == src.  More: vec<T>(NPU_V_SORT, ...) with
// descending() and indices().
template <class T>
NPU_INTRINSIC void sort(T* dst, uint32_t dst_pitch, const T* src, uint32_t src_pitch, uint32_t rows, uint32_t cols) {
  vec<T>(NPU_V_SORT, dst, rows, cols, dst_pitch).operand(0, src, src_pitch).issue();
}

// The k largest of every row, largest first, and their columns; equal elements: the lower column first.  k <= cols.
template <class T>
NPU_INTRINSIC void topk(T* values, uint32_t values_pitch, int32_t* columns, uint32_t columns_pitch, const T* src,
                        uint32_t src_pitch, uint32_t rows, uint32_t cols, uint32_t k) {
  vec<T>(NPU_V_TOPK, values, rows, cols, values_pitch)
      .operand(0, src, src_pitch)
      .descending()
      .indices(columns, columns_pitch)
      .counted(k)
      .issue();
}

// dst[r][c] = table[r][index[r][c]].  An index outside of [0, table_cols) faults (NPU_FAULT_LOCAL_OOB).
template <class T>
NPU_INTRINSIC void gather(T* dst, uint32_t dst_pitch, const T* table, uint32_t table_pitch, uint32_t table_cols,
                          const int32_t* index, uint32_t index_pitch, uint32_t rows, uint32_t cols) {
  vec<T>(NPU_V_GATHER, dst, rows, cols, dst_pitch)
      .operand(0, table, table_pitch)
      .operand(1, index, index_pitch)
      .counted(table_cols)
      .issue();
}

// table[r][index[r][c]] = src[r][c] for ascending c; the other elements of the table stay.
template <class T>
NPU_INTRINSIC void scatter(T* table, uint32_t table_pitch, uint32_t table_cols, const T* src, uint32_t src_pitch,
                           const int32_t* index, uint32_t index_pitch, uint32_t rows, uint32_t cols) {
  vec<T>(NPU_V_SCATTER, table, rows, cols, table_pitch)
      .operand(0, src, src_pitch)
      .operand(1, index, index_pitch)
      .counted(table_cols)
      .issue();
}

// dst[r] = table[index[r]], whole rows of a table that lies in SRAM.
template <class T>
NPU_INTRINSIC void gather_rows(T* dst, uint32_t dst_pitch, const T* table, uint32_t table_pitch, uint32_t table_rows,
                               const int32_t* index, uint32_t rows, uint32_t cols) {
  vec<T>(NPU_V_GATHER_ROWS, dst, rows, cols, dst_pitch)
      .operand(0, table, table_pitch)
      .operand(1, index, sizeof(int32_t))
      .counted(table_rows)
      .issue();
}

// Rows of `to` elements: `low` times the pattern, the source's cols, and the pattern again.  low + cols <= to.
template <class T>
NPU_INTRINSIC void pad(T* dst, uint32_t dst_pitch, uint32_t to, const T* src, uint32_t src_pitch, uint32_t rows,
                       uint32_t cols, uint32_t low, uint32_t pattern) {
  Vec v = vec<T>(NPU_V_PAD, dst, rows, cols, dst_pitch);
  v.operand(0, src, src_pitch).counted(to);
  v.imm[0] = low;
  v.imm[1] = pattern;
  v.issue();
}

// --- Arithmetic helpers ---------------------------------------------------------------------------------------------

template <class T>
constexpr T min(T a, T b) {
  return a < b ? a : b;
}
template <class T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
constexpr uint32_t div_up(uint32_t a, uint32_t b) {
  return a / b + (a % b != 0);
}

// --- Atomics --------------------------------------------------------------------------------------------------------

// One step for all cores, in device memory, host memory that the device may reach so, or the core's own SRAM;
// sequentially consistent.  p: aligned to its size; the buffer needs the right to read and write, or the one to atomics
// alone.  T: a 4- or 8-byte integer.  All but atomic_compare_exchange answer what was there before.
#define NPU_DEVICE_ATOMIC(name, builtin)        \
  template <class T>                            \
  NPU_INTRINSIC T name(T* p, T value) {         \
    return builtin(p, value, __ATOMIC_SEQ_CST); \
  }
NPU_DEVICE_ATOMIC(atomic_add, __atomic_fetch_add)
NPU_DEVICE_ATOMIC(atomic_and, __atomic_fetch_and)
NPU_DEVICE_ATOMIC(atomic_or, __atomic_fetch_or)
NPU_DEVICE_ATOMIC(atomic_xor, __atomic_fetch_xor)
NPU_DEVICE_ATOMIC(atomic_exchange, __atomic_exchange_n)
#undef NPU_DEVICE_ATOMIC

// True: *p was *expected and is desired now.  False: *expected is what is there instead.
template <class T>
NPU_INTRINSIC bool atomic_compare_exchange(T* p, T* expected, T desired) {
  return __atomic_compare_exchange_n(p, expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

#define NPU_DEVICE_AMO(name, type, insn)                                                 \
  NPU_INTRINSIC type name(type* p, type value) {                                         \
    type old;                                                                            \
    asm volatile(insn ".aqrl %0, %2, (%1)" : "=r"(old) : "r"(p), "r"(value) : "memory"); \
    return old;                                                                          \
  }
NPU_DEVICE_AMO(atomic_max, int32_t, "amomax.w")
NPU_DEVICE_AMO(atomic_max, int64_t, "amomax.d")
NPU_DEVICE_AMO(atomic_max, uint32_t, "amomaxu.w")
NPU_DEVICE_AMO(atomic_max, uint64_t, "amomaxu.d")
NPU_DEVICE_AMO(atomic_min, int32_t, "amomin.w")
NPU_DEVICE_AMO(atomic_min, int64_t, "amomin.d")
NPU_DEVICE_AMO(atomic_min, uint32_t, "amominu.w")
NPU_DEVICE_AMO(atomic_min, uint64_t, "amominu.d")
#undef NPU_DEVICE_AMO

// The device pointer that the host put into an argument, advanced by whole elements.
template <class T>
inline T* device_pointer(uint64_t p, uint64_t elements = 0) {
  return reinterpret_cast<T*>(p) + elements;
}

}  // namespace npu
