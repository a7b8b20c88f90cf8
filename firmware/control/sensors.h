// SPDX-License-Identifier: Apache-2.0
//
// Temperature, power, utilisation, clock and health.  Sampled at each mailbox command, and periodically while something
// runs or the device is throttled; an idle device is not sampled.
#pragma once

#include <stdint.h>

#include "context.h"

namespace control {

void SensorsInit(uint64_t now);
// Reads the sensors, sets the clock, publishes.
void SampleSensors(uint64_t now);
// Samples when it is time; returns when it wants to be called again, kNever when nothing runs.
uint64_t SensorsTick(uint64_t now);
// NPU_ADMIN_SET_POWER.
Answer SetPowerLimit(uint64_t level);

}  // namespace control
