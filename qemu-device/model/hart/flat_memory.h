// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
// One contiguous piece of memory for bare programs: what npu-hart and the interpreter's tests run in.
#ifndef NPU_MODEL_HART_FLAT_MEMORY_H_
#define NPU_MODEL_HART_FLAT_MEMORY_H_

#include <cstdint>
#include <cstring>
#include <vector>

#include "hart/state.h"

namespace npu::model {

// The memory half of a hart's environment: misaligned accesses work, one hart only, everything is executable.
class FlatMemory {
 public:
  FlatMemory(uint64_t base, uint64_t bytes) : base_(base), bytes_(bytes) {}

  uint64_t base() const { return base_; }
  uint64_t size() const { return bytes_.size(); }

  // nullptr unless all `size` bytes are inside.
  uint8_t* At(uint64_t va, uint64_t size) {
    const uint64_t offset = va - base_;
    if (offset > bytes_.size() || size > bytes_.size() - offset) return nullptr;
    return bytes_.data() + offset;
  }

  const uint8_t* Code(uint64_t pc, uint64_t* bytes) {
    const uint8_t* p = At(pc, 2);
    if (p == nullptr || (pc & 1) != 0) return nullptr;
    *bytes = base_ + bytes_.size() - pc;
    return p;
  }

  bool Load(uint64_t va, unsigned size, uint64_t* out) {
    const uint8_t* p = At(va, size);
    if (p == nullptr) return false;
    uint64_t v = 0;
    std::memcpy(&v, p, size);
    *out = v;
    return true;
  }

  bool Store(uint64_t va, unsigned size, uint64_t value) {
    uint8_t* p = At(va, size);
    if (p == nullptr) return false;
    std::memcpy(p, &value, size);
    return true;
  }

  bool Amo(AmoOp op, uint64_t va, unsigned size, uint64_t value, uint64_t* old) {
    if ((va & (size - 1)) != 0 || !Load(va, size, old)) return false;
    return Store(va, size, AmoResult(op, size, *old, value));
  }

  bool LoadReserved(uint64_t va, unsigned size, uint64_t* out) {
    reserved_ = (va & (size - 1)) == 0 && Load(va, size, out);
    reservation_ = va;
    reserved_value_ = *out;
    return reserved_;
  }

  // Succeeds when memory still holds what was loaded: with one hart, the only difference from a real reservation is
  // that a store of the same value by the hart itself does not break it, which the architecture allows.
  bool StoreConditional(uint64_t va, unsigned size, uint64_t value, bool* stored) {
    uint64_t now = 0;
    if ((va & (size - 1)) != 0 || !Load(va, size, &now)) return false;
    *stored = reserved_ && reservation_ == va && now == reserved_value_;
    reserved_ = false;
    return !*stored || Store(va, size, value);
  }

 private:
  uint64_t base_;
  std::vector<uint8_t> bytes_;
  bool reserved_ = false;
  uint64_t reservation_ = 0;
  uint64_t reserved_value_ = 0;
};

}  // namespace npu::model

#endif  // NPU_MODEL_HART_FLAT_MEMORY_H_
