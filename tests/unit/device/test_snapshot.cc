// SPDX-License-Identifier: Apache-2.0
//
// Saved and loaded devices: work in flight goes on to the same results and counters, and bad data is refused.
#include <bit>
#include <cmath>
#include <random>

#include "firmware_host.h"

namespace {

constexpr uint64_t kArgs = rig::kData + 0x1000, kOut = rig::kData + 0x100000;

std::vector<uint8_t> Saved(Host& h) {
  std::string error;
  std::vector<uint8_t> data = h.device().Save(&error);
  assert_string_equal(error.c_str(), "");
  assert_true(data.size() > NPU_MG_SRAM_BYTES);
  return data;
}

std::string LoadError(Host& h, std::span<const uint8_t> data) {
  std::string error;
  bool good = h.device().Load(data, &error);
  assert_true(good == error.empty());
  return error;
}

// To another device, with other threads, and on.
void Move(Host& h, uint32_t threads) {
  assert_true(h.device().Drain(60000));
  h.device().Pause();
  const std::vector<uint8_t> data = Saved(h);
  h.Replace(threads);
  h.device().Pause();
  assert_string_equal(LoadError(h, data).c_str(), "");
  assert_true(Saved(h).size() == data.size());
  h.device().Resume();
}

constexpr uint32_t kQueues = 24;  // more than slots
constexpr uint32_t kRounds = rig::kSanitized ? 3 : 12;

// Launches of all kinds, copies, indirect buffers and waits for other queues; several milliseconds of work.
void SubmitRound(Host& h, uint32_t round) {
  for (uint32_t q = 0; q < kQueues; ++q) {
    const uint64_t args = kArgs + (q * 64 + round * 4) * 8;
    h.Store(args, Dev(kOut + q * 0x1000));
    h.Store(args + 8, 3000 + 17 * q);
    h.Push(q, rig::Launch(rig::kStore, Dev(args), 20 + round + q));
    h.Push(q, rig::Launch(rig::kLoop, Dev(args + 8), 9));
    h.Push(q, rig::Launch(rig::kBarrier, Dev(args), 4));
    h.Push(q, rig::Copy(Dev(0x2000000 + q * 0x20000), Dev(0x1800000), 0x18000));
    h.Push(q, rig::Wait(Dev(kFence + (q + 1) % kQueues * 8), round));  // the neighbour's last round
    h.Submit(q, Signal(Dev(kFence + q * 8), round + 1));
  }
}

struct Outcome {
  std::vector<npu_counters> counters;
  std::vector<uint64_t> words;
  uint64_t cycles;
};

Outcome Work(void** state, uint32_t moves) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateContext(2);
  for (uint32_t q = 0; q < kQueues; ++q) h.CreateQueue(q, 1 + q % 2);
  uint32_t in_flight = 0;
  for (uint32_t round = 0; round < kRounds; ++round) {
    SubmitRound(h, round);
    if (round >= moves) continue;
    Move(h, 1 + round % 3);
    for (uint32_t q = 0; q < kQueues; ++q) in_flight += h.Rptr(q) != h.wptr(q);
  }
  assert_true(moves == 0 || in_flight > 0);
  for (uint32_t q = 0; q < kQueues; ++q) {
    assert_true(h.Done(q));
    assert_int_equal(h.QueueState(q), NPU_QUEUE_OK);
  }
  Outcome outcome{{}, {}, h.Get(NPU_REG_TIME_CYCLES, 8)};
  for (uint32_t q = 0; q < kQueues; ++q) {
    outcome.counters.push_back(h.Status(q).counters);
    for (uint32_t i = 0; i < 64; ++i) outcome.words.push_back(h.Load(kOut + q * 0x1000 + i * 8));
  }
  // The management core lives on.
  for (uint32_t q = 0; q < kQueues; ++q) assert_int_equal(h.Admin(NPU_ADMIN_QUEUE_DESTROY, q), NPU_ADMIN_OK);
  assert_int_equal(h.Admin(NPU_ADMIN_CTX_DESTROY, 1), NPU_ADMIN_OK);
  return outcome;
}

