# SPDX-License-Identifier: Apache-2.0
# Sourced by the set-up scripts: where things live, and how to say that something went wrong.

NPU_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# What is expensive to make and does not depend on this checkout's state lives here and survives `make clean`.
NPU_CACHE=${NPU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/npu-stack}
# The distribution's own tools first: a python or compiler from elsewhere on PATH breaks QEMU's and the kernel's builds.
PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH
export PATH NPU_CACHE

# die SENTENCE [WHAT TO DO]
die() {
  echo "error: $1" >&2
  [ $# -lt 2 ] || echo "       $2" >&2
  exit 1
}

# Runs a command as root, or says that it cannot.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "\"$*\" needs root, and there is no sudo" "Run \"make setup\" once as root, then go on as yourself."
  fi
}

# Takes the lock NAME for the rest of this shell's life: two builds at once must not share a cache directory.
take_lock() {
  mkdir -p "$NPU_CACHE"
  exec 9>"$NPU_CACHE/$1.lock"
  flock -n 9 || { echo "waiting for another build that uses $NPU_CACHE ($1)"; flock 9; }
}
