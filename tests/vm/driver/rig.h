// SPDX-License-Identifier: Apache-2.0
//
// A context with one queue, a fence, a word that the device writes, and a window of its address space in which tests
// bind what they like: the device's own accesses show what is there.
#ifndef NPU_TESTS_VM_RIG_H
#define NPU_TESTS_VM_RIG_H

#include "drv.h"

enum { kFence = 1, kOut = 2, kWindow = 3, kCode = 4, kRigEntries = 5 };  // bounds entries
enum { kArgs = 8 };  // word of the out page where an operator's arguments begin
#define MIB (1024ull * 1024)
#define FENCE_VA 0x10000000ull
#define OUT_VA 0x20000000ull
#define CODE_VA 0x30000000ull
#define WINDOW_BYTES (1024 * MIB)

struct rig {
  struct context context;
  struct queue queue;
  struct buffer fence, out;
  uint64_t fence_ptr, out_ptr, window_ptr;
  uint64_t count;  // fences so far
};

void rig_open(struct rig* r);
// The same with a ring of another size and the fence in memory of either kind (DRM_NPU_BO_*).
void rig_open_with(struct rig* r, uint32_t ring_log2, uint32_t fence_flags);
void rig_close(struct rig* r);
// Two packets: wait for the gate, a word of the fence's buffer, to be `gate`; then store `value` at its first word.
#define RIG_GATE 64  // its offset
void submit_gated(struct rig* r, uint64_t gate, uint64_t value);
void open_gate(struct rig* r, uint64_t gate);
// Shows the device a packet, with a fence.
void rig_start(struct rig* r, const struct npu_packet* packet);
// Waits for the last one: 0, or the kind of the fault it ended with; the queue goes on behind it then.
uint32_t rig_end(struct rig* r);
// Runs one copy; 0, or the kind of the fault it ended with.
uint32_t run_copy(struct rig* r, uint64_t dst, uint64_t src, uint64_t bytes);
// The word that the device reads at an offset of the window, or all ones for a page fault.
uint64_t device_reads(struct rig* r, uint64_t offset);
// Has the device write a word there; 0, or the kind of the fault.
uint32_t device_writes(struct rig* r, uint64_t offset, uint64_t value);
// A buffer with an operator, which only its bounds entry allows to be executed so far: bind it at CODE_VA.
struct buffer operator_new(struct rig* r, const uint32_t* words, uint32_t bytes);
// Launches one block of it; its arguments are in the out page from kArgs on.
void operator_start(struct rig* r);
// ... and waits for its end: 0, or the kind of the fault.
uint32_t operator_run(struct rig* r);
// Numbers every page of a buffer, from first on.
void number_pages(struct buffer* b, uint64_t first);
// Whether they are so numbered.
bool pages_numbered(const struct buffer* b, uint64_t first);

// Where the buffer of that name is: 'd'evice, 'h'ost, or 0 when there is none.
char place_of(const char* name);
void name_buffer(struct buffer* b, const char* name);

// The path of a file in the device's folder of debugfs, until the thread's next call.
const char* debugfs_path(const char* name);
// Writes to it: 0, or -1 and errno.
int debugfs_write(const char* name, const char* text);
// Its text in malloced memory.
char* debugfs_read(const char* name);
// Sets a parameter of the module; was: gets the old value, 16 bytes, or NULL.
void module_parameter(const char* name, const char* value, char* was);
// The value of a key of the fdinfo of fd in KiB, or -1 when it is not there.
long long fdinfo_kib(int fd, const char* key);

#endif  // NPU_TESTS_VM_RIG_H
