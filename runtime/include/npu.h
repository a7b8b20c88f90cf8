/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libnpu: devices, memory, streams, events, modules, launches and fault reports.
 *
 * Conventions, which hold for every function that does not say otherwise:
 * - Returns npuSuccess or an error, which also becomes the calling thread's last error together with a sentence that
 *   names the object, the cause and what to do next (npuGetLastErrorMessage).  A refused call has changed nothing.
 * - May be called from any thread at any time.
 * - The first call that needs a device opens it; one process has one context (address space) on a device.
 * - "The current device" belongs to the calling thread; it is device 0 until npuSetDevice.
 * - stream NULL is the default stream of the current device.  It is a stream like any other: it does not wait for the
 *   other streams, nor they for it.
 * - An error of the device belongs to the stream whose work caused it.  Calls on that stream return it until
 *   npuStreamReset; other streams go on.
 *
 * Device pointers are 64-bit values in a void *: buffer number, generation and address (hal/hw/npu_mmu.h).  Add and
 * subtract bytes as with any pointer; never dereference them on the host.
 */
#ifndef NPU_H
#define NPU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NPU_API __attribute__((visibility("default")))
#else
#define NPU_API
#endif

/* In C++ the enumerations are ints, as they are in C: any value may arrive, and is refused. */
#ifdef __cplusplus
#define NPU_ENUM_INT : int
#else
#define NPU_ENUM_INT
#endif

#define NPU_RUNTIME_VERSION 0x00010000u /* major << 16 | minor */

/* ------------------------------------------------------------------------------------------------ types */

typedef enum npuError NPU_ENUM_INT {
  npuSuccess = 0,
  npuErrorInvalidValue = 1,      /* an argument is malformed */
  npuErrorOutOfMemory = 2,       /* device memory, or device addresses */
  npuErrorOutOfHostMemory = 3,
  npuErrorNoDevice = 4,          /* no device of the chosen backend, or it cannot be opened */
  npuErrorInvalidDevice = 5,     /* no device of this index */
  npuErrorInvalidHandle = 6,     /* stream, event, module or function that does not exist (any more) */
  npuErrorInvalidPointer = 7,    /* not a live allocation, or a range that leaves it */
  npuErrorNotReady = 8,          /* work is still under way: an answer, not a failure (never the last error) */
  npuErrorInvalidImage = 9,      /* not a kernel file that this device can run */
  npuErrorFileNotFound = 10,
  npuErrorSymbolNotFound = 11,
  npuErrorTooManyArguments = 12,
  npuErrorInvalidGrid = 13,
  npuErrorNotSupported = 14,
  npuErrorNotPermitted = 15,
  npuErrorTooManyBuffers = 16,   /* all buffer numbers are taken */
  npuErrorVersion = 17,          /* driver, firmware or device of another version */
  npuErrorSystem = 18,           /* an operating-system call failed; the message has its errno */
  /* of a stream */
  npuErrorMemoryFault = 32,      /* out of bounds, stale, forbidden, unmapped or misaligned access */
  npuErrorKernelTrap = 33,       /* the kernel stopped itself */
  npuErrorIllegalInstruction = 34,
  npuErrorBadDescriptor = 35,    /* malformed pipe operation */
  npuErrorDeadlock = 36,         /* flag wait or barrier that nothing releases */
  npuErrorTimeout = 37,          /* no progress for the queue's limit: killed */
  npuErrorBadPacket = 38,        /* malformed packet or doorbell */
  npuErrorUncorrectable = 39,    /* ECC error */
  npuErrorBus = 40,              /* host memory answered with an error */
  npuErrorUpstream = 41,         /* an event that this stream waited for will never be recorded: its stream failed */
  npuErrorDeviceLost = 42,
  npuErrorReset = 43,            /* lost by a reset of the device that other work made necessary: submit it again */
  npuErrorUnknown = 63,
} npuError_t;

typedef struct npuStream_st *npuStream_t;
typedef struct npuEvent_st *npuEvent_t;
typedef struct npuModule_st *npuModule_t;
typedef struct npuFunction_st *npuFunction_t;

typedef struct npuDim3 {
  uint32_t x, y, z;
} npuDim3;

