// SPDX-License-Identifier: Apache-2.0
//
// Cores that work on each other's memory, and on words that all of them share.
#include "cross.h"

#include "npu_device.h"

namespace {

using namespace npu;

__attribute__((noinline)) void Ring(const CrossArgs* args) {
  Sram sram;
  constexpr uint32_t kBytes = kCrossWords * 4;
  auto* mine = sram.alloc<uint32_t>(kCrossWords);
  auto* taken = sram.alloc<uint32_t>(kCrossWords);
  auto* given = sram.alloc<uint32_t>(kCrossWords);
  const uint32_t n = blocks(), me = block(), next = (me + 1) % n, before = (me + n - 1) % n;
  for (uint32_t i = 0; i < kCrossWords; ++i) mine[i] = me << 16 | i;
  barrier_grid();
  for (uint64_t round = 0; round < args->rounds; ++round) {
    // taken = the next block's words; given, at the block before, = what this one has taken.
    dma_in(dma(taken, peer(next, mine), kBytes));
    set_flag<kDmaIn, kDmaOut>(0);
    wait_flag<kDmaIn, kDmaOut>(0);
    dma_out(dma(peer(before, given), taken, kBytes));
    barrier_grid();
    for (uint32_t i = 0; i < kCrossWords; ++i) mine[i] = given[i] + 1;
    barrier_grid();
  }
  dma_out(dma(reinterpret_cast<uint32_t*>(args->out) + me * kCrossWords, mine, kBytes));
}

__attribute__((noinline)) void Reach(uint32_t whom) {
  Sram sram;
  auto* here = sram.alloc<uint32_t>(64);
  dma_in(dma(here, peer(whom, here), 64));
}

// Every block adds 1 .. rounds and so on; the results do not depend on the order.
template <class W, class S>
__attribute__((noinline)) void Atomics(CrossWords<W>* words, W rounds) {
  const W me = block();
  for (W i = 1; i <= rounds; ++i) {
    const W number = me * rounds + i;
    atomic_add(&words->add, i);
    atomic_xor(&words->exclusive_or, number * 2654435761u);
    atomic_or(&words->inclusive_or, W{1} << number % (sizeof(W) * 8 - 1));
    atomic_and(&words->bit_and, static_cast<W>(~(W{1} << number % 23)));
    atomic_max(reinterpret_cast<S*>(&words->max_signed), static_cast<S>(number - rounds));
    atomic_min(reinterpret_cast<S*>(&words->min_signed), static_cast<S>(rounds - number));
    atomic_max(&words->max_unsigned, number);
    atomic_min(&words->min_unsigned, static_cast<W>(~number));
    atomic_add(&words->taken, atomic_exchange(&words->swapped, number));
    W seen = 0;
    while (!atomic_compare_exchange(&words->compared, &seen, static_cast<W>(seen + 3))) {
    }
    W old, failed;
    do {
      if constexpr (sizeof(W) == 8) {
        asm volatile("lr.d.aqrl %0, (%2)\n addi %0, %0, 1\n sc.d.aqrl %1, %0, (%2)"
                     : "=&r"(old), "=&r"(failed)
                     : "r"(&words->reserved)
                     : "memory");
      } else {
        asm volatile("lr.w.aqrl %0, (%2)\n addi %0, %0, 1\n sc.w.aqrl %1, %0, (%2)"
                     : "=&r"(old), "=&r"(failed)
                     : "r"(&words->reserved)
                     : "memory");
      }
    } while (failed);
  }
}

}  // namespace

extern "C" __attribute__((section(".entry"), used)) void cross(const CrossArgs* args) {
  auto* shared = reinterpret_cast<CrossShared*>(args->out);
  switch (args->what) {
    case kCrossRing:
      Ring(args);
      break;
    case kCrossEarly:
      Reach((block() + 1) % blocks());
      barrier_grid();
      break;
    case kCrossNobody:
      barrier_grid();
      if (!block()) Reach(static_cast<uint32_t>(args->rounds));
      barrier_grid();
      break;
    case kCrossAtomics:
      Atomics<uint64_t, int64_t>(&shared->wide, args->rounds);
      Atomics<uint32_t, int32_t>(&shared->narrow, static_cast<uint32_t>(args->rounds));
      break;
    default:
      break;
  }
}
