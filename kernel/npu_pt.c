// SPDX-License-Identifier: GPL-2.0
/*
 * Page tables: three levels in device memory, with a shadow in host memory so
 * that no table is read back over the bus (big pages excepted).
 *
 * A change is made in two steps, so that a failed bind leaves everything as it
 * was: npu_pt_prepare() and npu_pt_split() allocate and change no translation;
 * npu_pt_map() and npu_pt_unmap() cannot fail.
 */
#include <linux/slab.h>

#include "npu_vm.h"

#define NPU_PT_RIGHTS (NPU_PTE_READ | NPU_PTE_WRITE | NPU_PTE_EXEC)

static u32 npu_pt_root_index(u64 va)
{
	return va >> NPU_PT_ROOT_SHIFT;
}

static u32 npu_pt_mid_index(u64 va)
{
	return (va >> NPU_PT_MID_SHIFT) % NPU_PT_ENTRIES;
}

static u32 npu_pt_leaf_index(u64 va)
{
	return (va >> NPU_PAGE_SHIFT) % NPU_PT_ENTRIES;
}

static void __iomem *npu_pte(struct npu_vm *vm, struct npu_pt *pt, u32 index)
{
	return vm->ndev->mem + pt->mem.addr + index * sizeof(u64);
}

static u64 npu_pte_read(struct npu_vm *vm, struct npu_pt *pt, u32 index)
{
	return readq(npu_pte(vm, pt, index));
}

static void npu_pte_write(struct npu_vm *vm, struct npu_pt *pt, u32 index, u64 pte)
{
	writeq(pte, npu_pte(vm, pt, index));
}

static struct npu_pt *npu_pt_new(struct npu_vm *vm, u32 entries, u32 children)
{
	struct npu_pt *pt = kvzalloc(struct_size(pt, child, children), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!pt)
		return ERR_PTR(-ENOMEM);
	ret = npu_mem_alloc(vm->ndev, &pt->mem, entries * sizeof(u64));
	if (ret) {
		kvfree(pt);
		return ERR_PTR(ret);
	}
	return pt;
}

static void npu_pt_delete(struct npu_vm *vm, struct npu_pt *pt)
{
	npu_mem_free(vm->ndev, &pt->mem);
	kvfree(pt);
}

/* Hangs an empty table, or one that translates as the entry did, into @parent. */
static void npu_pt_attach(struct npu_vm *vm, struct npu_pt *parent, u32 index, struct npu_pt *pt)
{
	parent->child[index] = pt;
	/* The device may walk it as soon as it is linked. */
	wmb();
	npu_pte_write(vm, parent, index, pt->mem.addr | NPU_PTE_VALID);
}

/* Takes a table out of @parent; it is freed by the next flush. */
static void npu_pt_detach(struct npu_vm *vm, struct npu_pt *parent, u32 index)
{
	list_add(&parent->child[index]->link, &vm->trash);
	parent->child[index] = NULL;
	vm->stale = true;
}

static struct npu_pt *npu_pt_find_mid(struct npu_vm *vm, u64 va)
{
	return vm->root->child[npu_pt_root_index(va)];
}

static struct npu_pt *npu_pt_get_mid(struct npu_vm *vm, u64 va)
{
	struct npu_pt *mid = npu_pt_find_mid(vm, va);

	if (mid)
		return mid;
	mid = npu_pt_new(vm, NPU_PT_ENTRIES, NPU_PT_ENTRIES);
	if (IS_ERR(mid))
		return mid;
	npu_pt_attach(vm, vm->root, npu_pt_root_index(va), mid);
	vm->root->used++;
	return mid;
}

/*
 * Makes sure that there is a table of small pages for @va; a big page there
 * becomes one that translates the same.
 */
static int npu_pt_get_leaf(struct npu_vm *vm, struct npu_pt *mid, u64 va)
{
	u32 index = npu_pt_mid_index(va);
	struct npu_pt *leaf;
	u64 pte;

	if (mid->child[index])
		return 0;
	leaf = npu_pt_new(vm, NPU_PT_ENTRIES, 0);
	if (IS_ERR(leaf))
		return PTR_ERR(leaf);

	pte = npu_pte_read(vm, mid, index);
	if (pte & NPU_PTE_VALID) {
		pte &= ~NPU_PTE_LEAF;
		for (u32 i = 0; i < NPU_PT_ENTRIES; i++)
			npu_pte_write(vm, leaf, i, pte + (u64)i * NPU_PAGE_SIZE);
		leaf->used = NPU_PT_ENTRIES;
		vm->stale = true;
	} else {
		mid->used++;
	}
	npu_pt_attach(vm, mid, index, leaf);
	return 0;
}

/* Device memory that suffices for the tables of a mapping of @size bytes. */
u64 npu_pt_room(u64 size)
{
	u64 leaves = (size >> NPU_PT_MID_SHIFT) + 2, mids = (size >> NPU_PT_ROOT_SHIFT) + 2;

	return (leaves + mids) * NPU_PAGE_SIZE;
}

