// SPDX-License-Identifier: Apache-2.0
#include "reference.h"
#include "support.h"

namespace {

npuOpsMatmulDesc Shape(uint32_t m, uint32_t n, uint32_t k) {
  npuOpsMatmulDesc d = {};
  d.m = m;
  d.n = n;
  d.k = k;
  return d;
}

std::string Describe(const npuOpsMatmulDesc& d) {
  char text[120];
  std::snprintf(text, sizeof text, "matmul %ux%ux%u trans %u %u act %d", d.m, d.n, d.k, d.transA, d.transB,
                static_cast<int>(d.activation));
  return text;
}

void Compare(npuOpsMatmulDesc d, bool with_bias, uint32_t seed) {
  const auto a = Random(size_t{d.m} * d.k, seed), b = Random(size_t{d.k} * d.n, seed + 1), bias = Random(d.n, seed + 2);
  auto want =
      reference::Matmul(d.m, d.n, d.k, d.transA, d.transB, a.data(), b.data(), with_bias ? bias.data() : nullptr);
  if (d.activation == npuOpsActivationRelu) {
    for (float& v : want) v = std::max(v, 0.0f);
  }
  const Tensor<float> da(a), db(b), dbias(bias), dd(want.size());
  CHECK_OPS(npuOpsMatmul(&d, da.get(), db.get(), with_bias ? dbias.get() : nullptr, dd.get(), nullptr));
  if (d.activation == npuOpsActivationSigmoid || d.activation == npuOpsActivationTanh) {
    for (float& v : want) {
      v = static_cast<float>(d.activation == npuOpsActivationTanh ? std::tanh(double{v})
                                                                  : 1 / (1 + std::exp(-double{v})));
    }
    assert_true(Close(dd.read(), want, 1e-5, 1e-3, Describe(d)));
  } else {
    assert_true(SameBits(dd.read(), want, Describe(d)));
  }
}

void Ragged(void**) {
  const uint32_t sizes[] = {1, 2, 15, 16, 17, 31, 65, 130};
  uint32_t seed = 1;
  for (uint32_t m : sizes) {
    for (uint32_t n : {1u, 10u, 16u, 33u, 129u}) Compare(Shape(m, n, sizes[seed % 8]), seed % 3, seed), ++seed;
  }
}

void Transposed(void**) {
  for (uint32_t which = 0; which < 4; ++which) {
    npuOpsMatmulDesc d = Shape(67, 45, 301);
    d.transA = which & 1;
    d.transB = which >> 1;
    Compare(d, true, 100 + which);
  }
}

void LongSums(void**) {
  Compare(Shape(500, 128, 1568), true, 200);
  Compare(Shape(3, 5, 5000), false, 201);
  Compare(Shape(1, 1000, 700), true, 202);
  Compare(Shape(300, 300, 300), true, 203);
}

// Tiles that fill a core's memory to the last byte; with a bias they must leave room for it, also right after a product
// of the same shape without one.
void FullMemory(void**) {
  const uint32_t m = 1024, n = 1024, k = 256;
  std::vector<float> a(size_t{m} * k), b(size_t{k} * n), bias(n), want(size_t{m} * n);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i / k % 5) - 2;
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % n % 7) - 3;
  for (size_t i = 0; i < n; ++i) bias[i] = static_cast<float>(i % 11);
  const Tensor<float> da(a), db(b), dbias(bias), dd(want.size());
  const npuOpsMatmulDesc d = Shape(m, n, k);
  for (const bool with_bias : {false, true, false}) {
    for (size_t i = 0; i < want.size(); ++i) want[i] = (with_bias ? bias[i % n] : 0) + k * (a[i / n * k] * b[i % n]);
    CHECK_OPS(npuOpsMatmul(&d, da.get(), db.get(), with_bias ? dbias.get() : nullptr, dd.get(), nullptr));
    auto got = dd.read();
    for (float& v : got) v += 0.0f;  // sums of zeros may have either sign
    for (float& v : want) v += 0.0f;
    assert_true(SameBits(got, want, Describe(d)));
  }
}

