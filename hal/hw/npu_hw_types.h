/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * The hardware contract: fixed-size types.
 *
 * Every header in hal/hw/ is freestanding C, little-endian, and is read by the
 * device model, the firmware, the kernel driver and the hal.  The only include
 * is <stdint.h>, which the kernel replaces by its own types.
 */
#ifndef NPU_HW_TYPES_H
#define NPU_HW_TYPES_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

/* Version of the contract as a whole: the device, the firmware package and the driver must agree on the major number. */
#define NPU_CONTRACT_MAJOR 1u
#define NPU_CONTRACT_MINOR 0u
#define NPU_CONTRACT_VERSION ((NPU_CONTRACT_MAJOR << 16) | NPU_CONTRACT_MINOR)

#ifdef __cplusplus
#define NPU_HW_STATIC_ASSERT(cond, msg) static_assert(cond, msg)
#else
#define NPU_HW_STATIC_ASSERT(cond, msg) _Static_assert(cond, msg)
#endif

#endif /* NPU_HW_TYPES_H */
