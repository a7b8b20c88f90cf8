// SPDX-License-Identifier: Apache-2.0
#include "dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace npu::smi {
namespace {

constexpr size_t kLargest = 64u << 20;  // of a file; the driver's have half a megabyte

// Bytes that are taken from the front; what is not there is not taken.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <typename T>
  bool Take(T* value) {
    if (rest_.size() < sizeof(T)) return false;
    std::memcpy(value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return true;
  }

  std::span<const std::byte> TakeBytes(size_t bytes) {
    const auto taken = rest_.first(std::min(bytes, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

  size_t left() const { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
};

template <typename T>
void TakeAll(std::span<const std::byte> bytes, std::vector<T>* out) {
  Reader reader(bytes);
  for (T value; reader.Take(&value);) out->push_back(value);
}

// Control characters would play tricks on a terminal.
char Printable(char c) {
  return c >= 0x20 && c < 0x7f ? c : '?';
}

std::string Text(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::byte b : bytes) {
    const char c = static_cast<char>(b);
    text += c == '\n' ? c : Printable(c);
  }
  return text;
}

// A name: printable up to its end, which it has.
template <size_t kBytes>
void CleanName(char (&name)[kBytes]) {
  name[kBytes - 1] = 0;
  for (char* c = name; *c; ++c) *c = Printable(*c);
}

void TakeRing(std::span<const std::byte> bytes, Dump* dump) {
  Reader reader(bytes);
  npu_dump_ring head;
  if (!reader.Take(&head)) {
    dump->problems.push_back("a ring's section is too short");
    return;
  }
  DumpRing ring{head.queue, head.first, {}};
  npu_packet packet;
  for (uint32_t i = 0; i < head.count && reader.Take(&packet); ++i) ring.packets.push_back(packet);
  if (ring.packets.size() < head.count)
    dump->problems.push_back(fmt::format("the ring of queue {} lacks packets", head.queue));
  dump->rings.push_back(std::move(ring));
}

template <typename T>
void TakeOne(std::span<const std::byte> bytes, const char* what, std::optional<T>* out, Dump* dump) {
  T value;
  if (Reader(bytes).Take(&value))
    *out = value;
  else
    dump->problems.push_back(fmt::format("the section of the {} is too short", what));
}

void TakeSection(const npu_dump_section& section, std::span<const std::byte> bytes, Dump* dump) {
  switch (section.type) {
    case NPU_DUMP_STATE:
      dump->state += Text(bytes);
      break;
    case NPU_DUMP_REGISTERS:
      TakeAll(bytes, &dump->registers);
      break;
    case NPU_DUMP_QUEUES:
      TakeAll(bytes, &dump->queues);
      break;
    case NPU_DUMP_RING:
      TakeRing(bytes, dump);
      break;
    case NPU_DUMP_FAULT:
      TakeOne(bytes, "fault record", &dump->fault, dump);
      break;
    case NPU_DUMP_LOG:
      dump->log += Text(bytes);
      break;
    case NPU_DUMP_WALK:
      TakeOne(bytes, "page-table walk", &dump->walk, dump);
      break;
    case NPU_DUMP_BUFFERS:
      TakeAll(bytes, &dump->buffers);
      for (npu_dump_buffer& buffer : dump->buffers) CleanName(buffer.name);
      break;
    default:
      dump->problems.push_back(fmt::format("a section of type {} is unknown", section.type));
  }
}

// The dump's file below a devcoredump device if its failing device belongs to our driver.
bool IsOurs(const std::filesystem::path& device) {
  std::error_code error;
  const auto driver = std::filesystem::read_symlink(device / "failing_device" / "driver", error);
  return !error && driver.filename() == "npu";
}

std::string FirstDump(std::string* error) {
  std::error_code code;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/devcoredump", code))
    if (IsOurs(entry.path())) return (entry.path() / "data").string();
  *error = "there is no dump of an NPU in /sys/class/devcoredump. One is kept for five minutes after a failure.";
  return {};
}

}  // namespace

std::optional<Dump> ParseDump(std::span<const std::byte> bytes, std::string* error) {
  Dump dump;
  Reader reader(bytes);
  if (!reader.Take(&dump.header) || dump.header.magic != NPU_DUMP_MAGIC) {
    *error = "it does not begin as a dump of an NPU does (NPUDUMP1).";
    return std::nullopt;
  }
  if (dump.header.bytes != bytes.size())
    dump.problems.push_back(fmt::format("it has {} bytes instead of {}", bytes.size(), dump.header.bytes));
  if (dump.header.flags & NPU_DUMP_TRUNCATED) dump.problems.push_back("the driver had no room for all sections");
  npu_dump_section section;
  while (reader.Take(&section)) {
    if (section.bytes > reader.left()) {
      dump.problems.push_back(fmt::format("a section of type {} is cut off", section.type));
      break;
    }
    const auto size = static_cast<size_t>(section.bytes);
    TakeSection(section, reader.TakeBytes(size), &dump);
    reader.TakeBytes((8 - size % 8) % 8);
  }
  return dump;
}

std::optional<std::vector<std::byte>> ReadDump(const std::string& path, std::string* error) {
  const std::string from = path.empty() ? FirstDump(error) : path;
  if (from.empty()) return std::nullopt;
  std::ifstream file(from, std::ios::binary);
  if (!file) {
    *error = fmt::format("{}: {}", from, std::strerror(errno));
    return std::nullopt;
  }
  std::vector<std::byte> bytes;
  char block[4096];
  while (file.read(block, sizeof block) || file.gcount() > 0) {
    const auto* begin = reinterpret_cast<const std::byte*>(block);
    bytes.insert(bytes.end(), begin, begin + file.gcount());
    if (bytes.size() > kLargest) {
      *error = fmt::format("{}: more than {} MiB, which no dump has", from, kLargest >> 20);
      return std::nullopt;
    }
  }
  return bytes;
}

}  // namespace npu::smi
