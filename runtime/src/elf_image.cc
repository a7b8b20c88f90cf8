// SPDX-License-Identifier: Apache-2.0
#include "elf_image.hpp"

#include <elf.h>
#include <libelf.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>

#include "elf_attributes.hpp"
#include "npu_mmu.h"

namespace npu::rt {
namespace {

constexpr uint64_t kMaxBytes = 64ull << 20;
constexpr const char* kHowTo =
    "build kernels with riscv64-unknown-elf-g++ -march=rv64imafc_zicsr_zifencei -mabi=lp64f -mcmodel=medany -mno-relax "
    "-nostdlib -Wl,--emit-relocs -Wl,--no-relax";

// Headers of a damaged file may lie anywhere, so they are copied out.
template <class T>
T Load(const void* table, size_t index = 0) {
  T value;
  std::memcpy(&value, static_cast<const char*>(table) + index * sizeof(T), sizeof(T));
  return value;
}

bool SectionHeader(Elf_Scn* section, Elf64_Shdr* out) {
  const void* header = section ? elf64_getshdr(section) : nullptr;
  if (header) *out = Load<Elf64_Shdr>(header);
  return header != nullptr;
}

class Parser {
 public:
  Parser(const std::string& name, ElfImage& image) : name_(name), image_(image) {}

  Status Run() {
    elf_version(EV_CURRENT);
    NPU_TRY(CheckHeader());
    elf_.reset(elf_memory(reinterpret_cast<char*>(image_.file.data()), image_.file.size()));
    if (!elf_) return Bad("libelf cannot read it: {}", elf_errmsg(-1));
    NPU_TRY(ReadSegments());
    NPU_TRY(ReadSections());
    return CheckSymbols();
  }

 private:
  template <class... Args>
  Status Bad(fmt::format_string<Args...> format, Args&&... args) const {
    return Fail(npuErrorInvalidImage, "{} is no kernel file for this device: {}", name_,
                fmt::format(format, std::forward<Args>(args)...));
  }

  Status CheckHeader();
  Status CheckFlags(uint32_t flags) const;
  Status ReadSegments();
  Status CheckOverlap() const;
  Status ReadSections();
  Status ReadRelocations(Elf_Scn* section, const Elf64_Shdr& header);
  Status Relocate(uint64_t at, uint32_t type, const Elf64_Sym& symbol, int64_t addend);
  void ReadSymbols(Elf_Scn* section, const Elf64_Shdr& header);
  Status CheckSymbols();
  bool Holds(uint64_t va, uint64_t bytes) const;

