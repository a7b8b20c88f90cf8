// SPDX-License-Identifier: Apache-2.0
//
// Backend drm: a context on a device of the kernel driver, over libdrm and kernel/uapi/npu_accel.h.
#pragma once

#include <memory>
#include <string>

#include "hal/hal.hpp"
#include "npu_accel.h"

namespace npu::hal::drm {

// An open file of the accel node; device, buffers and queues share it, so that it is closed last.
class File {
 public:
  File(int fd, std::string node) : fd_(fd), node_(std::move(node)) {}
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }
  const std::string& node() const { return node_; }
  // 0, or an errno value.  Interrupted calls are restarted.
  int Ioctl(unsigned long request, void* argument) const;
  // nullptr and errno on failure.
  void* Map(uint64_t offset, uint64_t bytes, int protection) const;

 private:
  int fd_;
  std::string node_;
};

class DrmBuffer : public Buffer {
 public:
  static Result<std::unique_ptr<Buffer>> Create(std::shared_ptr<File> file, uint64_t bytes, Memory memory);
  ~DrmBuffer() override;
  uint32_t handle() const { return handle_; }

 private:
  explicit DrmBuffer(std::shared_ptr<File> file) : file_(std::move(file)) {}
  std::shared_ptr<File> file_;
  uint32_t handle_ = 0;  // 0: none
};

class DrmQueue : public Queue {
 public:
  static Result<std::unique_ptr<Queue>> Create(std::shared_ptr<File> file, uint32_t ring_log2, uint32_t priority,
                                               uint32_t timeout_ms);
  ~DrmQueue() override;
  void Doorbell(uint64_t wptr) override;
  void Kick() override;
  Error Resume(uint32_t mode) override;

 private:
  explicit DrmQueue(std::shared_ptr<File> file) : file_(std::move(file)) {}
  Error MapAll(const drm_npu_queue_create& made);

  std::shared_ptr<File> file_;
  bool created_ = false;
  void* status_page_ = nullptr;
  void* doorbell_ = nullptr;
};

// "0000:00:04.0" of /dev/accel/accelN, "" when sysfs does not tell.
std::string NodeBdf(const std::string& node);
// One sysfs attribute of the node's PCI device as a number.  The error names the file.
Result<int64_t> ReadAttribute(const std::string& bdf, const char* name);

}  // namespace npu::hal::drm
