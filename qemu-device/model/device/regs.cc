// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// BAR0 as the host sees it (npu_regs.h).
#include <cstring>

#include "core/timing.h"
#include "device/device.h"
#include "device/version.h"
#include "npu_mgmt.h"
#include "npu_regs.h"

namespace npu::model {
namespace {

constexpr uint32_t kCoresEnd = NPU_CORE_OFFSET + NPU_MAX_CORES * NPU_CORE_STRIDE;
constexpr uint32_t kSlotsEnd = NPU_SLOT_OFFSET + NPU_MAX_SLOTS * NPU_SLOT_STRIDE;
static_assert(kCoresEnd <= NPU_SLOT_OFFSET, "windows");
static_assert(NPU_ROM_OFFSET + NPU_ROM_SIZE <= NPU_DOORBELL_OFFSET, "windows");

}  // namespace

uint64_t Device::ReadRom(uint32_t offset, unsigned size) const {
  uint64_t value = 0;
  if (offset < rom_.size()) std::memcpy(&value, rom_.data() + offset, std::min<size_t>(size, rom_.size() - offset));
  return value;
}

bool Device::ReadCoreWindow(uint32_t offset, uint64_t* value, bool* wide) {
  uint32_t core = (offset - NPU_CORE_OFFSET) / NPU_CORE_STRIDE;
  if (core >= config_.cores) return false;
  const CoreStats& stats = dispatcher_->core_stats(core);
  *wide = true;
  switch ((offset - NPU_CORE_OFFSET) % NPU_CORE_STRIDE) {
    case NPU_CORE_BUSY_CYCLES:
      *value = stats.busy_cycles;
      return true;
    case NPU_CORE_INSTRUCTIONS:
      *value = stats.instructions;
      return true;
    case NPU_CORE_PC:
      *value = dispatcher_->core_pc(core);
      return true;
    case NPU_CORE_BLOCKS:
      *value = stats.blocks;
      return true;
    case NPU_CORE_QUEUE:
      *value = stats.queue, *wide = false;
      return true;
    default:
      return false;
  }
}

bool Device::ReadSlotWindow(uint32_t offset, uint64_t* value, bool* wide) {
  uint32_t slot = (offset - NPU_SLOT_OFFSET) / NPU_SLOT_STRIDE;
  uint32_t field = (offset - NPU_SLOT_OFFSET) % NPU_SLOT_STRIDE;
  *wide = field == NPU_SLOT_RPTR || field == NPU_SLOT_WPTR || field == NPU_SLOT_PROGRESS;
  if (!*wide && field != NPU_SLOT_QUEUE && field != NPU_SLOT_STATE) return false;
  *value = dispatcher_->DumpSlot(slot, field);
  return true;
}

// The register that starts at offset.  False: there is none.  Write-only ones read 0.
bool Device::Register(uint32_t offset, uint64_t* value, bool* wide) {
  *wide = false;
  if (offset >= NPU_CORE_OFFSET && offset < kCoresEnd) return ReadCoreWindow(offset, value, wide);
  if (offset >= NPU_SLOT_OFFSET && offset < kSlotsEnd) return ReadSlotWindow(offset, value, wide);
  if (Wide* w = WideRegister(offset)) {
    *value = w->value.load(std::memory_order_acquire);
    *wide = true;
    return true;
  }
  switch (offset) {
    case NPU_REG_MAGIC:
      *value = NPU_MAGIC;
      return true;
    case NPU_REG_HW_VERSION:
      *value = kHwVersion;
      return true;
    case NPU_REG_CONTRACT_VERSION:
      *value = NPU_CONTRACT_VERSION;
      return true;
    case NPU_REG_MEM_SIZE:
      *value = config_.memory_bytes, *wide = true;
      return true;
    case NPU_REG_NUM_CORES:
      *value = config_.cores;
      return true;
    case NPU_REG_NUM_QUEUES:
      *value = config_.queues;
      return true;
    case NPU_REG_NUM_SLOTS:
      *value = NPU_MAX_SLOTS;
      return true;
    case NPU_REG_NUM_CONTEXTS:
      *value = NPU_MAX_CONTEXTS;
      return true;
    case NPU_REG_NUM_VECTORS:
      *value = NPU_NUM_VECTORS;
      return true;
    case NPU_REG_ROM_BYTES:
      *value = rom_.size();
      return true;
    case NPU_REG_TIME_CYCLES:
      *value = dispatcher_->TimeCycles(), *wide = true;
      return true;
    case NPU_REG_TIME_NS:
      *value = TimeNs(), *wide = true;
      return true;
    case NPU_REG_UUID:
      *value = uuid_, *wide = true;
      return true;
    case NPU_REG_SRAM_BYTES:
      *value = kSramBytes;
      return true;
    case NPU_REG_CLOCK_KHZ:
      *value = sensors_.clock_khz();
      return true;
    case NPU_REG_EVENTS:
      *value = events_;
      return true;
    case NPU_REG_EVENT_MASK:
      *value = event_mask_;
      return true;
    case NPU_REG_FW_SIZE:
      *value = fw_size_;
      return true;
    case NPU_REG_FW_STATE:
      *value = mgmt_->state();
      return true;
    case NPU_REG_FW_ERROR:
      *value = mgmt_->error();
      return true;
    case NPU_REG_FW_VERSION:
      *value = mgmt_->version();
      return true;
    case NPU_REG_FW_HEARTBEAT:
      *value = mgmt_->heartbeat();
      return true;
    case NPU_REG_FW_ERROR_INFO:
      *value = mgmt_->error_info();
      return true;
    case NPU_REG_FW_CRASH_PC:
      *value = mgmt_->crash_pc(), *wide = true;
      return true;
    case NPU_REG_MBOX_ACK:
      *value = mbox_ack_.load(std::memory_order_acquire);
      return true;
    case NPU_REG_TLB_REQ:
      *value = dispatcher_->tlb_requests();
      return true;
    case NPU_REG_TLB_ACK:
      *value = dispatcher_->tlb_acks();
      return true;
    case NPU_REG_HEALTH:
      *value = health_;
      return true;
    case NPU_REG_TEMP_MC:
      *value = pub_temp_;
      return true;
    case NPU_REG_POWER_MW:
      *value = pub_power_;
      return true;
    case NPU_REG_ENERGY_UJ:
      *value = sensors_.EnergyUj(TimeNs(), dispatcher_->BusyCycles()), *wide = true;
      return true;
    case NPU_REG_UTIL_PERMILLE:
      *value = pub_util_;
      return true;
    case NPU_REG_THROTTLE:
      *value = pub_throttle_;
      return true;
    case NPU_REG_ECC_CE:
      *value = ecc_.corrected(), *wide = true;
      return true;
    case NPU_REG_ECC_UE:
      *value = ecc_.uncorrected(), *wide = true;
      return true;
    case NPU_REG_LINK_ERRORS:
      *value = link_errors_, *wide = true;
      return true;
    case NPU_REG_RETIRED_PAGES:
      *value = pub_retired_;
      return true;
    case NPU_REG_ACTIVE_QUEUES:
      *value = pub_active_;
      return true;
    case NPU_REG_FAULT_COUNT:
      *value = fault_count_, *wide = true;
      return true;
    case NPU_REG_INJ_KIND:
      *value = inj_kind_;
      return true;
    case NPU_REG_INJ_COUNT:
      *value = inj_count_;
      return true;
    case NPU_REG_INJ_SEED:
      *value = inj_seed_;
      return true;
    case NPU_REG_INJ_STATUS:
      *value = inj_status_;
      return true;
    case NPU_REG_INJ_DONE:
      *value = inj_done_, *wide = true;
      return true;
    case NPU_REG_CTRL:
    case NPU_REG_FW_CTRL:
    case NPU_REG_MBOX_DB:
    case NPU_REG_TLB_INV:
    case NPU_REG_INJ_CTRL:
      *value = 0;
      return true;
    default:
      return false;
  }
}

uint64_t Device::ReadRegister(uint32_t offset, unsigned size) {
  uint64_t value = 0;
  bool wide = false;
  if (size >= 4 && Register(offset, &value, &wide)) {
    if (size == 8 && wide) return value;
    if (size == 4) return static_cast<uint32_t>(value);
  } else if (size == 4 && offset % 8 == 4 && Register(offset - 4, &value, &wide) && wide) {
    return value >> 32;
  }
  Log(NPU_MODEL_LOG_GUEST_ERROR, "no register of %u bytes at 0x%x to read", size, offset);
  return 0;
}

// The write index that the doorbell has latched.
uint64_t Device::ReadDoorbell(uint32_t offset, unsigned size) {
  uint32_t queue = offset / NPU_DOORBELL_STRIDE, at = offset % NPU_DOORBELL_STRIDE;
  if (queue < config_.queues && at < NPU_DB_WPTR + 8 && (size == 8 || size == 4)) {
    uint64_t value = dispatcher_->doorbells().wptr(queue) >> (8 * (at - NPU_DB_WPTR));
    return size == 8 ? value : static_cast<uint32_t>(value);
  }
  Log(NPU_MODEL_LOG_GUEST_ERROR, "doorbell page of queue %u: nothing to read at offset 0x%x (%u bytes)", queue, at,
      size);
  return 0;
}

uint64_t Device::MmioRead(uint64_t offset, unsigned size) {
  bool good = (size == 1 || size == 2 || size == 4 || size == 8) && offset < NPU_BAR0_SIZE && offset % size == 0;
  if (!good) {
    Log(NPU_MODEL_LOG_GUEST_ERROR, "read of %u bytes at 0x%llx: outside or unaligned", size,
        static_cast<unsigned long long>(offset));
    return 0;
  }
  // Like any PCI device in the middle of a reset.
  if (resetting_.load(std::memory_order_acquire)) return size == 8 ? ~0ull : (1ull << (8 * size)) - 1;
  auto at = static_cast<uint32_t>(offset);
  if (at >= NPU_ROM_OFFSET && at < NPU_ROM_OFFSET + NPU_ROM_SIZE) return ReadRom(at - NPU_ROM_OFFSET, size);
  if (at >= NPU_DOORBELL_OFFSET) return ReadDoorbell(at - NPU_DOORBELL_OFFSET, size);
  return ReadRegister(at, size);
}

Device::Wide* Device::WideRegister(uint32_t offset) {
  switch (offset) {
    case NPU_REG_FW_ADDR:
      return &fw_addr_;
    case NPU_REG_MBOX_ADDR:
      return &mbox_addr_;
    case NPU_REG_CTX_TABLE:
      return &ctx_table_;
    case NPU_REG_QUEUE_TABLE:
      return &queue_table_;
    case NPU_REG_INJ_ADDR:
      return &inj_addr_;
    default:
      return nullptr;
  }
}

void Device::WriteFirmwareControl(uint32_t command) {
  if (command == NPU_FW_CTRL_LOAD)
    mgmt_->LoadFirmware(fw_addr_.value, fw_size_);
  else if (command == NPU_FW_CTRL_STOP)
    mgmt_->Stop();
  else
    Log(NPU_MODEL_LOG_GUEST_ERROR, "NPU_REG_FW_CTRL does not know command %u", command);
}

// False: there is no such register of this size, or it is read-only.
bool Device::WriteRegister(uint32_t offset, uint64_t value, unsigned size) {
  Wide* low = WideRegister(offset);
  Wide* high = offset % 8 == 4 ? WideRegister(offset - 4) : nullptr;
  if (low && size == 4) {
    low->low.store(static_cast<uint32_t>(value));
    return true;
  }
  if ((low && size == 8) || (high && size == 4)) {
    Wide& wide = low ? *low : *high;
    wide.value.store(low ? value : value << 32 | wide.low.load(), std::memory_order_release);
    if (&wide == &queue_table_) dispatcher_->SetQueueTable(wide.value);
    return true;
  }
  if (size != 4) return false;
  auto word = static_cast<uint32_t>(value);
  switch (offset) {
    case NPU_REG_CTRL: {
      if (word != NPU_CTRL_RESET) return false;
      std::lock_guard lock(request_mu_);
      resetting_.store(true, std::memory_order_release);
      reset_requested_ = true;
      request_.notify_all();
      return true;
    }
    case NPU_REG_EVENTS:
      events_.fetch_and(~word, std::memory_order_seq_cst);
      return true;
    case NPU_REG_EVENT_MASK:
      SetEventMask(word);
      return true;
    case NPU_REG_FW_SIZE:
      fw_size_ = word;
      return true;
    case NPU_REG_FW_CTRL:
      WriteFirmwareControl(word);
      return true;
    case NPU_REG_MBOX_DB:
      mbox_db_.store(word, std::memory_order_release);
      RaiseMgmt(NPU_MG_IRQ_MBOX);
      return true;
    case NPU_REG_TLB_INV:
      dispatcher_->InvalidateTranslations(word);
      return true;
    case NPU_REG_INJ_KIND:
      inj_kind_ = word;
      return true;
    case NPU_REG_INJ_COUNT:
      inj_count_ = word;
      return true;
    case NPU_REG_INJ_SEED:
      inj_seed_ = word;
      return true;
    case NPU_REG_INJ_CTRL:
      WriteInjection(word);
      return true;
    default:
      return false;
  }
}

void Device::MmioWrite(uint64_t offset, uint64_t value, unsigned size) {
  bool good = (size == 1 || size == 2 || size == 4 || size == 8) && offset < NPU_BAR0_SIZE && offset % size == 0;
  if (!good) {
    Log(NPU_MODEL_LOG_GUEST_ERROR, "write of %u bytes at 0x%llx: outside or unaligned", size,
        static_cast<unsigned long long>(offset));
    return;
  }
  if (resetting_.load(std::memory_order_acquire)) return;
  if (offset >= NPU_DOORBELL_OFFSET) {
    uint64_t at = offset - NPU_DOORBELL_OFFSET;
    dispatcher_->Doorbell(static_cast<uint32_t>(at / NPU_DOORBELL_STRIDE), at % NPU_DOORBELL_STRIDE, value, size);
    return;
  }
  if (!WriteRegister(static_cast<uint32_t>(offset), value, size))
    Log(NPU_MODEL_LOG_GUEST_ERROR, "no register of %u bytes at 0x%llx to write", size,
        static_cast<unsigned long long>(offset));
}

}  // namespace npu::model
