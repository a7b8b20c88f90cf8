// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "npu_regs.h"
#include "snapshot.h"

namespace npu::smi {
namespace {

constexpr int kWidth = 92;

template <class T, class Format>
std::string Or(const std::optional<T>& value, Format format) {
  return value ? format(*value) : std::string("-");
}

std::string MiB(uint64_t bytes) {
  return fmt::format("{} MiB", bytes >> 20);
}

std::string Rule(const char* left, const char* right) {
  std::string rule = left;
  for (int i = 0; i < kWidth - 2; i++) rule += "─";
  return rule + right + "\n";
}

// Text of `visible` columns, filled up to the width, between the frame's sides.
std::string Line(const std::string& text, size_t visible) {
  const size_t room = kWidth - 4;
  return "│ " + text + std::string(visible < room ? room - visible : 0, ' ') + " │\n";
}

std::string Line(const std::string& text) {
  return Line(text, text.size());
}

std::string Bar(double share, int columns) {
  const int full = static_cast<int>(share * columns + 0.5);
  return fmt::format("[{}{}]", std::string(full, '#'), std::string(columns - full, '.'));
}

const char* HealthColour(uint32_t health) {
  if (health == NPU_HEALTH_OK) return "\x1b[32m";
  return health <= NPU_HEALTH_DEGRADED ? "\x1b[33m" : "\x1b[31m";
}

void AppendDevice(const Snapshot& s, bool colour, std::string* out) {
  const std::string health = Or(s.health, HealthName);
  std::string head = fmt::format("{:<3} {:<24} {:<14} {:<30}", s.index, s.name, s.bdf, "");
  head.resize(kWidth - 4 - health.size() - 8, ' ');
  const size_t visible = head.size() + 8 + health.size();
  const std::string shown = colour && s.health ? HealthColour(*s.health) + health + "\x1b[0m" : health;
  *out += Line(head + "Health: " + shown, visible);
  *out += Line(fmt::format("    uuid {}   firmware {} ({})   cores {}",
                           Or(s.uuid, [](uint64_t v) { return fmt::format("{:016x}", v); }),
                           Or(s.firmware_version, VersionText), s.firmware_state.empty() ? "-" : s.firmware_state,
                           Or(s.cores, [](uint32_t v) { return fmt::to_string(v); })));
  std::string memory = "-";
  if (s.memory_total && s.memory_free) {
    const uint64_t used = *s.memory_total - *s.memory_free;
    memory =
        fmt::format("{} {} / {}", Bar(double(used) / double(*s.memory_total), 20), MiB(used), MiB(*s.memory_total));
  }
  *out += Line(fmt::format("    memory {:<50} retired pages {}", memory,
                           Or(s.retired_pages, [](uint64_t v) { return fmt::to_string(v); })));
  std::string use = "-";
  if (s.utilisation_permille)
    use = fmt::format("{} {:.1f} %", Bar(*s.utilisation_permille / 1000.0, 20), *s.utilisation_permille / 10.0);
  *out +=
      Line(fmt::format("    cores  {:<50} faults {}", use, Or(s.faults, [](uint64_t v) { return fmt::to_string(v); })));
  *out += Line(fmt::format("    temperature {}   power {}   clock {}   energy {}",
                           Or(s.temperature_mc, [](int64_t v) { return fmt::format("{:.1f} C", double(v) / 1000); }),
                           Or(s.power_uw, [](uint64_t v) { return fmt::format("{:.2f} W", double(v) / 1e6); }),
                           Or(s.clock_khz, [](uint64_t v) { return fmt::format("{} MHz", v / 1000); }),
                           Or(s.energy_uj, [](uint64_t v) { return fmt::format("{:.3f} J", double(v) / 1e6); })));
  for (const std::string& problem : s.problems) *out += Line("    note: " + problem);
}

void AppendClients(const std::vector<Snapshot>& devices, std::string* out) {
  *out += Line(fmt::format("{:<5} {:>8}  {:<28} {:>14} {:>14} {:>12}", "npu", "pid", "process", "device memory",
                           "host memory", "busy"));
  bool any = false;
  for (const Snapshot& s : devices) {
    for (const Client& c : s.clients) {
      any = true;
      *out += Line(fmt::format("{:<5} {:>8}  {:<28} {:>14} {:>14} {:>12}", s.index, c.pid, c.name,
                               Or(c.device_bytes, MiB), Or(c.host_bytes, MiB),
                               Or(c.busy_ns, [](uint64_t v) { return fmt::format("{:.3f} s", double(v) / 1e9); })));
    }
  }
  if (!any) *out += Line("no process has a device open");
}

template <class T>
void Put(nlohmann::json* object, const char* key, const std::optional<T>& value) {
  if (value) (*object)[key] = *value;
}

}  // namespace

std::string HealthName(uint32_t health) {
  static const char* const kNames[] = {"OK", "WARN", "DEGRADED", "RESET_REQUIRED", "RESETTING", "ISOLATED", "LOST"};
  return health < std::size(kNames) ? kNames[health] : fmt::format("UNKNOWN({})", health);
}

std::string VersionText(uint32_t packed) {
  return fmt::format("{}.{}.{}", packed >> 24, (packed >> 16) & 0xff, packed & 0xffff);
}

std::string Table(const std::vector<Snapshot>& devices, bool colour) {
  std::string out = Rule("┌", "┐");
  const Snapshot& first = devices.front();
  std::string driver = first.driver_version.empty() ? "unknown" : first.driver_version;
  if (first.backend == "sim") driver = "none: the device model in this process";
  const std::string title = "npu-smi   driver " + driver;
  out += Line(title);
  for (const Snapshot& s : devices) {
    out += Rule("├", "┤");
    AppendDevice(s, colour, &out);
  }
  out += Rule("├", "┤");
  AppendClients(devices, &out);
  return out + Rule("└", "┘");
}

std::string Json(const std::vector<Snapshot>& devices) {
  nlohmann::json list = nlohmann::json::array();
  for (const Snapshot& s : devices) {
    nlohmann::json d = {{"index", s.index}, {"name", s.name}, {"backend", s.backend}, {"bdf", s.bdf}, {"node", s.node}};
    if (!s.driver_version.empty()) d["driver_version"] = s.driver_version;
    if (s.uuid) d["uuid"] = fmt::format("{:016x}", *s.uuid);
    if (s.firmware_version) d["firmware_version"] = VersionText(*s.firmware_version);
    if (!s.firmware_state.empty()) d["firmware_state"] = s.firmware_state;
    if (s.health) d["health"] = HealthName(*s.health);
    Put(&d, "cores", s.cores);
    Put(&d, "memory_total_bytes", s.memory_total);
    Put(&d, "memory_free_bytes", s.memory_free);
    if (s.temperature_mc) d["temperature_celsius"] = double(*s.temperature_mc) / 1000;
    if (s.power_uw) d["power_watts"] = double(*s.power_uw) / 1e6;
    if (s.energy_uj) d["energy_joules"] = double(*s.energy_uj) / 1e6;
    if (s.clock_khz) d["clock_hertz"] = *s.clock_khz * 1000;
    if (s.utilisation_permille) d["utilisation_ratio"] = *s.utilisation_permille / 1000.0;
    Put(&d, "faults_total", s.faults);
    Put(&d, "ecc_corrected_total", s.ecc_corrected);
    Put(&d, "ecc_uncorrected_total", s.ecc_uncorrected);
    Put(&d, "retired_pages", s.retired_pages);
    Put(&d, "throttle_reasons", s.throttle);
    d["processes"] = nlohmann::json::array();
    for (const Client& c : s.clients) {
      nlohmann::json p = {{"pid", c.pid}, {"name", c.name}};
      Put(&p, "device_memory_bytes", c.device_bytes);
      Put(&p, "host_memory_bytes", c.host_bytes);
      if (c.busy_ns) p["busy_seconds"] = double(*c.busy_ns) / 1e9;
      d["processes"].push_back(p);
    }
    d["problems"] = s.problems;
    list.push_back(d);
  }
  return nlohmann::json{{"devices", list}}.dump(2) + "\n";
}

}  // namespace npu::smi
