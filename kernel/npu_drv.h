/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device, the open file, and what they share.
 *
 * Lock order: npu_recovery.lock, npu_file.lock, npu_device.fw_lock, npu_device.open_lock,
 * npu_vm.lock, dma_resv of buffers, npu_mbox.lock, npu_tlb.lock, npu_mm.lock, npu_device.bo_lock,
 * npu_device.ctx_lock (innermost, taken in interrupts).
 */
#ifndef NPU_DRV_H
#define NPU_DRV_H

#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/idr.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_print.h>

#include "npu_accel.h"
#include "npu_admin.h"
#include "npu_buddy.h"
#include "npu_fault.h"
#include "npu_fw.h"
#include "npu_mmu.h"
#include "npu_packet.h"
#include "npu_regs.h"

#define NPU_DRIVER_NAME "npu"

/* User mappings begin above the first big page: a small integer is never a device address. */
#define NPU_VA_START ((u64)NPU_BIG_PAGE_SIZE)
#define NPU_VA_END BIT_ULL(NPU_VA_BITS)

#define NPU_QUEUES_PER_FILE 64
#define NPU_MIN_VECTORS 3
#define NPU_TIMEOUT_MS 10000 /* mailbox, TLB and firmware start; TCG guests are slow */
#define NPU_LOOK_MS 20

/*
 * Sleeps until the condition holds, at most NPU_TIMEOUT_MS.  Looks now and then
 * without being woken: a lost interrupt costs NPU_LOOK_MS, not the device.
 */
#define npu_wait_for(wq, condition)						\
({										\
	unsigned long __over = jiffies + msecs_to_jiffies(NPU_TIMEOUT_MS);	\
	bool __held;								\
										\
	do {									\
		__held = wait_event_timeout(wq, condition,			\
					    msecs_to_jiffies(NPU_LOOK_MS));	\
	} while (!__held && time_before(jiffies, __over));			\
	__held;									\
})

struct npu_bo;
struct npu_ctx;
struct npu_queue;

/* Device memory. */
struct npu_mm {
	struct mutex lock; /* guards all but saved and evicted */
	struct gpu_buddy buddy;
	struct list_head lost; /* blocks that a wedged device may still use */
	struct list_head reserved; /* never handed out */
	unsigned long *used; /* one bit a page: somebody has it */
	unsigned long *kept; /* while evicted: of used, what has not been freed since */
	u64 avail;
	bool moving; /* buffers are being moved: their tables may use what is kept back */

	bool evicted; /* all of it is in saved; under npu_recovery.lock, as saved is */
	struct xarray saved; /* page number -> struct page; none: zeros */
};

/* What npu_mm_alloc() answers when moving buffers out of the way may help; never to a process. */
#define NPU_NO_ROOM (-EXFULL)

/* Buffers that can be moved to host memory, see npu_evict.c. */
struct npu_evict {
	struct list_head lru; /* in device memory, least recently used first; under bo_lock */
	struct list_head out; /* in host memory for the time being; under bo_lock */
	atomic64_t bytes; /* of those in out */
	atomic64_t evictions; /* since the driver was bound */
	atomic64_t returns;
	struct delayed_work work; /* brings them back */
};

/* A contiguous piece of device memory for the driver's own tables. */
struct npu_mem {
	u64 addr; /* offset in device memory */
	u64 size; /* 0: nothing allocated */
	struct list_head blocks;
};

struct npu_mbox_state {
	struct mutex lock; /* one command at a time; guards seq and the mailbox page */
	wait_queue_head_t wq;
	struct npu_mem mem;
	u32 seq;
};

struct npu_tlb {
	spinlock_t lock; /* pairs a write of TLB_INV with the read of its number */
	wait_queue_head_t wq;
	bool skip; /* requests are left out, to show that they are needed; written by debugfs */
};

/* What a fence interrupt's handler is given. */
struct npu_vector {
	struct npu_device *ndev;
	u32 number;
};

/* npu_device.state */
enum npu_state_bit {
	NPU_STATE_FAILED, /* it does not do what it was told, and has not been reset since */
	NPU_STATE_WEDGED, /* recovery has been given up; only root's reset is tried again */
	NPU_STATE_LEAVING, /* remove() or shutdown() has begun, and has not stopped it yet */
};

