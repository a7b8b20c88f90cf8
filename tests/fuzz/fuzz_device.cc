// SPDX-License-Identifier: Apache-2.0
//
// The whole device: the input is a list of actions of a host and of a firmware, some of them out of their minds.
// Whatever they did, a reset afterwards must end (libFuzzer's -timeout is the judge), and the device must work again.
#include "device_bench.h"
#include "fuzz.h"

namespace {

using fuzz::DeviceBench;
using fuzz::Input;

constexpr uint32_t kMaxActions = 64;

// 8 bytes of it, so that the mutations stay local.
uint64_t Number(Input& in) {
  const uint8_t kind = in.Take<uint8_t>();
  if (kind < 160) return kind;
  if (kind < 200) return uint64_t{in.Take<uint16_t>()} << (kind % 4 * 4);
  if (kind < 230) return in.Take<uint32_t>();
  return kind < 250 ? in.Take<uint64_t>() : ~uint64_t{kind % 4u};
}

uint64_t Pointer(Input& in) {
  const uint8_t kind = in.Take<uint8_t>();
  const uint64_t offset = uint64_t{in.Take<uint16_t>()} * (kind & 0x40 ? 256 : kind & 0x80 ? 8 : 1);
  switch (kind % 8) {
    case 0:
    case 1:
    case 2:
      return NPU_PTR(1, 1, fuzz::kVramVa + offset);
    case 3:
    case 4:
      return NPU_PTR(2, 1, fuzz::kHostVa + offset);
    case 5:
      return NPU_PTR(in.Below(4), in.Below(3), fuzz::kVramVa + offset);
    case 6:
      return NPU_PTR(1, 1, fuzz::kVramVa + offset) & ~7ull;
    default:
      return Number(in);
  }
}

npu_packet Packet(Input& in) {
  npu_packet p{};
  const uint8_t kind = in.Take<uint8_t>();
  p.type = kind % NPU_PKT_TYPES;
  p.flags = kind >= 128;
  if (p.flags || p.type == NPU_PKT_SIGNAL) {
    p.signal_addr = Pointer(in) & (in.Below(16) ? ~7ull : ~0ull);
    p.signal_value = Number(in);
  }
  switch (p.type) {
    case NPU_PKT_LAUNCH:
      p.u.launch.entry = Pointer(in) & ~1ull;
      p.u.launch.args = Pointer(in) & ~7ull;
      for (uint32_t& g : p.u.launch.grid) g = in.Below(8) ? 1 + in.Below(3) : static_cast<uint32_t>(Number(in));
      p.u.launch.args_bytes = in.Below(33) * 8;
      break;
    case NPU_PKT_COPY:
      p.u.copy.dst = Pointer(in);
      p.u.copy.src = Pointer(in);
      p.u.copy.row_bytes = Number(in);
      p.u.copy.rows = static_cast<uint32_t>(Number(in));
      p.u.copy.dst_pitch = static_cast<uint32_t>(Number(in));
      p.u.copy.src_pitch = static_cast<uint32_t>(Number(in));
      break;
    case NPU_PKT_FILL:
      p.u.fill.dst = Pointer(in);
      p.u.fill.pattern_bytes = in.Below(8) ? 1u << in.Below(4) : static_cast<uint32_t>(Number(in));
      p.u.fill.bytes = Number(in) * 8;
      p.u.fill.pattern = Number(in);
      break;
    case NPU_PKT_WAIT:
      p.u.wait.addr = Pointer(in) & ~7ull;
      p.u.wait.value = Number(in);
      p.u.wait.cond = in.Below(4);
      break;
    case NPU_PKT_TIMESTAMP:
    case NPU_PKT_COUNTERS:
      p.u.timestamp.addr = Pointer(in) & ~7ull;
      break;
    case NPU_PKT_INDIRECT:
      p.u.indirect.addr = Pointer(in) & (in.Below(16) ? ~63ull : ~0ull);
      p.u.indirect.count = static_cast<uint32_t>(Number(in));
      break;
    default:
      break;
  }
  if (kind % 32 == 31) p.u.raw[in.Below(5)] = in.Take<uint64_t>();
  return p;
}

class Session {
 public:
  Session(DeviceBench& bench, Input& in) : bench_(bench), in_(in) {}

  void Run() {
    for (uint32_t i = 0; i < kMaxActions && !in_.empty(); ++i) Act();
    if (paused_) bench_.device().Resume();
  }

 private:
  uint32_t Queue() { return in_.Below(fuzz::kQueues); }
  uint32_t Window() { return NPU_MG_SLOT_OFFSET + in_.Below(4) * NPU_MG_SLOT_STRIDE; }

  void Act() {
    const uint8_t kind = in_.Take<uint8_t>();
    if (kind < 100) return Submit();
    if (kind < 130) return Command();
    if (kind < 150) return HostRegister();
    if (kind < 185) return Scribble();
    if (kind < 200) return FirmwareRegister();
    if (kind < 215) return Life(kind);
    if (kind < 235) return Code();
    return Rare(kind);
  }

