// SPDX-License-Identifier: Apache-2.0
#include "calls.h"

#include <stddef.h>
#include <string.h>

#include "../tap.h"

#define M(type, name, kind, limit) \
  { #name, offsetof(struct type, name), sizeof(((struct type*)0)->name), kind, limit }
#define CALL(request, type, needs_context, members) \
  { #request, DRM_IOCTL_NPU_##request, sizeof(struct type), needs_context, members, sizeof members / sizeof *members }

static const struct member get_info[] = {
    M(drm_npu_get_info, query, kChoice, DRM_NPU_INFO_MEMORY),
    M(drm_npu_get_info, size, kNumber, 4096),
    M(drm_npu_get_info, data, kPointer, 0),
};
static const struct member context_init[] = {
    M(drm_npu_context_init, flags, kFlags, 0),           M(drm_npu_context_init, fault_entries, kNumber, 4096),
    M(drm_npu_context_init, fault_eventfd, kEventfd, 0), M(drm_npu_context_init, pad, kPad, 0),
    M(drm_npu_context_init, context_id, kOut, 0),        M(drm_npu_context_init, fault_bytes, kOut, 0),
    M(drm_npu_context_init, fault_offset, kOut, 0),      M(drm_npu_context_init, bounds_offset, kOut, 0),
    M(drm_npu_context_init, bounds_bytes, kOut, 0),
};
static const struct member bo_create[] = {
    M(drm_npu_bo_create, size, kBytes, 0),
    M(drm_npu_bo_create, flags, kFlags, DRM_NPU_BO_DEVICE | DRM_NPU_BO_HOST),
    M(drm_npu_bo_create, handle, kOut, 0),
};
static const struct member bo_mmap[] = {
    M(drm_npu_bo_mmap, handle, kHandle, 0),
    M(drm_npu_bo_mmap, pad, kPad, 0),
    M(drm_npu_bo_mmap, offset, kOut, 0),
};
static const struct member bo_userptr[] = {
    M(drm_npu_bo_userptr, addr, kMemory, 0),
    M(drm_npu_bo_userptr, size, kBytes, 0),
    M(drm_npu_bo_userptr, flags, kFlags, DRM_NPU_USERPTR_READONLY),
    M(drm_npu_bo_userptr, handle, kOut, 0),
};
static const struct member vm_bind[] = {
    M(drm_npu_vm_bind, op, kChoice, DRM_NPU_VM_UNMAP),
    M(drm_npu_vm_bind, flags, kFlags, RIGHTS_RW | DRM_NPU_VM_EXEC | DRM_NPU_VM_SPARSE),
    M(drm_npu_vm_bind, handle, kHandle, 0),
    M(drm_npu_vm_bind, pad, kPad, 0),
    M(drm_npu_vm_bind, offset, kOffset, 0),
    M(drm_npu_vm_bind, va, kAddress, 0),
    M(drm_npu_vm_bind, size, kBytes, 0),
};
static const struct member queue_create[] = {
    M(drm_npu_queue_create, ring_log2, kNumber, NPU_RING_LOG2_MAX),
    M(drm_npu_queue_create, priority, kChoice, 3),
    M(drm_npu_queue_create, flags, kFlags, 0),
    M(drm_npu_queue_create, queue, kOut, 0),
    M(drm_npu_queue_create, timeout_ms, kNumber, 1000),
    M(drm_npu_queue_create, pad, kPad, 0),
    M(drm_npu_queue_create, ring_offset, kOut, 0),
    M(drm_npu_queue_create, status_offset, kOut, 0),
    M(drm_npu_queue_create, doorbell_offset, kOut, 0),
};
static const struct member queue_destroy[] = {
    M(drm_npu_queue_destroy, queue, kQueue, 0),
    M(drm_npu_queue_destroy, pad, kPad, 0),
};
static const struct member queue_resume[] = {
    M(drm_npu_queue_resume, queue, kQueue, 0),
    M(drm_npu_queue_resume, mode, kChoice, NPU_RESUME_FLUSH),
};
static const struct member wait_members[] = {
    M(drm_npu_wait, handle, kHandle, 0),
    M(drm_npu_wait, cond, kChoice, NPU_WAIT_NE),
    M(drm_npu_wait, offset, kOffset, 0),
    M(drm_npu_wait, value, kNumber, 100),
    M(drm_npu_wait, timeout_ns, kDeadline, 0),
    M(drm_npu_wait, queue, kMaybeQueue, 0),
    M(drm_npu_wait, pad, kPad, 0),
};

static const struct member bo_name[] = {
    M(drm_npu_bo_name, handle, kHandle, 0),
    M(drm_npu_bo_name, pad, kPad, 0),
    M(drm_npu_bo_name, name, kText, 0),
};
static const struct member sync_export[] = {
    M(drm_npu_sync_export, queue, kQueue, 0),           M(drm_npu_sync_export, syncobj, kSyncobj, 0),
    M(drm_npu_sync_export, position, kNumber, 0),       M(drm_npu_sync_export, point, kNumber, 0),
    M(drm_npu_sync_export, timeout_ms, kNumber, 60000), M(drm_npu_sync_export, flags, kFlags, 0),
};
static const struct member sync_import[] = {
    M(drm_npu_sync_import, syncobj, kSyncobj, 0), M(drm_npu_sync_import, handle, kHandle, 0),
    M(drm_npu_sync_import, point, kNumber, 0),    M(drm_npu_sync_import, offset, kOffset, 0),
    M(drm_npu_sync_import, value, kNumber, 100),  M(drm_npu_sync_import, queue, kQueue, 0),
    M(drm_npu_sync_import, flags, kFlags, 0),     M(drm_npu_sync_import, pad, kPad, 0),
};

const struct call calls[] = {
    CALL(GET_INFO, drm_npu_get_info, false, get_info),
    CALL(CONTEXT_INIT, drm_npu_context_init, false, context_init),
    CALL(BO_CREATE, drm_npu_bo_create, true, bo_create),
    CALL(BO_MMAP, drm_npu_bo_mmap, true, bo_mmap),
    CALL(BO_USERPTR, drm_npu_bo_userptr, true, bo_userptr),
    CALL(VM_BIND, drm_npu_vm_bind, true, vm_bind),
    CALL(QUEUE_CREATE, drm_npu_queue_create, true, queue_create),
    CALL(QUEUE_DESTROY, drm_npu_queue_destroy, true, queue_destroy),
    CALL(QUEUE_RESUME, drm_npu_queue_resume, true, queue_resume),
    CALL(WAIT, drm_npu_wait, true, wait_members),
    CALL(BO_NAME, drm_npu_bo_name, true, bo_name),
    CALL(SYNC_EXPORT, drm_npu_sync_export, true, sync_export),
    CALL(SYNC_IMPORT, drm_npu_sync_import, true, sync_import),
};
const int call_count = sizeof calls / sizeof *calls;

const struct call* call_of(unsigned long request) {
  for (int i = 0; i < call_count; ++i)
    if (calls[i].request == request) return &calls[i];
  bail("no call %#lx in the table", request);
}

uint64_t member_get(const void* args, const struct member* m) {
  uint64_t value = 0;
  memcpy(&value, (const uint8_t*)args + m->offset, m->width < sizeof value ? m->width : sizeof value);
  return value;
}

void member_set(void* args, const struct member* m, uint64_t value) {
  memset((uint8_t*)args + m->offset, 0, m->width);
  memcpy((uint8_t*)args + m->offset, &value, m->width < sizeof value ? m->width : sizeof value);
}
