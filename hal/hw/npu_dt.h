/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * The hardware's description of itself: a flattened device tree in the ROM window.
 *
 *   / {
 *     compatible = "npu,npu1";
 *     model = "NPU-1 virtual";
 *     npu,hw-version, npu,contract, npu,uuid (string)
 *     memory { npu,bytes (u64) };
 *     queues { npu,queues, npu,slots, npu,contexts, npu,vectors, npu,priorities };
 *     management { npu,isa (string), npu,sram-bytes };
 *     cores { npu,count, npu,isa (string), npu,sram-bytes, npu,stack-bytes, npu,clock-hz (u64);
 *       matrix { npu,rows, npu,columns, npu,f32-macs-per-cycle, npu,tf32-..., npu,f16-... (and bf16), npu,f8-..., npu,i8-... (i8 and u8 with i8 or i4),
 *         npu,i4-macs-per-cycle, npu,fill-cycles, npu,dtypes (stringlist of the types of A and B) };
 *       vector { npu,lanes, npu,startup-cycles, npu,divide-cost, npu,function-cost, npu,stochastic-cost, npu,scan-cost, npu,sort-cost, npu,gather-cost };
 *       dma { npu,bytes-per-cycle, npu,startup-cycles, npu,row-cycles, npu,peer-latency-cycles };
 *     };
 *     timing { npu,memory-bytes-per-cycle, npu,memory-latency-cycles, npu,launch-cycles, npu,block-cycles, npu,copy-bytes-per-cycle, npu,copy-startup-cycles };
 *     features { empty properties, one a feature that is there: npu,bounds, npu,fault-ring, npu,counters, npu,ras ... };
 *   };
 * All cells are big-endian 32-bit unless "u64" (two cells).
 */
#ifndef NPU_DT_H
#define NPU_DT_H

#define NPU_DT_COMPATIBLE "npu,npu1"
#define NPU_DT_MODEL "NPU-1 virtual"

#endif /* NPU_DT_H */
