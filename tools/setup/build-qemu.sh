#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build-qemu.sh: QEMU with the NPU device, from the distribution's own source package.
#
# Leaves $NPU_CACHE/qemu -> qemu-KEY with the program qemu-system-x86_64; KEY is made of the package's version, the glue
# and this script.  The unpacked and configured tree stays in $NPU_CACHE/qemu-src-VERSION, so that a change of the glue
# compiles a few files.  Nothing is installed; the device model is not part of it (QEMU loads it at run time).
set -eu
. "$(dirname "$0")/lib.sh"

glue=$NPU_ROOT/qemu-device/pci
# What the glue shares with the rest of the tree.
contract="$NPU_ROOT/qemu-device/model/include/npu_model.h $NPU_ROOT/hal/hw/npu_regs.h $NPU_ROOT/hal/hw/npu_hw_types.h"
step=$NPU_ROOT/tools/setup/step.sh

# The version of the source package that apt would take.  The data package carries it, being the same on all machines.
source_version() { apt-cache policy qemu-system-data | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

make_key() { # VERSION
  { echo "$1"; cat "$0" "$glue"/*.* "$glue"/Kconfig "$glue"/trace-events $contract; } | sha256sum | cut -c 1-16
}

# Source entries for the suites that this machine takes binaries from: apt itself tells them, in whatever format and file
# they are written.  They go into a directory of our own; the machine's configuration is not touched.
private_apt() { # DIRECTORY: prints the options for apt-get
  local dir=$1 key=/usr/share/keyrings/debian-archive-keyring.gpg
  mkdir -p "$dir"/{parts,lists/partial,archives/partial}
  apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
    awk -v key="$([ -f $key ] && echo "[signed-by=$key] ")" \
      '$1 == "Debian" && $4 == "main" { print "deb-src " key $2, $3, $4 }' | sort -u >"$dir/parts/source.list"
  [ -s "$dir/parts/source.list" ] ||
    die "apt has no lists of a Debian archive" "Run \"apt-get update\" (or: make setup) while the network is there."
  echo "-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$dir/parts -o Dir::State::lists=$dir/lists" \
    "-o Dir::Cache=$dir -o Dir::Cache::archives=$dir/archives -o APT::Sandbox::User=root"
}

fetch() { # VERSION DIRECTORY
  local version=$1 dir=$2 options
  rm -rf "$dir" "$dir.part"
  mkdir -p "$dir.part"
  cd "$dir.part"
  options=$(private_apt "$PWD/apt")
  # shellcheck disable=SC2086 # options are words
  apt-get $options update
  # shellcheck disable=SC2086
  apt-get $options source --only-source "qemu=$version"
  rm -rf apt ./*.tar.xz ./*.dsc
  mv qemu-*/ tree
  mv "$dir.part" "$dir"
}

# Copies a file only if it differs, so that the build sees what has changed.
refresh() { # DIRECTORY FILE...
  local dir=$1 file
  shift
  mkdir -p "$dir"
  for file in "$@"; do cmp -s "$file" "$dir/${file##*/}" || cp "$file" "$dir/"; done
}

# QEMU 7.2 keeps error messages (AER) from the root port: correctable ones always, others unless SERR is on, though either
# that or the device control register asks for them; and it lets no other file send one.  Later versions do both.
report_errors() { # TREE
  local source=$1/hw/pci/pcie_aer.c header=$1/include/hw/pci/pcie_aer.h
  if ! grep -q 'pcie_aer_inject_error' "$header"; then
    sed -i 's/^static int pcie_aer_inject_error(/int pcie_aer_inject_error(/' "$source"
    sed -i 's/^void pcie_aer_exit(.*/&\nint pcie_aer_inject_error(PCIDevice *dev, const PCIEAERErr *err);/' "$header"
  fi
  # The old condition asks for SERR alone.
  if grep -A1 'if (!(pcie_aer_msg_is_uncor(msg) &&' "$source" | grep -q 'PCI_COMMAND_SERR))) {'; then
    # The condition loses its negation, and its block goes on to the end of what it is about.
    sed -i '/^pcie_aer_msg_alldev/,/^}/ {
      s/if (!(pcie_aer_msg_is_uncor(msg) &&/if ((pcie_aer_msg_is_uncor(msg) \&\&/
      /PCI_COMMAND_SERR))) {/ { n; N; d }
      s/PCI_STATUS_SIG_SYSTEM_ERROR);/&\n    }/
    }' "$source"
  fi
}

# QEMU 7.2 computes the flags of a 16-byte compare-and-exchange from an operation that it has not stored yet: any value may
# stay in them until the next instruction that sets flags, and an interrupt in between brings it back with the trap flag
# in it.  Linux' allocator does that all the time; the guest dies of it now and then, most often on waking (S3).  Later
# versions compute the flags first.
keep_flags() { # TREE
  local source=$1/target/i386/tcg/translate.c
  grep -q 'gen_helper_cmpxchg16b_unlocked' "$source" || return 0
  sed -i '/case 0x1c7: \/\* cmpxchg8b \*\//,/case 7: \/\* RDSEED \*\// {
    /gen_update_cc_op(s);/ d
    s/^\( *\)gen_lea_modrm(env, s, modrm);$/&\n\1gen_update_cc_op(s);/
  }' "$source"
}

