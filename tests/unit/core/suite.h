// SPDX-License-Identifier: Apache-2.0
// The world, then cmocka: it defines macros with common names, so that C++ headers must come before it.
#pragma once

#include "world.h"
//
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
//
extern "C" {
#include <cmocka.h>
}
