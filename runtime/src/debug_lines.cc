// SPDX-License-Identifier: Apache-2.0
#include "debug_lines.hpp"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <cstdlib>
#include <memory>

namespace npu::rt {
namespace {

// The compilation unit that covers an address.  A file without .debug_aranges is searched unit by unit.
bool FindUnit(Dwarf* dwarf, uint64_t address, Dwarf_Die* out) {
  if (dwarf_addrdie(dwarf, address, out)) return true;
  Dwarf_Off offset = 0, next;
  size_t header;
  while (dwarf_nextcu(dwarf, offset, &next, &header, nullptr, nullptr, nullptr) == 0) {
    if (dwarf_offdie(dwarf, offset + header, out) && dwarf_haspc(out, address) > 0) return true;
    offset = next;
  }
  return false;
}

std::string FunctionName(Dwarf_Die* unit, uint64_t address) {
  Dwarf_Die* scopes = nullptr;
  int count = dwarf_getscopes(unit, address, &scopes);
  std::string name;
  for (int i = 0; i < count && name.empty(); i++) {
    int tag = dwarf_tag(&scopes[i]);
    if (tag != DW_TAG_subprogram && tag != DW_TAG_inlined_subroutine) continue;
    const char* text = dwarf_diename(&scopes[i]);
    if (text) name = text;
  }
  std::free(scopes);
  return name;
}

}  // namespace

SourceLine LookUpLine(const std::vector<uint8_t>& elf_file, uint64_t address) {
  SourceLine result;
  elf_version(EV_CURRENT);
  // libelf does not write to the bytes when it only reads.
  auto* bytes = const_cast<char*>(reinterpret_cast<const char*>(elf_file.data()));
  std::unique_ptr<Elf, int (*)(Elf*)> elf(elf_memory(bytes, elf_file.size()), elf_end);
  if (!elf) return result;
  std::unique_ptr<Dwarf, int (*)(Dwarf*)> dwarf(dwarf_begin_elf(elf.get(), DWARF_C_READ, nullptr), dwarf_end);
  Dwarf_Die unit;
  if (!dwarf || !FindUnit(dwarf.get(), address, &unit)) return result;
  result.function = FunctionName(&unit, address);
  if (Dwarf_Line* line = dwarf_getsrc_die(&unit, address)) {
    const char* file = dwarf_linesrc(line, nullptr, nullptr);
    int number = 0;
    if (file) result.file = file;
    if (dwarf_lineno(line, &number) == 0 && number > 0) result.line = static_cast<uint32_t>(number);
  }
  return result;
}

}  // namespace npu::rt
