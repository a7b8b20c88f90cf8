// SPDX-License-Identifier: Apache-2.0
//
// Null launches: from before the packet is written to the moment that the fence value is seen, one at a time and many
// deep; and what one costs in system calls, doorbells and interrupts.  The peer is a read of the machine's NVMe device.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <sstream>
#include <thread>

#include "bench.h"
#include "disk.h"
#include "npu.h"
#include "null_launch.h"

namespace npu::bench {
namespace {

constexpr unsigned kDepth = 32;

// Interrupts of all NPUs' fences since the guest's start; nullopt where no kernel driver serves them.
std::optional<uint64_t> FenceInterrupts() {
  std::ifstream in("/proc/interrupts");
  std::optional<uint64_t> sum;
  for (std::string line; std::getline(in, line);) {
    if (!line.ends_with("npu-fence")) continue;
    std::istringstream words(line);
    std::string number;
    words >> number;
    sum = sum.value_or(0);
    for (uint64_t count; words >> count;) *sum += count;  // one a CPU, then the controller's name
  }
  return sum;
}

void AddInterrupts(const char* name, std::optional<uint64_t> before, double launches, const char* note, Rows* rows) {
  const auto after = FenceInterrupts();
  if (!before || !after) return;
  rows->push_back({.name = name,
                   .value = double(*after - *before) / launches,
                   .unit = "1",
                   .larger_is_better = false,
                   .note = note});
}

template <class F>
void Sample(std::vector<double>* samples, int count, F&& run) {
  for (int i = 0; i < count; i++) {
    const double start = Seconds();
    run();
    samples->push_back(Seconds() - start);
  }
}

Row Time(const char* name, const std::vector<double>& samples, const std::vector<double>& reads,
         std::string note = {}) {
  Row row{
      .name = name, .value = Median(samples) * 1e6, .unit = "us", .larger_is_better = false, .note = std::move(note)};
  if (!reads.empty()) row.peer = "NVMe 4 KiB read", row.peer_value = Median(reads) * 1e6;
  return row;
}

// One thread launches and waits for itself.
void RoundTrips(const Options& options, Disk* disk, Rows* rows) {
  NullLauncher launcher;
  std::vector<double> polled, called, reads;
  const auto interrupts = FenceInterrupts();
  // Turn by turn, so that all see the same machine.
  for (int round = 0; round < (options.quick ? 2 : 40); round++) {
    Sample(&polled, 50, [&] {
      launcher.Launch();
      launcher.Poll();
    });
    Sample(&called, 25, [&] {
      launcher.Launch();
      launcher.WaitFor(launcher.launched());
    });
    if (disk) Sample(&reads, 25, [&] { disk->Read(); });
  }
  rows->push_back(Time("null_launch_polled", polled, reads));
  rows->push_back(Time("null_launch_wait_call", called, reads, "most have finished before the caller lies down"));
  AddInterrupts("interrupts_per_wait_call", interrupts, double(called.size()), "", rows);
}

// Runs count launches, refilling the ring to kDepth as they finish.
template <class F>
void Deep(NullLauncher* launcher, unsigned count, F&& wait_for_one) {
  const uint64_t end = launcher->launched() + count;
  uint64_t finished = launcher->launched();
  while (finished < end) {
    const uint64_t room = finished + kDepth - launcher->launched();
    if (const auto packets = static_cast<unsigned>(std::min(room, end - launcher->launched())))
      launcher->Launch(packets);
    wait_for_one(finished + 1);
    finished = launcher->Finished();
  }
}

void Depths(const Options& options, Disk* disk, Rows* rows) {
  NullLauncher launcher;
  const unsigned kCount = 2048;
  std::vector<double> polled, slept, reads;
  auto rate = [&](std::vector<double>* rates, auto&& run) {
    const double start = Seconds();
    run();
    rates->push_back(kCount / (Seconds() - start));
  };
  for (int round = 0; round < (options.quick ? 2 : 21); round++) {
    rate(&polled, [&] { Deep(&launcher, kCount, [&](uint64_t value) { launcher.PollFor(value); }); });
    rate(&slept, [&] { Deep(&launcher, kCount, [&](uint64_t value) { launcher.WaitFor(value); }); });
    if (disk) rate(&reads, [&] { disk->ReadDeep(kCount, kDepth); });
  }
  auto add = [&](const char* name, const std::vector<double>& rates) {
    Row row{.name = name, .value = Median(rates), .unit = "1/s", .note = "32 under way"};
    if (disk) row.peer = "NVMe 4 KiB reads", row.peer_value = Median(reads);
    rows->push_back(std::move(row));
  };
  add("launches_32_deep_polled", polled);
  add("launches_32_deep_wait_call", slept);
}

// Whether the thread sleeps in the kernel.
bool Asleep(pid_t thread) {
  std::ifstream in("/proc/self/task/" + std::to_string(thread) + "/stat");
  std::string line;
  std::getline(in, line);
  const size_t name_end = line.rfind(')');
  return name_end != std::string::npos && line.size() > name_end + 2 && line[name_end + 2] == 'S';
}

// A thread that sleeps in the driver for each launch that another makes.
class Sleeper {
 public:
  explicit Sleeper(NullLauncher* launcher) : launcher_(launcher), thread_([this] { Run(); }) {}

