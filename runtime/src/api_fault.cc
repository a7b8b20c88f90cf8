// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "fault_text.hpp"
#include "registry.hpp"

namespace npu::rt {
namespace {

template <class Work>
npuError_t WithFaults(Work work) {
  return Guard([&]() -> Status {
    std::shared_ptr<Context> context;
    NPU_TRY(Registry::Get().Current(&context));
    return work(context->faults());
  });
}

Status Report(FaultLog& log, npuReportFormat format, char* text, size_t* bytes) {
  if (!bytes) return Fail(npuErrorInvalidValue, "bytes is NULL");
  if (format != npuReportText && format != npuReportJson) {
    return Fail(npuErrorInvalidValue, "report format {} does not exist", static_cast<int>(format));
  }
  uint64_t seen = 0, dropped = 0;
  log.Count(&seen, &dropped);
  std::vector<npuFault> faults = log.All();
  std::string report = format == npuReportText ? TextReport(faults, dropped) : JsonReport(faults, dropped);
  if (text && *bytes) {
    size_t n = std::min(report.size(), *bytes - 1);
    std::memcpy(text, report.data(), n);
    text[n] = 0;
  }
  *bytes = report.size() + 1;
  return {};
}

}  // namespace
}  // namespace npu::rt

using namespace npu::rt;

npuError_t npuGetFaultCount(uint64_t* count, uint64_t* dropped) {
  return WithFaults([&](FaultLog& log) -> Status {
    uint64_t seen = 0, lost = 0;
    log.Count(&seen, &lost);
    if (count) *count = seen;
    if (dropped) *dropped = lost;
    return {};
  });
}

npuError_t npuGetFault(uint64_t index, npuFault* fault) {
  return WithFaults([&](FaultLog& log) -> Status {
    if (!fault) return Fail(npuErrorInvalidValue, "fault is NULL");
    if (!log.Get(index, fault)) return Fail(npuErrorInvalidValue, "no fault of index {} is kept", index);
    return {};
  });
}

npuError_t npuGetFaultReport(npuReportFormat format, char* text, size_t* bytes) {
  return WithFaults([&](FaultLog& log) { return Report(log, format, text, bytes); });
}

npuError_t npuClearFaults(void) {
  return WithFaults([](FaultLog& log) -> Status {
    log.Clear();
    return {};
  });
}
