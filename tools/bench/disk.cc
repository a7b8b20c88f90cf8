// SPDX-License-Identifier: Apache-2.0
#include "disk.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "bench.h"

namespace npu::bench {

Disk::Disk(const std::string& node) : node_(node) {
  const double give_up = Seconds() + 10;
  while ((fd_ = open(node.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC)) < 0) {
    if (Seconds() > give_up) Fail("cannot open " + node + ": " + strerror(errno));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  void* memory =
      mmap(nullptr, kDepthMax * kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) Fail("no memory for reads of " + node);
  buffers_ = static_cast<uint8_t*>(memory);
  if (syscall(SYS_io_setup, kDepthMax, &aio_)) Fail(std::string("io_setup: ") + strerror(errno));
}

Disk::~Disk() {
  syscall(SYS_io_destroy, aio_);
  munmap(buffers_, kDepthMax * kBytes);
  close(fd_);
}

void Disk::Read() {
  if (pread(fd_, buffers_, kBytes, 0) != kBytes) Fail("cannot read " + node_ + ": " + strerror(errno));
}

void Disk::ReadDeep(unsigned count, unsigned depth) {
  if (depth > kDepthMax) Fail("a disk's queue is shorter than " + std::to_string(depth));
  iocb blocks[kDepthMax] = {};
  iocb* ready[kDepthMax];
  io_event events[kDepthMax];
  unsigned ready_count = 0, under_way = 0, left = count;
  for (unsigned i = 0; i < depth; i++) {
    blocks[i].aio_fildes = static_cast<uint32_t>(fd_);
    blocks[i].aio_lio_opcode = IOCB_CMD_PREAD;
    blocks[i].aio_buf = reinterpret_cast<uint64_t>(buffers_ + i * kBytes);
    blocks[i].aio_nbytes = kBytes;
    blocks[i].aio_offset = static_cast<int64_t>(i) * kBytes;
    blocks[i].aio_data = i;
    ready[ready_count++] = &blocks[i];
  }
  while (left || under_way) {
    const unsigned batch = std::min(ready_count, left);
    if (batch) {
      const long taken = syscall(SYS_io_submit, aio_, batch, ready + ready_count - batch);
      if (taken <= 0) Fail(std::string("io_submit: ") + strerror(errno));
      // What was not taken stays ready: it lies behind what was.
      memmove(ready + ready_count - batch, ready + ready_count - batch + taken,
              (batch - static_cast<unsigned>(taken)) * sizeof *ready);
      ready_count -= static_cast<unsigned>(taken);
      under_way += static_cast<unsigned>(taken);
      left -= static_cast<unsigned>(taken);
    }
    const long got = syscall(SYS_io_getevents, aio_, 1L, long{kDepthMax}, events, nullptr);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) Fail(std::string("io_getevents: ") + strerror(errno));
    for (long i = 0; i < got; i++) {
      if (events[i].res != kBytes) Fail("a read of " + node_ + " gave " + std::to_string(events[i].res));
      ready[ready_count++] = &blocks[events[i].data];
      under_way--;
    }
  }
}

}  // namespace npu::bench
