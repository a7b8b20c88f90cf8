// SPDX-License-Identifier: Apache-2.0
//
// The driver's ioctls as the tests use them: raw, through libdrm's restarting ioctl.  Functions that make something a
// test needs before it can begin end the program when they fail; the tests of failure call npu_ioctl() themselves.
#ifndef NPU_TESTS_VM_DRV_H
#define NPU_TESTS_VM_DRV_H

#include <stdbool.h>
#include <stdint.h>

#include "npu_accel.h"
#include "npu_admin.h"
#include "npu_fault.h"
#include "npu_mmu.h"
#include "npu_packet.h"
#include "npu_regs.h"

#define PAGE 4096ull
#define NO_QUEUE 0xffffffffu
#define BASE_VA 0x40000000ull  // where tests bind, 1 GiB aligned
#define RIGHTS_RW (DRM_NPU_VM_READ | DRM_NPU_VM_WRITE)
#define BOUNDS_RW (NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | (NPU_BOUNDS_STATE_LIVE << NPU_BOUNDS_STATE_SHIFT))

struct context {
  int fd;
  int event;  // eventfd of faults
  uint32_t id;
  struct npu_fault_ring* faults;
  uint32_t fault_entries, fault_bytes;
  struct npu_bounds_entry* bounds;
  uint64_t fault_offset, bounds_offset;
};

struct buffer {
  struct context* context;
  uint32_t handle;
  uint64_t size, offset;  // offset: for mmap
  void* map;
};

struct queue {
  struct context* context;
  uint32_t id;
  uint32_t packets;
  uint64_t wptr;
  struct npu_packet* ring;
  volatile struct npu_queue_status* status;
  volatile uint64_t* doorbell;
  uint64_t ring_offset, status_offset, doorbell_offset;
};

// ioctl that is restarted when interrupted; -1 and errno.
int npu_ioctl(int fd, unsigned long request, void* args);
// /dev/accel node of the first NPU.
const char* node_path(void);
// Its directory in sysfs, ends in "/device".
const char* sysfs_path(void);
int open_node(void);
// Text of an attribute without its newline, or "" (errno says why).
const char* read_attribute(const char* name);

uint64_t now_ns(void);
struct drm_npu_info_memory memory_info(int fd);
// Waits until the device's free memory is what it was: a process that has exited may still be closing its file.
bool free_returns_to(int fd, uint64_t bytes);

struct context context_new(void);
void context_close(struct context* context);
struct buffer buffer_new(struct context* context, uint64_t bytes, uint32_t flags);
void buffer_free(struct buffer* buffer);
void* map_offset(int fd, uint64_t offset, uint64_t bytes, int protection);
int bind_range(struct buffer* buffer, uint64_t offset, uint64_t va, uint64_t bytes, uint32_t rights);
int unbind_range(struct context* context, uint64_t va, uint64_t bytes);
// Binds all of it and publishes bounds entry `number`; returns the tagged pointer.
uint64_t publish(struct buffer* buffer, uint32_t number, uint64_t va);

struct queue queue_new(struct context* context, uint32_t ring_log2);
void queue_free(struct queue* queue);
// Its mappings only.
void munmap_queue(struct queue* queue);
// Puts a packet into the ring; ring_doorbell() shows them to the device.
void put_packet(struct queue* queue, const struct npu_packet* packet);
void ring_doorbell(struct queue* queue);
struct npu_packet packet_of(uint8_t type, uint64_t signal_addr, uint64_t signal_value);
struct npu_packet copy_packet(uint64_t dst, uint64_t src, uint64_t bytes, uint64_t signal_addr, uint64_t signal_value);
// Waits until the word at addr is `value` in the sense of cond (NPU_WAIT_*).
struct npu_packet wait_packet(uint64_t addr, uint64_t value, uint32_t cond, uint64_t signal_ptr, uint64_t signal_value);
// Wait ioctl; timeout from now in milliseconds, or < 0 for "forever".  -1 and errno.
int wait_value(struct buffer* buffer, uint64_t offset, uint64_t value, uint32_t cond, int64_t timeout_ms,
               uint32_t queue);
// Shows the device two packets: wait until the word at gate_ptr is at least `gate`, then store value at signal_ptr.
void put_gated(struct queue* queue, uint64_t gate_ptr, uint64_t gate, uint64_t signal_ptr, uint64_t value);
// One test: a new context does a packet's work.
void check_works(const char* what);
// Until the queue's state is so, within 10 s.
bool wait_state(struct queue* queue, uint32_t state);
// Until the thread of this process whose number is at tid, where it is 0 at first, sleeps in the kernel; within 20 s.
bool thread_sleeps(const int* tid);

// Runs body in a child that has its own everything; returns its exit status, or 128 + signal.
int in_child(int (*body)(void*), void* arg);

#endif  // NPU_TESTS_VM_DRV_H
