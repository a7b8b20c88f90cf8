// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "device/sensors.h"

#include <cmath>

namespace npu::model {
namespace {

constexpr double kStaticW = 5, kClockW = 3, kCycleNj = 8;
constexpr double kAmbientC = 27, kKelvinPerW = 1, kTauSeconds = 8;

double Relative(uint32_t khz) {
  return khz / 1e6;
}
double IdleW(uint32_t khz) {
  return kStaticW + kClockW * Relative(khz);
}

}  // namespace

void Sensors::Reset(uint64_t now_ns) {
  std::lock_guard lock(mu_);
  khz_ = kClockKhz;
  last_ns_ = power_ns_ = now_ns;
  last_busy_ = 0;
  energy_uj_ = power_energy_uj_ = 0;
  celsius_ = kAmbientC + kKelvinPerW * IdleW(khz_);
  injected_mc_ = 0;
  power_mw_ = IdleW(khz_) * 1e3;
}

// One step of the thermal circuit, exact for constant power over the step.
void Sensors::Advance(uint64_t now_ns, uint64_t busy) {
  if (now_ns <= last_ns_) return;
  double seconds = static_cast<double>(now_ns - last_ns_) * 1e-9;
  double cycles = busy > last_busy_ ? static_cast<double>(busy - last_busy_) : 0;
  double volt = 0.6 + 0.4 * Relative(khz_);
  double joules = IdleW(khz_) * seconds + cycles * kCycleNj * 1e-9 * volt * volt;
  energy_uj_ += joules * 1e6;
  double target = kAmbientC + kKelvinPerW * (joules / seconds);
  celsius_ = target + (celsius_ - target) * std::exp(-seconds / kTauSeconds);
  last_ns_ = now_ns;
  last_busy_ = busy;
}

void Sensors::SetClock(uint64_t now_ns, uint64_t busy, uint32_t khz) {
  std::lock_guard lock(mu_);
  Advance(now_ns, busy);
  khz_ = khz;
}

void Sensors::Inject(int32_t millidegrees) {
  std::lock_guard lock(mu_);
  injected_mc_ = millidegrees;
}

int32_t Sensors::TemperatureMc(uint64_t now_ns, uint64_t busy) {
  std::lock_guard lock(mu_);
  Advance(now_ns, busy);
  // Blocks are charged when they end, so a short interval may show a spike that no silicon has; it stops at 150 C.
  return static_cast<int32_t>(std::lround(std::fmin(celsius_, 150) * 1e3)) + injected_mc_;
}

uint32_t Sensors::PowerMw(uint64_t now_ns, uint64_t busy) {
  std::lock_guard lock(mu_);
  Advance(now_ns, busy);
  if (now_ns > power_ns_) {
    power_mw_ = (energy_uj_ - power_energy_uj_) / (static_cast<double>(now_ns - power_ns_) * 1e-9) * 1e-3;
    power_ns_ = now_ns;
    power_energy_uj_ = energy_uj_;
  }
  return static_cast<uint32_t>(std::lround(std::fmin(power_mw_, 4e9)));
}

uint64_t Sensors::EnergyUj(uint64_t now_ns, uint64_t busy) {
  std::lock_guard lock(mu_);
  Advance(now_ns, busy);
  return static_cast<uint64_t>(energy_uj_);
}

uint32_t Sensors::clock_khz() const {
  std::lock_guard lock(mu_);
  return khz_;
}

}  // namespace npu::model
