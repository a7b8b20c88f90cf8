// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <iterator>

#include "rig.hpp"

static std::vector<char> Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::vector<char>(std::istreambuf_iterator<char>(file), {});
}

static void refuses_other_files(void**) {
  npuModule_t module = nullptr;
  EXPECT(npuErrorFileNotFound, npuModuleLoad(&module, "/nonexistent/kernel.elf"));
  ExpectMessage("/nonexistent/kernel.elf");
  EXPECT(npuErrorFileNotFound, npuModuleLoad(&module, "/tmp"));
  EXPECT(npuErrorInvalidValue, npuModuleLoad(&module, nullptr));
  EXPECT(npuErrorInvalidImage, npuModuleLoadData(&module, "hello, world", 12, "note.txt"));
  ExpectMessage("note.txt");
  ExpectMessage("no ELF file");
  // This test program is an ELF file of the wrong processor.
  std::vector<char> self = Read("/proc/self/exe");
  EXPECT(npuErrorInvalidImage, npuModuleLoadData(&module, self.data(), self.size(), "test-runtime"));
  ExpectMessage("not for RISC-V");
}

static void refuses_other_processors(void**) {
  npuModule_t module = nullptr;
  EXPECT(npuErrorInvalidImage, npuModuleLoad(&module, KernelFile("double-float").c_str()));
  ExpectMessage("-mabi=lp64f");
  EXPECT(npuErrorInvalidImage, npuModuleLoad(&module, KernelFile("double-isa").c_str()));
  ExpectMessage("\"d\"");
}

static void refuses_wrong_links(void**) {
  npuModule_t module = nullptr;
  EXPECT(npuErrorInvalidImage, npuModuleLoad(&module, KernelFile("relaxed").c_str()));
  ExpectMessage("--no-relax");
  EXPECT(npuErrorInvalidImage, npuModuleLoad(&module, KernelFile("far").c_str()));
  ExpectMessage("link at address 0");
  EXPECT(npuErrorInvalidImage, npuModuleLoad(&module, KernelFile("one-page").c_str()));
  ExpectMessage("share the page");
  EXPECT(npuErrorInvalidImage, npuModuleLoad(&module, KernelFile("stripped").c_str()));
  ExpectMessage("strip");
}

// Cut or changed anywhere, a file is refused or loaded, but nothing worse.
static void survives_damaged_files(void**) {
  std::vector<char> good = Read(KernelFile("kernels"));
  assert_true(good.size() > 1000);
  npuModule_t module = nullptr;
  for (size_t cut = 0; cut < good.size(); cut += 97) {
    if (npuModuleLoadData(&module, good.data(), cut, "cut") == npuSuccess) OK(npuModuleUnload(module));
  }
  uint32_t x = 1;
  for (int i = 0; i < 300; i++) {
    std::vector<char> bad = good;
    for (int k = 0; k < 4; k++) {
      x = x * 1664525u + 1013904223u;
      bad[x % (i % 2 ? 256 : bad.size())] ^= static_cast<char>(x >> 24);
    }
    if (npuModuleLoadData(&module, bad.data(), bad.size(), "changed") == npuSuccess) OK(npuModuleUnload(module));
  }
  OK(npuModuleLoadData(&module, good.data(), good.size(), "good"));
  OK(npuModuleUnload(module));
}

static void symbols(void**) {
  Kernels kernels;
  npuFunction_t function = nullptr;
  OK(npuModuleGetFunction(&function, kernels.module.get(), "add"));
  EXPECT(npuErrorSymbolNotFound, npuModuleGetFunction(&function, kernels.module.get(), "subtract"));
  ExpectMessage("subtract");
  ExpectMessage("add");
  EXPECT(npuErrorSymbolNotFound, npuModuleGetFunction(&function, kernels.module.get(), "module_counter"));
  void* global = nullptr;
  size_t bytes = 0;
  OK(npuModuleGetGlobal(&global, &bytes, kernels.module.get(), "module_counter"));
  assert_int_equal(bytes, 4);
  int32_t value = 0;
  OK(npuMemcpy(&value, global, 4, npuMemcpyDeviceToHost));
  assert_int_equal(value, 5);
  EXPECT(npuErrorSymbolNotFound, npuModuleGetGlobal(&global, &bytes, kernels.module.get(), "add"));
}

static void globals_and_relocations(void**) {
  Kernels kernels;
  npu::Buffer<int32_t> out(1);
  PokeArgs args{out.data(), 0, 0};
  npu::Launch(kernels["constant"], {1, 1, 1}, args, nullptr);
  OK(npuStreamSynchronize(nullptr));
  assert_int_equal(out.Download()[0], 30 + 5);
  void* global = nullptr;
  OK(npuModuleGetGlobal(&global, nullptr, kernels.module.get(), "module_counter"));
  int32_t more = 100;
  OK(npuMemcpy(global, &more, 4, npuMemcpyHostToDevice));
  npu::Launch(kernels["constant"], {1, 1, 1}, args, nullptr);
  OK(npuStreamSynchronize(nullptr));
  assert_int_equal(out.Download()[0], 130);
}

static void unloading(void**) {
  npuModule_t module = nullptr;
  npuFunction_t function = nullptr;
  OK(npuModuleLoad(&module, KernelFile("kernels").c_str()));
  OK(npuModuleGetFunction(&function, module, "nothing"));
  OK(npuLaunchKernel(function, {1, 1, 1}, nullptr, 0, nullptr));
  OK(npuModuleUnload(module));
  OK(npuStreamSynchronize(nullptr));
  EXPECT(npuErrorInvalidHandle, npuModuleUnload(module));
  EXPECT(npuErrorInvalidHandle, npuModuleGetFunction(&function, module, "nothing"));
  EXPECT(npuErrorInvalidHandle, npuLaunchKernel(function, {1, 1, 1}, nullptr, 0, nullptr));
}

const CMUnitTest module_tests[] = {
    cmocka_unit_test(refuses_other_files),
    cmocka_unit_test(refuses_other_processors),
    cmocka_unit_test(refuses_wrong_links),
    cmocka_unit_test(survives_damaged_files),
    cmocka_unit_test(symbols),
    cmocka_unit_test(globals_and_relocations),
    cmocka_unit_test(unloading),
};
const size_t module_test_count = sizeof(module_tests) / sizeof(module_tests[0]);
