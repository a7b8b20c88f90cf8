/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * The compute core's own instructions, CSRs and pipe descriptors.
 *
 * A core is an RV64IMAFC hart with four asynchronous pipes.  The hart issues operations into the pipes' queues in
 * program order; a pipe runs its operations in order; pipes run beside each other and beside the hart.  Order
 * between pipes is made with flags: set_flag(src, dst, id) is queued in pipe src and becomes set when all earlier
 * operations of src are done; wait_flag(src, dst, id) is queued in pipe dst and holds it until the flag is set, then
 * clears it.  The hart takes part as pipe NPU_PIPE_SCALAR.
 *
 * Encodings are R-type in custom-0 (opcode 0x0b): funct3 selects the instruction, funct7 its variant.
 */
#ifndef NPU_ISA_H
#define NPU_ISA_H

#include "npu_hw_types.h"

#define NPU_OPCODE_CUSTOM0 0x0bu
#define NPU_OPCODE_CUSTOM1 0x2bu /* reserved: illegal */

/* custom-0, funct3 */
#define NPU_INSN_ISSUE 0u   /* funct7 = pipe, rs1 = pointer to its descriptor in local memory (SRAM or stack), 8-byte aligned; copied at issue */
#define NPU_INSN_SET_FLAG 1u  /* rs1 = NPU_FLAG(src, dst, id) */
#define NPU_INSN_WAIT_FLAG 2u /* rs1 = NPU_FLAG(src, dst, id) */
#define NPU_INSN_BARRIER 3u /* funct7 = 0: hart waits until the pipes in mask rs1 are idle; funct7 = 1: all blocks of the launch (grid must not exceed the cores) */
#define NPU_INSN_LOCAL 4u   /* local bounds, see NPU_LOCAL_* below */
#define NPU_INSN_TRAP 7u    /* rs1 = code: stop with NPU_FAULT_TRAP */

enum npu_pipe {
	NPU_PIPE_SCALAR = 0,
	NPU_PIPE_MATRIX = 1,
	NPU_PIPE_VECTOR = 2,
	NPU_PIPE_DMA_IN = 3,  /* device memory -> SRAM, SRAM -> SRAM */
	NPU_PIPE_DMA_OUT = 4, /* SRAM -> device memory */
	NPU_PIPES = 5,
};
#define NPU_PIPE_QUEUE_DEPTH 32u /* operations a pipe can hold; issue stalls when it is full */
#define NPU_FLAG_IDS 16u
#define NPU_FLAG(src, dst, id) ((uint64_t)(src) | ((uint64_t)(dst) << 4) | ((uint64_t)(id) << 8))

/* NPU_INSN_LOCAL variants (funct7). */
#define NPU_LOCAL_SET 0u /* rd = tagged pointer to [rs1, rs1 + low 32 bits of rs2) of SRAM, permissions NPU_BOUNDS_READ|WRITE >> 8 in bits 33:32 of rs2; takes a free local entry, or 0 if none is left */
#define NPU_LOCAL_CLEAR 1u /* rs1 = tagged pointer: entry freed, its generation moves */

/*
 * Peer windows of the local map.  Window i is the SRAM of the core that runs block i of the same launch.  For DMA pipes
 * only, and only in launches with at most as many blocks as cores, from the first barrier of all blocks on until block i
 * ends; a block's own window is always there.  Everything else is NPU_FAULT_LOCAL_OOB.
 */
#define NPU_LOCAL_PEER_BASE 0x40000000ull
#define NPU_LOCAL_PEER_STRIDE 0x01000000ull
#define NPU_LOCAL_PEER_WINDOWS 64u

/* Read-only CSRs of a core. */
#define NPU_CSR_BLOCK_X 0xcc0
#define NPU_CSR_BLOCK_Y 0xcc1
#define NPU_CSR_BLOCK_Z 0xcc2
#define NPU_CSR_GRID_X 0xcc3
#define NPU_CSR_GRID_Y 0xcc4
#define NPU_CSR_GRID_Z 0xcc5
#define NPU_CSR_BLOCK 0xcc6       /* linear: x + gx * (y + gy * z) */
#define NPU_CSR_BLOCKS 0xcc7
#define NPU_CSR_CORE 0xcc8
#define NPU_CSR_CORES 0xcc9
#define NPU_CSR_SRAM_BASE 0xcca   /* NPU_LOCAL_SRAM_BASE */
#define NPU_CSR_SRAM_BYTES 0xccb
#define NPU_CSR_ARGS_BYTES 0xccc
/* cycle, time and instret (0xc00..0xc02) count modelled cycles, the same, and retired instructions of this block. */

