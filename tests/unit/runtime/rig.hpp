// SPDX-License-Identifier: Apache-2.0
//
// What the runtime's tests share.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fstream>
#include <string>
#include <vector>

#include "kernel_args.h"
#include "npu.hpp"

// Last: its macro "fail" must not meet the C++ library's functions of that name.  It is C without saying so.
extern "C" {
#include <cmocka.h>
}

// Fails the test with the runtime's sentence unless the call gives the code.
#define EXPECT(code, call)                                                                    \
  do {                                                                                        \
    npuError_t got_ = (call);                                                                 \
    if (got_ != (code)) {                                                                     \
      fail_msg("%s gave %s, not %s: %s", #call, npuGetErrorName(got_), npuGetErrorName(code), \
               npuGetLastErrorMessage());                                                     \
    }                                                                                         \
  } while (0)
#define OK(call) EXPECT(npuSuccess, call)

// The last error's sentence contains the text.
void ExpectMessage(const char* text);
// A kernel file beside the test program.
std::string KernelFile(const std::string& name);

struct Kernels {
  npu::Module module{KernelFile("kernels")};
  npuFunction_t operator[](const char* name) const { return module.Function(name); }
};

// A launch that runs until Open, in a stream of its own: work that is under way for as long as a test wants.
class Gate {
 public:
  explicit Gate(const Kernels& kernels);
  ~Gate() { Open(); }
  void Hold(npuStream_t stream);
  void Open();

 private:
  npuFunction_t hold_;
  npu::HostBuffer<int32_t> word_{1};
  int32_t* device_word_ = nullptr;
};

extern const CMUnitTest copy_tests[], fault_tests[], launch_tests[], memory_tests[], module_tests[], stream_tests[];
extern const size_t copy_test_count, fault_test_count, launch_test_count, memory_test_count, module_test_count,
    stream_test_count;
