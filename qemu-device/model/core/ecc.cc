// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "core/ecc.h"

#include "mgmt/stream.h"

namespace npu::model {

namespace {

constexpr size_t kMaxEvents = 256;  // later ones are counted only

}  // namespace

void Ecc::Count(uint64_t place, bool uncorrectable) {
  (uncorrectable ? uncorrected_ : corrected_).fetch_add(1, std::memory_order_relaxed);
  if (events_.size() < kMaxEvents) events_.push_back(place | (uncorrectable ? kUncorrectable : 0));
}

// Goes over the errors in the range; with stop only up to the first word that cannot be read.
uint64_t Ecc::Sweep(uint64_t place, uint64_t bytes, npu_access access, bool stop) {
  uint64_t bad = kNone;
  bool news = false;
  {
    std::lock_guard lock(mutex_);
    const uint64_t end = place + bytes;
    for (auto it = errors_.lower_bound(place & ~(kWord - 1)); it != errors_.end() && it->first < end;) {
      Error& error = it->second;
      const bool covered = it->first >= place && it->first + kWord <= end;
      if (error.flip && Mended(error)) error.flip = 0;
      if (access == NPU_ACCESS_WRITE && covered) {
        error.correctable = 0;
      } else {
        if (error.correctable) {
          --error.correctable;
          Count(it->first, false);
          news = true;
        }
        if (error.flip && !error.told) {
          error.told = true;
          Count(it->first, true);
          news = true;
        }
        if (error.flip && bad == kNone) bad = it->first;
      }
      it = error.flip || error.correctable ? std::next(it) : errors_.erase(it);
      if (bad != kNone && stop) break;
    }
    Settle();
  }
  if (news) told_();
  return bad;
}

uint64_t Ecc::Access(uint64_t place, uint64_t bytes, npu_access access) {
  return Sweep(place, bytes, access, true);
}

bool Ecc::AnyIn(uint64_t place, uint64_t bytes) const {
  if (!armed()) return false;
  std::lock_guard lock(mutex_);
  auto it = errors_.lower_bound(place);
  return it != errors_.end() && it->first - place < bytes;
}

uint64_t Ecc::TakeEvent() {
  std::lock_guard lock(mutex_);
  if (events_.empty()) return kNone;
  const uint64_t event = events_.front();
  events_.pop_front();
  return event;
}

bool Ecc::Inject(uint64_t place, uint64_t* word, uint64_t flip, uint32_t times) {
  std::lock_guard lock(mutex_);
  if (errors_.size() == kMaxErrors && !errors_.count(place)) return false;
  Error& error = errors_[place];
  error.word = word;
  if (flip == 0) {
    error.correctable += times;
  } else if (!error.flip || Mended(error)) {
    error.flip = flip;
    // The host may be looking at this word of device memory.
    error.left = __atomic_xor_fetch(word, flip, __ATOMIC_RELAXED);
    error.told = false;
  }
  Settle();
  return true;
}

void Ecc::Disarm() {
  std::lock_guard lock(mutex_);
  for (auto& [place, error] : errors_)
    if (error.flip && !Mended(error)) *error.word ^= error.flip;
  errors_.clear();
  Settle();
}

void Ecc::Save(StateWriter& out) const {
  std::lock_guard lock(mutex_);
  out.Io(corrected_);
  out.Io(uncorrected_);
  out.U32(static_cast<uint32_t>(events_.size()));
  for (uint64_t event : events_) out.U64(event);
  out.U32(static_cast<uint32_t>(errors_.size()));
  for (const auto& [place, error] : errors_) {
    out.U64(place);
    out.Io(error.correctable);
    out.Io(error.flip);
    out.Io(error.left);
    out.Io(error.told);
  }
}

void Ecc::Load(StateReader& in, const std::function<uint64_t*(uint64_t)>& at) {
  std::lock_guard lock(mutex_);
  errors_.clear();
  events_.clear();
  Settle();
  in.Io(corrected_);
  in.Io(uncorrected_);
  const uint32_t events = in.U32();
  if (!in.Require(events <= kMaxEvents, "there are too many memory events")) return;
  for (uint32_t i = 0; i < events; ++i) events_.push_back(in.U64());
  const uint32_t errors = in.U32();
  if (!in.Require(errors <= kMaxErrors, "there are too many memory errors")) return;
  for (uint32_t i = 0; i < errors && in.ok(); ++i) {
    const uint64_t place = in.U64();
    Error error;
    in.Io(error.correctable);
    in.Io(error.flip);
    in.Io(error.left);
    in.Io(error.told);
    error.word = place % kWord ? nullptr : at(place);
    if (in.Require(error.word != nullptr, "a memory error is nowhere")) errors_[place] = error;
  }
  Settle();
}

void Ecc::Reset(bool all) {
  std::lock_guard lock(mutex_);
  std::erase_if(errors_, [all](const auto& entry) { return all || entry.first >> 63; });
  events_.clear();
  corrected_ = uncorrected_ = 0;
  Settle();
}

}  // namespace npu::model
