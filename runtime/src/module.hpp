// SPDX-License-Identifier: Apache-2.0
//
// Kernel files in device memory.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "context.hpp"
#include "debug_lines.hpp"
#include "elf_image.hpp"

namespace npu::rt {

class Module : public std::enable_shared_from_this<Module> {
 public:
  static Status Load(std::shared_ptr<Context> context, std::vector<uint8_t> file, const std::string& name,
                     std::shared_ptr<Module>* out);
  ~Module();
  // Takes the image off the device; its work must have ended.
  void Unload();

  // Tagged entry of a global function; SymbolNotFound.
  Status Entry(const std::string& symbol, uint64_t* entry) const;
  Status Global(const std::string& symbol, uint64_t* pointer, uint64_t* bytes) const;
  // The function that covers an offset in the image, "" if none.
  std::string SymbolAt(uint64_t offset) const;
  const std::shared_ptr<const ElfImage>& image() const { return image_; }

  const std::string& name() const { return name_; }
  Context& context() const { return *context_; }

 private:
  Module(std::shared_ptr<Context> context, std::string name) : context_(std::move(context)), name_(std::move(name)) {}
  Status Place();
  void Fill();
  Status Map();

  std::shared_ptr<Context> context_;
  const std::string name_;
  std::shared_ptr<const ElfImage> image_;
  std::unique_ptr<hal::Buffer> buffer_;
  uint64_t va_ = 0;                                    // 0: no addresses yet
  std::vector<std::pair<uint64_t, uint64_t>> mapped_;  // va, bytes
  AllocationRef allocation_;
  uint64_t base_ = 0;  // tagged pointer to address 0 of the image; stale after Unload
};

struct Function {
  std::shared_ptr<Module> module;
  std::string name;
  uint64_t entry;
};

}  // namespace npu::rt
