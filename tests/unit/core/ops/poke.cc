// SPDX-License-Identifier: Apache-2.0
#include "poke.h"

#include "npu_device.h"
#include "npu_mmu.h"

namespace {

__attribute__((noinline)) uint64_t Recurse(uint64_t depth) {
  volatile uint64_t frame[16];
  frame[depth % 16] = depth;
  if (depth >> 40) return 0;  // far behind the end of any stack
  return Recurse(depth + 1) + frame[depth % 16];
}

__attribute__((noinline)) void Csrs(volatile uint64_t* out) {
  const uint64_t values[] = {npu::block_x(),   npu::block_y(),    npu::block_z(),   npu::grid_x(), npu::grid_y(),
                             npu::grid_z(),    npu::block(),      npu::blocks(),    npu::core(),   npu::cores(),
                             npu::sram_base(), npu::sram_bytes(), npu::args_bytes()};
  for (int i = 0; i < 13; ++i) out[i] = values[i];
}

__attribute__((noinline)) void Grid(const PokeArgs* p) {
  auto* out = reinterpret_cast<volatile uint64_t*>(p->out);
  out[npu::block()] = p->b;
  npu::barrier_grid();
  uint64_t sum = 0;
  for (uint32_t i = 0; i < npu::blocks(); ++i) sum += out[i];
  npu::barrier_grid();
  out[npu::block()] = sum;
}

__attribute__((noinline)) void Issue(uint64_t pipe, const void* descriptor) {
  if (pipe == NPU_PIPE_MATRIX) npu::issue<npu::kMatrix>(descriptor);
  if (pipe == NPU_PIPE_VECTOR) npu::issue<npu::kVector>(descriptor);
  if (pipe == NPU_PIPE_DMA_IN) npu::issue<npu::kDmaIn>(descriptor);
  if (pipe == NPU_PIPE_DMA_OUT) npu::issue<npu::kDmaOut>(descriptor);
}

}  // namespace

extern "C" __attribute__((section(".entry"), used)) void poke(const PokeArgs* p) {
  auto* out = reinterpret_cast<volatile uint64_t*>(p->out);
  auto* a64 = reinterpret_cast<volatile uint64_t*>(p->a);
  auto* a32 = reinterpret_cast<volatile uint32_t*>(p->a);
  const uint64_t flag = NPU_FLAG(NPU_PIPE_SCALAR, NPU_PIPE_VECTOR, 1);
  uint64_t value = 0;
  switch (p->what) {
    case kPokeLoad:
      out[0] = *a64;
      break;
    case kPokeStore:
      *a64 = p->b;
      break;
    case kPokeStoreByte:
      *reinterpret_cast<volatile uint8_t*>(p->a) = static_cast<uint8_t>(p->b);
      break;
    case kPokeMisaligned:
      asm volatile("sw %0, 0(%1)" ::"r"(p->b), "r"(p->a) : "memory");
      break;
    case kPokeAmoAdd:
      out[0] = __atomic_fetch_add(reinterpret_cast<uint32_t*>(p->a), static_cast<uint32_t>(p->b), __ATOMIC_SEQ_CST);
      break;
    case kPokeAmoAdd64:
      out[0] = __atomic_fetch_add(reinterpret_cast<uint64_t*>(p->a), p->b, __ATOMIC_SEQ_CST);
      break;
    case kPokeReserved:
      asm volatile("1: lr.d %0, (%1)\n add %0, %0, %2\n sc.d t0, %0, (%1)\n bnez t0, 1b"
                   : "=&r"(value)
                   : "r"(p->a), "r"(p->b)
                   : "t0", "memory");
      break;
    case kPokeCall:
      reinterpret_cast<void (*)()>(p->a)();
      break;
    case kPokeTrap:
      npu::trap(p->a);
    case kPokeEbreak:
      asm volatile("ebreak");
      break;
    case kPokeEcall:
      asm volatile("mv a0, %0\n ecall" ::"r"(p->a) : "a0");
      break;
    case kPokeIllegal:
      asm volatile(".word 0xffffffff");
      break;
    case kPokeCustom1:
      asm volatile(".insn r 0x2b, 0, 0, x0, x0, x0");
      break;
    case kPokeRecurse:
      out[0] = Recurse(0);
      break;
    case kPokeSpin:
      while (*a64 == p->b) {
      }
      break;
    case kPokeSum:
      for (uint64_t i = 0; i < p->b; ++i) value += a32[i];
      out[0] = value;
      break;
    case kPokeCsrs:
      Csrs(out);
      break;
    case kPokeIssue:
      Issue(p->b, reinterpret_cast<const void*>(p->a));
      break;
    case kPokeIssueMany:
      for (uint64_t i = 0; i < p->b >> 3; ++i) Issue(p->b & 7, reinterpret_cast<const void*>(p->a));
      break;
    case kPokeHartWait:
      asm volatile(".insn r 0x0b, 2, 0, x0, %0, x0" ::"r"(p->a) : "memory");
      break;
    case kPokePipeWait:
      npu::wait_flag<npu::kDmaIn, npu::kVector>(5);
      break;
    case kPokePipeBarrier:
      npu::wait_flag<npu::kDmaIn, npu::kVector>(5);
      npu::barrier_all_pipes();
      break;
    case kPokeQueueFull:
      for (int i = 0; i < 40; ++i) npu::wait_flag<npu::kDmaIn, npu::kVector>(5);
      break;
    case kPokeBadFlag:
      asm volatile(".insn r 0x0b, 1, 0, x0, %0, x0" ::"r"(NPU_FLAG(7, 1, 0)));
      break;
    case kPokeGrid:
      Grid(p);
      break;
    case kPokeLocalSet:
      asm volatile(".insn r 0x0b, 4, 0, %0, %1, %2" : "=r"(value) : "r"(p->a), "r"(p->b));
      out[0] = value;
      break;
    case kPokeLocalClear:
      asm volatile(".insn r 0x0b, 4, 1, x0, %0, x0" ::"r"(p->a));
      break;
    case kPokeHeld:
      npu::wait_flag<npu::kScalar, npu::kVector>(1);
      npu::issue<npu::kVector>(reinterpret_cast<const void*>(p->a));
      npu::set_flag<npu::kVector, npu::kScalar>(2);
      *reinterpret_cast<volatile uint64_t*>(NPU_LOCAL_SRAM_BASE) = p->b;
      asm volatile(".insn r 0x0b, 1, 0, x0, %0, x0" ::"r"(flag) : "memory");
      npu::wait_flag<npu::kVector, npu::kScalar>(2);
      break;
    default:
      break;
  }
}
