// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The bytes that a saved device is made of.  Numbers are little-endian; a section is a tag, a length and its contents,
// so that a reader that has lost its way notices at the section's end.
//
// What is read may come from anywhere: after the first thing that is wrong every further read gives 0, and error() says
// what it was.  A loader therefore reads on, bounded by what it knows itself, and asks once at the end, except where a
// value would index or allocate something.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace npu::model {

static_assert(std::endian::native == std::endian::little, "numbers are stored as the host has them");

class StateWriter {
 public:
  void U8(uint8_t v) { Bytes(&v, sizeof(v)); }
  void U32(uint32_t v) { Bytes(&v, sizeof(v)); }
  void U64(uint64_t v) { Bytes(&v, sizeof(v)); }
  void F64(double v) { U64(std::bit_cast<uint64_t>(v)); }
  void Flag(bool v) { U8(v ? 1 : 0); }
  void Bytes(const void* from, size_t bytes) {
    const auto* p = static_cast<const uint8_t*>(from);
    bytes_.insert(bytes_.end(), p, p + bytes);
  }
  // Numbers, flags, enumerations, atomics of those, and structs of the hardware contract (which have no padding).  The
  // reader's takes the same types, so that one list of fields serves both ways.
  template <class T>
  void Io(const T& v) {
    static_assert(std::is_trivially_copyable_v<T>);
    Bytes(&v, sizeof(v));
  }
  template <class T>
  void Io(const std::atomic<T>& v) {
    Io(v.load());
  }
  template <class... T>
  void All(const T&... v) {
    (Io(v), ...);
  }
  void Begin(uint32_t tag) {
    U32(tag);
    U64(0);
    section_ = bytes_.size();
  }
  void End() {
    const uint64_t length = bytes_.size() - section_;
    std::memcpy(bytes_.data() + section_ - sizeof(length), &length, sizeof(length));
  }
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
  size_t section_ = 0;  // where the open one's contents begin
};

class StateReader {
 public:
  explicit StateReader(std::span<const uint8_t> bytes) : bytes_(bytes) {}

  bool ok() const { return error_.empty(); }
  const std::string& error() const { return error_; }
  void Fail(std::string why) {
    if (ok()) error_ = std::move(why);
  }
  // Fails unless it holds.
  bool Require(bool holds, const char* why) {
    if (!holds) Fail(why);
    return ok();
  }

  uint8_t U8() { return Number<uint8_t>(); }
  uint32_t U32() { return Number<uint32_t>(); }
  uint64_t U64() { return Number<uint64_t>(); }
  double F64() { return std::bit_cast<double>(U64()); }
  bool Flag() { return Below(2, "a flag is neither 0 nor 1") != 0; }
  uint8_t Below(uint8_t limit, const char* why) {
    const uint8_t v = U8();
    return Require(v < limit, why) ? v : 0;
  }
  void Bytes(void* to, size_t bytes) {
    if (Require(bytes <= bytes_.size() - at_, "the data ends too early")) {
      std::memcpy(to, bytes_.data() + at_, bytes);
      at_ += bytes;
    } else {
      std::memset(to, 0, bytes);
    }
  }
  // Enumerations come as they are: the caller checks them.
  template <class T>
  void Io(T& v) {
    static_assert(std::is_trivially_copyable_v<T>);
    if constexpr (std::is_same_v<T, bool>)
      v = Flag();
    else
      Bytes(&v, sizeof(v));
  }
  template <class T>
  void Io(std::atomic<T>& v) {
    T plain{};
    Io(plain);
    v.store(plain);
  }
  template <class... T>
  void All(T&... v) {
    (Io(v), ...);
  }
  void Begin(uint32_t tag, const char* what) {
    const uint32_t found = U32();
    const uint64_t length = U64();
    if (found != tag || length > bytes_.size() - at_) Fail(std::string("there is no section of ") + what);
    end_ = ok() ? at_ + length : 0;
  }
  void End(const char* what) {
    if (ok() && at_ != end_) Fail(std::string("the section of ") + what + " has another length than its contents");
  }
  bool AtEnd() const { return at_ == bytes_.size(); }

 private:
  template <class T>
  T Number() {
    T v;
    Bytes(&v, sizeof(v));
    return v;
  }
  std::span<const uint8_t> bytes_;
  size_t at_ = 0, end_ = 0;
  std::string error_;
};

}  // namespace npu::model