void Activations(void**) {
  for (npuOpsActivation act : {npuOpsActivationRelu, npuOpsActivationSigmoid, npuOpsActivationTanh}) {
    npuOpsMatmulDesc d = Shape(150, 90, 40);
    d.activation = act;
    Compare(d, true, 300 + act);
    d = Shape(700, 300, 200);
    d.activation = act;
    Compare(d, false, 310 + act);
  }
}

// Rows that lie further apart than they are long; what is between them stays as it was.
void LeadingDimensions(void**) {
  npuOpsMatmulDesc d = Shape(20, 30, 40);
  d.lda = 43;
  d.ldb = 37;
  d.ldd = 35;
  const auto a = Random(size_t{20} * 43, 1), b = Random(size_t{40} * 37, 2);
  std::vector<float> pa, pb;
  for (size_t i = 0; i < 20; ++i) pa.insert(pa.end(), &a[i * 43], &a[i * 43 + 40]);
  for (size_t i = 0; i < 40; ++i) pb.insert(pb.end(), &b[i * 37], &b[i * 37 + 30]);
  const auto want = reference::Matmul(20, 30, 40, false, false, pa.data(), pb.data(), nullptr);
  const Tensor<float> da(a), db(b), dd(std::vector<float>(19 * 35 + 30, 7.0f));
  CHECK_OPS(npuOpsMatmul(&d, da.get(), db.get(), nullptr, dd.get(), nullptr));
  const auto got = dd.read();
  for (size_t i = 0; i < got.size(); ++i) {
    const float expect = i % 35 < 30 ? want[i / 35 * 30 + i % 35] : 7.0f;
    assert_memory_equal(&got[i], &expect, sizeof expect);
  }
}

void Batched(void**) {
  npuOpsMatmulDesc d = Shape(19, 21, 33);
  d.batch = 7;
  d.batchStrideA = 19 * 33;
  d.batchStrideB = 0;
  d.batchStrideD = 19 * 21;
  const auto a = Random(size_t{7} * 19 * 33, 5), b = Random(size_t{33} * 21, 6);
  const Tensor<float> da(a), db(b), dd(size_t{7} * 19 * 21);
  CHECK_OPS(npuOpsMatmul(&d, da.get(), db.get(), nullptr, dd.get(), nullptr));
  const auto got = dd.read();
  for (size_t i = 0; i < 7; ++i) {
    const auto want = reference::Matmul(19, 21, 33, false, false, &a[i * 19 * 33], b.data(), nullptr);
    assert_true(SameBits({got.begin() + i * 399, got.begin() + (i + 1) * 399}, want, "batched matmul"));
  }
}

void Refusals(void**) {
  const Tensor<float> t(64);
  void* p = t.get();
  auto run = [&](const npuOpsMatmulDesc& d) { return npuOpsMatmul(&d, p, p, nullptr, p, nullptr); };
  CHECK_REFUSED(npuOpsMatmul(nullptr, p, p, p, p, nullptr), npuErrorInvalidValue, "NULL");
  CHECK_REFUSED(run(Shape(0, 1, 1)), npuErrorInvalidValue, "m = 0");
  CHECK_REFUSED(run(Shape(1, 1, 0xffffffffu)), npuErrorInvalidValue, "k = 4294967295");
  npuOpsMatmulDesc d = Shape(4, 4, 4);
  d.lda = 3;
  CHECK_REFUSED(run(d), npuErrorInvalidValue, "lda = 3");
  d = Shape(4, 4, 4);
  d.transB = 2;
  CHECK_REFUSED(run(d), npuErrorInvalidValue, "transB");
  d = Shape(4, 4, 4);
  d.activation = static_cast<npuOpsActivation>(9);
  CHECK_REFUSED(run(d), npuErrorInvalidValue, "activation 9");
  d = Shape(4, 4, 4);
  d.batch = 2;
  d.batchStrideD = 15;
  CHECK_REFUSED(run(d), npuErrorInvalidValue, "overlap");
  d.batchStrideD = 16;
  d.batchStrideA = UINT64_MAX;
  CHECK_REFUSED(run(d), npuErrorInvalidValue, "batch stride");
  d = Shape(2, 2, 2);
  CHECK_REFUSED(npuOpsMatmul(&d, p, p, nullptr, nullptr, nullptr), npuErrorInvalidValue, "d is NULL");
}

