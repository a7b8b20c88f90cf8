/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The buddy allocator moved out of DRM and lost its prefix.  Some 6.12 stable
 * kernels have the new name already, so Kbuild looks for the header.
 */
#ifndef NPU_BUDDY_H
#define NPU_BUDDY_H

#ifdef NPU_HAVE_GPU_BUDDY
#include <linux/gpu_buddy.h>
#else
#include <drm/drm_buddy.h>

#define gpu_buddy drm_buddy
#define gpu_buddy_block drm_buddy_block
#define gpu_buddy_init drm_buddy_init
#define gpu_buddy_fini drm_buddy_fini
#define gpu_buddy_alloc_blocks drm_buddy_alloc_blocks
#define gpu_buddy_free_list drm_buddy_free_list
#define gpu_buddy_block_offset drm_buddy_block_offset
#define gpu_buddy_block_size drm_buddy_block_size
#define GPU_BUDDY_CONTIGUOUS_ALLOCATION DRM_BUDDY_CONTIGUOUS_ALLOCATION
#define GPU_BUDDY_RANGE_ALLOCATION DRM_BUDDY_RANGE_ALLOCATION
#endif

#endif /* NPU_BUDDY_H */
