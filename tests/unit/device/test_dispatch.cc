// SPDX-License-Identifier: Apache-2.0
//
// Dispatch under load, with the real firmware: nothing lost and nothing out of order, fair turns, as many queues as
// there can be; and four cores on four threads with everything at once.
#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "firmware_host.h"

namespace {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kPackets = 3000;
constexpr uint32_t kLives = 2, kMixedRounds = 16;
#else
constexpr uint64_t kPackets = 100000;
constexpr uint32_t kLives = 4, kMixedRounds = 40;
#endif
constexpr uint32_t kQueues = 64;
constexpr uint64_t kArgs = rig::kData + 0x8000, kSrc = 0x1800000, kDst = 0x2000000;

// Fails when nothing has moved for a minute, however long all of it takes.
template <class Progress, class Done>
bool WhileMoving(Progress&& progress, Done&& done) {
  uint64_t last = progress();
  auto moved = std::chrono::steady_clock::now();
  while (!done()) {
    const uint64_t now = progress();
    if (now != last) last = now, moved = std::chrono::steady_clock::now();
    if (std::chrono::steady_clock::now() - moved > std::chrono::seconds(60)) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Packet n of a queue waits for the value n - 1 of its word or is a launch, and signals n: any loss, repetition or
// change of order stops the queue for good.
void Stress(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  for (uint32_t q = 0; q < kQueues; ++q) h.CreateQueue(q, 1);
  auto produce = [&h](uint32_t first) {
    for (bool more = true; more;) {
      more = false;
      bool full = true;
      for (uint32_t q = first; q < kQueues; q += 2) {
        const uint64_t at = kFence + q * 8, sent = h.wptr(q), room = 250 - (sent - h.Rptr(q));
        const uint64_t batch = std::min({room, kPackets - sent, uint64_t{100}});
        for (uint64_t n = sent + 1; n <= sent + batch; ++n) {
          if (n % 1000 == 1)
            h.Push(q, rig::WithSignal(rig::Launch(rig::kNull, 0, 1 + q % 6), Dev(at), n));
          else
            h.Push(q, rig::WithSignal(rig::Wait(Dev(at), n - 1, NPU_WAIT_EQ), Dev(at), n));
        }
        if (batch) h.Ring(q), full = false;
        more |= sent + batch < kPackets;
      }
      if (full) std::this_thread::yield();
    }
  };
  std::thread a(produce, 0), b(produce, 1);
  const bool done = WhileMoving(
      [&] {
        uint64_t sum = 0;
        for (uint32_t q = 0; q < kQueues; ++q) sum += h.Rptr(q);
        return sum;
      },
      [&] {
        for (uint32_t q = 0; q < kQueues; ++q)
          if (h.Rptr(q) != kPackets) return false;
        return true;
      });
  if (!done) fail_msg("a queue stands still");
  a.join();
  b.join();
  for (uint32_t q = 0; q < kQueues; ++q) {
    assert_true(h.Load(kFence + q * 8) == kPackets);
    assert_true(h.Status(q).counters.launches == (kPackets + 999) / 1000);
    assert_int_equal(h.QueueState(q), NPU_QUEUE_OK);
  }
}

// Queues of one priority that always have work get equal shares, launch by launch and block by block, also when one of
// them has launches of many blocks.
void Fairness(void** state) {
  constexpr uint32_t kShare = 8, kEach = 200;
  Host h(state, 1);
  h.Boot();
  h.CreateContext(1);
  h.Store(kArgs, 500);
  for (uint32_t q = 0; q < kShare; ++q) h.CreateQueue(q, 1);
  h.device().Pause();
  for (uint32_t q = 0; q < kShare; ++q) {
    for (uint32_t i = 0; i < kEach; ++i) h.Push(q, rig::Launch(rig::kLoop, Dev(kArgs), q == 0 ? 10 : 1));
    h.Ring(q);
  }
  h.device().Resume();
  const auto blocks = [&h](uint32_t q) {
    // Blocks of the launch in work are not in the counters yet.
    return h.Status(q).counters.blocks;
  };
  // Caught in the middle: nobody has run out of work, so the numbers tell the shares.
  uint64_t least = 0, most = 0;
  assert_true(h.Until([&] { return blocks(1) >= kEach / 3; }));
  h.device().Pause();
  least = ~uint64_t{0};
  for (uint32_t q = 1; q < kShare; ++q) {
    least = std::min(least, blocks(q));
    most = std::max(most, blocks(q));
  }
  const uint64_t wide = blocks(0);
  h.device().Resume();
  // A worker does up to 32 tasks in a row before it looks at everybody's.
  if (most < kEach) {
    assert_true(most - least <= 16);
    assert_true(wide + 10 + 16 >= least && wide <= most + 10 + 16);
  }
  for (uint32_t q = 0; q < kShare; ++q) {
    assert_true(h.Done(q));
    assert_true(h.Status(q).counters.launches == kEach);
  }
}

constexpr uint64_t kRingsAt = 0x2200000;

// A queue with a ring of its own, of 64 packets, for numbers beyond 63.
void CreateSmallQueue(Host& h, uint32_t queue, uint32_t priority) {
  h.WriteQueue(queue, 1, priority);
  auto* desc = reinterpret_cast<npu_queue_desc*>(h.vram() + rig::kQueueTable) + queue;
  desc->ring_addr = kRingsAt + queue * NPU_PAGE_SIZE;
  desc->ring_log2 = 6;
  assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_CREATE, queue), NPU_ADMIN_OK);
}

void PutPacket(Host& h, uint32_t queue, uint32_t index, const npu_packet& packet) {
  memcpy(h.vram() + kRingsAt + queue * NPU_PAGE_SIZE + index % 64 * NPU_PACKET_BYTES, &packet, sizeof(packet));
}

// A thousand queues hand a token on in a circle: one works, all others wait, most of them without a slot.  Each step
// wakes the one that waits for it.
void Circle(void** state) {
  constexpr uint32_t kAll = 1000, kStep = 389, kLaps = rig::kSanitized ? 1 : 3;
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  for (uint32_t q = 0; q <= kAll; ++q) CreateSmallQueue(h, q, 1);
  const auto sum = [&h] {
    uint64_t done = 0;
    for (uint32_t q = 0; q < kAll; ++q) done += h.Rptr(q);
    return done;
  };
  for (uint32_t round = 0; round < 2; ++round) {  // words in device memory, then in host memory
    const auto word = [round](uint32_t q) { return (round ? rig::Hst(rig::kHostData) : Dev(kFence)) + 8 * q; };
    for (uint32_t q = 0; q < kAll; ++q) {
      const uint32_t next = (q + kStep) % kAll;
      for (uint32_t lap = 1; lap <= kLaps; ++lap)
        PutPacket(h, q, round * kLaps + lap - 1,
                  rig::WithSignal(rig::Wait(word(q), lap), word(next), next == 0 ? lap + 1 : lap));
      h.Doorbell(q, (round + 1) * kLaps);
    }
    PutPacket(h, kAll, round, Signal(word(0), 1));
    h.Doorbell(kAll, round + 1);
    const auto begun = std::chrono::steady_clock::now();
    assert_true(WhileMoving(sum, [&] { return sum() == uint64_t{kAll} * kLaps * (round + 1); }));
    const auto took = std::chrono::steady_clock::now() - begun;
    print_message("# %u queues in a circle, %s memory: %.2f ms a lap\n", kAll, round ? "host" : "device",
                  std::chrono::duration<double, std::milli>(took).count() / kLaps);
  }
}

// More busy queues of a higher priority than there are slots, and they do not end: one of a lower priority gets its
// turn all the same.
void Starvation(void** state) {
  constexpr uint32_t kBusy = 20;
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  for (uint32_t q = 0; q < kBusy; ++q) CreateSmallQueue(h, q, 1);
  CreateSmallQueue(h, kBusy, 0);
  for (uint32_t q = 0; q < kBusy; ++q) {
    PutPacket(h, q, 0, rig::Launch(rig::kNull, 0, 1u << 30));
    h.Doorbell(q, 1);
  }
  for (uint64_t n = 1; n <= 3; ++n) {
    PutPacket(h, kBusy, static_cast<uint32_t>(n - 1), rig::WithSignal(rig::Launch(rig::kNull, 0, 8), Dev(kFence), n));
    h.Doorbell(kBusy, n);
    assert_true(h.Until([&] { return h.Load(kFence) == n; }));
  }
  for (uint32_t q = 0; q < kBusy; ++q) {
    assert_true(h.Rptr(q) == 0);
    assert_int_equal(h.QueueState(q), NPU_QUEUE_OK);
    assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_DESTROY, q), NPU_ADMIN_OK);
  }
}

