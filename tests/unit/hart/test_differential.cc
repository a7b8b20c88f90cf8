// SPDX-License-Identifier: Apache-2.0
// Random programs on our hart and on qemu-riscv64: registers, scratch memory and fcsr must be the same.
//
//   test-hart-differential [--programs N] [--seed S]     (a single program again: --programs 1 --seed <its seed>)
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "random_program.h"
#include "user_machine.h"

extern "C" {
#include <cmocka.h>
}

extern char** environ;

namespace {

using npu::model::HostFma;
using npu::model::Stop;
using npu::test::Batch;
using npu::test::ProgramState;
using npu::test::UserMachine;
using Hart = npu::model::Hart<UserMachine>;

unsigned g_programs = 4000;
uint64_t g_seed = 1;
constexpr unsigned kBatch = 500;

using States = std::vector<ProgramState>;

bool WriteFile(const std::string& path, const std::vector<uint8_t>& bytes) {
  const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0755);
  if (fd < 0) return false;
  const ssize_t n = write(fd, bytes.data(), bytes.size());
  return close(fd) == 0 && n == static_cast<ssize_t>(bytes.size());
}

// A private directory that goes away with its two files.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* tmp = std::getenv("TMPDIR");
    path_ = std::string(tmp != nullptr ? tmp : "/tmp") + "/npu-hart-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryDirectory() {
    unlink(Program().c_str());
    unlink(Output().c_str());
    rmdir(path_.c_str());
  }
  bool ok() const { return !path_.empty(); }
  std::string Program() const { return path_ + "/program.elf"; }
  std::string Output() const { return path_ + "/states.bin"; }

 private:
  std::string path_;
};

// 0, or what went wrong: errno of starting it, or -1 for a status other than 0.
int Spawn(const std::string& program, const std::string& output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0644);
  std::string name = "qemu-riscv64", file = program;
  char* argv[] = {name.data(), file.data(), nullptr};
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, name.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return error;
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

States RunOnQemu(const Batch& batch, unsigned programs) {
  TemporaryDirectory directory;
  assert_true(directory.ok());
  assert_true(WriteFile(directory.Program(), npu::test::MakeElf(batch)));
  assert_int_equal(Spawn(directory.Program(), directory.Output()), 0);
  States states(programs);
  const int fd = open(directory.Output().c_str(), O_RDONLY | O_CLOEXEC);
  const size_t bytes = programs * sizeof(ProgramState);
  assert_int_equal(read(fd, states.data(), bytes), bytes);
  close(fd);
  return states;
}

// slice: instructions a Run; 0: without limit.  Small random slices cut programs at every place.
States RunOnHart(const Batch& batch, unsigned programs, HostFma fma, unsigned slice) {
  UserMachine machine(Batch::kBase, batch.image.size());
  std::memcpy(machine.memory.At(Batch::kBase, batch.image.size()), batch.image.data(), batch.image.size());
  Hart hart(machine, fma);
  machine.Attach(&hart);
  hart.Reset(Batch::kBase);
  std::mt19937 random(slice);
  Stop stop;
  do {
    const uint64_t before = hart.instret;
    const uint64_t budget = slice == 0 ? UINT64_MAX : 1 + random() % slice;
    stop = hart.Run(budget);
    if (stop == Stop::kBudget) assert_int_equal(hart.instret - before, budget);
  } while (stop == Stop::kBudget);
  assert_int_equal(stop, Stop::kFault);
  if (!machine.exited) print_error("stopped at pc %#" PRIx64 "\n", hart.pc);
  assert_true(machine.exited);
  assert_int_equal(machine.exit_status, 0);
  States states(programs);
  std::memcpy(states.data(), machine.memory.At(Batch::kBase + batch.states_offset, programs * sizeof(ProgramState)),
              programs * sizeof(ProgramState));
  return states;
}

void ShowDifference(const Batch& batch, uint64_t seed, unsigned index, const ProgramState& ours,
                    const ProgramState& theirs) {
  print_error("program of seed %" PRIu64 " differs (ours, qemu-riscv64):\n", seed);
  for (unsigned r = 0; r < 32; ++r) {
    if (ours.x[r] != theirs.x[r]) print_error("  x%u %016" PRIx64 " %016" PRIx64 "\n", r, ours.x[r], theirs.x[r]);
  }
  for (unsigned r = 0; r < 32; ++r) {
    if (ours.f[r] != theirs.f[r]) print_error("  f%u %08x %08x\n", r, ours.f[r], theirs.f[r]);
  }
  if (ours.fcsr != theirs.fcsr) print_error("  fcsr %02" PRIx64 " %02" PRIx64 "\n", ours.fcsr, theirs.fcsr);
  for (unsigned i = 0; i < ProgramState::kScratch; ++i) {
    if (ours.scratch[i] != theirs.scratch[i]) {
      print_error("  scratch[%u] %02x %02x\n", i, ours.scratch[i], theirs.scratch[i]);
    }
  }
  print_error("  code:");
  for (uint64_t at = batch.code_offsets[index]; at < batch.code_offsets[index + 1]; at += 2) {
    uint16_t half;
    std::memcpy(&half, batch.image.data() + at, 2);
    print_error(" %04x", half);
  }
  print_error("\n");
}

void Compare(const Batch& batch, uint64_t seed, const States& ours, const States& theirs) {
  for (unsigned i = 0; i < ours.size(); ++i) {
    if (std::memcmp(&ours[i], &theirs[i], sizeof ours[i]) == 0) continue;
    ShowDifference(batch, seed + i, i, ours[i], theirs[i]);
    fail();
  }
}

void SameAsQemu(void**) {
  if (Spawn("--version", "/dev/null") == ENOENT) {
    print_message("SKIPPED: qemu-riscv64 is not there to compare with (Debian package qemu-user)\n");
    skip();
  }
  for (unsigned done = 0; done < g_programs; done += kBatch) {
    const unsigned programs = std::min(kBatch, g_programs - done);
    const uint64_t seed = g_seed + done;
    const Batch batch = npu::test::MakeBatch(seed, programs);
    const States theirs = RunOnQemu(batch, programs);
    Compare(batch, seed, RunOnHart(batch, programs, HostFma::kIfAvailable, 0), theirs);
    Compare(batch, seed, RunOnHart(batch, programs, HostFma::kNever, 0), theirs);
    Compare(batch, seed, RunOnHart(batch, programs, HostFma::kIfAvailable, 1 + done % 97), theirs);
  }
  print_message("%u programs from seed %" PRIu64 ": no difference\n", g_programs, g_seed);
}

bool ParseNumber(const char* text, uint64_t* out) {
  char* end = nullptr;
  errno = 0;
  *out = std::strtoull(text, &end, 10);
  return errno == 0 && end != text && *end == '\0';
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    uint64_t value = 0;
    const bool known = option == "--programs" || option == "--seed";
    if (!known || i + 1 >= argc || !ParseNumber(argv[i + 1], &value) || (option == "--programs" && value > 10000000)) {
      std::fprintf(stderr, "usage: %s [--programs N] [--seed S]\n", argv[0]);
      return 2;
    }
    if (option == "--programs") g_programs = static_cast<unsigned>(value);
    if (option == "--seed") g_seed = value;
  }
  const CMUnitTest tests[] = {cmocka_unit_test(SameAsQemu)};
  return cmocka_run_group_tests_name("hart.differential", tests, nullptr, nullptr);
}
