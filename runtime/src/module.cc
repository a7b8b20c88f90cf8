// SPDX-License-Identifier: Apache-2.0
#include "module.hpp"

#include <algorithm>
#include <cstring>

namespace npu::rt {
namespace {

uint64_t PageDown(uint64_t value) {
  return value & ~uint64_t{NPU_PAGE_SIZE - 1};
}
uint64_t PageUp(uint64_t value) {
  return PageDown(value + NPU_PAGE_SIZE - 1);
}

}  // namespace

Status Module::Load(std::shared_ptr<Context> context, std::vector<uint8_t> file, const std::string& name,
                    std::shared_ptr<Module>* out) {
  std::shared_ptr<Module> module(new Module(std::move(context), name));
  auto image = std::make_shared<ElfImage>();
  NPU_TRY(ParseElf(std::move(file), name, image.get()));
  module->image_ = std::move(image);
  NPU_TRY(module->Place());
  *out = std::move(module);
  return {};
}

Module::~Module() {
  Unload();
}

Status Module::Place() {
  uint64_t bytes = PageUp(image_->bytes);
  auto buffer = context_->device().CreateBuffer(bytes, hal::Memory::kDevice);
  if (!buffer) return FromHal(buffer.error(), "no device memory for module " + name_);
  buffer_ = std::move(*buffer);
  NPU_TRY(context_->va().Allocate(bytes, NPU_PAGE_SIZE, &va_));
  constexpr uint32_t rights = NPU_BOUNDS_READ | NPU_BOUNDS_WRITE | NPU_BOUNDS_EXEC | NPU_BOUNDS_ATOMIC;
  NPU_TRY(context_->memory().Register(va_, image_->bytes, rights, Owner::kModule, nullptr, "module " + name_,
                                      &allocation_));
  base_ = allocation_->pointer();
  allocation_->module = weak_from_this();
  Fill();
  return Map();
}

// Copies the segments and gives absolute words their device pointers.
void Module::Fill() {
  char* memory = static_cast<char*>(buffer_->map());
  for (const Segment& s : image_->segments) {
    // Built aside, as device memory may be slow to read.
    std::vector<uint8_t> bytes(s.memory_bytes);
    std::copy_n(image_->file.begin() + static_cast<std::ptrdiff_t>(s.file_offset), s.file_bytes, bytes.begin());
    for (const Relocation& r : image_->relocations) {
      if (r.at < s.va || r.at - s.va >= s.file_bytes) continue;
      uint64_t value = base_ + r.target;
      std::memcpy(&bytes[r.at - s.va], &value, sizeof(value));
    }
    std::memcpy(memory + s.va, bytes.data(), bytes.size());
  }
}

// Pages with the rights of their segment; neighbours in one page have the same (elf_image.cc).
Status Module::Map() {
  uint64_t done = 0;
  for (const Segment& s : image_->segments) {
    uint64_t start = std::max(PageDown(s.va), done), end = PageUp(s.va + s.memory_bytes);
    if (start >= end) continue;
    hal::Error e = context_->device().Bind(*buffer_, start, va_ + start, end - start, s.rights);
    if (e) return FromHal(e, "cannot map module " + name_);
    mapped_.emplace_back(va_ + start, end - start);
    done = end;
  }
  return {};
}

void Module::Unload() {
  if (allocation_) context_->memory().Release(allocation_);
  allocation_.reset();
  bool unmapped = true;
  for (auto [va, bytes] : mapped_) {
    if (context_->device().Unbind(va, bytes)) unmapped = false;
  }
  mapped_.clear();
  // Memory that the device may still see is not given to anybody else.
  if (!unmapped) {
    (void)buffer_.release();
  } else if (va_) {
    context_->va().Free(va_, PageUp(image_->bytes));
  }
  buffer_.reset();
  va_ = 0;
}

Status Module::Entry(const std::string& symbol, uint64_t* entry) const {
  auto it = image_->globals.find(symbol);
  if (it == image_->globals.end()) {
    std::string have;
    for (const Symbol& s : image_->symbols) {
      if (s.function && s.global && have.size() < 200) have += (have.empty() ? "" : ", ") + s.name;
    }
    return Fail(npuErrorSymbolNotFound,
                "module {} has no symbol \"{}\"; its global functions are: {} (declare kernels "
                "extern \"C\")",
                name_, symbol, have.empty() ? "none" : have);
  }
  const Symbol& s = image_->symbols[it->second];
  bool code = std::any_of(image_->segments.begin(), image_->segments.end(), [&](const Segment& seg) {
    return (seg.rights & NPU_PTE_EXEC) && s.va >= seg.va && s.va - seg.va < seg.memory_bytes;
  });
  if (!code) return Fail(npuErrorSymbolNotFound, "symbol \"{}\" of module {} is data, not a function", symbol, name_);
  *entry = base_ + s.va;
  return {};
}

Status Module::Global(const std::string& symbol, uint64_t* pointer, uint64_t* bytes) const {
  auto it = image_->globals.find(symbol);
  if (it == image_->globals.end() || image_->symbols[it->second].function) {
    return Fail(npuErrorSymbolNotFound, "module {} has no global variable \"{}\"", name_, symbol);
  }
  *pointer = base_ + image_->symbols[it->second].va;
  *bytes = image_->symbols[it->second].bytes;
  return {};
}

std::string Module::SymbolAt(uint64_t offset) const {
  const Symbol* best = nullptr;
  for (const Symbol& s : image_->symbols) {
    if (s.va > offset) break;
    if (s.function && (s.bytes == 0 || offset - s.va < s.bytes)) best = &s;
  }
  return best ? best->name : "";
}

}  // namespace npu::rt
