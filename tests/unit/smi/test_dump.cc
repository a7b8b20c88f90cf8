// SPDX-License-Identifier: Apache-2.0
//
// The decoder of device core dumps: a whole dump, every cut of it, and bytes that are no dump.  Prints TAP.
#include <cstring>
#include <string>
#include <vector>

#include "../../vm/tap.h"
#include "dump.h"

namespace {

using npu::smi::Dump;
using Bytes = std::vector<std::byte>;

void Append(const void* data, size_t size, Bytes* out) {
  const auto* begin = static_cast<const std::byte*>(data);
  out->insert(out->end(), begin, begin + size);
}

void Section(uint32_t type, const Bytes& body, Bytes* out) {
  const npu_dump_section section = {type, 0, body.size()};
  Append(&section, sizeof section, out);
  out->insert(out->end(), body.begin(), body.end());
  out->resize((out->size() + 7) / 8 * 8);
}

template <typename T>
Bytes Of(const T& value) {
  Bytes out;
  Append(&value, sizeof value, &out);
  return out;
}

Bytes OfText(const std::string& text) {
  Bytes out;
  Append(text.data(), text.size(), &out);
  return out;
}

Bytes WholeDump() {
  Bytes out(sizeof(npu_dump_header));
  Section(NPU_DUMP_STATE, OfText("reason: a test\nfw_state: ready\n\033[2J"), &out);
  Section(NPU_DUMP_REGISTERS, Of(npu_dump_register{0, 0x3155504e}), &out);
  npu_dump_queue queue{};
  queue.queue = 3, queue.context = 2, queue.pid = 77, queue.state = 1, queue.error = NPU_FAULT_TIMEOUT;
  queue.rptr = 9, queue.wptr = 10, queue.ring_log2 = 4;
  Section(NPU_DUMP_QUEUES, Of(queue), &out);
  npu_packet packet{};
  packet.type = NPU_PKT_LAUNCH, packet.tag = 0xabc;
  Bytes ring = Of(npu_dump_ring{3, 2, 9});
  Append(&packet, sizeof packet, &ring);
  Append(&packet, sizeof packet, &ring);
  Section(NPU_DUMP_RING, ring, &out);
  npu_fault_record fault{};
  fault.seq = 5, fault.kind = NPU_FAULT_TIMEOUT, fault.queue = 3, fault.packet = 9;
  Section(NPU_DUMP_FAULT, Of(fault), &out);
  Section(NPU_DUMP_LOG, OfText("queue 3 killed\n"), &out);
  npu_dump_walk walk{};
  walk.va = 0x20000000, walk.context = 2, walk.levels = 1000, walk.entries[0] = 0x1001;
  Section(NPU_DUMP_WALK, Of(walk), &out);
  npu_dump_buffer buffer{};
  buffer.size = 4096;
  std::memset(buffer.name, 'n', sizeof buffer.name);  // no end
  buffer.name[1] = '\033';
  Section(NPU_DUMP_BUFFERS, Of(buffer), &out);
  Section(99, OfText("later"), &out);
  const npu_dump_header header = {NPU_DUMP_MAGIC, out.size(), 3, 0, 1};
  std::memcpy(out.data(), &header, sizeof header);
  return out;
}

void TestWhole() {
  std::string error;
  const auto dump = npu::smi::ParseDump(WholeDump(), &error);
  if (!ok(dump.has_value(), "a whole dump is read")) return;
  ok(dump->queues.size() == 1 && dump->queues[0].pid == 77, "the queue");
  ok(dump->rings.size() == 1 && dump->rings[0].packets.size() == 2 && dump->rings[0].first == 9, "the ring");
  ok(dump->fault && dump->fault->seq == 5, "the fault record");
  ok(dump->walk && dump->buffers.size() == 1 && dump->registers.size() == 1, "walk, buffers, registers");
  ok(dump->state.find('\033') == std::string::npos, "no control character gets through");
  ok(dump->problems.size() == 1 && dump->problems[0].find("99") != std::string::npos, "the unknown section is named");
  const std::string text = npu::smi::DumpText(*dump), json = npu::smi::DumpJson(*dump);
  for (const char* word : {"reason: a test", "TIMEOUT", "LAUNCH", "<- at fault", "queue 3 killed", "level 2", "MAGIC"})
    ok(text.find(word) != std::string::npos, "the text has \"%s\"", word);
  ok(text.find('\033') == std::string::npos, "no control character gets into the text, from names either");
  for (const char* word : {"\"reason\": \"a test\"", "\"kind\": \"TIMEOUT\"", "\"rptr\": 9", "\"log\""})
    ok(json.find(word) != std::string::npos, "the JSON has %s", word);
}

// Every prefix either is no dump or gives one with a problem named; none reads past its end (sanitizers look).
void TestCuts() {
  const Bytes whole = WholeDump();
  int wrong = 0;
  for (size_t n = 0; n < whole.size(); ++n) {
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
    std::string error;
    const auto dump = npu::smi::ParseDump(cut, &error);
    if (!dump)
      wrong += n >= sizeof(npu_dump_header) || error.empty();
    else
      wrong += dump->problems.empty() || npu::smi::DumpText(*dump).empty() || npu::smi::DumpJson(*dump).empty();
  }
  is_equal(static_cast<unsigned long long>(wrong), 0, "every cut of it is refused or has a note");
}

void TestWrong() {
  std::string error;
  Bytes bytes = WholeDump();
  bytes[0] = std::byte{0};
  ok(!npu::smi::ParseDump(bytes, &error) && !error.empty(), "another magic number is refused");
  bytes = WholeDump();
  const npu_dump_section huge = {NPU_DUMP_LOG, 0, ~0ull};
  std::memcpy(bytes.data() + sizeof(npu_dump_header), &huge, sizeof huge);
  const auto dump = npu::smi::ParseDump(bytes, &error);
  ok(dump && !dump->problems.empty(), "a section longer than all there is ends it");
  ok(!npu::smi::ReadDump("/nonexistent", &error) && error.find("/nonexistent") != std::string::npos,
     "a file that is not there is named");
}

}  // namespace

int main() {
  TestWhole();
  TestCuts();
  TestWrong();
  return tap_done();
}
