// SPDX-License-Identifier: Apache-2.0
//
// Makes the n-th allocation that this thread has the kernel do fail.  For kernels with CONFIG_FAULT_INJECTION, and
// root.
#ifndef NPU_TESTS_VM_INJECT_H
#define NPU_TESTS_VM_INJECT_H

#include <stdbool.h>

// NULL, or why nothing can be made to fail here.  All kinds of memory may fail, silently, from here on.
const char* inject_open(void);
// The n-th from now on, n > 0.
void inject_arm(unsigned n);
// Takes it back.  Returns whether it has failed meanwhile.
bool inject_disarm(void);

#endif  // NPU_TESTS_VM_INJECT_H
