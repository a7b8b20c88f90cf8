// SPDX-License-Identifier: Apache-2.0
#include "fault_text.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <iterator>
#include <nlohmann/json.hpp>

#include "npu_fault.h"
#include "npu_packet.h"

namespace npu::rt {
namespace {

struct Kind {
  uint32_t kind;
  const char* text;
  npuError_t error;
};

constexpr Kind kKinds[] = {
    {NPU_FAULT_NULL, "null pointer access", npuErrorMemoryFault},
    {NPU_FAULT_OOB, "out-of-bounds access", npuErrorMemoryFault},
    {NPU_FAULT_STALE, "use after free", npuErrorMemoryFault},
    {NPU_FAULT_PERM, "forbidden access", npuErrorMemoryFault},
    {NPU_FAULT_UNKNOWN_BUF, "wild pointer", npuErrorMemoryFault},
    {NPU_FAULT_PAGE, "access to an unmapped page", npuErrorMemoryFault},
    {NPU_FAULT_PAGE_PERM, "access that the page forbids", npuErrorMemoryFault},
    {NPU_FAULT_MISALIGNED, "misaligned access", npuErrorMemoryFault},
    {NPU_FAULT_LOCAL_OOB, "access outside local memory", npuErrorMemoryFault},
    {NPU_FAULT_STACK, "stack overflow", npuErrorMemoryFault},
    {NPU_FAULT_BUS, "bus error", npuErrorBus},
    {NPU_FAULT_ECC, "uncorrectable memory error", npuErrorUncorrectable},
    {NPU_FAULT_ILLEGAL, "illegal instruction", npuErrorIllegalInstruction},
    {NPU_FAULT_FETCH, "jump outside code", npuErrorIllegalInstruction},
    {NPU_FAULT_BAD_DESC, "malformed pipe operation", npuErrorBadDescriptor},
    {NPU_FAULT_TRAP, "the kernel stopped itself", npuErrorKernelTrap},
    {NPU_FAULT_DEADLOCK, "deadlock", npuErrorDeadlock},
    {NPU_FAULT_TIMEOUT, "no progress: killed", npuErrorTimeout},
    {NPU_FAULT_RESET, "lost by a device reset", npuErrorReset},
    {NPU_FAULT_BAD_PACKET, "malformed packet", npuErrorBadPacket},
    {NPU_FAULT_BAD_DOORBELL, "malformed doorbell", npuErrorBadPacket},
    {NPU_FAULT_UNINIT, "read of uninitialised memory", npuErrorMemoryFault},
    {NPU_FAULT_RACE, "race", npuErrorMemoryFault},
    {NPU_FAULT_SYNC, "synchronisation error", npuErrorMemoryFault},
};

const Kind* Find(uint32_t kind) {
  for (const Kind& k : kKinds) {
    if (k.kind == kind) return &k;
  }
  return nullptr;
}

std::string Where(const npuFault& f) {
  if (!f.file[0]) return f.function[0] ? fmt::format("{}+pc {:#x}", f.function, f.pc) : "";
  return fmt::format("{}:{}", f.file, f.line);
}

// "4 bytes behind the end of", "8 bytes before the start of"; the distance counts to the first refused byte.
std::string Relation(const npuFault& f) {
  const npuFaultBuffer& b = f.buffer;
  if (f.kind != NPU_FAULT_OOB) return "in";
  if (b.distance < 0) return fmt::format("{} bytes before the start of", -b.distance);
  if (b.distance == 0) return "right behind the end of";
  return fmt::format("{} bytes behind the end of", b.distance);
}

nlohmann::json BufferJson(const npuFaultBuffer& b, const char* distance) {
  if (!b.known && !b.name[0]) return nullptr;
  nlohmann::json j = {{"name", b.name}, {"number", b.number}, {"generation", b.generation}, {"live", b.live != 0}};
  if (b.known) {
    j["base"] = b.base;
    j["bytes"] = b.bytes;
    j[distance] = b.distance;
  }
  return j;
}

nlohmann::json FaultJson(const npuFault& f) {
  return {{"sequence", f.sequence},
          {"time_ns", f.timeNs},
          {"device", f.device},
          {"error", npuGetErrorName(f.error)},
          {"kind", f.kind},
          {"detail", f.detail},
          {"verdict", f.verdict},
          {"queue", f.queue},
          {"packet", f.packet},
          {"packet_type", f.packetType},
          {"kernel", f.kernel},
          {"function", f.function},
          {"file", f.file},
          {"line", f.line},
          {"pc", f.pc},
          {"block", f.block},
          {"core", f.core},
          {"pipe", f.pipe},
          {"access", f.access},
          {"address", f.address},
          {"bytes", f.bytes},
          {"bad_address", f.badAddress},
          {"bad_bytes", f.badBytes},
          {"bad_index", f.badIndex},
          {"operand", f.operand},
          {"buffer", BufferJson(f.buffer, "distance")},
          {"victim", BufferJson(f.victim, "offset")}};
}

void AppendText(std::string& out, const npuFault& f) {
  auto to = std::back_inserter(out);
  fmt::format_to(to, "fault {}: {}\n", f.sequence, f.verdict);
  fmt::format_to(to, "  packet   {} {} of queue {}\n", f.packetType, f.packet, f.queue);
  if (f.kernel[0]) fmt::format_to(to, "  kernel   {}, block {}, core {}, {} pipe\n", f.kernel, f.block, f.core, f.pipe);
  if (f.function[0]) fmt::format_to(to, "  at       {} ({}), pc {:#x}\n", f.file[0] ? Where(f) : "?", f.function, f.pc);
  if (f.access[0]) {
    fmt::format_to(to, "  access   {} of {} bytes at {:#x}, {} of them refused from {:#x} on\n", f.access, f.bytes,
                   f.address, f.badBytes, f.badAddress);
  }
  const npuFaultBuffer &b = f.buffer, &v = f.victim;
  if (b.known) {
    fmt::format_to(to, "  buffer   {} (number {}, {} bytes at {:#x}{}): first refused byte is {} it\n", b.name,
                   b.number, b.bytes, b.base, b.live ? "" : ", freed", Relation(f));
  } else if (b.name[0]) {
    fmt::format_to(to, "  buffer   {}\n", b.name);
  }
  if (v.known) {
    fmt::format_to(to, "  victim   {} ({} bytes at {:#x}): its byte {} would have been touched; it is unchanged\n",
                   v.name, v.bytes, v.base, v.distance);
  } else if (b.known && f.kind == NPU_FAULT_OOB) {
    fmt::format_to(to, "  victim   none: no live allocation has these bytes\n");
  }
}

}  // namespace

const char* FaultKindText(uint32_t kind) {
  const Kind* k = Find(kind);
  return k ? k->text : "unknown fault";
}

npuError_t FaultError(uint32_t kind) {
  const Kind* k = Find(kind);
  return k ? k->error : npuErrorUnknown;
}

std::string Verdict(uint32_t kind, uint8_t access) {
  std::string text = FaultKindText(kind);
  size_t at = text.find("access");
  if (at != std::string::npos && access >= NPU_ACCESS_READ && access <= NPU_ACCESS_ATOMIC) {
    text.replace(at, 6, AccessText(access));
  }
  return text;
}

const char* AccessText(uint8_t access) {
  switch (access) {
    case NPU_ACCESS_READ:
      return "read";
    case NPU_ACCESS_WRITE:
      return "write";
    case NPU_ACCESS_EXEC:
      return "exec";
    case NPU_ACCESS_ATOMIC:
      return "atomic";
    default:
      return "";
  }
}

const char* EngineText(uint8_t engine) {
  static const char* const names[] = {"", "scalar", "matrix", "vector", "dma-in", "dma-out", "copy", "dispatcher"};
  return engine < std::size(names) ? names[engine] : "?";
}

const char* PacketText(uint8_t type) {
  static const char* const names[] = {"invalid", "nop",    "launch",    "copy",     "fill",
                                      "wait",    "signal", "timestamp", "counters", "indirect"};
  return type < std::size(names) ? names[type] : "unknown";
}

std::string FaultSentence(const npuFault& f) {
  std::string text = f.kernel[0] ? fmt::format("kernel {} (block {}, core {})", f.kernel, f.block, f.core)
                                 : fmt::format("{} packet {} of queue {}", f.packetType, f.packet, f.queue);
  text += fmt::format(": {}", f.verdict);
  if (std::string where = Where(f); !where.empty()) text += " at " + where;
  if (f.buffer.known) {
    text += fmt::format(": {} bytes {} {} ({} bytes)", f.badBytes, Relation(f), f.buffer.name, f.buffer.bytes);
  }
  if (f.victim.known) text += fmt::format(", where {} lives (unchanged)", f.victim.name);
  if (!f.buffer.known && f.detail) text += fmt::format(" (detail {})", f.detail);
  return text + "; npuGetFaultReport tells more, npuStreamReset makes the stream usable";
}

std::string TextReport(const std::vector<npuFault>& faults, uint64_t dropped) {
  std::string out;
  for (const npuFault& f : faults) AppendText(out, f);
  if (faults.empty()) out = "no faults\n";
  if (dropped) out += fmt::format("{} more records were dropped by the device: its ring was full\n", dropped);
  return out;
}

std::string JsonReport(const std::vector<npuFault>& faults, uint64_t dropped) {
  nlohmann::json list = nlohmann::json::array();
  for (const npuFault& f : faults) list.push_back(FaultJson(f));
  return nlohmann::json{{"version", 1}, {"dropped", dropped}, {"faults", list}}.dump(2);
}

}  // namespace npu::rt
