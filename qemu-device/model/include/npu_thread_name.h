/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later */
/* The model's threads are named "npu-...", so that their CPU time can be told from the emulator's own. */
#ifndef NPU_THREAD_NAME_H
#define NPU_THREAD_NAME_H

#include <pthread.h>

/* Names the calling thread; at most 15 characters are kept. */
static inline void npu_name_thread(const char *name)
{
	pthread_setname_np(pthread_self(), name);
}

#endif /* NPU_THREAD_NAME_H */
