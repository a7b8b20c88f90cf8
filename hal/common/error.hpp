// SPDX-License-Identifier: Apache-2.0
//
// One way to make a hal::Error: an errno value and a formatted sentence.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "hal/hal.hpp"

namespace npu::hal {

template <class... Args>
Error Fail(int code, fmt::format_string<Args...> format, Args&&... args) {
  return Error{code, fmt::format(format, std::forward<Args>(args)...)};
}

// "Cannot allocate memory (ENOMEM)"-like text of an errno value.
std::string ErrnoText(int code);

}  // namespace npu::hal
