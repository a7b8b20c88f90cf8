// SPDX-License-Identifier: GPL-2.0
/*
 * Sleeping on a fence.
 *
 * A polled launch must not cost an interrupt, so the device raises one only for
 * a context whose arm word is set, and takes it back to 0 as it does.  The waiter
 * arms, and then looks again: either it sees the value, or the device, which
 * stores the value before it looks at the arm word, sees the arm word.
 *
 * Falling asleep and being woken takes many times as long as a short launch.  So
 * a waiter looks for a while before it arms, as halt polling of KVM and hybrid
 * polling of block devices do: at most wait_spin_us, only while nobody else wants
 * the CPU, and less and less in a context whose waits turn out to be long.
 */
#include <linux/hrtimer.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>

#include "npu_ctx.h"
#include "npu_trace.h"

#define NPU_NO_QUEUE U32_MAX

/* Sleepers look up so often, so that a lost interrupt costs time and not a process. */
#define NPU_LOOK_UP_NS NSEC_PER_SEC

/* A wait that is longer than so many spins is not worth one; so no more than this is wasted. */
#define NPU_SPIN_WORTH 40
/* A spin that has shrunk below this is none. */
#define NPU_SPIN_MIN_NS 1000

static unsigned int wait_spin_us = 25;
module_param(wait_spin_us, uint, 0644);
MODULE_PARM_DESC(wait_spin_us, "microseconds that a wait may look before it sleeps (0: never; at most 1000)");

struct npu_waiter {
	struct npu_ctx *ctx;
	struct npu_bo *bo;
	struct npu_queue *queue; /* or NULL */
	const struct drm_npu_wait *args;
};

static bool npu_wait_met(const struct drm_npu_wait *args, u64 value)
{
	switch (args->cond) {
	case NPU_WAIT_GE:
		return (s64)(value - args->value) >= 0;
	case NPU_WAIT_EQ:
		return value == args->value;
	default:
		return value != args->value;
	}
}

/* Reads the value.  False: it cannot be seen now, and all are woken when it can. */
static bool npu_wait_read(struct npu_waiter *w, u64 *value)
{
	struct npu_device *ndev = w->ctx->ndev;

	/* Host memory stays where it is, whatever becomes of the device. */
	if (w->bo->kind != NPU_BO_KIND_DEVICE) {
		*value = npu_bo_read64(w->bo, w->args->offset);
		return true;
	}
	/* A function in reset decodes no memory. */
	if (!down_read_trylock(&ndev->recovery.lock))
		return false;
	*value = npu_bo_read64(w->bo, w->args->offset);
	up_read(&ndev->recovery.lock);
	return true;
}

/* 1: the condition holds; 0: not yet; or why it never will. */
static int npu_wait_look(struct npu_waiter *w)
{
	struct npu_device *ndev = w->ctx->ndev;
	u32 state = NPU_QUEUE_OK;
	u64 value = 0;
	bool seen;
	int idx;

	if (!drm_dev_enter(&ndev->drm, &idx))
		return -ENODEV;
	if (w->queue)
		/* Before the value: what a queue stored before it stopped is there. */
		state = smp_load_acquire(&npu_queue_status(w->queue)->state);
	seen = npu_wait_read(w, &value);
	drm_dev_exit(idx);
	if (seen && npu_wait_met(w->args, value))
		return 1;
	if (npu_check_alive(ndev) == -ENODEV)
		return -ENODEV;
	if (seen && state != NPU_QUEUE_OK)
		return -EIO;
	return npu_ctx_check(w->ctx);
}

static int npu_wait_arm(struct npu_ctx *ctx)
{
	int idx;

	if (!drm_dev_enter(&ctx->ndev->drm, &idx))
		return -ENODEV;
	npu_ctx_arm(ctx);
	drm_dev_exit(idx);
	return 0;
}

/* Sleeps once.  False when nobody woke us until the time was over. */
static bool npu_wait_nap(ktime_t deadline)
{
	ktime_t until = min(deadline, ktime_add_ns(ktime_get(), NPU_LOOK_UP_NS));

	return schedule_hrtimeout_range(&until, current->timer_slack_ns, HRTIMER_MODE_ABS);
}

static int npu_wait_sleep(struct npu_waiter *w)
{
	ktime_t deadline = ns_to_ktime(w->args->timeout_ns), start = ktime_get();
	bool woken = true;
	DEFINE_WAIT(wait);
	int ret;

	for (;;) {
		prepare_to_wait(&w->ctx->wq, &wait, TASK_INTERRUPTIBLE);
		ret = npu_wait_arm(w->ctx);
		if (!ret)
			ret = npu_wait_look(w);
		if (ret)
			break;
		if (signal_pending(current))
			ret = -ERESTARTSYS;
		else if (!woken && ktime_compare(ktime_get(), deadline) >= 0)
			ret = -ETIME;
		if (ret)
			break;
		/* It may be the firmware's interrupt that was lost, with what it had to say. */
		if (!woken)
			schedule_work(&w->ctx->ndev->fw_work);
		woken = npu_wait_nap(deadline);
	}
	finish_wait(&w->ctx->wq, &wait);
	trace_npu_wait(w->ctx->ndev, w->ctx->id, w->args->value, ret,
		       ktime_to_ns(ktime_sub(ktime_get(), start)));
	if (ret == 1 && !woken)
		drm_dbg(&w->ctx->ndev->drm, "wait: the value came without an interrupt\n");
	return ret;
}