void WorkInFlight(void** state) {
  const Outcome quiet = Work(state, 0), moved = Work(state, kRounds);
  assert_memory_equal(quiet.counters.data(), moved.counters.data(), quiet.counters.size() * sizeof(npu_counters));
  assert_true(quiet.words == moved.words && quiet.cycles == moved.cycles);
}

void Faulted(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(3, 1);
  h.CreateQueue(4, 1);
  h.Push(3, Signal(0, 1));
  h.Submit(3, Signal(Dev(kFence), 5));
  assert_true(h.Faulted(3));
  h.Submit(4, rig::Wait(Dev(kFence), 5));
  h.Set(NPU_REG_EVENT_MASK, NPU_EVENT_FAULT);
  const uint64_t before = h.Get(NPU_REG_TIME_NS, 8);
  Move(h, 2);
  assert_true(h.Get(NPU_REG_TIME_NS, 8) > before && h.Get(NPU_REG_TIME_NS, 8) < before + 60'000'000'000);
  assert_int_equal(h.Get(NPU_REG_EVENT_MASK), NPU_EVENT_FAULT);
  assert_int_equal(h.Get(NPU_REG_FAULT_COUNT, 8), 1);
  assert_true(h.Rptr(4) == 0);
  h.Resume(3, NPU_RESUME_SKIP);
  assert_true(h.Done(3) && h.Done(4));
  h.Submit(3, Signal(0, 1));
  assert_true(h.Faulted(3));
  assert_true(h.Fault(1, 1).seq == 2);  // the ring's numbers go on
}

// Errors in memory, armed and counted ones travel too.
void MemoryErrors(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1);
  assert_int_equal(h.Inject(NPU_INJ_ECC_UE, 1, rig::kData + 0x8000), 0);
  assert_int_equal(h.Inject(NPU_INJ_LINK, 3, 0), 0);
  for (uint32_t i = 0; i < 4; ++i) h.Submit(0, Signal(Dev(kFence), i));  // each tells the host once at least
  assert_true(h.Done(0));
  assert_true(h.Until([&] { return h.Get(NPU_REG_LINK_ERRORS, 8) == 3; }));
  Move(h, 2);
  assert_int_equal(h.Get(NPU_REG_LINK_ERRORS, 8), 3);
  h.Submit(0, rig::Copy(Dev(kOut), Dev(rig::kData + 0x8000), 64));
  assert_true(h.Faulted(0));
  assert_int_equal(h.Fault(1, 0).kind, NPU_FAULT_ECC);
  assert_int_equal(h.Get(NPU_REG_ECC_UE, 8), 1);
}

// A block that does not end: refused with a sentence, and the device goes on.
void MiddleOfABlock(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1);
  h.Store(kArgs, 0);
  h.Submit(0, rig::Launch(rig::kUntil, Dev(kArgs), 1));
  assert_true(h.Until([&] { return h.Get(NPU_CORE_OFFSET + NPU_CORE_QUEUE) == 1; }));
  std::string error;
  assert_true(h.device().Save(&error).empty());
  assert_true(error == "the device is not paused");
  assert_false(h.device().Drain(20));
  h.device().Pause();
  assert_true(h.device().Save(&error).empty());
  assert_non_null(strstr(error.c_str(), "in the middle of block 0 of queue 0"));
  h.device().Resume();
  h.Store(kArgs, 1);
  assert_true(h.Done(0));
  h.Submit(0, rig::Launch(rig::kNull, 0, 50));  // the drain is over
  assert_true(h.Done(0));
  assert_true(h.device().Drain(60000));
  h.Submit(0, rig::Launch(rig::kNull, 0, 50));
  h.device().Resume();  // also without a pause
  assert_true(h.Done(0));
}

