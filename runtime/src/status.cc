// SPDX-License-Identifier: Apache-2.0
#include "status.hpp"

#include <cerrno>

namespace npu::rt {
namespace {

struct LastError {
  npuError_t code = npuSuccess;
  std::string message;
};

LastError& Last() {
  thread_local LastError last;
  return last;
}

struct Text {
  npuError_t code;
  const char *name, *description;
};

constexpr Text kTexts[] = {
    {npuSuccess, "npuSuccess", "no error"},
    {npuErrorInvalidValue, "npuErrorInvalidValue", "an argument is malformed"},
    {npuErrorOutOfMemory, "npuErrorOutOfMemory", "out of device memory"},
    {npuErrorOutOfHostMemory, "npuErrorOutOfHostMemory", "out of host memory"},
    {npuErrorNoDevice, "npuErrorNoDevice", "no device can be opened"},
    {npuErrorInvalidDevice, "npuErrorInvalidDevice", "no device of this index"},
    {npuErrorInvalidHandle, "npuErrorInvalidHandle", "the object does not exist"},
    {npuErrorInvalidPointer, "npuErrorInvalidPointer", "not inside a live allocation"},
    {npuErrorNotReady, "npuErrorNotReady", "work is still under way"},
    {npuErrorInvalidImage, "npuErrorInvalidImage", "not a kernel file for this device"},
    {npuErrorFileNotFound, "npuErrorFileNotFound", "the file cannot be read"},
    {npuErrorSymbolNotFound, "npuErrorSymbolNotFound", "the module has no such symbol"},
    {npuErrorTooManyArguments, "npuErrorTooManyArguments", "too many argument bytes"},
    {npuErrorInvalidGrid, "npuErrorInvalidGrid", "a grid dimension is zero or the grid is too large"},
    {npuErrorNotSupported, "npuErrorNotSupported", "not supported"},
    {npuErrorNotPermitted, "npuErrorNotPermitted", "not permitted"},
    {npuErrorTooManyBuffers, "npuErrorTooManyBuffers", "all buffer numbers are taken"},
    {npuErrorVersion, "npuErrorVersion", "versions do not match"},
    {npuErrorSystem, "npuErrorSystem", "an operating-system call failed"},
    {npuErrorMemoryFault, "npuErrorMemoryFault", "a memory access was refused by the device"},
    {npuErrorKernelTrap, "npuErrorKernelTrap", "the kernel stopped itself"},
    {npuErrorIllegalInstruction, "npuErrorIllegalInstruction", "illegal instruction"},
    {npuErrorBadDescriptor, "npuErrorBadDescriptor", "malformed pipe operation"},
    {npuErrorDeadlock, "npuErrorDeadlock", "a wait that nothing can release"},
    {npuErrorTimeout, "npuErrorTimeout", "no progress: killed"},
    {npuErrorBadPacket, "npuErrorBadPacket", "malformed packet"},
    {npuErrorUncorrectable, "npuErrorUncorrectable", "uncorrectable memory error"},
    {npuErrorBus, "npuErrorBus", "host memory answered with an error"},
    {npuErrorUpstream, "npuErrorUpstream", "an awaited stream failed"},
    {npuErrorDeviceLost, "npuErrorDeviceLost", "the device is gone"},
    {npuErrorReset, "npuErrorReset", "lost by a reset of the device, through no fault of its own"},
    {npuErrorUnknown, "npuErrorUnknown", "unknown error"},
};

const Text& TextOf(npuError_t code) {
  for (const Text& text : kTexts) {
    if (text.code == code) return text;
  }
  return kTexts[std::size(kTexts) - 1];
}

}  // namespace

Status FromHal(const hal::Error& error, const std::string& what) {
  npuError_t code = npuErrorSystem;
  switch (error.code) {
    case 0:
      return {};
    case ENOSPC:
      code = npuErrorOutOfMemory;
      break;
    case ENOMEM:
      code = npuErrorOutOfHostMemory;
      break;
    case ENODEV:
      code = npuErrorDeviceLost;
      break;
    case EACCES:
    case EPERM:
      code = npuErrorNotPermitted;
      break;
    case EPROTO:
      code = npuErrorVersion;
      break;
    case EINVAL:
      code = npuErrorInvalidValue;
      break;
    case EOPNOTSUPP:
      code = npuErrorNotSupported;
      break;
    default:
      break;
  }
  return Status{code, what + ": " + error.message};
}

npuError_t Finish(const Status& s) noexcept {
  if (s.ok() || s.code == npuErrorNotReady) return s.code;
  LastError& last = Last();
  last.code = s.code;
  try {
    last.message = s.message.empty() ? TextOf(s.code).description : s.message;
  } catch (const std::bad_alloc&) {
    last.message.clear();
  }
  return s.code;
}

}  // namespace npu::rt

npuError_t npuGetLastError(void) {
  npu::rt::LastError& last = npu::rt::Last();
  npuError_t code = last.code;
  last.code = npuSuccess;
  return code;
}

npuError_t npuPeekAtLastError(void) {
  return npu::rt::Last().code;
}

const char* npuGetLastErrorMessage(void) {
  return npu::rt::Last().message.c_str();
}

const char* npuGetErrorName(npuError_t error) {
  return npu::rt::TextOf(error).name;
}

const char* npuGetErrorString(npuError_t error) {
  return npu::rt::TextOf(error).description;
}
