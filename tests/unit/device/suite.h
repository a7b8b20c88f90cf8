// SPDX-License-Identifier: Apache-2.0
//
// The rig, and CMocka's headers in the order that it wants; its macros (fail) come after everything of the C++ library.
#pragma once

#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "rig.h"

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
extern "C" {
#include <cmocka.h>
}
// clang-format on

// Context 1 with queues 0 and 1, in slots 0 and 1.
inline void MapTwoQueues(rig::Rig& r) {
  assert_int_equal(r.EnableContext(1), NPU_ADMIN_OK);
  for (uint32_t q = 0; q < 2; ++q) {
    r.MakeQueue(q, 1);
    assert_int_equal(r.Map(q, q), NPU_ADMIN_OK);
  }
}

// How many worker threads the tests run with; each suite runs its cases with 1 and with 3.
inline uint32_t Threads(void** state) {
  return *static_cast<uint32_t*>(*state);
}
inline uint32_t g_one = 1, g_three = 3;

#define NPU_CASE(f)                                  \
  cmocka_unit_test_prestate(f, &g_one), {            \
#f " (3 threads)", f, nullptr, nullptr, &g_three \
  }
