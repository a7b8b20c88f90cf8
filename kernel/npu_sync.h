/* SPDX-License-Identifier: GPL-2.0 */
/* Fences of other drivers: queues' positions as fences, and fences that open a queue's gate. */
#ifndef NPU_SYNC_H
#define NPU_SYNC_H

#include "npu_ctx.h"

void npu_import_init(struct npu_ctx *ctx);
void npu_import_fini(struct npu_ctx *ctx);
void npu_fence_init(struct npu_ctx *ctx);
void npu_fence_fini(struct npu_ctx *ctx);
void npu_sync_look(struct npu_ctx *ctx);
void npu_sync_queue_ended(struct npu_queue *queue);

int npu_ioctl_sync_export(struct drm_device *drm, void *data, struct drm_file *file);
int npu_ioctl_sync_import(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* NPU_SYNC_H */
