// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// The DMA pipes.
#include <algorithm>
#include <cstring>

#include "core/convert.h"
#include "core/footprint.h"
#include "core/shared_bytes.h"
#include "core/timing.h"
#include "core/unit.h"

namespace npu::model {

namespace {

constexpr uint64_t kMaxBytes = 64u << 20;  // of one operation: repeated rows may add up to much
constexpr uint64_t kMaxRows = 1u << 20;
constexpr int64_t kMaxStride = int64_t{1} << NPU_VA_BITS;
constexpr uint64_t kMaxConverted = 1u << 20;  // elements: each is work, not only a copy
constexpr uint8_t kDst = 0, kSrc = 1;

// `value` of NPU_DMA_CONVERT.
struct Conversion {
  explicit Conversion(const npu_dma_desc& d)
      : dst_type(static_cast<uint8_t>(d.value)), src_type(static_cast<uint8_t>(d.value >> 8)) {
    rounding.mode = static_cast<uint8_t>(d.value >> 16);
    rounding.saturate = d.value & NPU_DMA_SATURATE;
    rounding.seed = d.seed;
  }
  bool packed() const { return dst_type == NPU_I4 || src_type == NPU_I4; }
  uint8_t dst_type, src_type;
  Rounding rounding;
};

// The descriptor in the terms of footprints.
struct Plan {
  Box dst;    // all of it is written
  Box inner;  // the part of dst that comes from src
  Box src;
  bool pad = false;    // inner is less than dst
  bool empty = false;  // inner has no elements
};

// Elements as bytes: i4 go in pairs.
void SetElement(Box* box, uint8_t type) {
  box->elem_bytes = std::max(DtypeBits(type) / 8, 1u);
  if (type == NPU_I4) box->count[0] /= 2;
}

Plan MakePlan(const npu_dma_desc& d) {
  Plan p;
  p.dst.ptr = d.dst;
  p.src.ptr = d.src;
  for (int i = 0; i < 4; ++i) p.dst.count[i] = i && !d.count[i] ? 1 : d.count[i];
  for (int i = 0; i < 3; ++i) {
    p.dst.stride[i + 1] = d.dst_stride[i];
    p.src.stride[i + 1] = d.src_stride[i];
  }
  const bool convert = d.op == NPU_DMA_CONVERT;
  const Conversion c(d);
  const uint32_t step = convert ? std::max(DtypeBits(c.dst_type) / 8, 1u) : 1;  // of dimension 0 of dst
  p.inner = p.dst;
  const bool valid_given = d.valid[0] | d.valid[1] | d.valid[2] | d.valid[3];
  if ((d.flags & NPU_DMA_F_PAD) && valid_given) {
    uint64_t offset = uint64_t{d.pad_lo[0]} * step;
    for (int i = 0; i < 4; ++i) {
      if (i) offset += d.pad_lo[i] * static_cast<uint64_t>(p.dst.stride[i]);
      p.inner.count[i] = d.valid[i];
      p.pad |= p.inner.count[i] != p.dst.count[i];
      p.empty |= !d.valid[i];
    }
    p.inner.ptr = (d.dst & ~NPU_VA_MASK) | ((d.dst + offset) & NPU_VA_MASK);
  }
  for (int i = 0; i < 4; ++i) p.src.count[i] = p.inner.count[i];
  if (!convert) return p;
  SetElement(&p.dst, c.dst_type);
  SetElement(&p.inner, c.dst_type);
  SetElement(&p.src, c.src_type);
  return p;
}

// The core's own SRAM, through whatever pointer; whether it is there is for Resolve to say.
bool ReachesSram(uint64_t ptr) {
  return LocalMemory::IsLocal(ptr) && !LocalMemory::IsStack(ptr) && !IsPeer(ptr);
}

// Walks the rows of a local box in order, as one stream of pieces.
class LocalStream {
 public:
  LocalStream(const Box& box, uint8_t* host) : box_(box), host_(host), left_(box.RowBytes()), at_(host) {}
  uint8_t* at() const { return at_; }
  uint64_t left() const { return left_; }
  void Advance(uint64_t n) {
    at_ += n;
    left_ -= n;
    if (left_) return;
    left_ = box_.RowBytes();
    for (int d = 1; d < 4; ++d) {
      if (++index_[d] < box_.count[d]) break;
      index_[d] = 0;
    }
    int64_t offset = 0;
    for (int d = 1; d < 4; ++d) offset += static_cast<int64_t>(index_[d]) * box_.stride[d];
    at_ = host_ + offset;
  }