  struct Close {
    void operator()(Elf* elf) const { elf_end(elf); }
  };
  const std::string& name_;
  ElfImage& image_;
  std::unique_ptr<Elf, Close> elf_;
};

Status Parser::CheckHeader() {
  const std::vector<uint8_t>& f = image_.file;
  if (f.size() < SELFMAG || std::memcmp(f.data(), ELFMAG, SELFMAG) != 0) return Bad("it is no ELF file; {}", kHowTo);
  if (f.size() < sizeof(Elf64_Ehdr)) return Bad("it is truncated: {} bytes", f.size());
  if (f[EI_CLASS] != ELFCLASS64) return Bad("it is a 32-bit ELF file, not a 64-bit one");
  if (f[EI_DATA] != ELFDATA2LSB) return Bad("it is big-endian");
  Elf64_Ehdr header;
  std::memcpy(&header, f.data(), sizeof(header));
  if (header.e_machine != EM_RISCV) {
    return Bad("it is for {} (ELF machine {}), not for RISC-V; {}", MachineName(header.e_machine), header.e_machine,
               kHowTo);
  }
  if (header.e_type == ET_REL) return Bad("it is an object file that was not linked; {}", kHowTo);
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
    return Bad("its ELF type {} is not executable", header.e_type);
  return CheckFlags(header.e_flags);
}

Status Parser::CheckFlags(uint32_t flags) const {
  if (flags & EF_RISCV_RVE) return Bad("it is built for RV64E; this device has RV64IMAFC");
  uint32_t abi = flags & EF_RISCV_FLOAT_ABI;
  if (abi != EF_RISCV_FLOAT_ABI_SOFT && abi != EF_RISCV_FLOAT_ABI_SINGLE) {
    return Bad("it passes double or quad floats in registers that this device does not have; build with -mabi=lp64f");
  }
  return {};
}

Status Parser::ReadSegments() {
  size_t count = 0;
  if (elf_getphdrnum(elf_.get(), &count) != 0) return Bad("its program headers are damaged: {}", elf_errmsg(-1));
  const void* headers = count ? elf64_getphdr(elf_.get()) : nullptr;
  if (count && !headers) return Bad("its program headers are damaged: {}", elf_errmsg(-1));
  for (size_t i = 0; i < count; i++) {
    const Elf64_Phdr h = Load<Elf64_Phdr>(headers, i);
    if (h.p_type == PT_INTERP || h.p_type == PT_TLS) return Bad("it needs a dynamic linker or thread-local storage");
    if (h.p_type != PT_LOAD || h.p_memsz == 0) continue;
    if (h.p_filesz > h.p_memsz || h.p_offset > image_.file.size() || h.p_filesz > image_.file.size() - h.p_offset) {
      return Bad("segment {} lies outside the file ({} bytes): truncated?", i, image_.file.size());
    }
    if (h.p_vaddr >= kMaxBytes || h.p_memsz > kMaxBytes - h.p_vaddr) {
      return Bad("segment {} is at {:#x}, {} bytes: link at address 0, at most {} MiB", i, h.p_vaddr, h.p_memsz,
                 kMaxBytes >> 20);
    }
    uint64_t rights = NPU_PTE_READ | (h.p_flags & PF_W ? NPU_PTE_WRITE : 0) | (h.p_flags & PF_X ? NPU_PTE_EXEC : 0);
    image_.segments.push_back({h.p_vaddr, h.p_memsz, h.p_offset, h.p_filesz, rights});
    image_.bytes = std::max(image_.bytes, h.p_vaddr + h.p_memsz);
  }
  if (image_.segments.empty()) return Bad("it has nothing to load");
  return CheckOverlap();
}

Status Parser::CheckOverlap() const {
  auto& segments = image_.segments;
  std::sort(segments.begin(), segments.end(), [](const Segment& a, const Segment& b) { return a.va < b.va; });
  for (size_t i = 1; i < segments.size(); i++) {
    const Segment &a = segments[i - 1], &b = segments[i];
    uint64_t end = a.va + a.memory_bytes;
    if (end > b.va) return Bad("its segments overlap at {:#x}", b.va);
    if (a.rights != b.rights && (end - 1) / NPU_PAGE_SIZE == b.va / NPU_PAGE_SIZE) {
      return Bad(
          "segments with different rights share the page at {:#x}: link with -Wl,-z,max-page-size=4096 and without -N",
          b.va & ~uint64_t{NPU_PAGE_SIZE - 1});
    }
  }
  return {};
}

Status Parser::ReadSections() {
  for (Elf_Scn* s = elf_nextscn(elf_.get(), nullptr); s; s = elf_nextscn(elf_.get(), s)) {
    Elf64_Shdr header;
    if (!SectionHeader(s, &header)) return Bad("a section header is damaged: {}", elf_errmsg(-1));
    if (header.sh_type == SHT_SYMTAB) ReadSymbols(s, header);
    if (header.sh_type == SHT_RISCV_ATTRIBUTES) {
      Elf_Data* data = elf_getdata(s, nullptr);
      std::string arch = data ? RiscvArch(static_cast<const uint8_t*>(data->d_buf), data->d_size) : "";
      std::string missing = MissingExtensions(arch);
      if (!missing.empty()) {
        return Bad(
            "it is built for {} and so may use \"{}\", which this device does not have; build with "
            "-march=rv64imafc_zicsr_zifencei",
            arch, missing);
      }
    }
    if (header.sh_type != SHT_RELA) continue;
    Elf64_Shdr target;
    // Debug sections are not loaded; libdw reads them as they are.
    if (!SectionHeader(elf_getscn(elf_.get(), header.sh_info), &target) || !(target.sh_flags & SHF_ALLOC)) continue;
    NPU_TRY(ReadRelocations(s, header));
  }
  return {};
}

Status Parser::ReadRelocations(Elf_Scn* section, const Elf64_Shdr& header) {
  Elf_Data* entries = elf_getdata(section, nullptr);
  Elf_Scn* table = elf_getscn(elf_.get(), header.sh_link);
  Elf64_Shdr table_header;
  bool has_table = SectionHeader(table, &table_header) && table_header.sh_type == SHT_SYMTAB;
  Elf_Data* symbols = has_table ? elf_getdata(table, nullptr) : nullptr;
  if (!entries || (entries->d_size && !symbols)) return Bad("its relocations are damaged");
  size_t symbol_count = symbols ? symbols->d_size / sizeof(Elf64_Sym) : 0;
  for (size_t i = 0; i < entries->d_size / sizeof(Elf64_Rela); i++) {
    const Elf64_Rela rela = Load<Elf64_Rela>(entries->d_buf, i);
    uint64_t index = ELF64_R_SYM(rela.r_info);
    if (index >= symbol_count) return Bad("relocation {} names symbol {}, which does not exist", i, index);
    NPU_TRY(Relocate(rela.r_offset, static_cast<uint32_t>(ELF64_R_TYPE(rela.r_info)),
                     Load<Elf64_Sym>(symbols->d_buf, index), rela.r_addend));
  }
  return {};
}

bool Parser::Holds(uint64_t va, uint64_t bytes) const {
  return std::any_of(image_.segments.begin(), image_.segments.end(), [&](const Segment& s) {
    return va >= s.va && va - s.va <= s.file_bytes && bytes <= s.file_bytes - (va - s.va);
  });
}

// Everything relative to the pc is position independent.  Absolute words get the load address; what cannot hold a
// device pointer is refused.
Status Parser::Relocate(uint64_t at, uint32_t type, const Elf64_Sym& symbol, int64_t addend) {
  bool fixed = symbol.st_shndx == SHN_ABS || symbol.st_shndx == SHN_UNDEF;  // not moved by loading
  switch (type) {
    case R_RISCV_64:
      if (fixed) return {};
      if (!Holds(at, 8)) return Bad("a relocation at {:#x} lies outside what is loaded", at);
      image_.relocations.push_back({at, symbol.st_value + static_cast<uint64_t>(addend)});
      return {};
    case R_RISCV_HI20:
    case R_RISCV_LO12_I:
    case R_RISCV_LO12_S:
    case R_RISCV_32:
    case R_RISCV_RVC_LUI:
      if (fixed) return {};
      return Bad("the code or data at {:#x} holds an absolute 32-bit address; {}", at, kHowTo);
    case R_RISCV_GPREL_I:
    case R_RISCV_GPREL_S:
      return Bad("the linker relaxed the access at {:#x} to the global pointer, which kernels do not have; {}", at,
                 kHowTo);
    default:
      return {};
  }
}

void Parser::ReadSymbols(Elf_Scn* section, const Elf64_Shdr& header) {
  Elf_Data* data = elf_getdata(section, nullptr);
  if (!data) return;
  for (size_t i = 0; i < data->d_size / sizeof(Elf64_Sym); i++) {
    const Elf64_Sym s = Load<Elf64_Sym>(data->d_buf, i);
    unsigned type = ELF64_ST_TYPE(s.st_info), bind = ELF64_ST_BIND(s.st_info);
    if (s.st_shndx == SHN_UNDEF || s.st_shndx >= SHN_LORESERVE) continue;
    if (type != STT_FUNC && type != STT_OBJECT && type != STT_NOTYPE) continue;
    const char* name = elf_strptr(elf_.get(), header.sh_link, s.st_name);
    if (!name || !*name || s.st_value >= image_.bytes) continue;
    if (type == STT_NOTYPE && bind == STB_LOCAL) continue;  // labels and mapping symbols
    image_.symbols.push_back({name, s.st_value, s.st_size, type == STT_FUNC, bind != STB_LOCAL});
  }
}

Status Parser::CheckSymbols() {
  auto& symbols = image_.symbols;
  if (symbols.empty()) return Bad("it has no symbol table: do not strip it");
  std::stable_sort(symbols.begin(), symbols.end(), [](const Symbol& a, const Symbol& b) { return a.va < b.va; });
  for (size_t i = 0; i < symbols.size(); i++) {
    if (symbols[i].global) image_.globals.emplace(symbols[i].name, i);
  }
  return {};
}

}  // namespace

Status ParseElf(std::vector<uint8_t> file, const std::string& name, ElfImage* out) {
  ElfImage image;
  image.file = std::move(file);
  NPU_TRY(Parser(name, image).Run());
  *out = std::move(image);
  return {};
}

}  // namespace npu::rt
