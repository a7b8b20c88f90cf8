// SPDX-License-Identifier: GPL-2.0
/* Interrupts: MSI-X vectors, events, and waking whoever waits. */
#include <linux/interrupt.h>

#include "npu_sync.h"

/* Events that come while others are handled are taken at once, but not forever. */
#define NPU_IRQ_ROUNDS 16

static void npu_irq_admin_events(struct npu_device *ndev, u32 events)
{
	if (events & NPU_EVENT_MBOX)
		wake_up_all(&ndev->mbox.wq);
	if (events & NPU_EVENT_TLB_ACK)
		wake_up_all(&ndev->tlb.wq);
	if (events & NPU_EVENT_FW_STATE)
		wake_up_all(&ndev->fw_wq);
	if (events & (NPU_EVENT_FW_STATE | NPU_EVENT_FW_MSG))
		schedule_work(&ndev->fw_work);
}

/* What is latched of @bits.  A device in reset, or one that has gone, answers with ones. */
static u32 npu_irq_events(struct npu_device *ndev, u32 bits)
{
	u32 events = npu_read(ndev, NPU_REG_EVENTS);

	return events == U32_MAX ? 0 : events & bits;
}

static irqreturn_t npu_irq_admin(int irq, void *data)
{
	struct npu_device *ndev = data;
	u32 events;

	for (u32 i = 0; i < NPU_IRQ_ROUNDS; i++) {
		events = npu_irq_events(ndev, NPU_EVENT_ADMIN_BITS);
		if (!events)
			break;
		/* Cleared first: what happens from here on raises it again. */
		npu_write(ndev, NPU_REG_EVENTS, events);
		npu_irq_admin_events(ndev, events);
	}
	return IRQ_HANDLED;
}

/*
 * Signals the contexts whose rings have moved.  A process can write its own
 * ring, but only fool itself.
 */
void npu_signal_faults(struct npu_device *ndev)
{
	struct npu_fault_ring *ring;
	struct npu_ctx *ctx;
	unsigned long flags;
	u64 seen;

	spin_lock_irqsave(&ndev->ctx_lock, flags);
	list_for_each_entry(ctx, &ndev->ctx_list, node) {
		ring = npu_bo_host_ptr(ctx->faults, 0);
		seen = READ_ONCE(ring->written) + READ_ONCE(ring->dropped);
		if (seen == ctx->fault_seen)
			continue;
		ctx->fault_seen = seen;
		if (ctx->eventfd)
			eventfd_signal(ctx->eventfd);
		wake_up_all(&ctx->wq);
		npu_sync_look(ctx);
	}
	spin_unlock_irqrestore(&ndev->ctx_lock, flags);
}

static irqreturn_t npu_irq_error(int irq, void *data)
{
	struct npu_device *ndev = data;
	u32 events;

	for (u32 i = 0; i < NPU_IRQ_ROUNDS; i++) {
		events = npu_irq_events(ndev, NPU_EVENT_ERROR_BITS);
		if (!events)
			break;
		npu_write(ndev, NPU_REG_EVENTS, events);
		if (events & NPU_EVENT_FAULT)
			npu_signal_faults(ndev);
		if (events & NPU_EVENT_RAS)
			dev_warn_ratelimited(ndev->drm.dev, "the device has counted an error; see the attributes ecc_ce and ecc_ue\n");
	}
	return IRQ_HANDLED;
}

/* The vector on which a context hears of faults, and of fences when none was asked for. */
u32 npu_irq_fence_vector(struct npu_device *ndev, u32 ctx_id)
{
	return NPU_IRQ_FENCE0 + ctx_id % (ndev->num_vectors - NPU_IRQ_FENCE0);
}

static irqreturn_t npu_irq_fence(int irq, void *data)
{
	struct npu_vector *vector = data;
	struct npu_device *ndev = vector->ndev;
	struct npu_ctx *ctx;

	spin_lock(&ndev->ctx_lock);
	list_for_each_entry(ctx, &ndev->ctx_list, node)
		/* Cleared first: who is armed from here on is woken by the next one. */
		if (test_and_clear_bit(vector->number, ctx->armed) ||
		    npu_irq_fence_vector(ndev, ctx->id) == vector->number) {
			wake_up_all(&ctx->wq);
			npu_sync_look(ctx);
		}
	spin_unlock(&ndev->ctx_lock);
	return IRQ_HANDLED;
}

/*
 * The vector that interrupts this CPU, so that a sleeper is woken where it lay
 * down and no second CPU has to be told.
 */
