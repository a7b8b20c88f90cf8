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

NPU_INTRINSIC void dma_in(const Dma& d) {
  issue<kDmaIn>(&d);
}
NPU_INTRINSIC void dma_out(const Dma& d) {
  issue<kDmaOut>(&d);
}

// --- Matrix unit ----------------------------------------------------------------------------------------------------

template <class T>
struct DataType;
template <>
struct DataType<float> {
  static constexpr uint8_t value = NPU_F32;
};
template <>
struct DataType<int8_t> {
  static constexpr uint8_t value = NPU_I8;
};
template <>
struct DataType<uint8_t> {
  static constexpr uint8_t value = NPU_U8;
};
template <>
struct DataType<int32_t> {
  static constexpr uint8_t value = NPU_I32;
};

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

// The device pointer that the host put into an argument, advanced by whole elements.
template <class T>
inline T* device_pointer(uint64_t p, uint64_t elements = 0) {
  return reinterpret_cast<T*>(p) + elements;
}

}  // namespace npu
