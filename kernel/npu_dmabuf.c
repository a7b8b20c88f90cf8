// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers shared as dma-buf: with other processes, other drivers, other NPUs.
 *
 * Who attaches to device memory and can reach it over the bus gets it where it
 * is, pinned while it is mapped.  For everybody else the buffer moves to host
 * memory and stays there as long as the attachment does.  What is imported is
 * pinned for as long as the import lives: queues are fed without the kernel, so
 * nobody could be told to wait while it moves.
 */
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/module.h>
#include <linux/pci-p2pdma.h>

#include <drm/drm_prime.h>

#include "npu_bo.h"

MODULE_IMPORT_NS(DMA_BUF);

/* An entry's length has 32 bits. */
#define NPU_SG_MAX ((u32)SZ_1G)

static bool p2p = true;
module_param(p2p, bool, 0600);
MODULE_PARM_DESC(p2p,
		 "give other PCI devices device memory itself, where the bus allows it; otherwise its buffers move to host memory");

static struct npu_bo *npu_dmabuf_bo(struct dma_buf *dma_buf)
{
	return to_npu_bo(dma_buf->priv);
}

/*
 * Whether the importer reaches our BAR.  A kernel without PCI_P2PDMA knows
 * nothing about paths; then devices below the same host bridge are taken to
 * reach each other.
 */
static bool npu_dmabuf_reaches(struct npu_device *ndev, struct dma_buf_attachment *attach)
{
	if (!READ_ONCE(p2p) || !attach->peer2peer || !dev_is_pci(attach->dev))
		return false;
	if (IS_ENABLED(CONFIG_PCI_P2PDMA))
		return pci_p2pdma_distance(ndev->pdev, attach->dev, false) >= 0;
	return pci_find_host_bridge(to_pci_dev(attach->dev)->bus) ==
	       pci_find_host_bridge(ndev->pdev->bus);
}

/* A mapping or attachment no longer keeps the buffer where it is; the reservation is held. */
static void npu_dmabuf_let_go(struct npu_bo *bo)
{
	dma_resv_assert_held(bo->base.resv);
	bo->pins--;
	npu_evict_kick(to_npu_device(bo->base.dev));
}

static int npu_dmabuf_attach(struct dma_buf *dma_buf, struct dma_buf_attachment *attach)
{
	struct npu_bo *bo = npu_dmabuf_bo(dma_buf);
	struct npu_device *ndev = to_npu_device(bo->base.dev);
	int ret;

	if (bo->kind != NPU_BO_KIND_DEVICE || npu_dmabuf_reaches(ndev, attach))
		return 0;
	attach->peer2peer = false;
	ret = npu_evict_to_host(bo);
	drm_dbg(&ndev->drm, "export: %s cannot reach device memory, the buffer moves: %d\n",
		dev_name(attach->dev), ret);
	if (!ret)
		attach->priv = bo; /* what npu_evict_to_host() has pinned */
	return ret;
}

static void npu_dmabuf_detach(struct dma_buf *dma_buf, struct dma_buf_attachment *attach)
{
	struct npu_bo *bo = attach->priv;

	if (!bo)
		return;
	dma_resv_lock(bo->base.resv, NULL);
	npu_dmabuf_let_go(bo);
	dma_resv_unlock(bo->base.resv);
}

static int npu_dmabuf_pin(struct dma_buf_attachment *attach)
{
	dma_resv_assert_held(attach->dmabuf->resv);
	npu_dmabuf_bo(attach->dmabuf)->pins++;
	return 0;
}

static void npu_dmabuf_unpin(struct dma_buf_attachment *attach)
{
	npu_dmabuf_let_go(npu_dmabuf_bo(attach->dmabuf));
}

/* The longest piece that the importer takes. */
static u32 npu_dmabuf_max_piece(struct device *dev)
{
	return max(ALIGN_DOWN(min(dma_get_max_seg_size(dev), NPU_SG_MAX), PAGE_SIZE), PAGE_SIZE);
}

static void npu_dmabuf_unmap_device(struct device *dev, struct sg_table *sgt,
				    enum dma_data_direction dir)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_sg(sgt, sg, i)
		if (sg_dma_len(sg))
			dma_unmap_resource(dev, sg_dma_address(sg), sg_dma_len(sg), dir,
					   DMA_ATTR_SKIP_CPU_SYNC);
}

static u32 npu_dmabuf_count(struct npu_bo *bo, u32 max_piece)
{
	u32 n = 0;

	for (u64 at = 0, len; at < bo->base.size; at += min_t(u64, len, max_piece), n++)
		npu_bo_addr(bo, at, &len);
	return n;
}

