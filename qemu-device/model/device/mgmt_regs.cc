// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The device's half of the management core's registers (npu_mgmt.h).
#include "device/device.h"
#include "npu_mgmt.h"
#include "npu_regs.h"

namespace npu::model {
namespace {

constexpr uint32_t kSlotsEnd = NPU_MG_SLOT_OFFSET + NPU_MAX_SLOTS * NPU_MG_SLOT_STRIDE;

bool InSlots(uint32_t offset) {
  return offset >= NPU_MG_SLOT_OFFSET && offset < kSlotsEnd;
}

}  // namespace

bool Device::MgmtReadQueues(uint32_t offset, uint64_t* value) {
  switch (offset) {
    case NPU_MG_MBOX_ADDR:
      *value = mbox_addr_.value;
      return true;
    case NPU_MG_MBOX_DB:
      *value = mbox_db_.load(std::memory_order_acquire);
      return true;
    case NPU_MG_CTX_TABLE:
      *value = ctx_table_.value;
      return true;
    case NPU_MG_QUEUE_TABLE:
      *value = queue_table_.value;
      return true;
    case NPU_MG_MEM_SIZE:
      *value = config_.memory_bytes;
      return true;
    case NPU_MG_NUM_QUEUES:
      *value = config_.queues;
      return true;
    case NPU_MG_NUM_SLOTS:
      *value = NPU_MAX_SLOTS;
      return true;
    case NPU_MG_NUM_CONTEXTS:
      *value = NPU_MAX_CONTEXTS;
      return true;
    case NPU_MG_NUM_CORES:
      *value = config_.cores;
      return true;
    case NPU_MG_CTX_RESULT:
      *value = ctx_result_;
      return true;
    case NPU_MG_DB_NEXT:
      *value = dispatcher_->doorbells().NextMarked();
      return true;
    case NPU_MG_DB_QUEUE:
      *value = db_queue_;
      return true;
    case NPU_MG_DB_WPTR:
      *value = db_queue_ < config_.queues ? dispatcher_->doorbells().wptr(db_queue_) : 0;
      return true;
    case NPU_MG_CORE_STUCK:
      *value = dispatcher_->StuckCores();
      return true;
    case NPU_MG_SLOT_NEXT:
      *value = dispatcher_->NextChangedSlot();
      return true;
    default:
      return false;
  }
}

bool Device::MgmtReadSensor(uint32_t offset, uint64_t* value) {
  uint64_t now = TimeNs(), busy = dispatcher_->BusyCycles();
  switch (offset) {
    case NPU_MG_SENSOR_TEMP:
      *value = static_cast<uint32_t>(sensors_.TemperatureMc(now, busy));
      return true;
    case NPU_MG_SENSOR_POWER:
      *value = sensors_.PowerMw(now, busy);
      return true;
    case NPU_MG_SENSOR_ENERGY:
      *value = sensors_.EnergyUj(now, busy);
      return true;
    case NPU_MG_SENSOR_BUSY:
      *value = busy;
      return true;
    case NPU_MG_SENSOR_ECC_CE:
      *value = ecc_.corrected();
      return true;
    case NPU_MG_SENSOR_ECC_UE:
      *value = ecc_.uncorrected();
      return true;
    case NPU_MG_SENSOR_ECC_ADDR:
      *value = ecc_.TakeEvent();
      return true;
    case NPU_MG_SENSOR_LINK:
      *value = link_errors_;
      return true;
    case NPU_MG_CLOCK_KHZ:
      *value = sensors_.clock_khz();
      return true;
    case NPU_MG_HEALTH:
      *value = health_;
      return true;
    case NPU_MG_PUB_TEMP:
      *value = pub_temp_;
      return true;
    case NPU_MG_PUB_POWER:
      *value = pub_power_;
      return true;
    case NPU_MG_PUB_UTIL:
      *value = pub_util_;
      return true;
    case NPU_MG_PUB_THROTTLE:
      *value = pub_throttle_;
      return true;
    case NPU_MG_PUB_ACTIVE_QUEUES:
      *value = pub_active_;
      return true;
    case NPU_MG_PUB_RETIRED:
      *value = pub_retired_;
      return true;
    default:
      return false;
  }
}

bool Device::MgmtRead(uint32_t offset, unsigned size, uint64_t* value) {
  if (InSlots(offset)) {
    uint32_t slot = (offset - NPU_MG_SLOT_OFFSET) / NPU_MG_SLOT_STRIDE;
    return dispatcher_->ReadSlot(slot, (offset - NPU_MG_SLOT_OFFSET) % NPU_MG_SLOT_STRIDE, size, value);
  }
  // The size comes first: some reads have side effects, which an access of the wrong size must not have.
  bool wide = offset == NPU_MG_MBOX_ADDR || offset == NPU_MG_CTX_TABLE || offset == NPU_MG_QUEUE_TABLE ||
              offset == NPU_MG_MEM_SIZE || offset == NPU_MG_DB_WPTR || offset == NPU_MG_CORE_STUCK ||
              offset == NPU_MG_SENSOR_ENERGY || (offset >= NPU_MG_SENSOR_BUSY && offset <= NPU_MG_SENSOR_LINK);
  if (size != (wide ? 8u : 4u)) return false;
  return MgmtReadQueues(offset, value) || MgmtReadSensor(offset, value);
}

// Registers of the queue that NPU_MG_DB_QUEUE selects.
bool Device::MgmtWriteSelected(uint32_t offset, uint64_t value) {
  uint32_t queue = db_queue_;
  if (queue >= config_.queues) {
    Log(NPU_MODEL_LOG_GUEST_ERROR, "firmware: NPU_MG_DB_QUEUE selects queue %u of %u", queue, config_.queues);
    return true;
  }
  if (offset == NPU_MG_DB_CLEAR)
    dispatcher_->ClearQueue(queue);
  else if (offset == NPU_MG_DB_WPTR)
    dispatcher_->SetQueueWptr(queue, value);
  else
    dispatcher_->doorbells().SetDead(queue, value & 1);
  return true;
}

bool Device::MgmtWrite(uint32_t offset, unsigned size, uint64_t value) {
  if (InSlots(offset)) {
    uint32_t slot = (offset - NPU_MG_SLOT_OFFSET) / NPU_MG_SLOT_STRIDE;
    return dispatcher_->WriteSlot(slot, (offset - NPU_MG_SLOT_OFFSET) % NPU_MG_SLOT_STRIDE, size, value);
  }
  if (size == 8 && offset == NPU_MG_DB_WPTR) return MgmtWriteSelected(offset, value);
  if (size == 8 && offset == NPU_MG_ECC_SCRUB) {
    ecc_.Scrub(value & ~uint64_t{NPU_PAGE_SIZE - 1}, NPU_PAGE_SIZE);
    return true;
  }
  if (size == 8 && offset == NPU_MG_CORE_RESET) {
    dispatcher_->ResetCores(value);
    return true;
  }
  if (size != 4) return false;
  auto word = static_cast<uint32_t>(value);
  switch (offset) {
    case NPU_MG_HOST_EVENT:
      LatchEvents(word);
      return true;
    case NPU_MG_MBOX_ACK:
      mbox_ack_.store(word, std::memory_order_release);
      LatchEvents(NPU_EVENT_MBOX);
      return true;
    case NPU_MG_CTX_ENABLE:
      ctx_result_ = dispatcher_->EnableContext(word, ctx_table_.value);
      return true;
    case NPU_MG_CTX_DISABLE:
      ctx_result_ = dispatcher_->DisableContext(word);
      return true;
    case NPU_MG_DB_QUEUE:
      db_queue_ = word;
      return true;
    case NPU_MG_DB_CLEAR:
    case NPU_MG_DB_DEAD:
      return MgmtWriteSelected(offset, word);
    case NPU_MG_CLOCK_KHZ:
      if (Sensors::ValidClock(word))
        sensors_.SetClock(TimeNs(), dispatcher_->BusyCycles(), word);
      else
        Log(NPU_MODEL_LOG_GUEST_ERROR, "firmware: the core clock cannot be %u kHz", word);
      return true;
    case NPU_MG_HEALTH:
      health_ = word;
      return true;
    case NPU_MG_PUB_TEMP:
      pub_temp_ = word;
      return true;
    case NPU_MG_PUB_POWER:
      pub_power_ = word;
      return true;
    case NPU_MG_PUB_UTIL:
      pub_util_ = word;
      return true;
    case NPU_MG_PUB_THROTTLE:
      pub_throttle_ = word;
      return true;
    case NPU_MG_PUB_ACTIVE_QUEUES:
      pub_active_ = word;
      return true;
    case NPU_MG_PUB_RETIRED:
      pub_retired_ = word;
      return true;
    default:
      return false;
  }
}

}  // namespace npu::model