/*
 * Start of a block: pc = entry, a0 = args, a1 = linear block index, sp = top of the stack, ra = NPU_LOCAL_EXIT_PC,
 * every other register 0; SRAM keeps what the block before left (and is filled with 0xcd when another context's block ran there).
 * The block ends when the hart returns to NPU_LOCAL_EXIT_PC and all pipes are idle.
 */

enum npu_dtype {
	NPU_F32 = 0,
	NPU_F16 = 1,
	NPU_BF16 = 2,
	NPU_TF32 = 3,
	NPU_F8E4M3 = 4,
	NPU_F8E5M2 = 5,
	NPU_I8 = 6,
	NPU_U8 = 7,
	NPU_I32 = 8,
	NPU_I16 = 9,
	NPU_I4 = 10,
	NPU_U32 = 11,
	NPU_DTYPES = 12,
};
/*
 * Storage: f16, bf16 and i16 take two bytes, f8 and the 8-bit integers one, the others four.  tf32 is an f32 whose low
 * 13 bits are 0 (and read as 0; the matrix unit rounds instead).  i4 is packed, two to a byte, the even element in the low half; counts of i4 along a row
 * are even, but in the matrix unit.  e4m3 has no infinity (OCP); its largest number is 448.
 */

/* Rounding of conversions. */
enum npu_round {
	NPU_ROUND_NEAREST = 0,    /* ties to even */
	NPU_ROUND_ZERO = 1,
	NPU_ROUND_DOWN = 2,       /* to minus infinity */
	NPU_ROUND_UP = 3,
	NPU_ROUND_AWAY = 4,       /* nearest, ties away from zero */
	NPU_ROUND_STOCHASTIC = 5, /* away from zero with the probability of the part cut off: see the manual */
	NPU_ROUNDS = 6,
};

enum npu_desc_error {
	NPU_DESC_ERR_NONE = 0,
	NPU_DESC_ERR_OP = 1,       /* operation unknown to this pipe */
	NPU_DESC_ERR_DTYPE = 2,    /* type or combination of types that this device does not have */
	NPU_DESC_ERR_SHAPE = 3,    /* a dimension is zero where it must not be, or too large */
	NPU_DESC_ERR_STRIDE = 4,
	NPU_DESC_ERR_SPACE = 5,    /* operand in a memory that this pipe does not reach */
	NPU_DESC_ERR_FLAGS = 6,
	NPU_DESC_ERR_RESERVED = 7,
	NPU_DESC_ERR_OVERLAP = 8,
	NPU_DESC_ERR_INDEX = 9, /* in detail of NPU_FAULT_LOCAL_OOB: an index operand points outside of its table */
};

/*
 * DMA: a box of up to four dimensions.  Dimension 0 is contiguous: count[0] bytes.  Strides in bytes, signed, of
 * dimensions 1..3; a count of 0 in dimensions 1..3 reads as 1.  A source stride of 0 broadcasts.
 * dst and src may each be SRAM (local pointer) or device pointer, by pipe:
 * DMA_IN: src device, SRAM or a peer's SRAM (NPU_LOCAL_PEER_*), dst SRAM.  DMA_OUT: src SRAM, dst device or a peer's SRAM.
 * Zero padding: the destination box is written whole; of its positions, those whose index in dimension d (1..3) lies
 * outside [pad_lo[d], pad_lo[d] + valid[d]) get zero and touch no source byte; likewise bytes of dimension 0.  The
 * source pointer is the address of the first valid element, and valid = 0 in all dimensions means no padding.
 */
enum npu_dma_op {
	NPU_DMA_COPY = 1,
	NPU_DMA_FILL = 2, /* dst only: 32-bit pattern in `value`; count[0] a multiple of 4 */
	NPU_DMA_CONVERT = 3, /* as COPY, but count[0], pad_lo[0] and valid[0] are elements, of the types in `value` (NPU_DMA_TYPES) */
};

