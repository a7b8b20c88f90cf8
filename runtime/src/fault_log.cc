// SPDX-License-Identifier: Apache-2.0
#include "fault_log.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "context.hpp"
#include "fault_text.hpp"
#include "module.hpp"
#include "npu_mmu.h"
#include "npu_packet.h"

namespace npu::rt {
namespace {

template <size_t n>
void Copy(char (&to)[n], const std::string& from) {
  size_t length = std::min(from.size(), n - 1);
  std::memcpy(to, from.data(), length);
  to[length] = 0;
}

bool IsMemoryKind(uint8_t kind) {
  return kind >= NPU_FAULT_NULL && kind <= NPU_FAULT_ECC;
}

}  // namespace

void FaultLog::Drain() {
  std::lock_guard lock(mutex_);
  npu_fault_ring* ring = context_.device().faults();
  uint32_t entries = context_.device().fault_entries();
  auto* records = reinterpret_cast<const npu_fault_record*>(ring + 1);
  uint64_t written = std::atomic_ref<uint64_t>(ring->written).load(std::memory_order_acquire);
  uint64_t read = ring->read;
  while (read != written) {
    npu_fault_record record;
    std::memcpy(&record, &records[read % entries], sizeof(record));
    read++;
    std::atomic_ref<uint64_t>(ring->read).store(read, std::memory_order_release);
    entries_.push_back(Describe(record));
    if (!entries_.back().upstream) seen_++;
    if (entries_.size() > kKept) entries_.pop_front();
  }
}

FaultLog::Entry FaultLog::Describe(const npu_fault_record& r) {
  Entry entry;
  npuFault& f = entry.fault;
  std::memset(&f, 0, sizeof(f));
  f.sequence = r.seq;
  f.timeNs = r.time_ns;
  f.device = context_.index();
  f.kind = r.kind;
  f.error = FaultError(r.kind);
  f.detail = r.detail;
  Copy(f.verdict, Verdict(r.kind, r.access));
  f.stream = context_.StreamOfQueue(r.queue);
  f.queue = r.queue;
  f.packet = r.packet;
  Copy(f.packetType, PacketText(r.packet_type));
  f.block = r.block;
  f.core = r.core;
  Copy(f.pipe, EngineText(r.engine));
  Copy(f.access, AccessText(r.access));
  f.address = r.addr;
  f.bytes = r.size;
  f.badAddress = r.bad_addr;
  f.badBytes = r.bad_bytes;
  std::copy(std::begin(r.bad_index), std::end(r.bad_index), f.badIndex);
  f.operand = r.operand;
  entry.upstream = r.packet_type == NPU_PKT_WAIT && r.kind != NPU_FAULT_BAD_PACKET;
  if (r.packet_type == NPU_PKT_LAUNCH) DescribeCode(r, entry);
  if (IsMemoryKind(r.kind)) {
    DescribeBuffer(r, f);
    DescribeVictim(r, f);
  }
  return entry;
}

void FaultLog::DescribeCode(const npu_fault_record& r, Entry& entry) {
  AllocationRef loaded = context_.memory().Find(r.kernel);
  std::shared_ptr<Module> module = loaded ? loaded->module.lock() : nullptr;
  if (!module) return;
  Copy(entry.fault.kernel, module->SymbolAt(NPU_PTR_VA(r.kernel) - loaded->va));
  uint64_t pc = NPU_PTR_VA(r.pc);
  if (pc < loaded->va || pc - loaded->va >= loaded->bytes) return;
  entry.image = module->image();
  entry.fault.pc = pc - loaded->va;
  Copy(entry.fault.function, module->SymbolAt(entry.fault.pc));
}

// The buffer that the pointer names: by number, and by generation when it is still the same owner.
void FaultLog::DescribeBuffer(const npu_fault_record& r, npuFault& f) {
  if (r.buf_number < NPU_BUF_FIRST || r.buf_number >= NPU_BUF_LOCAL_FIRST) return;
  npuFaultBuffer& b = f.buffer;
  b.number = r.buf_number;
  b.generation = r.buf_gen;
  AllocationRef last = context_.memory().Last(r.buf_number);
  if (last && last->generation == r.buf_gen) {
    b.known = 1;
    b.live = context_.memory().Live(*last);
    b.base = last->va;
    b.bytes = last->bytes;
    Copy(b.name, context_.memory().Name(*last));
  } else if (NPU_BOUNDS_STATE(r.buf_ctl) != NPU_BOUNDS_STATE_UNUSED) {
    // Freed so long ago that the number has another owner: only the number is sure.
    Copy(b.name, fmt::format("an earlier owner of buffer number {}", r.buf_number));
    return;
  } else {
    return;
  }
  if (r.bad_addr < b.base) {
    b.distance = static_cast<int64_t>(r.bad_addr - b.base);
  } else if (r.bad_addr - b.base >= b.bytes) {
    b.distance = static_cast<int64_t>(r.bad_addr - b.base - b.bytes);
  }
}

// Whose bytes the access would have reached.
void FaultLog::DescribeVictim(const npu_fault_record& r, npuFault& f) {
  if (r.buf_number < NPU_BUF_FIRST || r.buf_number >= NPU_BUF_LOCAL_FIRST) return;
  uint64_t end = std::max<uint64_t>(r.bad_addr + 1, NPU_PTR_VA(r.addr) + r.size);
  AllocationRef owner = context_.memory().FindOwner(r.bad_addr, end);
  if (!owner || (owner->number == r.buf_number && owner->generation == r.buf_gen)) return;
  npuFaultBuffer& v = f.victim;
  v.known = v.live = 1;
  v.number = owner->number;
  v.generation = owner->generation;
  v.base = owner->va;
  v.bytes = owner->bytes;
  v.distance = static_cast<int64_t>(std::max(r.bad_addr, owner->va) - owner->va);
  Copy(v.name, context_.memory().Name(*owner));
}

// Line tables are read when somebody wants to see the fault.
void FaultLog::Resolve(Entry& entry) {
  if (entry.resolved) return;
  entry.resolved = true;
  if (!entry.image) return;
  SourceLine line = LookUpLine(entry.image->file, entry.fault.pc);
  Copy(entry.fault.file, line.file);
  entry.fault.line = line.line;
  if (!line.function.empty()) Copy(entry.fault.function, line.function);
}

bool FaultLog::Find(uint64_t sequence, uint32_t queue, npuFault* out) {
  std::lock_guard lock(mutex_);
  for (auto it = entries_.rbegin(); it != entries_.rend(); ++it) {
    if (it->fault.sequence != sequence || it->fault.queue != queue) continue;
    Resolve(*it);
    *out = it->fault;
    return true;
  }
  return false;
}

void FaultLog::Count(uint64_t* seen, uint64_t* dropped) {
  Drain();
  std::lock_guard lock(mutex_);
  *seen = seen_;
  *dropped = std::atomic_ref<uint64_t>(context_.device().faults()->dropped).load(std::memory_order_acquire);
}

bool FaultLog::Get(uint64_t index, npuFault* out) {
  Drain();
  std::lock_guard lock(mutex_);
  for (Entry& entry : entries_) {
    if (entry.upstream || index-- > 0) continue;
    Resolve(entry);
    *out = entry.fault;
    return true;
  }
  return false;
}

std::vector<npuFault> FaultLog::All() {
  Drain();
  std::lock_guard lock(mutex_);
  std::vector<npuFault> all;
  for (Entry& entry : entries_) {
    if (entry.upstream) continue;
    Resolve(entry);
    all.push_back(entry.fault);
  }
  return all;
}

void FaultLog::Clear() {
  Drain();
  std::lock_guard lock(mutex_);
  entries_.clear();
}

}  // namespace npu::rt