#define NPU_RECOVERY_WINDOW 16 /* resets whose time is kept */

/* How a device that fails is brought back; see npu_recovery.c. */
struct npu_recovery {
	/* Read: whoever talks to the device by ioctl or close.  Write: whoever resets it. */
	struct rw_semaphore lock;
	struct rw_semaphore map_lock; /* guards paused; taken in page faults */
	bool paused; /* nothing of the device is mapped: page faults wait */
	wait_queue_head_t wq; /* woken when paused ends */
	u32 life; /* counts resets, failed ones too; never 0; under lock, or by probe and remove */
	struct work_struct work;
	struct delayed_work bus_work; /* gives up when no reset follows an error of the bus */
	bool asleep; /* between suspend and resume; under lock */
	bool bus_lost; /* between an error of the bus and the reset of its slot; under lock */
	const char *reason; /* of the next reset, a string that stays; first wins, by cmpxchg */
	atomic_t guilty; /* queue + 1 that makes the next reset necessary, or 0 */
	ktime_t times[NPU_RECOVERY_WINDOW]; /* of automatic resets; under lock */
	u32 count; /* automatic resets so far; under lock */
	atomic_t resets; /* device resets that brought it back */
	atomic_t core_resets; /* that the firmware told of */
	atomic_t hangs; /* queues that the firmware killed */
	atomic_t dumps; /* device core dumps that were made */
};

struct npu_device {
	struct drm_device drm;
	struct pci_dev *pdev;
	/* As it was after the probe: for the way back from a reset that nobody could prepare. */
	struct pci_saved_state *config;

	void __iomem *regs; /* BAR0 */
	void __iomem *mem;  /* BAR2, write-combined */
	resource_size_t regs_phys;
	resource_size_t mem_phys;
	u64 mem_size;

	u32 hw_version;
	u32 contract_version;
	u32 num_cores;
	u32 num_queues;
	u32 num_slots;
	u32 num_contexts;
	u32 rom_bytes;
	void *rom; /* the hardware's device tree, so many bytes */
	u32 sram_bytes;
	u64 uuid;

	u32 num_vectors;
	struct npu_vector *vectors;

	struct npu_mm mm;
	struct npu_evict evict;
	struct npu_mbox_state mbox;
	struct npu_tlb tlb;
	struct npu_mem ctx_table;
	struct npu_mem queue_table;
	struct npu_mem zeros; /* a big page, what sparse ranges translate to; nobody may write it */

	struct mutex fw_lock; /* serialises loading; contexts are counted in under it */
	wait_queue_head_t fw_wq;
	const char *fw_reason; /* why there is no firmware, or NULL; written under fw_lock */
	bool fw_ready;         /* the mailbox answers; written under fw_lock */
	u32 fw_version;        /* of what runs or is just started again, or 0; under fw_lock */

	/*
	 * enum npu_state_bit: set by whoever sees it fail; cleared by a reset, under recovery.lock.
	 * LEAVING belongs to remove() and shutdown().
	 */
	unsigned long state;
	struct npu_recovery recovery;
	DECLARE_BITMAP(lost_ctx_ids, NPU_MAX_CONTEXTS);  /* given back by a reset; atomic bits */
	DECLARE_BITMAP(lost_queue_ids, NPU_MAX_QUEUES);
	struct npu_mem fw_mem; /* where the boot ROM reads packages */
	void *fw_image; /* the package that runs, for recovery; under fw_lock */
	size_t fw_bytes;
	struct npu_bo *scratch; /* a host page: the status page of parked queues */
	bool gone; /* remove() or shutdown() has begun; only they write it */

	struct work_struct fw_work; /* firmware events and state changes */
	atomic_t fw_faults; /* faults of queues that the firmware told of; fw_wq is woken */

	struct mutex open_lock; /* with ctx_lock: to change ctx_list; alone: to walk it and sleep */
	spinlock_t ctx_lock; /* guards ctx_list, its members' fault_seen; taken in interrupts */
	struct list_head ctx_list;
	struct ida ctx_ids;
	struct ida queue_ids;
	atomic_t num_open; /* contexts that exist */

