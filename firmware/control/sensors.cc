// SPDX-License-Identifier: Apache-2.0
#include "sensors.h"

#include "console.h"
#include "events.h"
#include "machine.h"
#include "retire.h"
#include "watchdog.h"

namespace control {
namespace {

constexpr uint64_t kPeriod = 100 * kMillisecond;
constexpr uint64_t kShortestWindow = 10 * kMillisecond;  // utilisation over less than this says nothing

// Clock levels; one step down for each sample at or above kHot, one up for each at or below kCool.
constexpr uint32_t kClocks[] = {400'000, 600'000, 800'000, 1'000'000};
constexpr uint32_t kTopLevel = 3;
constexpr int32_t kHot = 95'000;
constexpr int32_t kCool = 85'000;
constexpr int32_t kCritical = 105'000;

uint32_t power_limit = kTopLevel;    // by the host
uint32_t thermal_limit = kTopLevel;  // by temperature
uint32_t level = kTopLevel;

uint64_t next_sample = kNever;
uint64_t window_start;
uint64_t window_busy;
uint32_t utilisation;  // permille

uint32_t ThrottleReasons() {
  return (thermal_limit < kTopLevel ? NPU_THROTTLE_THERMAL : 0) | (power_limit < kTopLevel ? NPU_THROTTLE_POWER : 0);
}

void SetClock() {
  const uint32_t wanted = power_limit < thermal_limit ? power_limit : thermal_limit;
  if (wanted == level) return;
  level = wanted;
  Write32(NPU_MG_CLOCK_KHZ, kClocks[level]);
  Log("core clock ", kClocks[level], " kHz, throttle reasons ", Hex{ThrottleReasons()});
}

void Thermal(int32_t temperature) {
  const uint32_t before = ThrottleReasons();
  if (temperature >= kHot && thermal_limit > 0)
    --thermal_limit;
  else if (temperature <= kCool && thermal_limit < kTopLevel)
    ++thermal_limit;
  SetClock();
  if (ThrottleReasons() == before) return;
  Event event;
  event.kind = NPU_FW_EVENT_THERMAL;
  event.value[0] = static_cast<uint64_t>(int64_t{temperature});
  event.value[1] = ThrottleReasons();
  PostDeviceEvent(event);
}

// Busy core cycles of the window over those that there were.
void Utilisation(uint64_t now) {
  const uint64_t elapsed = now - window_start;
  if (elapsed < kShortestWindow) return;
  const uint64_t busy = Read64(NPU_MG_SENSOR_BUSY);
  const uint64_t had = elapsed / 1000 * kClocks[level] / 1000 * Read32(NPU_MG_NUM_CORES);
  const uint64_t delta = busy - window_busy;
  utilisation = had == 0 ? 0 : static_cast<uint32_t>(Min(delta / Max(had / 1000, 1), 1000));
  window_start = now;
  window_busy = busy;
}

uint32_t Health(int32_t temperature) {
  if (AnySlotBroken()) return NPU_HEALTH_RESET_REQUIRED;
  if (temperature >= kCritical || RetiredCount() == kMaxRetired) return NPU_HEALTH_DEGRADED;
  if (temperature >= kHot || thermal_limit < kTopLevel) return NPU_HEALTH_WARN;
  return NPU_HEALTH_OK;
}

}  // namespace

void SensorsInit(uint64_t now) {
  window_start = now;
  window_busy = Read64(NPU_MG_SENSOR_BUSY);
  Write32(NPU_MG_CLOCK_KHZ, kClocks[level]);
  SampleSensors(now);
}

void SampleSensors(uint64_t now) {
  const auto temperature = static_cast<int32_t>(Read32(NPU_MG_SENSOR_TEMP));
  Utilisation(now);
  Thermal(temperature);
  Write32(NPU_MG_PUB_TEMP, static_cast<uint32_t>(temperature));
  Write32(NPU_MG_PUB_POWER, Read32(NPU_MG_SENSOR_POWER));
  Write32(NPU_MG_PUB_UTIL, utilisation);
  Write32(NPU_MG_PUB_THROTTLE, ThrottleReasons());
  Write32(NPU_MG_PUB_RETIRED, RetiredCount());
  Write32(NPU_MG_HEALTH, Health(temperature));
}

uint64_t SensorsTick(uint64_t now) {
  if (next_sample == kNever) {
    if (!Watching()) return kNever;
    window_start = now;
    window_busy = Read64(NPU_MG_SENSOR_BUSY);
    return next_sample = now + kPeriod;
  }
  if (now < next_sample) return next_sample;
  SampleSensors(now);
  // One last sample after the work has ended shows zero utilisation; then the sensors rest.
  const bool rest = !Watching() && utilisation == 0 && thermal_limit == kTopLevel;
  return next_sample = rest ? kNever : now + kPeriod;
}

Answer SetPowerLimit(uint64_t limit) {
  if (limit > kTopLevel) return {NPU_ADMIN_EINVAL, 0};
  power_limit = static_cast<uint32_t>(limit);
  SetClock();
  Write32(NPU_MG_PUB_THROTTLE, ThrottleReasons());
  return {};
}

}  // namespace control
