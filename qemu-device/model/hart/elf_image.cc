// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
#include "hart/elf_image.h"

#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace npu::model {
namespace {

constexpr uint64_t kMaxSpan = uint64_t{1} << 30;

class ElfFile {
 public:
  ~ElfFile() {
    if (elf_ != nullptr) elf_end(elf_);
    if (fd_ >= 0) close(fd_);
  }

  bool Open(const std::string& path, std::string* error) {
    elf_version(EV_CURRENT);
    fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) {
      *error = path + ": " + std::strerror(errno);
      return false;
    }
    elf_ = elf_begin(fd_, ELF_C_READ, nullptr);
    if (elf_ == nullptr || elf_kind(elf_) != ELF_K_ELF || gelf_getehdr(elf_, &header_) == nullptr) {
      *error = path + ": not an ELF file";
      return false;
    }
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_ident[EI_DATA] != ELFDATA2LSB ||
        header_.e_machine != EM_RISCV || header_.e_type != ET_EXEC) {
      *error = path + ": not a static 64-bit RISC-V executable (link with -nostdlib -static, without -pie)";
      return false;
    }
    return true;
  }

  Elf* elf() { return elf_; }
  const GElf_Ehdr& header() const { return header_; }

 private:
  int fd_ = -1;
  Elf* elf_ = nullptr;
  GElf_Ehdr header_{};
};

bool ReadSegments(Elf* elf, ElfImage* image, std::string* why) {
  size_t file_bytes = 0, count = 0;
  const char* raw = elf_rawfile(elf, &file_bytes);
  if (raw == nullptr || elf_getphdrnum(elf, &count) != 0) {
    *why = "program headers cannot be read";
    return false;
  }
  image->low = ~uint64_t{0};
  for (size_t i = 0; i < count; ++i) {
    GElf_Phdr ph;
    if (gelf_getphdr(elf, static_cast<int>(i), &ph) == nullptr) {
      *why = "program header cannot be read";
      return false;
    }
    if (ph.p_type != PT_LOAD || ph.p_memsz == 0) continue;
    if (ph.p_filesz > ph.p_memsz || ph.p_offset > file_bytes || ph.p_filesz > file_bytes - ph.p_offset ||
        ph.p_memsz > kMaxSpan || ph.p_paddr > ~uint64_t{0} - kMaxSpan) {
      *why = "truncated, or a segment is larger than 1 GiB";
      return false;
    }
    const auto* begin = reinterpret_cast<const uint8_t*>(raw) + ph.p_offset;
    image->segments.push_back({ph.p_paddr, ph.p_memsz, {begin, begin + ph.p_filesz}});
    image->low = std::min<uint64_t>(image->low, ph.p_paddr);
    image->high = std::max<uint64_t>(image->high, ph.p_paddr + ph.p_memsz);
  }
  if (image->segments.empty() || image->high - image->low > kMaxSpan) {
    *why = image->segments.empty() ? "nothing to load" : "its segments span more than 1 GiB";
    return false;
  }
  return true;
}

void ReadSymbols(Elf* elf, ElfImage* image) {
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_SYMTAB || header.sh_entsize == 0) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    if (data == nullptr) continue;
    const size_t count = data->d_size / header.sh_entsize;
    for (size_t i = 0; i < count; ++i) {
      GElf_Sym symbol;
      if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr || symbol.st_shndx == SHN_UNDEF) continue;
      const char* name = elf_strptr(elf, header.sh_link, symbol.st_name);
      if (name != nullptr && *name != '\0') image->symbols.emplace(name, symbol.st_value);
    }
  }
}

}  // namespace

bool ElfImage::Read(const std::string& path, std::string* error) {
  ElfFile file;
  if (!file.Open(path, error)) return false;
  std::string why;
  if (!ReadSegments(file.elf(), this, &why)) {
    *error = path + ": " + why;
    return false;
  }
  entry = file.header().e_entry;
  ReadSymbols(file.elf(), this);
  return true;
}

void ElfImage::CopyTo(FlatMemory& memory) const {
  for (const Segment& segment : segments) {
    uint8_t* to = memory.At(segment.address, segment.memory_bytes);
    std::memcpy(to, segment.data.data(), segment.data.size());
    std::memset(to + segment.data.size(), 0, segment.memory_bytes - segment.data.size());
  }
}

}  // namespace npu::model