	struct mutex bo_lock; /* guards bo_list, lost_bos and the lists in evict */
	struct list_head bo_list;
	struct list_head lost_bos; /* freed while the device was wedged: kept until it is reset */
	atomic_t imports_mapped; /* for DMA; removal waits for 0 */

	struct mutex user_lock; /* guards users and their members; innermost of the mutexes */
	struct list_head users;

	struct mutex inject_lock; /* guards the registers of error injection */

	struct device *hwmon;
};

/* What an open file has allocated.  Outlives the file while one of its buffers does. */
struct npu_account {
	struct kref kref;
	pid_t pid; /* for developers */
	atomic64_t device_bytes;
	atomic64_t host_bytes;
	atomic64_t evicted_bytes; /* of device_bytes, what is in host memory */
};

struct npu_file {
	struct npu_device *ndev;
	struct drm_file *drm_file;
	struct npu_account *account;
	struct npu_user *user;
	struct mutex lock; /* serialises CONTEXT_INIT and changes to the context's queues */
	struct npu_ctx *ctx; /* set once, under lock; read with npu_file_ctx() */
};

static inline struct npu_device *to_npu_device(struct drm_device *drm)
{
	return container_of(drm, struct npu_device, drm);
}

static inline struct npu_ctx *npu_file_ctx(struct npu_file *file)
{
	/* Pairs with the release in npu_ioctl_context_init(). */
	return smp_load_acquire(&file->ctx);
}

static inline u32 npu_read(struct npu_device *ndev, u32 reg)
{
	return readl(ndev->regs + reg);
}

static inline u64 npu_read64(struct npu_device *ndev, u32 reg)
{
	return readq(ndev->regs + reg);
}

/*
 * A function in reset answers with ones.  Who reads registers without waiting for
 * resets asks before and after.
 */
static inline bool npu_answers(struct npu_device *ndev)
{
	return npu_read(ndev, NPU_REG_MAGIC) == NPU_MAGIC;
}

static inline void npu_write(struct npu_device *ndev, u32 reg, u32 value)
{
	writel(value, ndev->regs + reg);
}

static inline void npu_write64(struct npu_device *ndev, u32 reg, u64 value)
{
	writeq(value, ndev->regs + reg);
}

/*
 * It does not do what it was told, or is told nothing any more: what it might use
 * must be kept until it has been reset.
 */
static inline bool npu_is_wedged(struct npu_device *ndev)
{
	return READ_ONCE(ndev->state) & (BIT(NPU_STATE_FAILED) | BIT(NPU_STATE_LEAVING));
}

/*
 * 0; -ENODEV for a device that is unplugged or given up; -EAGAIN for one that will be reset
 * soon.
 */
static inline int npu_check_alive(struct npu_device *ndev)
{
	/* Pairs with npu_remove(): who is refused for it sees NPU_STATE_LEAVING as well. */
	if (smp_load_acquire(&ndev->gone) || test_bit(NPU_STATE_WEDGED, &ndev->state))
		return -ENODEV;
	return npu_is_wedged(ndev) ? -EAGAIN : 0;
}

/* npu_recovery.c */
void npu_recovery_init(struct npu_device *ndev);
int npu_enter(struct npu_device *ndev, int *idx);
void npu_exit(struct npu_device *ndev, int idx);
bool npu_map_enter(struct npu_device *ndev);
void npu_map_exit(struct npu_device *ndev);
void npu_pause(struct npu_device *ndev);
void npu_unpause(struct npu_device *ndev);
void npu_wedge(struct npu_device *ndev, const char *reason);
void npu_give_up(struct npu_device *ndev, const char *reason);
void npu_bus_lost(struct npu_device *ndev, const char *reason);
void npu_recover_later(struct npu_device *ndev, const char *reason, u32 queue);
int npu_recover_now(struct npu_device *ndev, const char *reason, bool read_file);
void npu_recovery_unlock(struct npu_device *ndev);
int npu_recovery_rebuild(struct npu_device *ndev, const char *reason, bool read_file);

