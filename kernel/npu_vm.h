/* SPDX-License-Identifier: GPL-2.0 */
/* A context's device address space and its page tables. */
#ifndef NPU_VM_H
#define NPU_VM_H

#include <drm/drm_gpuvm.h>

#include "npu_bo.h"

/**
 * struct npu_pt - a page table: the driver's shadow of one table in device memory
 * @mem: the table itself
 * @used: valid entries
 * @link: in npu_vm.trash
 * @child: level 0 and 1: the tables below; a level-1 entry without child may be a big page
 */
struct npu_pt {
	struct npu_mem mem;
	u32 used;
	struct list_head link;
	struct npu_pt *child[];
};

/**
 * struct npu_vm - device address space of one context
 * @base: the mappings
 * @ndev: the device
 * @ctx: whose it is; it lives longer than the mappings
 * @ctx_id: context, as the device's TLBs know it
 * @lock: serialises changes; guards the page tables and the members below, as does
 *        npu_recovery.lock held for writing
 * @root: level 0
 * @trash: tables taken out, freed once the TLBs have let go of them
 * @stale: a valid entry was taken away since the last invalidation
 */
struct npu_vm {
	struct drm_gpuvm base;
	struct npu_device *ndev;
	struct npu_ctx *ctx;
	u32 ctx_id;
	struct mutex lock; /* serialises changes of mappings and tables */
	struct npu_pt *root;
	struct list_head trash;
	bool stale;
};

/* npu_vm.c */
struct npu_vm *npu_vm_create(struct npu_device *ndev, u32 ctx_id);
void npu_vm_disable(struct npu_vm *vm);
void npu_vm_destroy(struct npu_vm *vm);
int npu_vm_prepare_move(struct npu_bo *bo);
void npu_vm_finish_move(struct npu_bo *bo);
int npu_ioctl_vm_bind(struct drm_device *drm, void *data, struct drm_file *file);

/* npu_pt.c; all but create and destroy are called with npu_vm.lock held */
int npu_pt_create(struct npu_vm *vm);
void npu_pt_destroy(struct npu_vm *vm);
void npu_pt_clear_all(struct npu_vm *vm);
u64 npu_pt_room(u64 size);
int npu_pt_split(struct npu_vm *vm, u64 va);
int npu_pt_prepare(struct npu_vm *vm, u64 va, u64 size, struct npu_bo *bo, u64 offset);
void npu_pt_map(struct npu_vm *vm, u64 va, u64 size, struct npu_bo *bo, u64 offset, u64 rights);
void npu_pt_unmap(struct npu_vm *vm, u64 va, u64 size);
void npu_pt_prune(struct npu_vm *vm, u64 va, u64 size);
int npu_pt_flush(struct npu_vm *vm);

#endif /* NPU_VM_H */
