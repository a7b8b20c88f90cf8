// SPDX-License-Identifier: Apache-2.0
//
// The machine around the hart: life cycle, crashes, hangs, sleep, NVRAM, pause and reset.
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <thread>

#include "rig.h"
#include "suite.h"

namespace {

std::chrono::nanoseconds ProcessCpuTime() {
  timespec now;
  assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

// A directory of its own for a test's files.
struct Scratch {
  Scratch() { assert_non_null(mkdtemp(path)); }
  ~Scratch() {
    unlink(file().c_str());
    rmdir(path);
  }
  std::string file() const { return std::string(path) + "/nvram"; }
  char path[32] = "/tmp/npu-mgmt-XXXXXX";
};

std::vector<uint8_t> Contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void CrashIsReported(void**) {
  Rig rig;
  rig.LoadProbe(1);
  rig.Expect(NPU_FW_STATE_CRASHED);
  assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_TRAP);
  assert_int_equal(rig.mgmt->error_info(), 5);  // load access fault
  assert_true(rig.mgmt->crash_pc() > NPU_MG_SRAM_BASE);
  rig.Boot();  // a crashed core takes a good package
  assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_NONE);
}

void NarrowAccessIsRefused(void**) {
  Rig rig;
  rig.LoadProbe(6);
  rig.Expect(NPU_FW_STATE_CRASHED);
  assert_int_equal(rig.mgmt->error_info(), 5);
}

void WildJump(void**) {
  Rig rig;
  rig.LoadProbe(8);
  rig.Expect(NPU_FW_STATE_CRASHED);
  assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_TRAP);
  assert_int_equal(rig.mgmt->error_info(), 1);  // fetch access fault
  assert_int_equal(rig.mgmt->crash_pc(), 0x1234);
}

// No handshake: the state stays BOOT, and the core can be stopped.
void SilentFirmware(void**) {
  Rig rig;
  rig.LoadProbe(2);
  rig.Expect(NPU_FW_STATE_BOOT);
  rig.mgmt->LoadFirmware(0, 100);
  assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_BUSY);
  assert_int_equal(rig.mgmt->state(), NPU_FW_STATE_BOOT);
  rig.mgmt->Stop();
  rig.Expect(NPU_FW_STATE_OFF);
  assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_NONE);
}

void HangIsFound(void**) {
  Rig rig;
  rig.LoadProbe(3);
  rig.Expect(NPU_FW_STATE_CRASHED);
  assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_HEARTBEAT);
  rig.Boot();
}

// A firmware that only traps can still be paused and stopped.
void TrapLoop(void**) {
  Rig rig;
  rig.LoadProbe(4);
  rig.Expect(NPU_FW_STATE_READY);
  rig.mgmt->Pause();
  rig.mgmt->Resume();
  rig.mgmt->Stop();
  rig.Expect(NPU_FW_STATE_OFF);
}

void TimerWakes(void**) {
  Rig rig;
  const auto start = std::chrono::steady_clock::now();
  rig.LoadProbe(7);
  rig.Expect(NPU_FW_STATE_READY);
  assert_true(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(30));
}

void StopThenLoad(void**) {
  Rig rig;
  rig.LoadProbe(9);
  rig.Expect(NPU_FW_STATE_READY);
  rig.mgmt->Stop();
  rig.Load(ControlPackage());  // at once: it waits for the stop
  assert_true(rig.device.WaitFor([&] { return rig.mgmt->version() != 0; }));
  rig.Expect(NPU_FW_STATE_READY);
  rig.mgmt->Stop();
  rig.mgmt->Stop();
  rig.Expect(NPU_FW_STATE_OFF);
}

// Interrupts from many threads at once: each is seen, none blocks.
void InterruptStorm(void**) {
  Rig rig;
  rig.LoadProbe(9);
  rig.Expect(NPU_FW_STATE_READY);
  const uint32_t before = rig.mgmt->heartbeat();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) rig.mgmt->RaiseIrq(NPU_MG_IRQ_MBOX);
    });
  for (std::thread& thread : threads) thread.join();
  // The storm may be folded; the last one may not be lost.
  uint32_t last = rig.mgmt->heartbeat();
  for (int i = 0; i < 50; ++i) {
    rig.mgmt->RaiseIrq(NPU_MG_IRQ_MBOX);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (rig.mgmt->heartbeat() == last) {
      assert_true(std::chrono::steady_clock::now() < deadline);
      std::this_thread::yield();
    }
    // Folded interrupts of the storm may still count up; what matters is that it moves each time.
    last = rig.mgmt->heartbeat();
  }
  assert_true(last != before);
}

// An idle firmware sleeps for real.
void IdleCostsNothing(void**) {
  Rig rig;
  rig.Boot();
  const uint32_t heartbeat = rig.mgmt->heartbeat();
  const auto before = ProcessCpuTime();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  assert_true(ProcessCpuTime() - before < std::chrono::milliseconds(5));
  assert_true(rig.mgmt->heartbeat() - heartbeat <= 2);
}

