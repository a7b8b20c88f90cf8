// SPDX-License-Identifier: Apache-2.0
//
// Everything this process has on one device.
#pragma once

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "fault_log.hpp"
#include "fence.hpp"
#include "hal/hal.hpp"
#include "memory.hpp"
#include "status.hpp"
#include "timestamps.hpp"
#include "va_space.hpp"

namespace npu::rt {

class Stream;

// Streams, events and modules hold the context; it ends with the last of them, after Close.
class Context : public std::enable_shared_from_this<Context> {
 public:
  static Status Open(int index, const std::string& device_name, std::shared_ptr<Context>* out);
  ~Context();

  // Kills all work and ends all queues; later calls on the context's objects fail.
  void Close();

  int index() const { return index_; }
  hal::Device& device() { return *device_; }
  Memory& memory() { return memory_; }
  VaSpace& va() { return va_; }
  FencePool& fences() { return fences_; }
  Timestamps& timestamps() { return timestamps_; }
  FaultLog& faults() { return faults_; }

  Status DefaultStream(std::shared_ptr<Stream>* out);
  Status AddStream(const std::shared_ptr<Stream>& stream);
  std::vector<std::shared_ptr<Stream>> Streams();
  // The handle of the stream whose queue this is, or null.
  npuStream_t StreamOfQueue(uint32_t queue);
  // Makes the other streams' queues look at their wait packets again.
  void KickOthers(Stream* not_this);
  // Waits until the work given to all streams so far has ended or failed.
  Status WaitIdle();
  // The error of the first stream that failed.
  Status Synchronize();

 private:
  Context(int index, std::unique_ptr<hal::Device> device);
  void Watch();
  Status StartWatcher();

  const int index_;
  std::unique_ptr<hal::Device> device_;
  VaSpace va_;
  Memory memory_;
  FencePool fences_;
  Timestamps timestamps_;
  FaultLog faults_;

  std::mutex streams_mutex_;  // guards the three below; never held while a stream's lock is taken
  bool closed_ = false;
  std::vector<std::weak_ptr<Stream>> streams_;
  std::shared_ptr<Stream> default_stream_;

  // Sleeps until the device writes a fault record, then lets every stream look at its queue: a stream that waits for a
  // failed one would otherwise sleep until somebody asked the failed one.
  std::thread watcher_;
  int stop_fd_ = -1;
};

}  // namespace npu::rt
