// SPDX-License-Identifier: Apache-2.0
//
// The DMA pipes against a naive reference, and their refusals.
#include <cstring>

#include "core/peers.h"
#include "dtype_reference.h"
#include "suite.h"

namespace {

using namespace npu::model;
using namespace npu::test;

constexpr uint64_t kSram = NPU_LOCAL_SRAM_BASE;

npu_dma_desc Linear(uint64_t dst, uint64_t src, uint32_t bytes) {
  npu_dma_desc d{};
  d.op = NPU_DMA_COPY;
  d.dst = dst;
  d.src = src;
  d.count[0] = bytes;
  return d;
}

#define REFUSED(units, world, expected, call)                   \
  do {                                                          \
    const Snapshot before = (world).Save((units).local.sram()); \
    assert_int_equal(call, expected);                           \
    assert_true(before == (world).Save((units).local.sram()));  \
  } while (0)

// Element by element, on copies of both memories.
struct Naive {
  std::vector<uint8_t> dst, src;
  void Run(const npu_dma_desc& d, int64_t dst_at, int64_t src_at) {
    const bool pad = (d.flags & NPU_DMA_F_PAD) && (d.valid[0] | d.valid[1] | d.valid[2] | d.valid[3]);
    uint32_t n[4];
    for (int k = 0; k < 4; ++k) n[k] = d.count[k] ? d.count[k] : 1;
    for (uint32_t i3 = 0; i3 < n[3]; ++i3)
      for (uint32_t i2 = 0; i2 < n[2]; ++i2)
        for (uint32_t i1 = 0; i1 < n[1]; ++i1)
          for (uint32_t i0 = 0; i0 < n[0]; ++i0) {
            const int64_t to = dst_at + i0 + i1 * d.dst_stride[0] + i2 * d.dst_stride[1] + i3 * d.dst_stride[2];
            const uint32_t i[4] = {i0, i1, i2, i3};
            bool valid = true;
            int64_t from = src_at;
            for (int k = 0; k < 4; ++k) {
              const int64_t rel = pad ? static_cast<int64_t>(i[k]) - d.pad_lo[k] : i[k];
              valid &= !pad || (rel >= 0 && rel < d.valid[k]);
              from += rel * (k ? d.src_stride[k - 1] : 1);
            }
            uint8_t value = 0;
            if (d.op == NPU_DMA_FILL)
              value = static_cast<uint8_t>(d.value >> (8 * (i0 % 4)));
            else if (valid)
              value = src.at(static_cast<size_t>(from));
            dst.at(static_cast<size_t>(to)) = value;
          }
  }
};

// Random boxes that do not touch a destination byte twice, in both directions, with and without padding.
void TestRandomBoxes(void**) {
  World w;
  Units u(w);
  Random random(2);
  const uint64_t buffers[] = {w.Buffer(65536), w.Buffer(65536), w.Buffer(65536, true)};
  // The second one's pages are not in the order of their addresses.
  for (uint64_t at = 0; at < 65536; at += 2 * NPU_PAGE_SIZE)
    std::swap(*w.Pte(NPU_PTR_VA(buffers[1]) + at), *w.Pte(NPU_PTR_VA(buffers[1]) + at + NPU_PAGE_SIZE));
  for (int round = 0; round < 3000; ++round) {
    const bool in = random.Below(2), fill = random.Below(8) == 0;
    const uint64_t global = buffers[random.Below(3)];
    npu_dma_desc d{};
    d.op = fill ? NPU_DMA_FILL : NPU_DMA_COPY;
    d.value = static_cast<uint32_t>(random.Next());
    for (int k = 0; k < 4; ++k) d.count[k] = random.Below(k ? 5 : 40);
    d.count[0] = (d.count[0] + 1 + 3) & ~3u;
    const bool pad = !fill && random.Below(2);
    if (pad) {
      d.flags = NPU_DMA_F_PAD;
      for (int k = 0; k < 4; ++k) {
        const uint32_t n = d.count[k] ? d.count[k] : 1;
        d.pad_lo[k] = random.Below(n + 1);
        d.valid[k] = random.Below(n - d.pad_lo[k] + 1);
      }
    }
    int64_t pitch = d.count[0] + random.Below(9);
    for (int k = 0; k < 3; ++k) {
      d.dst_stride[k] = random.Below(4) ? pitch : -pitch;
      pitch *= std::max(d.count[k + 1], 1u);
      d.src_stride[k] = static_cast<int64_t>(random.Below(300)) - 150;
      if (random.Below(4) == 0) d.src_stride[k] = 0;
    }
    const int64_t dst_at = 30000, src_at = 20000 + random.Below(100);
    d.dst = (in ? kSram : global) + dst_at;
    d.src = (in && random.Below(4) ? global : kSram) + src_at;
    if (!in) d.src = kSram + src_at;
    Naive naive;
    const auto copy = [&](uint64_t ptr) {
      if (LocalMemory::IsLocal(ptr)) return std::vector<uint8_t>(u.local.sram(), u.local.sram() + 65536);
      std::vector<uint8_t> bytes(65536);
      for (uint64_t at = 0; at < 65536; at += NPU_PAGE_SIZE) std::memcpy(&bytes[at], w.At(global + at), NPU_PAGE_SIZE);
      return bytes;
    };
    for (size_t i = 0; i < 65536; ++i) u.local.sram()[i] = static_cast<uint8_t>(random.Next());
    naive.dst = copy(d.dst);
    naive.src = copy(d.src);
    naive.Run(d, dst_at, src_at);
    assert_int_equal(u.Dma(d, in ? NPU_PIPE_DMA_IN : NPU_PIPE_DMA_OUT), NPU_FAULT_NONE);
    assert_true(naive.dst == copy(d.dst));
  }
}

void TestOverlapInSram(void**) {
  World w;
  Units u(w);
  for (int i = 0; i < 4096; ++i) u.local.sram()[i] = static_cast<uint8_t>(i * 13);
  const std::vector<uint8_t> before(u.local.sram(), u.local.sram() + 4096);
  // Shift up by 16: as if the source were read before the first write.
  assert_int_equal(u.Dma(Linear(kSram + 16, kSram, 1000), NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  assert_memory_equal(u.local.sram() + 16, before.data(), 1000);
  assert_int_equal(u.counters.bytes_in, 1000);
}

// By which path the bytes went, whichever side decides it.
// What an operation needs for a moment is bounded by its size limit; a core that stands still does not keep it.
void TestScratchIsGivenBack(void**) {
  World w;
  Units u(w);
  npu_dma_desc d = Linear(kSram + 64, kSram, 1u << 19);  // overlaps: the source is staged
  d.count[1] = 128;
  assert_int_equal(u.Dma(d, NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  assert_true(u.unit.stage.capacity() >= 64u << 20);
  u.unit.TrimScratch();
  assert_int_equal(u.unit.stage.capacity(), 0);
  assert_int_equal(u.Dma(Linear(kSram + 64, kSram, 4096), NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  const uint8_t* kept = u.unit.stage.data();
  u.unit.TrimScratch();  // a usual one stays: the next operation does not allocate
  assert_ptr_equal(u.unit.stage.data(), kept);
}

void TestBytesByPath(void**) {
  World w;
  Units u(w);
  const uint64_t device = w.Buffer(8192), host = w.Buffer(8192, true);
  const auto expect = [&u](uint64_t all, uint64_t from_host, uint64_t local) {
    assert_int_equal(u.counters.bytes_in + u.counters.bytes_out, all);
    assert_int_equal(u.counters.bytes_host, from_host);
    assert_int_equal(u.counters.bytes_local, local);
  };
  assert_int_equal(u.Dma(Linear(kSram, device, 100), NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  expect(100, 0, 0);
  assert_int_equal(u.Dma(Linear(kSram, host, 1000), NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  expect(1100, 1000, 0);
  // A fill has no source: the host memory of the operation before is not its own.
  npu_dma_desc fill = Linear(kSram, 0, 16);
  fill.op = NPU_DMA_FILL;
  assert_int_equal(u.Dma(fill, NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  expect(1116, 1000, 16);
  assert_int_equal(u.Dma(Linear(host, kSram, 500), NPU_PIPE_DMA_OUT), NPU_FAULT_NONE);
  expect(1616, 1500, 16);
  assert_int_equal(u.Dma(Linear(device, kSram, 50), NPU_PIPE_DMA_OUT), NPU_FAULT_NONE);
  expect(1666, 1500, 16);
  assert_int_equal(u.Dma(Linear(kSram + 4096, kSram, 64), NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  expect(1730, 1500, 80);
  // What is refused has moved nothing.
  assert_int_equal(u.Dma(Linear(kSram, host, 8193), NPU_PIPE_DMA_IN), NPU_FAULT_OOB);
  expect(1730, 1500, 80);
}

void TestFaults(void**) {
  World w;
  Units u(w);
  const uint64_t p = w.Buffer(1000), host = w.Buffer(8192, true);
  npu_dma_desc d = Linear(kSram, p, 1001);
  REFUSED(u, w, NPU_FAULT_OOB, u.Dma(d, NPU_PIPE_DMA_IN));
  assert_int_equal(u.fault.operand, 1);
  assert_int_equal(u.fault.bad_bytes, 1);
  assert_int_equal(u.fault.bad_index[0], 1000);
  d = Linear(p, kSram, 1001);
  REFUSED(u, w, NPU_FAULT_OOB, u.Dma(d, NPU_PIPE_DMA_OUT));
  assert_int_equal(u.fault.operand, 0);
  assert_int_equal(u.fault.access, NPU_ACCESS_WRITE);
  // Rows 0..9 of 100 bytes fit; a pitch of 101 pushes row 9 over the edge by 9 bytes.
  d = Linear(p, kSram, 100);
  d.count[1] = 10;
  d.dst_stride[0] = 101;
  d.src_stride[0] = 100;
  REFUSED(u, w, NPU_FAULT_OOB, u.Dma(d, NPU_PIPE_DMA_OUT));
  assert_int_equal(u.fault.bad_index[0], 91);
  assert_int_equal(u.fault.bad_index[1], 9);
  assert_int_equal(u.fault.bad_bytes, 9);
  assert_int_equal(u.fault.bad_addr, NPU_PTR_VA(p) + 1000);
  // Downwards: the fourth row starts below the buffer.
  d.dst = p + 250;
  d.dst_stride[0] = -100;
  REFUSED(u, w, NPU_FAULT_OOB, u.Dma(d, NPU_PIPE_DMA_OUT));
  assert_int_equal(u.fault.bad_index[1], 3);
  assert_int_equal(u.fault.bad_addr, NPU_PTR_VA(p) - 50);
  assert_int_equal(u.fault.bad_bytes, 50 + 6 * 100);
  d = Linear(kSram + kSramBytes - 10, p, 11);
  REFUSED(u, w, NPU_FAULT_LOCAL_OOB, u.Dma(d, NPU_PIPE_DMA_IN));
  REFUSED(u, w, NPU_FAULT_NULL, u.Dma(Linear(0, p, 4), NPU_PIPE_DMA_IN));
  REFUSED(u, w, NPU_FAULT_STALE, u.Dma(Linear(kSram, p ^ (1ull << NPU_GEN_SHIFT), 4), NPU_PIPE_DMA_IN));
  REFUSED(u, w, NPU_FAULT_UNKNOWN_BUF, u.Dma(Linear(kSram, NPU_PTR(777, 0, 0x40000000), 4), NPU_PIPE_DMA_IN));
  w.bus_error_at = (*w.Pte(NPU_PTR_VA(host)) & NPU_PTE_ADDR_MASK) + 5000;
  REFUSED(u, w, NPU_FAULT_BUS, u.Dma(Linear(kSram, host, 8192), NPU_PIPE_DMA_IN));
  w.Unmap(NPU_PTR_VA(host) + 4096);
  REFUSED(u, w, NPU_FAULT_PAGE, u.Dma(Linear(kSram, host, 8192), NPU_PIPE_DMA_IN));
  assert_int_equal(u.fault.bad_index[0], 4096);
  assert_int_equal(u.fault.bad_bytes, 4096);
  REFUSED(u, w, NPU_FAULT_PAGE, u.Dma(Linear(host, kSram, 8192), NPU_PIPE_DMA_OUT));
  *w.Pte(NPU_PTR_VA(p)) &= ~NPU_PTE_WRITE;
  REFUSED(u, w, NPU_FAULT_PAGE_PERM, u.Dma(Linear(p, kSram, 4), NPU_PIPE_DMA_OUT));
  w.Bounds(static_cast<uint32_t>(NPU_PTR_BUF(p))).ctl &= ~NPU_BOUNDS_READ;
  REFUSED(u, w, NPU_FAULT_PERM, u.Dma(Linear(kSram, p, 4), NPU_PIPE_DMA_IN));
}

void TestLocalBuffers(void**) {
  World w;
  Units u(w);
  const uint64_t p = w.Buffer(4096);
  uint64_t a = 0, ro = 0;
  assert_true(u.local.Set(kSram + 64, 256, 3, &a, &u.fault));
  assert_true(u.local.Set(kSram + 1024, 256, 1, &ro, &u.fault));
  assert_int_equal(u.Dma(Linear(a, p, 256), NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  REFUSED(u, w, NPU_FAULT_LOCAL_OOB, u.Dma(Linear(a, p, 257), NPU_PIPE_DMA_IN));
  assert_int_equal(u.fault.buf_base, kSram + 64);
  assert_int_equal(u.fault.bad_bytes, 1);
  REFUSED(u, w, NPU_FAULT_PERM, u.Dma(Linear(ro, p, 4), NPU_PIPE_DMA_IN));
  assert_int_equal(u.Dma(Linear(p, ro, 256), NPU_PIPE_DMA_OUT), NPU_FAULT_NONE);
  assert_true(u.local.Clear(a, &u.fault));
  REFUSED(u, w, NPU_FAULT_STALE, u.Dma(Linear(a, p, 4), NPU_PIPE_DMA_IN));
  assert_false(u.local.Clear(a, &u.fault));
  assert_int_equal(u.fault.kind, NPU_FAULT_STALE);
  // A narrower entry from a tagged pointer stays within it.
  uint64_t inner = 0;
  assert_true(u.local.Set(ro + 16, 16, 1, &inner, &u.fault));
  assert_false(u.local.Set(ro + 250, 16, 1, &inner, &u.fault));
  assert_int_equal(u.fault.kind, NPU_FAULT_LOCAL_OOB);
  assert_false(u.local.Set(ro, 16, 3, &inner, &u.fault));
  assert_int_equal(u.fault.kind, NPU_FAULT_PERM);
  // All entries in use: 0, and a freed one is found again with another generation.
  uint64_t t = 1, lastp = 0;
  int made = 0;
  while (assert_true(u.local.Set(kSram, 16, 3, &t, &u.fault)), t) lastp = t, ++made;
  assert_int_equal(made, NPU_LOCAL_ENTRIES - 2);
  assert_true(u.local.Clear(lastp, &u.fault));
  assert_true(u.local.Set(kSram, 16, 3, &t, &u.fault));
  assert_int_equal(NPU_PTR_BUF(t), NPU_PTR_BUF(lastp));
  assert_int_not_equal(NPU_PTR_GEN(t), NPU_PTR_GEN(lastp));
}

void TestBadDescriptors(void**) {
  World w;
  Units u(w);
  const uint64_t p = w.Buffer(4096);
  const npu_dma_desc good = Linear(kSram, p, 64);
  const auto expect = [&](const npu_dma_desc& d, npu_pipe pipe, int detail) {
    REFUSED(u, w, NPU_FAULT_BAD_DESC, u.Dma(d, pipe));
    assert_int_equal(u.fault.detail, detail);
  };
  npu_dma_desc d = good;
  d.op = 9;
  expect(d, NPU_PIPE_DMA_IN, NPU_DESC_ERR_OP);
  d = good, d.flags = 2;
  expect(d, NPU_PIPE_DMA_IN, NPU_DESC_ERR_FLAGS);
  d = good, d.seed = 1;
  expect(d, NPU_PIPE_DMA_IN, NPU_DESC_ERR_RESERVED);
  d = good, d.count[0] = 0;
  expect(d, NPU_PIPE_DMA_IN, NPU_DESC_ERR_SHAPE);
  d = good, d.count[1] = d.count[2] = d.count[3] = UINT32_MAX;
  expect(d, NPU_PIPE_DMA_IN, NPU_DESC_ERR_SHAPE);
  d = good, d.op = NPU_DMA_FILL, d.count[0] = 6;
  expect(d, NPU_PIPE_DMA_IN, NPU_DESC_ERR_SHAPE);
  d = good, d.flags = NPU_DMA_F_PAD, d.valid[0] = 64, d.pad_lo[0] = 1;
  expect(d, NPU_PIPE_DMA_IN, NPU_DESC_ERR_SHAPE);
  d = good, d.valid[0] = 64;
  expect(d, NPU_PIPE_DMA_IN, NPU_DESC_ERR_SHAPE);
  d = good, d.src_stride[1] = INT64_MIN;
  expect(d, NPU_PIPE_DMA_IN, NPU_DESC_ERR_STRIDE);
  expect(Linear(p, p, 8), NPU_PIPE_DMA_IN, NPU_DESC_ERR_SPACE);
  expect(Linear(kSram, kSram, 8), NPU_PIPE_DMA_OUT, NPU_DESC_ERR_SPACE);
  expect(Linear(p, p, 8), NPU_PIPE_DMA_OUT, NPU_DESC_ERR_SPACE);
  expect(Linear(NPU_LOCAL_STACK_BASE, p, 8), NPU_PIPE_DMA_IN, NPU_DESC_ERR_SPACE);
}

void TestCost(void**) {
  World w;
  Units u(w);
  const uint64_t p = w.Buffer(65536);
  u.unit.cores_used = 4;  // 32 bytes a cycle
  assert_int_equal(u.Dma(Linear(kSram, p, 4096), NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  assert_int_equal(u.cost.busy, 24 + 2 + 128);
  assert_int_equal(u.cost.latency, 200);
  npu_dma_desc d = Linear(kSram, p, 100);
  d.count[1] = 10;
  d.src_stride[0] = 128;
  d.dst_stride[0] = 100;
  assert_int_equal(u.Dma(d, NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  assert_int_equal(u.cost.busy, 24 + 10 * (2 + 4));
  d.src_stride[0] = 100;  // no gaps: one row of 1000 bytes
  assert_int_equal(u.Dma(d, NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  assert_int_equal(u.cost.busy, 24 + 2 + 32);
  assert_int_equal(u.Dma(Linear(kSram + 8192, kSram, 4096), NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  assert_int_equal(u.cost.busy, 24 + 2 + 64);
  assert_int_equal(u.cost.latency, 0);
}

// Random boxes with a conversion on the way, in both directions, with and without padding, element by element.
void TestConvert(void**) {
  World w;
  Units u(w);
  Random random(5);
  const uint64_t device = w.Buffer(65536), host = w.Buffer(65536, true);
  for (int round = 0; round < 1500; ++round) {
    const bool in = random.Below(2);
    const auto from = static_cast<uint8_t>(random.Below(NPU_DTYPES)),
               to = static_cast<uint8_t>(random.Below(NPU_DTYPES));
    const auto mode = static_cast<uint8_t>(random.Below(NPU_ROUNDS));
    const bool saturate = IsFloatType(to) && random.Below(2), packed = from == NPU_I4 || to == NPU_I4;
    const uint64_t global = random.Below(3) ? device : host;
    npu_dma_desc d{};
    d.op = NPU_DMA_CONVERT;
    d.value = NPU_DMA_TYPES(to, from, mode) | (saturate ? NPU_DMA_SATURATE : 0);
    if (mode == NPU_ROUND_STOCHASTIC) d.seed = static_cast<uint32_t>(random.Next());
    for (int k = 0; k < 4; ++k) d.count[k] = 1 + random.Below(k ? 4 : 30);
    if (packed) d.count[0] *= 2;
    uint32_t lo[4] = {}, n[4];
    for (int k = 0; k < 4; ++k) n[k] = d.count[k];
    if (!packed && random.Below(2)) {
      d.flags = NPU_DMA_F_PAD;
      for (int k = 0; k < 4; ++k) {
        d.pad_lo[k] = lo[k] = random.Below(d.count[k]);
        d.valid[k] = n[k] = 1 + random.Below(d.count[k] - lo[k]);
      }
    }
    int64_t pitch = d.count[0] * static_cast<uint32_t>(FactsOf(to).bits) / 8 + random.Below(9);
    for (int k = 0; k < 3; ++k) {
      d.dst_stride[k] = random.Below(4) ? pitch : -pitch;
      pitch *= d.count[k + 1];
      d.src_stride[k] = static_cast<int64_t>(random.Below(300)) - 150;
    }
    const int64_t dst_at = 30000, src_at = 20000 + random.Below(100);
    d.dst = (in ? kSram : global) + dst_at;
    d.src = (in ? global : kSram) + src_at;
    for (size_t i = 0; i < 65536 && round % 20 == 0; ++i) {
      u.local.sram()[i] = static_cast<uint8_t>(random.Next() >> 20);
      *(w.At(global) + i) = static_cast<uint8_t>(random.Next() >> 20);
    }
    uint8_t* dst = in ? u.local.sram() : w.At(global);
    const uint8_t* src = in ? w.At(global) : u.local.sram();
    std::vector<uint8_t> want(dst, dst + 65536);
    uint32_t number = 0;
    uint32_t i[4];
    for (i[3] = 0; i[3] < d.count[3]; ++i[3])
      for (i[2] = 0; i[2] < d.count[2]; ++i[2])
        for (i[1] = 0; i[1] < d.count[1]; ++i[1])
          for (i[0] = 0; i[0] < d.count[0]; ++i[0]) {
            int64_t out = dst_at, at = src_at;
            bool valid = true;
            for (int k = 0; k < 4; ++k) {
              valid &= i[k] >= lo[k] && i[k] < lo[k] + n[k];
              if (k) out += i[k] * d.dst_stride[k - 1], at += (int64_t{i[k]} - lo[k]) * d.src_stride[k - 1];
            }
            const uint32_t x = valid ? ElementAt(src + at, from, i[0] - lo[0]) : 0;
            const uint32_t y = valid ? ConvertBits(to, from, x, {mode, saturate, d.seed}, number++) : 0;
            PutElement(want.data() + out, to, i[0], y);
          }
    assert_int_equal(u.Dma(d, in ? NPU_PIPE_DMA_IN : NPU_PIPE_DMA_OUT), NPU_FAULT_NONE);
    if (std::memcmp(want.data(), dst, 65536)) {
      print_error("round %d: %s -> %s, mode %u\n", round, FactsOf(from).name, FactsOf(to).name, mode);
      fail();
    }
  }
}

void TestConvertRefusals(void**) {
  World w;
  Units u(w);
  const uint64_t p = w.Buffer(100);
  npu_dma_desc good = Linear(kSram, p, 25);
  good.op = NPU_DMA_CONVERT;
  good.value = NPU_DMA_TYPES(NPU_F16, NPU_F32, NPU_ROUND_NEAREST);
  assert_int_equal(u.Dma(good, NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  assert_int_equal(u.cost.busy, 24 + 2 + 2);  // 100 bytes come, 50 are written
  assert_int_equal(u.counters.bytes_in, 50);
  npu_dma_desc d = good;
  d.count[0] = 26;
  REFUSED(u, w, NPU_FAULT_OOB, u.Dma(d, NPU_PIPE_DMA_IN));
  assert_int_equal(u.fault.bad_index[0], 25);
  assert_int_equal(u.fault.bad_bytes, 4);
  const auto expect = [&](int detail) {
    REFUSED(u, w, NPU_FAULT_BAD_DESC, u.Dma(d, NPU_PIPE_DMA_IN));
    assert_int_equal(u.fault.detail, detail);
    d = good;
  };
  d = good, d.value = NPU_DMA_TYPES(12, 0, 0);
  expect(NPU_DESC_ERR_DTYPE);
  d.value = NPU_DMA_TYPES(0, 12, 0);
  expect(NPU_DESC_ERR_DTYPE);
  d.value |= 6u << 16;
  expect(NPU_DESC_ERR_FLAGS);
  d.value = NPU_DMA_TYPES(NPU_I8, 0, 0) | NPU_DMA_SATURATE;
  expect(NPU_DESC_ERR_FLAGS);
  d.value |= 1u << 25;
  expect(NPU_DESC_ERR_RESERVED);
  d.seed = 1;
  expect(NPU_DESC_ERR_RESERVED);
  d.value = NPU_DMA_TYPES(NPU_I4, 0, 0);
  expect(NPU_DESC_ERR_SHAPE);  // an odd count
  d.value = NPU_DMA_TYPES(NPU_I4, 0, 0), d.count[0] = 24, d.flags = NPU_DMA_F_PAD;
  expect(NPU_DESC_ERR_DTYPE);
  d.count[0] = (1 << 20) + 1;
  expect(NPU_DESC_ERR_SHAPE);
  // A page of host memory that fails in the middle: by the element.
  const uint64_t host = w.Buffer(8192, true);
  w.bus_error_at = (*w.Pte(NPU_PTR_VA(host)) & NPU_PTE_ADDR_MASK) + 4;
  d.src = host;
  REFUSED(u, w, NPU_FAULT_BUS, u.Dma(d, NPU_PIPE_DMA_IN));
}

uint64_t Window(uint64_t block, uint64_t offset) {
  return NPU_LOCAL_PEER_BASE + block * NPU_LOCAL_PEER_STRIDE + offset;
}

void TestPeers(void**) {
  World w;
  Units a(w), b(w);
  PeerWindows windows(2);
  a.unit.peers = b.unit.peers = &windows;
  b.unit.block = 1;
  for (uint32_t i = 0; i < 4096; ++i) {
    a.local.sram()[i] = static_cast<uint8_t>(i * 3);
    b.local.sram()[i] = static_cast<uint8_t>(i * 5 + 1);
  }
  const uint64_t device = w.Buffer(64);
  const auto outside = [&](const npu_dma_desc& d, npu_pipe pipe, uint64_t bad_addr, uint64_t bad_bytes) {
    const std::vector<uint8_t> other(b.local.sram(), b.local.sram() + kSramBytes);
    REFUSED(a, w, NPU_FAULT_LOCAL_OOB, a.Dma(d, pipe));
    assert_int_equal(a.fault.bad_addr, bad_addr);
    assert_int_equal(a.fault.bad_bytes, bad_bytes);
    assert_memory_equal(other.data(), b.local.sram(), kSramBytes);
  };
  // Closed: nothing is there but the own window.
  outside(Linear(kSram, Window(1, 0), 64), NPU_PIPE_DMA_IN, Window(1, 0), 64);
  outside(Linear(Window(1, 8), kSram, 64), NPU_PIPE_DMA_OUT, Window(1, 8), 64);
  assert_int_equal(a.Dma(Linear(Window(0, 16), kSram, 64), NPU_PIPE_DMA_OUT), NPU_FAULT_NONE);
  for (uint32_t i = 0; i < 64; ++i)
    assert_int_equal(a.local.sram()[16 + i], static_cast<uint8_t>(i * 3));  // as memmove
  windows.Open(0, a.local.sram());
  windows.Open(1, b.local.sram());
  // Both ways, strided.
  npu_dma_desc d = Linear(kSram + 8192, Window(1, 100), 32);
  d.count[1] = 3;
  d.src_stride[0] = 40;
  d.dst_stride[0] = 32;
  assert_int_equal(a.Dma(d, NPU_PIPE_DMA_IN), NPU_FAULT_NONE);
  assert_int_equal(a.cost.busy, 24 + 3 * (2 + 1));
  assert_int_equal(a.cost.latency, 40);
  for (uint32_t i = 0; i < 96; ++i)
    assert_int_equal(a.local.sram()[8192 + i], static_cast<uint8_t>((100 + i / 32 * 40 + i % 32) * 5 + 1));
  assert_int_equal(a.Dma(Linear(Window(1, kSramBytes - 64), kSram + 8192, 64), NPU_PIPE_DMA_OUT), NPU_FAULT_NONE);
  assert_memory_equal(b.local.sram() + kSramBytes - 64, a.local.sram() + 8192, 64);
  // The ends: of the peer's SRAM, of the launch, of the windows.
  outside(Linear(Window(1, kSramBytes - 60), kSram, 64), NPU_PIPE_DMA_OUT, Window(1, kSramBytes), 4);
  outside(Linear(kSram, Window(1, 0) - 4, 64), NPU_PIPE_DMA_IN, Window(0, NPU_LOCAL_PEER_STRIDE - 4), 64);
  d = Linear(kSram, Window(1, 50), 50);
  d.count[1] = 4;
  d.dst_stride[0] = 50;
  d.src_stride[0] = -50;
  outside(d, NPU_PIPE_DMA_IN, Window(1, 0) - 50, 100);
  outside(Linear(kSram, Window(2, 0), 4), NPU_PIPE_DMA_IN, Window(2, 0), 4);
  outside(Linear(kSram, Window(63, 0), 4), NPU_PIPE_DMA_IN, Window(63, 0), 4);
  REFUSED(a, w, NPU_FAULT_UNKNOWN_BUF, a.Dma(Linear(kSram, Window(64, 0), 4), NPU_PIPE_DMA_IN));
  // One side only, and no other pipe.
  REFUSED(a, w, NPU_FAULT_BAD_DESC, a.Dma(Linear(Window(1, 0), Window(1, 64), 4), NPU_PIPE_DMA_OUT));
  REFUSED(a, w, NPU_FAULT_BAD_DESC, a.Dma(Linear(Window(1, 0), kSram, 4), NPU_PIPE_DMA_IN));
  REFUSED(a, w, NPU_FAULT_BAD_DESC, a.Dma(Linear(device, Window(1, 0), 4), NPU_PIPE_DMA_OUT));
  npu_vector_desc v{};
  v.op = NPU_V_FILL;
  v.rows = v.cols = 1;
  v.dst = Window(1, 0);
  REFUSED(a, w, NPU_FAULT_LOCAL_OOB, a.Vector(v));
  windows.Close(1);
  outside(Linear(kSram, Window(1, 0), 64), NPU_PIPE_DMA_IN, Window(1, 0), 64);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(TestRandomBoxes),    cmocka_unit_test(TestScratchIsGivenBack),
      cmocka_unit_test(TestOverlapInSram),  cmocka_unit_test(TestBytesByPath),
      cmocka_unit_test(TestFaults),         cmocka_unit_test(TestLocalBuffers),
      cmocka_unit_test(TestBadDescriptors), cmocka_unit_test(TestCost),
      cmocka_unit_test(TestConvert),        cmocka_unit_test(TestConvertRefusals),
      cmocka_unit_test(TestPeers),
  };
  return cmocka_run_group_tests_name("core.dma", tests, nullptr, nullptr);
}