void PauseStandsStill(void**) {
  Rig rig;
  rig.Boot();
  rig.mgmt->Pause();
  const uint32_t heartbeat = rig.mgmt->heartbeat();
  const uint32_t seq = rig.Send(NPU_ADMIN_HELLO, {NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  assert_int_equal(rig.mgmt->heartbeat(), heartbeat);
  rig.mgmt->Resume();
  assert_int_equal(rig.Receive(seq).status, NPU_ADMIN_OK);
}

// NPU_MG_TIME stands still while paused: the watchdog does not take a pause for a hang.
void PauseIsNoTimeout(void**) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kTimeout = std::chrono::milliseconds(400);
  for (int tries = 0; tries < 50; ++tries) {
    Rig rig;
    rig.Boot();
    rig.CreateContext(1);
    rig.device.SetBehaviour(3, Behaviour::kHold);
    rig.CreateQueue(3, 1, 400'000'000);
    const auto rung = Clock::now();
    rig.device.Ring(3, 1);
    rig.mgmt->Pause();
    const auto paused = Clock::now();
    std::this_thread::sleep_for(kTimeout * 7 / 4);
    const auto ends = Clock::now();
    rig.mgmt->Resume();
    rig.device.FinishPackets(3, 1);
    const auto finished = Clock::now();
    const uint64_t event = rig.Command(NPU_ADMIN_GET_EVENT).arg[0];
    // A host that was away for as long as the timeout proves nothing.
    if ((paused - rung) + (finished - ends) >= kTimeout / 2) continue;
    assert_int_equal(event, NPU_FW_EVENT_NONE);
    return;
  }
  fail_msg("this host never gave the test %d ms in time", 200);
}

void ResetFromEveryState(void**) {
  Rig rig;
  for (uint32_t behaviour : {1u, 2u, 3u, 4u, 7u, 9u}) {
    rig.LoadProbe(behaviour);
    rig.mgmt->Reset();
    assert_int_equal(rig.mgmt->state(), NPU_FW_STATE_OFF);
    assert_int_equal(rig.mgmt->heartbeat(), 0);
  }
  rig.Boot();
  rig.mgmt->Pause();
  rig.mgmt->Reset();
  assert_int_equal(rig.mgmt->version(), 0);
  rig.mgmt->Resume();
  rig.Boot();
}

void InjectedCrash(void**) {
  Rig rig;
  assert_false(rig.mgmt->InjectCrash());
  rig.Boot();
  assert_true(rig.mgmt->InjectCrash());
  rig.Expect(NPU_FW_STATE_CRASHED);
  assert_int_equal(rig.mgmt->error(), NPU_FW_ERR_TRAP);
  assert_int_equal(rig.mgmt->error_info(), 2);
  rig.Boot();
}

void NvramKeeps(void**) {
  Scratch scratch;
  for (int round = 1; round <= 3; ++round) {
    Rig rig(scratch.file());
    rig.LoadProbe(5);
    rig.Expect(NPU_FW_STATE_READY);
    assert_true(rig.device.WaitFor([&] { return rig.LogContains(std::to_string(round) + "!"); }));
  }
  const std::vector<uint8_t> bytes = Contents(scratch.file());
  assert_int_equal(bytes.size(), NPU_MG_NVRAM_BYTES);
  assert_int_equal(bytes[8], 3);
}

// Resets do not touch it, and without a file it lives as long as the device.
void NvramSurvivesReset(void**) {
  Rig rig;
  rig.LoadProbe(5);
  rig.Expect(NPU_FW_STATE_READY);
  rig.mgmt->Reset();
  rig.LoadProbe(5);
  rig.Expect(NPU_FW_STATE_READY);
  assert_true(rig.LogContains("2!"));
}

void NvramOfWrongSize(void**) {
  Scratch scratch;
  std::ofstream(scratch.file()) << "not an nvram";
  {
    Rig rig(scratch.file());
    assert_true(rig.LogContains("has 12 bytes, not 4096"));
    rig.LoadProbe(5);
    rig.Expect(NPU_FW_STATE_READY);
    assert_true(rig.LogContains("1!"));
  }
  assert_int_equal(Contents(scratch.file()).size(), 12);  // left as it was
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(CrashIsReported),
      cmocka_unit_test(NarrowAccessIsRefused),
      cmocka_unit_test(WildJump),
      cmocka_unit_test(SilentFirmware),
      cmocka_unit_test(HangIsFound),
      cmocka_unit_test(TrapLoop),
      cmocka_unit_test(TimerWakes),
      cmocka_unit_test(StopThenLoad),
      cmocka_unit_test(InterruptStorm),
      cmocka_unit_test(IdleCostsNothing),
      cmocka_unit_test(PauseStandsStill),
      cmocka_unit_test(PauseIsNoTimeout),
      cmocka_unit_test(ResetFromEveryState),
      cmocka_unit_test(InjectedCrash),
      cmocka_unit_test(NvramKeeps),
      cmocka_unit_test(NvramSurvivesReset),
      cmocka_unit_test(NvramOfWrongSize),
  };
  return cmocka_run_group_tests_name("mgmt.machine", tests, nullptr, nullptr);
}
