// SPDX-License-Identifier: GPL-2.0
/* Buffers in the address spaces of processes. */
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/mm.h>

#include "npu_bo.h"

/* Pages entered at one fault: as many as one page of page-table entries holds. */
#define NPU_FAULT_AROUND PMD_SIZE

static unsigned long npu_bo_pfn(struct npu_bo *bo, u64 offset)
{
	struct npu_device *ndev = to_npu_device(bo->base.dev);
	u64 len;

	if (npu_bo_in_host(bo))
		return page_to_pfn(bo->pages[offset >> PAGE_SHIFT]);
	switch (bo->kind) {
	case NPU_BO_KIND_DOORBELL:
		return PHYS_PFN(ndev->regs_phys + NPU_DOORBELL_OFFSET +
				(u64)bo->queue * NPU_DOORBELL_STRIDE);
	default:
		return PHYS_PFN(ndev->mem_phys + npu_bo_addr(bo, offset, &len));
	}
}

static pgprot_t npu_bo_pgprot(struct npu_bo *bo, pgprot_t prot)
{
	if (npu_bo_in_host(bo))
		return prot;
	/* What is not memory of the host is not encrypted by it either. */
	switch (bo->kind) {
	case NPU_BO_KIND_DEVICE:
		return pgprot_decrypted(pgprot_writecombine(prot));
	case NPU_BO_KIND_DOORBELL:
		return pgprot_decrypted(pgprot_noncached(prot));
	default:
		return prot;
	}
}

/* Enters the pages around the fault; only the one asked for must succeed. */
static vm_fault_t npu_bo_insert(struct npu_bo *bo, struct vm_fault *vmf, u64 page)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long start = ALIGN_DOWN(vmf->address, NPU_FAULT_AROUND);
	unsigned long addr, end = start + NPU_FAULT_AROUND;
	/* Not the mapping's own: the buffer may have been moved since that was made. */
	pgprot_t prot = npu_bo_pgprot(bo, vm_get_page_prot(vma->vm_flags));
	u64 pages = bo->base.size >> PAGE_SHIFT;
	u64 offset;
	vm_fault_t ret;

	ret = vmf_insert_pfn_prot(vma, vmf->address, npu_bo_pfn(bo, page << PAGE_SHIFT), prot);
	if (ret != VM_FAULT_NOPAGE)
		return ret;

	start = max(start, vma->vm_start);
	end = min(end, vma->vm_end);
	for (addr = start; addr < end; addr += PAGE_SIZE) {
		offset = page + (s64)(addr - vmf->address) / (s64)PAGE_SIZE;
		if (addr == vmf->address || offset >= pages)
			continue;
		if (vmf_insert_pfn_prot(vma, addr, npu_bo_pfn(bo, offset << PAGE_SHIFT), prot) !=
		    VM_FAULT_NOPAGE)
			break;
	}
	return VM_FAULT_NOPAGE;
}

static vm_fault_t npu_bo_fault_running(struct vm_fault *vmf)
{
	struct drm_gem_object *obj = vmf->vma->vm_private_data;
	u64 page = vmf->pgoff - drm_vma_node_start(&obj->vma_node);
	struct npu_bo *bo = to_npu_bo(obj);
	vm_fault_t ret;

	if (dma_resv_lock_interruptible(obj->resv, NULL))
		return VM_FAULT_NOPAGE;
	if (bo->blocked)
		ret = VM_FAULT_NOPAGE;
	else if (bo->revoked || page >= obj->size >> PAGE_SHIFT)
		ret = VM_FAULT_SIGBUS;
	else
		ret = npu_bo_insert(bo, vmf, page);
	if (ret == VM_FAULT_NOPAGE)
		npu_bo_touch(bo);
	dma_resv_unlock(obj->resv);
	return ret;
}

static vm_fault_t npu_bo_fault_present(struct vm_fault *vmf)
{
	struct drm_gem_object *obj = vmf->vma->vm_private_data;
	vm_fault_t ret;
	int idx;

	if (drm_dev_enter(obj->dev, &idx)) {
		ret = npu_bo_fault_running(vmf);
		drm_dev_exit(idx);
		return ret;
	}
	/* The device has left.  Host memory is still there and says what it said last. */
	if (to_npu_bo(obj)->kind == NPU_BO_KIND_HOST)
		return npu_bo_fault_running(vmf);
	return VM_FAULT_SIGBUS;
}

static vm_fault_t npu_bo_fault(struct vm_fault *vmf)
{
	struct drm_gem_object *obj = vmf->vma->vm_private_data;
	struct npu_device *ndev = to_npu_device(obj->dev);
	vm_fault_t ret;

	/* While the device is reset nothing is entered; the fault is taken again. */
	if (!npu_map_enter(ndev))
		return VM_FAULT_NOPAGE;
	ret = npu_bo_fault_present(vmf);
	npu_map_exit(ndev);
	return ret;
}

const struct vm_operations_struct npu_bo_vm_ops = {
	.fault = npu_bo_fault,
	.open = drm_gem_vm_open,
	.close = drm_gem_vm_close,
};

/* The exporter does it, with its own rules. */
static int npu_bo_mmap_import(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	int ret;

	vma->vm_private_data = NULL;
	vma->vm_ops = NULL;
	ret = dma_buf_mmap(obj->import_attach->dmabuf, vma, 0);
	/* The reference that drm_gem_mmap_obj() took for a mapping of ours. */
	if (!ret)
		drm_gem_object_put(obj);
	return ret;
}

/* Called by drm_gem_mmap() once it knows that the file may map it and that the size fits. */
int npu_bo_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	struct npu_bo *bo = to_npu_bo(obj);

	if (bo->kind == NPU_BO_KIND_IMPORT)
		return npu_bo_mmap_import(obj, vma);
	if (bo->kind == NPU_BO_KIND_USER) {
		drm_dbg(obj->dev, "mmap: the memory of a process is mapped where it is\n");
		return -EINVAL;
	}
	if (is_cow_mapping(vma->vm_flags)) {
		drm_dbg(obj->dev, "mmap: a private mapping would not reach the device\n");
		return -EINVAL;
	}
	if (vma->vm_flags & VM_EXEC) {
		drm_dbg(obj->dev, "mmap: not executable\n");
		return -EACCES;
	}
	vm_flags_clear(vma, VM_MAYEXEC);
	if (bo->flags & NPU_BO_READONLY) {
		if (vma->vm_flags & VM_WRITE) {
			drm_dbg(obj->dev, "mmap: this buffer is read-only\n");
			return -EACCES;
		}
		vm_flags_clear(vma, VM_MAYWRITE);
	}

	vm_flags_set(vma, VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	if (bo->kind != NPU_BO_KIND_HOST)
		vm_flags_set(vma, VM_IO);
	/* A child that rings its parent's doorbell, or takes its fault records, is never meant. */
	if (bo->flags & NPU_BO_INTERNAL)
		vm_flags_set(vma, VM_DONTCOPY);
	vma->vm_page_prot = npu_bo_pgprot(bo, vm_get_page_prot(vma->vm_flags));
	return 0;
}