  ~Sleeper() {
    wanted_ = kEnd;
    wanted_.notify_one();
    thread_.join();
  }

  // Returns when the thread sleeps until so many launches have finished.
  void LieDown(uint64_t finished) {
    wanted_ = finished;
    wanted_.notify_one();
    // Once it has said so, it sleeps nowhere but in the driver.
    while (lies_down_ != finished || !Asleep(thread_id_)) std::this_thread::yield();
  }

  // When it ran again.  Sleeps until then.
  double Woken(uint64_t finished) {
    for (uint64_t now; (now = woken_) != finished;) woken_.wait(now);
    return woken_at_;
  }

 private:
  static constexpr uint64_t kEnd = UINT64_MAX;

  void Run() {
    thread_id_ = static_cast<pid_t>(syscall(SYS_gettid));
    for (uint64_t last = 0;;) {
      wanted_.wait(last);
      last = wanted_;
      if (last == kEnd) return;
      lies_down_ = last;
      launcher_->WaitFor(last);
      woken_at_ = Seconds();
      woken_ = last;
      woken_.notify_one();
    }
  }

  NullLauncher* launcher_;
  std::atomic<pid_t> thread_id_{0};
  std::atomic<uint64_t> wanted_{0}, lies_down_{0}, woken_{0};
  double woken_at_ = 0;  // written before woken_, read after
  std::thread thread_;   // the last member: it uses the others
};

// A waiter that sleeps in the driver: how long a launch takes that it waits for, and how long it takes to wake it.  The
// wake-up begins with the store of a word that the queue waits for.  From there to the waiter's next step is one
// clock's time, and nobody else is awake; a thread that watched for the fence meanwhile would want the waiter's
// processor.
void Interrupts(const Options& options, Disk* disk, Rows* rows) {
  NullLauncher launcher;
  Sleeper sleeper(&launcher);
  std::vector<double> round_trips, wake_ups, watched, reads;
  const uint64_t ioctls = IoctlCount();
  const auto interrupts = FenceInterrupts();
  const int rounds = options.quick ? 4 : 400;
  for (int i = 0; i < rounds; i++) {
    const uint64_t value = launcher.launched() + 1;
    const bool wake_up = i % 2;
    if (wake_up) launcher.Hold();
    sleeper.LieDown(value);
    const double start = Seconds();
    wake_up ? launcher.Release() : launcher.Launch();
    (wake_up ? wake_ups : round_trips).push_back(sleeper.Woken(value) - start);
    if (disk) Sample(&reads, 1, [&] { disk->Read(); });
  }
  const double slept = rounds;
  rows->push_back(
      Time("null_launch_interrupt", round_trips, reads, "the waiter sleeps in the driver before the launch"));
  rows->push_back({.name = "ioctls_per_sleep",
                   .value = double(IoctlCount() - ioctls) / slept,
                   .unit = "1",
                   .larger_is_better = false});
  AddInterrupts("interrupts_per_sleep", interrupts, slept, "", rows);
  // The same for one who does not sleep.
  for (int i = 0; i < rounds / 2; i++) {
    launcher.Hold();
    Sample(&watched, 1, [&] {
      launcher.Release();
      launcher.Poll();
    });
  }
  Row row = Time("wait_wake_up", wake_ups, {}, "from a store that the queue waits for to the sleeper's next step");
  row.peer = "a waiter that polls", row.peer_value = Median(watched) * 1e6;
  rows->push_back(std::move(row));
}

void Batched(const Options& options, Rows* rows) {
  npuModule_t module;
  npuFunction_t function;
  npuStream_t stream;
  BENCH_CHECK(npuModuleLoad(&module, KernelFile().c_str()));
  BENCH_CHECK(npuModuleGetFunction(&function, module, "bench_null"));
  BENCH_CHECK(npuStreamCreate(&stream));
  const int kBatch = 256, rounds = options.quick ? 3 : 40;
  std::vector<double> rates;
  uint64_t doorbells = 0, ioctls = 0;
  std::optional<uint64_t> interrupts;
  for (int round = -1; round < rounds; round++) {  // round -1 warms up: lazy queue, first ring
    uint64_t rung_before, rung_after;
    if (round == 0) interrupts = FenceInterrupts();
    BENCH_CHECK(npuStreamGetStatistics(stream, nullptr, &rung_before, nullptr));
    const uint64_t ioctls_before = IoctlCount();
    const double start = Seconds();
    BENCH_CHECK(npuStreamBatchBegin(stream));
    for (int i = 0; i < kBatch; i++) BENCH_CHECK(npuLaunchKernel(function, {1, 1, 1}, nullptr, 0, stream));
    BENCH_CHECK(npuStreamBatchEnd(stream));
    const uint64_t ioctls_after = IoctlCount();
    npuError_t state;
    while ((state = npuStreamQuery(stream)) == npuErrorNotReady) {
    }
    BENCH_CHECK(state);
    if (round < 0) continue;
    rates.push_back(kBatch / (Seconds() - start));
    BENCH_CHECK(npuStreamGetStatistics(stream, nullptr, &rung_after, nullptr));
    doorbells += rung_after - rung_before;
    ioctls += ioctls_after - ioctls_before;
  }
  const double launches = double(kBatch) * rounds;
  rows->push_back({.name = "launches_batched", .value = Median(rates), .unit = "1/s", .note = "256 a batch"});
  rows->push_back(
      {.name = "ioctls_per_launch", .value = double(ioctls) / launches, .unit = "1", .larger_is_better = false});
  rows->push_back({.name = "doorbells_per_launch",
                   .value = double(doorbells) / launches,
                   .unit = "1",
                   .larger_is_better = false,
                   .note = "256 a batch"});
  AddInterrupts("interrupts_per_launch", interrupts, launches, "polled", rows);
  BENCH_CHECK(npuStreamDestroy(stream));
  BENCH_CHECK(npuModuleUnload(module));
}

}  // namespace

void BenchLatency(const Options& options, Rows* rows) {
  std::optional<Disk> disk;
  if (!options.disk.empty()) disk.emplace(options.disk);
  RoundTrips(options, disk ? &*disk : nullptr, rows);
  Depths(options, disk ? &*disk : nullptr, rows);
  Interrupts(options, disk ? &*disk : nullptr, rows);
  Batched(options, rows);
}

}  // namespace npu::bench