  // A queue that works, if nothing is in its way, and packets for it.
  void Submit() {
    const uint32_t queue = Queue();
    bench_.EnableContext(1 + queue % fuzz::kContexts);
    if (!made_[queue]) bench_.MakeQueue(queue);
    made_[queue] = true;
    if (bench_.Map(queue % 4, queue, 0) == NPU_ADMIN_OK) wptr_[queue] = 0;
    for (uint32_t n = 1 + in_.Below(4); n; --n) bench_.Push(queue, wptr_[queue]++, Packet(in_));
    bench_.Doorbell(queue, wptr_[queue]);
  }

  void Command() {
    const uint32_t window = Window();
    const uint8_t kind = in_.Take<uint8_t>();
    if (kind & 64) bench_.MgSet(window + NPU_MG_SLOT_QUEUE, kind & 32 ? Number(in_) : Queue());
    if (kind & 32) bench_.MgSet(window + NPU_MG_SLOT_SET_RPTR, Number(in_), 8);
    if (kind & 16) bench_.MgSet(window + NPU_MG_SLOT_KILL_KIND, Number(in_));
    if (kind & 128) bench_.MgSet(window + NPU_MG_SLOT_PRIORITY, Number(in_));
    bench_.MgSet(window + NPU_MG_SLOT_CMD, kind % 8);
    bench_.Mg(window + NPU_MG_SLOT_RESULT);
    bench_.Mg(NPU_MG_SLOT_NEXT);
  }

  void HostRegister() {
    static constexpr uint32_t kRegisters[] = {
        NPU_REG_CTRL,      NPU_REG_EVENTS,    NPU_REG_EVENT_MASK, NPU_REG_FW_ADDR,     NPU_REG_FW_SIZE,
        NPU_REG_MBOX_ADDR, NPU_REG_MBOX_DB,   NPU_REG_CTX_TABLE,  NPU_REG_QUEUE_TABLE, NPU_REG_TLB_INV,
        NPU_REG_INJ_KIND,  NPU_REG_INJ_COUNT, NPU_REG_INJ_ADDR,   NPU_REG_INJ_SEED,    NPU_REG_INJ_CTRL};
    const uint8_t kind = in_.Take<uint8_t>();
    if (kind >= 240) return Inject();
    if (kind >= 225) return Windows();
    const uint64_t reg = kind < 200 ? kRegisters[kind % std::size(kRegisters)] + kind / 100 * 4 : Number(in_);
    const unsigned size = kind % 16 < 14 ? (kind & 1 ? 4 : 8) : in_.Below(10);
    // A package would start the other firmware, which then shares the management port with this one: FW_CTRL is
    // fuzzed by the target "firmware".
    if (reg / 8 * 8 == NPU_REG_FW_SIZE) return;
    bench_.Set(reg, Number(in_), size);
    bench_.Get(Number(in_), size);
  }

  void Inject() {
    bench_.Set(NPU_REG_INJ_KIND, in_.Below(NPU_INJ_KINDS + 1));
    bench_.Set(NPU_REG_INJ_COUNT, Number(in_));
    bench_.Set(NPU_REG_INJ_ADDR, Number(in_), 8);
    bench_.Set(NPU_REG_INJ_CTRL, 1 + in_.Below(8) / 7);
    bench_.Get(NPU_REG_INJ_STATUS);
  }

  // What tools read beside the work.
  void Windows() {
    const uint64_t at = in_.Take<uint8_t>() * 4;
    for (uint64_t window : {NPU_ROM_OFFSET, NPU_CORE_OFFSET, NPU_SLOT_OFFSET, 0u, NPU_DOORBELL_OFFSET})
      bench_.Get(window + at, at % 8 ? 4 : 8);
    bench_.Mg(NPU_MG_SENSOR_TEMP + at % 128);
    bench_.MgSet(NPU_MG_CLOCK_KHZ, 400000 + at % 4 * 200000);
  }

  // Words of the tables and rings, while the device may be reading them.
  void Scribble() {
    static constexpr uint64_t kPlaces[] = {fuzz::kRoot,   fuzz::kMid,      fuzz::kMidHost,    fuzz::kLeaf,
                                           fuzz::kBounds, fuzz::kCtxTable, fuzz::kQueueTable, fuzz::kRings};
    const uint8_t kind = in_.Take<uint8_t>();
    uint64_t at = kPlaces[kind % 8] + in_.Take<uint8_t>() * 8;
    if (kind % 8 == 0) at = fuzz::kRoot + (kind & 8 ? fuzz::kHostVa : fuzz::kVramVa) / (1u << 30) * 8;
    if (kind % 8 == 7) at = fuzz::RingAt(Queue()) + in_.Take<uint8_t>() * 8;
    if (kind & 128) {
      bench_.StoreHost(kind & 64 ? fuzz::kFaultRings + in_.Take<uint16_t>() : Number(in_), Number(in_));
    } else if (kind & 64) {  // a page-table entry or the like
      bench_.StoreVram(at, uint64_t{in_.Take<uint16_t>()} << 12 | in_.Take<uint8_t>());
    } else {
      bench_.StoreVram(at, Number(in_));
    }
    if (kind & 32) bench_.Set(NPU_REG_TLB_INV, in_.Below(4) ? NPU_TLB_INV_ALL : Number(in_));
  }

