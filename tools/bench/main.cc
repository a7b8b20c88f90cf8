// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bench.h"
#include "npu.h"

namespace npu::bench {

double Median(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  return n % 2 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
}

void Check(int error, const char* call) {
  if (error == npuSuccess) return;
  fmt::print(stderr, "npu-bench: {}: {}: {}\n", call, npuGetErrorName(static_cast<npuError_t>(error)),
             npuGetLastErrorMessage());
  _exit(1);
}

void Fail(const std::string& why) {
  fmt::print(stderr, "npu-bench: {}\n", why);
  _exit(1);
}

std::string KernelFile() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "bench/kernels.elf").string();
}

namespace {

double Ratio(const Row& row) {
  return row.larger_is_better ? row.value / row.peer_value : row.peer_value / row.value;
}

void Print(const Rows& rows) {
  for (const Row& row : rows) {
    std::string peer;
    if (!row.peer.empty()) peer = fmt::format("{:.2f} x {} ({:.4g})", Ratio(row), row.peer, row.peer_value);
    if (row.cpu_ratio > 0) peer += fmt::format(", {:.2f} x in CPU time", row.cpu_ratio);
    fmt::print("{:<28} {:>12.4g} {:<8} {:<40} {}\n", row.name, row.value, row.unit, peer, row.note);
  }
}

// Adds the rows to the file, replacing rows of the same name and backend.
void Save(const Rows& rows, const std::string& backend, const std::string& path) {
  nlohmann::json all = nlohmann::json::array();
  if (std::ifstream in(path); in) all = nlohmann::json::parse(in, nullptr, false);
  if (!all.is_array()) all = nlohmann::json::array();
  for (const Row& row : rows) {
    const std::string name = row.name + "." + backend;
    std::erase_if(all.get_ref<nlohmann::json::array_t&>(),
                  [&](const auto& old) { return old.value("name", "") == name; });
    nlohmann::json entry = {{"name", name}, {"value", row.value}, {"unit", row.unit}};
    if (!row.peer.empty()) {
      entry["peer"] = {{"name", row.peer}, {"value", row.peer_value}};
      entry["ratio"] = Ratio(row);
    }
    if (row.cpu_ratio > 0) entry["cpu_ratio"] = row.cpu_ratio;
    if (row.cpu_seconds > 0) entry["cpu_seconds"] = row.cpu_seconds;
    if (!row.note.empty()) entry["note"] = row.note;
    all.push_back(entry);
  }
  std::ofstream(path) << all.dump(2) << "\n";
}

}  // namespace
}  // namespace npu::bench

int main(int argc, char** argv) {
  using namespace npu::bench;
  Options options;
  const std::vector<std::pair<std::string, std::function<void(Rows*)>>> kGroups = {
      {"setup", [&](Rows* rows) { BenchSetup(options, rows); }},
      {"latency", [&](Rows* rows) { BenchLatency(options, rows); }},
      {"memory", BenchMemory},
      {"scalar", BenchScalar},
      {"cpu-time", BenchCpuTime},
      {"matmul", BenchMatmul},
      {"scaling", BenchScaling},
      {"roofline", BenchRoofline}};
  std::vector<std::string> names;
  for (const auto& group : kGroups) names.push_back(group.first);

  CLI::App app{"Measures the NPU: medians, each peer in the same run."};
  std::string backend = "sim", json;
  std::vector<std::string> wanted;
  app.add_option("--backend", backend, "drm or sim")
      ->check(CLI::IsMember({"drm", "sim"}))
      ->envname("NPU_BACKEND")
      ->capture_default_str();
  app.add_option("--json", json, "add the rows to this file");
  app.add_option("--disk", options.disk, "block device whose 4 KiB reads launches are compared with");
  app.add_flag("--quick", options.quick, "setup and latency: a few samples only, to see that everything works");
  unsigned threads = 0;
  app.add_option("--threads", threads, "host threads of the simulated device and of the libraries it is compared with")
      ->check(CLI::Range(1u, 64u));
  app.add_option("group", wanted, "what to measure; all but scaling when none is named")->check(CLI::IsMember(names));
  CLI11_PARSE(app, argc, argv);
  // The hal-level benchmark and a BLAS that misdetects the CPU both read the environment.
  setenv("NPU_BACKEND", backend.c_str(), 1);
  // Nothing that reads these has been loaded or started yet.
  for (const char* name : {"NPU_SIM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"})
    if (threads) setenv(name, std::to_string(threads).c_str(), 1);
  BENCH_CHECK(npuSetBackend(backend.c_str()));

  for (const auto& [name, run] : kGroups) {
    // What scaling.py calls with one thread and with two is a part of matmul.
    const bool chosen =
        wanted.empty() ? name != "scaling" : std::find(wanted.begin(), wanted.end(), name) != wanted.end();
    if (!chosen) continue;
    // Group by group: there is something to see meanwhile, and what was measured is kept whatever comes after it.
    Rows rows;
    run(&rows);
    Print(rows);
    fflush(stdout);
    if (!json.empty()) Save(rows, backend, json);
  }
  return 0;
}
