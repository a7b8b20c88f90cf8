// SPDX-License-Identifier: Apache-2.0
//
// Pipe descriptors, flags, barriers and local bounds.  The input becomes a straight program: each operation is one
// custom instruction, its operands come from a table in SRAM.  It runs once for every SIMD level of this CPU, and all
// must leave the same memory, faults and costs.
#include <algorithm>
#include <vector>

#include "core_bench.h"
#include "fuzz.h"
#include "npu_isa.h"

namespace {

using namespace npu::model;

constexpr uint64_t kTable = NPU_LOCAL_SRAM_BASE + kSramBytes - 0x10000;  // operands and descriptors
constexpr uint32_t kMaxOps = 64;

// Tagged pointers of entries 0.. of the local bounds table come from their first use.
uint64_t Pointer(fuzz::Input& in) {
  const uint8_t kind = in.Take<uint8_t>();
  const uint32_t offset = in.Take<uint16_t>() * (kind & 0x80 ? 16u : 1u);
  switch (kind % 8) {
    case 0:
      return fuzz::kDataPtr + offset;
    case 1:
      return fuzz::kHostPtr + offset;
    case 2:
      return NPU_PTR(NPU_BUF_LOCAL_FIRST + in.Below(4), in.Below(3), NPU_LOCAL_SRAM_BASE + offset);
    case 3:
      if (kind & 0x40) return NPU_LOCAL_PEER_BASE + in.Below(4) * NPU_LOCAL_PEER_STRIDE + offset;
      return NPU_LOCAL_STACK_BASE + offset;
    case 4:
      return in.Below(8) ? NPU_LOCAL_SRAM_BASE + offset : in.Take<uint64_t>();
    case 6: {  // around an end
      static constexpr uint64_t kEnds[] = {NPU_LOCAL_SRAM_BASE + kSramBytes, fuzz::kDataPtr + fuzz::kDataBytes,
                                           NPU_LOCAL_STACK_BASE + NPU_LOCAL_STACK_BYTES,
                                           fuzz::kHostPtr + fuzz::kHostBytes - 20};
      return kEnds[offset >> 8 & 3] - (offset & 0xff);
    }
    default:
      return NPU_LOCAL_SRAM_BASE + (offset & ~3u);
  }
}

// Mostly small, sometimes anything.
uint32_t Count(fuzz::Input& in) {
  const uint8_t kind = in.Take<uint8_t>();
  if (kind < 200) return kind % 40;
  return kind < 240 ? in.Take<uint16_t>() : in.Take<uint32_t>();
}
int64_t Stride(fuzz::Input& in) {
  const uint8_t kind = in.Take<uint8_t>();
  if (kind < 64) return 0;
  if (kind < 160) return (kind - 64) * 4;
  if (kind < 230) return in.Take<int16_t>();
  return kind < 250 ? int64_t{in.Take<int32_t>()} : in.Take<int64_t>();
}

npu_dma_desc Dma(fuzz::Input& in) {
  npu_dma_desc d{};
  const uint8_t kind = in.Take<uint8_t>();
  d.op = kind & 64 ? in.Below(5) : (kind & 1) + 1;
  d.flags = kind & 128 ? in.Take<uint32_t>() : kind >> 1 & 1;
  d.dst = Pointer(in);
  d.src = Pointer(in);
  for (uint32_t& c : d.count) c = Count(in);
  for (int64_t& s : d.dst_stride) s = Stride(in);
  for (int64_t& s : d.src_stride) s = Stride(in);
  if (d.flags) {
    for (uint32_t& p : d.pad_lo) p = Count(in);
    for (uint32_t& v : d.valid) v = Count(in);
  }
  d.value = in.Take<uint32_t>();
  if (d.op == NPU_DMA_CONVERT && kind < 192) {
    const uint32_t v = d.value;
    d.value = NPU_DMA_TYPES((v & 0xff) % NPU_DTYPES, (v >> 8 & 0xff) % NPU_DTYPES, (v >> 16 & 0xff) % NPU_ROUNDS) |
              (v & NPU_DMA_SATURATE);
  }
  d.seed = kind == 255 || (d.op == NPU_DMA_CONVERT && (d.value >> 16 & 7) == NPU_ROUND_STOCHASTIC);
  return d;
}

npu_matrix_desc Matrix(fuzz::Input& in) {
  static constexpr uint8_t kTypes[8][3] = {
      {NPU_F32, NPU_F32, NPU_F32},        {NPU_I32, NPU_I8, NPU_I8},     {NPU_I32, NPU_I4, NPU_I4},
      {NPU_I32, NPU_U8, NPU_I4},          {NPU_F16, NPU_F16, NPU_F16},   {NPU_F32, NPU_BF16, NPU_BF16},
      {NPU_BF16, NPU_F8E4M3, NPU_F8E5M2}, {NPU_F32, NPU_TF32, NPU_TF32},
  };
  npu_matrix_desc d{};
  const uint8_t kind = in.Take<uint8_t>();
  const uint8_t* types = kTypes[kind & 7];
  d.d = Pointer(in);
  d.a = Pointer(in);
  d.b = Pointer(in);
  d.bias = Pointer(in);
  d.m = Count(in);
  d.n = Count(in);
  d.k = Count(in);
  d.d_pitch = static_cast<uint32_t>(Stride(in));
  d.a_pitch = static_cast<uint32_t>(Stride(in));
  d.b_pitch = static_cast<uint32_t>(Stride(in));
  d.d_type = types[0];
  d.a_type = types[1];
  d.b_type = types[2];
  if (kind >= 240) d.a_type = in.Take<uint8_t>();
  d.op = kind == 255 ? in.Take<uint8_t>() : NPU_MATRIX_MMA;
  d.flags = in.Take<uint8_t>() & (kind & 128 ? 0xff : 0x1f);
  return d;
}

npu_vector_desc Vector(fuzz::Input& in) {
  static constexpr uint8_t kTypes[] = {NPU_F32, NPU_I32, NPU_F16, NPU_U8};
  npu_vector_desc d{};
  const uint8_t kind = in.Take<uint8_t>();
  d.op = in.Take<uint8_t>() % (kind & 128 ? 256 : NPU_V_OPS);
  d.dst_type = kTypes[kind & 3];
  d.src_type = kind & 64 ? kTypes[kind >> 2 & 3] : d.dst_type;
  if (kind == 255) d.src_type = in.Take<uint8_t>();
  d.flags = in.Take<uint8_t>() & (kind & 128 ? 0xff : 0x73);
  if (d.op == NPU_V_CONVERT && kind < 240) {  // all types and ways of rounding
    d.dst_type = static_cast<uint8_t>(in.Below(NPU_DTYPES + 1));
    d.src_type = static_cast<uint8_t>(in.Below(NPU_DTYPES + 1));
    const auto way = in.Take<uint8_t>();
    d.flags = NPU_VEC_ROUND(way & 7) | (way & 8 ? NPU_VEC_SATURATE : 0) | (way & 16 ? NPU_VEC_COL_BCAST0 : 0);
  }
  d.dst = Pointer(in);
  for (uint64_t& s : d.src) s = Pointer(in);
  d.rows = Count(in);
  d.cols = Count(in);
  for (int32_t& p : d.row_pitch) p = static_cast<int32_t>(Stride(in));
  for (uint32_t& i : d.imm) i = in.Take<uint32_t>();
  d.reserved = kind == 254;
  if (d.op == NPU_V_SORT || d.op == NPU_V_TOPK) {
    d.src_type = d.dst_type = static_cast<uint8_t>(in.Below(NPU_DTYPES));
    const auto way = in.Take<uint8_t>();
    d.flags = (way & 1 ? NPU_VEC_DESCENDING : 0) | (way & 2 ? NPU_VEC_INDEX : 0);
    if (way & 2) d.dst2 = Pointer(in), d.dst2_pitch = static_cast<int32_t>(Stride(in));
  }
  const bool counts = d.op == NPU_V_TOPK || (d.op >= NPU_V_GATHER && d.op <= NPU_V_PAD);
  if (counts) {
    d.count = Count(in);
    if (d.op == NPU_V_PAD && !(kind & 128)) d.imm[0] %= 64;
  }
  return d;
}

// The program and its table, to be placed in any number of cores.
struct Program {
  std::vector<uint32_t> code;
  std::vector<uint8_t> table;
  std::vector<uint8_t> sram;  // its start

