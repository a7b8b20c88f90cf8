// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Power-on, reset, pause, events and interrupts.
#include "device/device.h"

#include <sys/types.h>

#include <algorithm>
#include <bit>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "core/core.h"
#include "core/timing.h"
#include "device/rom.h"
#include "npu_mgmt.h"
#include "npu_regs.h"
#include "npu_thread_name.h"

namespace npu::model {
namespace {

// The seed's identity: splitmix64's finisher, so that neighbouring seeds give unlike numbers.
uint64_t UuidOf(uint64_t seed) {
  uint64_t x = seed + 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

std::string CheckConfig(const npu_model_config& c) {
  auto text = [](const char* what, uint64_t value, const char* rule) {
    return std::string(what) + " = " + std::to_string(value) + " is not possible: " + rule;
  };
  if (c.abi != NPU_MODEL_ABI) return text("abi", c.abi, "this model speaks NPU_MODEL_ABI 2; rebuild the caller");
  if (c.cores > NPU_MAX_CORES) return text("cores", c.cores, "choose 1..64, or 0 for 4");
  if (c.queues && (c.queues < 16 || c.queues > NPU_MAX_QUEUES))
    return text("queues", c.queues, "choose 16..1024, or 0 for 1024");
  if (!std::has_single_bit(c.memory_bytes) || c.memory_bytes < (64ull << 20) || c.memory_bytes > (64ull << 30))
    return text("memory_bytes", c.memory_bytes, "choose a power of two from 64 MiB to 64 GiB");
  if (!c.memory) return "memory is a null pointer: the caller owns the device memory and must pass it";
  if (reinterpret_cast<uintptr_t>(c.memory) % NPU_PAGE_SIZE) return "memory is not page aligned";
  const npu_model_host_ops& o = c.ops;
  if (!o.dma_read || !o.dma_write || !o.dma_store64 || !o.dma_load64 || !o.dma_cmpxchg || !o.msix || !o.log)
    return "ops lacks a function: all but trace and link_error are required";
  return {};
}

npu_model_config Normalise(npu_model_config c) {
  if (!c.cores) c.cores = 4;
  if (!c.queues) c.queues = NPU_MAX_QUEUES;
  uint32_t cpus = std::max(1u, std::thread::hardware_concurrency());
  if (!c.threads) c.threads = std::max(1u, cpus - 1);
  c.threads = std::min(c.threads, c.cores);
  // The two strings need not outlive create.
  c.simd = nullptr;
  c.nvram = nullptr;
  return c;
}

}  // namespace

std::unique_ptr<Device> Device::Create(const npu_model_config& config, std::string* error) {
  *error = CheckConfig(config);
  if (!error->empty()) return nullptr;
  const char* why = nullptr;
  if (!SelectSimd(config.simd, &why)) {
    *error = std::string("simd = \"") + (config.simd ? config.simd : "") + "\" is not possible: " + why;
    return nullptr;
  }
  npu_model_config c = Normalise(config);
  uint64_t uuid = UuidOf(c.seed);
  RomFacts facts{c.memory_bytes, uuid, c.queues, c.cores, kTiming.clock_hz};
  std::vector<uint8_t> rom = BuildRom(facts, error);
  if (rom.empty()) return nullptr;
  std::unique_ptr<Device> device(new Device(c, std::move(rom), uuid));
  MgmtPlatform platform;
  platform.memory = static_cast<uint8_t*>(c.memory);
  platform.memory_bytes = c.memory_bytes;
  platform.power_on = device->power_on_;
  platform.log = [d = device.get()](npu_model_log level, const char* line) {
    d->config_.ops.log(d->config_.opaque, level, line);
  };
  if (config.nvram) platform.nvram_path = config.nvram;
  device->mgmt_ = std::make_unique<Mgmt>(std::move(platform), *device);
  device->control_ = std::thread([d = device.get()] { d->ControlMain(); });
  return device;
}

Device::Device(const npu_model_config& config, std::vector<uint8_t> rom, uint64_t uuid)
    : config_(config),
      rom_(std::move(rom)),
      uuid_(uuid),
      power_on_(std::chrono::steady_clock::now()),
      ops_(WrappedOps()) {
  DispatcherConfig d;
  d.platform = {static_cast<uint8_t*>(config_.memory), config_.memory_bytes, &ops_, this, &ecc_};
  d.cores = config_.cores;
  d.queues = config_.queues;
  d.threads = config_.threads;
  dispatcher_ = std::make_unique<Dispatcher>(d, *this);
}

Device::~Device() {
  {
    std::lock_guard lock(request_mu_);
    exit_ = true;
  }
  request_.notify_all();
  if (control_.joinable()) control_.join();
  dispatcher_->Pause();  // from here on nobody raises interrupts of the management core
  mgmt_.reset();
  dispatcher_.reset();
}

void Device::ControlMain() {
  npu_name_thread("npu-control");
  std::unique_lock lock(request_mu_);
  while (true) {
    request_.wait(lock, [this] { return reset_requested_ || disarm_requested_ || !flaws_.empty() || exit_; });
    if (exit_) return;
    lock.unlock();
    {
      std::lock_guard control(control_mu_);
      ResetIfRequested();
      CarryOutRequests();
    }
    lock.lock();
  }
}

// A reset of the host's that came first has carried out the request as well.
void Device::ResetIfRequested() {
  {
    std::lock_guard lock(request_mu_);
    if (!reset_requested_) return;
    reset_requested_ = false;
  }
  ResetAll();
  std::lock_guard lock(request_mu_);
  if (!reset_requested_) resetting_.store(false, std::memory_order_release);
}

// Memory errors come and go while no engine runs, so that each access finds a word either good or bad.
void Device::CarryOutRequests() {
  std::deque<Flaw> flaws;
  bool disarm = false;
  {
    std::lock_guard lock(request_mu_);
    flaws.swap(flaws_);
    disarm = disarm_requested_;
    disarm_requested_ = false;
  }
  if (flaws.empty() && !disarm) return;
  dispatcher_->Pause();
  if (disarm) ecc_.Disarm();
  PlaceFlaws(flaws);
  if (!paused_) dispatcher_->Continue();
}

// Some word with an error was read.
void Device::EccNews() {
  LatchEvents(NPU_EVENT_RAS);
  RaiseMgmt(NPU_MG_IRQ_RAS);
}

void Device::ResetAll() {
  dispatcher_->Pause();
  mgmt_->Reset();
  dispatcher_->Reset();
  ResetRegisters();
  {
    std::lock_guard lock(request_mu_);
    disarm_requested_ = false;
    flaws_.clear();
  }
  ecc_.Reset(false);
  if (!paused_) dispatcher_->Continue();
}

void Device::ResetRegisters() {
  events_ = 0;
  event_mask_ = 0;
  for (Wide* wide : {&fw_addr_, &mbox_addr_, &ctx_table_, &queue_table_, &inj_addr_}) {
    wide->value = 0;
    wide->low = 0;
  }
  for (auto* word :
       {&fw_size_, &mbox_db_, &mbox_ack_, &inj_kind_, &inj_count_, &inj_seed_, &inj_status_, &health_, &pub_temp_,
        &pub_power_, &pub_util_, &pub_throttle_, &pub_active_, &pub_retired_, &db_queue_, &ctx_result_})
    *word = 0;
  inj_done_ = 0;
  fault_count_ = 0;
  link_errors_ = 0;
  for (Armed* armed : {&hang_, &lost_irq_, &dma_error_, &link_error_}) armed->left = 0;
  sensors_.Reset(TimeNs());
}

void Device::Reset(npu_model_reset kind) {
  std::lock_guard control(control_mu_);
  ResetAll();
  {
    // A request of before must not strike whoever uses the device after this.
    std::lock_guard lock(request_mu_);
    reset_requested_ = false;
    resetting_.store(false, std::memory_order_release);
  }
  if (kind != NPU_MODEL_RESET_COLD) return;
  ecc_.Reset(true);
  // Pages that were never touched stay so: most of device memory costs nothing.
  static constexpr uint8_t kZero[NPU_PAGE_SIZE] = {};
  auto* memory = static_cast<uint8_t*>(config_.memory);
  for (uint64_t at = 0; at < config_.memory_bytes; at += NPU_PAGE_SIZE)
    if (std::memcmp(memory + at, kZero, NPU_PAGE_SIZE) != 0) std::memset(memory + at, 0, NPU_PAGE_SIZE);
}

void Device::Pause() {
  std::lock_guard control(control_mu_);
  if (paused_) return;
  paused_ = true;
  mgmt_->Pause();
  dispatcher_->Pause();
}

void Device::Resume() {
  std::lock_guard control(control_mu_);
  if (!paused_) {
    dispatcher_->Resume();  // ends a drain that no pause followed
    return;
  }
  paused_ = false;
  dispatcher_->Resume();
  mgmt_->Resume();
}

std::string Device::Describe() {
  std::string text;
  char line[160];
  std::snprintf(line, sizeof(line), "NPU %s: %u cores, %u threads, %llu MiB, %llu device cycles, %llu faults\n",
                UuidText(uuid_).c_str(), config_.cores, config_.threads,
                static_cast<unsigned long long>(config_.memory_bytes >> 20),
                static_cast<unsigned long long>(dispatcher_->TimeCycles()),
                static_cast<unsigned long long>(fault_count_.load()));
  text += line;
  text += "management: " + mgmt_->Describe() + "\n";
  dispatcher_->Describe(&text);
  return text;
}

// Every latch raises the interrupt if it is asked for, also when the bit was still set: a lost message heals itself
// with the next event.
void Device::LatchEvents(uint32_t bits) {
  bits &= NPU_EVENT_ADMIN_BITS | NPU_EVENT_ERROR_BITS;
  events_.fetch_or(bits, std::memory_order_seq_cst);
  uint32_t wanted = bits & event_mask_.load(std::memory_order_seq_cst);
  if (wanted & NPU_EVENT_ADMIN_BITS) RaiseMsix(NPU_IRQ_ADMIN);
  if (wanted & NPU_EVENT_ERROR_BITS) RaiseMsix(NPU_IRQ_ERROR);
}

void Device::SetEventMask(uint32_t mask) {
  mask &= NPU_EVENT_ADMIN_BITS | NPU_EVENT_ERROR_BITS;
  uint32_t old = event_mask_.exchange(mask, std::memory_order_seq_cst);
  uint32_t fresh = mask & ~old & events_.load(std::memory_order_seq_cst);
  if (fresh & NPU_EVENT_ADMIN_BITS) RaiseMsix(NPU_IRQ_ADMIN);
  if (fresh & NPU_EVENT_ERROR_BITS) RaiseMsix(NPU_IRQ_ERROR);
}

void Device::RaiseMsix(uint32_t vector) {
  if (Take(lost_irq_)) return;
  Trace("irq", vector, 0, 0);
  config_.ops.msix(config_.opaque, vector);
}

void Device::RaiseMgmt(uint32_t bits) {
  mgmt_->RaiseIrq(bits);
}

uint64_t Device::TimeNs() const {
  auto passed = std::chrono::steady_clock::now() - power_on_;
  int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count();
  return static_cast<uint64_t>(ns + time_shift_ns_.load(std::memory_order_relaxed));
}

void Device::Log(npu_model_log level, const char* format, ...) {
  char line[256];
  va_list args;
  va_start(args, format);
  std::vsnprintf(line, sizeof(line), format, args);
  va_end(args);
  config_.ops.log(config_.opaque, level, line);
}

}  // namespace npu::model