struct npu_dma_desc {
	uint32_t op;
	uint32_t flags; /* 0; bit 0: padding fields in use */
	uint64_t dst;
	uint64_t src;
	uint32_t count[4];
	int64_t dst_stride[3]; /* dimensions 1, 2, 3 */
	int64_t src_stride[3];
	uint32_t pad_lo[4];
	uint32_t valid[4];
	uint32_t value; /* FILL: pattern; CONVERT: NPU_DMA_TYPES(...) */
	uint32_t seed;  /* CONVERT with NPU_ROUND_STOCHASTIC; otherwise 0 */
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_dma_desc) == 128, "dma descriptor");
#define NPU_DMA_F_PAD (1u << 0)
#define NPU_DMA_TYPES(dst, src, round) ((uint32_t)(dst) | ((uint32_t)(src) << 8) | ((uint32_t)(round) << 16)) /* enum npu_dtype twice, enum npu_round */
#define NPU_DMA_SATURATE (1u << 24) /* in `value` of CONVERT, as NPU_VEC_SATURATE */

/*
 * Matrix: D[m][n] = (accumulate ? D[m][n] : bias ? bias[n] : 0) + sum over k of A[m][k] * B[k][n].
 * All operands in SRAM, row-major with row pitches in bytes; TRANS_A reads A[k][m], TRANS_B reads B[n][k].
 *
 * Types of A and B, by the type of D:
 *   f32, f16, bf16: A and B both f32, tf32, f16 or bf16, or each one of f8e4m3 and f8e5m2.
 *   i32: A i8, u8 or i4; B i8 or i4.
 * Floating point: A and B become f32, exactly; tf32 is rounded first, to 10 fraction bits, to nearest even (its low
 * bits need not be 0).  The sum runs over k in ascending order, one fused multiply-add in f32 each, to nearest even, and
 * with subnormal numbers.  So splitting K over accumulating operations changes nothing.  Then RELU; then, for f16 and
 * bf16, one rounding to nearest even (infinity when too large).  ACCUMULATE needs D of 32 bits.  A NaN in D is 0x7fc00000,
 * 0x7e00 in f16, 0x7fc0 in bf16.
 * Integers: exact, in 32-bit two's complement that wraps.  Rows of i4 start at a byte and take (elements + 1) / 2 bytes;
 * the high half of an odd row's last byte is not used.
 */
struct npu_matrix_desc {
	uint64_t d;
	uint64_t a;
	uint64_t b;
	uint64_t bias; /* NPU_MATRIX_BIAS: n elements of type d */
	uint32_t m, n, k;
	uint32_t d_pitch, a_pitch, b_pitch;
	uint8_t d_type, a_type, b_type;
	uint8_t op; /* NPU_MATRIX_MMA */
	uint32_t flags;
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_matrix_desc) == 64, "matrix descriptor");
#define NPU_MATRIX_MMA 1u
#define NPU_MATRIX_ACCUMULATE (1u << 0)
#define NPU_MATRIX_TRANS_A (1u << 1)
#define NPU_MATRIX_TRANS_B (1u << 2)
#define NPU_MATRIX_BIAS (1u << 3)
#define NPU_MATRIX_RELU (1u << 4) /* max(D, 0) when D is written; NaN stays, -0 becomes +0 */

/*
 * Vector: rows x cols elements; element (r, c) of operand i is at base + r * row_pitch[i] + c * element size.
 * A row pitch of 0 repeats one row; operands with the COL_BCAST flag hold one element a row.  All in SRAM.
 * With NPU_VEC_IMM1 src1 is the constant imm[0] (bit pattern of the operation's type), with NPU_VEC_IMM2 src2 is imm[1].
 * Reductions run along the columns, in ascending order, and write one element a row at base + r * row_pitch.
 * Index operands are i32.  An index outside of its table faults with NPU_FAULT_LOCAL_OOB, detail NPU_DESC_ERR_INDEX:
 * operand names the table, bad_index the index's (column, row), and nothing has been written.
 */
