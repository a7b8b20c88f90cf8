// SPDX-License-Identifier: GPL-2.0
/* Makes the trace points of npu_trace.h. */
#ifndef __CHECKER__
#include "npu_ctx.h"

#define CREATE_TRACE_POINTS
#include "npu_trace.h"
#endif