// A tensor that is smaller than the shape says: the stream fails with a fault that names it; nothing is changed.
void TooSmall(void**) {
  npuStream_t stream;
  CHECK_NPU(npuStreamCreate(&stream));
  CHECK_NPU(npuClearFaults());
  const Tensor<float> a(Random(32 * 32, 1)), b(Random(32 * 32, 2)), d(32 * 32 - 1);
  CHECK_NPU(npuSetBufferName(d.get(), "short result"));
  const auto before = d.read();
  const npuOpsMatmulDesc desc = Shape(32, 32, 32);
  CHECK_OPS(npuOpsMatmul(&desc, a.get(), b.get(), nullptr, d.get(), stream));
  assert_int_equal(npuStreamSynchronize(stream), npuErrorMemoryFault);
  npuFault fault;
  CHECK_NPU(npuGetFault(0, &fault));
  assert_string_equal(fault.buffer.name, "short result");
  assert_string_equal(fault.kernel, "matmul_f32");
  assert_string_equal(fault.pipe, "dma-out");
  assert_int_equal(fault.badBytes, 4);
  assert_int_equal(fault.buffer.distance, 0);
  CHECK_NPU(npuStreamReset(stream));
  CHECK_NPU(npuStreamDestroy(stream));
  // Other cores' tiles may have been stored; the tile at fault was not.
  const auto after = d.read();
  assert_memory_equal(&before[before.size() - 15], &after[after.size() - 15], 15 * sizeof(float));
}

// The numbers of a 16-bit type, and what they stand for.
float FromBF16(uint16_t bits) {
  const uint32_t u = uint32_t{bits} << 16;
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}
float FromF16(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double value = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
  return static_cast<float>(bits >> 15 ? -value : value);
}

void Halves(npuOpsType type, float (*value)(uint16_t), npuOpsMatmulDesc d) {
  d.type = type;
  std::mt19937 random(d.m + d.k);
  std::vector<uint16_t> a(size_t{d.m} * d.k), b(size_t{d.k} * d.n);
  // Moderate exponents of either type.
  for (auto* v : {&a, &b})
    for (uint16_t& x : *v) x = static_cast<uint16_t>((random() & 0x87ffu) | (type == npuOpsTypeBF16 ? 0x3c00 : 0x3000));
  std::vector<float> fa, fb;
  for (uint16_t x : a) fa.push_back(value(x));
  for (uint16_t x : b) fb.push_back(value(x));
  const auto bias = Random(d.n, 9);
  auto want = reference::Matmul(d.m, d.n, d.k, d.transA, d.transB, fa.data(), fb.data(), bias.data());
  for (float& v : want)
    if (d.activation == npuOpsActivationRelu) v = std::max(v, 0.0f);
  const Tensor<uint16_t> da(a), db(b);
  const Tensor<float> dbias(bias), dd(want.size());
  CHECK_OPS(npuOpsMatmul(&d, da.get(), db.get(), dbias.get(), dd.get(), nullptr));
  assert_true(SameBits(dd.read(), want, Describe(d)));
}

void Bytes(npuOpsMatmulDesc d) {
  d.type = npuOpsTypeI8;
  std::mt19937 random(d.m + d.k);
  std::vector<int8_t> a(size_t{d.m} * d.k), b(size_t{d.k} * d.n);
  for (auto* v : {&a, &b})
    for (int8_t& x : *v) x = static_cast<int8_t>(random());
  std::vector<int32_t> bias(d.n), want(size_t{d.m} * d.n);
  for (int32_t& x : bias) x = static_cast<int32_t>(random() >> 8);
  for (size_t i = 0; i < d.m; ++i)
    for (size_t j = 0; j < d.n; ++j) {
      int64_t sum = bias[j];
      for (size_t l = 0; l < d.k; ++l)
        sum += (d.transA ? a[l * d.m + i] : a[i * d.k + l]) * (d.transB ? b[j * d.k + l] : b[l * d.n + j]);
      want[i * d.n + j] = static_cast<int32_t>(d.activation == npuOpsActivationRelu ? std::max<int64_t>(sum, 0) : sum);
    }
  const Tensor<int8_t> da(a), db(b);
  const Tensor<int32_t> dbias(bias), dd(want.size());
  CHECK_OPS(npuOpsMatmul(&d, da.get(), db.get(), dbias.get(), dd.get(), nullptr));
  const auto got = dd.read();
  assert_memory_equal(got.data(), want.data(), want.size() * sizeof(int32_t));
}

