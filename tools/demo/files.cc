// SPDX-License-Identifier: Apache-2.0
#include "files.h"

#include <unistd.h>
#include <zlib.h>

#include <climits>
#include <cstdio>
#include <cstring>
#include <memory>

namespace demo {
namespace {

constexpr char kImages[] = "t10k-images-idx3-ubyte.gz", kLabels[] = "t10k-labels-idx1-ubyte.gz";

// Folder of the running program.
std::string ProgramFolder() {
  char path[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n <= 0) return ".";
  std::string name(path, static_cast<size_t>(n));
  return name.substr(0, name.rfind('/'));
}

std::string SharedFile(const std::string& given, const char* name) {
  return given.empty() ? ProgramFolder() + "/../share/npu/demo/" + name : given;
}

bool Exists(const std::string& path) {
  return access(path.c_str(), R_OK) == 0;
}

std::string FindDataset(const std::string& dir) {
  std::vector<std::string> places = {dir};
  if (dir.empty()) {
    places = {"/usr/share/datasets/fashion-mnist", ProgramFolder() + "/../data/fashion-mnist",
              ProgramFolder() + "/../../data/fashion-mnist"};
  }
  std::string tried;
  for (const std::string& place : places) {
    if (Exists(place + "/" + kImages) && Exists(place + "/" + kLabels)) return place;
    tried += (tried.empty() ? "" : ", ") + place;
  }
  throw FileError("the Fashion-MNIST test set is not in " + tried +
                  "; install the package dataset-fashion-mnist, or name the folder of " + kImages + " with --data");
}

// A whole gzip file, at most limit bytes unpacked.
std::vector<uint8_t> Unpack(const std::string& path, size_t limit) {
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw FileError(path + ": cannot be opened");
  std::vector<uint8_t> data;
  uint8_t block[65536];
  for (;;) {
    const int n = gzread(file.get(), block, sizeof block);
    if (n < 0) throw FileError(path + ": damaged gzip data; install dataset-fashion-mnist again");
    if (n == 0) break;
    if (data.size() + static_cast<size_t>(n) > limit) throw FileError(path + ": larger than the test set can be");
    data.insert(data.end(), block, block + n);
  }
  // A gzip stream that ends early shows only when the file is closed.
  int status = Z_OK;
  gzerror(file.get(), &status);
  if (status != Z_OK) throw FileError(path + ": truncated gzip data; install dataset-fashion-mnist again");
  return data;
}

uint32_t BigEndian(const uint8_t* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}

// The payload of an IDX file with these dimensions; the first is free and comes back.
std::vector<uint8_t> ReadIdx(const std::string& path, const std::vector<uint32_t>& inner, uint32_t* count) {
  std::vector<uint8_t> data = Unpack(path, 64u << 20);
  const size_t header = 8 + 4 * inner.size();
  uint64_t each = 1;
  bool good = data.size() >= header && BigEndian(data.data()) == 0x800u + inner.size() + 1;
  for (size_t i = 0; good && i < inner.size(); ++i) {
    good = BigEndian(&data[8 + 4 * i]) == inner[i];
    each *= inner[i];
  }
  if (!good) throw FileError(path + ": not the IDX file that it should be");
  *count = BigEndian(&data[4]);
  if (*count == 0 || data.size() != header + *count * each)
    throw FileError(path + ": its size does not fit to its header");
  data.erase(data.begin(), data.begin() + static_cast<ptrdiff_t>(header));
  return data;
}

std::vector<uint8_t> ReadFile(const std::string& path, size_t limit) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) throw FileError(path + ": " + std::strerror(errno));
  std::vector<uint8_t> data(limit + 1);
  data.resize(std::fread(data.data(), 1, data.size(), file.get()));
  if (data.size() > limit) throw FileError(path + ": too large");
  return data;
}

