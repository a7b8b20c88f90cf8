// SPDX-License-Identifier: Apache-2.0
#include "context.h"

#include "machine.h"
#include "npu_fault.h"
#include "npu_mmu.h"

namespace control {
namespace {

struct Context {
  bool exists;
  uint32_t queues;
};

Context contexts[NPU_MAX_CONTEXTS];

bool InRange(uint64_t number) {
  return number >= 1 && number < Read32(NPU_MG_NUM_CONTEXTS) && number < NPU_MAX_CONTEXTS;
}

Answer Invalid(uint32_t offset) {
  return {NPU_ADMIN_EINVAL, offset};
}

bool AllZero(const uint64_t* words, unsigned count) {
  uint64_t any = 0;
  for (unsigned i = 0; i < count; ++i) any |= words[i];
  return any == 0;
}

// detail is the offset of the field at fault.
Answer CheckDescriptor(const npu_ctx_desc& desc) {
  constexpr uint64_t kRootBytes = NPU_PT_ROOT_ENTRIES * 8;
  if (desc.flags != NPU_CTX_VALID) return Invalid(offsetof(npu_ctx_desc, flags));
  if (desc.irq_vector >= NPU_NUM_VECTORS) return Invalid(offsetof(npu_ctx_desc, irq_vector));
  if (desc.pt_root % NPU_PAGE_SIZE != 0 || !InDeviceMemory(desc.pt_root, kRootBytes))
    return Invalid(offsetof(npu_ctx_desc, pt_root));
  if (desc.bounds_entries > NPU_BOUNDS_ENTRIES) return Invalid(offsetof(npu_ctx_desc, bounds_entries));
  if (desc.bounds_addr % 32 != 0 || !InDeviceMemory(desc.bounds_addr, uint64_t{desc.bounds_entries} * 32))
    return Invalid(offsetof(npu_ctx_desc, bounds_addr));
  if (desc.fault_ring % NPU_PAGE_SIZE != 0) return Invalid(offsetof(npu_ctx_desc, fault_ring));
  if (desc.fault_ring != 0 && (desc.fault_entries == 0 || (desc.fault_entries & (desc.fault_entries - 1)) != 0))
    return Invalid(offsetof(npu_ctx_desc, fault_entries));
  if (!AllZero(desc.reserved, sizeof desc.reserved / 8)) return Invalid(offsetof(npu_ctx_desc, reserved));
  return {};
}

}  // namespace

Answer CreateContext(uint64_t number) {
  if (!InRange(number)) return Invalid(0);
  if (contexts[number].exists) return {NPU_ADMIN_EEXIST, 0};
  const uint64_t table = Read64(NPU_MG_CTX_TABLE);
  if (table % 8 != 0 || !InDeviceMemory(table, uint64_t{Read32(NPU_MG_NUM_CONTEXTS)} * sizeof(npu_ctx_desc)))
    return {NPU_ADMIN_EIO, 0};
  npu_ctx_desc desc;
  CopyIn(&desc, table + number * sizeof desc, sizeof desc);
  if (const Answer bad = CheckDescriptor(desc); bad.status != NPU_ADMIN_OK) return bad;
  Write32(NPU_MG_CTX_ENABLE, static_cast<uint32_t>(number));
  if (const uint32_t status = Read32(NPU_MG_CTX_RESULT); status != NPU_ADMIN_OK) return {status, 0};
  contexts[number] = Context{true, 0};
  return {};
}

Answer DestroyContext(uint64_t number) {
  if (!InRange(number)) return Invalid(0);
  if (!contexts[number].exists) return {NPU_ADMIN_ENOENT, 0};
  if (contexts[number].queues != 0) return {NPU_ADMIN_EBUSY, contexts[number].queues};
  Write32(NPU_MG_CTX_DISABLE, static_cast<uint32_t>(number));
  if (const uint32_t status = Read32(NPU_MG_CTX_RESULT); status != NPU_ADMIN_OK) return {status, 0};
  contexts[number].exists = false;
  return {};
}

bool ContextExists(uint64_t number) {
  return InRange(number) && contexts[number].exists;
}
void ContextQueueAdded(uint32_t number) {
  ++contexts[number].queues;
}
void ContextQueueRemoved(uint32_t number) {
  --contexts[number].queues;
}

void DisableAllContexts() {
  for (uint64_t number = 1; InRange(number); ++number)
    Write32(NPU_MG_CTX_DISABLE, static_cast<uint32_t>(number));  // ENOENT for most, which is the aim
}

}  // namespace control
