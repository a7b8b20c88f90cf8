// SPDX-License-Identifier: Apache-2.0
#include "support.h"

namespace {

const size_t kCounts[] = {1, 2, 63, 64, 65, 1023, 1025, 16384, 50000, 200001};

float Binary(npuOpsBinaryOp op, float a, float b) {
  switch (op) {
    case npuOpsBinaryAdd:
      return a + b;
    case npuOpsBinarySub:
      return a - b;
    case npuOpsBinaryMul:
      return a * b;
    case npuOpsBinaryDiv:
      return a / b;
    case npuOpsBinaryMax:
      return std::max(a, b);
    case npuOpsBinaryMin:
      return std::min(a, b);
  }
  return 0;
}

void BinaryOps(void**) {
  for (int op = npuOpsBinaryAdd; op <= npuOpsBinaryMin; ++op) {
    for (size_t count : kCounts) {
      const auto a = Random(count, 1), b = Random(count, 2, 0.5f, 3.0f);
      std::vector<float> want(count);
      for (size_t i = 0; i < count; ++i) want[i] = Binary(static_cast<npuOpsBinaryOp>(op), a[i], b[i]);
      const Tensor<float> da(a), db(b), dy(count);
      CHECK_OPS(npuOpsBinary(static_cast<npuOpsBinaryOp>(op), count, da.get(), db.get(), dy.get(), nullptr));
      assert_true(SameBits(dy.read(), want, "binary " + std::to_string(op)));
    }
  }
}

// The result over one of the inputs.
void InPlace(void**) {
  const auto a = Random(30000, 1), b = Random(30000, 2);
  std::vector<float> want(a.size());
  for (size_t i = 0; i < a.size(); ++i) want[i] = a[i] + b[i];
  const Tensor<float> da(a), db(b);
  CHECK_OPS(npuOpsBinary(npuOpsBinaryAdd, a.size(), da.get(), db.get(), db.get(), nullptr));
  assert_true(SameBits(db.read(), want, "add in place"));
}

void UnaryOps(void**) {
  for (size_t count : kCounts) {
    const auto x = Random(count, 3, -5.0f, 5.0f);
    const Tensor<float> dx(x), dy(count);
    auto check = [&](npuOpsUnaryOp op, auto function, double error) {
      std::vector<float> want(count);
      for (size_t i = 0; i < count; ++i) want[i] = static_cast<float>(function(static_cast<double>(x[i])));
      CHECK_OPS(npuOpsUnary(op, count, dx.get(), dy.get(), nullptr));
      const std::string name = "unary " + std::to_string(op);
      assert_true(error == 0 ? SameBits(dy.read(), want, name) : Close(dy.read(), want, error, 1e-3, name));
    };
    check(
        npuOpsUnaryRelu, [](double v) { return std::max(v, 0.0); }, 0);
    check(
        npuOpsUnaryNeg, [](double v) { return -v; }, 0);
    check(
        npuOpsUnaryAbs, [](double v) { return std::fabs(v); }, 0);
    check(
        npuOpsUnaryExp, [](double v) { return std::exp(v); }, 1e-6);
    check(
        npuOpsUnaryTanh, [](double v) { return std::tanh(v); }, 1e-5);
    check(
        npuOpsUnarySigmoid, [](double v) { return 1 / (1 + std::exp(-v)); }, 1e-5);
  }
  const auto x = Random(5000, 4, 0.0f, 9.0f);
  std::vector<float> want(x.size());
  for (size_t i = 0; i < x.size(); ++i) want[i] = std::sqrt(x[i]);
  const Tensor<float> dx(x), dy(x.size());
  CHECK_OPS(npuOpsUnary(npuOpsUnarySqrt, x.size(), dx.get(), dy.get(), nullptr));
  assert_true(SameBits(dy.read(), want, "sqrt"));
}

void Affine(void**) {
  for (size_t count : kCounts) {
    const auto x = Random(count, 5);
    std::vector<float> want(count);
    for (size_t i = 0; i < count; ++i) want[i] = std::fma(x[i], 1.7f, -0.3f);
    const Tensor<float> dx(x), dy(count);
    CHECK_OPS(npuOpsScale(count, dx.get(), 1.7f, -0.3f, dy.get(), nullptr));
    assert_true(SameBits(dy.read(), want, "scale"));
  }
}

void NormalizeBytes(void**) {
  for (size_t count : kCounts) {
    std::vector<uint8_t> x(count);
    for (size_t i = 0; i < count; ++i) x[i] = static_cast<uint8_t>(i * 37 + i / 256);
    std::vector<float> want(count);
    for (size_t i = 0; i < count; ++i) want[i] = std::fma(static_cast<float>(x[i]), 0.011f, -0.8f);
    const Tensor<uint8_t> dx(x);
    const Tensor<float> dy(count);
    CHECK_OPS(npuOpsNormalizeU8(count, dx.get(), 0.011f, -0.8f, dy.get(), nullptr));
    assert_true(SameBits(dy.read(), want, "normalize"));
  }
}

void Refusals(void**) {
  const Tensor<float> t(64);
  void* p = t.get();
  CHECK_REFUSED(npuOpsBinary(static_cast<npuOpsBinaryOp>(77), 4, p, p, p, nullptr), npuErrorInvalidValue,
                "operation 77");
  CHECK_REFUSED(npuOpsBinary(npuOpsBinaryAdd, 0, p, p, p, nullptr), npuErrorInvalidValue, "count = 0");
  CHECK_REFUSED(npuOpsBinary(npuOpsBinaryAdd, 4, p, nullptr, p, nullptr), npuErrorInvalidValue, "b is NULL");
  CHECK_REFUSED(npuOpsUnary(static_cast<npuOpsUnaryOp>(-1), 4, p, p, nullptr), npuErrorInvalidValue, "unknown");
  CHECK_REFUSED(npuOpsScale(UINT64_MAX, p, 1, 0, p, nullptr), npuErrorInvalidValue, "count");
  CHECK_REFUSED(npuOpsNormalizeU8(4, nullptr, 1, 0, p, nullptr), npuErrorInvalidValue, "x is NULL");
}

void Counters(void**) {
  const Tensor<float> a(Random(100000, 1)), b(Random(100000, 2)), y(100000);
  auto run = [&] { CHECK_OPS(npuOpsBinary(npuOpsBinaryMul, 100000, a.get(), b.get(), y.get(), nullptr)); };
  run();
  const npuCounters first = Cost(run), second = Cost(run);
  assert_memory_equal(&first, &second, sizeof first);
  assert_int_equal(first.vectorElements, 100000);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(BinaryOps), cmocka_unit_test(InPlace),        cmocka_unit_test(UnaryOps),
                              cmocka_unit_test(Affine),    cmocka_unit_test(NormalizeBytes), cmocka_unit_test(Refusals),
                              cmocka_unit_test(Counters)};
  return cmocka_run_group_tests_name("ops.elementwise", tests, nullptr, nullptr);
}
