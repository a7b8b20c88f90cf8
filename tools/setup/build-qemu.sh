#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build-qemu.sh [MAJOR]: QEMU with the NPU device, from the distribution's own source package.
#
# Leaves $NPU_CACHE/qemu -> qemu-KEY with the program qemu-system-x86_64; KEY is made of the package's version, the glue
# and these scripts.  The unpacked and configured tree stays in $NPU_CACHE/qemu-src-VERSION, so that a change of the glue
# compiles a few files.  Nothing is installed; the device model is not part of it (QEMU loads it at run time).
#
# With MAJOR (10, say) it is the newest version MAJOR.x of other suites of the same archive, and $NPU_CACHE/qemu-MAJOR
# names it; exit status 77 says that none of them has one.  A version that has been fetched is used as it is.
#   NPU_QEMU_SUITES    these suites (the release's backports, and trixie)
set -eu
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/qemu-patches.sh"

glue=$NPU_ROOT/qemu-device/pci
# What the glue shares with the rest of the tree.
contract="$NPU_ROOT/qemu-device/model/include/npu_model.h $NPU_ROOT/hal/hw/npu_regs.h $NPU_ROOT/hal/hw/npu_hw_types.h"
step=$NPU_ROOT/tools/setup/step.sh

# The version of the source package that apt would take.  The data package carries it, being the same on all machines.
source_version() { apt-cache policy qemu-system-data | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

make_key() { # VERSION
  { echo "$1"; cat "$0" "${0%/*}/qemu-patches.sh" "$glue"/*.* "$glue"/Kconfig "$glue"/trace-events $contract; } | sha256sum | cut -c 1-16
}

codename() { . /etc/os-release && echo "${VERSION_CODENAME:-stable}"; }

suites() { echo "${NPU_QEMU_SUITES:-$(codename)-backports trixie}"; }

# Entries for the archive that this machine takes packages from: apt itself tells where it is, in whatever format and file
# that is written.  They go into a directory of our own; the machine's configuration is not touched.  Without a suite: all
# that the machine uses.
private_apt() { # DIRECTORY deb|deb-src [SUITE]: prints the options for apt-get and apt-cache
  local dir=$1 key=/usr/share/keyrings/debian-archive-keyring.gpg
  mkdir -p "$dir"/{parts,lists/partial,archives/partial}
  apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT) $(CODENAME)' 'Identifier: Packages' |
    awk -v key="$([ -f $key ] && echo "[signed-by=$key] ")" -v type="$2" -v suite="${3:-}" -v own="$(codename)" '
      $1 != "Debian" || $4 != "main" { next }
      suite == "" || $5 == own { print type, key $2, suite == "" ? $3 : suite, $4 }' |
    sort -u >"$dir/parts/source.list"
  [ -s "$dir/parts/source.list" ] ||
    die "apt has no lists of a Debian archive" "Run \"apt-get update\" (or: make setup) while the network is there."
  echo "-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$dir/parts -o Dir::State::lists=$dir/lists" \
    "-o Dir::Cache=$dir -o Dir::Cache::archives=$dir/archives -o APT::Sandbox::User=root"
}

# Whether version $1 is at least $2.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# Writes "VERSION SUITE" of the newest MAJOR.x into a file; an empty one if no suite has it.
search() { # MAJOR FILE
  local major=$1 file=$2 suite options dir=$2.apt
  : >"$file.all"
  for suite in $(suites); do
    rm -rf "$dir"
    options=$(private_apt "$dir" deb-src "$suite")
    # shellcheck disable=SC2086 # options are words
    if ! apt-get $options update -o APT::Update::Error-Mode=any; then
      echo "the archive has no suite $suite, or does not answer"
      continue
    fi
    # shellcheck disable=SC2086
    apt-cache $options showsrc --only-source qemu | awk -v suite="$suite" '$1 == "Version:" { print $2, suite }' >>"$file.all"
  done
  cat "$file.all"
  grep -E "^([0-9]+:)?$major\." "$file.all" | sort -V | tail -n 1 >"$file" || true
  rm -rf "$dir" "$file.all"
}

fetch() { # VERSION DIRECTORY [SUITE]
  local version=$1 dir=$2 options
  rm -rf "$dir" "$dir.part"
  mkdir -p "$dir.part"
  cd "$dir.part"
  options=$(private_apt "$PWD/apt" deb-src "${3:-}")
  # shellcheck disable=SC2086 # options are words
  apt-get $options update
  # shellcheck disable=SC2086
  apt-get $options source --only-source "qemu=$version"
  rm -rf apt ./*.tar.xz ./*.dsc
  mv qemu-*/ tree
  fetch_meson
  mv "$dir.part" "$dir"
}

# Newer versions ask for a newer meson than the system may have.  It is unpacked beside the tree, and not installed.
fetch_meson() {
  local need suite options
  [ -f tree/pythondeps.toml ] || return 0
  need=$(sed -n 's/^meson = .*accepted = ">=\([0-9.]*\)".*/\1/p' tree/pythondeps.toml)
  ! at_least "$(/usr/bin/meson --version)" "${need:-0}" || return 0
  for suite in $(suites); do
    options=$(private_apt "$PWD/apt" deb "$suite")
    # shellcheck disable=SC2086 # options are words
    apt-get $options update -o APT::Update::Error-Mode=any && apt-get $options download meson || continue
    dpkg-deb -x meson_*.deb meson
    at_least "$(dpkg-deb -f meson_*.deb Version)" "$need" && break
    rm -rf meson meson_*.deb
  done
  rm -rf apt meson_*.deb
  [ -d meson ] || die "QEMU asks for meson $need, the system's is older, and none of these suites has it: $(suites)"
}

# Copies a file only if it differs, so that the build sees what has changed.
refresh() { # DIRECTORY FILE...
  local dir=$1 file
  shift
  mkdir -p "$dir"
  for file in "$@"; do cmp -s "$file" "$dir/${file##*/}" || cp "$file" "$dir/"; done
}

inject() { # TREE
  local tree=$1
  refresh "$tree/hw/npu" "$glue"/*.[ch] "$glue"/meson.build "$glue"/Kconfig "$glue"/trace-events $contract
  refresh "$tree/configs/devices/x86_64-softmmu" "$glue/npu-devices.mak"
  grep -q "subdir('npu')" "$tree/hw/meson.build" || sed -i "s/^subdir('nvme')/subdir('npu')\n&/" "$tree/hw/meson.build"
  grep -q "npu/Kconfig" "$tree/hw/Kconfig" || sed -i "s|^source nvme/Kconfig|source npu/Kconfig\n&|" "$tree/hw/Kconfig"
  grep -q "'hw/npu'" "$tree/meson.build" || sed -i "s|^    'hw/nvme',|    'hw/npu',\n&|" "$tree/meson.build"
  patch_qemu "$tree"
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
  # They would download what they miss.  Nothing is, and pycotap is for tests that are not built.
  ! grep -q -- '--disable-download' ../configure || options="$options --disable-download"
  [ ! -f ../pythondeps.toml ] || sed -i '/^pycotap/d' ../pythondeps.toml
  if [ ! -f build.ninja ] || [ "$(cat npu-options 2>/dev/null)" != "$options" ]; then
    # shellcheck disable=SC2086 # options are words
    ../configure $options
    echo "$options" >npu-options
  fi
}

compile() { # TREE
  export PYTHONPATH=
  [ ! -d "$1/../meson" ] || PYTHONPATH=$(realpath "$1/../meson/usr/lib/python3/dist-packages")
  inject "$1"
  configure "$1"
  ninja -C "$1/b" qemu-system-x86_64
}

# Prints "VERSION SUITE" of the newest fetched MAJOR.x, or of the archive's; nothing if there is none.
find_major() { # MAJOR
  local tree found=$NPU_CACHE/qemu-$1.found.$$
  tree=$(ls -d "$NPU_CACHE"/qemu-src-*/tree 2>/dev/null | grep -E "/qemu-src-([0-9]+_)?$1\.[^/]*/tree$" | sort -V | tail -n 1)
  if [ -n "$tree" ]; then
    tree=${tree%/tree}
    echo "${tree##*/qemu-src-}" | sed 's/^\([0-9]*\)_/\1:/'
    return
  fi
  "$step" "asking for QEMU $1" "$NPU_CACHE/logs/qemu-search.log" "$0" --search "$1" "$found" >&2 || return 1
  cat "$found"
  rm -f "$found"
}

main() {
  case ${1:-} in
  --search) search "$2" "$3"; return ;;
  --fetch) fetch "$2" "$3" "${4:-}"; return ;;
  --compile) compile "$2"; return ;;
  -*) die "what is $1?" "usage: build-qemu.sh [MAJOR]" ;;
  esac
  local major=${1:-} version suite= key source out
  if [ -n "$major" ]; then
    [[ $major =~ ^[0-9]+$ ]] || die "$major is no major version" "usage: build-qemu.sh [MAJOR]"
    read -r version suite < <(find_major "$major") || true
    [ -n "$version" ] || { echo "  QEMU $major                none in the archive's suites: $(suites)"; exit 77; }
  else
    version=$(source_version)
    [ -n "$version" ] || die "apt knows no package qemu-system-data" "Run \"apt-get update\" (or: make setup)."
  fi
  key=$(make_key "$version")
  out=$NPU_CACHE/qemu-$key
  if [ ! -x "$out/qemu-system-x86_64" ]; then
    source=$NPU_CACHE/qemu-src-${version//:/_}
    take_lock "${source##*/}"
    [ -d "$source/tree" ] ||
      "$step" "QEMU source" "$NPU_CACHE/logs/qemu-source$major.log" "$0" --fetch "$version" "$source" "$suite" ||
      die "the source package qemu $version could not be fetched" "Is the network there? Does the archive still have it (apt-get update)?"
    "$step" "QEMU with the NPU" "$NPU_CACHE/logs/qemu$major.log" "$0" --compile "$source/tree" ||
      die "QEMU could not be built" "The log says why; a missing library is installed by \"make setup\"."
    mkdir -p "$out.part"
    cp "$source/tree/b/qemu-system-x86_64" "$out.part/"
    rm -rf "$out"
    mv "$out.part" "$out"
  else
    echo "  QEMU with the NPU      $version, in $out"
  fi
  ln -sfn "qemu-$key" "$NPU_CACHE/qemu${major:+-$major}"
}
main "$@"