/* The end of the big-page slot that @va is in, or @end. */
static u64 npu_pt_slot_end(u64 va, u64 end)
{
	return min(end, ALIGN(va + 1, NPU_BIG_PAGE_SIZE));
}

/*
 * What npu_bo_addr() says; without a buffer, in a sparse range, the piece of the
 * device's zeros that lies in a big page as @offset does.
 */
static u64 npu_pt_addr(struct npu_vm *vm, struct npu_bo *bo, u64 offset, u64 *len)
{
	u64 in_page = offset % NPU_BIG_PAGE_SIZE;

	if (bo)
		return npu_bo_addr(bo, offset, len);
	*len = NPU_BIG_PAGE_SIZE - in_page;
	return vm->ndev->zeros.addr + in_page;
}

static bool npu_pt_use_big(struct npu_vm *vm, struct npu_bo *bo, u64 va, u64 next, u64 offset)
{
	u64 addr, len;

	if (next - va != NPU_BIG_PAGE_SIZE)
		return false;
	addr = npu_pt_addr(vm, bo, offset, &len);
	return len >= NPU_BIG_PAGE_SIZE && IS_ALIGNED(addr, NPU_BIG_PAGE_SIZE);
}

/**
 * npu_pt_split() - make a boundary between mappings possible at an address
 * @vm: address space
 * @va: page-aligned address
 *
 * Return: 0, NPU_NO_ROOM or -ENOMEM.  No translation changes.
 */
int npu_pt_split(struct npu_vm *vm, u64 va)
{
	struct npu_pt *mid;

	if (IS_ALIGNED(va, NPU_BIG_PAGE_SIZE) || va >= NPU_VA_END)
		return 0;
	mid = npu_pt_find_mid(vm, va);
	if (!mid || mid->child[npu_pt_mid_index(va)])
		return 0;
	if (!(npu_pte_read(vm, mid, npu_pt_mid_index(va)) & NPU_PTE_VALID))
		return 0;
	return npu_pt_get_leaf(vm, mid, va);
}

/**
 * npu_pt_prepare() - allocate all tables that npu_pt_map() of the same range needs
 * @vm: address space
 * @va: first address
 * @size: bytes
 * @bo: buffer; NULL: a sparse range
 * @offset: in the buffer; without one, @va
 *
 * Return: 0, NPU_NO_ROOM, -ENOMEM, or -EINTR for a killed process.  On failure
 * npu_pt_prune() takes the empty tables away.
 */
