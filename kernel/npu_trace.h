/* SPDX-License-Identifier: GPL-2.0 */
/* Trace points: what happens beside a command's way.  The group is "npu". */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM npu

#if !defined(NPU_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define NPU_TRACE_H

#include <linux/tracepoint.h>

#include "npu_drv.h"

/* A queue is made or ended. */
DECLARE_EVENT_CLASS(npu_queue,
		    TP_PROTO(struct npu_device *ndev, u32 context, u32 queue, u32 priority,
			     int ret),
		    TP_ARGS(ndev, context, queue, priority, ret),
		    TP_STRUCT__entry(__string(dev, dev_name(ndev->drm.dev))
				     __field(u32, context)
				     __field(u32, queue)
				     __field(u32, priority)
				     __field(int, ret)),
		    TP_fast_assign(__assign_str(dev);
				   __entry->context = context;
				   __entry->queue = queue;
				   __entry->priority = priority;
				   __entry->ret = ret;),
		    TP_printk("%s context=%u queue=%u priority=%u ret=%d", __get_str(dev),
			      __entry->context, __entry->queue, __entry->priority, __entry->ret));

#define DEFINE_NPU_QUEUE_EVENT(name)							\
	DEFINE_EVENT(npu_queue, name,							\
		     TP_PROTO(struct npu_device *ndev, u32 context, u32 queue, u32 priority,	\
			      int ret),							\
		     TP_ARGS(ndev, context, queue, priority, ret))

DEFINE_NPU_QUEUE_EVENT(npu_queue_create);
DEFINE_NPU_QUEUE_EVENT(npu_queue_destroy);

/* A queue has stopped at a packet: enum npu_fault_kind. */
TRACE_EVENT(npu_fault,
	    TP_PROTO(struct npu_device *ndev, u32 queue, u32 kind),
	    TP_ARGS(ndev, queue, kind),
	    TP_STRUCT__entry(__string(dev, dev_name(ndev->drm.dev))
			     __field(u32, queue)
			     __field(u32, kind)),
	    TP_fast_assign(__assign_str(dev);
			   __entry->queue = queue;
			   __entry->kind = kind;),
	    TP_printk("%s queue=%u kind=%u", __get_str(dev), __entry->queue, __entry->kind));

/* A reset: "cores" by the firmware; "begin", "done" and "wedged" by the driver. */
TRACE_EVENT(npu_reset,
	    TP_PROTO(struct npu_device *ndev, const char *step, const char *reason),
	    TP_ARGS(ndev, step, reason),
	    TP_STRUCT__entry(__string(dev, dev_name(ndev->drm.dev))
			     __string(step, step)
			     __string(reason, reason)),
	    TP_fast_assign(__assign_str(dev);
			   __assign_str(step);
			   __assign_str(reason);),
	    TP_printk("%s %s: %s", __get_str(dev), __get_str(step), __get_str(reason)));

/* A command to the firmware, when it has been answered (ret 0, or a negative errno). */
TRACE_EVENT(npu_mbox,
	    TP_PROTO(struct npu_device *ndev, u32 op, u64 arg0, u64 arg1, int ret, u64 ns),
	    TP_ARGS(ndev, op, arg0, arg1, ret, ns),
	    TP_STRUCT__entry(__string(dev, dev_name(ndev->drm.dev))
			     __field(u32, op)
			     __field(u64, arg0)
			     __field(u64, arg1)
			     __field(int, ret)
			     __field(u64, ns)),
	    TP_fast_assign(__assign_str(dev);
			   __entry->op = op;
			   __entry->arg0 = arg0;
			   __entry->arg1 = arg1;
			   __entry->ret = ret;
			   __entry->ns = ns;),
	    TP_printk("%s op=%u arg0=%llu arg1=%llu ret=%d ns=%llu", __get_str(dev), __entry->op,
		      __entry->arg0, __entry->arg1, __entry->ret, __entry->ns));

/* The wait ioctl went to sleep, and has ended. */
TRACE_EVENT(npu_wait,
	    TP_PROTO(struct npu_device *ndev, u32 context, u64 value, int ret, u64 ns),
	    TP_ARGS(ndev, context, value, ret, ns),
	    TP_STRUCT__entry(__string(dev, dev_name(ndev->drm.dev))
			     __field(u32, context)
			     __field(u64, value)
			     __field(int, ret)
			     __field(u64, ns)),
	    TP_fast_assign(__assign_str(dev);
			   __entry->context = context;
			   __entry->value = value;
			   __entry->ret = ret;
			   __entry->ns = ns;),
	    TP_printk("%s context=%u value=%llu ret=%d ns=%llu", __get_str(dev), __entry->context,
		      __entry->value, __entry->ret, __entry->ns));

/* A buffer moves between device and host memory. */
TRACE_EVENT(npu_evict,
	    TP_PROTO(struct npu_device *ndev, u64 bytes, bool to_host, int ret),
	    TP_ARGS(ndev, bytes, to_host, ret),
	    TP_STRUCT__entry(__string(dev, dev_name(ndev->drm.dev))
			     __field(u64, bytes)
			     __field(bool, to_host)
			     __field(int, ret)),
	    TP_fast_assign(__assign_str(dev);
			   __entry->bytes = bytes;
			   __entry->to_host = to_host;
			   __entry->ret = ret;),
	    TP_printk("%s bytes=%llu to=%s ret=%d", __get_str(dev), __entry->bytes,
		      __entry->to_host ? "host" : "device", __entry->ret));

#endif /* NPU_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE npu_trace
#include <trace/define_trace.h>
