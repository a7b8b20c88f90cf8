// SPDX-License-Identifier: Apache-2.0
#include "fake_device.h"

#include <chrono>

#include "npu_fault.h"

namespace {

constexpr uint32_t kSlotsEnd = NPU_MG_SLOT_OFFSET + NPU_MAX_SLOTS * NPU_MG_SLOT_STRIDE;

}  // namespace

void FakeDevice::MgmtStateChanged() {
  std::lock_guard lock(mutex_);
  ++state_changes;
  changed_.notify_all();
}

void FakeDevice::Poke() {
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

bool FakeDevice::WaitFor(const std::function<bool()>& holds) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(30), holds);
}

void FakeDevice::With(const std::function<void()>& f) {
  std::unique_lock lock(mutex_);
  f();
}

// Ends a change made with the lock: interrupts are raised without it.
void FakeDevice::Finish() {
  uint32_t bits = 0;
  {
    std::lock_guard lock(mutex_);
    bits = irq_;
    irq_ = 0;
    changed_.notify_all();
  }
  if (bits != 0 && mgmt) mgmt->RaiseIrq(bits);
}

void FakeDevice::Ring(uint32_t number, uint64_t wptr) {
  With([&] {
    Queue& queue = queues[number];
    if (queue.dead) return;
    queue.wptr = wptr;
    if (queue.slot >= 0) {
      Update(static_cast<uint32_t>(queue.slot));
    } else {
      queue.marked = true;
      irq_ |= NPU_MG_IRQ_DOORBELL;
    }
  });
  Finish();
}

void FakeDevice::FinishPackets(uint32_t number, uint64_t count) {
  With([&] {
    const int index = queues[number].slot;
    if (index < 0) return;
    Slot& slot = slots[static_cast<size_t>(index)];
    slot.rptr += count;
    slot.progress += count;
    if (slot.state == NPU_SLOT_DRAINING)
      Empty(static_cast<uint32_t>(index));
    else
      Update(static_cast<uint32_t>(index));
  });
  Finish();
}

void FakeDevice::Progress(uint32_t number) {
  With([&] {
    if (queues[number].slot >= 0) ++slots[static_cast<size_t>(queues[number].slot)].progress;
  });
}

void FakeDevice::SetBehaviour(uint32_t number, Behaviour behaviour) {
  With([&] {
    queues[number].behaviour = behaviour;
    if (queues[number].slot >= 0) Update(static_cast<uint32_t>(queues[number].slot));
  });
  Finish();
}

void FakeDevice::RaiseRas() {
  mgmt->RaiseIrq(NPU_MG_IRQ_RAS);
}

void FakeDevice::Mark(uint32_t index) {
  slots[index].changed = true;
  irq_ |= NPU_MG_IRQ_SLOT;
}

void FakeDevice::SetState(uint32_t index, uint32_t state) {
  if (state == NPU_SLOT_RUNNING && slots[index].state != NPU_SLOT_RUNNING) {
    bool any = false;
    for (const Slot& slot : slots) any = any || slot.state == NPU_SLOT_RUNNING;
    if (!any) irq_ |= NPU_MG_IRQ_BUSY;
  }
  slots[index].state = state;
}

// What the queue's packets do now.
void FakeDevice::Update(uint32_t index) {
  Slot& slot = slots[index];
  Queue& queue = queues[static_cast<size_t>(slot.queue)];
  if (slot.state == NPU_SLOT_FAULTED || slot.state == NPU_SLOT_DRAINING) return;
  if (queue.behaviour == Behaviour::kInstant && slot.rptr < queue.wptr) {
    slot.progress += queue.wptr - slot.rptr;
    slot.rptr = queue.wptr;
  }
  if (slot.rptr == queue.wptr) {
    SetState(index, NPU_SLOT_IDLE);
  } else if (queue.behaviour == Behaviour::kHold) {
    SetState(index, NPU_SLOT_RUNNING);
  } else if (queue.behaviour == Behaviour::kWait) {
    SetState(index, NPU_SLOT_WAITING);
  } else {
    slot.fault = queue.fault_kind;
    SetState(index, NPU_SLOT_FAULTED);
    Mark(index);
  }
}

