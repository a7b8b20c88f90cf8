// SPDX-License-Identifier: Apache-2.0
#include "debug_lines.hpp"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <cstdlib>
#include <memory>
#include <string_view>

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

// Functions of the device header are instructions in the clothes of functions.
bool Intrinsic(Dwarf_Die* function) {
  const char* file = dwarf_decl_file(function);
  return file && std::string_view(file).ends_with("/npu_device.h");
}

bool Number(Dwarf_Die* die, unsigned name, Dwarf_Word* value) {
  Dwarf_Attribute attribute;
  return dwarf_attr(die, name, &attribute) && dwarf_formudata(&attribute, value) == 0;
}

// Where an inlined function was called.
void CallSite(Dwarf_Die* unit, Dwarf_Die* inlined, SourceLine* out) {
  Dwarf_Word file = 0, line = 0;
  Dwarf_Files* files;
  size_t count;
  if (!Number(inlined, DW_AT_call_file, &file) || !Number(inlined, DW_AT_call_line, &line)) return;
  if (dwarf_getsrcfiles(unit, &files, &count) != 0 || file >= count) return;
  if (const char* name = dwarf_filesrc(files, file, nullptr, nullptr)) out->file = name;
  out->line = static_cast<uint32_t>(line);
}

// The function at the address.  An intrinsic stands for the line that calls it, and for the function around it.
void FindFunction(Dwarf_Die* unit, uint64_t address, SourceLine* out) {
  // dwarf_getscopes goes on from an inlined function to where it is defined; what is wanted is where it was put.
  Dwarf_Die* innermost = nullptr;
  Dwarf_Die* scopes = nullptr;
  int count = dwarf_getscopes(unit, address, &innermost);
  if (count > 0) count = dwarf_getscopes_die(&innermost[0], &scopes);
  for (int i = 0; i < count && out->function.empty(); i++) {
    int tag = dwarf_tag(&scopes[i]);
    if (tag != DW_TAG_subprogram && tag != DW_TAG_inlined_subroutine) continue;
    if (tag == DW_TAG_inlined_subroutine && Intrinsic(&scopes[i])) {
      CallSite(unit, &scopes[i], out);
    } else if (const char* text = dwarf_diename(&scopes[i])) {
      out->function = text;
    }
  }
  std::free(scopes);
  std::free(innermost);
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
  if (Dwarf_Line* line = dwarf_getsrc_die(&unit, address)) {
    const char* file = dwarf_linesrc(line, nullptr, nullptr);
    int number = 0;
    if (file) result.file = file;
    if (dwarf_lineno(line, &number) == 0 && number > 0) result.line = static_cast<uint32_t>(number);
  }
  FindFunction(&unit, address, &result);
  return result;
}

}  // namespace npu::rt