  uint32_t Keep(const void* bytes, size_t count) {
    const auto at = static_cast<uint32_t>(table.size());
    table.insert(table.end(), static_cast<const uint8_t*>(bytes), static_cast<const uint8_t*>(bytes) + count);
    table.resize((table.size() + 7) / 8 * 8);
    return at;
  }
  // t0 (x5) or t1 = table + offset; s0 holds the table's address.
  void Address(unsigned rd, uint32_t offset) {
    code.push_back((offset + 0x800) >> 12 << 12 | rd << 7 | 0x37);       // lui  rd, hi
    code.push_back((offset & 0xfff) << 20 | rd << 15 | rd << 7 | 0x13);  // addi rd, rd, lo
    code.push_back(8u << 20 | rd << 15 | rd << 7 | 0x33);                // add  rd, rd, s0
  }
  void Value(unsigned rd, uint64_t value) {
    Address(rd, Keep(&value, sizeof(value)));
    code.push_back(rd << 15 | 3u << 12 | rd << 7 | 0x03);  // ld rd, 0(rd)
  }
  void Custom(unsigned funct3, unsigned funct7) {
    code.push_back(funct7 << 25 | 6u << 20 | 5u << 15 | funct3 << 12 | 7u << 7 | NPU_OPCODE_CUSTOM0);
  }
};

uint64_t FlagValue(fuzz::Input& in) {
  const uint8_t kind = in.Take<uint8_t>();
  if (kind == 255) return in.Take<uint64_t>();
  return NPU_FLAG(kind % 5, kind / 5 % 5, kind / 25 % 2);
}

void AddOperation(fuzz::Input& in, Program* program) {
  const uint8_t kind = in.Take<uint8_t>();
  uint32_t at = 0;
  switch (kind % 8) {
    case 0:
    case 1: {
      const npu_dma_desc d = Dma(in);
      at = program->Keep(&d, sizeof(d));
      program->Address(5, at);
      return program->Custom(NPU_INSN_ISSUE, kind & 8 ? NPU_PIPE_DMA_IN : NPU_PIPE_DMA_OUT);
    }
    case 2: {
      const npu_matrix_desc d = Matrix(in);
      at = program->Keep(&d, sizeof(d));
      program->Address(5, at);
      return program->Custom(NPU_INSN_ISSUE, NPU_PIPE_MATRIX);
    }
    case 3:
    case 4: {
      const npu_vector_desc d = Vector(in);
      at = program->Keep(&d, sizeof(d));
      program->Address(5, at);
      return program->Custom(NPU_INSN_ISSUE, NPU_PIPE_VECTOR);
    }
    case 5:
      program->Value(5, FlagValue(in));
      return program->Custom(kind & 8 ? NPU_INSN_SET_FLAG : NPU_INSN_WAIT_FLAG, 0);
    case 6:
      program->Value(5, in.Below(33));
      return program->Custom(NPU_INSN_BARRIER, kind >> 3 & 1);
    default:
      program->Value(5, Pointer(in));
      program->Value(6, Count(in) | static_cast<uint64_t>(in.Below(5)) << 32);
      return program->Custom(NPU_INSN_LOCAL, kind >> 3 & 1);
  }
}

Program Build(fuzz::Input& in) {
  Program program;
  program.sram.resize(size_t{in.Take<uint8_t>()} * 16);
  in.Bytes(program.sram.data(), program.sram.size());
  program.code.push_back(kTable >> 12 << 12 | 8u << 7 | 0x37);  // lui s0, table
  for (uint32_t i = 0; i < kMaxOps && !in.empty(); ++i) AddOperation(in, &program);
  program.code.push_back(0x00008067);  // ret
  return program;
}

fuzz::Result RunProgram(fuzz::CoreBench& bench, const Program& program) {
  bench.Reset();
  bench.Begin(2);
  std::copy(program.sram.begin(), program.sram.end(), bench.core().sram());
  std::copy(program.table.begin(), program.table.end(), bench.core().sram() + (kTable - NPU_LOCAL_SRAM_BASE));
  std::memcpy(bench.code(), program.code.data(), program.code.size() * 4);
  const fuzz::Result result = bench.Finish(2);
  bench.CheckUntouched();
  return result;
}

std::vector<const char*> Levels() {
  std::vector<const char*> levels;
  for (const char* name : {"baseline", "avx2", "avx512bw", "avx512"}) {
    const char* error = nullptr;
    if (SelectSimd(name, &error)) levels.push_back(name);
  }
  return levels;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  static fuzz::CoreBench bench;
  static const std::vector<const char*> levels = Levels();
  fuzz::Input in(bytes, count);
  const Program program = Build(in);
  FUZZ_CHECK(program.code.size() * 4 <= fuzz::kCodeBytes && program.table.size() <= 0x10000);
  fuzz::Result first{};
  for (size_t i = 0; i < levels.size(); ++i) {
    const char* error = nullptr;
    FUZZ_CHECK(SelectSimd(levels[i], &error));
    const fuzz::Result now = RunProgram(bench, program);
    if (i == 0) {
      first = now;
      bench.Keep();
      continue;
    }
    FUZZ_CHECK(now.outcome == first.outcome);
    FUZZ_CHECK(std::memcmp(&now.fault, &first.fault, sizeof(now.fault)) == 0);
    FUZZ_CHECK(std::memcmp(&now.cost, &first.cost, sizeof(now.cost)) == 0);
    FUZZ_CHECK(bench.SameAsKept());
  }
  return 0;
}