/* npu_replay.c; all with npu_recovery.lock held for writing */
void npu_quiesce(struct npu_device *ndev);
int npu_replay(struct npu_device *ndev);
void npu_lose_contexts(struct npu_device *ndev);
bool npu_have_contexts(struct npu_device *ndev);

/* npu_drv.c */
int npu_reset(struct npu_device *ndev);
void npu_reset_done(struct npu_device *ndev);
void npu_account_put(struct npu_account *account);

/* npu_mm.c */
int npu_mm_init(struct npu_device *ndev);
int npu_mm_alloc(struct npu_device *ndev, u64 size, bool contiguous, struct list_head *blocks);
void npu_mm_free(struct npu_device *ndev, struct list_head *blocks);
void npu_mm_reclaim(struct npu_device *ndev);
s64 npu_mm_room(struct npu_device *ndev);
u64 npu_mm_avail(struct npu_device *ndev);
void npu_mm_set_moving(struct npu_device *ndev, bool moving);
int npu_mem_alloc(struct npu_device *ndev, struct npu_mem *mem, u64 size);
void npu_mem_free(struct npu_device *ndev, struct npu_mem *mem);

/* npu_evict.c; buffers are in npu_bo.h */
void npu_evict_init(struct npu_device *ndev);
void npu_evict_stop(struct npu_device *ndev);
void npu_evict_kick(struct npu_device *ndev);
bool npu_evict_allows(struct npu_device *ndev, u64 have, u64 more);
bool npu_evict_retry(struct npu_device *ndev, u64 bytes, int *ret);

/* npu_save.c */
int npu_save_init(struct npu_device *ndev);
void npu_save_fini(struct npu_device *ndev);
void npu_mm_spoil(struct npu_device *ndev);

/* npu_fw.c */
void npu_fw_stop(struct npu_device *ndev);
void npu_fw_work(struct work_struct *work);
int npu_fw_restart(struct npu_device *ndev, bool read_file, int *refused);
void npu_fw_forget(struct npu_device *ndev);
const char *npu_fw_state_name(struct npu_device *ndev);

/* npu_mbox.c */
int npu_mbox_init(struct npu_device *ndev);
void npu_mbox_fini(struct npu_device *ndev);
void npu_mbox_restart(struct npu_device *ndev);
int npu_mbox_call(struct npu_device *ndev, u32 op, u64 args[NPU_MBOX_ARGS]);
int npu_mbox_call_data(struct npu_device *ndev, u32 op, u64 args[NPU_MBOX_ARGS],
		       u8 data[NPU_MBOX_DATA]);
int npu_mbox_call2(struct npu_device *ndev, u32 op, u64 arg0, u64 arg1);

/* npu_irq.c */
int npu_irq_init(struct npu_device *ndev);
void npu_irq_enable(struct npu_device *ndev);
void npu_irq_disable(struct npu_device *ndev);
void npu_wake_all(struct npu_device *ndev);
void npu_signal_faults(struct npu_device *ndev);
u32 npu_irq_fence_vector(struct npu_device *ndev, u32 ctx_id);
u32 npu_irq_local_vector(struct npu_device *ndev);

/* npu_coredump.c */
void npu_coredump(struct npu_device *ndev, const char *reason, u32 queue);

/* npu_sysfs.c */
extern const struct attribute_group *npu_sysfs_groups[];

/* npu_hwmon.c */
#if IS_ENABLED(CONFIG_HWMON)
void npu_hwmon_init(struct npu_device *ndev);
void npu_hwmon_fini(struct npu_device *ndev);
#else
static inline void npu_hwmon_init(struct npu_device *ndev) {}
static inline void npu_hwmon_fini(struct npu_device *ndev) {}
#endif

/* npu_debugfs.c */
#if IS_ENABLED(CONFIG_DEBUG_FS)
void npu_debugfs_init(struct npu_device *ndev);
#else
static inline void npu_debugfs_init(struct npu_device *ndev) {}
#endif

/* npu_fdinfo.c */
void npu_show_fdinfo(struct drm_printer *p, struct drm_file *file);

/* npu_wait.c */
int npu_ioctl_wait(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* NPU_DRV_H */