enum npu_vector_op {
	NPU_V_COPY = 1,
	NPU_V_ADD = 2,
	NPU_V_SUB = 3,
	NPU_V_MUL = 4,
	NPU_V_DIV = 5,
	NPU_V_MAX = 6,
	NPU_V_MIN = 7,
	NPU_V_FMA = 8,  /* src0 * src1 + src2, one rounding */
	NPU_V_NEG = 9,
	NPU_V_ABS = 10,
	NPU_V_RELU = 11,
	NPU_V_CLIP = 12, /* min(max(src0, src1), src2) */
	NPU_V_EXP = 16,
	NPU_V_LOG = 17,
	NPU_V_TANH = 18,
	NPU_V_ERF = 19,
	NPU_V_SQRT = 20,
	NPU_V_RSQRT = 21,
	NPU_V_RECIP = 22,
	NPU_V_SIN = 23,
	NPU_V_COS = 24,
	NPU_V_SIGMOID = 25,
	NPU_V_CMP_LT = 32, /* u8-like masks kept as 0/1 of dst type */
	NPU_V_CMP_LE = 33,
	NPU_V_CMP_EQ = 34,
	NPU_V_SELECT = 35, /* src0 != 0 ? src1 : src2 */
	NPU_V_CMP_NE = 36,
	NPU_V_CMP_GT = 37,
	NPU_V_CMP_GE = 38,
	NPU_V_RSUM = 48,
	NPU_V_RMAX = 49,
	NPU_V_RMIN = 50,
	NPU_V_RARGMAX = 51, /* dst i32: lowest index of the maximum */
	NPU_V_SCAN_SUM = 52, /* dst[c] = src0[0] + ... + src0[c], ascending */
	NPU_V_SCAN_MAX = 53,
	NPU_V_SCAN_MIN = 54,
	NPU_V_SORT = 56, /* a row's elements in order, stable; with NPU_VEC_INDEX dst2 gets where they came from */
	NPU_V_TOPK = 57, /* the first `count` elements of a stable NPU_VEC_DESCENDING sort (without the flag: ascending) */
	NPU_V_CONVERT = 64, /* src0 type -> dst type by NPU_VEC_ROUND and NPU_VEC_SATURATE; imm[0] = seed, imm[1] = number of the first element */
	NPU_V_TRANSPOSE = 65, /* dst is cols x rows */
	NPU_V_FILL = 66, /* imm[0] */
	NPU_V_IOTA = 67, /* imm[0] + c * imm[1] */
	NPU_V_GATHER = 68, /* dst[r][c] = src0[r][src1[r][c]]; src0 has `count` columns */
	NPU_V_SCATTER = 69, /* dst[r][src1[r][c]] = src0[r][c] for ascending c; dst has `count` columns, others stay */
	NPU_V_GATHER_ROWS = 70, /* dst[r] = src0[src1[r]]; src0 has `count` rows, src1 one index a row */
	NPU_V_PAD = 71, /* dst has `count` columns: imm[0] times imm[1], then src0's, then imm[1] again */
};
#define NPU_V_OPS 72

struct npu_vector_desc {
	uint16_t op;
	uint8_t dst_type;
	uint8_t src_type;
	uint32_t flags;
	uint64_t dst;
	uint64_t src[3];
	uint32_t rows, cols;
	int32_t row_pitch[4]; /* dst, src0, src1, src2; bytes, not negative */
	uint32_t imm[2];
	uint64_t dst2;      /* NPU_VEC_INDEX: i32 indices */
	int32_t dst2_pitch; /* bytes, not negative */
	uint32_t count;     /* see the operations that name it; 0 for all others */
	uint64_t reserved;
};
NPU_HW_STATIC_ASSERT(sizeof(struct npu_vector_desc) == 96, "vector descriptor");
#define NPU_VEC_IMM1 (1u << 0)
#define NPU_VEC_IMM2 (1u << 1)
#define NPU_VEC_COL_BCAST0 (1u << 4)
#define NPU_VEC_COL_BCAST1 (1u << 5)
#define NPU_VEC_COL_BCAST2 (1u << 6)
#define NPU_VEC_ROUND(mode) ((uint32_t)(mode) << 8) /* enum npu_round, of CONVERT */
#define NPU_VEC_ROUND_MASK (7u << 8)
#define NPU_VEC_SATURATE (1u << 11) /* CONVERT to a floating-point type: what is too large becomes the largest number */
#define NPU_VEC_DESCENDING (1u << 12) /* SORT, TOPK */
#define NPU_VEC_INDEX (1u << 13) /* SORT, TOPK: dst2 is written */

#endif /* NPU_ISA_H */
