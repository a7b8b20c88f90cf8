// SPDX-License-Identifier: Apache-2.0
// Cast, gather of rows, top-k.
#include <algorithm>
#include <limits>
#include <numeric>

#include "../core/dtype_reference.h"
#include "npu_fault.h"
#include "support.h"

namespace {

using namespace npu::test;

// All pairs of types, every mode, counts around the tiles' ends, against the definition.
void Cast(void**) {
  std::mt19937 random(3);
  for (uint8_t from = 0; from < NPU_DTYPES; ++from) {
    for (uint8_t to = 0; to < NPU_DTYPES; ++to) {
      const size_t count = 2 * (1 + random() % 3000);
      const auto mode = static_cast<uint8_t>(random() % NPU_ROUNDS);
      const bool saturate = IsFloatType(to) && random() % 2;
      std::vector<uint8_t> x(count * static_cast<size_t>(FactsOf(from).bits) / 8);
      for (uint8_t& b : x) b = static_cast<uint8_t>(random());
      const Tensor<uint8_t> dx(x), dy(count * static_cast<size_t>(FactsOf(to).bits) / 8);
      CHECK_OPS(npuOpsCast(count, static_cast<npuOpsType>(from), dx.get(), static_cast<npuOpsType>(to), dy.get(),
                           static_cast<npuOpsRounding>(mode), saturate ? NPU_OPS_CAST_SATURATE : 0, 99, nullptr));
      const auto y = dy.read();
      for (size_t i = 0; i < count; ++i) {
        const uint32_t want =
            ConvertBits(to, from, ElementAt(x.data(), from, i), {mode, saturate, 99}, static_cast<uint32_t>(i));
        assert_int_equal(ElementAt(y.data(), to, i), want);
      }
    }
  }
}

// The choice of tiles does not show in random rounding.
void CastTiles(void**) {
  const size_t large = 200000;
  const std::vector<float> x(large, 0.3f);
  const Tensor<float> dx(x);
  const Tensor<uint8_t> all(large), part(1000);
  CHECK_OPS(npuOpsCast(large, npuOpsTypeF32, dx.get(), npuOpsTypeU8, all.get(), npuOpsRoundStochastic, 0, 5, nullptr));
  CHECK_OPS(npuOpsCast(1000, npuOpsTypeF32, dx.get(), npuOpsTypeU8, part.get(), npuOpsRoundStochastic, 0, 5, nullptr));
  const auto a = all.read(), b = part.read();
  assert_memory_equal(a.data(), b.data(), 1000);
  const auto ones = std::count(a.begin(), a.end(), 1);
  assert_in_range(ones, 0.3 * large - 1100, 0.3 * large + 1100);  // five standard deviations
}

void GatherRows(void**) {
  const uint32_t shapes[][3] = {{1, 1, 1}, {7, 3, 20}, {1000, 64, 5000}, {50, 4100, 333}, {3, 300000, 5}};
  std::mt19937 random(4);
  for (auto [rows, row_bytes, count] : shapes) {
    std::vector<uint8_t> table(size_t{rows} * row_bytes), want;
    for (uint8_t& b : table) b = static_cast<uint8_t>(random());
    std::vector<int32_t> index(count);
    for (int32_t& i : index) i = static_cast<int32_t>(random() % rows);
    for (const int32_t i : index) {
      const auto row = table.begin() + static_cast<ptrdiff_t>(size_t(i) * row_bytes);
      want.insert(want.end(), row, row + row_bytes);
    }
    const Tensor<uint8_t> dt(table), dy(want.size());
    const Tensor<int32_t> di(index);
    CHECK_OPS(npuOpsGatherRows(rows, row_bytes, dt.get(), count, di.get(), dy.get(), nullptr));
    const auto y = dy.read();
    assert_memory_equal(y.data(), want.data(), want.size());
  }
}

// The launch stops at an index that is not there, and the report has it.
void GatherBadIndex(void**) {
  for (const int32_t bad : {10, -1}) {
    npuStream_t stream;
    CHECK_NPU(npuStreamCreate(&stream));
    const Tensor<uint8_t> table(std::vector<uint8_t>(160)), y(64);
    const Tensor<int32_t> index(std::vector<int32_t>{0, 9, bad, 3});
    CHECK_OPS(npuOpsGatherRows(10, 16, table.get(), 4, index.get(), y.get(), stream));
    assert_int_not_equal(npuStreamSynchronize(stream), npuSuccess);
    npuFault fault;
    uint64_t count = 0, dropped = 0;
    CHECK_NPU(npuGetFaultCount(&count, &dropped));
    CHECK_NPU(npuGetFault(count - 1, &fault));  // the newest
    assert_int_equal(fault.kind, NPU_FAULT_TRAP);
    assert_non_null(std::strstr(fault.kernel, "gather_rows"));
    CHECK_NPU(npuStreamReset(stream));
    CHECK_NPU(npuStreamDestroy(stream));
  }
}

void TopK(void**) {
  const uint32_t shapes[][3] = {{1, 1, 1}, {3, 7, 7}, {65, 63, 5}, {500, 10, 1}, {7, 1000, 100}, {2, 20000, 3}};
  for (auto [rows, cols, k] : shapes) {
    auto x = Random(size_t{rows} * cols, rows * 5 + cols);
    for (float& v : x) v = std::floor(v * 8);
    if (x.size() > 50) x[20] = std::numeric_limits<float>::quiet_NaN(), x[33] = INFINITY, x[40] = -0.0f;
    std::vector<float> values;
    std::vector<int32_t> columns;
    for (size_t r = 0; r < rows; ++r) {
      std::vector<int32_t> order(cols);
      std::iota(order.begin(), order.end(), 0);
      const float* row = x.data() + r * cols;
      std::stable_sort(order.begin(), order.end(), [&](int32_t i, int32_t j) {
        return std::isnan(row[i]) ? !std::isnan(row[j]) : row[i] > row[j];
      });
      for (uint32_t i = 0; i < k; ++i) {
        columns.push_back(order[i]);
        values.push_back(row[order[i]]);
      }
    }
    const Tensor<float> dx(x), dv(values.size());
    const Tensor<int32_t> dc(columns.size());
    CHECK_OPS(npuOpsTopK(rows, cols, k, dx.get(), dv.get(), dc.get(), nullptr));
    assert_true(SameBits(dv.read(), values, "top-k"));
    const auto got = dc.read();
    assert_memory_equal(got.data(), columns.data(), columns.size() * 4);
  }
}

void Refusals(void**) {
  const Tensor<float> t(64);
  void* p = t.get();
  void* odd = static_cast<char*>(p) + 1;
  const auto cast = [&](uint64_t count, int x_type, void* x, int y_type, int mode, uint32_t flags) {
    return npuOpsCast(count, static_cast<npuOpsType>(x_type), x, static_cast<npuOpsType>(y_type), p,
                      static_cast<npuOpsRounding>(mode), flags, 0, nullptr);
  };
  CHECK_REFUSED(cast(0, 0, p, 1, 0, 0), npuErrorInvalidValue, "count = 0");
  CHECK_REFUSED(cast(4, 12, p, 1, 0, 0), npuErrorInvalidValue, "xType = 12");
  CHECK_REFUSED(cast(4, 0, p, -1, 0, 0), npuErrorInvalidValue, "yType = -1");
  CHECK_REFUSED(cast(4, 0, p, 1, 6, 0), npuErrorInvalidValue, "rounding 6");
  CHECK_REFUSED(cast(4, 0, p, 1, 0, 2), npuErrorInvalidValue, "flags = 0x2");
  CHECK_REFUSED(cast(4, 0, p, npuOpsTypeI8, 0, NPU_OPS_CAST_SATURATE), npuErrorInvalidValue, "saturate always");
  CHECK_REFUSED(cast(5, 0, p, npuOpsTypeI4, 0, 0), npuErrorInvalidValue, "pairs");
  CHECK_REFUSED(cast(4, npuOpsTypeF16, odd, 0, 0, 0), npuErrorInvalidValue, "aligned");
  CHECK_REFUSED(cast(4, 0, nullptr, 1, 0, 0), npuErrorInvalidValue, "x is NULL");
  CHECK_REFUSED(npuOpsGatherRows(0, 4, p, 1, p, p, nullptr), npuErrorInvalidValue, "rows = 0");
  CHECK_REFUSED(npuOpsGatherRows(4, 4, p, 1, odd, p, nullptr), npuErrorInvalidValue, "aligned");
  CHECK_REFUSED(npuOpsGatherRows(4, 1u << 20, p, 1, p, p, nullptr), npuErrorNotSupported, "local memory");
  CHECK_REFUSED(npuOpsTopK(4, 4, 5, p, p, p, nullptr), npuErrorInvalidValue, "k = 5");
  CHECK_REFUSED(npuOpsTopK(1, 1u << 20, 1, p, p, p, nullptr), npuErrorNotSupported, "local memory");
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(Cast),       cmocka_unit_test(CastTiles),
                              cmocka_unit_test(GatherRows), cmocka_unit_test(GatherBadIndex),
                              cmocka_unit_test(TopK),       cmocka_unit_test(Refusals)};
  return cmocka_run_group_tests_name("ops.select", tests, nullptr, nullptr);
}