  void FirmwareRegister() {
    const uint8_t kind = in_.Take<uint8_t>();
    const uint32_t reg = kind < 200 ? 0x28 + kind % 160 * 4 : static_cast<uint32_t>(Number(in_));
    bench_.MgSet(reg, Number(in_), kind & 1 ? 4 : 8);
    bench_.Mg(reg, kind & 2 ? 4 : 8);
  }

  void Life(uint8_t kind) {
    switch (kind % 5) {
      case 0:
        bench_.MgSet(NPU_MG_CTX_DISABLE, in_.Below(4));
        return;
      case 1:
        bench_.MgSet(NPU_MG_CTX_ENABLE, in_.Below(8) ? in_.Below(4) : Number(in_));
        return;
      case 2: {
        const uint32_t queue = Queue();
        bench_.MgSet(NPU_MG_DB_QUEUE, queue);
        bench_.MgSet(in_.Below(2) ? NPU_MG_DB_CLEAR : NPU_MG_DB_DEAD, in_.Below(2));
        made_[queue] = false;
        return;
      }
      case 3:
        bench_.Doorbell(Queue(), Number(in_));
        return;
      default:
        bench_.Set(NPU_DOORBELL_OFFSET + Queue() * NPU_DOORBELL_STRIDE + in_.Below(16), Number(in_),
                   1u << in_.Below(4));
        bench_.Set(NPU_DOORBELL_OFFSET + Number(in_), Number(in_), 1u << in_.Below(4));
    }
  }

  // Instructions and other bytes at the start of the data.
  void Code() {
    const uint64_t at = fuzz::kData + in_.Take<uint8_t>() * 8;
    for (uint64_t n = 1 + in_.Below(16), i = 0; i < n; ++i) bench_.StoreVram(at + i * 8, in_.Take<uint64_t>());
  }

  void Rare(uint8_t kind) {
    char text[64];
    switch (kind % 8) {
      case 0:
        if (!paused_) bench_.device().Pause();
        paused_ = true;
        return;
      case 1:
        if (paused_) bench_.device().Resume();
        paused_ = false;
        return;
      case 2:
        bench_.device().Reset(NPU_MODEL_RESET_FLR);
        std::fill(std::begin(made_), std::end(made_), false);
        bench_.Set(NPU_REG_CTX_TABLE, fuzz::kCtxTable, 8);
        bench_.Set(NPU_REG_QUEUE_TABLE, fuzz::kQueueTable, 8);
        return;
      case 3:
        std::snprintf(text, sizeof(text), "%.60s", bench_.device().Describe().c_str());
        return;
      default:  // let it work for a moment
        bench_.Until(in_.Below(3), [&] { return bench_.LoadHost(fuzz::kStatus + Queue() * 256ull) == ~0ull; });
    }
  }

  DeviceBench& bench_;
  Input& in_;
  bool made_[fuzz::kQueues] = {};
  uint64_t wptr_[fuzz::kQueues] = {};
  bool paused_ = false;
};

// After a reset a signal arrives.
void CheckAlive(DeviceBench& bench) {
  bench.Reset();
  FUZZ_CHECK(bench.EnableContext(1) == NPU_ADMIN_OK);
  bench.MakeQueue(0);
  FUZZ_CHECK(bench.Map(0, 0, 0) == NPU_ADMIN_OK);
  npu_packet packet{};
  packet.type = NPU_PKT_SIGNAL;
  packet.flags = NPU_PKT_F_SIGNAL;
  packet.signal_addr = NPU_PTR(2, 1, fuzz::kHostVa + fuzz::kHostData);
  packet.signal_value = 0x1234;
  bench.Push(0, 0, packet);
  bench.Doorbell(0, 1);
  FUZZ_CHECK(bench.Until(20000, [&] { return bench.LoadHost(fuzz::kHostData) == 0x1234; }));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t count) {
  static std::unique_ptr<DeviceBench> bench;
  static uint32_t runs = 0;
  // Now and then all of it ends and begins: power-off with work under way.
  if (runs++ % 256 == 0) bench.reset();
  if (!bench) bench = std::make_unique<DeviceBench>();
  Input in(bytes, count);
  CheckAlive(*bench);
  Session(*bench, in).Run();
  return 0;
}