// All the queues that there can be, each with a ring of its own, rung all at once, over and over.
void AllQueues(void** state) {
  constexpr uint32_t kAll = NPU_MAX_QUEUES, kRounds = 5, kEach = 12;
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  for (uint32_t q = 0; q < kAll; ++q) CreateSmallQueue(h, q, q % 3);
  assert_int_equal(h.Get(NPU_REG_ACTIVE_QUEUES), kAll);
  for (uint32_t q = 0; q < kAll; ++q)
    for (uint32_t i = 0; i < kRounds * kEach; ++i) {
      const uint64_t at = kFence + 8 * q;
      const npu_packet packet = i % 4 ? rig::WithSignal(rig::Wait(Dev(at), i, NPU_WAIT_EQ), Dev(at), i + 1)
                                      : rig::WithSignal(rig::Launch(rig::kNull, 0, 1 + q % 5), Dev(at), i + 1);
      PutPacket(h, q, i, packet);
    }
  for (uint32_t round = 1; round <= kRounds; ++round)
    for (uint32_t q = 0; q < kAll; ++q) h.Doorbell(q, round * kEach);
  const auto sum = [&h] {
    uint64_t done = 0;
    for (uint32_t q = 0; q < kAll; ++q) done += h.Rptr(q);
    return done;
  };
  assert_true(WhileMoving(sum, [&] { return sum() == kAll * kRounds * kEach; }));
  for (uint32_t q = 0; q < kAll; ++q) assert_true(h.Load(kFence + 8 * q) == kRounds * kEach);
}