typedef enum npuMemcpyKind NPU_ENUM_INT {
  npuMemcpyHostToHost = 0,
  npuMemcpyHostToDevice = 1,
  npuMemcpyDeviceToHost = 2,
  npuMemcpyDeviceToDevice = 3,
  npuMemcpyDefault = 4, /* told from the pointers: a device pointer has a buffer number */
} npuMemcpyKind;

typedef struct npuDeviceProp {
  char name[64];
  char backend[16]; /* "drm" or "sim" */
  char bdf[32];     /* PCI address, or "sim" */
  char node[64];    /* device file, or "" */
  uint64_t uuid;
  uint32_t hwVersion, contractVersion, firmwareVersion;
  uint32_t cores;
  uint32_t sramBytes; /* local memory of a core */
  uint32_t queues;
  uint64_t totalMemory; /* bytes */
  uint64_t clockHz;
  uint32_t f32MacsPerCycle; /* of one core */
  uint32_t maxArgsBytes;
  uint32_t f16MacsPerCycle, i8MacsPerCycle; /* of one core; f16's are bf16's too */
  uint32_t dmaBytesPerCycle;                /* of one core, in one direction */
  uint32_t memoryBytesPerCycle;             /* of the device memory, for all cores together, in one direction */
} npuDeviceProp;

typedef struct npuDeviceStatus {
  uint32_t health;        /* 0 ok, 1 warn, 2 degraded, 3 reset required, 4 resetting, 5 isolated, 6 lost */
  int32_t temperatureMc;  /* millidegrees Celsius */
  uint32_t powerMw;
  uint32_t clockKhz;
  uint32_t utilisationPermille;
  uint64_t energyUj;
  uint64_t memoryTotal, memoryFree; /* bytes */
} npuDeviceStatus;

/* What a stream has cost, in modelled device cycles: the same on every machine and in every run.  The members are those
 * of struct npu_counters in hal/hw/npu_packet.h, in the same order. */
typedef struct npuCounters {
  uint64_t cycles, launches, blocks, instructions;
  uint64_t scalarCycles, matrixBusy, vectorBusy, dmaInBusy, dmaOutBusy;
  uint64_t stallFlag, stallQueue, stallDrain;
  uint64_t macs, vectorElements, bytesIn, bytesOut, copyBytes, coreCycles;
  uint64_t waitMatrix, waitVector, waitDmaIn, waitDmaOut, bytesHost, bytesLocal;
} npuCounters;

typedef enum npuMemoryType NPU_ENUM_INT {
  npuMemoryUnregistered = 0, /* host memory that the runtime does not know */
  npuMemoryHost = 1,         /* of npuMallocHost */
  npuMemoryDevice = 2,
} npuMemoryType;

typedef struct npuPointerAttributes {
  npuMemoryType type;
  int device;
  void *devicePointer; /* of the first byte of the allocation, or NULL */
  void *hostPointer;   /* likewise, for npuMemoryHost */
  size_t bytes;        /* as asked for */
  size_t offset;       /* of the pointer in the allocation */
  uint16_t buffer;     /* number */
  uint8_t generation;
  char name[64];
} npuPointerAttributes;

/* A buffer as a fault report names it. */
typedef struct npuFaultBuffer {
  int known;        /* 0: the other members say nothing */
  int live;         /* 0: it had been freed when the access came */
  char name[64];    /* given name, or "buffer 12" */
  uint64_t base;    /* untagged device address */
  uint64_t bytes;   /* as asked for */
  int64_t distance; /* bytes from the buffer to the first refused byte: < 0 before its start, >= 0 behind its last byte
                       (0: the first byte behind it).  0 when the byte lies inside (use after free, forbidden access).
                       For a victim: offset of the byte in it. */
  uint16_t number;
  uint8_t generation;
} npuFaultBuffer;