void FakeDevice::Empty(uint32_t index) {
  Slot& slot = slots[index];
  const bool runs = slot.state == NPU_SLOT_RUNNING || slot.state == NPU_SLOT_DRAINING;
  slot.partial = partial && runs && !slot.drain;
  slot.drain = false;
  queues[static_cast<size_t>(slot.queue)].slot = -1;
  queues[static_cast<size_t>(slot.queue)].rptr = slot.rptr;
  slot.queue = -1;
  SetState(index, NPU_SLOT_EMPTY);
  Mark(index);
}

uint32_t FakeDevice::Map(uint32_t index) {
  Slot& slot = slots[index];
  if (slot.state != NPU_SLOT_EMPTY || slot.set_queue >= num_queues) return NPU_ADMIN_EINVAL;
  Queue& queue = queues[slot.set_queue];
  if (queue.slot >= 0) return NPU_ADMIN_EBUSY;
  queue.slot = static_cast<int>(index);
  queue.marked = false;
  ++queue.maps;
  map_order.push_back(slot.set_queue);
  slot.queue = static_cast<int>(slot.set_queue);
  slot.rptr = slot.set_rptr;
  slot.progress = 0;
  slot.fault = 0;
  SetState(index, NPU_SLOT_IDLE);
  Update(index);
  return NPU_ADMIN_OK;
}

uint32_t FakeDevice::Command(uint32_t index, uint32_t command) {
  Slot& slot = slots[index];
  if (command == NPU_MG_SLOT_CMD_MAP) return Map(index);
  if (slot.state == NPU_SLOT_EMPTY) return NPU_ADMIN_ENOENT;
  const bool runs = slot.state == NPU_SLOT_RUNNING || slot.state == NPU_SLOT_DRAINING;
  switch (command) {
    case NPU_MG_SLOT_CMD_UNMAP:
    case NPU_MG_SLOT_CMD_DRAIN:
      slot.drain = command == NPU_MG_SLOT_CMD_DRAIN;
      if (runs && (slow_unmap || slot.drain))
        SetState(index, NPU_SLOT_DRAINING);
      else
        Empty(index);
      return NPU_ADMIN_OK;
    case NPU_MG_SLOT_CMD_KILL:
      if (deaf) return NPU_ADMIN_OK;
      slot.fault = slot.kill_kind;
      SetState(index, NPU_SLOT_FAULTED);
      Mark(index);
      return NPU_ADMIN_OK;
    case NPU_MG_SLOT_CMD_SKIP:
    case NPU_MG_SLOT_CMD_FLUSH:
      if (slot.state != NPU_SLOT_FAULTED) return NPU_ADMIN_EINVAL;
      slot.rptr = command == NPU_MG_SLOT_CMD_SKIP ? slot.rptr + 1 : queues[static_cast<size_t>(slot.queue)].wptr;
      slot.fault = 0;
      SetState(index, NPU_SLOT_IDLE);
      Update(index);
      return NPU_ADMIN_OK;
    default:
      return NPU_ADMIN_EINVAL;
  }
}

// The launches that were killed in vain end now, but for those on hung cores.
void FakeDevice::ResetCores(uint64_t mask) {
  ++core_resets;
  stuck &= ~mask | hung;
  if (stuck != 0) return;
  for (uint32_t s = 0; s < slots.size(); ++s) {
    if (slots[s].state != NPU_SLOT_RUNNING && slots[s].state != NPU_SLOT_DRAINING) continue;
    slots[s].fault = slots[s].kill_kind;
    SetState(s, NPU_SLOT_FAULTED);
    Mark(s);
  }
}

