// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include <cerrno>

#include "common/error.hpp"
#include "drm/drm_device.hpp"

#include <xf86drm.h>

namespace npu::hal::drm {

Result<std::unique_ptr<Buffer>> DrmBuffer::Create(std::shared_ptr<File> file, uint64_t bytes, Memory memory) {
  std::unique_ptr<DrmBuffer> buffer(new DrmBuffer(std::move(file)));
  const char* kind = memory == Memory::kDevice ? "device" : "host";
  drm_npu_bo_create create = {};
  create.size = bytes;
  create.flags = memory == Memory::kDevice ? DRM_NPU_BO_DEVICE : DRM_NPU_BO_HOST;
  if (int rc = buffer->file_->Ioctl(DRM_IOCTL_NPU_BO_CREATE, &create)) {
    return Fail(rc, "{}: no buffer of {} bytes of {} memory: {}", buffer->file_->node(), bytes, kind, ErrnoText(rc));
  }
  buffer->handle_ = create.handle;
  buffer->memory_ = memory;
  drm_npu_bo_mmap where = {};
  where.handle = create.handle;
  if (int rc = buffer->file_->Ioctl(DRM_IOCTL_NPU_BO_MMAP, &where)) {
    return Fail(rc, "{}: buffer {} cannot be mapped: {}", buffer->file_->node(), create.handle, ErrnoText(rc));
  }
  buffer->map_ = buffer->file_->Map(where.offset, create.size, PROT_READ | PROT_WRITE);
  if (!buffer->map_) {
    return Fail(errno, "{}: cannot map {} bytes of {} memory: {}", buffer->file_->node(), create.size, kind,
                ErrnoText(errno));
  }
  buffer->size_ = create.size;
  return std::unique_ptr<Buffer>(std::move(buffer));
}

DrmBuffer::~DrmBuffer() {
  if (map_) munmap(map_, size_);
  if (handle_) drmCloseBufferHandle(file_->fd(), handle_);
}

}  // namespace npu::hal::drm
