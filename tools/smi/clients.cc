// SPDX-License-Identifier: Apache-2.0
//
// Processes with the device open: every fd below /proc that links to the node, and its fdinfo.
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "snapshot.h"

namespace npu::smi {
namespace {

namespace fs = std::filesystem;

// "123 KiB" -> bytes, as in the kernel's drm-usage-stats documentation.
uint64_t ParseSize(const std::string& text) {
  std::istringstream in(text);
  uint64_t value = 0;
  std::string unit;
  in >> value >> unit;
  if (unit == "KiB") return value << 10;
  if (unit == "MiB") return value << 20;
  return value;
}

std::map<std::string, std::string> ReadFdinfo(const fs::path& path) {
  std::map<std::string, std::string> keys;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    keys[line.substr(0, colon)] = value == std::string::npos ? "" : line.substr(value);
  }
  return keys;
}

void AddTo(std::optional<uint64_t>* sum, uint64_t value) {
  *sum = sum->value_or(0) + value;
}

void Merge(const std::map<std::string, std::string>& keys, Client* client) {
  // The regions' names are the driver's: "device" and "host".
  for (const auto& [key, value] : keys) {
    if (key == "drm-total-device") AddTo(&client->device_bytes, ParseSize(value));
    if (key == "drm-total-host") AddTo(&client->host_bytes, ParseSize(value));
    if (key.rfind("drm-engine-", 0) == 0 && key.rfind("drm-engine-capacity-", 0) != 0)
      AddTo(&client->busy_ns, ParseSize(value));
  }
}

}  // namespace

std::vector<Client> ReadClients(const std::string& node) {
  std::vector<Client> clients;
  std::error_code ignored;  // processes come and go while we look
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    const std::string pid = process.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    Client client{.pid = std::stoi(pid)};
    std::set<std::string> seen;  // duplicated descriptors share a client id
    bool found = false;
    for (const auto& fd : fs::directory_iterator(process.path() / "fd", ignored)) {
      if (fs::read_symlink(fd.path(), ignored) != node) continue;
      found = true;
      const auto keys = ReadFdinfo(process.path() / "fdinfo" / fd.path().filename());
      const auto id = keys.find("drm-client-id");
      if (id != keys.end() && !seen.insert(id->second).second) continue;
      Merge(keys, &client);
    }
    if (!found) continue;
    std::ifstream(process.path() / "comm") >> client.name;
    clients.push_back(std::move(client));
  }
  return clients;
}

}  // namespace npu::smi
