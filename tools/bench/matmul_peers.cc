// SPDX-License-Identifier: Apache-2.0
#include "matmul_peers.h"

#include <cblas.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <oneapi/dnnl/dnnl.h>

#include <cstdlib>
#include <memory>

namespace npu::bench {
namespace {

template <class Function>
Function* Symbol(const char* library, const char* name) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  void* symbol = handle ? dlsym(handle, name) : nullptr;
  if (!symbol) {
    fmt::print(stderr, "npu-bench: matmul needs {} of {} as a peer: {}\n", name, library, dlerror());
    exit(1);
  }
  return reinterpret_cast<Function*>(symbol);
}
#define ONEDNN(function) Symbol<decltype(function)>("libdnnl.so.2", #function)
#define OPENBLAS(function) Symbol<decltype(function)>("libopenblas.so.0", #function)

void Check(dnnl_status_t status, const char* what) {
  if (status == dnnl_success) return;
  fmt::print(stderr, "npu-bench: oneDNN: {} answers {}\n", what, static_cast<int>(status));
  exit(1);
}

// oneDNN's matmul primitive on plain row-major operands.
std::function<void()> Primitive(uint32_t n, dnnl_data_type_t in, dnnl_data_type_t out, const void* a, const void* b,
                                void* c) {
  const dnnl_dims_t dims = {n, n};
  dnnl_memory_desc_t in_desc, out_desc;
  auto* const describe = ONEDNN(dnnl_memory_desc_init_by_tag);
  Check(describe(&in_desc, 2, dims, in, dnnl_ab), "memory_desc_init");
  Check(describe(&out_desc, 2, dims, out, dnnl_ab), "memory_desc_init");
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  Check(ONEDNN(dnnl_engine_create)(&engine, dnnl_cpu, 0), "engine_create");
  Check(ONEDNN(dnnl_stream_create)(&stream, engine, dnnl_stream_default_flags), "stream_create");
  dnnl_matmul_desc_t op;
  Check(ONEDNN(dnnl_matmul_desc_init)(&op, &in_desc, &in_desc, nullptr, &out_desc), "matmul_desc_init");
  dnnl_primitive_desc_t chosen;
  Check(ONEDNN(dnnl_primitive_desc_create)(&chosen, &op, nullptr, engine, nullptr), "primitive_desc_create");
  dnnl_primitive_t primitive;
  Check(ONEDNN(dnnl_primitive_create)(&primitive, chosen), "primitive_create");
  auto* const wrap = ONEDNN(dnnl_memory_create);
  dnnl_memory_t ma, mb, mc;
  Check(wrap(&ma, &in_desc, engine, const_cast<void*>(a)), "memory_create");
  Check(wrap(&mb, &in_desc, engine, const_cast<void*>(b)), "memory_create");
  Check(wrap(&mc, &out_desc, engine, c), "memory_create");
  auto* const execute = ONEDNN(dnnl_primitive_execute);
  auto* const wait = ONEDNN(dnnl_stream_wait);
  return [=] {
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, ma}, {DNNL_ARG_WEIGHTS, mb}, {DNNL_ARG_DST, mc}};
    Check(execute(primitive, stream, 3, args), "primitive_execute");
    Check(wait(stream), "stream_wait");
  };
}

}  // namespace

std::vector<Peer> MatmulPeers(const std::string& type, uint32_t n, const void* a, const void* b, void* c) {
  const int size = static_cast<int>(n);
  if (type == "bf16") return {{"oneDNN", Primitive(n, dnnl_bf16, dnnl_f32, a, b, c)}};
  if (type == "i8") {
    auto* const gemm = ONEDNN(dnnl_gemm_s8s8s32);
    const auto run = [=] {
      const int32_t offset = 0;
      Check(gemm('N', 'N', 'F', n, n, n, 1, static_cast<const int8_t*>(a), n, 0, static_cast<const int8_t*>(b), n, 0, 0,
                 static_cast<int32_t*>(c), n, &offset),
            "gemm_s8s8s32");
    };
    return {{"oneDNN gemm", run}, {"oneDNN matmul", Primitive(n, dnnl_s8, dnnl_s32, a, b, c)}};
  }
  auto* const fa = static_cast<const float*>(a);
  auto* const fb = static_cast<const float*>(b);
  auto* const fc = static_cast<float*>(c);
  auto* const sgemm = OPENBLAS(cblas_sgemm);
  auto* const gemm = ONEDNN(dnnl_sgemm);
  const std::string core = OPENBLAS(openblas_get_corename)();
  return {
      {"OpenBLAS " + core,
       [=] { sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, size, size, size, 1, fa, size, fb, size, 0, fc, size); }},
      {"oneDNN", [=] { Check(gemm('N', 'N', n, n, n, 1, fa, n, fb, n, 0, fc, n), "sgemm"); }}};
}

}  // namespace npu::bench
