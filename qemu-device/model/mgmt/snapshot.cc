// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// Saves and loads the management core: hart, SRAM, interrupt controller, timer, NVRAM and what the host sees of it.
// Only while it stands still.
#include "hart/machine.h"
#include "mgmt/machine.h"
#include "mgmt/stream.h"

namespace npu::model {
namespace {

constexpr uint32_t kTag = 0x544d474d;  // "MGMT"
constexpr size_t kConsoleLine = 240;

// Machine-mode registers that hold no more than what software may write; written back the way software writes them, so
// that no impossible value gets in.
constexpr unsigned kCsrs[] = {0x300 /* mstatus */,
                              0x304 /* mie */,
                              0x305 /* mtvec */,
                              0x340 /* mscratch */,
                              0x341 /* mepc */,
                              0x342 /* mcause */,
                              0x343 /* mtval */};

void SaveHart(StateWriter& out, const HartState& hart) {
  for (int i = 1; i < 32; ++i) out.U64(hart.x[i]);
  out.U64(hart.pc);
  out.U64(hart.instret);
  out.U64(hart.cycles);
  for (unsigned csr : kCsrs) {
    uint64_t value = 0;
    machine::CsrRead(hart, csr, false, &value);
    out.U64(value);
  }
  out.U64(hart.mcycle_offset);
  out.U64(hart.minstret_offset);
  out.U64(hart.mip.load(std::memory_order_relaxed));
}

void LoadHart(StateReader& in, HartState& hart) {
  for (int i = 1; i < 32; ++i) hart.x[i] = in.U64();
  hart.pc = in.U64();
  in.Require(hart.pc % 2 == 0, "the management hart's pc is odd");
  hart.instret = in.U64();
  hart.cycles = in.U64();
  for (unsigned csr : kCsrs) machine::CsrWrite(hart, csr, false, in.U64());
  hart.mcycle_offset = in.U64();
  hart.minstret_offset = in.U64();
  hart.mip.store(in.U64() & (kMipSoftware | kMipTimer | kMipExternal), std::memory_order_relaxed);
}

}  // namespace

void MgmtBus::Save(StateWriter& out) const {
  out.Bytes(sram_.data(), sram_.size());
  out.U64(reserved_va_);
  out.U64(reserved_value_);
  out.U32(reserved_size_);
}

void MgmtBus::Load(StateReader& in) {
  in.Bytes(sram_.data(), sram_.size());
  reserved_va_ = in.U64();
  reserved_value_ = in.U64();
  reserved_size_ = in.U32();
  const bool sane =
      reserved_size_ == 0 || ((reserved_size_ == 4 || reserved_size_ == 8) && reserved_va_ % reserved_size_ == 0 &&
                              (InSram(reserved_va_, reserved_size_) || InMemory(reserved_va_, reserved_size_)));
  in.Require(sane, "the management hart's reservation is nowhere");
  if (!in.ok()) reserved_size_ = 0;
}

void Nvram::Save(StateWriter& out) const {
  out.Bytes(bytes_.data(), bytes_.size());
}

void Nvram::Replace(const Contents& fresh) {
  if (fresh == bytes_) return;
  bytes_ = fresh;
  dirty_ = true;
}

void Mgmt::Impl::Save(StateWriter& out) {
  Lock lock(mutex_);
  out.Begin(kTag);
  SaveHart(out, hart_);
  bus_.Save(out);
  nvram_.Save(out);
  for (const auto* word : {&state, &error, &error_info, &version, &heartbeat}) out.U32(word->load());
  out.U64(crash_pc.load());
  out.U64(alive_instret_);
  // The clock stands still since the pause began.
  const auto now = pause_began_ - platform_.power_on - lost_time_;
  out.U64(static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()));
  for (bool flag : {stop_wanted_, load_wanted_, crash_wanted_, running_, in_wfi_}) out.Flag(flag);
  out.U64(load_addr_);
  out.U64(load_size_);
  out.U32(irq_);
  out.U32(irq_enable_);
  out.U64(timecmp_);
  out.U32(static_cast<uint32_t>(console_line_.size()));
  out.Bytes(console_line_.data(), console_line_.size());
  out.End();
}

// Called after a reset; the caller resets again if the data turns out to be bad.
void Mgmt::Impl::Load(StateReader& in) {
  Lock lock(mutex_);
  in.Begin(kTag, "the management core");
  LoadHart(in, hart_);
  bus_.Load(in);
  Nvram::Contents nvram;
  in.Bytes(nvram.data(), nvram.size());
  uint32_t words[5];
  for (uint32_t& word : words) word = in.U32();
  in.Require(words[0] <= NPU_FW_STATE_CRASHED, "the firmware is in a state that there is not");
  crash_pc.store(in.U64());
  alive_instret_ = in.U64();
  in.Require(alive_instret_ <= hart_.instret, "the firmware's last sign of life lies in the future");
  const uint64_t now = in.U64();
  in.Require(now < uint64_t{1} << 62, "the clock of the management core is beyond its range");
  for (bool* flag : {&stop_wanted_, &load_wanted_, &crash_wanted_, &running_, &in_wfi_}) *flag = in.Flag();
  load_addr_ = in.U64();
  load_size_ = in.U64();
  irq_ = in.U32();
  irq_enable_ = in.U32();
  timecmp_ = in.U64();
  const uint32_t length = in.U32();
  if (in.Require(length <= kConsoleLine, "the firmware's console line is too long")) {
    console_line_.resize(length);
    in.Bytes(console_line_.data(), length);
    for (char& c : console_line_)
      if (c < ' ' || c > '~') c = '?';
  }
  in.End("the management core");
  // The last section: only now is it certain that all is well, and may the NVRAM's file change.
  if (!in.Require(in.AtEnd(), "there is something behind the end")) return;
  nvram_.Replace(nvram);
  pause_began_ = std::chrono::steady_clock::now();
  lost_time_ = pause_began_ - platform_.power_on - std::chrono::nanoseconds(now);
  error.store(words[1]);
  error_info.store(words[2]);
  version.store(words[3]);
  heartbeat.store(words[4]);
  state.store(words[0]);
  UpdateExternal();
  nvram_.Flush();
  wake_.notify_all();
}

}  // namespace npu::model
