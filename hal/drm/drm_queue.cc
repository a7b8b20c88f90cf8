// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include <atomic>
#include <cerrno>

#include "common/error.hpp"
#include "common/resumed.hpp"
#include "drm/drm_device.hpp"
#include "npu_regs.h"

namespace npu::hal::drm {
namespace {

uint64_t RingBytes(uint32_t packets) {
  return (uint64_t{packets} * NPU_PACKET_BYTES + NPU_PAGE_SIZE - 1) & ~uint64_t{NPU_PAGE_SIZE - 1};
}

}  // namespace

Result<std::unique_ptr<Queue>> DrmQueue::Create(std::shared_ptr<File> file, uint32_t ring_log2, uint32_t priority,
                                                uint32_t timeout_ms) {
  std::unique_ptr<DrmQueue> queue(new DrmQueue(std::move(file)));
  drm_npu_queue_create create = {};
  create.ring_log2 = ring_log2;
  create.priority = priority;
  create.timeout_ms = timeout_ms;
  if (int rc = queue->file_->Ioctl(DRM_IOCTL_NPU_QUEUE_CREATE, &create)) {
    return Fail(rc, "{}: no queue of 2^{} packets and priority {}: {}{}", queue->file_->node(), ring_log2, priority,
                ErrnoText(rc), rc == EACCES || rc == EPERM ? "; priorities above normal need CAP_SYS_NICE" : "");
  }
  queue->created_ = true;
  queue->id_ = create.queue;
  queue->ring_packets_ = 1u << ring_log2;
  if (Error e = queue->MapAll(create)) return e;
  return std::unique_ptr<Queue>(std::move(queue));
}

Error DrmQueue::MapAll(const drm_npu_queue_create& made) {
  struct {
    void** pointer;
    uint64_t offset, bytes;
    int protection;
    const char* what;
  } const parts[] = {
      {reinterpret_cast<void**>(&ring_), made.ring_offset, RingBytes(ring_packets_), PROT_READ | PROT_WRITE, "ring"},
      {&status_page_, made.status_offset, NPU_PAGE_SIZE, PROT_READ, "status page"},
      {&doorbell_, made.doorbell_offset, NPU_DOORBELL_STRIDE, PROT_READ | PROT_WRITE, "doorbell page"},
  };
  for (const auto& part : parts) {
    *part.pointer = file_->Map(part.offset, part.bytes, part.protection);
    if (!*part.pointer) {
      return Fail(errno, "{}: cannot map the {} of queue {}: {}", file_->node(), part.what, id_, ErrnoText(errno));
    }
  }
  status_ = static_cast<const volatile npu_queue_status*>(status_page_);
  return {};
}

DrmQueue::~DrmQueue() {
  if (created_) {
    drm_npu_queue_destroy destroy = {};
    destroy.queue = id_;
    file_->Ioctl(DRM_IOCTL_NPU_QUEUE_DESTROY, &destroy);
  }
  if (ring_) munmap(ring_, RingBytes(ring_packets_));
  if (status_page_) munmap(status_page_, NPU_PAGE_SIZE);
  if (doorbell_) munmap(doorbell_, NPU_DOORBELL_STRIDE);
}

void DrmQueue::Doorbell(uint64_t wptr) {
  // A full barrier also empties the write-combining buffers that the ring is mapped through.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  *reinterpret_cast<volatile uint64_t*>(static_cast<char*>(doorbell_) + NPU_DB_WPTR) = wptr;
}

void DrmQueue::Kick() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  *reinterpret_cast<volatile uint32_t*>(static_cast<char*>(doorbell_) + NPU_DB_KICK) = 1;
}

Error DrmQueue::Resume(uint32_t mode) {
  return ResumeQueue(*this, mode, [&]() -> Error {
    drm_npu_queue_resume resume = {};
    resume.queue = id_;
    resume.mode = mode;
    int rc = file_->Ioctl(DRM_IOCTL_NPU_QUEUE_RESUME, &resume);
    if (rc) return Fail(rc, "{}: queue {} cannot be resumed: {}", file_->node(), id_, ErrnoText(rc));
    return {};
  });
}

}  // namespace npu::hal::drm
