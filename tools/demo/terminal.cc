// SPDX-License-Identifier: Apache-2.0
#include "terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "files.h"

namespace demo {
namespace {

constexpr uint32_t kGap = 2, kSmallest = 18;

uint32_t TerminalColumns() {
  winsize size = {};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* env = std::getenv("COLUMNS");
  const int columns = env ? std::atoi(env) : 0;
  return columns > 0 ? static_cast<uint32_t>(columns) : 80;
}

// Mean brightness of a rectangle of the picture, the picture being w x h cells.
uint32_t Shade(const uint8_t* pixels, uint32_t x, uint32_t y, uint32_t w, uint32_t h) {
  const uint32_t x0 = x * kSide / w, x1 = std::max(x0 + 1, (x + 1) * kSide / w);
  const uint32_t y0 = y * kSide / h, y1 = std::max(y0 + 1, (y + 1) * kSide / h);
  uint32_t sum = 0;
  for (uint32_t r = y0; r < y1; ++r) {
    for (uint32_t c = x0; c < x1; ++c) sum += pixels[r * kSide + c];
  }
  return sum / ((x1 - x0) * (y1 - y0));
}

// One of the 24 greys of the 256-colour palette.
uint32_t Grey(uint32_t shade) {
  return 232 + shade * 23 / 255;
}

std::string Padded(std::string text, uint32_t width) {
  text.resize(width, ' ');
  return text;
}

}  // namespace

std::string Format(const char* format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return text;
}

std::string Grouped(uint64_t value) {
  const std::string digits = std::to_string(value);
  std::string grouped;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
    grouped += digits[i];
  }
  return grouped;
}

Terminal::Terminal(bool no_color) : columns_(TerminalColumns()) {
  const char* vm = std::getenv("NPU_TTY");
  const char* term = std::getenv("TERM");
  const bool tty = isatty(STDOUT_FILENO) || (vm && std::strcmp(vm, "1") == 0);
  rich_ = tty && !no_color && !std::getenv("NO_COLOR") && !(term && std::strcmp(term, "dumb") == 0);
}

std::string Terminal::Paint(const std::string& text, Colour colour) const {
  static const char* const kCodes[] = {"", "1", "2", "32", "31", "33", "36"};
  if (!rich_ || colour == Colour::kPlain) return text;
  return std::string("\033[") + kCodes[static_cast<int>(colour)] + "m" + text + "\033[0m";
}

void Terminal::Title(const std::string& text) const {
  const std::string line = rich_ ? "─" : "-";
  std::string rule;
  const uint32_t width = std::min(columns_, 78u);
  for (uint32_t i = static_cast<uint32_t>(text.size()) + 4; i < width; ++i) rule += line;
  std::printf("\n%s\n", Paint(line + line + " " + text + " " + rule, Colour::kCyan).c_str());
}

void Terminal::Row(const std::string& name, const std::string& value) const {
  std::printf("  %s %s\n", Paint(Padded(name, 18), Colour::kDim).c_str(), value.c_str());
}

void Terminal::Verdict(bool good, const std::string& what) const {
  const std::string mark = good ? (rich_ ? "✔" : "ok  ") : (rich_ ? "✘" : "FAIL");
  std::printf("  %s %s\n", Paint(mark, good ? Colour::kGreen : Colour::kRed).c_str(), what.c_str());
}

void Terminal::Progress(uint64_t done, uint64_t total, const std::string& text) const {
  if (!rich_) return;
  constexpr uint64_t kWidth = 40;
  const uint64_t full = total ? kWidth * done / total : kWidth;
  std::string bar;
  for (uint64_t i = 0; i < kWidth; ++i) bar += i < full ? "█" : "░";
  std::printf("\r  %s %s\033[K", Paint(bar, Colour::kCyan).c_str(), text.c_str());
  std::fflush(stdout);
}

void Terminal::EndProgress() const {
  if (rich_) std::printf("\r\033[K");
}

uint32_t Terminal::PicturesInLine() const {
  return std::clamp((columns_ - 2 + kGap) / (kSmallest + kGap), 1u, 5u);
}

void Terminal::Draw(const std::vector<Picture>& pictures) const {
  const uint32_t n = static_cast<uint32_t>(pictures.size());
  if (n == 0) return;
  const uint32_t side = std::clamp((columns_ - 2 + kGap) / n - kGap, kSmallest, kSide) & ~1u;
  for (uint32_t y = 0; y < side / 2; ++y) {
    std::string line = "  ";
    for (const Picture& p : pictures) {
      for (uint32_t x = 0; x < side; ++x) {
        if (rich_) {
          // The upper half of the cell in one grey, the lower in another.
          line += Format("\033[38;5;%u;48;5;%um▀", Grey(Shade(p.pixels, x, 2 * y, side, side)),
                         Grey(Shade(p.pixels, x, 2 * y + 1, side, side)));
        } else {
          line += " .:-=+*#%@"[Shade(p.pixels, x, y, side, side / 2) * 10 / 256];
        }
      }
      line += rich_ ? "\033[0m  " : "  ";
    }
    std::printf("%s\n", line.c_str());
  }
  std::string first = "  ", second = "  ";
  for (const Picture& p : pictures) {
    first += Paint(Padded(p.first, side), Colour::kDim) + "  ";
    second += Paint(Padded(p.second, side), p.good ? Colour::kGreen : Colour::kRed) + "  ";
  }
  std::printf("%s\n%s\n", first.c_str(), second.c_str());
}

}  // namespace demo
