// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Memory errors that were injected, in device memory and in the cores' SRAM.  A word of 8 bytes is what the code
// protects.
//
// A correctable error is corrected and counted when an engine next reads the word, and gone with a write of the whole
// word.  An uncorrectable one really flips two bits; an engine that reads the word, or writes a part of it, is refused.
// Nobody tells of writes: a word that does not hold what the flip left there has been written, and is good.
//
// While there are no errors all this costs one load for each footprint that an engine checks, and nothing for cached
// translations of harts: pages with errors are not cached.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>

#include "npu_fault.h"
#include "npu_regs.h"

namespace npu::model {

class StateReader;
class StateWriter;

class Ecc {
 public:
  static constexpr uint64_t kNone = ~uint64_t{0};
  static constexpr uint64_t kWord = 8;
  static constexpr size_t kMaxErrors = 4096;
  // What an event's address carries besides the place (NPU_MG_SENSOR_ECC_ADDR).
  static constexpr uint64_t kUncorrectable = 1ull << 62;

  // told: something was counted; called without a lock, from whatever thread read the word.
  explicit Ecc(std::function<void()> told) : told_(std::move(told)) {}

  bool armed() const { return armed_.load(std::memory_order_relaxed); }

  // Any thread.  Places are offsets in device memory, or NPU_INJ_SRAM(core, offset).
  //
  // An access of an engine to [place, place + bytes): the first word that cannot be read, or kNone.
  uint64_t Access(uint64_t place, uint64_t bytes, npu_access access);
  bool AnyIn(uint64_t place, uint64_t bytes) const;
  // Corrects what can be corrected in the range, as if it were read.
  void Scrub(uint64_t place, uint64_t bytes) { Sweep(place, bytes, NPU_ACCESS_READ, false); }
  uint64_t corrected() const { return corrected_.load(std::memory_order_relaxed); }
  uint64_t uncorrected() const { return uncorrected_.load(std::memory_order_relaxed); }
  // The oldest event that was not taken yet; kNone: none.
  uint64_t TakeEvent();

  // While no engine runs.  word: the 8 bytes at the place, which is a multiple of 8.  flip: bits that an uncorrectable
  // error turns over; 0: a correctable error, which happens `times` times.  False: too many errors.
  bool Inject(uint64_t place, uint64_t* word, uint64_t flip, uint32_t times);
  // All errors are gone; words that nobody has written since are as before.
  void Disarm();
  // Only while no engine runs.  at: the word at a place, or nullptr: there is none.  Load forgets what was there.
  void Save(StateWriter& out) const;
  void Load(StateReader& in, const std::function<uint64_t*(uint64_t place)>& at);
  // Power-on: no errors in SRAM (all: nowhere), nothing counted.
  void Reset(bool all);

 private:
  struct Error {
    uint64_t* word = nullptr;
    uint32_t correctable = 0;     // how often it is still to be corrected
    uint64_t flip = 0, left = 0;  // uncorrectable: bits turned over, and what that left in the word
    bool told = false;
  };
  using Errors = std::map<uint64_t, Error>;

  static bool Mended(const Error& error) { return __atomic_load_n(error.word, __ATOMIC_RELAXED) != error.left; }
  uint64_t Sweep(uint64_t place, uint64_t bytes, npu_access access, bool stop);
  void Count(uint64_t place, bool uncorrectable);
  void Settle() { armed_.store(!errors_.empty(), std::memory_order_relaxed); }

  const std::function<void()> told_;
  std::atomic<bool> armed_{false};
  std::atomic<uint64_t> corrected_{0}, uncorrected_{0};
  mutable std::mutex mutex_;  // guards the two below; writers of the two above hold it
  Errors errors_;
  std::deque<uint64_t> events_;
};

}  // namespace npu::model
