// SPDX-License-Identifier: Apache-2.0
//
// Reads of 4 KiB from a block device past the page cache: what another PCI device of the same machine takes for a
// command that does as little.
#pragma once

#include <linux/aio_abi.h>

#include <cstdint>
#include <string>

namespace npu::bench {

class Disk {
 public:
  static constexpr unsigned kDepthMax = 64;
  static constexpr unsigned kBytes = 4096;

  // Waits up to ten seconds for the node: a driver that has just been loaded looks for its devices in the background.
  explicit Disk(const std::string& node);
  ~Disk();
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  // One read, sleeping for it.
  void Read();
  // count reads, depth of them under way at any time, by the kernel's asynchronous calls.
  void ReadDeep(unsigned count, unsigned depth);

 private:
  std::string node_;
  int fd_ = -1;
  aio_context_t aio_ = 0;
  uint8_t* buffers_ = nullptr;  // kDepthMax of kBytes
};

}  // namespace npu::bench
