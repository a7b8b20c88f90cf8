// SPDX-License-Identifier: Apache-2.0
// What the demonstration reads: the stored results of the CPU reference are those that it gives, and bad files are
// refused by name.
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <fstream>

#include "cpu_reference.h"
#include "files.h"
#include "support.h"

namespace {

const std::string kSource = DEMO_SOURCE_DIR;
const std::string kUsual = "/usr/share/datasets/fashion-mnist";

// A folder of its own, removed at the end.
struct Folder {
  Folder() {
    char name[] = "/tmp/npu-demo-test-XXXXXX";
    assert_non_null(mkdtemp(name));
    path = name;
  }
  ~Folder() {
    for (const std::string& f : files) unlink(f.c_str());
    rmdir(path.c_str());
  }
  std::string Write(const std::string& name, const std::string& bytes) {
    files.push_back(path + "/" + name);
    std::ofstream(files.back(), std::ios::binary) << bytes;
    return files.back();
  }
  void WriteGz(const std::string& name, const std::string& bytes) {
    files.push_back(path + "/" + name);
    gzFile f = gzopen(files.back().c_str(), "wb1");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, bytes.data(), static_cast<unsigned>(bytes.size())), bytes.size());
    assert_int_equal(gzclose(f), Z_OK);
  }
  std::string path;
  std::vector<std::string> files;
};

template <class Call>
bool Fails(Call call, const char* word) {
  try {
    call();
  } catch (const demo::FileError& e) {
    if (std::strstr(e.what(), word)) return true;
    std::fprintf(stderr, "\"%s\" has no \"%s\"\n", e.what(), word);
    return false;
  }
  std::fprintf(stderr, "no error with \"%s\"\n", word);
  return false;
}

std::string Idx(std::vector<uint32_t> dims, size_t payload, char fill = 0) {
  std::string s = {0, 0, 8, static_cast<char>(dims.size())};
  for (uint32_t d : dims) {
    for (int shift = 24; shift >= 0; shift -= 8) s += static_cast<char>(d >> shift & 0xff);
  }
  return s + std::string(payload, fill);
}

constexpr char kImages[] = "t10k-images-idx3-ubyte.gz", kLabels[] = "t10k-labels-idx1-ubyte.gz";

void StoredResults(void**) {
  if (access((kUsual + "/" + kImages).c_str(), R_OK) != 0) {
    print_message("SKIPPED: the images of the demonstration are not in %s\n", kUsual.c_str());
    skip();
  }
  const demo::Dataset d = demo::LoadDataset(kUsual);
  const demo::Weights w = demo::LoadWeights(kSource + "/fashion_cnn.npuw");
  const demo::Golden golden = demo::LoadGolden(kSource + "/fashion_cnn.reference");
  std::vector<float> logits(size_t{d.count} * demo::kClasses);
  demo::CpuReference(w, d.images.data(), d.count, logits.data());
  uint32_t right = 0;
  for (uint32_t i = 0; i < d.count; ++i) right += demo::Argmax(&logits[size_t{i} * demo::kClasses]) == d.labels[i];
  assert_int_equal(golden.images, d.count);
  assert_int_equal(golden.correct, right);
  assert_int_equal(golden.digest, demo::Digest(logits.data(), logits.size()));
  assert_true(right >= d.count / 100 * 91);
}

void DatasetErrors(void**) {
  Folder f;
  auto load = [&] { demo::LoadDataset(f.path); };
  assert_true(Fails(load, "dataset-fashion-mnist"));
  f.WriteGz(kLabels, Idx({2}, 2, 3));
  f.WriteGz(kImages, Idx({2, 28, 28}, 2 * 784));
  load();
  f.WriteGz(kImages, Idx({2, 28, 28}, 2 * 784 - 1));
  assert_true(Fails(load, "size does not fit"));
  f.WriteGz(kImages, Idx({2, 27, 28}, 2 * 27 * 28));
  assert_true(Fails(load, "not the IDX file"));
  f.WriteGz(kImages, Idx({3, 28, 28}, 3 * 784));
  assert_true(Fails(load, "as many labels as images"));
  f.WriteGz(kImages, Idx({2, 28, 28}, 2 * 784));
  f.WriteGz(kLabels, Idx({2}, 2, 10));
  assert_true(Fails(load, "a label over 9"));
  f.Write(kLabels, std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03garbage", 17));
  assert_true(Fails(load, "gzip data"));
}

void WeightErrors(void**) {
  Folder f;
  assert_true(Fails([&] { demo::LoadWeights(f.path + "/none.npuw"); }, "none.npuw"));
  assert_true(Fails([&] { demo::LoadWeights(f.Write("a.npuw", "hello")); }, "not a weight file"));
  std::ifstream in(kSource + "/fashion_cnn.npuw", std::ios::binary);
  const std::string good((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  assert_true(good.size() > 4096);
  assert_true(Fails([&] { demo::LoadWeights(f.Write("b.npuw", good.substr(0, good.size() - 200))); }, "fc2"));
  assert_true(Fails([&] { demo::LoadWeights(f.Write("c.npuw", good.substr(0, 100))); }, "truncated"));
  std::string renamed = good;
  renamed.replace(renamed.find("conv2.w"), 7, "conv9.w");
  assert_true(Fails([&] { demo::LoadWeights(f.Write("d.npuw", renamed)); }, "no tensor conv2.w"));
  assert_true(Fails([&] { demo::LoadGolden(f.Write("e", "images many\n")); }, "not the reference's results"));
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {cmocka_unit_test(StoredResults), cmocka_unit_test(DatasetErrors),
                              cmocka_unit_test(WeightErrors)};
  return cmocka_run_group_tests_name("ops.demo-files", tests, nullptr, nullptr);
}
