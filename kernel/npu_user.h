/* SPDX-License-Identifier: GPL-2.0 */
/* Limits per user. */
#ifndef NPU_USER_H
#define NPU_USER_H

#include "npu_drv.h"

/**
 * struct npu_user - a user with open files; all under npu_device.user_lock
 * @node: in npu_device.users
 * @uid: who
 * @files: open files, each of which has a reference
 * @contexts: that these have
 * @queues: that these have
 */
struct npu_user {
	struct list_head node;
	kuid_t uid;
	u32 files;
	u32 contexts;
	u32 queues;
};

struct npu_user *npu_user_get(struct npu_device *ndev);
void npu_user_put(struct npu_device *ndev, struct npu_user *user);
int npu_user_add_context(struct npu_device *ndev, struct npu_user *user);
int npu_user_add_queue(struct npu_device *ndev, struct npu_user *user);
void npu_user_del_context(struct npu_device *ndev, struct npu_user *user);
void npu_user_del_queue(struct npu_device *ndev, struct npu_user *user);

#endif /* NPU_USER_H */
