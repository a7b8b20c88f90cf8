// SPDX-License-Identifier: GPL-2.0
/* Names of buffers, and the list of all of them for developers. */
#include <linux/ctype.h>
#include <linux/mm.h>

#include "npu_bo.h"

static bool npu_name_valid(const char *name)
{
	u32 len = strnlen(name, DRM_NPU_NAME_BYTES);

	if (len == DRM_NPU_NAME_BYTES || memchr_inv(name + len, 0, DRM_NPU_NAME_BYTES - len))
		return false;
	for (u32 i = 0; i < len; i++)
		if (!isascii(name[i]) || !isprint(name[i]))
			return false;
	return true;
}

int npu_ioctl_bo_name(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_device *ndev = to_npu_device(drm);
	struct drm_npu_bo_name *args = data;
	struct drm_gem_object *obj;

	if (args->pad) {
		drm_dbg(drm, "bo_name: padding must be 0\n");
		return -EINVAL;
	}
	if (!npu_file_ctx(file->driver_priv)) {
		drm_dbg(drm, "bo_name: the file has no context\n");
		return -EINVAL;
	}
	if (!npu_name_valid(args->name)) {
		drm_dbg(drm, "bo_name: not printable, not ended, or not padded with zeros\n");
		return -EINVAL;
	}
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj) {
		drm_dbg(drm, "bo_name: no handle %u\n", args->handle);
		return -ENOENT;
	}
	mutex_lock(&ndev->bo_lock);
	memcpy(to_npu_bo(obj)->name, args->name, sizeof(args->name));
	mutex_unlock(&ndev->bo_lock);
	drm_gem_object_put(obj);
	return 0;
}

static const char *npu_bo_kind_name(struct npu_bo *bo)
{
	switch (bo->kind) {
	case NPU_BO_KIND_DEVICE:
		return "device";
	case NPU_BO_KIND_HOST:
		return "host";
	case NPU_BO_KIND_IMPORT:
		return "import";
	case NPU_BO_KIND_USER:
		return "user";
	default:
		return "doorbell";
	}
}

/* One line a buffer: kind, where it is now, KiB, pins, owner's pid, flags, name. */
void npu_bo_show_all(struct npu_device *ndev, struct seq_file *m)
{
	struct npu_bo *bo;

	seq_printf(m, "moved out: %lld KiB; moves out %lld, back %lld\n",
		   atomic64_read(&ndev->evict.bytes) >> 10, atomic64_read(&ndev->evict.evictions),
		   atomic64_read(&ndev->evict.returns));
	mutex_lock(&ndev->bo_lock);
	list_for_each_entry(bo, &ndev->bo_list, node) {
		seq_printf(m, "%-8s %-6s %8zu KiB pins %u pid %d%s%s%s\n", npu_bo_kind_name(bo),
			   npu_bo_on_bus(bo) ? "host" : "device", bo->base.size >> 10,
			   READ_ONCE(bo->pins), bo->account ? bo->account->pid : 0,
			   bo->flags & NPU_BO_INTERNAL ? " internal" : "",
			   *bo->name ? " name " : "", bo->name);
	}
	mutex_unlock(&ndev->bo_lock);
}
