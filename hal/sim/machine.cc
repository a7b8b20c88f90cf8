// SPDX-License-Identifier: Apache-2.0
//
// Power-on of the simulated device: model, tables, firmware, handshake.  The kernel driver's probe does the same.
#include "sim/machine.hpp"

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "common/device_tree.hpp"
#include "common/error.hpp"
#include "npu_fw.h"

namespace npu::hal::sim {
namespace {

constexpr uint64_t kDefaultMemory = 1ull << 30;
constexpr auto kAdminTimeout = std::chrono::seconds(20);

// An environment variable as a number; K, M and G multiply.  fallback when it is not set.
Result<uint64_t> EnvNumber(const char* name, uint64_t fallback) {
  const char* text = std::getenv(name);
  if (!text || !*text) return fallback;
  char* end = nullptr;
  errno = 0;
  unsigned long long value = std::strtoull(text, &end, 0);
  unsigned shift = 0;
  switch (std::toupper(static_cast<unsigned char>(*end))) {
    case 'K':
      shift = 10;
      break;
    case 'M':
      shift = 20;
      break;
    case 'G':
      shift = 30;
      break;
    default:
      break;
  }
  if (shift) end++;
  if (errno || *end || *text == '-' || (value << shift) >> shift != value) {
    return Fail(EINVAL, "{}=\"{}\" is no number (such as 4, 512M or 2G)", name, text);
  }
  return uint64_t{value << shift};
}

Error EnvNumber32(const char* name, uint32_t& out) {
  Result<uint64_t> value = EnvNumber(name, 0);
  if (!value) return value.error();
  if (*value > UINT32_MAX) return Fail(EINVAL, "{} is too large", name);
  out = static_cast<uint32_t>(*value);
  return {};
}

const char* AdminText(uint32_t status) {
  switch (status) {
    case NPU_ADMIN_EINVAL:
      return "malformed arguments or descriptor";
    case NPU_ADMIN_ENOENT:
      return "no such object";
    case NPU_ADMIN_EEXIST:
      return "it exists already";
    case NPU_ADMIN_EBUSY:
      return "it is in use";
    case NPU_ADMIN_ENOSPC:
      return "no room";
    case NPU_ADMIN_EVERSION:
      return "versions do not match";
    case NPU_ADMIN_EOPNOTSUPP:
      return "the firmware does not know the command";
    case NPU_ADMIN_EIO:
      return "the hardware did not answer";
    default:
      return "unknown status";
  }
}

int AdminErrno(uint32_t status) {
  switch (status) {
    case NPU_ADMIN_EINVAL:
      return EINVAL;
    case NPU_ADMIN_ENOENT:
      return ENOENT;
    case NPU_ADMIN_EEXIST:
      return EEXIST;
    case NPU_ADMIN_EBUSY:
      return EBUSY;
    case NPU_ADMIN_ENOSPC:
      return ENOSPC;
    case NPU_ADMIN_EVERSION:
      return EPROTO;
    case NPU_ADMIN_EOPNOTSUPP:
      return EOPNOTSUPP;
    default:
      return EIO;
  }
}

const char* FirmwareErrorText(uint32_t error) {
  switch (error) {
    case NPU_FW_ERR_SIZE:
      return "its size is wrong";
    case NPU_FW_ERR_FORMAT:
      return "it is truncated or no device tree";
    case NPU_FW_ERR_COMPATIBLE:
      return "it is no firmware package";
    case NPU_FW_ERR_PACKAGE:
      return "its package format is of another version";
    case NPU_FW_ERR_CONTRACT:
      return "it was built for another version of the hardware contract";
    case NPU_FW_ERR_SECTION:
      return "a section is incomplete or does not fit";
    case NPU_FW_ERR_HASH:
      return "a section's digest differs: the file is damaged";
    case NPU_FW_ERR_PACKAGE_HASH:
      return "the package's digest differs: the file is damaged";
    case NPU_FW_ERR_ENTRY:
      return "its entry point lies outside its sections";
    case NPU_FW_ERR_BUSY:
      return "other firmware runs already";
    case NPU_FW_ERR_BUS:
      return "the bus failed";
    case NPU_FW_ERR_TRAP:
      return "it crashed with a trap";
    case NPU_FW_ERR_HEARTBEAT:
      return "its heartbeat stopped";
    default:
      return "unknown reason";
  }
}

}  // namespace

Result<std::shared_ptr<Machine>> Machine::Get() {
  static std::mutex mutex;  // guards current, and lets only one machine boot
  static std::weak_ptr<Machine> current;
  std::lock_guard lock(mutex);
  if (std::shared_ptr<Machine> machine = current.lock()) return machine;
  std::shared_ptr<Machine> machine(new Machine());
  if (Error e = machine->Boot()) return e;
  current = machine;
  return machine;
}

Machine::~Machine() {
  if (model_) api_->destroy(model_);
}

Error Machine::Boot() {
  if (Error e = CreateModel()) return e;
  if (Error e = PlaceTables()) return e;
  if (Error e = ReadInfo()) return e;
  if (Error e = LoadFirmware()) return e;
  return Handshake();
}

npu_model_host_ops Machine::HostOps() {
  npu_model_host_ops ops = {};
  ops.dma_read = [](void* m, uint64_t bus, void* dst, uint64_t n) {
    return static_cast<Machine*>(m)->regions_.Read(bus, dst, n);
  };
  ops.dma_write = [](void* m, uint64_t bus, const void* src, uint64_t n) {
    return static_cast<Machine*>(m)->regions_.Write(bus, src, n);
  };
  ops.dma_store64 = [](void* m, uint64_t bus, uint64_t value) {
    return static_cast<Machine*>(m)->regions_.Store64(bus, value);
  };
  ops.dma_load64 = [](void* m, uint64_t bus, uint64_t* value) {
    return static_cast<Machine*>(m)->regions_.Load64(bus, value);
  };
  ops.dma_cmpxchg = [](void* m, uint64_t bus, uint64_t* expected, uint64_t desired, unsigned size) {
    return static_cast<Machine*>(m)->regions_.CompareExchange(bus, expected, desired, size);
  };
  ops.msix = [](void* m, unsigned vector) { static_cast<Machine*>(m)->OnInterrupt(vector); };
  ops.log = &Machine::Log;
  return ops;
}

// Guest errors are this library's own mistakes, so they are shown; the rest only on demand.
void Machine::Log(void*, npu_model_log level, const char* line) {
  static const bool verbose = std::getenv("NPU_SIM_LOG") != nullptr;
  if (level == NPU_MODEL_LOG_GUEST_ERROR || verbose) std::fprintf(stderr, "npu-sim: %s\n", line);
}

Error Machine::CreateModel() {
  api_ = npu_model_get_api(NPU_MODEL_ABI);
  if (!api_)
    return Fail(EPROTO, "libnpu-model.so does not speak ABI {}: install the one built with this library",
                NPU_MODEL_ABI);
  Result<uint64_t> memory = EnvNumber("NPU_SIM_MEMORY", kDefaultMemory);
  if (!memory) return memory.error();
  if ((*memory & (*memory - 1)) || *memory < (64ull << 20) || *memory > (64ull << 30)) {
    return Fail(EINVAL, "NPU_SIM_MEMORY must be a power of two from 64M to 64G, not {}", *memory);
  }
  npu_model_config config = {};
  config.abi = NPU_MODEL_ABI;
  if (Error e = EnvNumber32("NPU_SIM_CORES", config.cores)) return e;
  if (Error e = EnvNumber32("NPU_SIM_THREADS", config.threads)) return e;
  const char* simd = std::getenv("NPU_SIM_SIMD");
  config.simd = simd && *simd ? simd : nullptr;
  if (Error e = vram_.Map(*memory)) return e;
  config.memory_bytes = *memory;
  config.memory = vram_.base();
  config.seed = 1;
  config.opaque = this;
  config.ops = HostOps();
  char why[256] = "";
  model_ = api_->create(&config, why, sizeof(why));
  if (!model_) return Fail(EINVAL, "the device model refuses its configuration: {}", why);
  return {};
}

Error Machine::PlaceTables() {
  Result<uint64_t> contexts = vram_.Allocate(NPU_MAX_CONTEXTS * sizeof(npu_ctx_desc), NPU_PAGE_SIZE);
  if (!contexts) return contexts.error();
  context_table_ = *contexts;
  Result<uint64_t> queues = vram_.Allocate(NPU_MAX_QUEUES * sizeof(npu_queue_desc), NPU_PAGE_SIZE);
  if (!queues) return queues.error();
  queue_table_ = *queues;
  Result<uint64_t> mailbox = vram_.Allocate(sizeof(npu_mbox), NPU_PAGE_SIZE);
  if (!mailbox) return mailbox.error();
  mailbox_ = *mailbox;
  Write64(NPU_REG_CTX_TABLE, context_table_);
  Write64(NPU_REG_QUEUE_TABLE, queue_table_);
  Write64(NPU_REG_MBOX_ADDR, mailbox_);
  Write32(NPU_REG_EVENT_MASK,
          NPU_EVENT_MBOX | NPU_EVENT_FW_STATE | NPU_EVENT_TLB_ACK | NPU_EVENT_FAULT | NPU_EVENT_RAS);
  return {};
}

Error Machine::ReadInfo() {
  if (Read32(NPU_REG_MAGIC) != NPU_MAGIC) return Fail(ENODEV, "the simulated device does not answer as an NPU");
  uint32_t tree_bytes = static_cast<uint32_t>(Read32(NPU_REG_ROM_BYTES));
  if (tree_bytes > NPU_ROM_SIZE)
    return Fail(EINVAL, "the hardware device tree has {} bytes, more than its window", tree_bytes);
  info_.tree.resize(tree_bytes);
  for (uint32_t i = 0; i < tree_bytes; i++) info_.tree[i] = api_->mmio_read(model_, NPU_ROM_OFFSET + i, 1);
  if (Error e = ReadHardwareTree(info_)) return e;
  info_.backend = info_.bdf = "sim";
  info_.uuid = Read64(NPU_REG_UUID);
  info_.hw_version = static_cast<uint32_t>(Read32(NPU_REG_HW_VERSION));
  info_.contract_version = static_cast<uint32_t>(Read32(NPU_REG_CONTRACT_VERSION));
  info_.va_start = NPU_BIG_PAGE_SIZE;
  info_.va_end = 1ull << NPU_VA_BITS;
  if (info_.contract_version >> 16 != NPU_CONTRACT_MAJOR) {
    return Fail(EPROTO, "the device model speaks contract {}.{}, this library {}.{}", info_.contract_version >> 16,
                info_.contract_version & 0xffff, NPU_CONTRACT_MAJOR, NPU_CONTRACT_MINOR);
  }
  for (uint32_t c = 1; c < NPU_MAX_CONTEXTS; c++) free_contexts_.insert(c);
  for (uint32_t q = 0; q < info_.queues; q++) free_queues_.insert(q);
  listeners_.resize(NPU_MAX_CONTEXTS);
  return {};
}

template <class Done>
bool Machine::WaitAdmin(Done done) {
  Clock::time_point deadline = Clock::now() + kAdminTimeout;
  Line& admin = lines_[NPU_IRQ_ADMIN];
  for (;;) {
    uint64_t seen = admin.count();
    if (done()) return true;
    if (Read32(NPU_REG_FW_STATE) == NPU_FW_STATE_CRASHED || Clock::now() >= deadline) return done();
    admin.Wait(seen, deadline);
  }
}

std::string Machine::FirmwareTrouble() {
  uint32_t state = static_cast<uint32_t>(Read32(NPU_REG_FW_STATE)),
           error = static_cast<uint32_t>(Read32(NPU_REG_FW_ERROR));
  if (state == NPU_FW_STATE_CRASHED || state == NPU_FW_STATE_REJECTED) {
    return fmt::format("{} (error {}, info {:#x}, pc {:#x})", FirmwareErrorText(error), error,
                       Read32(NPU_REG_FW_ERROR_INFO), Read64(NPU_REG_FW_CRASH_PC));
  }
  return fmt::format("no answer within {} s (state {})", kAdminTimeout.count(), state);
}

Error Machine::LoadFirmware() {
  Result<std::vector<uint8_t>> package = ReadFirmwareFile();
  if (!package) return package.error();
  uint64_t bytes = (package->size() + NPU_PAGE_SIZE - 1) & ~uint64_t{NPU_PAGE_SIZE - 1};
  Result<uint64_t> place = vram_.Allocate(bytes, NPU_PAGE_SIZE);
  if (!place) return place.error();
  std::memcpy(vram_.At(*place), package->data(), package->size());
  Write64(NPU_REG_FW_ADDR, *place);
  Write32(NPU_REG_FW_SIZE, static_cast<uint32_t>(package->size()));
  Write32(NPU_REG_FW_CTRL, NPU_FW_CTRL_LOAD);
  bool ended = WaitAdmin([&] {
    uint32_t state = static_cast<uint32_t>(Read32(NPU_REG_FW_STATE));
    return state == NPU_FW_STATE_READY || state == NPU_FW_STATE_REJECTED;
  });
  bool ready = ended && Read32(NPU_REG_FW_STATE) == NPU_FW_STATE_READY;
  vram_.Free(*place, bytes);
  if (!ready) return Fail(EIO, "the simulated device does not take its firmware: {}", FirmwareTrouble());
  info_.fw_version = static_cast<uint32_t>(Read32(NPU_REG_FW_VERSION));
  return {};
}

Error Machine::Handshake() {
  uint64_t args[NPU_MBOX_ARGS] = {NPU_ADMIN_PROTOCOL, NPU_CONTRACT_VERSION};
  return Command(NPU_ADMIN_HELLO, args, "handshake");
}

Error Machine::Command(uint32_t op, uint64_t (&args)[NPU_MBOX_ARGS], const std::string& what) {
  std::lock_guard lock(mailbox_mutex_);
  npu_mbox* box = reinterpret_cast<npu_mbox*>(vram_.At(mailbox_));
  if (Read32(NPU_REG_FW_STATE) != NPU_FW_STATE_READY) {
    return Fail(ENODEV, "{}: the firmware does not run: {}", what, FirmwareTrouble());
  }
  if (++mailbox_seq_ == 0) mailbox_seq_ = 1;
  box->op = op;
  box->status = box->detail = 0;
  std::memcpy(box->arg, args, sizeof(args));
  box->seq = mailbox_seq_;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  Write32(NPU_REG_MBOX_DB, mailbox_seq_);
  if (!WaitAdmin([&] { return Read32(NPU_REG_MBOX_ACK) == mailbox_seq_; })) {
    return Fail(EIO, "{}: firmware command {} failed: {}", what, op, FirmwareTrouble());
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  std::memcpy(args, box->arg, sizeof(args));
  if (box->status == NPU_ADMIN_OK) return {};
  return Fail(AdminErrno(box->status), "{}: the firmware refuses command {}: {} (detail {})", what, op,
              AdminText(box->status), box->detail);
}

Error Machine::InvalidateTlb(uint32_t context) {
  uint32_t request;
  {
    std::lock_guard lock(tlb_mutex_);
    Write32(NPU_REG_TLB_INV, context);
    request = static_cast<uint32_t>(Read32(NPU_REG_TLB_REQ));
  }
  bool done = WaitAdmin([&] { return static_cast<int32_t>(Read32(NPU_REG_TLB_ACK) - request) >= 0; });
  if (!done) return Fail(EIO, "context {}: the device does not acknowledge a translation invalidation", context);
  return {};
}

Result<uint32_t> Machine::TakeContext(int fault_fd, const npu_fault_ring* ring) {
  std::lock_guard lock(numbers_mutex_);
  if (free_contexts_.empty())
    return Fail(ENOSPC, "all {} contexts of the simulated device are open", NPU_MAX_CONTEXTS - 1);
  uint32_t context = *free_contexts_.begin();
  free_contexts_.erase(free_contexts_.begin());
  listeners_[context] = {fault_fd, ring, 0};
  return context;
}

void Machine::ReturnContext(uint32_t context) {
  std::lock_guard lock(numbers_mutex_);
  listeners_[context] = {};
  free_contexts_.insert(context);
}

Result<uint32_t> Machine::TakeQueue() {
  std::lock_guard lock(numbers_mutex_);
  if (free_queues_.empty()) return Fail(ENOSPC, "all {} queues of the simulated device are in use", info_.queues);
  uint32_t queue = *free_queues_.begin();
  free_queues_.erase(free_queues_.begin());
  return queue;
}

void Machine::ReturnQueue(uint32_t queue) {
  std::lock_guard lock(numbers_mutex_);
  free_queues_.insert(queue);
}

npu_ctx_desc* Machine::context_desc(uint32_t context) {
  return reinterpret_cast<npu_ctx_desc*>(vram_.At(context_table_)) + context;
}

npu_queue_desc* Machine::queue_desc(uint32_t queue) {
  return reinterpret_cast<npu_queue_desc*>(vram_.At(queue_table_)) + queue;
}

}  // namespace npu::hal::sim
