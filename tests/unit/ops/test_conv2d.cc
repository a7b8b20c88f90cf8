// SPDX-License-Identifier: Apache-2.0
#include "reference.h"
#include "support.h"

namespace {

std::string Describe(const npuOpsConv2dDesc& d) {
  char text[200];
  std::snprintf(text, sizeof text,
                "conv2d n%u %ux%ux%u -> %u, window %ux%u, stride %ux%u, pad %u %u %u %u, act %d, pool %u", d.n, d.h,
                d.w, d.c, d.o, d.kh, d.kw, d.strideH, d.strideW, d.padTop, d.padLeft, d.padBottom, d.padRight,
                static_cast<int>(d.activation), d.maxPool2x2);
  return text;
}

// Runs one shape and compares bit for bit.
void Compare(const npuOpsConv2dDesc& d, bool with_bias, uint32_t seed) {
  const auto x = Random(size_t{d.n} * d.h * d.w * d.c, seed);
  const auto w = Random(size_t{d.kh} * d.kw * d.c * d.o, seed + 1);
  const auto bias = Random(d.o, seed + 2);
  npuOpsConv2dDesc plain = d;
  plain.maxPool2x2 = 0;
  uint32_t oh, ow, py, px;
  CHECK_OPS(npuOpsConv2dOutput(&plain, &oh, &ow));
  CHECK_OPS(npuOpsConv2dOutput(&d, &py, &px));
  auto want = reference::Conv2d(d, oh, ow, x, w, with_bias ? bias.data() : nullptr);
  if (d.maxPool2x2) {
    const npuOpsPool2dDesc pool = {npuOpsPoolMax, d.n, oh, ow, d.o, 2, 2, 2, 2, 0, 0, 0, 0};
    want = reference::Pool2d(pool, py, px, want);
  }
  const Tensor<float> dx(x), dw(w), db(bias), dy(want.size());
  CHECK_OPS(npuOpsConv2d(&d, dx.get(), dw.get(), with_bias ? db.get() : nullptr, dy.get(), nullptr));
  assert_true(SameBits(dy.read(), want, Describe(d)));
}

npuOpsConv2dDesc Shape(uint32_t n, uint32_t h, uint32_t w, uint32_t c, uint32_t o, uint32_t kh, uint32_t kw) {
  npuOpsConv2dDesc d = {};
  d.n = n;
  d.h = h;
  d.w = w;
  d.c = c;
  d.o = o;
  d.kh = kh;
  d.kw = kw;
  d.strideH = d.strideW = 1;
  return d;
}

npuOpsConv2dDesc Padded(npuOpsConv2dDesc d, uint32_t top, uint32_t left, uint32_t bottom, uint32_t right) {
  d.padTop = top;
  d.padLeft = left;
  d.padBottom = bottom;
  d.padRight = right;
  return d;
}

npuOpsConv2dDesc Strided(npuOpsConv2dDesc d, uint32_t h, uint32_t w) {
  d.strideH = h;
  d.strideW = w;
  return d;
}

void Layers(void**) {
  npuOpsConv2dDesc first = Padded(Shape(3, 28, 28, 1, 16, 3, 3), 1, 1, 1, 1);
  first.activation = npuOpsActivationRelu;
  Compare(first, true, 1);
  npuOpsConv2dDesc second = Padded(Shape(9, 14, 14, 16, 32, 3, 3), 1, 1, 1, 1);
  second.activation = npuOpsActivationRelu;
  Compare(second, true, 2);
}

void Ragged(void**) {
  Compare(Shape(1, 1, 1, 1, 1, 1, 1), false, 10);
  Compare(Shape(5, 7, 9, 3, 5, 1, 1), true, 11);
  Compare(Shape(2, 5, 4, 2, 17, 5, 4), true, 12);
  Compare(Shape(1, 13, 11, 7, 33, 2, 3), false, 13);
  Compare(Shape(1, 3, 200, 1, 3, 3, 7), true, 14);
  Compare(Shape(1, 61, 2, 5, 2, 9, 1), true, 15);
}

void Padding(void**) {
  Compare(Padded(Shape(2, 6, 5, 3, 4, 3, 3), 2, 2, 2, 2), true, 20);
  Compare(Padded(Shape(2, 6, 5, 3, 4, 3, 3), 0, 1, 2, 0), true, 21);
  Compare(Padded(Shape(2, 6, 5, 3, 4, 3, 3), 1, 0, 0, 2), false, 22);
  Compare(Padded(Shape(1, 1, 1, 2, 3, 5, 5), 2, 2, 2, 2), true, 23);
  Compare(Padded(Shape(1, 4, 4, 1, 1, 7, 7), 6, 6, 6, 6), false, 24);
}

void Strides(void**) {
  Compare(Strided(Shape(2, 11, 13, 3, 6, 3, 3), 2, 2), true, 30);
  Compare(Strided(Padded(Shape(2, 11, 13, 3, 6, 3, 3), 1, 1, 1, 1), 2, 2), true, 31);
  Compare(Strided(Padded(Shape(1, 17, 16, 2, 5, 5, 4), 2, 3, 1, 0), 3, 2), true, 32);
  Compare(Strided(Padded(Shape(1, 20, 20, 4, 3, 2, 2), 1, 1, 1, 1), 5, 4), false, 33);
  Compare(Strided(Padded(Shape(1, 9, 30, 1, 2, 3, 1), 2, 0, 2, 0), 1, 3), true, 34);
  Compare(Strided(Shape(1, 32, 32, 3, 8, 7, 7), 4, 4), true, 35);
}

void Pooled(void**) {
  for (uint32_t size : {2u, 3u, 4u, 7u, 10u, 15u}) {
    npuOpsConv2dDesc d = Padded(Shape(3, size, size + 1, 2, 5, 3, 3), 1, 1, 1, 1);
    d.maxPool2x2 = 1;
    d.activation = size % 2 ? npuOpsActivationRelu : npuOpsActivationNone;
    Compare(d, size != 4, 40 + size);
  }
  npuOpsConv2dDesc strided = Strided(Padded(Shape(2, 19, 18, 3, 4, 3, 3), 1, 1, 1, 1), 2, 2);
  strided.maxPool2x2 = 1;
  Compare(strided, true, 60);
}

// Too large for one tile: rows and output channels are cut.
void Cut(void**) {
  Compare(Padded(Shape(1, 70, 90, 24, 40, 3, 3), 1, 1, 1, 1), true, 70);
  Compare(Padded(Shape(1, 6, 6, 256, 200, 3, 3), 1, 1, 1, 1), true, 71);
  npuOpsConv2dDesc pooled = Padded(Shape(1, 75, 91, 16, 48, 3, 3), 1, 1, 1, 1);
  pooled.maxPool2x2 = 1;
  Compare(pooled, true, 72);
}

void Random_(void**) {
  std::mt19937 generator(2024);
  auto pick = [&](uint32_t low, uint32_t high) -> uint32_t { return low + generator() % (high - low + 1); };
  for (uint32_t i = 0; i < 60; ++i) {
    npuOpsConv2dDesc d = Shape(pick(1, 6), pick(1, 20), pick(1, 20), pick(1, 9), pick(1, 20), pick(1, 4), pick(1, 4));
    d = Strided(Padded(d, pick(0, d.kh - 1), pick(0, d.kw - 1), pick(0, d.kh - 1), pick(0, d.kw - 1)), pick(1, 3),
                pick(1, 3));
    if (d.h + d.padTop + d.padBottom < d.kh || d.w + d.padLeft + d.padRight < d.kw) continue;
    const uint32_t oh = (d.h + d.padTop + d.padBottom - d.kh) / d.strideH + 1;
    const uint32_t ow = (d.w + d.padLeft + d.padRight - d.kw) / d.strideW + 1;
    d.activation = pick(0, 1) ? npuOpsActivationRelu : npuOpsActivationNone;
    d.maxPool2x2 = oh >= 2 && ow >= 2 ? pick(0, 1) : 0;
    Compare(d, pick(0, 1), 1000 + i);
  }
}

void Refusals(void**) {
  const Tensor<float> t(64);
  void* p = t.get();
  const npuOpsConv2dDesc good = Shape(1, 4, 4, 1, 1, 3, 3);
  auto run = [&](const npuOpsConv2dDesc& d) { return npuOpsConv2d(&d, p, p, nullptr, p, nullptr); };
  CHECK_REFUSED(npuOpsConv2d(nullptr, p, p, p, p, nullptr), npuErrorInvalidValue, "NULL");
  CHECK_REFUSED(npuOpsConv2d(&good, nullptr, p, p, p, nullptr), npuErrorInvalidValue, "x is NULL");
  CHECK_REFUSED(npuOpsConv2d(&good, p, p, static_cast<char*>(p) + 2, p, nullptr), npuErrorInvalidValue, "aligned");
  npuOpsConv2dDesc d = good;
  d.c = 0;
  CHECK_REFUSED(run(d), npuErrorInvalidValue, "c = 0");
  d = good;
  d.strideW = 0;
  CHECK_REFUSED(run(d), npuErrorInvalidValue, "strideW = 0");
  d = good;
  d.kh = 5;
  CHECK_REFUSED(run(d), npuErrorInvalidValue, "does not fit into the height of 4");
  CHECK_REFUSED(run(Padded(good, 0, 3, 0, 0)), npuErrorInvalidValue, "smaller than the window");
  CHECK_REFUSED(run(Padded(good, 0, 0, 0xffffffffu, 0)), npuErrorInvalidValue, "smaller than the window");
  d = good;
  d.activation = npuOpsActivationTanh;
  CHECK_REFUSED(run(d), npuErrorInvalidValue, "activation");
  d = Shape(1, 3, 3, 1, 1, 3, 3);
  d.maxPool2x2 = 1;
  CHECK_REFUSED(run(d), npuErrorInvalidValue, "at least 2 x 2");
  CHECK_REFUSED(run(Shape(1, 64, 1u << 20, 64, 8, 3, 3)), npuErrorNotSupported, "local memory");
  // Products far over 64 bits.
  CHECK_REFUSED(run(Shape(1u << 24, 1u << 24, 1u << 24, 1u << 24, 1u << 24, 4096, 4096)), npuErrorNotSupported,
                "local memory");
  uint32_t oh, ow;
  CHECK_REFUSED(npuOpsConv2dOutput(&good, nullptr, &ow), npuErrorInvalidValue, "NULL");
  CHECK_OPS(npuOpsConv2dOutput(&good, &oh, &ow));
  assert_int_equal(oh, 2);
  assert_int_equal(ow, 2);
}

// Nothing was queued by the refusals, and two equal calls cost the same, whatever ran before.
void Counters(void**) {
  npuOpsConv2dDesc d = Padded(Shape(6, 14, 14, 16, 32, 3, 3), 1, 1, 1, 1);
  const Tensor<float> x(Random(size_t{6} * 14 * 14 * 16, 1)), w(Random(9 * 16 * 32, 2)), y(size_t{6} * 14 * 14 * 32);
  auto run = [&] { CHECK_OPS(npuOpsConv2d(&d, x.get(), w.get(), nullptr, y.get(), nullptr)); };
  run();
  const npuCounters first = Cost(run), second = Cost(run);
  assert_memory_equal(&first, &second, sizeof first);
  assert_int_equal(first.launches, 1);
  assert_true(first.cycles > 0);
  // At least the useful multiply-accumulates; at most those plus the pixels between rows.
  const uint64_t useful = uint64_t{6} * 14 * 14 * 32 * 144;
  assert_true(first.macs >= useful && first.macs <= useful * 5 / 4);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(Layers),  cmocka_unit_test(Ragged),   cmocka_unit_test(Padding),
      cmocka_unit_test(Strides), cmocka_unit_test(Pooled),   cmocka_unit_test(Cut),
      cmocka_unit_test(Random_), cmocka_unit_test(Refusals), cmocka_unit_test(Counters),
  };
  return cmocka_run_group_tests_name("ops.conv2d", tests, nullptr, nullptr);
}
