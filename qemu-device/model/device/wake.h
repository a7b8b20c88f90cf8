// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later
//
// How idle workers sleep and are woken.  An idle worker that saw work a moment ago spins for a few microseconds, then
// sleeps in a futex; waking costs a system call only when somebody sleeps.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>

namespace npu::model {

inline void CpuRelax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

// Stores before it are seen by everybody before loads after it are done.  ThreadSanitizer does not know fences.
inline void FullFence() {
#if defined(__SANITIZE_THREAD__)
  static std::atomic<int> word{0};
  word.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

class WakeUp {
 public:
  // To be read before looking for work; Sleep returns at once if something came since.
  uint32_t Ticket() const { return epoch_.load(std::memory_order_seq_cst); }

  // Any thread; publish the work first.
  void WakeOne() { Wake(1); }
  void WakeAll() { Wake(INT_MAX); }

  // Spins while nothing came, for at most spin; then sleeps.  Spurious returns are possible.
  void Sleep(uint32_t ticket, std::chrono::nanoseconds spin) {
    if (spin.count() > 0 && Spin(ticket, spin)) return;
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    if (epoch_.load(std::memory_order_seq_cst) == ticket)
      syscall(SYS_futex, &epoch_, FUTEX_WAIT_PRIVATE, ticket, nullptr, nullptr, 0);
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }

 private:
  bool Spin(uint32_t ticket, std::chrono::nanoseconds spin) const {
    auto end = std::chrono::steady_clock::now() + spin;
    do {
      for (int i = 0; i < 16; ++i) {
        if (epoch_.load(std::memory_order_acquire) != ticket) return true;
        CpuRelax();
      }
    } while (std::chrono::steady_clock::now() < end);
    return false;
  }
  void Wake(int count) {
    epoch_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0)
      syscall(SYS_futex, &epoch_, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
  }

  std::atomic<uint32_t> epoch_{0};  // moves with every wake-up
  static_assert(sizeof(std::atomic<uint32_t>) == 4, "the futex word");
  std::atomic<int32_t> sleepers_{0};
};

}  // namespace npu::model