inject() { # TREE
  local tree=$1
  refresh "$tree/hw/npu" "$glue"/*.[ch] "$glue"/meson.build "$glue"/Kconfig "$glue"/trace-events $contract
  refresh "$tree/configs/devices/x86_64-softmmu" "$glue/npu-devices.mak"
  grep -q "subdir('npu')" "$tree/hw/meson.build" || sed -i "s/^subdir('nvme')/subdir('npu')\n&/" "$tree/hw/meson.build"
  grep -q "npu/Kconfig" "$tree/hw/Kconfig" || sed -i "s|^source nvme/Kconfig|source npu/Kconfig\n&|" "$tree/hw/Kconfig"
  grep -q "'hw/npu'" "$tree/meson.build" || sed -i "s|^    'hw/nvme',|    'hw/npu',\n&|" "$tree/meson.build"
  report_errors "$tree"
  keep_flags "$tree"
  grep -q "subdir('npu')" "$tree/hw/meson.build" && grep -q "npu/Kconfig" "$tree/hw/Kconfig" &&
    grep -q "'hw/npu'" "$tree/meson.build" ||
    die "this QEMU source has no place where the NPU's directory could be named" \
      "Its build files have changed: adapt inject() in tools/setup/build-qemu.sh."
}

options="--target-list=x86_64-softmmu --without-default-features --without-default-devices
  --with-devices-x86_64=npu-devices --enable-tcg --enable-kvm --enable-virtfs --enable-attr --enable-cap-ng
  --enable-fdt=system --enable-trace-backends=log --disable-docs --disable-tools --disable-werror --disable-debug-info
  --disable-install-blobs"

# Configures a tree once for these options.
configure() { # TREE
  mkdir -p "$1/b"
  cd "$1/b"
  # Newer versions find meson by themselves, older ones must be told not to look for the copy that Debian removes.
  ! grep -q -- '--meson=' ../configure || options="$options --meson=/usr/bin/meson --ninja=/usr/bin/ninja"
  if [ ! -f build.ninja ] || [ "$(cat npu-options 2>/dev/null)" != "$options" ]; then
    # shellcheck disable=SC2086 # options are words
    ../configure $options
    echo "$options" >npu-options
  fi
}

compile() { # TREE
  inject "$1"
  configure "$1"
  ninja -C "$1/b" qemu-system-x86_64
}

main() {
  case ${1:-} in
  --fetch) fetch "$2" "$3"; return ;;
  --compile) compile "$2"; return ;;
  esac
  local version key source out
  version=$(source_version)
  [ -n "$version" ] || die "apt knows no package qemu-system-data" "Run \"apt-get update\" (or: make setup)."
  key=$(make_key "$version")
  out=$NPU_CACHE/qemu-$key
  if [ ! -x "$out/qemu-system-x86_64" ]; then
    take_lock qemu
    source=$NPU_CACHE/qemu-src-${version//:/_}
    [ -d "$source/tree" ] || "$step" "QEMU source" "$NPU_CACHE/logs/qemu-source.log" "$0" --fetch "$version" "$source" ||
      die "the source package qemu $version could not be fetched" "Is the network there? Does the archive still have it (apt-get update)?"
    "$step" "QEMU with the NPU" "$NPU_CACHE/logs/qemu.log" "$0" --compile "$source/tree" ||
      die "QEMU could not be built" "The log says why; a missing library is installed by \"make setup\"."
    mkdir -p "$out.part"
    cp "$source/tree/b/qemu-system-x86_64" "$out.part/"
    rm -rf "$out"
    mv "$out.part" "$out"
  else
    echo "  QEMU with the NPU      $version, in $out"
  fi
  ln -sfn "qemu-$key" "$NPU_CACHE/qemu"
}
main "$@"
