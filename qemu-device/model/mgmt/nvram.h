// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The 4 KiB of NVRAM, and the file that keeps them.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "npu_mgmt.h"

namespace npu::model {

class StateWriter;

// Not thread-safe: the constructor's thread until the management thread starts, then that one.
class Nvram {
 public:
  // path "": nothing is kept.  A file that does not exist is made with the first write.  A file of another size is
  // neither read nor ever written: log gets a line, and the contents are lost with the object.
  Nvram(std::string path, std::function<void(const std::string&)> log);

  uint64_t Read(uint32_t offset, unsigned size) const;  // inside NPU_MG_NVRAM_BYTES
  void Write(uint32_t offset, unsigned size, uint64_t value);
  // Writes the file if the contents changed since the last call: a new file, renamed over the old one, so that a reader
  // or a crash sees the old contents or the new, never a mixture.
  void Flush();
  // snapshot.cc.  New contents go into the file with the next Flush.
  using Contents = std::array<uint8_t, NPU_MG_NVRAM_BYTES>;
  void Save(StateWriter& out) const;
  void Replace(const Contents& fresh);

 private:
  bool ReadFile();
  bool WriteFile();

  std::string path_;
  std::function<void(const std::string&)> log_;
  Contents bytes_{};
  bool dirty_ = false;
};

}  // namespace npu::model
