// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// SHA-256 (FIPS 180-4), for firmware packages.  Not constant-time: it hashes public data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace npu::model {

using Sha256Digest = std::array<uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  // Adds bytes to the message; pieces may have any size.
  void Update(const void* data, size_t bytes);
  // Ends the message.  The object must not be used afterwards.
  Sha256Digest Finish();

 private:
  void Block(const uint8_t* block);

  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> pending_{};
  size_t pending_bytes_ = 0;
  uint64_t message_bytes_ = 0;
};

Sha256Digest Sha256Of(const void* data, size_t bytes);

}  // namespace npu::model
