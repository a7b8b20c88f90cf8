// SPDX-License-Identifier: Apache-2.0
//
// npu-smi: what the devices of this machine are and how they are.  Exit codes follow NVML's numbers (docs/runtime.md).
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "dump.h"
#include "snapshot.h"

namespace {

enum Exit { kOk = 0, kBadArgument = 2, kNotFound = 6, kNoDriver = 9 };

bool Matches(const npu::smi::Snapshot& s, const std::string& wanted) {
  return wanted == std::to_string(s.index) || wanted == s.bdf || (s.uuid && wanted == fmt::format("{:016x}", *s.uuid));
}

int PrintDump(const std::string& path, bool json) {
  std::string error;
  const auto bytes = npu::smi::ReadDump(path, &error);
  const auto dump = bytes ? npu::smi::ParseDump(*bytes, &error) : std::nullopt;
  if (!dump) {
    fmt::print(stderr, "npu-smi: {}\n", error);
    return bytes ? kBadArgument : kNotFound;
  }
  fmt::print("{}", json ? npu::smi::DumpJson(*dump) : npu::smi::DumpText(*dump));
  return kOk;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Shows the NPUs of this machine."};
  std::string backend = "auto", only;
  bool json = false;
  app.add_option("--backend", backend, "drm: devices of the kernel driver; sim: the in-process model; auto: drm")
      ->check(CLI::IsMember({"auto", "drm", "sim"}))
      ->envname("NPU_BACKEND")
      ->capture_default_str();
  app.add_option("-i,--id", only, "only this device: its index, uuid or PCI address");
  app.add_flag("--json", json, "print JSON");
  std::string dump_path;
  CLI::App* dump = app.add_subcommand("dump", "Decodes the device core dump that the driver leaves when a device fails.");
  dump->add_option("FILE", dump_path, "a dump; without: the one in /sys/class/devcoredump, which stays there");
  dump->add_flag("--json", json, "print JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kBadArgument;
  }

  if (*dump) return PrintDump(dump_path, json);
  std::string error;
  std::vector<npu::smi::Snapshot> devices =
      backend == "sim" ? npu::smi::ReadSimDevice(&error) : npu::smi::ReadDrmDevices();
  if (devices.empty()) {
    fmt::print(stderr, "npu-smi: {}\n",
               !error.empty()
                   ? error
                   : "no accel node of the npu driver. Is npu.ko loaded (lsmod) and the device there (lspci -d "
                     "1234:4e50)? `npu-smi --backend sim` shows the in-process model.");
    return kNoDriver;
  }
  if (!only.empty()) {
    std::erase_if(devices, [&](const auto& s) { return !Matches(s, only); });
    if (devices.empty()) {
      fmt::print(stderr, "npu-smi: no device {}. `npu-smi` lists index, uuid and PCI address of those there are.\n",
                 only);
      return kNotFound;
    }
  }
  fmt::print("{}", json ? npu::smi::Json(devices) : npu::smi::Table(devices, isatty(STDOUT_FILENO)));
  return kOk;
}
