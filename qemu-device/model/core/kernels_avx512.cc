// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#define NPU_KERNELS kKernelsAvx512
#include "core/kernels.inc"
