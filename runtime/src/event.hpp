// SPDX-License-Identifier: Apache-2.0
//
// Events: points on the timelines of streams.
#pragma once

#include <memory>
#include <mutex>

#include "context.hpp"
#include "stream.hpp"

namespace npu::rt {

// One npuEventRecord.
struct Record {
  std::shared_ptr<Stream> stream;
  std::shared_ptr<FenceSlot> fence;
  uint64_t value = 0;
  Timestamp time;
  ~Record();
};

class Event {
 public:
  explicit Event(std::shared_ptr<Context> context) : context_(std::move(context)) {}

  Status RecordIn(const std::shared_ptr<Stream>& stream);
  // The last record, or null.
  std::shared_ptr<Record> Last() const;
  Status Synchronize() const;
  Status Query() const;
  Context& context() const { return *context_; }

 private:
  const std::shared_ptr<Context> context_;
  mutable std::mutex mutex_;  // guards last_
  std::shared_ptr<Record> last_;
};

Status WaitEvent(Stream& stream, const Event& event);
// Timestamps of two ended records.
Status ReadTimes(const Event& start, const Event& end, npu_timestamp* from, npu_timestamp* to, bool same_stream);

}  // namespace npu::rt
