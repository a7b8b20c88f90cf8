// SPDX-License-Identifier: Apache-2.0
//
// npu-fwpack: makes a firmware package from an ELF, or shows one and verifies it as the boot ROM does.
#include <getopt.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "mgmt/package.h"
#include "write_package.h"

namespace {

constexpr char kUsage[] =
    "usage: npu-fwpack --elf FILE --output FILE --version MAJOR.MINOR.PATCH [--build TEXT]\n"
    "       npu-fwpack --show FILE\n"
    "Makes a firmware package (.npufw) for the management core, or shows what one holds and verifies it.\n"
    "Exit status: 0 done, or the package is good; 1 not; 2 wrong arguments.\n";

int Fail(const std::string& object, const std::string& cause) {
  std::fprintf(stderr, "npu-fwpack: %s: %s\n", object.c_str(), cause.c_str());
  return 1;
}

std::string Text(const npu::model::Sha256Digest& digest) {
  std::string text;
  for (uint8_t byte : digest) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", byte);
    text += pair;
  }
  return text;
}

int Show(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Fail(path, "cannot be read");
  const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  npu::model::Package package;
  const auto refused = npu::model::ReadPackage(bytes, &package);
  std::printf("package   %s, %zu bytes\n", path.c_str(), bytes.size());
  std::printf("version   %u.%u.%u\n", package.version[0], package.version[1], package.version[2]);
  std::printf("contract  %u.%u\n", package.contract >> 16, package.contract & 0xffff);
  std::printf("build     %s\n", package.build.c_str());
  std::printf("entry     %#llx\n", static_cast<unsigned long long>(package.entry));
  std::printf("sha256    %s\n", Text(package.digest).c_str());
  for (const auto& section : package.sections)
    std::printf("section   %-16s load %#llx, %zu bytes, %u in memory, sha256 %s\n", section.name.c_str(),
                static_cast<unsigned long long>(section.load), section.data.size(), section.memsize,
                Text(section.digest).c_str());
  if (refused) {
    std::printf("verdict   refused, error %u, info %u\n", refused.code, refused.info);
    return Fail(path, refused.message + "; build or copy the package again");
  }
  std::printf("verdict   good\n");
  return 0;
}

int Make(const std::string& elf, const std::string& output, const PackageInfo& info) {
  ElfImage image;
  std::vector<uint8_t> bytes;
  std::string error;
  if (!ReadElf(elf, &image, &error)) return Fail(elf, error);
  if (!MakePackage(image, info, &bytes, &error)) return Fail(elf, error);
  if (!WriteFile(output, bytes, &error)) return Fail(output, error);
  return 0;
}

bool ParseVersion(const char* text, uint32_t* version) {
  char rest = 0;
  return std::sscanf(text, "%u.%u.%u%c", &version[0], &version[1], &version[2], &rest) == 3 && version[0] < 256 &&
         version[1] < 256 && version[2] < 65536;
}

}  // namespace

int main(int argc, char** argv) {
  static const option kOptions[] = {{"elf", required_argument, nullptr, 'e'},
                                    {"output", required_argument, nullptr, 'o'},
                                    {"version", required_argument, nullptr, 'v'},
                                    {"build", required_argument, nullptr, 'b'},
                                    {"show", required_argument, nullptr, 's'},
                                    {"help", no_argument, nullptr, 'h'},
                                    {nullptr, 0, nullptr, 0}};
  std::string elf, output, show;
  PackageInfo info;
  bool has_version = false;
  for (int c; (c = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    switch (c) {
      case 'e':
        elf = optarg;
        break;
      case 'o':
        output = optarg;
        break;
      case 'b':
        info.build = optarg;
        break;
      case 's':
        show = optarg;
        break;
      case 'v':
        has_version = ParseVersion(optarg, info.version);
        if (has_version) break;
        std::fprintf(stderr, "npu-fwpack: --version %s: not MAJOR.MINOR.PATCH within 255.255.65535\n", optarg);
        return 2;
      case 'h':
        std::fputs(kUsage, stdout);
        return 0;
      default:
        std::fputs(kUsage, stderr);
        return 2;
    }
  }
  const bool making = !elf.empty() && !output.empty() && has_version && show.empty();
  const bool showing = !show.empty() && elf.empty() && output.empty();
  if (optind != argc || (!making && !showing)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  return showing ? Show(show) : Make(elf, output, info);
}