typedef struct npuFault {
  uint64_t sequence;
  uint64_t timeNs; /* device clock */
  int device;
  npuError_t error;
  uint32_t kind;      /* enum npu_fault_kind of hal/hw/npu_fault.h */
  uint32_t detail;
  char verdict[48];   /* "out-of-bounds write", "use after free", ... */
  npuStream_t stream; /* NULL when it is gone */
  uint32_t queue;
  uint64_t packet;    /* index in the stream, from 0 */
  char packetType[16];
  char kernel[128];   /* launch packets: entry symbol */
  char function[128]; /* where the pc is; inlined functions: the innermost */
  char file[256];     /* "" when the module has no line table */
  uint32_t line;
  uint64_t pc;        /* offset in the module */
  uint32_t block, core;
  char pipe[16];      /* "scalar", "matrix", "vector", "dma-in", "dma-out", "copy", "dispatcher" */
  char access[16];    /* "read", "write", "exec", "atomic" or "" */
  uint64_t address;   /* tagged pointer as used */
  uint64_t bytes;     /* from the lowest to the highest byte of the access */
  uint64_t badAddress, badBytes;
  uint32_t badIndex[4]; /* strided accesses: first bad element, innermost dimension first */
  uint32_t operand;     /* of a pipe operation: 0 dst, 1.. sources; 255 none */
  npuFaultBuffer buffer; /* the one meant: named by the pointer */
  npuFaultBuffer victim; /* the live one whose bytes would have been touched, if it is another */
} npuFault;

typedef enum npuReportFormat NPU_ENUM_INT { npuReportText = 0, npuReportJson = 1 } npuReportFormat;

/* ------------------------------------------------------------------------------------------------ errors */

/* The calling thread's last error; Get forgets it, Peek does not.  Never fail. */
NPU_API npuError_t npuGetLastError(void);
NPU_API npuError_t npuPeekAtLastError(void);
/* The sentence of the last failed call of this thread, "" if none.  Valid until the thread's next failed call. */
NPU_API const char *npuGetLastErrorMessage(void);
/* "npuErrorOutOfMemory", and a short description.  Static strings; unknown codes give "npuErrorUnknown". */
NPU_API const char *npuGetErrorName(npuError_t error);
NPU_API const char *npuGetErrorString(npuError_t error);

/* ------------------------------------------------------------------------------------------------ devices */

/* "auto", "drm" or "sim"; before the first device is counted or opened, else NotPermitted.  Without it the environment
 * variable NPU_BACKEND decides; auto takes the driver's devices if there are any, else the model in this process. */
NPU_API npuError_t npuSetBackend(const char *backend);
NPU_API npuError_t npuRuntimeGetVersion(uint32_t *version);
NPU_API npuError_t npuGetDeviceCount(int *count);
NPU_API npuError_t npuSetDevice(int device);
NPU_API npuError_t npuGetDevice(int *device);
NPU_API npuError_t npuGetDeviceProperties(npuDeviceProp *prop, int device);
/* Readings of this moment.  Never waits for the device's work. */
NPU_API npuError_t npuDeviceGetStatus(npuDeviceStatus *status, int device);
/* Waits for all work given to the current device before the call.  The error of the first failed stream, if any. */
NPU_API npuError_t npuDeviceSynchronize(void);
/* Frees everything this process has on the current device.  All its streams, events, modules and pointers become
 * invalid; work under way is killed.  No other call may run on the device at the same time. */
NPU_API npuError_t npuDeviceReset(void);

/* ------------------------------------------------------------------------------------------------ memory */

/* Device memory, not initialised, 256-byte aligned.  bytes 0: InvalidValue.  The bounds are exactly the bytes asked for.
 * Errors: OutOfMemory, TooManyBuffers. */
NPU_API npuError_t npuMalloc(void **ptr, size_t bytes);
/* The same, with a name for reports (copied, at most 63 characters). */
NPU_API npuError_t npuMallocNamed(void **ptr, size_t bytes, const char *name);
NPU_API npuError_t npuSetBufferName(void *ptr, const char *name);
/* Waits until the work given to all streams of the device before the call has ended, then takes the memory back.  Every
 * later access through the pointer is a fault.  ptr must be the pointer that npuMalloc gave; NULL is allowed.
 * Errors: InvalidPointer (twice freed, or inside an allocation). */
NPU_API npuError_t npuFree(void *ptr);
/* Stream order: memory that is usable by work given to stream after the call, and memory that is taken back when the work
 * given to stream before the call has ended, without waiting for it.  Using it in another stream needs an event. */