float FromHalf(uint16_t h) {
  const uint32_t sign = uint32_t{h} >> 15 << 31, exponent = h >> 10 & 31, mantissa = h & 1023;
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * static_cast<float>(mantissa) * 0x1p-24f;
  const uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | mantissa << 13;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

// The .npuw file: format in train.py.
struct TensorEntry {
  char name[24];
  uint32_t type;  // 0 f32, 1 fp16
  uint32_t dims[4];
  uint64_t offset, bytes;
  uint32_t zero;
} __attribute__((packed));
static_assert(sizeof(TensorEntry) == 64);

class WeightFile {
 public:
  explicit WeightFile(const std::string& path) : path_(path), data_(ReadFile(path, 16u << 20)) {
    if (data_.size() < 16 || std::memcmp(data_.data(), "NPUW", 4) != 0 || Word(4) != 1) {
      throw FileError(path_ + ": not a weight file of version 1; tools/demo/train.py makes one");
    }
    tensors_ = Word(8);
    if (tensors_ > 64 || data_.size() < 16 + tensors_ * sizeof(TensorEntry)) throw FileError(path_ + ": truncated");
  }

  // The tensor as f32; it must have exactly count elements.
  std::vector<float> Get(const char* name, size_t count) const {
    for (uint32_t i = 0; i < tensors_; ++i) {
      TensorEntry e;
      std::memcpy(&e, &data_[16 + i * sizeof e], sizeof e);
      if (std::strncmp(e.name, name, sizeof e.name) != 0) continue;
      const size_t width = e.type == 0 ? 4 : 2;
      if (e.type > 1 || e.bytes != count * width || e.offset > data_.size() || e.bytes > data_.size() - e.offset) {
        throw FileError(path_ + ": tensor " + name + " is malformed or not " + std::to_string(count) + " elements");
      }
      return Widen(&data_[e.offset], count, e.type == 1);
    }
    throw FileError(path_ + ": no tensor " + name);
  }

 private:
  uint32_t Word(size_t at) const {
    uint32_t v;
    std::memcpy(&v, &data_[at], sizeof v);
    return v;
  }
  static std::vector<float> Widen(const uint8_t* from, size_t count, bool half) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) {
      if (half) {
        uint16_t h;
        std::memcpy(&h, from + 2 * i, sizeof h);
        values[i] = FromHalf(h);
      } else {
        std::memcpy(&values[i], from + 4 * i, sizeof(float));
      }
    }
    return values;
  }

  std::string path_;
  std::vector<uint8_t> data_;
  uint32_t tensors_ = 0;
};

}  // namespace

const char* const kClassNames[kClasses] = {"T-shirt", "trouser", "pullover", "dress", "coat",
                                           "sandal",  "shirt",   "sneaker",  "bag",   "ankle boot"};

Dataset LoadDataset(const std::string& dir) {
  const std::string place = FindDataset(dir);
  Dataset d;
  uint32_t labels = 0;
  d.images = ReadIdx(place + "/" + kImages, {kSide, kSide}, &d.count);
  d.labels = ReadIdx(place + "/" + kLabels, {}, &labels);
  if (labels != d.count) throw FileError(place + ": as many labels as images are needed");
  for (uint8_t label : d.labels) {
    if (label >= kClasses) throw FileError(place + "/" + kLabels + ": a label over 9");
  }
  return d;
}

Weights LoadWeights(const std::string& path) {
  const WeightFile file(SharedFile(path, "fashion_cnn.npuw"));
  Weights w;
  const auto input = file.Get("input", 2);
  w.scale = input[0];
  w.offset = input[1];
  w.conv1 = file.Get("conv1.w", 9 * kConv1);
  w.bias1 = file.Get("conv1.b", kConv1);
  w.conv2 = file.Get("conv2.w", 9 * kConv1 * kConv2);
  w.bias2 = file.Get("conv2.b", kConv2);
  w.fc1 = file.Get("fc1.w", kFlat * kHidden);
  w.bias3 = file.Get("fc1.b", kHidden);
  w.fc2 = file.Get("fc2.w", kHidden * kClasses);
  w.bias4 = file.Get("fc2.b", kClasses);
  return w;
}

Golden LoadGolden(const std::string& path) {
  const std::string name = SharedFile(path, "fashion_cnn.reference");
  const auto data = ReadFile(name, 4096);
  const std::string text(data.begin(), data.end());
  Golden g;
  unsigned long long digest = 0;
  const size_t at = text.find("images ");
  if (at == std::string::npos ||
      std::sscanf(text.c_str() + at, "images %u correct %u logits %llx", &g.images, &g.correct, &digest) != 3) {
    throw FileError(name + ": not the reference's results; demo --write-reference makes them");
  }
  g.digest = digest;
  return g;
}

void SaveGolden(const std::string& path, const Golden& g) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "w"), std::fclose);
  if (!file) throw FileError(path + ": " + std::strerror(errno));
  std::fprintf(file.get(),
               "# SPDX-License-Identifier: Apache-2.0\n"
               "# What the plain CPU reference (cpu_reference.cc) gives for the whole test set with fashion_cnn.npuw: "
               "images, how many\n"
               "# it gets right, and the FNV-1a hash of all logits in order.  Made by: demo --write-reference FILE\n"
               "images %u correct %u logits %016llx\n",
               g.images, g.correct, static_cast<unsigned long long>(g.digest));
}

uint64_t Digest(const float* values, size_t count) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, &values[i], sizeof bits);
    for (int b = 0; b < 4; ++b, bits >>= 8) hash = (hash ^ (bits & 0xff)) * 0x100000001b3ull;
  }
  return hash;
}

}  // namespace demo