// Nothing ends a drain but the resume after it: neither an injection nor a reset of the device's, both of which have
// the engines stand still for a moment.
void DrainLasts(void** state) {
  Host h(state);
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1);
  h.CreateQueue(1, 1);
  assert_true(h.device().Drain(60000));
  assert_int_equal(h.Inject(NPU_INJ_ECC_CE, 1, rig::kData + 0x8000), 0);
  assert_true(h.Until([&] { return h.Get(NPU_REG_INJ_DONE, 8) == 1; }));
  h.Submit(0, rig::Launch(rig::kNull, 0, 50));
  assert_true(h.Until([&] { return h.Get(NPU_REG_ACTIVE_QUEUES) == 2 && h.Get(NPU_SLOT_OFFSET + NPU_SLOT_STATE); }));
  // Workers take turns at packets, blocks and copies: by the end of these a block would have begun.
  for (uint32_t i = 0; i < 40; ++i) h.Push(1, rig::Copy(Dev(0x2000000), Dev(0x1800000), 64));
  h.Ring(1);
  assert_true(h.Done(1));
  for (uint32_t core = 0; core < 4; ++core)
    assert_int_equal(h.Get(NPU_CORE_OFFSET + core * NPU_CORE_STRIDE + NPU_CORE_BLOCKS, 8), 0);
  assert_true(h.device().Drain(60000));
  h.device().Resume();
  assert_true(h.Done(0));
}

// A busy device's bytes, for the tests below.
std::vector<uint8_t> BusyBytes(Host& h) {
  h.Boot();
  h.CreateContext(1);
  h.CreateContext(2);
  for (uint32_t q = 0; q < kQueues; ++q) h.CreateQueue(q, 1 + q % 2);
  SubmitRound(h, 0);
  assert_true(h.device().Drain(60000));
  h.device().Pause();
  return Saved(h);
}

// Whatever was loaded or refused, the device can be reset and used.
void StillUsable(Host& h) {
  h.device().Resume();
  h.device().Reset(NPU_MODEL_RESET_FLR);
  h.Forget();
  h.Boot();
  h.CreateContext(1);
  h.CreateQueue(0, 1);
  h.Store(kFence, 0);
  h.Submit(0, Signal(Dev(kFence), 1));
  assert_true(h.Done(0));
}

void Truncated(void** state) {
  Host h(state);
  const std::vector<uint8_t> data = BusyBytes(h);
  for (size_t bytes = 0; bytes < data.size(); bytes += 1 + bytes / 16)
    assert_true(!LoadError(h, {data.data(), bytes}).empty());
  assert_true(!LoadError(h, {data.data(), data.size() - 1}).empty());
  std::vector<uint8_t> longer = data;
  longer.push_back(0);
  assert_true(!LoadError(h, longer).empty());
  StillUsable(h);
}

// Random damage: refused, or a state that the device can live with.
void Damaged(void** state) {
  Host h(state);
  const std::vector<uint8_t> data = BusyBytes(h);
  std::mt19937 random(1);
  uint32_t taken = 0, refused = 0;
  for (uint32_t i = 0; i < 150; ++i) {
    std::vector<uint8_t> bad = data;
    for (uint32_t n = 1 + random() % 8; n; --n) {
      // Half of them where the structure is: SRAM images fill the rest.
      const size_t at = random() % 2 ? random() % bad.size() : random() % 60000;
      bad[at] = random() % 3 ? static_cast<uint8_t>(random()) : static_cast<uint8_t>(bad[at] ^ 1u << random() % 8);
    }
    const bool good = LoadError(h, bad).empty();
    ++(good ? taken : refused);
    if (!good) continue;
    h.device().Resume();
    for (uint32_t q = 0; q < kQueues; ++q) h.Ring(q);
    h.Mg(NPU_MG_CORE_STUCK, 8);
    h.device().Describe();
    h.device().Pause();
  }
  assert_true(taken > 0 && refused > 0);
  StillUsable(h);
}

