#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kernel.sh [--update]: the distribution's own guest kernel, unpacked and never installed.
#
# Leaves $NPU_CACHE/kernel -> kernel-RELEASE with
#   release           the release string (uname -r of the guest)
#   vmlinux           the uncompressed kernel that QEMU starts directly
#   headers           the tree to build modules against (make -C .../headers M=...)
#   unpacked/         the unpacked packages, with lib/modules/RELEASE and its modules.dep
# A kernel that is already there is used as it is; --update looks for a newer one.
set -eu
. "$(dirname "$0")/lib.sh"

# 6.12 is what the driver is written for; a newer one is taken only where the archive has no 6.12.
newest_release() {
  local all pattern
  all=$(apt-cache search --names-only '^linux-image-[0-9.]+(\+[a-z0-9]+)?-amd64$' | awk '{ print $1 }' |
    sed -n 's/^linux-image-//p' | sort -V)
  for pattern in '^6\.12\.' '^6\.(1[3-9]|[2-9][0-9])\.|^[7-9]\.'; do
    if grep -E "$pattern" <<<"$all" | tail -n 1 | grep .; then return; fi
  done
}

unpack() {
  local release=$1 dir=$2 base=${1%-amd64} deb
  mkdir -p "$dir/debs" "$dir/unpacked"
  (cd "$dir/debs" && apt-get download "linux-image-$release" "linux-headers-$release" \
    "linux-headers-$base-common" "linux-kbuild-$base")
  for deb in "$dir"/debs/*.deb; do
    echo "unpacking ${deb##*/}"
    dpkg-deb -x "$deb" "$dir/unpacked"
  done
  rm -r "$dir/debs"
}

# The headers name their common part by its absolute path in an installed system.
relocate() {
  local release=$1 dir=$2 final=$3
  sed -i "s|^include /usr/src/|include $final/unpacked/usr/src/|" "$dir/unpacked/usr/src/linux-headers-$release/Makefile"
  ln -sfn "unpacked/usr/src/linux-headers-$release" "$dir/headers"
  echo "indexing modules"
  depmod -b "$dir/unpacked" "$release"
  "$NPU_ROOT/tools/vm/extract-vmlinux" "$dir/unpacked/boot/vmlinuz-$release" "$dir/vmlinux"
  echo "$release" >"$dir/release"
}

fetch() {
  local release=$1 final=$2 dir=$2.part
  rm -rf "$dir"
  unpack "$release" "$dir"
  relocate "$release" "$dir" "$final"
  rm -rf "$final"
  mv "$dir" "$final"
}

# One that an earlier version of this script has laid out otherwise is fetched again.
complete() { [ -s "$1/release" ] && [ -d "$1/unpacked" ]; }

main() {
  if [ "${1:-}" = --fetch ]; then
    fetch "$2" "$3"
    return
  fi
  take_lock kernel
  if [ "${1:-}" != --update ] && complete "$NPU_CACHE/kernel"; then
    echo "  guest kernel           $(cat "$NPU_CACHE/kernel/release"), in $NPU_CACHE/kernel"
    return
  fi
  local release final codename
  release=$(newest_release)
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
  [ -n "$release" ] || die "apt knows no package linux-image-6.12*-amd64" \
    "Enable the suite $codename-security or $codename-backports in apt's sources, then run \"apt-get update\" and this again."
  final=$NPU_CACHE/kernel-$release
  if ! complete "$final"; then
    "$NPU_ROOT/tools/setup/step.sh" "guest kernel" "$NPU_CACHE/logs/kernel.log" "$0" --fetch "$release" "$final" ||
      die "the packages of kernel $release could not be fetched and unpacked" \
        "Is the network there? If a package was not found: run \"apt-get update\"."
  fi
  ln -sfn "kernel-$release" "$NPU_CACHE/kernel"
}
main "$@"
