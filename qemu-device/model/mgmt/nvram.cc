// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "mgmt/nvram.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace npu::model {
namespace {

std::string Errno() {
  return std::strerror(errno);
}

bool ReadAll(int fd, uint8_t* to, size_t bytes) {
  while (bytes != 0) {
    const ssize_t got = read(fd, to, bytes);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got, bytes -= static_cast<size_t>(got);
  }
  return true;
}

bool WriteAll(int fd, const uint8_t* from, size_t bytes) {
  while (bytes != 0) {
    const ssize_t put = write(fd, from, bytes);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    from += put, bytes -= static_cast<size_t>(put);
  }
  return true;
}

}  // namespace

Nvram::Nvram(std::string path, std::function<void(const std::string&)> log)
    : path_(std::move(path)), log_(std::move(log)) {
  if (!path_.empty() && !ReadFile()) {
    bytes_.fill(0);
    path_.clear();
  }
}

bool Nvram::ReadFile() {
  const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return true;
    log_("nvram file " + path_ + ": " + Errno() + "; not used, retired pages will be lost at power-off");
    return false;
  }
  struct stat status;
  bool good = fstat(fd, &status) == 0;
  if (good && status.st_size != NPU_MG_NVRAM_BYTES) {
    log_("nvram file " + path_ + " has " + std::to_string(status.st_size) + " bytes, not " +
         std::to_string(NPU_MG_NVRAM_BYTES) + "; not used, and left as it is: remove it to start afresh");
    good = false;
  } else if (!good || !ReadAll(fd, bytes_.data(), bytes_.size())) {
    log_("nvram file " + path_ + " cannot be read: " + Errno() + "; not used");
    good = false;
  }
  close(fd);
  return good;
}

bool Nvram::WriteFile() {
  const std::string fresh = path_ + ".new";
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  bool good = WriteAll(fd, bytes_.data(), bytes_.size()) && fdatasync(fd) == 0;
  if (close(fd) != 0) good = false;
  good = good && rename(fresh.c_str(), path_.c_str()) == 0;
  if (!good) {
    const int why = errno;
    unlink(fresh.c_str());
    errno = why;
  }
  return good;
}

uint64_t Nvram::Read(uint32_t offset, unsigned size) const {
  uint64_t value = 0;
  std::memcpy(&value, bytes_.data() + offset, size);
  return value;
}

void Nvram::Write(uint32_t offset, unsigned size, uint64_t value) {
  if (std::memcmp(bytes_.data() + offset, &value, size) == 0) return;
  std::memcpy(bytes_.data() + offset, &value, size);
  dirty_ = true;
}

void Nvram::Flush() {
  if (!dirty_) return;
  dirty_ = false;
  if (!path_.empty() && !WriteFile()) {
    log_("nvram file " + path_ + " cannot be written: " + Errno() + "; retired pages will be lost at power-off");
    path_.clear();
  }
}

}  // namespace npu::model
