// SPDX-License-Identifier: Apache-2.0
#include "retire.h"

#include "console.h"
#include "events.h"
#include "machine.h"
#include "npu_mmu.h"

namespace control {
namespace {

// The NVRAM's contents: 64-bit words.
constexpr uint64_t kMagic = 0x31304454'5255504eull;  // "NPURTD01"
constexpr uint32_t kMagicAt = NPU_MG_NVRAM_OFFSET;
constexpr uint32_t kCountAt = kMagicAt + 8;
constexpr uint32_t kCheckAt = kMagicAt + 16;  // over count and pages
constexpr uint32_t kPagesAt = kMagicAt + 24;
static_assert(24 + kMaxRetired * 8 <= NPU_MG_NVRAM_BYTES);

constexpr uint32_t kSuspects = 64;
constexpr uint32_t kEventsAtOnce = 256;

uint64_t pages[kMaxRetired];
uint32_t count;

// Words that had one correctable error.  When full the oldest is forgotten.
uint64_t suspects[kSuspects];
uint32_t suspect_next;
uint64_t link_errors;

// FNV-1a over 64-bit words: finds damage, and nobody is trying to forge a list that only firmware writes.
uint64_t Check() {
  uint64_t hash = 0xcbf29ce484222325ull ^ count;
  for (uint32_t i = 0; i < count; ++i) hash = (hash ^ pages[i]) * 0x100000001b3ull;
  return hash;
}

void Store() {
  for (uint32_t i = 0; i < kMaxRetired; ++i) Write64(kPagesAt + 8 * i, i < count ? pages[i] : 0);
  Write64(kCountAt, count);
  Write64(kCheckAt, Check());
  Write64(kMagicAt, kMagic);
}

bool IsRetired(uint64_t page) {
  for (uint32_t i = 0; i < count; ++i)
    if (pages[i] == page) return true;
  return false;
}

bool IsSuspect(uint64_t address) {
  for (uint64_t suspect : suspects)
    if (suspect == (address | 1)) return true;  // bit 0 marks an entry in use
  return false;
}

void RetireAfterError(uint64_t page) {
  if (IsRetired(page)) return;
  if (RetirePage(page).status != NPU_ADMIN_OK) {
    Log("page ", Hex{page}, " should be retired, but ", kMaxRetired, " pages are already");
    return;
  }
  Event event;
  event.kind = NPU_FW_EVENT_PAGE;
  event.value[0] = page;
  PostDeviceEvent(event);
}

}  // namespace

void RetireInit() {
  link_errors = Read64(NPU_MG_SENSOR_LINK);
  count = 0;
  const uint64_t magic = Read64(kMagicAt);
  if (magic == 0) return;  // a new device
  const uint64_t stored = Read64(kCountAt);
  if (magic == kMagic && stored <= kMaxRetired) {
    count = static_cast<uint32_t>(stored);
    for (uint32_t i = 0; i < count; ++i) pages[i] = Read64(kPagesAt + 8 * i);
    if (Read64(kCheckAt) == Check()) return;
  }
  Log("the list of retired pages in NVRAM is damaged: starting with an empty one");
  count = 0;
  Store();
}

Answer RetirePage(uint64_t offset) {
  if (offset % NPU_PAGE_SIZE != 0 || !InDeviceMemory(offset, NPU_PAGE_SIZE)) return {NPU_ADMIN_EINVAL, 0};
  if (IsRetired(offset)) return {NPU_ADMIN_EEXIST, 0};
  if (count == kMaxRetired) return {NPU_ADMIN_ENOSPC, kMaxRetired};
  pages[count++] = offset;
  Store();
  Write32(NPU_MG_PUB_RETIRED, count);
  Log("page ", Hex{offset}, " retired, ", count, " in all");
  Write64(NPU_MG_ECC_SCRUB, offset);  // whoever still reads it finds what can be saved
  return {};
}

uint32_t RetiredCount() {
  return count;
}
uint64_t RetiredPage(uint32_t index) {
  return pages[index];
}

void EccEvents() {
  for (uint32_t i = 0; i < kEventsAtOnce; ++i) {
    const uint64_t event = Read64(NPU_MG_SENSOR_ECC_ADDR);
    if (event == ~uint64_t{0}) break;
    const bool severe = event >> 62 & 1;
    const uint64_t address = event & ~(uint64_t{3} << 62);
    if (event >> 63) {
      Log(severe ? "uncorrectable" : "corrected", " error in the SRAM of core ", address >> 32, " at ",
          Hex{address & 0xffffffff});
    } else if (severe || IsSuspect(address)) {
      RetireAfterError(address & ~uint64_t{NPU_PAGE_SIZE - 1});
    } else {
      suspects[suspect_next++ % kSuspects] = address | 1;
    }
  }
  const uint64_t link = Read64(NPU_MG_SENSOR_LINK);
  if (link == link_errors) return;
  link_errors = link;
  Event event;
  event.kind = NPU_FW_EVENT_LINK;
  event.value[0] = link;
  PostDeviceEvent(event);
}

}  // namespace control
