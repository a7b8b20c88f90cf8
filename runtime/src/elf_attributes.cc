// SPDX-License-Identifier: Apache-2.0
#include "elf_attributes.hpp"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <sstream>

namespace npu::rt {
namespace {

constexpr uint64_t kTagFile = 1, kTagArch = 5;

// Reads a section of build attributes; every step is checked against its end.
struct Reader {
  const uint8_t* at;
  const uint8_t* end;

  bool Number(uint64_t* out) {  // ULEB128
    *out = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
      uint8_t byte = *at++;
      *out |= uint64_t{byte & 0x7fu} << shift;
      if (!(byte & 0x80)) return true;
    }
    return false;
  }
  bool Word(uint32_t* out) {
    if (end - at < 4) return false;
    std::memcpy(out, at, 4);
    at += 4;
    return true;
  }
  bool String(std::string* out) {
    const uint8_t* zero = std::find(at, end, 0);
    if (zero == end) return false;
    out->assign(reinterpret_cast<const char*>(at), static_cast<size_t>(zero - at));
    at = zero + 1;
    return true;
  }
};

// The attributes of the whole file: even tags hold a number, odd ones a string.
std::string FindArch(Reader r) {
  uint64_t tag, number;
  std::string text;
  while (r.Number(&tag)) {
    bool ok = tag % 2 ? r.String(&text) : r.Number(&number);
    if (!ok) return "";
    if (tag == kTagArch) return text;
  }
  return "";
}

}  // namespace

const char* MachineName(uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_386:
      return "x86";
    case EM_AARCH64:
      return "AArch64";
    case EM_ARM:
      return "Arm";
    case EM_CUDA:
      return "CUDA";
    case EM_AMDGPU:
      return "AMD GPUs";
    default:
      return "another processor";
  }
}

std::string RiscvArch(const uint8_t* section, size_t bytes) {
  Reader r{section, section + bytes};
  if (bytes == 0 || *r.at++ != 'A') return "";
  uint32_t length;
  std::string vendor;
  const uint8_t* start = r.at;
  if (!r.Word(&length) || length > static_cast<size_t>(r.end - start) || !r.String(&vendor) || vendor != "riscv")
    return "";
  r.end = start + length;
  while (r.at < r.end) {
    const uint8_t* part = r.at;
    uint64_t tag;
    uint32_t size;
    if (!r.Number(&tag) || !r.Word(&size) || size > static_cast<size_t>(r.end - part)) return "";
    if (tag == kTagFile && part + size >= r.at) return FindArch({r.at, part + size});
    if (part + size <= r.at) return "";
    r.at = part + size;
  }
  return "";
}

std::string MissingExtensions(const std::string& arch) {
  static constexpr const char* kHave[] = {"i",        "m",     "a",     "f",      "c",   "zicsr",
                                          "zifencei", "zmmul", "zaamo", "zalrsc", "zca", "zicntr"};
  if (arch.empty()) return "";
  if (arch.rfind("rv64", 0) != 0) return arch;
  std::string missing, part;
  std::istringstream parts(arch.substr(4));
  while (std::getline(parts, part, '_')) {
    // "i2p1" is extension i, version 2.1.
    size_t end = part.find_first_of("0123456789");
    std::string name = part.substr(0, end);
    bool have = std::any_of(std::begin(kHave), std::end(kHave), [&](const char* h) { return name == h; });
    if (!have) missing += (missing.empty() ? "" : " ") + name;
  }
  return missing;
}

}  // namespace npu::rt