 private:
  const Box& box_;
  uint8_t* host_;
  uint64_t left_;
  uint64_t index_[4] = {};
  uint8_t* at_;
};

void AppendLocal(const Box& box, uint8_t* host, std::vector<Span>* spans) {
  const uint64_t total = static_cast<uint64_t>(BoxBytes(box));
  LocalStream s(box, host);
  for (uint64_t done = 0; done < total;) {
    const uint64_t n = s.left();
    Span* last = spans->empty() ? nullptr : &spans->back();
    if (last && last->host + last->bytes == s.at())
      last->bytes += n;
    else
      spans->push_back(Span{s.at(), 0, n});
    done += n;
    s.Advance(n);
  }
}

// The host address of a box in a peer's SRAM.  At most one side of an operation is a peer, so one *peer is enough.
uint8_t* ResolvePeer(Unit* unit, const Box& box, npu_access access, PeerWindows::Access* peer, FaultInfo* fault) {
  const uint64_t window = (box.ptr - NPU_LOCAL_PEER_BASE) / NPU_LOCAL_PEER_STRIDE;
  const uint64_t base = NPU_LOCAL_PEER_BASE + window * NPU_LOCAL_PEER_STRIDE;
  uint8_t* sram = unit->local.sram();
  if (window != unit->block) {
    if (unit->peers && !peer->sram()) *peer = PeerWindows::Access(*unit->peers, window);
    sram = peer->sram();
  }
  if (!sram) {
    RefuseWhole(box, NPU_FAULT_LOCAL_OOB, access, fault);
    return nullptr;
  }
  const Outside outside = FindOutside(box, base, Wide(base) + kSramBytes);
  if (!outside.any) return sram + (box.ptr - base);
  RefuseOutside(box, NPU_FAULT_LOCAL_OOB, access, outside, fault);
  fault->buf_base = base;
  fault->buf_size = kSramBytes;
  return nullptr;
}

// One side's pieces, checked.
bool ResolveSide(Unit* unit, const Box& box, npu_access access, uint8_t operand, PeerWindows::Access* peer,
                 std::vector<Span>* spans, FaultInfo* fault) {
  spans->clear();
  if (LocalMemory::IsLocal(box.ptr)) {
    uint8_t* host =
        IsPeer(box.ptr) ? ResolvePeer(unit, box, access, peer, fault) : unit->local.Resolve(box, access, fault);
    if (host) {
      AppendLocal(box, host, spans);
      return true;
    }
  } else if (unit->space->Resolve(box, access, spans, fault)) {
    return true;
  }
  fault->operand = operand;
  return false;
}

// The first byte of host memory that could not be moved, by its position in the stream of the box.
bool BusFault(const Box& box, npu_access access, uint8_t operand, uint64_t position, FaultInfo* fault) {
  RefuseWhole(box, NPU_FAULT_BUS, access, fault);
  fault->operand = operand;
  const uint64_t row_bytes = box.RowBytes();
  uint64_t row = position / row_bytes;
  fault->bad_index[0] = static_cast<uint32_t>(position % row_bytes / box.elem_bytes);
  uint64_t va = NPU_PTR_VA(box.ptr) + position % row_bytes;
  for (int d = 1; d < 4; ++d) {
    fault->bad_index[d] = static_cast<uint32_t>(row % box.count[d]);
    va += row % box.count[d] * static_cast<uint64_t>(box.stride[d]);
    row /= box.count[d];
  }
  fault->bad_addr = va & NPU_VA_MASK;
  fault->bad_bytes -= position;
  return false;
}

// Gathers the source into unit->stage and makes it the only piece.
bool StageSource(Unit* unit, const Box& box, FaultInfo* fault) {
  unit->stage.resize(static_cast<uint64_t>(BoxBytes(box)));
  const Platform& platform = unit->space->platform();
  uint64_t done = 0;
  for (const Span& s : unit->spans) {
    uint8_t* to = unit->stage.data() + done;
    if (s.host)
      MoveShared(to, s.host, s.bytes);
    else if (platform.ops->dma_read(platform.opaque, s.bus, to, s.bytes))
      return BusFault(box, NPU_ACCESS_READ, kSrc, done, fault);
    done += s.bytes;
  }
  unit->spans.assign(1, Span{unit->stage.data(), 0, done});
  return true;
}

// The lowest byte and one past the highest.
std::pair<const uint8_t*, const uint8_t*> HostExtent(const std::vector<Span>& spans) {
  const uint8_t *low = spans[0].host, *high = low;
  for (const Span& s : spans) {
    low = std::min<const uint8_t*>(low, s.host);
    high = std::max<const uint8_t*>(high, s.host + s.bytes);
  }
  return {low, high};
}

bool NeedsStage(const Plan& plan, const std::vector<Span>& src, const std::vector<Span>& dst) {
  for (const Span& s : src)
    if (!s.host) return true;
  if (!LocalMemory::IsLocal(plan.src.ptr) || !LocalMemory::IsLocal(plan.dst.ptr) || src.empty() || dst.empty())
    return false;
  // SRAM to SRAM (a block's own window is its SRAM too): as if all of the source were read before the first byte is
  // written.
  const auto a = HostExtent(src), b = HostExtent(dst);
  return a.first < b.second && b.first < a.second;
}

// The staged source in the type of the destination.
void ConvertStage(Unit* unit, const npu_dma_desc& d, const Plan& plan) {
  const Conversion c(d);
  const auto bytes = static_cast<uint64_t>(BoxBytes(plan.src));
  const uint64_t elements = bytes * 8 / DtypeBits(c.src_type);
  unit->converted.resize(elements * DtypeBits(c.dst_type) / 8);
  ConvertElements(unit->converted.data(), c.dst_type, unit->stage.data(), c.src_type, c.rounding, 0, elements);
  unit->spans.assign(1, Span{unit->converted.data(), 0, unit->converted.size()});
}

// Writes the stream src (nullptr: the pattern, period 4) into the pieces of dst.
bool Pour(Unit* unit, const std::vector<Span>* src, uint32_t pattern, const std::vector<Span>& dst, const Box& box,
          FaultInfo* fault) {
  const Platform& platform = unit->space->platform();
  uint8_t block[1024];
  if (!src)
    for (size_t i = 0; i < sizeof(block); i += 4) std::memcpy(block + i, &pattern, 4);
  uint64_t done = 0, used = 0;
  size_t next = 0;
  for (const Span& d : dst) {
    for (uint64_t at = 0; at < d.bytes;) {
      uint64_t n = d.bytes - at;
      const uint8_t* from;
      if (src) {
        const Span& s = (*src)[next];
        n = std::min(n, s.bytes - used);
        from = s.host + used;
        used += n;
        if (used == s.bytes) ++next, used = 0;
      } else {
        n = std::min<uint64_t>(n, sizeof(block) - done % 4);
        from = block + done % 4;
      }
      if (d.host)
        MoveShared(d.host + at, from, n);
      else if (platform.ops->dma_write(platform.opaque, d.bus + at, from, n))
        return BusFault(box, NPU_ACCESS_WRITE, kDst, done, fault);
      at += n;
      done += n;
    }
  }
  return true;
}

// Rows of one plane, in device memory and in SRAM.
void CopyRows(uint8_t* to, int64_t to_pitch, const uint8_t* from, int64_t from_pitch, uint64_t bytes, uint64_t rows) {
  const auto flat = static_cast<int64_t>(bytes);
  if (rows == 1 || (to_pitch == flat && from_pitch == flat)) {
    MoveShared(to, from, bytes * rows);
    return;
  }
  if constexpr (!kMoveByRegisters) {
    for (uint64_t r = 0; r < rows; ++r, to += to_pitch, from += from_pitch) MoveShared(to, from, bytes);
    return;
  }
  ActiveKernels().copy_rows(to, to_pitch, from, from_pitch, bytes, rows);
}

// A copy between device memory and the core's own SRAM, each side in one stretch of the host's memory.  False: it is
// not such a one, or it is refused; nothing has happened, and the general way says what is to be said.
bool CopyStretches(Unit* unit, const Plan& plan) {
  const bool load = LocalMemory::IsLocal(plan.dst.ptr);
  const Box& local = load ? plan.dst : plan.src;
  const Box& away = load ? plan.src : plan.dst;
  if (LocalMemory::IsLocal(away.ptr) || !ReachesSram(local.ptr)) return false;
  uint8_t* const there = unit->space->ResolveStretch(away, load ? NPU_ACCESS_READ : NPU_ACCESS_WRITE);
  if (!there) return false;
  FaultInfo ignored;
  uint8_t* const here = unit->local.Resolve(local, load ? NPU_ACCESS_WRITE : NPU_ACCESS_READ, &ignored);
  if (!here) return false;
  const Box &to = plan.dst, &from = plan.src;
  for (uint64_t i3 = 0; i3 < to.count[3]; ++i3) {
    for (uint64_t i2 = 0; i2 < to.count[2]; ++i2) {
      const auto x2 = static_cast<int64_t>(i2), x3 = static_cast<int64_t>(i3);
      CopyRows((load ? here : there) + x2 * to.stride[2] + x3 * to.stride[3], to.stride[1],
               (load ? there : here) + x2 * from.stride[2] + x3 * from.stride[3], from.stride[1], to.RowBytes(),
               to.count[1]);
    }
  }
  return true;
}

bool SameOrFlat(const Box& box, int d, uint64_t run) {
  return box.count[d] == 1 || box.stride[d] == static_cast<int64_t>(run);
}

bool AnyHostMemory(const std::vector<Span>& spans) {
  return std::any_of(spans.begin(), spans.end(), [](const Span& s) { return !s.host; });
}

[[maybe_unused]] void Charge(Unit* unit, const npu_dma_desc& d, const Plan& plan, npu_pipe pipe, bool host_memory,
                             OpCost* cost) {
  const bool fill = d.op == NPU_DMA_FILL;
  const bool global = !LocalMemory::IsLocal(d.dst) || (!fill && !LocalMemory::IsLocal(d.src));
  const bool peer = IsPeer(d.dst) || (!fill && IsPeer(d.src));
  uint64_t share = kTiming.bytes_per_cycle;
  if (global)
    share = std::max<uint64_t>(1, std::min<uint64_t>(share, kTiming.memory_bytes_per_cycle / unit->cores_used));
  // The wider side of a conversion sets the pace.
  uint64_t written = plan.dst.RowBytes(), read = fill ? 0 : plan.src.RowBytes(), rows = 1;
  if (plan.pad) read = 0;  // what is not copied is made
  bool merging = true;
  for (int i = 1; i < 4; ++i) {
    const bool flat = SameOrFlat(plan.dst, i, written) && (fill || SameOrFlat(plan.src, i, read));
    merging &= flat && (!plan.pad || plan.dst.count[i] == 1);
    if (merging) {
      written *= plan.dst.count[i];
      read *= plan.dst.count[i];
    } else {
      rows *= plan.dst.count[i];
    }
  }
  cost->busy = kTiming.dma_startup_cycles + rows * (kTiming.row_cycles + CeilDiv(std::max(written, read), share));
  cost->latency = global ? kTiming.memory_latency_cycles : peer ? kTiming.peer_latency_cycles : 0;
  (pipe == NPU_PIPE_DMA_IN ? unit->counters.bytes_in : unit->counters.bytes_out) += written * rows;
  if (host_memory) unit->counters.bytes_host += written * rows;
  if (!global) unit->counters.bytes_local += written * rows;
}

bool CheckPadding(const npu_dma_desc& d, const Plan& plan) {
  if (!(d.flags & NPU_DMA_F_PAD)) {
    for (int i = 0; i < 4; ++i)
      if (d.pad_lo[i] || d.valid[i]) return false;
    return true;
  }
  for (int i = 0; i < 4; ++i)
    if (uint64_t{d.pad_lo[i]} + d.valid[i] > plan.dst.count[i]) return false;
  return true;
}

// The fields of a conversion; for other operations that they are not used.
bool ValidateConversion(const npu_dma_desc& d, FaultInfo* fault) {
  if (d.op != NPU_DMA_CONVERT) return !d.seed || BadDesc(fault, NPU_DESC_ERR_RESERVED);
  const Conversion c(d);
  const bool stochastic = c.rounding.mode == NPU_ROUND_STOCHASTIC;
  if ((d.value >> 24 & ~(NPU_DMA_SATURATE >> 24)) || (d.seed && !stochastic))
    return BadDesc(fault, NPU_DESC_ERR_RESERVED);
  if (!DtypeBits(c.dst_type) || !DtypeBits(c.src_type)) return BadDesc(fault, NPU_DESC_ERR_DTYPE);
  if (c.packed() && (d.flags & NPU_DMA_F_PAD)) return BadDesc(fault, NPU_DESC_ERR_DTYPE);
  if (c.rounding.mode >= NPU_ROUNDS || (c.rounding.saturate && !DtypeIsFloat(c.dst_type)))
    return BadDesc(fault, NPU_DESC_ERR_FLAGS);
  return !(c.packed() && d.count[0] % 2) || BadDesc(fault, NPU_DESC_ERR_SHAPE);
}

// The counts: of bytes, or of elements with a limit of their own.
bool ValidateShape(const npu_dma_desc& d, const Plan& plan, FaultInfo* fault) {
  const bool fill = d.op == NPU_DMA_FILL;
  uint64_t rows = 1;
  if (!d.count[0] || (fill && d.count[0] % 4)) return BadDesc(fault, NPU_DESC_ERR_SHAPE);
  for (int i = 1; i < 4; ++i) {
    if (plan.dst.count[i] > kMaxRows) return BadDesc(fault, NPU_DESC_ERR_SHAPE);
    rows *= plan.dst.count[i];
  }
  const uint64_t limit = d.op == NPU_DMA_CONVERT ? kMaxConverted : kMaxBytes;
  if (rows > kMaxRows || d.count[0] > limit || rows * d.count[0] > limit || !CheckPadding(d, plan))
    return BadDesc(fault, NPU_DESC_ERR_SHAPE);
  return true;
}

}  // namespace

bool ValidateDma(const npu_dma_desc& d, npu_pipe pipe, FaultInfo* fault) {
  const bool fill = d.op == NPU_DMA_FILL;
  if (d.op != NPU_DMA_COPY && !fill && d.op != NPU_DMA_CONVERT) return BadDesc(fault, NPU_DESC_ERR_OP);
  if (d.flags & ~NPU_DMA_F_PAD || (fill && d.flags)) return BadDesc(fault, NPU_DESC_ERR_FLAGS);
  if (!ValidateConversion(d, fault)) return false;
  if (!ValidateShape(d, MakePlan(d), fault)) return false;
  for (int i = 0; i < 3; ++i) {
    if (d.dst_stride[i] >= kMaxStride || d.dst_stride[i] <= -kMaxStride)
      return BadDesc(fault, NPU_DESC_ERR_STRIDE, kDst);
    if (d.src_stride[i] >= kMaxStride || d.src_stride[i] <= -kMaxStride)
      return BadDesc(fault, NPU_DESC_ERR_STRIDE, kSrc);
  }
  const bool in = pipe == NPU_PIPE_DMA_IN;
  const bool dst_away = !LocalMemory::IsLocal(d.dst) || IsPeer(d.dst);
  const bool src_away = !LocalMemory::IsLocal(d.src) || IsPeer(d.src);
  if (in ? !ReachesSram(d.dst) : !dst_away) return BadDesc(fault, NPU_DESC_ERR_SPACE, kDst);
  const bool src_ok = fill || ReachesSram(d.src) || (in && src_away);
  return src_ok || BadDesc(fault, NPU_DESC_ERR_SPACE, kSrc);
}

bool ExecuteDma(Unit* unit, const npu_dma_desc& d, npu_pipe pipe, OpCost* cost, FaultInfo* fault) {
  const Plan plan = MakePlan(d);
  if (d.op == NPU_DMA_COPY && !plan.pad && CopyStretches(unit, plan)) {
    if constexpr (kTimed) Charge(unit, d, plan, pipe, false, cost);
    return true;
  }
  const bool fill = d.op == NPU_DMA_FILL, convert = d.op == NPU_DMA_CONVERT;
  PeerWindows::Access peer;
  std::vector<Span>& dst = unit->more_spans;
  unit->spans.clear();
  const bool reads = !fill && !plan.empty;
  if (reads && !ResolveSide(unit, plan.src, NPU_ACCESS_READ, kSrc, &peer, &unit->spans, fault)) return false;
  if (!ResolveSide(unit, plan.dst, NPU_ACCESS_WRITE, kDst, &peer, &dst, fault)) return false;
  [[maybe_unused]] const bool host_memory = (reads && AnyHostMemory(unit->spans)) || AnyHostMemory(dst);
  const bool stage = reads && (convert || NeedsStage(plan, unit->spans, dst));
  if (stage && !StageSource(unit, plan.src, fault)) return false;
  if (reads && convert) ConvertStage(unit, d, plan);
  if (fill) {
    if (!Pour(unit, nullptr, d.value, dst, plan.dst, fault)) return false;
  } else {
    if (plan.pad) {
      if (!Pour(unit, nullptr, 0, dst, plan.dst, fault)) return false;
      dst.clear();
      // A part of what was just checked.
      if (!plan.empty && !ResolveSide(unit, plan.inner, NPU_ACCESS_WRITE, kDst, &peer, &dst, fault)) return false;
    }
    if (!plan.empty && !Pour(unit, &unit->spans, 0, dst, plan.inner, fault)) return false;
  }
  if constexpr (kTimed) Charge(unit, d, plan, pipe, host_memory, cost);
  return true;
}

}  // namespace npu::model
