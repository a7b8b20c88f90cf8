// SPDX-License-Identifier: Apache-2.0
//
// How functions of the runtime fail: a code and a sentence.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "hal/hal.hpp"
#include "npu.h"

namespace npu::rt {

struct [[nodiscard]] Status {
  npuError_t code = npuSuccess;
  std::string message;
  bool ok() const { return code == npuSuccess; }
};

template <class... Args>
Status Fail(npuError_t code, fmt::format_string<Args...> format, Args&&... args) {
  return Status{code, fmt::format(format, std::forward<Args>(args)...)};
}

// The runtime's code for a failed hal call; its sentence is kept, behind `what`.
Status FromHal(const hal::Error& error, const std::string& what);

// Makes s the calling thread's last error unless it is success or NotReady, and returns its code.
npuError_t Finish(const Status& s) noexcept;

// Runs the body of a public function: no exception leaves it, and its failure becomes the last error.
template <class Body>
npuError_t Guard(Body body) noexcept {
  try {
    return Finish(body());
  } catch (const std::bad_alloc&) {
    return Finish(Status{npuErrorOutOfHostMemory, {}});
  } catch (const std::exception& e) {
    return Finish(Status{npuErrorUnknown, e.what()});
  }
}

}  // namespace npu::rt

#define NPU_TRY(expression)                                                      \
  do {                                                                           \
    if (::npu::rt::Status status_ = (expression); !status_.ok()) return status_; \
  } while (0)
