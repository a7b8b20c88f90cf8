// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <vector>

#include "rig.hpp"

using namespace npu::hal;

static void buffers_are_whole_pages_of_zeros(void**) {
  auto device = OpenDevice();
  for (Memory memory : {Memory::kDevice, Memory::kHost}) {
    // Twice, so that the second one may get the memory that the first one has written.
    for (int round = 0; round < 2; round++) {
      auto buffer = device->CreateBuffer(5000, memory);
      AssertOk(buffer);
      assert_int_equal((*buffer)->size(), 8192);
      auto* bytes = static_cast<unsigned char*>((*buffer)->map());
      for (uint64_t i = 0; i < (*buffer)->size(); i++) assert_int_equal(bytes[i], 0);
      std::memset(bytes, 0xa5, (*buffer)->size());
      for (uint64_t i = 0; i < (*buffer)->size(); i++) assert_int_equal(bytes[i], 0xa5);
    }
  }
}

static void refuses_impossible_sizes(void**) {
  auto device = OpenDevice();
  assert_false(static_cast<bool>(device->CreateBuffer(0, Memory::kDevice)));
  assert_false(static_cast<bool>(device->CreateBuffer(UINT64_MAX - 100, Memory::kDevice)));
  auto huge = device->CreateBuffer(device->info().memory_bytes * 2, Memory::kDevice);
  assert_false(static_cast<bool>(huge));
  assert_int_equal(huge.error().code, ENOSPC);
  // Nothing was taken by the failed attempts.
  auto small = device->CreateBuffer(4096, Memory::kDevice);
  AssertOk(small);
}

static void memory_runs_out_and_comes_back(void**) {
  auto device = OpenDevice();
  std::vector<std::unique_ptr<Buffer>> buffers;
  const uint64_t piece = device->info().memory_bytes / 8;
  Error last;
  for (int i = 0; i < 16; i++) {
    auto buffer = device->CreateBuffer(piece, Memory::kDevice);
    if (!buffer) {
      last = buffer.error();
      break;
    }
    buffers.push_back(std::move(*buffer));
  }
  assert_int_equal(last.code, ENOSPC);
  assert_true(buffers.size() >= 4);
  buffers.pop_back();
  auto again = device->CreateBuffer(piece, Memory::kDevice);
  AssertOk(again);
}

static void refuses_bad_bindings(void**) {
  auto device = OpenDevice();
  auto buffer = device->CreateBuffer(16384, Memory::kDevice);
  AssertOk(buffer);
  Buffer& b = **buffer;
  uint64_t va = device->info().va_start;
  const uint64_t rw = NPU_PTE_READ | NPU_PTE_WRITE;
  assert_int_equal(device->Bind(b, 0, va + 1, 4096, rw).code, EINVAL);
  assert_int_equal(device->Bind(b, 100, va, 4096, rw).code, EINVAL);
  assert_int_equal(device->Bind(b, 0, va, 100, rw).code, EINVAL);
  assert_int_equal(device->Bind(b, 0, va, 0, rw).code, EINVAL);
  assert_int_equal(device->Bind(b, 0, va, 32768, rw).code, EINVAL);
  assert_int_equal(device->Bind(b, 16384, va, 4096, rw).code, EINVAL);
  assert_int_equal(device->Bind(b, 0, device->info().va_end, 4096, rw).code, EINVAL);
  assert_int_equal(device->Bind(b, 0, va, 4096, rw | NPU_PTE_HOST).code, EINVAL);
  assert_int_equal(device->Bind(b, 0, 0, 4096, rw).code, EINVAL);
}

static void large_pages_can_be_taken_apart(void**) {
  Rig rig;
  Area big(*rig.device, Memory::kDevice, 8 << 20, 0x40000000, 9);
  std::memset(big.as<char>(), 0x11, 8 << 20);
  // A hole of one page in the middle of a large page: its neighbours stay.
  const uint64_t hole = 0x40000000 + (3 << 20);
  AssertOk(rig.device->Unbind(hole, 4096));
  rig.Submit(CopyPacket(rig.memory->pointer(), big.pointer((3 << 20) - 4096), 4096));
  rig.Submit(CopyPacket(rig.memory->pointer(4096), big.pointer((3 << 20) + 4096), 4096));
  AssertOk(rig.Wait());
  for (int i = 0; i < 8192; i++) assert_int_equal(rig.memory->as<char>()[i], 0x11);
  rig.Submit(CopyPacket(rig.memory->pointer(), big.pointer(3 << 20), 4096));
  assert_int_equal(rig.Wait().code, EIO);
  assert_int_equal(LoadShared(rig.queue->status()->error), NPU_FAULT_PAGE);
}

static void unbinding_takes_effect_at_once(void**) {
  Rig rig;
  // The device has seen the translation before it goes.
  rig.Submit(FillPacket(rig.memory->pointer(), 7, 65536));
  AssertOk(rig.Wait());
  AssertOk(rig.device->Unbind(rig.memory->va, 65536));
  rig.Submit(FillPacket(rig.memory->pointer(), 9, 4096));
  assert_int_equal(rig.Wait().code, EIO);
  for (int i = 0; i < 65536; i++) assert_int_equal(rig.memory->as<char>()[i], 7);
}

static void contexts_are_isolated(void**) {
  Rig a, b;
  std::memset(a.memory->as<char>(), 1, 65536);
  std::memset(b.memory->as<char>(), 2, 65536);
  // The same address and number, in two contexts.
  a.Submit(FillPacket(a.memory->pointer(), 3, 65536));
  AssertOk(a.Wait());
  for (int i = 0; i < 65536; i++) assert_int_equal(b.memory->as<char>()[i], 2);
  // An address that only the other one has.
  Area only_a(*a.device, Memory::kDevice, 4096, 0x80000000, 10);
  b.Submit(FillPacket(only_a.pointer(), 4, 4096));
  assert_int_equal(b.Wait().code, EIO);
  for (int i = 0; i < 4096; i++) assert_int_equal(only_a.as<char>()[i], 0);
}

const CMUnitTest memory_tests[] = {
    cmocka_unit_test(buffers_are_whole_pages_of_zeros),
    cmocka_unit_test(refuses_impossible_sizes),
    cmocka_unit_test(memory_runs_out_and_comes_back),
    cmocka_unit_test(refuses_bad_bindings),
    cmocka_unit_test(large_pages_can_be_taken_apart),
    cmocka_unit_test(unbinding_takes_effect_at_once),
    cmocka_unit_test(contexts_are_isolated),
};
const size_t memory_test_count = sizeof(memory_tests) / sizeof(memory_tests[0]);
