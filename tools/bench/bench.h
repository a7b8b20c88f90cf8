// SPDX-License-Identifier: Apache-2.0
//
// npu-bench: what is measured, and how rows are collected.  Every value is a median; a peer is measured in the same
// process, between the same two seconds, so that a ratio means something on a noisy machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace npu::bench {

struct Row {
  std::string name;
  double value = 0;
  std::string unit;
  std::string peer;  // "" when there is none
  double peer_value = 0;
  bool larger_is_better = true;
  std::string note;
  double cpu_ratio = 0;    // as the ratio to the peer, but of CPU time, which other load leaves alone; 0: not measured
  double cpu_seconds = 0;  // ours, of one run
};

using Rows = std::vector<Row>;

struct Options {
  std::string disk;    // block device that is the peer of launches; "" for none
  bool quick = false;  // a few samples only: to see that everything works
};

inline double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Of all threads of this process.
inline double CpuSeconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

double Median(std::vector<double> samples);

// Ends the program with a sentence when a runtime call fails: a benchmark that went wrong has no number.
#define BENCH_CHECK(call) ::npu::bench::Check((call), #call)
void Check(int error, const char* call);
// Ends the program with a sentence.
[[noreturn]] void Fail(const std::string& why);

// The device code, found beside the program: ../bench/kernels.elf.
std::string KernelFile();

// Number of ioctl system calls that this process has made through libc (ioctl_count.cc interposes it).
uint64_t IoctlCount();

// Null launches: round trips, rates, wake-up; ioctls, doorbells and interrupts a launch.
void BenchLatency(const Options& options, Rows* rows);
void BenchSetup(const Options& options, Rows* rows);  // contexts, queues, buffers, mappings
void BenchMemory(Rows* rows);                         // copies against memcpy
void BenchCpuTime(Rows* rows);                        // CPU time of three kinds of work
void BenchScalar(Rows* rows);                         // instructions a second of a compute core's hart
void BenchRoofline(Rows* rows);  // matmul shapes in device cycles: utilisation and what bounds them
void BenchMatmul(Rows* rows);    // against host BLAS, and in device cycles against the modelled peak
void BenchScaling(Rows* rows);   // one product a type, with as many threads as there are; tests/bench/scaling.py

}  // namespace npu::bench
