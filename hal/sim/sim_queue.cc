// SPDX-License-Identifier: Apache-2.0
//
// User-mode queues on the simulated device: what the driver's queue ioctls do.
#include <cerrno>

#include "common/error.hpp"
#include "common/resumed.hpp"
#include "sim/sim_device.hpp"

namespace npu::hal::sim {
namespace {

uint64_t RingBytes(uint32_t packets) {
  return (uint64_t{packets} * NPU_PACKET_BYTES + NPU_PAGE_SIZE - 1) & ~uint64_t{NPU_PAGE_SIZE - 1};
}

}  // namespace

Result<std::unique_ptr<Queue>> SimQueue::Create(std::shared_ptr<Context> context, uint32_t ring_log2, uint32_t priority,
                                                uint32_t timeout_ms) {
  if (ring_log2 < NPU_RING_LOG2_MIN || ring_log2 > NPU_RING_LOG2_MAX) {
    return Fail(EINVAL, "a ring has 2^{} to 2^{} packets, not 2^{}", NPU_RING_LOG2_MIN, NPU_RING_LOG2_MAX, ring_log2);
  }
  if (priority >= NPU_QUEUE_PRIORITIES) return Fail(EINVAL, "queue priority {} does not exist", priority);
  std::unique_ptr<SimQueue> queue(new SimQueue(std::move(context)));
  if (Error e = queue->Setup(ring_log2, priority, timeout_ms)) return e;
  return std::unique_ptr<Queue>(std::move(queue));
}

Error SimQueue::Setup(uint32_t ring_log2, uint32_t priority, uint32_t timeout_ms) {
  Machine& machine = context_->machine();
  Result<uint32_t> id = machine.TakeQueue();
  if (!id) return id.error();
  id_ = *id;
  numbered_ = true;
  ring_packets_ = 1u << ring_log2;
  Result<uint64_t> ring = machine.vram().Allocate(RingBytes(ring_packets_), NPU_PAGE_SIZE);
  if (!ring) return ring.error();
  ring_offset_ = *ring;
  ring_ = reinterpret_cast<npu_packet*>(machine.vram().At(ring_offset_));
  status_page_ = MapHostPages(machine, NPU_PAGE_SIZE);
  if (!status_page_) return Fail(ENOMEM, "no host memory for a queue's status page");
  status_ = static_cast<const volatile npu_queue_status*>(status_page_);

  npu_queue_desc* desc = machine.queue_desc(id_);
  *desc = {};
  desc->context = context_->id();
  desc->ring_addr = ring_offset_;
  desc->ring_log2 = ring_log2;
  desc->priority = priority;
  desc->status_addr = reinterpret_cast<uint64_t>(status_page_);
  desc->timeout_ns = uint64_t{timeout_ms} * 1000000;
  desc->flags = NPU_QUEUE_VALID;
  uint64_t args[NPU_MBOX_ARGS] = {id_};
  if (Error e = machine.Command(NPU_ADMIN_QUEUE_CREATE, args, fmt::format("queue {}", id_))) return e;
  created_ = true;
  return {};
}

SimQueue::~SimQueue() {
  Machine& machine = context_->machine();
  if (created_) {
    uint64_t args[NPU_MBOX_ARGS] = {id_};
    Error e = machine.Command(NPU_ADMIN_QUEUE_DESTROY, args, fmt::format("queue {}", id_));
    // Without the firmware's word that no engine works for the queue, its memory cannot be given to anybody else.
    if (e) return;
  }
  if (numbered_) {
    machine.queue_desc(id_)->flags = 0;
    machine.ReturnQueue(id_);
  }
  if (status_page_) UnmapHostPages(machine, status_page_, NPU_PAGE_SIZE);
  if (ring_offset_) machine.vram().Free(ring_offset_, RingBytes(ring_packets_));
  machine.WakeAll();
}

void SimQueue::Doorbell(uint64_t wptr) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  context_->machine().Write64(NPU_DOORBELL_OFFSET + uint64_t{id_} * NPU_DOORBELL_STRIDE + NPU_DB_WPTR, wptr);
}

void SimQueue::Kick() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  context_->machine().Write32(NPU_DOORBELL_OFFSET + uint64_t{id_} * NPU_DOORBELL_STRIDE + NPU_DB_KICK, 1);
}

Error SimQueue::Resume(uint32_t mode) {
  return ResumeQueue(*this, mode, [&] {
    uint64_t args[NPU_MBOX_ARGS] = {id_, mode};
    return context_->machine().Command(NPU_ADMIN_QUEUE_RESUME, args, fmt::format("queue {}", id_));
  });
}

}  // namespace npu::hal::sim