uint32_t FakeDevice::NextMarkedQueue() {
  for (uint32_t q = 0; q < num_queues; ++q)
    if (queues[q].marked) {
      queues[q].marked = false;
      return q + 1;
    }
  return 0;
}

uint32_t FakeDevice::NextChangedSlot() {
  for (uint32_t s = 0; s < slots.size(); ++s)
    if (slots[s].changed) {
      slots[s].changed = false;
      return s + 1;
    }
  return 0;
}

bool FakeDevice::ReadSlot(Slot& slot, uint32_t reg, unsigned size, uint64_t* value) {
  const bool wide =
      reg == NPU_MG_SLOT_SET_RPTR || reg == NPU_MG_SLOT_RPTR || reg == NPU_MG_SLOT_WPTR || reg == NPU_MG_SLOT_PROGRESS;
  if (size != (wide ? 8u : 4u)) return false;
  switch (reg) {
    case NPU_MG_SLOT_QUEUE:
      *value = static_cast<uint32_t>(slot.queue + 1);
      return true;
    case NPU_MG_SLOT_STATE:
      *value = slot.state;
      return true;
    case NPU_MG_SLOT_RESULT:
      *value = slot.result;
      return true;
    case NPU_MG_SLOT_RPTR:
      *value = slot.rptr;
      return true;
    case NPU_MG_SLOT_WPTR:
      *value = slot.queue >= 0 ? queues[static_cast<size_t>(slot.queue)].wptr : 0;
      return true;
    case NPU_MG_SLOT_PROGRESS:
      *value = slot.progress;
      return true;
    case NPU_MG_SLOT_FAULT:
      *value = slot.fault;
      return true;
    case NPU_MG_SLOT_STARVED:
      *value = 0;
      return true;
    case NPU_MG_SLOT_PARTIAL:
      *value = slot.partial;
      return true;
    default:
      return false;
  }
}

bool FakeDevice::WriteSlot(uint32_t index, uint32_t reg, unsigned size, uint64_t value) {
  if (size != (reg == NPU_MG_SLOT_SET_RPTR ? 8u : 4u)) return false;
  Slot& slot = slots[index];
  const auto word = static_cast<uint32_t>(value);
  switch (reg) {
    case NPU_MG_SLOT_QUEUE:
      slot.set_queue = word;
      return true;
    case NPU_MG_SLOT_SET_RPTR:
      slot.set_rptr = value;
      return true;
    case NPU_MG_SLOT_KILL_KIND:
      slot.kill_kind = word;
      return true;
    case NPU_MG_SLOT_PRIORITY:
      slot.priority = word;
      return true;
    case NPU_MG_SLOT_CMD:
      slot.result = Command(index, word);
      return true;
    default:
      return false;
  }
}

