// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "rig.hpp"

static std::vector<uint8_t> Pattern(size_t bytes, unsigned seed) {
  std::vector<uint8_t> v(bytes);
  uint32_t x = seed * 2654435761u + 1;
  for (uint8_t& b : v) b = static_cast<uint8_t>((x = x * 1664525u + 1013904223u) >> 24);
  return v;
}

// Sizes around every limit of the way: words, pages, staging pieces, the staging ring.
static void all_sizes(void**) {
  npu::Stream stream;
  for (size_t bytes : {1, 3, 8, 63, 4095, 4096, 4097, 262143, 262144, 262145, 1048576, 3000001}) {
    npu::Buffer<uint8_t> device(bytes + 1);
    std::vector<uint8_t> in = Pattern(bytes, static_cast<unsigned>(bytes)), out(bytes);
    OK(npuMemcpyAsync(device.data() + 1, in.data(), bytes, npuMemcpyHostToDevice, stream.get()));
    std::vector<uint8_t> sent = in;
    // The bytes were read before the call returned.
    std::memset(in.data(), 0, bytes);
    OK(npuMemcpyAsync(out.data(), device.data() + 1, bytes, npuMemcpyDeviceToHost, stream.get()));
    assert_memory_equal(out.data(), sent.data(), bytes);
  }
}

static void every_kind(void**) {
  const size_t n = 10000;
  npu::Buffer<uint8_t> a(n), b(n);
  npu::HostBuffer<uint8_t> pinned(n);
  std::vector<uint8_t> in = Pattern(n, 1), out(n);
  OK(npuMemcpy(pinned.data(), in.data(), n, npuMemcpyHostToHost));
  OK(npuMemcpy(a.data(), pinned.data(), n, npuMemcpyHostToDevice));
  OK(npuMemcpy(b.data(), a.data(), n, npuMemcpyDeviceToDevice));
  std::memset(pinned.data(), 0, n);
  OK(npuMemcpy(pinned.data(), b.data(), n, npuMemcpyDeviceToHost));
  assert_memory_equal(pinned.data(), in.data(), n);
  OK(npuMemset(a.data(), 0, n));
  OK(npuMemcpy(a.data(), in.data(), n, npuMemcpyDefault));
  OK(npuMemcpy(out.data(), a.data(), n, npuMemcpyDefault));
  assert_memory_equal(out.data(), in.data(), n);
  OK(npuMemcpy(out.data(), a.data(), 0, npuMemcpyDefault));
}

static void rows_with_pitches(void**) {
  struct Case {
    size_t width, height, host_pitch, device_pitch;
  };
  for (Case c :
       {Case{1, 100, 1, 7}, Case{100, 33, 128, 101}, Case{5000, 200, 5001, 8192}, Case{300000, 3, 300000, 300001}}) {
    npu::Buffer<uint8_t> device(c.device_pitch * c.height), packed(c.width * c.height);
    std::vector<uint8_t> in = Pattern(c.host_pitch * c.height, 5), out(c.host_pitch * c.height, 0xcc);
    OK(npuMemset(device.data(), 0x77, device.bytes()));
    OK(npuMemcpy2D(device.data(), c.device_pitch, in.data(), c.host_pitch, c.width, c.height, npuMemcpyHostToDevice));
    OK(npuMemcpy2D(packed.data(), c.width, device.data(), c.device_pitch, c.width, c.height, npuMemcpyDeviceToDevice));
    OK(npuMemcpy2D(out.data(), c.host_pitch, packed.data(), c.width, c.width, c.height, npuMemcpyDeviceToHost));
    std::vector<uint8_t> raw = device.Download();
    for (size_t r = 0; r < c.height; r++) {
      assert_memory_equal(&out[r * c.host_pitch], &in[r * c.host_pitch], c.width);
      // Between the rows nothing was written.
      for (size_t i = c.width; i < c.host_pitch; i++) assert_int_equal(out[r * c.host_pitch + i], 0xcc);
      for (size_t i = c.width; i < c.device_pitch; i++) assert_int_equal(raw[r * c.device_pitch + i], 0x77);
    }
  }
}

static void fills(void**) {
  npu::Buffer<uint32_t> device(1000);
  npu::Stream stream;
  OK(npuMemset(device.data(), 0xab, 4000));
  OK(npuMemsetD32Async(device.data() + 10, 0x12345678, 20, stream.get()));
  stream.Synchronize();
  std::vector<uint32_t> out = device.Download();
  for (size_t i = 0; i < 1000; i++) assert_int_equal(out[i], i >= 10 && i < 30 ? 0x12345678u : 0xababababu);
  EXPECT(npuErrorInvalidPointer, npuMemset(device.data(), 0, 4001));
  int host;
  EXPECT(npuErrorInvalidPointer, npuMemset(&host, 0, 4));
}

static void refuses_bad_ranges(void**) {
  npu::Buffer<uint8_t> a(1000), b(1000);
  npu::HostBuffer<uint8_t> pinned(500);
  std::vector<uint8_t> host(2000, 1);
  EXPECT(npuErrorInvalidPointer, npuMemcpy(a.data(), host.data(), 1001, npuMemcpyHostToDevice));
  EXPECT(npuErrorInvalidPointer, npuMemcpy(host.data(), a.data() + 999, 2, npuMemcpyDeviceToHost));
  EXPECT(npuErrorInvalidPointer, npuMemcpy(a.data(), b.data() - 1, 10, npuMemcpyDeviceToDevice));
  EXPECT(npuErrorInvalidPointer, npuMemcpy(a.data(), pinned.data(), 501, npuMemcpyHostToDevice));
  EXPECT(npuErrorInvalidPointer, npuMemcpy(host.data(), host.data(), 10, npuMemcpyDeviceToHost));
  EXPECT(npuErrorInvalidValue, npuMemcpy(a.data(), b.data(), 10, npuMemcpyHostToDevice));
  EXPECT(npuErrorInvalidValue, npuMemcpy(a.data(), host.data(), 10, static_cast<npuMemcpyKind>(77)));
  EXPECT(npuErrorInvalidValue, npuMemcpy(a.data(), nullptr, 10, npuMemcpyHostToDevice));
  EXPECT(npuErrorInvalidValue, npuMemcpy(a.data() + 5, a.data(), 10, npuMemcpyDeviceToDevice));
  EXPECT(npuErrorInvalidValue, npuMemcpy2D(a.data(), 9, host.data(), 10, 10, 10, npuMemcpyHostToDevice));
  EXPECT(npuErrorInvalidValue, npuMemcpy2D(a.data(), 1ull << 40, host.data(), 10, 10, 10, npuMemcpyHostToDevice));
  EXPECT(npuErrorInvalidPointer, npuMemcpy2D(a.data(), 100, host.data(), 100, 100, 11, npuMemcpyHostToDevice));
  EXPECT(npuErrorInvalidValue, npuMemcpy2D(a.data(), 10, host.data(), 10, 10, SIZE_MAX / 4, npuMemcpyHostToDevice));
}

const CMUnitTest copy_tests[] = {
    cmocka_unit_test(all_sizes), cmocka_unit_test(every_kind),         cmocka_unit_test(rows_with_pitches),
    cmocka_unit_test(fills),     cmocka_unit_test(refuses_bad_ranges),
};
const size_t copy_test_count = sizeof(copy_tests) / sizeof(copy_tests[0]);
