// SPDX-License-Identifier: Apache-2.0
#include "reference.h"
#include "support.h"

namespace {

void Compare(const npuOpsPool2dDesc& d, uint32_t seed) {
  const auto x = Random(size_t{d.n} * d.h * d.w * d.c, seed);
  uint32_t oh, ow;
  CHECK_OPS(npuOpsPool2dOutput(&d, &oh, &ow));
  const auto want = reference::Pool2d(d, oh, ow, x);
  const Tensor<float> dx(x), dy(want.size());
  CHECK_OPS(npuOpsPool2d(&d, dx.get(), dy.get(), nullptr));
  char text[160];
  std::snprintf(text, sizeof text, "pool %d n%u %ux%ux%u window %ux%u stride %ux%u pad %u %u %u %u",
                static_cast<int>(d.kind), d.n, d.h, d.w, d.c, d.kh, d.kw, d.strideH, d.strideW, d.padTop, d.padLeft,
                d.padBottom, d.padRight);
  assert_true(SameBits(dy.read(), want, text));
}

void Both(npuOpsPool2dDesc d, uint32_t seed) {
  d.kind = npuOpsPoolMax;
  Compare(d, seed);
  d.kind = npuOpsPoolAverage;
  Compare(d, seed);
}

void Shapes(void**) {
  Both({npuOpsPoolMax, 5, 28, 28, 16, 2, 2, 2, 2, 0, 0, 0, 0}, 1);
  Both({npuOpsPoolMax, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0}, 2);
  Both({npuOpsPoolMax, 2, 9, 7, 3, 3, 3, 2, 2, 0, 0, 0, 0}, 3);
  Both({npuOpsPoolMax, 2, 9, 7, 3, 3, 3, 1, 1, 1, 1, 1, 1}, 4);
  Both({npuOpsPoolMax, 2, 10, 11, 5, 2, 3, 3, 4, 1, 2, 0, 1}, 5);
  Both({npuOpsPoolMax, 3, 7, 7, 32, 7, 7, 7, 7, 0, 0, 0, 0}, 6);
  Both({npuOpsPoolMax, 1, 5, 5, 1, 1, 1, 3, 3, 0, 0, 0, 0}, 7);
  Both({npuOpsPoolMax, 1, 200, 150, 40, 3, 2, 2, 2, 1, 1, 1, 1}, 8);
}

void RandomShapes(void**) {
  std::mt19937 generator(7);
  auto pick = [&](uint32_t low, uint32_t high) -> uint32_t { return low + generator() % (high - low + 1); };
  for (uint32_t i = 0; i < 60; ++i) {
    npuOpsPool2dDesc d = {npuOpsPoolMax, pick(1, 6), pick(1, 16), pick(1, 16), pick(1, 20), pick(1, 4), pick(1, 4),
                          pick(1, 4),    pick(1, 4), 0,           0,           0,           0};
    d.padTop = pick(0, d.kh - 1);
    d.padBottom = pick(0, d.kh - 1);
    d.padLeft = pick(0, d.kw - 1);
    d.padRight = pick(0, d.kw - 1);
    if (d.h + d.padTop + d.padBottom >= d.kh && d.w + d.padLeft + d.padRight >= d.kw) Both(d, 100 + i);
  }
}

void Refusals(void**) {
  const Tensor<float> t(64);
  void* p = t.get();
  const npuOpsPool2dDesc good = {npuOpsPoolMax, 1, 4, 4, 1, 2, 2, 2, 2, 0, 0, 0, 0};
  CHECK_REFUSED(npuOpsPool2d(nullptr, p, p, nullptr), npuErrorInvalidValue, "NULL");
  CHECK_REFUSED(npuOpsPool2d(&good, p, nullptr, nullptr), npuErrorInvalidValue, "y is NULL");
  npuOpsPool2dDesc d = good;
  d.kind = static_cast<npuOpsPoolKind>(5);
  CHECK_REFUSED(npuOpsPool2d(&d, p, p, nullptr), npuErrorInvalidValue, "kind 5");
  d = good;
  d.strideH = 0;
  CHECK_REFUSED(npuOpsPool2d(&d, p, p, nullptr), npuErrorInvalidValue, "strideH = 0");
  d = good;
  d.padLeft = 2;
  CHECK_REFUSED(npuOpsPool2d(&d, p, p, nullptr), npuErrorInvalidValue, "smaller than the window");
  d = good;
  d.kw = 9;
  CHECK_REFUSED(npuOpsPool2d(&d, p, p, nullptr), npuErrorInvalidValue, "does not fit into the width");
  d = good;
  d.w = d.c = 1u << 20;
  CHECK_REFUSED(npuOpsPool2d(&d, p, p, nullptr), npuErrorNotSupported, "local memory");
}

void Counters(void**) {
  const npuOpsPool2dDesc d = {npuOpsPoolMax, 8, 28, 28, 16, 2, 2, 2, 2, 0, 0, 0, 0};
  const Tensor<float> x(Random(size_t{8} * 28 * 28 * 16, 1)), y(size_t{8} * 14 * 14 * 16);
  auto run = [&] { CHECK_OPS(npuOpsPool2d(&d, x.get(), y.get(), nullptr)); };
  run();
  const npuCounters first = Cost(run), second = Cost(run);
  assert_memory_equal(&first, &second, sizeof first);
  assert_int_equal(first.bytesIn, 8 * 28 * 28 * 16 * 4);
  assert_int_equal(first.bytesOut, 8 * 14 * 14 * 16 * 4);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(Shapes), cmocka_unit_test(RandomShapes), cmocka_unit_test(Refusals),
                              cmocka_unit_test(Counters)};
  return cmocka_run_group_tests_name("ops.pool", tests, nullptr, nullptr);
}