NPU_API npuError_t npuMallocAsync(void **ptr, size_t bytes, npuStream_t stream);
NPU_API npuError_t npuFreeAsync(void *ptr, npuStream_t stream);
/* Host memory that the device reaches: copies from and to it need no staging and do not hold up the caller. */
NPU_API npuError_t npuMallocHost(void **ptr, size_t bytes);
/* As npuFree. */
NPU_API npuError_t npuFreeHost(void *ptr);
/* The device pointer to memory of npuMallocHost, for kernels; host may point inside. */
NPU_API npuError_t npuHostGetDevicePointer(void **device_ptr, void *host);
NPU_API npuError_t npuMemGetInfo(size_t *free_bytes, size_t *total_bytes);
/* Gives memory that no allocation uses back to the device.  *released (may be NULL): bytes. */
NPU_API npuError_t npuMemTrim(size_t *released);
NPU_API npuError_t npuPointerGetAttributes(npuPointerAttributes *attributes, const void *ptr);

/* A pointer that reaches only [ptr + offset, + bytes) of a live allocation: for sub-allocators, so that their parts are
 * kept apart too.  It has a buffer number of its own and ends with npuNarrowEnd or with the allocation.
 * Errors: InvalidPointer (range leaves the allocation), TooManyBuffers. */
NPU_API npuError_t npuNarrow(void **narrowed, void *ptr, size_t offset, size_t bytes);
/* As npuFree: waits for work under way; later accesses are faults. */
NPU_API npuError_t npuNarrowEnd(void *narrowed);

/* Copies.  Ranges in device memory and in npuMallocHost memory are checked before anything is submitted.
 * npuMemcpy and npuMemset use the default stream and return when the copy has ended.
 * The Async forms are ordered in the stream.  With memory of npuMallocHost they return at once, and the memory must not be
 * touched until the copy has ended.  From other host memory the bytes are read before the call returns (it may wait for
 * room in the staging buffer); to other host memory the call returns when the bytes are there.
 * Errors: InvalidValue (kind), InvalidPointer (range). */
NPU_API npuError_t npuMemcpy(void *dst, const void *src, size_t bytes, npuMemcpyKind kind);
NPU_API npuError_t npuMemcpyAsync(void *dst, const void *src, size_t bytes, npuMemcpyKind kind, npuStream_t stream);
/* height rows of width bytes; pitches in bytes, at least width and below 4 GiB. */
NPU_API npuError_t npuMemcpy2D(void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width, size_t height,
                               npuMemcpyKind kind);
NPU_API npuError_t npuMemcpy2DAsync(void *dst, size_t dst_pitch, const void *src, size_t src_pitch, size_t width,
                                    size_t height, npuMemcpyKind kind, npuStream_t stream);
NPU_API npuError_t npuMemset(void *ptr, int value, size_t bytes);
NPU_API npuError_t npuMemsetAsync(void *ptr, int value, size_t bytes, npuStream_t stream);
/* count 32-bit words. */
NPU_API npuError_t npuMemsetD32Async(void *ptr, uint32_t value, size_t count, npuStream_t stream);

/* ------------------------------------------------------------------------------------------------ streams */

/* Work of a stream starts and ends in order; streams run beside each other. */
NPU_API npuError_t npuStreamCreate(npuStream_t *stream);
/* flags 0.  priority: 0 normal, 1 low, -1 high, -2 realtime; the last two may be NotPermitted. */
NPU_API npuError_t npuStreamCreateWithPriority(npuStream_t *stream, uint32_t flags, int priority);
NPU_API npuError_t npuDeviceGetStreamPriorityRange(int *least, int *greatest);
/* Waits for the stream's work.  The default stream cannot be destroyed. */
NPU_API npuError_t npuStreamDestroy(npuStream_t stream);
/* Waits for all work given before the call.  The stream's error, if it has one. */
NPU_API npuError_t npuStreamSynchronize(npuStream_t stream);
/* The same with a limit in milliseconds; NotReady when it passes. */
NPU_API npuError_t npuStreamSynchronizeFor(npuStream_t stream, uint32_t timeout_ms);
/* Success: all work has ended; NotReady; or the stream's error. */
NPU_API npuError_t npuStreamQuery(npuStream_t stream);
/* Later work of the stream waits for the last npuEventRecord before this call; no record yet: nothing to wait for.
 * When that record never happens because its stream failed, this stream fails with Upstream. */