/*
 * Device memory, as the importer's bus sees it; there are no pages behind it.  The caller holds
 * drm_dev_enter(): without the device, its bus addresses may be somebody else's.
 */
static int npu_dmabuf_map_device(struct npu_bo *bo, struct device *dev, struct sg_table *sgt,
				 enum dma_data_direction dir)
{
	struct npu_device *ndev = to_npu_device(bo->base.dev);
	u32 max_piece = npu_dmabuf_max_piece(dev);
	struct scatterlist *sg;
	u64 at = 0, len, addr;
	dma_addr_t dma;
	unsigned int i;
	int ret;

	ret = sg_alloc_table(sgt, npu_dmabuf_count(bo, max_piece), GFP_KERNEL);
	if (ret)
		return ret;
	for_each_sgtable_sg(sgt, sg, i) {
		addr = npu_bo_addr(bo, at, &len);
		len = min_t(u64, len, max_piece);
		dma = dma_map_resource(dev, ndev->mem_phys + addr, len, dir,
				       DMA_ATTR_SKIP_CPU_SYNC);
		if (dma_mapping_error(dev, dma)) {
			npu_dmabuf_unmap_device(dev, sgt, dir);
			sg_free_table(sgt);
			return -EIO;
		}
		sg_set_page(sg, NULL, len, 0);
		sg_dma_address(sg) = dma;
		sg_dma_len(sg) = len;
		at += len;
	}
	return 0;
}

static int npu_dmabuf_map_pages(struct npu_bo *bo, struct device *dev, struct sg_table *sgt,
				enum dma_data_direction dir)
{
	int ret;

	ret = sg_alloc_table_from_pages_segment(sgt, bo->pages, bo->base.size >> PAGE_SHIFT, 0,
						bo->base.size, npu_dmabuf_max_piece(dev),
						GFP_KERNEL);
	if (ret)
		return ret;
	ret = dma_map_sgtable(dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	if (ret)
		sg_free_table(sgt);
	return ret;
}

static struct sg_table *npu_dmabuf_map(struct dma_buf_attachment *attach,
				       enum dma_data_direction dir)
{
	struct npu_bo *bo = npu_dmabuf_bo(attach->dmabuf);
	struct sg_table *sgt;
	int idx, ret;

	dma_resv_assert_held(bo->base.resv);
	sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	if (!sgt)
		return ERR_PTR(-ENOMEM);
	if (npu_bo_in_host(bo)) {
		ret = npu_dmabuf_map_pages(bo, attach->dev, sgt, dir);
	} else if (drm_dev_enter(bo->base.dev, &idx)) {
		ret = npu_dmabuf_map_device(bo, attach->dev, sgt, dir);
		drm_dev_exit(idx);
	} else {
		ret = -ENODEV;
	}
	if (ret) {
		kfree(sgt);
		return ERR_PTR(ret);
	}
	/* Who can be told that a buffer moves need not pin it first, but we do not tell. */
	bo->pins++;
	return sgt;
}

static void npu_dmabuf_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
			     enum dma_data_direction dir)
{
	if (sg_page(sgt->sgl))
		dma_unmap_sgtable(attach->dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	else
		npu_dmabuf_unmap_device(attach->dev, sgt, dir);
	sg_free_table(sgt);
	kfree(sgt);
	npu_dmabuf_let_go(npu_dmabuf_bo(attach->dmabuf));
}

static const struct dma_buf_ops npu_dmabuf_ops = {
	.attach = npu_dmabuf_attach,
	.detach = npu_dmabuf_detach,
	.pin = npu_dmabuf_pin,
	.unpin = npu_dmabuf_unpin,
	.map_dma_buf = npu_dmabuf_map,
	.unmap_dma_buf = npu_dmabuf_unmap,
	.release = drm_gem_dmabuf_release,
	.mmap = drm_gem_dmabuf_mmap,
};

struct dma_buf *npu_bo_export(struct drm_gem_object *obj, int flags)
{
	struct dma_buf_export_info info = {
		.exp_name = KBUILD_MODNAME,
		.owner = obj->dev->driver->fops->owner,
		.ops = &npu_dmabuf_ops,
		.size = obj->size,
		.flags = flags,
		.priv = obj,
		.resv = obj->resv,
	};

