// SPDX-License-Identifier: Apache-2.0
//
// CMocka, which wants these headers before its own.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

extern "C" {
#include <cmocka.h>
}