u32 npu_irq_local_vector(struct npu_device *ndev)
{
	return NPU_IRQ_FENCE0 + raw_smp_processor_id() % (ndev->num_vectors - NPU_IRQ_FENCE0);
}

/* Everybody looks again: the device is lost, or a queue has faulted. */
void npu_wake_all(struct npu_device *ndev)
{
	struct npu_ctx *ctx;
	unsigned long flags;

	spin_lock_irqsave(&ndev->ctx_lock, flags);
	list_for_each_entry(ctx, &ndev->ctx_list, node) {
		wake_up_all(&ctx->wq);
		mod_delayed_work(system_wq, &ctx->sync_watch, 0);
	}
	spin_unlock_irqrestore(&ndev->ctx_lock, flags);
	wake_up_all(&ndev->mbox.wq);
	wake_up_all(&ndev->tlb.wq);
	wake_up_all(&ndev->fw_wq);
}

void npu_irq_enable(struct npu_device *ndev)
{
	npu_write(ndev, NPU_REG_EVENTS, NPU_EVENT_ADMIN_BITS | NPU_EVENT_ERROR_BITS);
	npu_write(ndev, NPU_REG_EVENT_MASK, NPU_EVENT_ADMIN_BITS | NPU_EVENT_ERROR_BITS);
}

void npu_irq_disable(struct npu_device *ndev)
{
	npu_write(ndev, NPU_REG_EVENT_MASK, 0);
	/* Back when the write has arrived. */
	npu_read(ndev, NPU_REG_EVENT_MASK);
}

static void npu_irq_free_vectors(void *data)
{
	pci_free_irq_vectors(data);
}

static void npu_irq_forget_cpu(void *data)
{
	irq_set_affinity_and_hint((unsigned long)data, NULL);
}

/*
 * One CPU for each vector of fences.  Not managed by the core: when a CPU goes
 * offline, its vector moves on, and who sleeps is woken from elsewhere.
 */
static int npu_irq_choose_cpu(struct npu_device *ndev, u32 number, unsigned int irq)
{
	u32 cpu = number - NPU_IRQ_FENCE0;

	if (cpu >= nr_cpu_ids || !cpu_online(cpu))
		return 0;
	/* Where that is refused, sleepers are woken from wherever the interrupt comes. */
	irq_set_affinity_and_hint(irq, cpumask_of(cpu));
	return devm_add_action_or_reset(&ndev->pdev->dev, npu_irq_forget_cpu,
					(void *)(unsigned long)irq);
}

static int npu_irq_request(struct npu_device *ndev, u32 number)
{
	struct device *dev = &ndev->pdev->dev;
	int irq = pci_irq_vector(ndev->pdev, number);
	int ret;

	if (irq < 0)
		return irq;
	if (number == NPU_IRQ_ADMIN)
		return devm_request_irq(dev, irq, npu_irq_admin, 0, "npu-admin", ndev);
	if (number == NPU_IRQ_ERROR)
		return devm_request_irq(dev, irq, npu_irq_error, 0, "npu-error", ndev);
	ret = devm_request_irq(dev, irq, npu_irq_fence, 0, "npu-fence", &ndev->vectors[number]);
	return ret ? ret : npu_irq_choose_cpu(ndev, number, irq);
}

int npu_irq_init(struct npu_device *ndev)
{
	struct device *dev = &ndev->pdev->dev;
	u32 wanted = clamp_t(u32, npu_read(ndev, NPU_REG_NUM_VECTORS), NPU_MIN_VECTORS,
			     NPU_NUM_VECTORS);
	int n, ret;

	n = pci_alloc_irq_vectors(ndev->pdev, NPU_MIN_VECTORS, wanted, PCI_IRQ_MSIX);
	if (n < 0)
		return dev_err_probe(dev, n, "no %u MSI-X vectors\n", NPU_MIN_VECTORS);
	ret = devm_add_action_or_reset(dev, npu_irq_free_vectors, ndev->pdev);
	if (ret)
		return ret;
	ndev->vectors = devm_kcalloc(dev, n, sizeof(*ndev->vectors), GFP_KERNEL);
	if (!ndev->vectors)
		return -ENOMEM;

	ndev->num_vectors = n;
	for (u32 i = 0; i < n; i++) {
		ndev->vectors[i] = (struct npu_vector){ ndev, i };
		ret = npu_irq_request(ndev, i);
		if (ret)
			return dev_err_probe(dev, ret, "vector %u\n", i);
	}
	return 0;
}
