// SPDX-License-Identifier: Apache-2.0
//
// The host libraries that matrix multiplication is compared with.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace npu::bench {

struct Peer {
  std::string name;
  std::function<void()> run;  // c = a * b
};

// All that multiply n x n row-major matrices of this type ("f32", "bf16" to f32, "i8" to i32).  The libraries are
// loaded at run time: the guest image has no need of them.  Ends the program with a sentence when one is missing.  The
// operands must stay.
std::vector<Peer> MatmulPeers(const std::string& type, uint32_t n, const void* a, const void* b, void* c);

}  // namespace npu::bench
