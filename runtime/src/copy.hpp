// SPDX-License-Identifier: Apache-2.0
//
// Copies and fills in a stream.
#pragma once

#include "stream.hpp"

namespace npu::rt {

// height rows of width bytes; a linear copy has one row.  Ordered in the stream; see npuMemcpyAsync for when it
// returns.
struct CopyJob {
  void* dst;
  uint64_t dst_pitch;
  const void* src;
  uint64_t src_pitch;
  uint64_t width, height;
  npuMemcpyKind kind;
};

Status Copy(Stream& stream, const CopyJob& job);
// pattern_bytes 1, 2, 4 or 8; bytes a multiple of it.
Status Fill(Stream& stream, void* ptr, uint64_t pattern, uint32_t pattern_bytes, uint64_t bytes);

}  // namespace npu::rt
