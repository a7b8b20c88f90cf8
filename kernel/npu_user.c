// SPDX-License-Identifier: GPL-2.0
/*
 * What a user has of the things that the device has few of: contexts and queues.
 *
 * Without a limit, one user's processes could take all of them, by accident or
 * on purpose.  A process with CAP_SYS_RESOURCE is counted, but not limited.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "npu_user.h"

static unsigned int user_contexts = 128;
module_param(user_contexts, uint, 0644);
MODULE_PARM_DESC(user_contexts, "contexts that one user may have on a device");

static unsigned int user_queues = 512;
module_param(user_queues, uint, 0644);
MODULE_PARM_DESC(user_queues, "queues that one user may have on a device");

/* The entry of the calling process's user, made if there is none, with a reference. */
struct npu_user *npu_user_get(struct npu_device *ndev)
{
	kuid_t uid = current_euid();
	struct npu_user *user, *fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);

	mutex_lock(&ndev->user_lock);
	list_for_each_entry(user, &ndev->users, node) {
		if (uid_eq(user->uid, uid)) {
			user->files++;
			mutex_unlock(&ndev->user_lock);
			kfree(fresh);
			return user;
		}
	}
	if (fresh) {
		fresh->uid = uid;
		fresh->files = 1;
		list_add(&fresh->node, &ndev->users);
	}
	mutex_unlock(&ndev->user_lock);
	return fresh;
}

void npu_user_put(struct npu_device *ndev, struct npu_user *user)
{
	mutex_lock(&ndev->user_lock);
	if (!--user->files) {
		list_del(&user->node);
		kfree(user);
	}
	mutex_unlock(&ndev->user_lock);
}

static int npu_user_charge(struct npu_device *ndev, u32 *count, u32 limit, const char *what)
{
	bool free = capable(CAP_SYS_RESOURCE);
	int ret = 0;

	mutex_lock(&ndev->user_lock);
	if (*count < limit || free)
		++*count;
	else
		ret = -EDQUOT;
	mutex_unlock(&ndev->user_lock);
	if (ret)
		drm_dbg(&ndev->drm, "the user has %u %s already\n", limit, what);
	return ret;
}

/* 0, or -EDQUOT. */
int npu_user_add_context(struct npu_device *ndev, struct npu_user *user)
{
	return npu_user_charge(ndev, &user->contexts, READ_ONCE(user_contexts), "contexts");
}

int npu_user_add_queue(struct npu_device *ndev, struct npu_user *user)
{
	return npu_user_charge(ndev, &user->queues, READ_ONCE(user_queues), "queues");
}

void npu_user_del_context(struct npu_device *ndev, struct npu_user *user)
{
	mutex_lock(&ndev->user_lock);
	user->contexts--;
	mutex_unlock(&ndev->user_lock);
}

void npu_user_del_queue(struct npu_device *ndev, struct npu_user *user)
{
	mutex_lock(&ndev->user_lock);
	user->queues--;
	mutex_unlock(&ndev->user_lock);
}