// Four cores on four threads: launches with and without barriers, copies, fills, waits and signals across queues, while
// the host invalidates translations, suspends and resumes queues, injects hangs and memory errors, resets cores and the
// device.  What was not disturbed ends well; after each reset of the device all of it works again.
void Mixed(void**) {
  uint32_t threads = 4, *pointer = &threads;
  Host h(reinterpret_cast<void**>(&pointer), 4);
  std::mt19937_64 random(7);
  constexpr uint32_t kMixed = 24;
  for (uint32_t life = 0; life < kLives; ++life) {
    memset(h.host(), 0, rig::kHost);
    h.Forget();
    h.Boot();
    h.CreateContext(1);
    h.CreateContext(2);
    h.Store(kArgs, Dev(kDst));
    h.Store(kArgs + 8, 3000);
    for (uint32_t q = 0; q < kMixed; ++q) {
      h.Store(kFence + 8 * q, 0);
      h.CreateQueue(q, 1 + q % 2, 300000000);
    }
    const uint32_t hung = h.hangs();
    // Queue 0 is never disturbed but by resets of cores, and runs copies only.
    for (uint32_t round = 0; round < kMixedRounds; ++round) {
      for (uint32_t q = 0; q < kMixed; ++q) {
        if (h.wptr(q) - h.Rptr(q) > 200) continue;
        npu_packet fill = rig::Packet(NPU_PKT_FILL);
        fill.u.fill.dst = Dev(kDst + 0x10000 + q * 0x1000);
        fill.u.fill.bytes = 4096;
        fill.u.fill.pattern_bytes = 4;
        h.Push(q, rig::Copy(Dev(kDst + 0x100000 + q * 0x10000), Dev(kSrc), 0x8000));
        h.Push(q, fill);
        if (q) {
          h.Push(q, rig::Launch(rig::kLoop, Dev(kArgs + 8), 1 + static_cast<uint32_t>(random() % 9)));
          h.Push(q, rig::Launch(rig::kBarrier, Dev(kArgs), 4));
        }
        h.Submit(q, Signal(Dev(kFence + 8 * q), round + 1));
      }
      const auto q = static_cast<uint32_t>(1 + random() % (kMixed - 1));
      switch (round % 8) {
        case 0:
          h.Set(NPU_REG_TLB_INV, round % 16 ? 1 : NPU_TLB_INV_ALL);
          // Whichever launch is next: the watchdog kills its queue.
          assert_int_equal(h.Inject(NPU_INJ_HANG, 1, 0), 0);
          break;
        case 1:
          h.Admin(NPU_ADMIN_QUEUE_SUSPEND, q, round / 8 % 2);
          h.Admin(NPU_ADMIN_QUEUE_RESUME, q, NPU_RESUME_CONTINUE);
          break;
        case 2:
          h.Admin(NPU_ADMIN_CORE_RESET, 1 + random() % 15);
          break;
        case 3:
          h.Inject(NPU_INJ_ECC_CE, 2, kSrc + random() % 0x8000);
          break;
        case 4:
          h.device().Pause();
          h.device().Resume();
          break;
        case 5:
          h.Inject(NPU_INJ_ECC_UE, 1, NPU_INJ_SRAM(random() % 4, random() % 0x100000));
          break;
        case 6:
          h.Admin(NPU_ADMIN_QUEUE_DESTROY, kMixed - 1);
          h.CreateQueue(kMixed - 1, 2, 300000000);
          h.Restart(kMixed - 1);
          break;
        default:
          for (uint32_t s = 1; s < kMixed; ++s)
            if (h.QueueState(s) == NPU_QUEUE_FAULTED) h.Admin(NPU_ADMIN_QUEUE_RESUME, s, NPU_RESUME_SKIP);
      }
    }
    // It was no quiet life: launches hung, which the watchdog saw.
    assert_true(h.Until([&] { return h.hangs() > hung && h.Get(NPU_REG_FAULT_COUNT, 8) > 0; }));
    assert_true(h.Get(NPU_REG_INJ_DONE, 8) > h.hangs() - hung);  // and memory had errors
    assert_true(h.Done(0));
    assert_true(h.Load(kFence) > 0);
    assert_int_equal(h.QueueState(0), NPU_QUEUE_OK);
    if (life % 2) {
      h.Set(NPU_REG_CTRL, NPU_CTRL_RESET);
      assert_true(h.Until([&] { return h.Get(NPU_REG_MAGIC) == NPU_MAGIC; }));
    } else {
      h.device().Reset(NPU_MODEL_RESET_FLR);
    }
  }
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test_prestate(Stress, &g_three), NPU_CASE(Fairness),   cmocka_unit_test_prestate(AllQueues, &g_three),
      cmocka_unit_test_prestate(Circle, &g_three), NPU_CASE(Starvation), cmocka_unit_test(Mixed)};
  return cmocka_run_group_tests_name("device.dispatch", tests, nullptr, nullptr);
}
