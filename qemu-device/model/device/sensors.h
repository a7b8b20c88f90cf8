// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Power, energy and temperature of the virtual unit: a small model driven by the device cycles that the cores spend.
//
//   P(idle)   = 5 W + 3 W x f          f = core clock / 1 GHz
//   E(cycle)  = 8 nJ x v(f)^2          a busy core cycle; v(f) = 0.6 + 0.4 f
//   T'        = (T(ambient) + R x P - T) / tau   with T(ambient) = 27 C, R = 1 K/W, tau = 8 s
//
// so an idle unit settles at 35 C and four busy cores at 67 C.
#pragma once

#include <cstdint>
#include <mutex>

namespace npu::model {

class StateReader;
class StateWriter;

class Sensors {
 public:
  static constexpr uint32_t kClockKhz = 1000000;  // after reset
  // The four clocks that NPU_MG_CLOCK_KHZ takes.
  static bool ValidClock(uint32_t khz) { return khz == 400000 || khz == 600000 || khz == 800000 || khz == 1000000; }

  Sensors() { Reset(0); }

  // Any thread.  now_ns: NPU_REG_TIME_NS; busy: busy core cycles since reset (never falls).
  void Reset(uint64_t now_ns);
  void SetClock(uint64_t now_ns, uint64_t busy, uint32_t khz);
  void Inject(int32_t millidegrees);  // added to the reading until Reset or Inject(0)
  int32_t TemperatureMc(uint64_t now_ns, uint64_t busy);
  uint32_t PowerMw(uint64_t now_ns, uint64_t busy);  // mean since the last call
  uint64_t EnergyUj(uint64_t now_ns, uint64_t busy);
  uint32_t clock_khz() const;
  void Save(StateWriter& out) const;  // snapshot.cc
  void Load(StateReader& in, uint64_t now_ns);

 private:
  void Advance(uint64_t now_ns, uint64_t busy);

  mutable std::mutex mu_;  // guards everything below
  uint32_t khz_ = kClockKhz;
  uint64_t last_ns_ = 0, last_busy_ = 0;
  double energy_uj_ = 0;
  double celsius_ = 35;
  int32_t injected_mc_ = 0;
  uint64_t power_ns_ = 0;       // when PowerMw was last read
  double power_energy_uj_ = 0;  // and the energy then
  double power_mw_ = 0;
};

}  // namespace npu::model
