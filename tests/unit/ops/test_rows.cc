// SPDX-License-Identifier: Apache-2.0
// Softmax and argmax.
#include "reference.h"
#include "support.h"

namespace {

const uint32_t kShapes[][2] = {{1, 1},    {1, 10},   {3, 7},     {64, 64}, {65, 63},
                               {500, 10}, {7, 1000}, {2, 20000}, {9000, 3}};

void Softmax(void**) {
  for (auto [rows, cols] : kShapes) {
    const auto x = Random(size_t{rows} * cols, rows + cols, -20.0f, 20.0f);
    const Tensor<float> dx(x), dy(x.size());
    CHECK_OPS(npuOpsSoftmax(rows, cols, dx.get(), dy.get(), nullptr));
    assert_true(Close(dy.read(), reference::Softmax(rows, cols, x), 2e-5, 1e-6, "softmax"));
  }
}

// Large values do not overflow: the maximum is taken away first.
void SoftmaxLarge(void**) {
  const std::vector<float> x = {1e30f, 0.0f, -1e30f, 3e38f, 3e38f, -3e38f};
  const Tensor<float> dx(x), dy(x.size());
  CHECK_OPS(npuOpsSoftmax(2, 3, dx.get(), dy.get(), nullptr));
  assert_true(SameBits(dy.read(), {1.0f, 0.0f, 0.0f, 0.5f, 0.5f, 0.0f}, "softmax of large values"));
}

void Argmax(void**) {
  for (auto [rows, cols] : kShapes) {
    auto x = Random(size_t{rows} * cols, rows * 3 + cols);
    // Few different values, so that many rows have the maximum more than once.
    for (float& v : x) v = std::floor(v * 4);
    std::vector<int32_t> want;
    for (size_t r = 0; r < rows; ++r) {
      const auto row = x.begin() + static_cast<ptrdiff_t>(r * cols);
      want.push_back(static_cast<int32_t>(std::max_element(row, row + cols) - row));
    }
    const Tensor<float> dx(x);
    const Tensor<int32_t> dy(rows);
    CHECK_OPS(npuOpsArgmax(rows, cols, dx.get(), dy.get(), nullptr));
    const auto got = dy.read();
    assert_memory_equal(got.data(), want.data(), want.size() * sizeof(int32_t));
  }
}

void Refusals(void**) {
  const Tensor<float> t(64);
  void* p = t.get();
  CHECK_REFUSED(npuOpsSoftmax(0, 4, p, p, nullptr), npuErrorInvalidValue, "rows = 0");
  CHECK_REFUSED(npuOpsSoftmax(4, 0, p, p, nullptr), npuErrorInvalidValue, "cols = 0");
  CHECK_REFUSED(npuOpsSoftmax(4, 4, p, nullptr, nullptr), npuErrorInvalidValue, "y is NULL");
  CHECK_REFUSED(npuOpsSoftmax(1, 1u << 20, p, p, nullptr), npuErrorNotSupported, "local memory");
  CHECK_REFUSED(npuOpsArgmax(4, 4, static_cast<char*>(p) + 1, p, nullptr), npuErrorInvalidValue, "aligned");
  CHECK_REFUSED(npuOpsArgmax(4, 0xffffffffu, p, p, nullptr), npuErrorInvalidValue, "cols");
}

void Counters(void**) {
  const Tensor<float> x(Random(5000, 1)), y(5000);
  auto run = [&] { CHECK_OPS(npuOpsSoftmax(500, 10, x.get(), y.get(), nullptr)); };
  run();
  const npuCounters first = Cost(run), second = Cost(run);
  assert_memory_equal(&first, &second, sizeof first);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(Softmax), cmocka_unit_test(SoftmaxLarge), cmocka_unit_test(Argmax),
                              cmocka_unit_test(Refusals), cmocka_unit_test(Counters)};
  return cmocka_run_group_tests_name("ops.rows", tests, nullptr, nullptr);
}