static u64 npu_wait_spin_limit(void)
{
	return min(READ_ONCE(wait_spin_us), 1000u) * (u64)NSEC_PER_USEC;
}

/* Looks without sleeping, for as long as has been worth it in this context. */
static int npu_wait_spin(struct npu_waiter *w, u64 start)
{
	u64 end = min3(start + READ_ONCE(w->ctx->spin_ns), start + npu_wait_spin_limit(),
		       (u64)w->args->timeout_ns);
	int ret = 0;

	while (!ret && ktime_get_ns() < end && !need_resched() && !signal_pending(current)) {
		cpu_relax();
		ret = npu_wait_look(w);
	}
	return ret;
}

/* A wait has ended after ns: how long is the next to look?  Racing waiters lose nothing. */
static void npu_wait_learn(struct npu_ctx *ctx, u64 ns)
{
	u64 limit = npu_wait_spin_limit();
	u32 spin = READ_ONCE(ctx->spin_ns);

	if (ns <= limit * NPU_SPIN_WORTH)
		spin = limit;
	else
		spin = spin / 2 >= NPU_SPIN_MIN_NS ? spin / 2 : 0;
	WRITE_ONCE(ctx->spin_ns, spin);
}

static int npu_wait_run(struct npu_waiter *w)
{
	u64 start = ktime_get_ns();
	int ret = npu_wait_look(w);

	if (ret)
		return ret > 0 ? 0 : ret;
	/* A deadline that has passed asks without sleeping. */
	if (w->args->timeout_ns <= (s64)start)
		return -ETIME;
	ret = npu_wait_spin(w, start);
	if (!ret)
		ret = npu_wait_sleep(w);
	npu_wait_learn(w->ctx, ktime_get_ns() - start);
	return ret > 0 ? 0 : ret;
}

static int npu_wait_check(struct drm_device *drm, const struct drm_npu_wait *args)
{
	if (args->pad) {
		drm_dbg(drm, "wait: padding must be 0\n");
		return -EINVAL;
	}
	if (args->cond > NPU_WAIT_NE) {
		drm_dbg(drm, "wait: unknown condition %u\n", args->cond);
		return -EINVAL;
	}
	if (!IS_ALIGNED(args->offset, sizeof(u64))) {
		drm_dbg(drm, "wait: offset %#llx is not a multiple of 8\n", args->offset);
		return -EINVAL;
	}
	return 0;
}

static int npu_wait_with_bo(struct npu_waiter *w)
{
	const struct drm_npu_wait *args = w->args;
	struct drm_device *drm = &w->ctx->ndev->drm;
	int ret;

	if (w->bo->kind == NPU_BO_KIND_IMPORT) {
		drm_dbg(drm, "wait: the kernel does not read other drivers' buffers\n");
		return -EOPNOTSUPP;
	}
	if (args->offset > w->bo->base.size - sizeof(u64)) {
		drm_dbg(drm, "wait: offset %#llx is outside the buffer's %#zx bytes\n",
			args->offset, w->bo->base.size);
		return -EINVAL;
	}
	if (args->queue != NPU_NO_QUEUE) {
		w->queue = npu_queue_get(w->ctx, args->queue);
		if (!w->queue) {
			drm_dbg(drm, "wait: no queue %u\n", args->queue);
			return -ENOENT;
		}
	}
	ret = npu_wait_run(w);
	npu_queue_put(w->queue);
	return ret;
}

int npu_ioctl_wait(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct npu_waiter w = { .ctx = npu_file_ctx(file->driver_priv), .args = data };
	struct drm_gem_object *obj;
	int ret;

	ret = npu_wait_check(drm, w.args);
	if (ret)
		return ret;
	if (!w.ctx) {
		drm_dbg(drm, "wait: the file has no context\n");
		return -EINVAL;
	}
	if (npu_check_alive(w.ctx->ndev) == -ENODEV)
		return -ENODEV;
	obj = drm_gem_object_lookup(file, w.args->handle);
	if (!obj) {
		drm_dbg(drm, "wait: no handle %u\n", w.args->handle);
		return -ENOENT;
	}
	w.bo = to_npu_bo(obj);
	ret = npu_wait_with_bo(&w);
	drm_gem_object_put(obj);
	return ret;
}
