// SPDX-License-Identifier: Apache-2.0
#include "sim/sim_device.hpp"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "common/backends.hpp"
#include "common/error.hpp"

namespace npu::hal::sim {
namespace {

constexpr uint64_t kFaultRingBytes =
    (sizeof(npu_fault_ring) + Context::kFaultEntries * sizeof(npu_fault_record) + NPU_PAGE_SIZE - 1) &
    ~uint64_t{NPU_PAGE_SIZE - 1};

// A lost interrupt (they can be injected) must not put a waiter to sleep for ever: it looks again this often.
constexpr auto kLookAgain = std::chrono::milliseconds(500);

bool Met(uint64_t now, uint64_t value, uint32_t cond) {
  switch (cond) {
    case NPU_WAIT_GE:
      return static_cast<int64_t>(now - value) >= 0;
    case NPU_WAIT_EQ:
      return now == value;
    default:
      return now != value;
  }
}

}  // namespace

void* MapHostPages(Machine& machine, uint64_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  machine.regions().Add(p, bytes);
  return p;
}

void UnmapHostPages(Machine& machine, void* pages, uint64_t bytes) {
  machine.regions().Remove(pages);
  munmap(pages, bytes);
}

Result<std::shared_ptr<Context>> Context::Create(std::shared_ptr<Machine> machine) {
  std::shared_ptr<Context> context(new Context(std::move(machine)));
  if (Error e = context->Setup()) return e;
  return context;
}

Error Context::Setup() {
  if (Error e = pages_.Create()) return e;
  Result<uint64_t> bounds = machine_->vram().Allocate(NPU_BOUNDS_TABLE_BYTES, NPU_PAGE_SIZE);
  if (!bounds) return bounds.error();
  bounds_ = *bounds;
  fault_ring_ = MapHostPages(*machine_, kFaultRingBytes);
  if (!fault_ring_) return Fail(ENOMEM, "no host memory for the fault ring");
  fault_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fault_fd_ < 0) return Fail(errno, "no eventfd for faults: {}", ErrnoText(errno));
  Result<uint32_t> id = machine_->TakeContext(fault_fd_, faults());
  if (!id) return id.error();
  id_ = *id;
  npu_ctx_desc* desc = machine_->context_desc(id_);
  *desc = {};
  desc->irq_vector = NPU_IRQ_FENCE0 + id_ % (NPU_NUM_VECTORS - NPU_IRQ_FENCE0);
  desc->pt_root = pages_.root();
  desc->bounds_addr = bounds_;
  desc->bounds_entries = NPU_BOUNDS_ENTRIES;
  desc->fault_ring = reinterpret_cast<uint64_t>(fault_ring_);
  desc->fault_entries = kFaultEntries;
  desc->pid = static_cast<uint32_t>(getpid());
  desc->flags = NPU_CTX_VALID;
  uint64_t args[NPU_MBOX_ARGS] = {id_};
  if (Error e = machine_->Command(NPU_ADMIN_CTX_CREATE, args, fmt::format("context {}", id_))) return e;
  created_ = true;
  return {};
}

Context::~Context() {
  if (created_) {
    uint64_t args[NPU_MBOX_ARGS] = {id_};
    machine_->Command(NPU_ADMIN_CTX_DESTROY, args, fmt::format("context {}", id_));
  }
  if (id_) {
    machine_->context_desc(id_)->flags = 0;
    machine_->ReturnContext(id_);
  }
  if (fault_fd_ >= 0) close(fault_fd_);
  if (fault_ring_) UnmapHostPages(*machine_, fault_ring_, kFaultRingBytes);
  if (bounds_) machine_->vram().Free(bounds_, NPU_BOUNDS_TABLE_BYTES);
}

