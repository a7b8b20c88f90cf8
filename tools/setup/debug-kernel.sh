#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# debug-kernel.sh: a guest kernel that watches the driver (KASAN, lockdep, kmemleak and others) and can fail allocations,
# for "make check-debug".
#
# Built from the distribution's package linux-source-6.12 and debug-kernel.config.  Leaves
# $NPU_CACHE/debug-kernel -> debug-kernel-KEY, laid out as kernel.sh does: release, vmlinux, headers, unpacked/ (with
# boot/vmlinuz-RELEASE, from which a guest that sleeps is started).
# KEY covers the package's version, the configuration and this script.  NPU_JOBS: compilers at a time (all CPUs).
set -eu
. "$(dirname "$0")/lib.sh"
package=linux-source-6.12
fragment=$NPU_ROOT/tools/setup/debug-kernel.config
jobs=${NPU_JOBS:-$(nproc)}

unpack() { # VERSION, DIRECTORY
  (cd "$2" && apt-get download "$package=$1")
  echo "unpacking $package $1"
  # Hardware that the guest has not: a third of the tree.  What Kconfig and the Makefiles read stays.
  dpkg-deb --fsys-tarfile "$2"/*.deb | tar -xO "./usr/src/$package.tar.xz" | xz -dcT0 | tar -x -C "$2" --wildcards \
    --exclude='*/drivers/gpu/drm/amd/*.[ch]' --exclude='*/drivers/net/ethernet/*.[ch]' --exclude='*/drivers/media/*.[ch]' \
    --exclude='*/sound/*/*.c' --exclude='*/Documentation/*.[rt][sx]t' --exclude='*/tools/testing/*.[ch]'
  rm "$2"/*.deb
  mv "$2/$package" "$2/source"
}

# A configuration that silently lost one of its lines would be a check that checks less than it says.
configure() {
  local lost
  # What drivers of the tree select and nobody could switch on: the driver here is built outside the tree.
  local hidden='DRM_(EXEC|GPUVM|BUDDY|TTM|SCHED|GEM_SHMEM_HELPER)|MMU_NOTIFIER|HMM_MIRROR|WANT_DEV_COREDUMP'
  sed -i -E "/^config ($hidden)\$/,/^\s+(tristate|bool)/ s/^(\s+)(tristate|bool).*/\1\2 \"for npu.ko\"/" \
    drivers/gpu/drm/Kconfig mm/Kconfig drivers/base/Kconfig
  make KCONFIG_ALLCONFIG="$fragment" allnoconfig
  lost=$(grep -E '^(CONFIG_|# CONFIG_.* is not set)' "$fragment" | grep -vxFf .config || true)
  [ -z "$lost" ] || die "the kernel's configuration does not take: $(tr '\n' ' ' <<<"$lost")" \
    "Correct tools/setup/debug-kernel.config for this kernel version."
}

build() { # VERSION, FINAL DIRECTORY
  local dir=$2.part release
  rm -rf "$dir"
  mkdir -p "$dir"
  unpack "$1" "$dir"
  cd "$dir/source"
  configure
  make -j"$jobs" vmlinux bzImage modules
  make INSTALL_MOD_PATH="$dir/unpacked" modules_install
  release=$(make -s kernelrelease)
  install -D -m 644 arch/x86/boot/bzImage "$dir/unpacked/boot/vmlinuz-$release"
  # Headers, tools and Module.symvers are needed again, objects are not.
  find . -name '*.o' -not -path './scripts/*' -not -path './tools/*' -not -name module.lds -delete
  mv vmlinux "$dir/vmlinux"
  ln -s source "$dir/headers"
  # Its links name the tree by its present place.
  rm -f "$dir/unpacked/lib/modules/$release"/{build,source}
  echo "$release" >"$dir/release"
  rm -rf "$2"
  mv "$dir" "$2"
}

main() {
  if [ "${1:-}" = --build ]; then
    build "$2" "$3"
    return
  fi
  take_lock debug-kernel
  local version key final
  version=$(apt-cache policy "$package" | awk '$1 == "Candidate:" { print $2 }')
  [ -n "$version" ] && [ "$version" != "(none)" ] || die "apt knows no package $package" \
    "Enable the suite that the guest's kernel comes from in apt's sources, then run \"apt-get update\" and this again."
  key=$({ echo "$version" && cat "$fragment" "$0"; } | sha256sum | cut -c 1-16)
  final=$NPU_CACHE/debug-kernel-$key
  if [ -s "$final/release" ]; then
    echo "  debug kernel           $(cat "$final/release"), in $final"
  else
    "$NPU_ROOT/tools/setup/step.sh" "debug kernel" "$NPU_CACHE/logs/debug-kernel.log" "$0" --build "$version" "$final" ||
      die "the debug kernel could not be built, see the log above" "Is the network there, and 4 GB of disk below $NPU_CACHE?"
  fi
  ln -sfn "debug-kernel-$key" "$NPU_CACHE/debug-kernel"
}
main "$@"
