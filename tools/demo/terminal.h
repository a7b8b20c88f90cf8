// SPDX-License-Identifier: Apache-2.0
//
// Output for people: colours where the output is a terminal, plain ASCII where it is not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace demo {

enum class Colour { kPlain, kBold, kDim, kGreen, kRed, kYellow, kCyan };

struct Picture {
  const uint8_t* pixels;      // 28 x 28
  std::string first, second;  // lines below it
  bool good;                  // colour of the second line
};

class Terminal {
 public:
  // A terminal is one by isatty, or when the VM's runner says so (NPU_TTY=1).  no_color forces plain ASCII.
  explicit Terminal(bool no_color);

  bool rich() const { return rich_; }
  std::string Paint(const std::string& text, Colour colour) const;

  void Title(const std::string& text) const;
  // "  name      value"
  void Row(const std::string& name, const std::string& value) const;
  // "  ok   what" in green, or "  FAIL what" in red.
  void Verdict(bool good, const std::string& what) const;
  // A bar on one line that is drawn over; nothing on plain output.
  void Progress(uint64_t done, uint64_t total, const std::string& text) const;
  void EndProgress() const;
  // As many pictures beside each other as fit.
  void Draw(const std::vector<Picture>& pictures) const;
  // How many pictures a line holds at a size at which one recognises them.
  uint32_t PicturesInLine() const;

 private:
  bool rich_;
  uint32_t columns_;
};

// "12,345,678"
std::string Grouped(uint64_t value);
// printf into a string.
std::string Format(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace demo
