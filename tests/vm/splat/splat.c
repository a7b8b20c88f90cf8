// SPDX-License-Identifier: GPL-2.0
/*
 * What no kernel code may do, once each, as it is loaded: each checker of the
 * debug kernel must report its part, and tests/vm/debug.sh find the reports.
 *
 * Addresses and counts are volatile, so that the compiler neither sees through
 * it nor leaves it out.
 */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

static DEFINE_SPINLOCK(splat_spin);
static DEFINE_MUTEX(splat_one);
static DEFINE_MUTEX(splat_two);

/* kmemleak.  Several: a stale word somewhere may look like a reference to one. */
static noinline void splat_leak(void)
{
	for (int i = 0; i < 16; i++) {
		void *volatile lost = kmalloc(64, GFP_KERNEL);

		lost = NULL;
		(void)lost;
	}
}

/* DEBUG_ATOMIC_SLEEP */
static void splat_sleep(void)
{
	spin_lock(&splat_spin);
	might_sleep();
	spin_unlock(&splat_spin);
}

/* DMA_API_DEBUG: an address that was never mapped. */
static int splat_dma(void)
{
	struct platform_device *pdev = platform_device_register_simple("splat", -1, NULL, 0);

	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	dma_unmap_single(&pdev->dev, 0x1000, 64, DMA_TO_DEVICE);
	platform_device_unregister(pdev);
	return 0;
}

/* UBSAN */
static void splat_shift(void)
{
	volatile int bits = 40, result;

	result = 1 << bits;
	(void)result;
}

/* lockdep: either order is harmless while nobody takes them the other way. */
static void splat_order(void)
{
	mutex_lock(&splat_one);
	mutex_lock(&splat_two);
	mutex_unlock(&splat_two);
	mutex_unlock(&splat_one);
	mutex_lock(&splat_two);
	mutex_lock(&splat_one);
	mutex_unlock(&splat_one);
	mutex_unlock(&splat_two);
}

/* KASAN.  Last: lockdep gives up at its report. */
static void splat_use_after_free(void)
{
	char *volatile gone = kmalloc(32, GFP_KERNEL);

	if (!gone)
		return;
	kfree(gone);
	(void)*(volatile char *)gone;
}

static int __init splat_init(void)
{
	int ret;

	splat_leak();
	splat_sleep();
	WARN_ON(1);
	splat_shift();
	ret = splat_dma();
	splat_order();
	splat_use_after_free();
	return ret;
}

static void __exit splat_exit(void)
{
}

module_init(splat_init);
module_exit(splat_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("reports on purpose, for the tests of a debug kernel");
