/* SPDX-License-Identifier: GPL-2.0 */
/* Buffers: everything that user space can map, with or without a handle. */
#ifndef NPU_BO_H
#define NPU_BO_H

#include <linux/scatterlist.h>
#include <linux/seq_file.h>

#include <drm/drm_gem.h>

#include "npu_drv.h"

enum npu_bo_kind {
	NPU_BO_KIND_DEVICE,   /* device memory */
	NPU_BO_KIND_HOST,     /* host pages, mapped for DMA */
	NPU_BO_KIND_DOORBELL, /* one page of BAR0 */
	NPU_BO_KIND_IMPORT,   /* somebody else's, reached by bus addresses */
	NPU_BO_KIND_USER,     /* pages of a process, pinned and mapped for DMA */
};

#define NPU_BO_READONLY BIT(0)   /* user space may only read */
#define NPU_BO_INTERNAL BIT(1)   /* the driver's: no handle, not inherited by fork() */
#define NPU_BO_CONTIGUOUS BIT(2) /* in one piece for the device; the size is a power of two */
#define NPU_BO_DEVICE_READONLY BIT(3) /* the device may only read */

/* A piece of a buffer that is contiguous for the device. */
struct npu_run {
	u64 start; /* offset in the buffer */
	u64 addr;  /* offset in device memory, or bus address */
};

/**
 * struct npu_bo - a buffer
 * @base: GEM object; its reservation lock guards @pins, @revoked, @blocked, and where it is:
 *        @blocks, @pages, @sgt, @runs and @evicted, which change only with npu_recovery.lock
 *        held for writing as well, so that either is enough to read them
 * @kind: where its memory is
 * @flags: NPU_BO_*
 * @account: whom it is charged to, or NULL
 * @node: in npu_device.bo_list, or lost_bos
 * @lru: in npu_device.evict, if it can be moved
 * @blocks: device memory
 * @pages: host pages
 * @sgt: DMA mapping of @pages
 * @mm: whose @pages are pinned, charged with them; or NULL
 * @user: likewise, the user
 * @mapped: @sgt is mapped; cleared under npu_device.bo_lock when the device is removed
 * @runs: device addresses, in order
 * @num_runs: entries of @runs
 * @evicted: device memory that is in host memory for the time being
 * @pins: while not 0 it stays where it is
 * @name: what its process calls it; under npu_device.bo_lock
 * @import_sgt: of somebody else's buffer, while it is mapped for DMA; under its reservation
 * @queue: whose doorbell it is
 * @revoked: user space lost its mappings and gets no new ones
 * @blocked: user space lost its mappings and waits for new ones
 */
struct npu_bo {
	struct drm_gem_object base;
	enum npu_bo_kind kind;
	u32 flags;
	struct npu_account *account;
	struct list_head node;
	struct list_head lru;
	struct list_head blocks;
	struct page **pages;
	struct mm_struct *mm;
	struct user_struct *user;
	struct sg_table sgt;
	bool mapped;
	struct npu_run *runs;
	u32 num_runs;
	bool evicted;
	u32 pins;
	struct sg_table *import_sgt;
	char name[DRM_NPU_NAME_BYTES];
	u32 queue;
	bool revoked;
	bool blocked;
};

static inline struct npu_bo *to_npu_bo(struct drm_gem_object *obj)
{
	return container_of(obj, struct npu_bo, base);
}

/* Its contents are in @pages. */
static inline bool npu_bo_in_host(struct npu_bo *bo)
{
	return bo->kind == NPU_BO_KIND_HOST || bo->kind == NPU_BO_KIND_USER || bo->evicted;
}

/* Its addresses are bus addresses. */
static inline bool npu_bo_on_bus(struct npu_bo *bo)
{
	return bo->kind == NPU_BO_KIND_IMPORT || npu_bo_in_host(bo);
}

struct npu_bo *npu_bo_new(struct npu_device *ndev, enum npu_bo_kind kind, u64 size, u32 flags,
			  struct npu_account *account);
struct npu_bo *npu_bo_new_doorbell(struct npu_device *ndev, u32 queue);
int npu_bo_get_device(struct npu_device *ndev, struct npu_bo *bo);
int npu_bo_get_host(struct npu_device *ndev, struct npu_bo *bo);
void npu_bo_put_host(struct npu_device *ndev, struct npu_bo *bo);
u64 npu_bo_addr(struct npu_bo *bo, u64 offset, u64 *len);
void *npu_bo_host_ptr(struct npu_bo *bo, u64 offset);
u64 npu_bo_read64(struct npu_bo *bo, u64 offset);
int npu_bo_share(struct npu_bo *bo, struct npu_file *file);
void npu_bo_unshare(struct npu_bo *bo, struct npu_file *file);
void npu_bo_revoke(struct npu_bo *bo);
void npu_bo_block(struct npu_bo *bo, bool blocked);
void npu_bo_put(struct npu_bo *bo);
void npu_bo_show_all(struct npu_device *ndev, struct seq_file *m);
void npu_bo_unmap_dma_all(struct npu_device *ndev);
void npu_bo_reclaim(struct npu_device *ndev);

struct npu_bo *npu_bo_new_import(struct npu_device *ndev, struct dma_buf *dma_buf);
struct npu_bo *npu_bo_new_user(struct npu_device *ndev, u64 size, u32 flags,
			       struct npu_account *account);
int npu_bo_map_pages(struct npu_device *ndev, struct npu_bo *bo);
int npu_bo_set_runs(struct npu_device *ndev, struct npu_bo *bo, struct sg_table *sgt);

/* npu_dmabuf.c */
struct dma_buf *npu_bo_export(struct drm_gem_object *obj, int flags);
struct drm_gem_object *npu_prime_import(struct drm_device *drm, struct dma_buf *dma_buf);
void npu_bo_unmap_import(struct npu_bo *bo);
void npu_bo_put_import(struct npu_bo *bo);

/* npu_evict.c */
void npu_bo_touch(struct npu_bo *bo);
int npu_evict_to_host(struct npu_bo *bo);
void npu_evict_forget(struct npu_device *ndev, struct npu_bo *bo);

/* npu_userptr.c */
void npu_userptr_unpin(struct npu_bo *bo);
int npu_ioctl_bo_userptr(struct drm_device *drm, void *data, struct drm_file *file);

/* npu_save.c */
int npu_bo_evict_all(struct npu_device *ndev);
int npu_bo_restore_all(struct npu_device *ndev);

/* npu_mmap.c */
extern const struct vm_operations_struct npu_bo_vm_ops;
int npu_bo_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma);

int npu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_bo_name(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_bo_mmap(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* NPU_BO_H */
