// SPDX-License-Identifier: Apache-2.0
//
// The demo's weight files (.npuw).  Input: one byte, then the file; with an odd first byte zeros follow, as many as the
// largest tensors need, so that small inputs get through.
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "files.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  static const int file = memfd_create("weights", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  FUZZ_CHECK(file >= 0);
  if (bytes == 0) return 0;
  std::vector<uint8_t> contents(data + 1, data + bytes);
  if (data[0] & 1) contents.resize(contents.size() + (1u << 20));
  FUZZ_CHECK(ftruncate(file, 0) == 0);
  FUZZ_CHECK(pwrite(file, contents.data(), contents.size(), 0) == static_cast<ssize_t>(contents.size()));
  try {
    const demo::Weights weights = demo::LoadWeights(path);
    fuzz::Show("");
    FUZZ_CHECK(weights.fc1.size() == demo::kFlat * demo::kHidden && weights.bias4.size() == demo::kClasses);
  } catch (const demo::FileError& error) {
    fuzz::Show(error.what());
    FUZZ_CHECK(error.what()[0] != 0);
  }
  return 0;
}