// The contents of the n-th section; see StateWriter.
uint8_t* Section(std::vector<uint8_t>& data, uint32_t n) {
  size_t at = 40;  // behind magic number, versions and configuration
  for (;; --n) {
    uint64_t length;
    memcpy(&length, &data.at(at + 4), sizeof(length));
    if (!n) return &data.at(at + 12);
    at += 12 + length;
  }
}

// Values that would only do harm later: sensors that stand still, numbers that become no integer, unknown events.
void Hostile(void** state) {
  Host h(state);
  const std::vector<uint8_t> data = BusyBytes(h);
  struct Case {
    uint32_t section, at;
    uint64_t value;
    const char* why;
  };
  constexpr uint32_t kRegisters = 0, kSensors = 1;
  const auto number = [](double v) { return std::bit_cast<uint64_t>(v); };
  const Case cases[] = {
      {kRegisters, 0, uint64_t{1} << 62, "the device's time"}, {kRegisters, 8, uint64_t{1} << 31, "an event"},
      {kRegisters, 12, uint64_t{1} << 31, "an event"},         {kSensors, 4, uint64_t{1} << 61, "in the future"},
      {kSensors, 24, uint64_t{1} << 61, "in the future"},      {kSensors, 32, number(-1), "what it never can"},
      {kSensors, 32, number(1e19), "what it never can"},       {kSensors, 40, number(-1e15), "what it never can"},
      {kSensors, 40, number(NAN), "what it never can"},        {kSensors, 48, number(1e17), "energy has fallen"},
      {kSensors, 56, number(-INFINITY), "what it never can"},
  };
  for (const Case& c : cases) {
    std::vector<uint8_t> bad = data;
    memcpy(Section(bad, c.section) + c.at, &c.value, c.section == kRegisters && c.at ? 4 : 8);
    const std::string error = LoadError(h, bad);
    if (error.find(c.why) == std::string::npos) std::cerr << c.section << " " << c.at << ": " << error << "\n";
    assert_non_null(strstr(error.c_str(), c.why));
  }
  assert_string_equal(LoadError(h, data).c_str(), "");
  StillUsable(h);
}

// What was refused leaves nothing, not even errors in memory, which resets keep.
void RefusedErrors(void** state) {
  Host h(state);
  h.Boot();
  assert_int_equal(h.Inject(NPU_INJ_ECC_UE, 1, rig::kData + 0x8000), 0);
  assert_true(h.Until([&] { return h.Get(NPU_REG_INJ_DONE, 8) == 1; }));
  h.device().Pause();
  const std::vector<uint8_t> data = Saved(h);
  h.Replace(1);
  h.device().Pause();
  assert_true(!LoadError(h, {data.data(), data.size() - 1}).empty());
  StillUsable(h);
  h.Submit(0, rig::Copy(Dev(kOut), Dev(rig::kData + 0x8000), 64));
  assert_true(h.Done(0));
  assert_int_equal(h.Get(NPU_REG_ECC_UE, 8), 0);
}

void OtherDevice(void** state) {
  Host h(state);
  const std::vector<uint8_t> data = BusyBytes(h);
  Host other(state, 2);
  other.device().Pause();
  assert_non_null(strstr(LoadError(other, data).c_str(), "another number of cores"));
  other.device().Resume();
  std::string error;
  assert_false(other.device().Load(data, &error));
  assert_non_null(strstr(error.c_str(), "not paused"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {NPU_CASE(WorkInFlight),   NPU_CASE(Faulted),    NPU_CASE(MemoryErrors),
                              NPU_CASE(MiddleOfABlock), NPU_CASE(Truncated),  NPU_CASE(Damaged),
                              NPU_CASE(OtherDevice),    NPU_CASE(DrainLasts), NPU_CASE(Hostile),
                              NPU_CASE(RefusedErrors)};
  return cmocka_run_group_tests_name("device.snapshot", tests, nullptr, nullptr);
}