	if (to_npu_bo(obj)->kind == NPU_BO_KIND_IMPORT ||
	    to_npu_bo(obj)->kind == NPU_BO_KIND_USER) {
		drm_dbg(obj->dev, "export: the memory is somebody else's\n");
		return ERR_PTR(-EOPNOTSUPP);
	}
	return drm_gem_dmabuf_export(obj->dev, &info);
}

/* It cannot be: what we import is pinned. */
static void npu_import_moved(struct dma_buf_attachment *attach)
{
	struct drm_device *drm = attach->importer_priv;

	drm_err_once(drm, "an exporter moves a pinned buffer\n");
}

static const struct dma_buf_attach_ops npu_import_ops = {
	.allow_peer2peer = true,
	.move_notify = npu_import_moved,
};

static int npu_import_map(struct npu_device *ndev, struct npu_bo *bo,
			  struct dma_buf_attachment *attach)
{
	struct dma_resv *resv = attach->dmabuf->resv;
	struct sg_table *sgt;
	long left;
	int ret;

	ret = dma_resv_lock_interruptible(resv, NULL);
	if (ret)
		return ret;
	ret = dma_buf_pin(attach);
	if (ret)
		goto out;
	sgt = dma_buf_map_attachment(attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt)) {
		ret = PTR_ERR(sgt);
		goto err_pin;
	}
	/* The exporter may still be moving it. */
	left = dma_resv_wait_timeout(resv, DMA_RESV_USAGE_KERNEL, true, MAX_SCHEDULE_TIMEOUT);
	ret = left < 0 ? left : npu_bo_set_runs(ndev, bo, sgt);
	if (!ret) {
		bo->import_sgt = sgt;
		atomic_inc(&ndev->imports_mapped);
		goto out;
	}
	dma_buf_unmap_attachment(attach, sgt, DMA_BIDIRECTIONAL);
err_pin:
	dma_buf_unpin(attach);
out:
	dma_resv_unlock(resv);
	return ret;
}

/* Ends the device's access to an imported buffer. */
void npu_bo_unmap_import(struct npu_bo *bo)
{
	struct dma_buf_attachment *attach = bo->base.import_attach;
	struct npu_device *ndev = to_npu_device(bo->base.dev);

	dma_resv_lock(attach->dmabuf->resv, NULL);
	if (bo->import_sgt) {
		dma_buf_unmap_attachment(attach, bo->import_sgt, DMA_BIDIRECTIONAL);
		dma_buf_unpin(attach);
		if (atomic_dec_and_test(&ndev->imports_mapped))
			wake_up_var(&ndev->imports_mapped);
	}
	bo->import_sgt = NULL;
	dma_resv_unlock(attach->dmabuf->resv);
}

void npu_bo_put_import(struct npu_bo *bo)
{
	struct dma_buf *dma_buf = bo->base.import_attach->dmabuf;

	npu_bo_unmap_import(bo);
	dma_buf_detach(dma_buf, bo->base.import_attach);
	bo->base.import_attach = NULL;
	dma_buf_put(dma_buf);
}

struct drm_gem_object *npu_prime_import(struct drm_device *drm, struct dma_buf *dma_buf)
{
	struct npu_device *ndev = to_npu_device(drm);
	struct dma_buf_attachment *attach;
	struct npu_bo *bo;
	int idx, ret;

	if (dma_buf->ops == &npu_dmabuf_ops && npu_dmabuf_bo(dma_buf)->base.dev == drm) {
		drm_gem_object_get(dma_buf->priv);
		return dma_buf->priv;
	}
	if (!IS_ALIGNED(dma_buf->size, PAGE_SIZE) || !dma_buf->size)
		return ERR_PTR(-EINVAL);
	if (!drm_dev_enter(drm, &idx))
		return ERR_PTR(-ENODEV);
	attach = dma_buf_dynamic_attach(dma_buf, &ndev->pdev->dev, &npu_import_ops, drm);
	if (IS_ERR(attach)) {
		drm_dev_exit(idx);
		return ERR_CAST(attach);
	}
	bo = npu_bo_new_import(ndev, dma_buf);
	if (IS_ERR(bo)) {
		dma_buf_detach(dma_buf, attach);
		drm_dev_exit(idx);
		return ERR_CAST(bo);
	}
	bo->base.import_attach = attach;
	get_dma_buf(dma_buf);
	ret = npu_import_map(ndev, bo, attach);
	drm_dev_exit(idx);
	if (ret) {
		drm_dbg(drm, "import: %s's buffer of %zu bytes: %d\n", dma_buf->exp_name,
			dma_buf->size, ret);
		npu_bo_put(bo);
		return ERR_PTR(ret);
	}
	return &bo->base;
}