Error Context::CheckRange(uint64_t va, uint64_t bytes) const {
  const DeviceInfo& info = machine_->info();
  if (bytes == 0 || (va | bytes) % NPU_PAGE_SIZE || va < info.va_start || va >= info.va_end ||
      bytes > info.va_end - va) {
    return Fail(EINVAL, "[{:#x}, +{:#x}) is no page-aligned range in [{:#x}, {:#x})", va, bytes, info.va_start,
                info.va_end);
  }
  return {};
}

Error Context::Bind(uint64_t va, uint64_t address, uint64_t bytes, uint64_t flags) {
  if (Error e = CheckRange(va, bytes)) return e;
  std::lock_guard lock(pages_mutex_);
  bool replaced = false;
  if (Error e = pages_.Map(va, address, bytes, flags, &replaced)) return e;
  return replaced ? machine_->InvalidateTlb(id_) : Error{};
}

Error Context::Unbind(uint64_t va, uint64_t bytes) {
  if (Error e = CheckRange(va, bytes)) return e;
  std::lock_guard lock(pages_mutex_);
  if (Error e = pages_.Unmap(va, bytes)) return e;
  return machine_->InvalidateTlb(id_);
}

Error Context::Wait(uint64_t* word, uint64_t value, uint32_t cond, Clock::time_point deadline, Queue* queue) {
  std::atomic_ref<uint64_t> fence(*word);
  npu_ctx_desc* desc = machine_->context_desc(id_);
  std::atomic_ref<uint32_t> arm(desc->irq_arm);
  Line& line = machine_->line(desc->irq_vector);
  for (;;) {
    uint64_t seen = line.count();
    // Armed before the last look: the device looks at the arm word after each fence store, so one of the two sees the
    // other.
    arm.store(1, std::memory_order_seq_cst);
    if (Met(fence.load(std::memory_order_seq_cst), value, cond)) return {};
    if (queue && LoadShared(queue->status()->state) != NPU_QUEUE_OK) {
      return Fail(EIO, "queue {} has stopped", queue->id());
    }
    if (machine_->Read32(NPU_REG_FW_STATE) == NPU_FW_STATE_CRASHED)
      return Fail(ENODEV, "the device's firmware crashed");
    Clock::time_point now = Clock::now();
    if (now >= deadline) return Fail(ETIME, "the value did not come in time");
    line.Wait(seen, deadline - now < kLookAgain ? deadline : now + kLookAgain);
  }
}

Result<std::unique_ptr<Buffer>> SimBuffer::Create(std::shared_ptr<Context> context, uint64_t bytes, Memory memory) {
  if (bytes == 0 || bytes > 1ull << NPU_VA_BITS) return Fail(EINVAL, "a buffer cannot have {} bytes", bytes);
  std::unique_ptr<SimBuffer> buffer(new SimBuffer(std::move(context)));
  buffer->memory_ = memory;
  uint64_t size = (bytes + NPU_PAGE_SIZE - 1) & ~uint64_t{NPU_PAGE_SIZE - 1};
  Machine& machine = buffer->context_->machine();
  if (memory == Memory::kDevice) {
    // Large buffers get large pages.
    uint64_t align = size >= NPU_BIG_PAGE_SIZE ? NPU_BIG_PAGE_SIZE : NPU_PAGE_SIZE;
    Result<uint64_t> offset = machine.vram().Allocate(size, align);
    if (!offset) return offset.error();
    buffer->address_ = *offset;
    buffer->map_ = machine.vram().At(*offset);
  } else {
    buffer->map_ = MapHostPages(machine, size);
    if (!buffer->map_) return Fail(ENOMEM, "no {} bytes of host memory: {}", size, ErrnoText(errno));
    buffer->address_ = reinterpret_cast<uint64_t>(buffer->map_);
  }
  buffer->size_ = size;
  return std::unique_ptr<Buffer>(std::move(buffer));
}

SimBuffer::~SimBuffer() {
  if (!size_) return;
  if (memory_ == Memory::kDevice) {
    context_->machine().vram().Free(address_, size_);
  } else {
    UnmapHostPages(context_->machine(), map_, size_);
  }
}