bool FakeDevice::MgmtRead(uint32_t offset, unsigned size, uint64_t* value) {
  std::lock_guard lock(mutex_);
  if (offset >= NPU_MG_SLOT_OFFSET && offset < kSlotsEnd)
    return ReadSlot(slots[(offset - NPU_MG_SLOT_OFFSET) / NPU_MG_SLOT_STRIDE],
                    (offset - NPU_MG_SLOT_OFFSET) % NPU_MG_SLOT_STRIDE, size, value);
  struct Register {
    uint32_t offset;
    unsigned size;
    uint64_t value;
  };
  const Register plain[] = {
      {NPU_MG_MBOX_ADDR, 8, mbox_addr},
      {NPU_MG_MBOX_DB, 4, mbox_db},
      {NPU_MG_CTX_TABLE, 8, kContextTable},
      {NPU_MG_QUEUE_TABLE, 8, kQueueTable},
      {NPU_MG_MEM_SIZE, 8, kMemoryBytes},
      {NPU_MG_NUM_QUEUES, 4, num_queues},
      {NPU_MG_NUM_SLOTS, 4, slots.size()},
      {NPU_MG_NUM_CONTEXTS, 4, 256},
      {NPU_MG_NUM_CORES, 4, 4},
      {NPU_MG_CTX_RESULT, 4, context_result_},
      {NPU_MG_DB_WPTR, 8, queues[selected_].wptr},
      {NPU_MG_SENSOR_TEMP, 4, static_cast<uint32_t>(temperature)},
      {NPU_MG_SENSOR_POWER, 4, 12'345},
      {NPU_MG_SENSOR_BUSY, 8, busy},
      {NPU_MG_SENSOR_LINK, 8, link},
      {NPU_MG_CORE_STUCK, 8, stuck},
  };
  for (const Register& r : plain) {
    if (r.offset != offset) continue;
    *value = r.value;
    return r.size == size;
  }
  switch (offset) {
    case NPU_MG_DB_NEXT:
      *value = NextMarkedQueue();
      return size == 4;
    case NPU_MG_SLOT_NEXT:
      *value = NextChangedSlot();
      return size == 4;
    case NPU_MG_SENSOR_ECC_ADDR:
      *value = ~uint64_t{0};
      if (!ecc.empty()) {
        *value = ecc.front();
        ecc.erase(ecc.begin());
      }
      return size == 8;
    default:
      return false;
  }
}

bool FakeDevice::MgmtWrite(uint32_t offset, unsigned size, uint64_t value) {
  bool known = true;
  {
    std::lock_guard lock(mutex_);
    const auto word = static_cast<uint32_t>(value);
    if (offset >= NPU_MG_SLOT_OFFSET && offset < kSlotsEnd) {
      known = WriteSlot((offset - NPU_MG_SLOT_OFFSET) / NPU_MG_SLOT_STRIDE,
                        (offset - NPU_MG_SLOT_OFFSET) % NPU_MG_SLOT_STRIDE, size, value);
    } else if (offset == NPU_MG_DB_WPTR && size == 8) {
      if (queues[selected_].dead && queues[selected_].slot < 0) queues[selected_].wptr = value;
    } else if (offset == NPU_MG_ECC_SCRUB && size == 8) {
      scrubs.push_back(value);
    } else if (offset == NPU_MG_CORE_RESET && size == 8) {
      ResetCores(value);
    } else if (size != 4) {
      known = false;
    } else {
      switch (offset) {
        case NPU_MG_HOST_EVENT:
          host_events |= word;
          break;
        case NPU_MG_MBOX_ACK:
          mbox_ack = word;
          break;
        case NPU_MG_CTX_ENABLE:
          context_result_ = contexts.insert(word).second ? NPU_ADMIN_OK : NPU_ADMIN_EEXIST;
          break;
        case NPU_MG_CTX_DISABLE:
          context_result_ = contexts.erase(word) ? NPU_ADMIN_OK : NPU_ADMIN_ENOENT;
          break;
        case NPU_MG_DB_QUEUE:
          selected_ = word % num_queues;
          break;
        case NPU_MG_DB_CLEAR:
          queues[selected_].wptr = 0;
          queues[selected_].marked = false;
          break;
        case NPU_MG_DB_DEAD:
          queues[selected_].dead = word != 0;
          break;
        case NPU_MG_CLOCK_KHZ:
          clock_khz = word;
          break;
        case NPU_MG_HEALTH:
          health = word;
          break;
        case NPU_MG_PUB_THROTTLE:
          throttle = word;
          break;
        case NPU_MG_PUB_ACTIVE_QUEUES:
          active_queues = word;
          break;
        case NPU_MG_PUB_RETIRED:
          retired = word;
          break;
        case NPU_MG_PUB_UTIL:
          utilisation = word;
          break;
        case NPU_MG_PUB_TEMP:
        case NPU_MG_PUB_POWER:
          break;
        default:
          known = false;
      }
    }
  }
  Finish();
  return known;
}
