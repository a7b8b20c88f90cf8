// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "dump.h"
#include "npu_mmu.h"
#include "npu_regs.h"

namespace npu::smi {
namespace {

std::string PacketName(uint8_t type) {
  static const char* const kNames[] = {"INVALID", "NOP",    "LAUNCH",    "COPY",     "FILL",
                                       "WAIT",    "SIGNAL", "TIMESTAMP", "COUNTERS", "INDIRECT"};
  return type < std::size(kNames) ? kNames[type] : fmt::format("type {}", type);
}

std::string QueueStateName(uint32_t state) {
  static const char* const kNames[] = {"ok", "faulted", "dead"};
  return state < std::size(kNames) ? kNames[state] : fmt::format("state {}", state);
}

const char* FaultName(uint32_t kind) {
  switch (kind) {
    case NPU_FAULT_NONE:
      return "none";
    case NPU_FAULT_NULL:
      return "NULL";
    case NPU_FAULT_OOB:
      return "OOB";
    case NPU_FAULT_STALE:
      return "STALE";
    case NPU_FAULT_PERM:
      return "PERM";
    case NPU_FAULT_UNKNOWN_BUF:
      return "UNKNOWN_BUF";
    case NPU_FAULT_PAGE:
      return "PAGE";
    case NPU_FAULT_PAGE_PERM:
      return "PAGE_PERM";
    case NPU_FAULT_MISALIGNED:
      return "MISALIGNED";
    case NPU_FAULT_LOCAL_OOB:
      return "LOCAL_OOB";
    case NPU_FAULT_STACK:
      return "STACK";
    case NPU_FAULT_BUS:
      return "BUS";
    case NPU_FAULT_ECC:
      return "ECC";
    case NPU_FAULT_ILLEGAL:
      return "ILLEGAL";
    case NPU_FAULT_FETCH:
      return "FETCH";
    case NPU_FAULT_BAD_DESC:
      return "BAD_DESC";
    case NPU_FAULT_TRAP:
      return "TRAP";
    case NPU_FAULT_DEADLOCK:
      return "DEADLOCK";
    case NPU_FAULT_TIMEOUT:
      return "TIMEOUT";
    case NPU_FAULT_RESET:
      return "RESET";
    case NPU_FAULT_BAD_PACKET:
      return "BAD_PACKET";
    case NPU_FAULT_BAD_DOORBELL:
      return "BAD_DOORBELL";
    default:
      return "unknown";
  }
}

const char* RegisterName(uint32_t offset) {
  switch (offset) {
    case NPU_REG_MAGIC:
      return "MAGIC";
    case NPU_REG_EVENTS:
      return "EVENTS";
    case NPU_REG_EVENT_MASK:
      return "EVENT_MASK";
    case NPU_REG_FW_STATE:
      return "FW_STATE";
    case NPU_REG_FW_ERROR:
      return "FW_ERROR";
    case NPU_REG_FW_VERSION:
      return "FW_VERSION";
    case NPU_REG_FW_HEARTBEAT:
      return "FW_HEARTBEAT";
    case NPU_REG_FW_CRASH_PC:
      return "FW_CRASH_PC";
    case NPU_REG_MBOX_ACK:
      return "MBOX_ACK";
    case NPU_REG_TLB_REQ:
      return "TLB_REQ";
    case NPU_REG_TLB_ACK:
      return "TLB_ACK";
    case NPU_REG_HEALTH:
      return "HEALTH";
    case NPU_REG_TEMP_MC:
      return "TEMP_MC";
    case NPU_REG_CLOCK_KHZ:
      return "CLOCK_KHZ";
    case NPU_REG_ECC_CE:
      return "ECC_CE";
    case NPU_REG_ECC_UE:
      return "ECC_UE";
    case NPU_REG_LINK_ERRORS:
      return "LINK_ERRORS";
    case NPU_REG_ACTIVE_QUEUES:
      return "ACTIVE_QUEUES";
    case NPU_REG_FAULT_COUNT:
      return "FAULT_COUNT";
    default:
      return "";
  }
}

std::string RegisterText(uint32_t offset) {
  if (offset >= NPU_SLOT_OFFSET && offset < NPU_SLOT_OFFSET + NPU_MAX_SLOTS * NPU_SLOT_STRIDE)
    return fmt::format("slot {} +{:#x}", (offset - NPU_SLOT_OFFSET) / NPU_SLOT_STRIDE,
                       (offset - NPU_SLOT_OFFSET) % NPU_SLOT_STRIDE);
  if (offset >= NPU_CORE_OFFSET && offset < NPU_CORE_OFFSET + NPU_MAX_CORES * NPU_CORE_STRIDE)
    return fmt::format("core {} +{:#x}", (offset - NPU_CORE_OFFSET) / NPU_CORE_STRIDE,
                       (offset - NPU_CORE_OFFSET) % NPU_CORE_STRIDE);
  return RegisterName(offset);
}

std::string EntryText(uint64_t entry) {
  if (!(entry & NPU_PTE_VALID)) return fmt::format("{:#018x} not valid", entry);
  return fmt::format("{:#018x} {} {:#x} {}{}{}{}", entry, entry & NPU_PTE_HOST ? "host" : "device",
                     entry & NPU_PTE_ADDR_MASK, entry & NPU_PTE_READ ? "r" : "-", entry & NPU_PTE_WRITE ? "w" : "-",
                     entry & NPU_PTE_EXEC ? "x" : "-", entry & NPU_PTE_LEAF ? " 2 MiB" : "");
}

const char* BufferKind(uint32_t kind) {
  static const char* const kNames[] = {"device", "host", "doorbell"};
  return kind < std::size(kNames) ? kNames[kind] : "unknown";
}

uint32_t WalkLevels(const npu_dump_walk& walk) {
  return walk.levels < std::size(walk.entries) ? walk.levels : static_cast<uint32_t>(std::size(walk.entries));
}

void AppendRing(const DumpRing& ring, const Dump& dump, std::string* out) {
  uint64_t rptr = ~0ull, wptr = 0;
  for (const npu_dump_queue& q : dump.queues)
    if (q.queue == ring.queue) rptr = q.rptr, wptr = q.wptr;
  *out += fmt::format("\nRing of queue {}\n", ring.queue);
  for (size_t i = 0; i < ring.packets.size(); ++i) {
    const npu_packet& p = ring.packets[i];
    const uint64_t index = ring.first + i;
    *out += fmt::format("  {} {:>8}  {:<9} tag {:#x} signal {:#x} = {}  {:#x} {:#x} {:#x}{}\n",
                        index == rptr ? ">" : " ", index, PacketName(p.type), p.tag, p.signal_addr, p.signal_value,
                        p.u.raw[0], p.u.raw[1], p.u.raw[2], index >= wptr ? "  (not rung)" : "");
  }
}

void AppendFault(const npu_fault_record& f, std::string* out) {
  *out += fmt::format("\nFault record {}\n  kind      {} ({})\n  queue     {} packet {} tag {:#x}\n", f.seq,
                      FaultName(f.kind), f.kind, f.queue, f.packet, f.packet_tag);
  *out += fmt::format("  place     kernel {:#x} pc {:#x} ra {:#x} sp {:#x} block {} core {}\n", f.kernel, f.pc, f.ra,
                      f.sp, f.block, f.core);
  *out += fmt::format("  address   {:#x} bytes {} first refused {:#x} ({} bytes)\n", f.addr, f.size, f.bad_addr,
                      f.bad_bytes);
  *out +=
      fmt::format("  buffer    {} generation {} base {:#x} size {}\n", f.buf_number, f.buf_gen, f.buf_base, f.buf_size);
}

void AppendTables(const Dump& dump, std::string* out) {
  *out += "\nQueues\n  queue context     pid state    error         prio  rptr/wptr\n";
  for (const npu_dump_queue& q : dump.queues)
    *out += fmt::format("  {:>5} {:>7} {:>7} {:<8} {:<12} {:>5}  {}/{}{}\n", q.queue, q.context, q.pid,
                        QueueStateName(q.state), FaultName(q.error), q.priority, q.rptr, q.wptr,
                        q.queue == dump.header.queue ? "  <- at fault" : "");
  if (dump.fault) AppendFault(*dump.fault, out);
  if (dump.walk) {
    *out += fmt::format("\nTranslation of {:#x} in context {}\n", dump.walk->va, dump.walk->context);
    for (uint32_t i = 0; i < WalkLevels(*dump.walk); ++i)
      *out += fmt::format("  level {}  {}\n", i, EntryText(dump.walk->entries[i]));
  }
  for (const DumpRing& ring : dump.rings) AppendRing(ring, dump, out);
  *out += "\nBuffers\n";
  for (const npu_dump_buffer& b : dump.buffers)
    *out += fmt::format("  {:>12} bytes  {:<8} {:#014x} {} {}\n", b.size, BufferKind(b.kind), b.addr,
                        b.internal ? "driver " : "process", b.name);
  *out += "\nRegisters\n";
  for (const npu_dump_register& r : dump.registers)
    *out += fmt::format("  {:#07x}  {:#010x}  {}\n", r.offset, r.value, RegisterText(r.offset));
}

nlohmann::json RingJson(const DumpRing& ring) {
  nlohmann::json packets = nlohmann::json::array();
  for (size_t i = 0; i < ring.packets.size(); ++i) {
    const npu_packet& p = ring.packets[i];
    packets.push_back({{"index", ring.first + i},
                       {"type", PacketName(p.type)},
                       {"tag", p.tag},
                       {"signal_addr", p.signal_addr},
                       {"signal_value", p.signal_value},
                       {"raw", {p.u.raw[0], p.u.raw[1], p.u.raw[2], p.u.raw[3], p.u.raw[4]}}});
  }
  return {{"queue", ring.queue}, {"packets", packets}};
}

nlohmann::json FaultJson(const npu_fault_record& f) {
  return {{"seq", f.seq},
          {"kind", FaultName(f.kind)},
          {"queue", f.queue},
          {"context", f.context},
          {"packet", f.packet},
          {"tag", f.packet_tag},
          {"pc", f.pc},
          {"kernel", f.kernel},
          {"addr", f.addr},
          {"size", f.size},
          {"core", f.core},
          {"block", f.block},
          {"bad_addr", f.bad_addr}};
}

nlohmann::json StateJson(const std::string& state) {
  nlohmann::json out = nlohmann::json::object();
  for (size_t at = 0; at < state.size();) {
    const size_t end = std::min(state.find('\n', at), state.size());
    const std::string line = state.substr(at, end - at);
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) out[line.substr(0, colon)] = line.substr(colon + 2);
    at = end + 1;
  }
  return out;
}

}  // namespace

