// SPDX-License-Identifier: Apache-2.0
//
// Cores that reach each other's SRAM, and atomics on words that they share: four cores on four threads.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

#include "../core/ops/cross.h"
#include "suite.h"

namespace {

using rig::Dev;
using rig::Hst;
using rig::kData;

constexpr uint64_t kOut = kData + 0x10000, kProgram = rig::kCode + 0x10000;
constexpr uint32_t kCores = 4;

struct Bench : rig::Rig {
  Bench() : Rig(kCores, kCores) {
    WriteContext(1);
    assert_int_equal(EnableContext(1), NPU_ADMIN_OK);
    std::ifstream file(CORE_TEST_OPS "/cross.bin", std::ios::binary);
    const std::vector<char> image((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    assert_true(!image.empty());
    std::memcpy(vram() + kProgram, image.data(), image.size());
    for (uint32_t q = 0; q < 3; ++q) {
      MakeQueue(q, 1);
      assert_int_equal(Map(q, q), NPU_ADMIN_OK);
    }
  }
  npu_packet Cross(uint32_t place, CrossWhat what, uint64_t rounds, uint64_t out, uint32_t blocks = kCores) {
    const CrossArgs args{static_cast<uint64_t>(what), rounds, out};
    std::memcpy(vram() + kData + place * 64, &args, sizeof(args));
    npu_packet packet = rig::Launch(rig::kNull, Dev(kData + place * 64), blocks);
    packet.u.launch.entry = Dev(kProgram);
    packet.u.launch.args_bytes = sizeof(args);
    return packet;
  }
  npu_counters Counters(uint32_t queue) {
    npu_packet packet = rig::Packet(NPU_PKT_COUNTERS);
    packet.u.counters.addr = Dev(kData + 0x8000);
    Submit(queue, packet);
    assert_true(Done(queue));
    npu_counters counters;
    std::memcpy(&counters, vram() + kData + 0x8000, sizeof(counters));
    return counters;
  }
};

// After so many rounds block b has the words that block b + 2 * rounds began with, plus rounds.
void CheckRing(const Bench& r, uint64_t out, uint32_t blocks, uint32_t rounds) {
  for (uint32_t b = 0; b < blocks; ++b)
    for (uint32_t i = 0; i < kCrossWords; ++i) {
      uint32_t word;
      std::memcpy(&word, const_cast<Bench&>(r).vram() + out + (b * kCrossWords + i) * 4, 4);
      assert_int_equal(word, (((b + 2 * rounds) % blocks) << 16 | i) + rounds);
    }
}

void Ring(void**) {
  Bench r;
  npu_counters first{};
  for (uint32_t run = 0; run < 4; ++run) {
    const npu_counters before = r.Counters(0);
    for (uint32_t blocks = 1; blocks <= kCores; ++blocks) {
      const uint64_t out = kOut + blocks * 0x10000;
      std::memset(r.vram() + out, 0, 0x10000);
      r.Submit(0, r.Cross(0, kCrossRing, 5, Dev(out), blocks));
      assert_true(r.Done(0));
      assert_int_equal(r.QueueState(0), NPU_QUEUE_OK);
      CheckRing(r, out, blocks, 5);
    }
    // The same cost every time.
    const npu_counters after = r.Counters(0);
    npu_counters cost{};
    for (size_t i = 0; i < sizeof(cost) / 8; ++i)
      reinterpret_cast<uint64_t*>(&cost)[i] =
          reinterpret_cast<const uint64_t*>(&after)[i] - reinterpret_cast<const uint64_t*>(&before)[i];
    if (run) assert_memory_equal(&cost, &first, sizeof(cost));
    first = cost;
  }
}

// Rings of three queues at once, beside launches of one block: whoever runs on a core, a ring sees only its own.
void RingsSideBySide(void**) {
  Bench r;
  for (uint32_t round = 0; round < 8; ++round) {
    for (uint32_t q = 0; q < 3; ++q) {
      r.Push(q, r.Cross(q, kCrossRing, 3 + q, Dev(kOut + q * 0x10000), 2 + (q + round) % 3));
      r.Submit(q, r.Cross(8 + q, kCrossRing, 1, Dev(kOut + 0x80000 + q * 0x10000), 1));
    }
    for (uint32_t q = 0; q < 3; ++q) {
      assert_true(r.Done(q));
      assert_int_equal(r.QueueState(q), NPU_QUEUE_OK);
      CheckRing(r, kOut + q * 0x10000, 2 + (q + round) % 3, 3 + q);
      CheckRing(r, kOut + 0x80000 + q * 0x10000, 1, 1);
    }
  }
}

void Unreachable(void**) {
  Bench r;
  const auto faults = [&](uint32_t queue, const npu_packet& packet, uint64_t window) {
    r.Submit(queue, packet);
    assert_true(r.Faulted(queue));
    const npu_fault_record f = r.Fault(1, queue);
    assert_int_equal(f.kind, NPU_FAULT_LOCAL_OOB);
    assert_int_equal(f.engine, NPU_ENGINE_DMA_IN);
    assert_int_equal(f.operand, 1);
    assert_int_equal(f.bad_bytes, 64);
    assert_int_equal(f.bad_addr / NPU_LOCAL_PEER_STRIDE, NPU_LOCAL_PEER_BASE / NPU_LOCAL_PEER_STRIDE + window);
    return f.block;
  };
  // Before the first barrier: by whichever block comes first.
  const npu_packet early = r.Cross(0, kCrossEarly, 0, 0, 1 + 1);
  r.Submit(0, early);
  assert_true(r.Faulted(0));
  assert_int_equal(r.Fault(1, 0).kind, NPU_FAULT_LOCAL_OOB);
  // A block that the launch does not have, although the core is there.
  assert_int_equal(faults(1, r.Cross(1, kCrossNobody, 3, 0, 3), 3), 0);
  assert_int_equal(faults(2, r.Cross(2, kCrossNobody, 63, 0, 4), 63), 0);
}

template <class W>
void CheckAtomics(const CrossWords<W>& now, W rounds) {
  CrossWords<W> want{};
  want.bit_and = static_cast<W>(~W{0});
  want.min_unsigned = static_cast<W>(~W{0});
  using S = std::make_signed_t<W>;
  W swapped_in = 0;
  for (W b = 0; b < kCores; ++b)
    for (W i = 1; i <= rounds; ++i) {
      const W number = b * rounds + i;
      want.add += i;
      want.exclusive_or ^= number * 2654435761u;
      want.inclusive_or |= W{1} << number % (sizeof(W) * 8 - 1);
      want.bit_and &= static_cast<W>(~(W{1} << number % 23));
      want.max_signed = static_cast<W>(std::max(static_cast<S>(want.max_signed), static_cast<S>(number - rounds)));
      want.min_signed = static_cast<W>(std::min(static_cast<S>(want.min_signed), static_cast<S>(rounds - number)));
      want.max_unsigned = std::max(want.max_unsigned, number);
      want.min_unsigned = std::min(want.min_unsigned, static_cast<W>(~number));
      swapped_in += number;
    }
  assert_true(now.add == want.add);
  assert_true(now.exclusive_or == want.exclusive_or);
  assert_true(now.inclusive_or == want.inclusive_or);
  assert_true(now.bit_and == want.bit_and);
  assert_true(now.max_signed == want.max_signed && now.min_signed == want.min_signed);
  assert_true(now.max_unsigned == want.max_unsigned && now.min_unsigned == want.min_unsigned);
  assert_true(static_cast<W>(now.taken + now.swapped) == swapped_in);
  assert_true(now.reserved == kCores * rounds);
  assert_true(now.compared == 3 * kCores * rounds);
}

// In device memory, and in host memory, where the host's atomics do it.
void Atomics(void**) {
  Bench r;
  constexpr uint32_t kRounds = 3000;
  for (const bool host : {false, true}) {
    uint8_t* at = host ? r.host() + rig::kHostData : r.vram() + kOut;
    CrossShared shared{};
    shared.wide.bit_and = shared.wide.min_unsigned = ~uint64_t{0};
    shared.narrow.bit_and = shared.narrow.min_unsigned = ~uint32_t{0};
    std::memcpy(at, &shared, sizeof(shared));
    r.Submit(0, r.Cross(0, kCrossAtomics, kRounds, host ? Hst(rig::kHostData) : Dev(kOut)));
    assert_true(r.Done(0));
    assert_int_equal(r.QueueState(0), NPU_QUEUE_OK);
    std::memcpy(&shared, at, sizeof(shared));
    CheckAtomics<uint64_t>(shared.wide, kRounds);
    CheckAtomics<uint32_t>(shared.narrow, kRounds);
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(Ring), cmocka_unit_test(RingsSideBySide), cmocka_unit_test(Unreachable),
                              cmocka_unit_test(Atomics)};
  return cmocka_run_group_tests_name("device.crosscore", tests, nullptr, nullptr);
}