NPU_API npuError_t npuStreamWaitEvent(npuStream_t stream, npuEvent_t event);
/* The stream's error, without waiting and without forgetting it; its sentence becomes npuGetLastErrorMessage. */
NPU_API npuError_t npuStreamGetError(npuStream_t stream, npuError_t *error);
/* After an error: drops the work that is still queued, forgets the error; the stream can be used again. */
NPU_API npuError_t npuStreamReset(npuStream_t stream);
/* Counters after the last packet that has ended.  For a region: synchronise, read, work, synchronise, read, subtract. */
NPU_API npuError_t npuStreamGetCounters(npuStream_t stream, npuCounters *counters);
/* Doorbell writes, system calls made to wait, and packets of the stream so far.  Any may be NULL. */
NPU_API npuError_t npuStreamGetStatistics(npuStream_t stream, uint64_t *packets, uint64_t *doorbells, uint64_t *waits);
/* Packets given between Begin and End become visible to the device together, with one doorbell.  Calls nest.  A call that
 * waits for the stream rings first. */
NPU_API npuError_t npuStreamBatchBegin(npuStream_t stream);
NPU_API npuError_t npuStreamBatchEnd(npuStream_t stream);

/* ------------------------------------------------------------------------------------------------ events */

NPU_API npuError_t npuEventCreate(npuEvent_t *event);
NPU_API npuError_t npuEventDestroy(npuEvent_t event);
/* Marks the point behind all work given to the stream so far.  Recording again moves the mark. */
NPU_API npuError_t npuEventRecord(npuEvent_t event, npuStream_t stream);
/* Waits for the last record.  Not recorded: Success at once.  Its stream failed before it: the stream's error. */
NPU_API npuError_t npuEventSynchronize(npuEvent_t event);
NPU_API npuError_t npuEventQuery(npuEvent_t event);
/* Milliseconds on the device's clock between two ended records.  NotReady; InvalidValue when one was never recorded. */
NPU_API npuError_t npuEventElapsedTime(float *milliseconds, npuEvent_t start, npuEvent_t end);
/* The same in modelled device cycles; both records must be of one stream (InvalidValue otherwise). */
NPU_API npuError_t npuEventElapsedCycles(uint64_t *cycles, npuEvent_t start, npuEvent_t end);

/* ------------------------------------------------------------------------------------------------ kernels */

/* Loads a kernel file: ELF64, RISC-V, little-endian, linked at 0.  Errors: FileNotFound, InvalidImage, OutOfMemory. */
NPU_API npuError_t npuModuleLoad(npuModule_t *module, const char *file);
/* The same from memory (copied).  name is for reports; NULL: "<memory>". */
NPU_API npuError_t npuModuleLoadData(npuModule_t *module, const void *image, size_t bytes, const char *name);
/* Waits for work under way.  Its functions become invalid. */
NPU_API npuError_t npuModuleUnload(npuModule_t module);
/* An entry: extern "C" void name(const Args *).  Valid as long as the module.  SymbolNotFound. */
NPU_API npuError_t npuModuleGetFunction(npuFunction_t *function, npuModule_t module, const char *name);
/* A variable of the module: device pointer (bounds: the whole module) and size. */
NPU_API npuError_t npuModuleGetGlobal(void **ptr, size_t *bytes, npuModule_t module, const char *name);
/* Runs grid.x * grid.y * grid.z blocks (each dimension at least 1, product below 2^31).  args_bytes bytes at args are
 * copied before the call returns; the kernel gets a pointer to the copy.  Limit: npuDeviceProp.maxArgsBytes.
 * Errors: InvalidHandle, InvalidGrid, TooManyArguments, and the stream's error. */
NPU_API npuError_t npuLaunchKernel(npuFunction_t function, npuDim3 grid, const void *args, size_t args_bytes,
                                   npuStream_t stream);

/* ------------------------------------------------------------------------------------------------ faults */

/* Faults of the current device seen so far (the last 1024 are kept), and records that the device had to drop. */
NPU_API npuError_t npuGetFaultCount(uint64_t *count, uint64_t *dropped);
/* index 0 is the oldest that is kept.  InvalidValue behind the last. */
NPU_API npuError_t npuGetFault(uint64_t index, npuFault *fault);
/* All kept faults as text for people or as stable JSON.  *bytes: in: room at text; out: length with the final zero; text is
 * cut to the room.  text NULL only asks. */
NPU_API npuError_t npuGetFaultReport(npuReportFormat format, char *text, size_t *bytes);
NPU_API npuError_t npuClearFaults(void);

#ifdef __cplusplus
}
#endif
#endif /* NPU_H */
