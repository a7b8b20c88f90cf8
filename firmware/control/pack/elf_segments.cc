// SPDX-License-Identifier: Apache-2.0
#include "elf_segments.h"

#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace {

// Closes what reading an ELF file opens.
struct OpenElf {
  ~OpenElf() {
    if (elf) elf_end(elf);
    if (fd >= 0) close(fd);
  }
  int fd = -1;
  Elf* elf = nullptr;
};

std::string NameOf(const GElf_Phdr& header) {
  char name[32];
  std::snprintf(name, sizeof name, "%s@%llx", header.p_flags & PF_X ? "text" : "data",
                static_cast<unsigned long long>(header.p_paddr));
  return name;
}

bool ReadSegments(Elf* elf, size_t headers, ElfImage* image, std::string* error) {
  size_t file_bytes = 0;
  const char* file = elf_rawfile(elf, &file_bytes);
  for (size_t i = 0; i < headers; ++i) {
    GElf_Phdr header;
    if (!gelf_getphdr(elf, static_cast<int>(i), &header)) {
      *error = std::string("program header ") + std::to_string(i) + ": " + elf_errmsg(-1);
      return false;
    }
    if (header.p_type != PT_LOAD || header.p_memsz == 0) continue;
    if (header.p_offset > file_bytes || header.p_filesz > file_bytes - header.p_offset ||
        header.p_filesz > header.p_memsz) {
      *error = "segment " + std::to_string(i) + " lies outside the file: it is truncated";
      return false;
    }
    const auto* data = reinterpret_cast<const uint8_t*>(file) + header.p_offset;
    image->segments.push_back(
        {NameOf(header), header.p_paddr, header.p_memsz, std::vector<uint8_t>(data, data + header.p_filesz)});
  }
  if (image->segments.empty()) *error = "it has nothing to load";
  return !image->segments.empty();
}

}  // namespace

bool ReadElf(const std::string& path, ElfImage* image, std::string* error) {
  OpenElf open_elf;
  elf_version(EV_CURRENT);
  open_elf.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (open_elf.fd < 0) {
    *error = std::strerror(errno);
    return false;
  }
  open_elf.elf = elf_begin(open_elf.fd, ELF_C_READ, nullptr);
  GElf_Ehdr header;
  if (!open_elf.elf || elf_kind(open_elf.elf) != ELF_K_ELF || !gelf_getehdr(open_elf.elf, &header)) {
    *error = "not an ELF file";
    return false;
  }
  if (header.e_machine != EM_RISCV || header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_type != ET_EXEC) {
    *error = "not a linked RISC-V 64-bit executable";
    return false;
  }
  size_t headers = 0;
  if (elf_getphdrnum(open_elf.elf, &headers) != 0) {
    *error = elf_errmsg(-1);
    return false;
  }
  image->entry = header.e_entry;
  return ReadSegments(open_elf.elf, headers, image, error);
}
