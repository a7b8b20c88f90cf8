// SPDX-License-Identifier: Apache-2.0
//
// What npu-smi knows of a device at one moment.  A reading that could not be had is absent, never a made-up number.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace npu::smi {

// One process that has the device open, from its fdinfo (drm-usage-stats format).
struct Client {
  int pid = 0;
  std::string name;
  std::optional<uint64_t> device_bytes, host_bytes;
  std::optional<uint64_t> busy_ns;  // over the life of the file
};

struct Snapshot {
  int index = 0;
  std::string name;     // model, from the hardware's device tree
  std::string backend;  // "drm" or "sim"
  std::string bdf;
  std::string node;
  std::string driver_version;
  std::optional<uint64_t> uuid;
  std::optional<uint32_t> firmware_version;  // major << 24 | minor << 16 | patch
  std::string firmware_state;
  std::optional<uint32_t> cores;
  std::optional<uint64_t> memory_total, memory_free;
  std::optional<int64_t> temperature_mc;
  std::optional<uint64_t> power_uw, energy_uj;
  std::optional<uint64_t> clock_khz;
  std::optional<uint32_t> utilisation_permille;
  std::optional<uint32_t> health;  // enum npu_health
  std::optional<uint64_t> faults, ecc_corrected, ecc_uncorrected, retired_pages;
  std::optional<uint32_t> throttle;
  std::vector<Client> clients;
  std::vector<std::string> problems;  // what could not be read, and why
};

// Devices of the kernel driver, read from sysfs and /proc alone: no ioctl, so this answers while a device hangs.
std::vector<Snapshot> ReadDrmDevices();

// The in-process model: powers one up and reads it through the hal.  Empty with a sentence in error when that fails.
std::vector<Snapshot> ReadSimDevice(std::string* error);

// Processes that hold `node` open.
std::vector<Client> ReadClients(const std::string& node);

std::string HealthName(uint32_t health);
std::string VersionText(uint32_t packed);

// The table for people, at most `width` columns; colour only when asked for.
std::string Table(const std::vector<Snapshot>& devices, bool colour);
// The same for programs; keys are documented in docs/runtime.md.
std::string Json(const std::vector<Snapshot>& devices);

}  // namespace npu::smi
