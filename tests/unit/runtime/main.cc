// SPDX-License-Identifier: Apache-2.0
//
// test-runtime [--backend sim|drm]: libnpu through its public interface.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "rig.hpp"

void ExpectMessage(const char* text) {
  if (!std::strstr(npuGetLastErrorMessage(), text)) {
    fail_msg("\"%s\" does not say \"%s\"", npuGetLastErrorMessage(), text);
  }
}

std::string KernelFile(const std::string& name) {
  std::filesystem::path bin = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  return (bin.parent_path() / "tests" / "runtime" / (name + ".elf")).string();
}

Gate::Gate(const Kernels& kernels) : hold_(kernels["hold"]) {
  word_[0] = 0;
  void* pointer = nullptr;
  OK(npuHostGetDevicePointer(&pointer, word_.data()));
  device_word_ = static_cast<int32_t*>(pointer);
}

void Gate::Hold(npuStream_t stream) {
  std::atomic_ref<int32_t>(word_[0]).store(0);
  npu::Launch(hold_, {1, 1, 1}, HoldArgs{device_word_}, stream);
}

void Gate::Open() {
  std::atomic_ref<int32_t>(word_[0]).store(1);
}

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    if (std::strcmp(argv[i], "--backend") == 0 && i + 1 < argc) {
      if (npuSetBackend(argv[++i]) != npuSuccess) {
        std::fprintf(stderr, "%s\n", npuGetLastErrorMessage());
        return 2;
      }
    } else {
      std::fprintf(stderr, "usage: %s [--backend sim|drm]\n", argv[0]);
      return 2;
    }
  }
  int failed = _cmocka_run_group_tests("memory", memory_tests, memory_test_count, nullptr, nullptr);
  failed += _cmocka_run_group_tests("copies", copy_tests, copy_test_count, nullptr, nullptr);
  failed += _cmocka_run_group_tests("modules", module_tests, module_test_count, nullptr, nullptr);
  failed += _cmocka_run_group_tests("launches", launch_tests, launch_test_count, nullptr, nullptr);
  failed += _cmocka_run_group_tests("streams", stream_tests, stream_test_count, nullptr, nullptr);
  failed += _cmocka_run_group_tests("faults", fault_tests, fault_test_count, nullptr, nullptr);
  return failed ? 1 : 0;
}