namespace {

class SimDevice : public Device {
 public:
  explicit SimDevice(std::shared_ptr<Context> context) : context_(std::move(context)) {
    info_ = context_->machine().info();
    bounds_ = context_->bounds();
    faults_ = context_->faults();
    fault_entries_ = Context::kFaultEntries;
    context_id_ = context_->id();
    fault_fd_ = context_->fault_fd();
  }

  Result<DeviceStatus> Status() override {
    Machine& m = context_->machine();
    DeviceStatus s;
    s.health = static_cast<uint32_t>(m.Read32(NPU_REG_HEALTH));
    s.temperature_mc = static_cast<int32_t>(m.Read32(NPU_REG_TEMP_MC));
    s.power_mw = static_cast<uint32_t>(m.Read32(NPU_REG_POWER_MW));
    s.energy_uj = m.Read64(NPU_REG_ENERGY_UJ);
    s.clock_khz = static_cast<uint32_t>(m.Read32(NPU_REG_CLOCK_KHZ));
    s.utilisation_permille = static_cast<uint32_t>(m.Read32(NPU_REG_UTIL_PERMILLE));
    s.memory_total = m.vram().size();
    s.memory_free = m.vram().free_bytes();
    return s;
  }

  Result<std::unique_ptr<Buffer>> CreateBuffer(uint64_t bytes, Memory memory) override {
    return SimBuffer::Create(context_, bytes, memory);
  }

  Error Bind(Buffer& buffer, uint64_t offset, uint64_t va, uint64_t bytes, uint64_t rights) override {
    if (offset % NPU_PAGE_SIZE || offset > buffer.size() || bytes > buffer.size() - offset) {
      return Fail(EINVAL, "[{:#x}, +{:#x}) is no page-aligned range of a buffer of {:#x} bytes", offset, bytes,
                  buffer.size());
    }
    if (!(rights & NPU_PTE_READ) || (rights & ~uint64_t{NPU_PTE_READ | NPU_PTE_WRITE | NPU_PTE_EXEC})) {
      return Fail(EINVAL, "rights {:#x} are not READ with or without WRITE and EXEC", rights);
    }
    uint64_t host = buffer.memory() == Memory::kHost ? NPU_PTE_HOST : 0;
    return context_->Bind(va, static_cast<SimBuffer&>(buffer).address() + offset, bytes, rights | host);
  }

  Error Unbind(uint64_t va, uint64_t bytes) override { return context_->Unbind(va, bytes); }

  Result<std::unique_ptr<Queue>> CreateQueue(uint32_t ring_log2, uint32_t priority, uint32_t timeout_ms) override {
    return SimQueue::Create(context_, ring_log2, priority, timeout_ms);
  }

  Error Wait(Buffer& buffer, uint64_t offset, uint64_t value, uint32_t cond, Clock::time_point deadline,
             Queue* queue) override {
    if (offset % 8 || buffer.size() < 8 || offset > buffer.size() - 8) {
      return Fail(EINVAL, "offset {:#x} is no 8-byte word of a buffer of {:#x} bytes", offset, buffer.size());
    }
    if (cond > NPU_WAIT_NE) return Fail(EINVAL, "wait condition {} does not exist", cond);
    uint64_t* word = reinterpret_cast<uint64_t*>(static_cast<char*>(buffer.map()) + offset);
    return context_->Wait(word, value, cond, deadline, queue);
  }

 private:
  std::shared_ptr<Context> context_;
};

}  // namespace

Result<std::unique_ptr<Device>> Open() {
  Result<std::shared_ptr<Machine>> machine = Machine::Get();
  if (!machine) return machine.error();
  Result<std::shared_ptr<Context>> context = Context::Create(*machine);
  if (!context) return context.error();
  return std::unique_ptr<Device>(new SimDevice(*context));
}

}  // namespace npu::hal::sim
