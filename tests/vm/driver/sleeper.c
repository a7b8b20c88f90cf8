// SPDX-License-Identifier: Apache-2.0
#include "sleeper.h"

#include <unistd.h>

#include "../tap.h"

static void* sleep_for_value(void* arg) {
  struct sleeper* s = arg;
  if (s->cpus && sched_setaffinity(0, sizeof *s->cpus, s->cpus)) bail("affinity: %s", strerror(errno));
  __atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
  s->ret = wait_value(s->fence, 0, s->value, NPU_WAIT_GE, -1, s->queue);
  s->error = errno;
  return NULL;
}

void sleeper_start(struct sleeper* s) {
  const int error = pthread_create(&s->thread, NULL, sleep_for_value, s);
  if (error) bail("a thread: %s", strerror(error));
}

void sleeper_start_asleep(struct sleeper* s) {
  sleeper_start(s);
  if (!thread_sleeps(&s->tid)) bail("a wait that does not sleep");
}

int sleeper_end(struct sleeper* s) {
  pthread_join(s->thread, NULL);
  return s->ret;
}
