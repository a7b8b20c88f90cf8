// SPDX-License-Identifier: Apache-2.0
#include "context.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "stream.hpp"

namespace npu::rt {
namespace {

constexpr uint64_t kHostChunk = 4ull << 20;

// Large enough that growing is rare, small enough that a small device is not used up by one chunk.
uint64_t DeviceChunk(uint64_t memory_bytes) {
  uint64_t chunk = memory_bytes / 16 / NPU_BIG_PAGE_SIZE * NPU_BIG_PAGE_SIZE;
  return std::clamp<uint64_t>(chunk, NPU_BIG_PAGE_SIZE, 32ull << 20);
}

}  // namespace

Status Context::Open(int index, const std::string& device_name, std::shared_ptr<Context>* out) {
  auto device = hal::OpenDevice(device_name);
  if (!device) {
    Status s = FromHal(device.error(), "cannot open device " + device_name);
    if (s.code == npuErrorDeviceLost || s.code == npuErrorSystem) s.code = npuErrorNoDevice;
    return s;
  }
  std::shared_ptr<Context> context(new Context(index, std::move(*device)));
  NPU_TRY(context->StartWatcher());
  *out = std::move(context);
  return {};
}

Context::Context(int index, std::unique_ptr<hal::Device> device)
    : index_(index),
      device_(std::move(device)),
      va_(device_->info().va_start, device_->info().va_end),
      memory_(*device_, va_, DeviceChunk(device_->info().memory_bytes), kHostChunk),
      fences_(*device_, va_, memory_),
      timestamps_(memory_),
      faults_(*this) {}

Context::~Context() {
  Close();
}

void Context::Close() {
  std::shared_ptr<Stream> last;
  {
    std::lock_guard lock(streams_mutex_);
    closed_ = true;
    last = std::move(default_stream_);
  }
  if (watcher_.joinable()) {
    uint64_t one = 1;
    [[maybe_unused]] ssize_t n = write(stop_fd_, &one, sizeof(one));
    watcher_.join();
    close(stop_fd_);
  }
  for (const auto& stream : Streams()) (void)stream->Close(false);
  // Every timeline has ended now, so nothing keeps memory waiting.
  memory_.Collect();
}

Status Context::StartWatcher() {
  stop_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_fd_ < 0) return Fail(npuErrorSystem, "no eventfd: errno {}", errno);
  watcher_ = std::thread([this] { Watch(); });
  return {};
}

void Context::Watch() {
  pollfd fds[2] = {{device_->fault_fd(), POLLIN, 0}, {stop_fd_, POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return;
    if (fds[1].revents) return;
    if (!(fds[0].revents & POLLIN)) continue;
    uint64_t count;
    [[maybe_unused]] ssize_t n = read(fds[0].fd, &count, sizeof(count));
    faults_.Drain();
    for (const auto& stream : Streams()) stream->CheckFault();
  }
}

Status Context::DefaultStream(std::shared_ptr<Stream>* out) {
  {
    std::lock_guard lock(streams_mutex_);
    if (default_stream_) {
      *out = default_stream_;
      return {};
    }
  }
  std::shared_ptr<Stream> made;
  NPU_TRY(Stream::Create(shared_from_this(), 1, &made));
  std::lock_guard lock(streams_mutex_);
  if (closed_) return Fail(npuErrorNoDevice, "device {} was reset", index_);
  // Two threads may have come here at once; the first one's stream counts.
  if (!default_stream_) default_stream_ = std::move(made);
  *out = default_stream_;
  return {};
}

Status Context::AddStream(const std::shared_ptr<Stream>& stream) {
  std::lock_guard lock(streams_mutex_);
  if (closed_) return Fail(npuErrorNoDevice, "device {} was reset", index_);
  std::erase_if(streams_, [](const std::weak_ptr<Stream>& s) { return s.expired(); });
  streams_.push_back(stream);
  return {};
}

std::vector<std::shared_ptr<Stream>> Context::Streams() {
  std::lock_guard lock(streams_mutex_);
  std::vector<std::shared_ptr<Stream>> live;
  live.reserve(streams_.size());
  for (const auto& weak : streams_) {
    if (auto stream = weak.lock()) live.push_back(std::move(stream));
  }
  return live;
}

npuStream_t Context::StreamOfQueue(uint32_t queue) {
  for (const auto& stream : Streams()) {
    if (stream->queue_id() == queue) return stream->handle.load();
  }
  return nullptr;
}

void Context::KickOthers(Stream* not_this) {
  for (const auto& stream : Streams()) {
    if (stream.get() != not_this) stream->Kick();
  }
}

Status Context::WaitIdle() {
  for (const auto& stream : Streams()) {
    // A failed stream does not work any more, which is all that is asked for here.
    Status s = stream->WaitFor(stream->Last(), hal::Clock::time_point::max());
    if (s.code == npuErrorDeviceLost || s.code == npuErrorSystem) return s;
  }
  memory_.Collect();
  return {};
}

Status Context::Synchronize() {
  Status first;
  for (const auto& stream : Streams()) {
    Status s = stream->Synchronize();
    if (first.ok() && s.code != npuErrorInvalidHandle) first = s;
  }
  return first;
}

}  // namespace npu::rt
