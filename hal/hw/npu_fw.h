/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * The firmware package: a flattened device tree (.npufw).
 *
 *   / {
 *     compatible = "npu,firmware";
 *     npu,package-version = <1>;
 *     npu,contract = <NPU_CONTRACT_VERSION>;
 *     npu,version = <major minor patch>;
 *     npu,build = "text";
 *     npu,entry = <hi lo>;                  // address in management SRAM
 *     sections {
 *       <name> {
 *         npu,load = <hi lo>;               // address in management SRAM, 8-byte aligned
 *         npu,memsize = <bytes>;            // >= size of data; the rest is cleared
 *         data = [bytes];
 *         npu,sha256 = [32 bytes];          // of data
 *       };
 *     };
 *     // of, for every section in tree order, its npu,sha256, npu,load and npu,memsize; then npu,contract, npu,version, npu,entry
 *     // and the text of npu,build without its final zero; numbers as they stand in the tree
 *     npu,sha256 = [32 bytes];
 *   };
 *
 * The boot ROM copies the package out of device memory first and checks the copy; the hart starts only when everything holds.
 */
#ifndef NPU_FW_H
#define NPU_FW_H

#include "npu_hw_types.h"

#define NPU_FW_FILE_NAME "npu/control.npufw" /* below the firmware search path */
#define NPU_FW_PACKAGE_VERSION 1u
#define NPU_FW_MAX_BYTES 0x100000u
#define NPU_FW_MAX_SECTIONS 16u
#define NPU_FW_COMPATIBLE "npu,firmware"

enum npu_fw_error {
	NPU_FW_ERR_NONE = 0,
	NPU_FW_ERR_SIZE = 1,      /* address or size outside device memory, or over NPU_FW_MAX_BYTES */
	NPU_FW_ERR_FORMAT = 2,    /* not a device tree, or truncated */
	NPU_FW_ERR_COMPATIBLE = 3,/* a device tree, but not of a firmware package */
	NPU_FW_ERR_PACKAGE = 4,   /* package format version unknown */
	NPU_FW_ERR_CONTRACT = 5,  /* built for another major version of the contract */
	NPU_FW_ERR_SECTION = 6,   /* a section lacks a property or does not fit in SRAM; FW_ERROR_INFO = index */
	NPU_FW_ERR_HASH = 7,      /* section digest differs; FW_ERROR_INFO = index */
	NPU_FW_ERR_PACKAGE_HASH = 8,
	NPU_FW_ERR_ENTRY = 9,     /* entry outside the sections */
	NPU_FW_ERR_BUSY = 10,     /* the hart runs; stop it first */
	NPU_FW_ERR_BUS = 11,
	NPU_FW_ERR_TRAP = 12,     /* state CRASHED: unhandled trap */
	NPU_FW_ERR_HEARTBEAT = 13,/* state CRASHED: watchdog */
};

#endif /* NPU_FW_H */
