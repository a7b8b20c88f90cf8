// SPDX-License-Identifier: Apache-2.0
//
// Null launches through the hal, so that it is the device and the driver that are measured.
#pragma once

#include <cstdint>
#include <memory>

#include "hal/hal.hpp"

namespace npu::bench {

// The first device of the backend under test, or the program's end with a sentence.
std::unique_ptr<hal::Device> OpenDevice();

// A context with one queue, a kernel that returns at once, and a fence.  One thread launches; WaitFor() may be called
// from any.
class NullLauncher {
 public:
  NullLauncher();
  ~NullLauncher();

  // Writes packets to the ring, then rings the doorbell once.  Each stores its number, counted from 1, as it finishes.
  void Launch(unsigned packets = 1);
  // Puts a packet into the ring that finishes when Release() is called, and not before.
  void Hold();
  // Stores the value that the packet waits for, and tells the device.
  void Release();
  uint64_t launched() const { return launched_; }
  // How many packets have finished.
  uint64_t Finished() const;
  // Spins until so many have finished; Poll(): all.
  void PollFor(uint64_t finished) const;
  void Poll() const { PollFor(launched_); }
  // Sleeps until so many have finished.
  void WaitFor(uint64_t finished);

 private:
  uint64_t Pointer(uint16_t number, uint64_t page) const;
  std::unique_ptr<hal::Buffer> MakeBuffer(hal::Memory memory, uint64_t rights, uint16_t number, uint64_t page);

  std::unique_ptr<hal::Device> device_;
  std::unique_ptr<hal::Buffer> code_, fence_;
  std::unique_ptr<hal::Queue> queue_;
  uint64_t launched_ = 0;
};

}  // namespace npu::bench