std::string DumpText(const Dump& dump) {
  std::string out = "Device core dump of an NPU\n";
  for (const std::string& problem : dump.problems) out += "  note: " + problem + "\n";
  for (size_t at = 0; at < dump.state.size();) {
    const size_t end = std::min(dump.state.find('\n', at), dump.state.size());
    out += "  " + dump.state.substr(at, end - at) + "\n";
    at = end + 1;
  }
  AppendTables(dump, &out);
  if (!dump.log.empty()) out += "\nFirmware log\n" + dump.log + (dump.log.back() == '\n' ? "" : "\n");
  return out;
}

std::string DumpJson(const Dump& dump) {
  nlohmann::json out = {
      {"time_ns", dump.header.time_ns}, {"state", StateJson(dump.state)}, {"problems", dump.problems}};
  if (dump.header.queue != 0xffffffffu) out["queue"] = dump.header.queue;
  out["registers"] = nlohmann::json::array();
  for (const npu_dump_register& r : dump.registers)
    out["registers"].push_back({{"offset", r.offset}, {"value", r.value}, {"name", RegisterText(r.offset)}});
  out["queues"] = nlohmann::json::array();
  for (const npu_dump_queue& q : dump.queues)
    out["queues"].push_back({{"queue", q.queue},
                             {"context", q.context},
                             {"pid", q.pid},
                             {"state", QueueStateName(q.state)},
                             {"error", FaultName(q.error)},
                             {"priority", q.priority},
                             {"rptr", q.rptr},
                             {"wptr", q.wptr}});
  out["rings"] = nlohmann::json::array();
  for (const DumpRing& ring : dump.rings) out["rings"].push_back(RingJson(ring));
  if (dump.fault) out["fault"] = FaultJson(*dump.fault);
  if (dump.walk) {
    out["walk"] = {{"va", dump.walk->va}, {"context", dump.walk->context}, {"entries", nlohmann::json::array()}};
    for (uint32_t i = 0; i < WalkLevels(*dump.walk); ++i) out["walk"]["entries"].push_back(dump.walk->entries[i]);
  }
  out["buffers"] = nlohmann::json::array();
  for (const npu_dump_buffer& b : dump.buffers)
    out["buffers"].push_back({{"size", b.size},
                              {"addr", b.addr},
                              {"kind", BufferKind(b.kind)},
                              {"internal", b.internal != 0},
                              {"name", std::string(b.name)}});
  out["log"] = dump.log;
  // A name may hold any byte, and JSON only UTF-8.
  return out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace npu::smi