int npu_pt_prepare(struct npu_vm *vm, u64 va, u64 size, struct npu_bo *bo, u64 offset)
{
	u64 end = va + size, next;
	struct npu_pt *mid;
	int ret;

	for (; va < end; offset += next - va, va = next) {
		next = npu_pt_slot_end(va, end);
		mid = npu_pt_get_mid(vm, va);
		if (IS_ERR(mid))
			return PTR_ERR(mid);
		if (npu_pt_use_big(vm, bo, va, next, offset))
			continue;
		ret = npu_pt_get_leaf(vm, mid, va);
		if (ret)
			return ret;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static void npu_pt_map_big(struct npu_vm *vm, struct npu_pt *mid, u64 va, u64 pte)
{
	u32 index = npu_pt_mid_index(va);

	if (mid->child[index])
		npu_pt_detach(vm, mid, index);
	else
		mid->used++;
	npu_pte_write(vm, mid, index, pte | NPU_PTE_LEAF);
}

static void npu_pt_map_small(struct npu_vm *vm, struct npu_pt *leaf, u64 va, u64 next,
			     struct npu_bo *bo, u64 offset, u64 bits)
{
	u64 addr = 0, len = 0;

	for (; va < next; va += NPU_PAGE_SIZE) {
		if (!len)
			addr = npu_pt_addr(vm, bo, offset, &len);
		npu_pte_write(vm, leaf, npu_pt_leaf_index(va), addr | bits);
		leaf->used++;
		addr += NPU_PAGE_SIZE;
		len -= NPU_PAGE_SIZE;
		offset += NPU_PAGE_SIZE;
	}
}

/* Maps a prepared range in which nothing is mapped.  @rights: NPU_PTE_READ, WRITE, EXEC. */
void npu_pt_map(struct npu_vm *vm, u64 va, u64 size, struct npu_bo *bo, u64 offset, u64 rights)
{
	u64 bits = (rights & NPU_PT_RIGHTS) | NPU_PTE_VALID;
	u64 end = va + size, next, len;
	struct npu_pt *mid;

	if (bo && npu_bo_on_bus(bo))
		bits |= NPU_PTE_HOST;
	for (; va < end; offset += next - va, va = next) {
		next = npu_pt_slot_end(va, end);
		mid = npu_pt_find_mid(vm, va);
		if (npu_pt_use_big(vm, bo, va, next, offset))
			npu_pt_map_big(vm, mid, va,
				       npu_pt_addr(vm, bo, offset, &len) | bits);
		else
			npu_pt_map_small(vm, mid->child[npu_pt_mid_index(va)], va, next, bo,
					 offset, bits);
		cond_resched();
	}
	/* The caller will tell the device about these addresses through memory. */
	wmb();
}

static void npu_pt_unmap_slot(struct npu_vm *vm, struct npu_pt *mid, u64 va, u64 next)
{
	u32 index = npu_pt_mid_index(va);
	struct npu_pt *leaf = mid->child[index];

	if (!leaf) {
		/* A big page: npu_pt_split() has seen to it that all of it goes. */
		npu_pte_write(vm, mid, index, 0);
		mid->used--;
		return;
	}
	for (; va < next; va += NPU_PAGE_SIZE) {
		npu_pte_write(vm, leaf, npu_pt_leaf_index(va), 0);
		leaf->used--;
	}
}

/* Unmaps a range that is mapped from end to end. */
void npu_pt_unmap(struct npu_vm *vm, u64 va, u64 size)
{
	u64 end = va + size, next;

	for (; va < end; va = next) {
		next = npu_pt_slot_end(va, end);
		npu_pt_unmap_slot(vm, npu_pt_find_mid(vm, va), va, next);
		cond_resched();
	}
	vm->stale = true;
}

/* Takes tables out that have become empty in the range. */
void npu_pt_prune(struct npu_vm *vm, u64 va, u64 size)
{
	u64 end = va + size, next;

	for (; va < end; va = next) {
		struct npu_pt *mid = npu_pt_find_mid(vm, va);
		u32 index = npu_pt_mid_index(va);
		struct npu_pt *leaf;

		if (!mid) {
			next = min(end, ALIGN(va + 1, 1ull << NPU_PT_ROOT_SHIFT));
			continue;
		}
		next = npu_pt_slot_end(va, end);
		cond_resched();
		leaf = mid->child[index];
		if (leaf && !leaf->used) {
			npu_pte_write(vm, mid, index, 0);
			npu_pt_detach(vm, mid, index);
			mid->used--;
		}
		if (!mid->used) {
			npu_pte_write(vm, vm->root, npu_pt_root_index(va), 0);
			npu_pt_detach(vm, vm->root, npu_pt_root_index(va));
			vm->root->used--;
		}
	}
}

static int npu_tlb_invalidate(struct npu_device *ndev, u32 ctx_id)
{
	int ret = npu_check_alive(ndev);
	u32 number;

	if (ret)
		return ret;
	/* Only a developer who wants to see what becomes of it. */
	if (READ_ONCE(ndev->tlb.skip))
		return 0;

	/* The tables' new entries reach memory before the request. */
	wmb();
	spin_lock(&ndev->tlb.lock);
	npu_write(ndev, NPU_REG_TLB_INV, ctx_id);
	number = npu_read(ndev, NPU_REG_TLB_REQ);
	spin_unlock(&ndev->tlb.lock);

	if (!npu_wait_for(ndev->tlb.wq, (s32)(npu_read(ndev, NPU_REG_TLB_ACK) - number) >= 0 ||
			  npu_check_alive(ndev)))
		npu_wedge(ndev, "a TLB invalidation was not acknowledged in time");
	return npu_check_alive(ndev);
}

/**
 * npu_pt_flush() - wait until no engine uses what was taken away, then free the tables
 * @vm: address space
 *
 * Return: 0; -EAGAIN or -ENODEV, as npu_check_alive(): the device does not answer, and memory
 * that it might use is kept.
 */
int npu_pt_flush(struct npu_vm *vm)
{
	struct npu_pt *pt, *next;
	int ret = 0;

	if (vm->stale)
		ret = npu_tlb_invalidate(vm->ndev, vm->ctx_id);
	vm->stale = false;
	list_for_each_entry_safe(pt, next, &vm->trash, link) {
		list_del(&pt->link);
		npu_pt_delete(vm, pt);
	}
	return ret;
}

/* Makes the whole address space invalid, without freeing a table. */
void npu_pt_clear_all(struct npu_vm *vm)
{
	memset_io(npu_pte(vm, vm->root, 0), 0, NPU_PT_ROOT_ENTRIES * sizeof(u64));
	vm->stale = true;
}

int npu_pt_create(struct npu_vm *vm)
{
	struct npu_pt *root = npu_pt_new(vm, NPU_PT_ROOT_ENTRIES, NPU_PT_ROOT_ENTRIES);

	if (IS_ERR(root))
		return PTR_ERR(root);
	vm->root = root;
	return 0;
}

/* Frees all tables; the device uses none of them any more. */
void npu_pt_destroy(struct npu_vm *vm)
{
	struct npu_pt *mid;

	for (u32 i = 0; i < NPU_PT_ROOT_ENTRIES; i++) {
		mid = vm->root->child[i];
		if (!mid)
			continue;
		for (u32 k = 0; k < NPU_PT_ENTRIES; k++)
			if (mid->child[k])
				npu_pt_delete(vm, mid->child[k]);
		npu_pt_delete(vm, mid);
	}
	npu_pt_delete(vm, vm->root);
	vm->root = NULL;
}
