// SPDX-License-Identifier: Apache-2.0
//
// The demonstration: real images classified on the device, a stray write stopped, and a summary.
//
//   demo [--backend auto|sim|drm] [--images N] [--cpu-check N] [--data DIR] [--no-color]
//
// The dataset is looked for in /usr/share/datasets/fashion-mnist (Debian package dataset-fashion-mnist), then in
// data/fashion-mnist beside the program's folder; --data names another folder.
// Exit status: 0 when everything held, 1 when a check failed, 2 for wrong arguments or missing files, 3 for device
// errors.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cpu_reference.h"
#include "files.h"
#include "network.h"
#include "stomp.h"
#include "terminal.h"

namespace demo {
namespace {

struct Options {
  std::string backend = "auto", data, weights, write_reference;
  uint32_t images = 10000;
  int64_t cpu_check = -1;  // -1: as many images as three seconds allow
  bool no_color = false;
};

constexpr uint32_t kWholeSet = 10000;

// Everything that the summary judges.
struct Outcome {
  std::vector<std::pair<bool, std::string>> lines;
  void Add(bool good, std::string what) { lines.emplace_back(good, std::move(what)); }
  bool good() const {
    for (const auto& [ok, what] : lines) {
      if (!ok) return false;
    }
    return true;
  }
};

npuDeviceProp ShowDevice(const Terminal& t) {
  npuDeviceProp p;
  CheckNpu(npuGetDeviceProperties(&p, 0), "device");
  npuDeviceStatus s;
  CheckNpu(npuDeviceGetStatus(&s, 0), "device status");
  t.Title("device");
  t.Row("device", Format("%s, %s backend, %s%s%s", p.name, p.backend, p.bdf, p.node[0] ? ", " : "", p.node));
  t.Row("firmware", Format("%u.%u.%u, contract %u.%u", p.firmwareVersion >> 24, p.firmwareVersion >> 16 & 255,
                           p.firmwareVersion & 0xffff, p.contractVersion >> 16, p.contractVersion & 0xffff));
  t.Row("cores", Format("%u at %.2f GHz, %u KiB of local memory and %u multiply-accumulates a cycle each", p.cores,
                        static_cast<double>(p.clockHz) / 1e9, p.sramBytes >> 10, p.f32MacsPerCycle));
  t.Row("memory", Format("%llu MiB", static_cast<unsigned long long>(p.totalMemory >> 20)));
  t.Row("now", Format("%.1f C, %.1f W, %u MHz", s.temperatureMc / 1e3, s.powerMw / 1e3, s.clockKhz / 1000));
  return p;
}

uint32_t CountRight(const Results& r, const Dataset& d, uint32_t count) {
  uint32_t right = 0;
  for (uint32_t i = 0; i < count; ++i) right += static_cast<uint32_t>(r.predictions[i]) == d.labels[i];
  return right;
}

// Some images of different classes that came out right, and the first that did not.
void DrawSome(const Terminal& t, const Dataset& d, const Results& r, uint32_t count) {
  const uint32_t n = t.PicturesInLine();
  std::vector<uint32_t> chosen;
  bool seen[kClasses] = {}, wrong = false;
  for (uint32_t i = 0; i < count && chosen.size() < n; ++i) {
    const bool right = static_cast<uint32_t>(r.predictions[i]) == d.labels[i];
    if (right ? (seen[d.labels[i]] || (!wrong && chosen.size() + 1 >= n && n > 1)) : wrong) continue;
    if (right) {
      seen[d.labels[i]] = true;
    } else {
      wrong = true;
    }
    chosen.push_back(i);
  }
  std::vector<Picture> pictures;
  for (uint32_t i : chosen) {
    const uint32_t p = static_cast<uint32_t>(r.predictions[i]) % kClasses;
    pictures.push_back({&d.images[size_t{i} * kPixels], Format("#%u %s", i, kClassNames[d.labels[i]]),
                        Format("> %s %.0f%%", kClassNames[p], 100.0 * r.probabilities[size_t{i} * kClasses + p]),
                        p == d.labels[i]});
  }
  std::printf("\n");
  t.Draw(pictures);
  std::printf("\n");
}

// The plain CPU reference on the first images: how many were compared, and whether all logits are the same bits.
struct CpuCheck {
  uint32_t compared = 0, different = 0, right = 0;
  double seconds = 0;
};

CpuCheck CompareWithCpu(const Options& o, const Weights& w, const Dataset& d, const Results& r, uint32_t count) {
  constexpr uint32_t kStep = 20;
  constexpr double kLimit = 3.0;
  const auto start = std::chrono::steady_clock::now();
  CpuCheck c;
  std::vector<float> logits(kStep * kClasses);
  const uint32_t most = o.cpu_check < 0 ? count : static_cast<uint32_t>(std::min<int64_t>(o.cpu_check, count));
  while (c.compared < most && (o.cpu_check >= 0 || c.seconds < kLimit)) {
    const uint32_t n = std::min(kStep, most - c.compared);
    CpuReference(w, &d.images[size_t{c.compared} * kPixels], n, logits.data());
    for (uint32_t i = 0; i < n; ++i) {
      const float* mine = &logits[i * kClasses];
      const uint32_t at = c.compared + i;
      c.different += std::memcmp(mine, &r.logits[size_t{at} * kClasses], kClasses * sizeof(float)) != 0;
      c.right += Argmax(mine) == d.labels[at];
    }
    c.compared += n;
    c.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return c;
}

// argmax and softmax of the device against its own logits.
bool PredictionsFollow(const Results& r, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    const float* p = &r.probabilities[size_t{i} * kClasses];
    float sum = 0;
    for (uint32_t c = 0; c < kClasses; ++c) sum += p[c];
    if (static_cast<uint32_t>(r.predictions[i]) != Argmax(&r.logits[size_t{i} * kClasses]) ||
        !(sum > 0.999f && sum < 1.001f)) {
      return false;
    }
  }
  return true;
}

void ShowSpeed(const Terminal& t, const npuDeviceProp& p, const Results& r, uint32_t count) {
  const npuCounters& c = r.counters;
  const double peak = static_cast<double>(c.coreCycles) * p.f32MacsPerCycle;
  t.Row("speed", Format("%s images in %.2f s: %s images/s on this host", Grouped(count).c_str(), r.seconds,
                        Grouped(static_cast<uint64_t>(count / r.seconds)).c_str()));
  t.Row("device cycles",
        Format("%s, %s an image; at %.2f GHz %s images/s", Grouped(c.cycles).c_str(), Grouped(c.cycles / count).c_str(),
               static_cast<double>(p.clockHz) / 1e9,
               Grouped(static_cast<uint64_t>(static_cast<double>(p.clockHz) * count / static_cast<double>(c.cycles)))
                   .c_str()));
  t.Row("matrix unit", Format("%.1f %% of peak with the network's own multiply-accumulates, %.1f %% busy",
                              100.0 * static_cast<double>(UsefulMacs() * count) / peak,
                              100.0 * static_cast<double>(c.matrixBusy) / static_cast<double>(c.coreCycles)));
  t.Row("streams", Format("%u in turn, batches of %u: %.0f ms of copies, %.0f %% of it while another stream computed",
                          kLanes, kBatch, r.copy_ms, r.copy_ms > 0 ? 100.0 * r.hidden_ms / r.copy_ms : 0.0));
}

void Classification(const Terminal& t, const Options& o, const npuDeviceProp& device, Outcome* outcome) {
  const Dataset d = LoadDataset(o.data);
  const Weights w = LoadWeights(o.weights);
  const uint32_t count = std::min(o.images, d.count);
  t.Title("Fashion-MNIST: " + Grouped(count) + " test images, every layer on the device");
  const Results r = Classify(w, d.images.data(), count, [&](uint32_t done) {
    t.Progress(done, count, Grouped(done) + " of " + Grouped(count) + " images");
  });
  t.EndProgress();
  DrawSome(t, d, r, count);
  const uint32_t right = CountRight(r, d, count);
  const CpuCheck cpu = CompareWithCpu(o, w, d, r, count);
  const double accuracy = 100.0 * right / count;
  t.Row("accuracy", t.Paint(Format("%.2f %%", accuracy), Colour::kBold) + Format(" (%u of %u)", right, count));
  const uint64_t digest = Digest(r.logits.data(), r.logits.size());

  if (cpu.compared == count) {
    t.Row("CPU reference", Format("%.2f %% on the same images, %.1f s", 100.0 * cpu.right / cpu.compared, cpu.seconds));
  }
  if (count == kWholeSet) {
    const Golden golden = LoadGolden("");
    if (cpu.compared < count) {
      t.Row("CPU reference",
            Format("%.2f %% (stored result for all %s images; %u computed again here)",
                   100.0 * golden.correct / golden.images, Grouped(golden.images).c_str(), cpu.compared));
    }
    outcome->Add(golden.images == count && golden.digest == digest,
                 "all 100,000 logits have the hash of the CPU reference's");
    outcome->Add(accuracy >= 90.0 && right + 10 >= golden.correct && right <= golden.correct + 10,
                 Format("accuracy %.2f %%: over 90 %%, within 0.1 points of the CPU's %.2f %%", accuracy,
                        100.0 * golden.correct / golden.images));
  }
  if (cpu.compared > 0) {
    outcome->Add(
        cpu.different == 0,
        Format("%s images compared with the CPU reference: %s", Grouped(cpu.compared).c_str(),
               cpu.different ? Format("%u differ", cpu.different).c_str() : "every logit the same to the bit"));
  }
  outcome->Add(PredictionsFollow(r, count), "argmax and softmax agree with the logits");
  ShowSpeed(t, device, r, count);
  const npuCounters& c = r.counters;
  std::printf("digest: images %u logits %016llx cycles %llu instructions %llu macs %llu bytes-in %llu bytes-out %llu\n",
              count, static_cast<unsigned long long>(digest), static_cast<unsigned long long>(c.cycles),
              static_cast<unsigned long long>(c.instructions), static_cast<unsigned long long>(c.macs),
              static_cast<unsigned long long>(c.bytesIn), static_cast<unsigned long long>(c.bytesOut));
}

void StrayWrite(const Terminal& t, Outcome* outcome) {
  t.Title("an operator that writes one element too far");
  std::printf("  for (uint32_t i = 0; i <= count; ++i) y[i] = x[i] * factor;   // <= where < was meant\n");
  std::printf("  y is \"attention.scores\"; the tensor at the next byte is \"layer7.weights\"\n\n");
  const StompResult r = RunStomp();
  std::printf("%s", r.report.c_str());
  if (!r.report.empty() && r.report.back() != '\n') std::printf("\n");
  std::printf("\n");
  const std::string where = r.stopped ? Format("%s at %s:%u", r.fault.kernel, r.fault.file, r.fault.line) : "";
  outcome->Add(r.stopped, "the stray write was stopped: " + where);
  outcome->Add(r.adjacent && r.unchanged, Format("its neighbour layer7.weights is unchanged (%s bytes compared)",
                                                 Grouped(r.compared_bytes).c_str()));
  outcome->Add(r.named, "the report names kernel, source line, buffer meant, victim and distance");
  outcome->Add(r.other_stream, "a second stream computed right results before and after the fault");
  outcome->Add(r.usable_again, "the faulted stream works again after npuStreamReset");
}

int Run(const Options& o) {
  const Terminal t(o.no_color);
  if (!o.write_reference.empty()) {
    const Dataset d = LoadDataset(o.data);
    const Weights w = LoadWeights(o.weights);
    std::vector<float> logits(size_t{d.count} * kClasses);
    CpuReference(w, d.images.data(), d.count, logits.data());
    Golden g = {d.count, 0, Digest(logits.data(), logits.size())};
    for (uint32_t i = 0; i < d.count; ++i) g.correct += Argmax(&logits[size_t{i} * kClasses]) == d.labels[i];
    SaveGolden(o.write_reference, g);
    return 0;
  }
  CheckNpu(npuSetBackend(o.backend.c_str()), "--backend");
  Outcome outcome;
  const auto start = std::chrono::steady_clock::now();
  const npuDeviceProp device = ShowDevice(t);
  Classification(t, o, device, &outcome);
  StrayWrite(t, &outcome);
  t.Title("summary");
  for (const auto& [good, what] : outcome.lines) t.Verdict(good, what);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const bool good = outcome.good();
  std::printf("\n  %s in %.1f s\n\n",
              t.Paint(good ? "everything held" : "something is wrong: see the lines above",
                      good ? Colour::kGreen : Colour::kRed)
                  .c_str(),
              seconds);
  return good ? 0 : 1;
}

}  // namespace
}  // namespace demo

int main(int argc, char** argv) {
  demo::Options o;
  CLI::App app{"Classifies the Fashion-MNIST test set on the NPU, and shows a stray write being stopped."};
  app.add_option("--backend", o.backend, "auto, sim (device model in this process) or drm (kernel driver)")
      ->check(CLI::IsMember({"auto", "sim", "drm"}))
      ->capture_default_str();
  app.add_option("--images", o.images, "how many of the test images")
      ->check(CLI::Range(1u, 1u << 20))
      ->capture_default_str();
  app.add_option("--cpu-check", o.cpu_check,
                 "images to compare with the CPU reference; default: as many as three seconds allow")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--data", o.data, "folder of the dataset's .gz files");
  app.add_option("--weights", o.weights, "another weight file of train.py");
  app.add_option("--write-reference", o.write_reference,
                 "only compute the CPU reference's results and write them to this file");
  app.add_flag("--no-color", o.no_color, "plain ASCII");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) ? 2 : 0;
  }
  try {
    return demo::Run(o);
  } catch (const demo::FileError& e) {
    std::fprintf(stderr, "demo: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "demo: %s\n", e.what());
    return 3;
  }
}