void Types(void**) {
  for (uint32_t which = 0; which < 4; ++which) {
    for (npuOpsMatmulDesc d : {Shape(1, 1, 1), Shape(67, 45, 301), Shape(300, 270, 130)}) {
      d.transA = which & 1;
      d.transB = which >> 1;
      d.activation = which == 1 ? npuOpsActivationRelu : npuOpsActivationNone;
      Halves(npuOpsTypeF16, FromF16, d);
      Halves(npuOpsTypeBF16, FromBF16, d);
      Bytes(d);
    }
  }
  const Tensor<float> t(64);
  npuOpsMatmulDesc d = Shape(4, 4, 4);
  d.type = npuOpsTypeI4;
  CHECK_REFUSED(npuOpsMatmul(&d, t.get(), t.get(), nullptr, t.get(), nullptr), npuErrorInvalidValue, "type 10");
  d.type = npuOpsTypeBF16;
  d.activation = npuOpsActivationTanh;
  CHECK_REFUSED(npuOpsMatmul(&d, t.get(), t.get(), nullptr, t.get(), nullptr), npuErrorNotSupported, "tanh");
}

// High utilisation where there is enough work, and the same count every time.
void Counters(void**) {
  const uint32_t size = 512;
  const npuOpsMatmulDesc d = Shape(size, size, size);
  const Tensor<float> a(Random(size * size, 1)), b(Random(size * size, 2)), y(size * size);
  auto run = [&] { CHECK_OPS(npuOpsMatmul(&d, a.get(), b.get(), nullptr, y.get(), nullptr)); };
  run();
  const npuCounters first = Cost(run), second = Cost(run);
  assert_memory_equal(&first, &second, sizeof first);
  assert_int_equal(first.macs, uint64_t{size} * size * size);
  npuDeviceProp prop;
  CHECK_NPU(npuGetDeviceProperties(&prop, 0));
  const double utilisation =
      static_cast<double>(first.macs) / (static_cast<double>(first.coreCycles) * prop.f32MacsPerCycle);
  std::printf("# matmul %u^3: %llu cycles, %.1f %% of peak\n", size, static_cast<unsigned long long>(first.cycles),
              100 * utilisation);
  assert_true(utilisation > 0.85 && utilisation <= 1.0);
  // Each operand is read at least once, the result written once, all of it in device memory.
  assert_true(first.bytesIn >= 2 * size * size * sizeof(float));
  assert_int_equal(first.bytesOut, size * size * sizeof(float));
  assert_int_equal(first.bytesHost + first.bytesLocal, 0);
  // The matrix pipe waits for operands, the way out for results; no pipe longer than all cores ran.
  assert_true(first.waitMatrix > 0 && first.waitDmaOut > 0);
  assert_true(first.waitMatrix + first.waitVector + first.waitDmaIn + first.waitDmaOut <= first.stallFlag);
  assert_true(first.waitMatrix + first.matrixBusy <= first.coreCycles);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(Ragged),      cmocka_unit_test(Transposed),        cmocka_unit_test(LongSums),
      cmocka_unit_test(Activations), cmocka_unit_test(LeadingDimensions), cmocka_unit_test(Batched),
      cmocka_unit_test(Refusals),    cmocka_unit_test(TooSmall),          cmocka_unit_test(Counters),
      cmocka_unit_test(Types),       cmocka_unit_test(FullMemory),
  };
  return cmocka_run_group_tests_name("ops.matmul", tests, nullptr, nullptr);
}
