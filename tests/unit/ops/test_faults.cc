// SPDX-License-Identifier: Apache-2.0
// The demonstration's faulty operators are stopped and reported; device code that is missing is named.
#include <cstdlib>

#include "npu_op_args.h"
#include "support.h"

namespace {

constexpr uint32_t kCount = 1024;

npuFunction_t Kernel(npuModule_t* module, const char* name) {
  char path[512];
  CHECK_OPS(npuOpsGetModulePath("demo_faults", path, sizeof path));
  CHECK_NPU(npuModuleLoad(module, path));
  npuFunction_t function;
  CHECK_NPU(npuModuleGetFunction(&function, *module, name));
  return function;
}

void Stopped(const char* kernel, const char* pipe, bool partly_written) {
  npuModule_t module;
  npuFunction_t function = Kernel(&module, kernel);
  npuStream_t bad, good;
  CHECK_NPU(npuStreamCreate(&bad));
  CHECK_NPU(npuStreamCreate(&good));
  CHECK_NPU(npuClearFaults());
  const auto x = Random(kCount, 9);
  const Tensor<float> dx(x), dy(kCount), other(Random(4096, 10)), result(4096);
  CHECK_NPU(npuSetBufferName(dy.get(), "result"));
  const auto before = dy.read();
  const NpuDemoFaultArgs args = {reinterpret_cast<uint64_t>(dx.get()), reinterpret_cast<uint64_t>(dy.get()), kCount,
                                 2.0f};
  CHECK_NPU(npuLaunchKernel(function, {1, 1, 1}, &args, sizeof args, bad));
  assert_int_equal(npuStreamSynchronize(bad), npuErrorMemoryFault);
  npuFault fault;
  CHECK_NPU(npuGetFault(0, &fault));
  assert_string_equal(fault.kernel, kernel);
  assert_string_equal(fault.pipe, pipe);
  assert_string_equal(fault.access, "write");
  assert_string_equal(fault.buffer.name, "result");
  assert_int_equal(fault.buffer.distance, 0);
  assert_int_equal(fault.badBytes, 4);
  assert_non_null(std::strstr(fault.file, "demo_faults.cc"));
  assert_true(fault.line > 0);
  // The scalar stores before the bad one have happened; the DMA is refused whole.
  const auto after = dy.read();
  for (size_t i = 0; i < kCount; ++i) {
    const float want = partly_written ? x[i] * 2.0f : before[i];
    assert_memory_equal(&after[i], &want, sizeof want);
  }
  CHECK_OPS(npuOpsUnary(npuOpsUnaryAbs, 4096, other.get(), result.get(), good));
  CHECK_NPU(npuStreamSynchronize(good));
  CHECK_NPU(npuStreamReset(bad));
  CHECK_OPS(npuOpsUnary(npuOpsUnaryAbs, 4096, other.get(), result.get(), bad));
  CHECK_NPU(npuStreamSynchronize(bad));
  CHECK_NPU(npuStreamDestroy(bad));
  CHECK_NPU(npuStreamDestroy(good));
  CHECK_NPU(npuModuleUnload(module));
}

void Scalar(void**) {
  Stopped("scale_off_by_one", "scalar", true);
}
void Pipe(void**) {
  Stopped("copy_off_by_one", "dma-out", false);
}

void MissingModule(void**) {
  char path[512];
  CHECK_REFUSED(npuOpsGetModulePath("no_such_family", path, sizeof path), npuErrorFileNotFound, "no_such_family.elf");
  CHECK_REFUSED(npuOpsGetModulePath("../conv2d", path, sizeof path), npuErrorInvalidValue, "without folders");
  CHECK_REFUSED(npuOpsGetModulePath("conv2d", path, 4), npuErrorInvalidValue, "room for 4");
  assert_int_equal(setenv("NPU_OPS_DIR", "/nowhere", 1), 0);
  const Tensor<float> t(16);
  CHECK_REFUSED(npuOpsArgmax(4, 4, t.get(), t.get(), nullptr), npuErrorFileNotFound, "/nowhere/softmax.elf");
  assert_int_equal(unsetenv("NPU_OPS_DIR"), 0);
}

// npuDeviceReset ends all modules; the operators load theirs again.
void AfterReset(void**) {
  {
    const Tensor<float> x(Random(100, 1)), y(100);
    CHECK_OPS(npuOpsUnary(npuOpsUnaryRelu, 100, x.get(), y.get(), nullptr));
    CHECK_NPU(npuStreamSynchronize(nullptr));
  }
  CHECK_NPU(npuDeviceReset());
  const Tensor<float> x(Random(100, 1)), y(100);
  CHECK_OPS(npuOpsUnary(npuOpsUnaryRelu, 100, x.get(), y.get(), nullptr));
  CHECK_NPU(npuStreamSynchronize(nullptr));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(MissingModule), cmocka_unit_test(Scalar), cmocka_unit_test(Pipe),
                              cmocka_unit_test(AfterReset)};
  return cmocka_run_group_tests_name("ops.faults", tests, nullptr, nullptr);
}
