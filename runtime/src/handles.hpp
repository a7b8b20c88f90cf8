// SPDX-License-Identifier: Apache-2.0
//
// Handles of the C interface: opaque values that name an entry of a table.  A stale or foreign handle is recognised,
// and an object that one thread destroys stays alive while another one still works with it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

namespace npu::rt {

// kind tells handles of different tables apart.
template <class T, class Handle, uint8_t kind>
class HandleTable {
 public:
  Handle Add(std::shared_ptr<T> object) {
    std::unique_lock lock(mutex_);
    uint32_t index;
    if (free_.empty()) {
      index = static_cast<uint32_t>(entries_.size());
      entries_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    entries_[index].object = std::move(object);
    return Encode(index, entries_[index].generation);
  }

  // Null when the handle names nothing.
  std::shared_ptr<T> Get(Handle handle) const {
    std::shared_lock lock(mutex_);
    const Entry* entry = Find(handle);
    return entry ? entry->object : nullptr;
  }

  // Takes the object out; the handle is invalid from then on.
  std::shared_ptr<T> Remove(Handle handle) {
    std::unique_lock lock(mutex_);
    Entry* entry = const_cast<Entry*>(Find(handle));
    return entry ? Drop(*entry) : nullptr;
  }

  // Takes out every object that matches.
  template <class Match>
  std::vector<std::shared_ptr<T>> RemoveIf(Match match) {
    std::unique_lock lock(mutex_);
    std::vector<std::shared_ptr<T>> removed;
    for (Entry& entry : entries_) {
      if (entry.object && match(*entry.object)) removed.push_back(Drop(entry));
    }
    return removed;
  }

 private:
  struct Entry {
    std::shared_ptr<T> object;
    uint32_t generation = 1;
  };

  static Handle Encode(uint32_t index, uint32_t generation) {
    uint64_t value = uint64_t{kind} << 56 | uint64_t{generation & 0xffffff} << 32 | index;
    return reinterpret_cast<Handle>(value);
  }

  const Entry* Find(Handle handle) const {
    uint64_t value = reinterpret_cast<uint64_t>(handle);
    uint32_t index = static_cast<uint32_t>(value);
    if (value >> 56 != kind || index >= entries_.size()) return nullptr;
    const Entry& entry = entries_[index];
    return entry.object && (entry.generation & 0xffffff) == (value >> 32 & 0xffffff) ? &entry : nullptr;
  }

  std::shared_ptr<T> Drop(Entry& entry) {
    entry.generation++;
    free_.push_back(static_cast<uint32_t>(&entry - entries_.data()));
    return std::move(entry.object);
  }

  mutable std::shared_mutex mutex_;  // guards both
  std::vector<Entry> entries_;
  std::vector<uint32_t> free_;
};

}  // namespace npu::rt
