#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build-image.sh [--build DIR] [--out DIR] [--kernel DIR] [--module FILE] [--firmware DIR]: the guest's initramfs.
#
# Writes OUT/initramfs.cpio (OUT: BUILD/vm; BUILD: build).  It holds busybox and bash, the kernel modules that the
# driver and the shares need, the shared libraries that the built programs need (the guest runs the very files that were
# built on the host), npu.ko and the firmware packages.  It is two archives, one behind the other: the large one depends on the
# kernel and the libraries only and is made again when those change; the small one is made every time.
set -eu
. "$(dirname "$0")/../setup/lib.sh"

build=$NPU_ROOT/build module= firmware= out= kernel=$NPU_CACHE/kernel
while [ $# -gt 0 ]; do
  case $1 in
  --build) build=$(cd "$2" && pwd) ;;
  --out) out=$2 ;;
  --kernel) kernel=$2 ;;
  --module) module=$2 ;;
  --firmware) firmware=$2 ;;
  *) die "build-image.sh: unknown argument \"$1\"" "See the comment at its top." ;;
  esac
  shift 2
done

[ -s "$kernel/release" ] || die "there is no guest kernel in $kernel" "Run tools/setup/kernel.sh (or: make setup)."
release=$(cat "$kernel/release")
modules=$kernel/unpacked/lib/modules/$release
[ -x /bin/busybox ] || die "there is no /bin/busybox" "Install the package busybox-static (or: make setup)."
[ -n "$module" ] || module=$build/kernel/npu.ko
[ -n "$out" ] || out=$build/vm
work=$out/image
mkdir -p "$out"

# What the guest loads at boot: the file system of the shares, and what the driver is made of.  The rest is there for
# modprobe: devices that tests use beside ours.
boot="9p 9pnet_virtio drm drm_exec drm_gpuvm drm_buddy gpu-sched drm_shmem_helper"
[ ! -f "$module" ] || boot="$boot $(modinfo -F depends "$module" | tr ',' ' ')"
spare="vgem udmabuf nvme null_blk"

# Prints the module files that names need, in load order, by modules.dep (which lists the deepest need last).
load_order() {
  local name line
  for name in "$@"; do
    line=$(grep -E "(^|/)${name//[-_]/[-_]}\.ko[^:]*:" "$modules/modules.dep") || continue # built in
    tr ' ' '\n' <<<"${line/:/}" | grep . | tac
  done | awk '!seen[$0]++'
}

# Programs that the guest runs: those that were built, and the few that it brings along.
programs() {
  find -L "$build/bin" "$build/lib" "$build/host/bin" "$build/host/lib" -maxdepth 2 -type f \
    \( -perm -u+x -o -name '*.so*' \) 2>/dev/null || true
  echo /bin/bash
}

# Shared libraries of the programs, except those that were built here: the guest sees these in /npu/build.
libraries() {
  programs | xargs -d '\n' ldd 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/.*ld-linux/ { print $1 }' |
    sort -u | grep -v "^$build/" || true
}

base_key() {
  {
    echo "$release: $boot; $spare"
    cat "$0"
    # An ELF program's needs change only when it is linked again.
    programs | sort -u | xargs -d '\n' stat -L -c '%n %s %Y' 2>/dev/null
  } | sha256sum | cut -d ' ' -f 1
}

pack() { (cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc -R 0:0 --quiet) >"$2"; }

put() { # FILE, DIRECTORY in the image
  mkdir -p "$work$2"
  cp -L "$1" "$work$2/"
}

put_modules() {
  local dir=/lib/modules/$release file name
  mkdir -p "$work$dir"
  for file in $(load_order $boot $spare); do
    name=$(basename "$file")
    case $name in
    *.xz) xz -dc "$modules/$file" >"$work$dir/${name%.xz}" ;;
    *.zst) zstd -dcq "$modules/$file" >"$work$dir/${name%.zst}" ;;
    *) cp "$modules/$file" "$work$dir/$name" ;;
    esac
  done
  : >"$work/etc/modules.load" # a kernel that has all of them built in leaves it empty
  for file in $(load_order $boot); do
    name=$(basename "$file")
    echo "$dir/${name%.ko*}.ko" >>"$work/etc/modules.load"
  done
  cp "$modules/modules.builtin" "$modules/modules.builtin.modinfo" "$modules/modules.order" "$work$dir/"
  depmod -b "$work" "$release"
}

make_base() {
  rm -rf "$work"
  mkdir -p "$work"/{bin,sbin,usr/bin,usr/sbin,usr/local/bin,dev,proc,sys,run,tmp,root,npu,etc,lib/modules,lib64,usr/share/datasets}
  local applet file library
  put /bin/busybox /bin
  for applet in $(/bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s /bin/busybox "$work/bin/$applet"
  done
  put /bin/bash /bin
  for library in $(libraries); do put "$library" "$(dirname "$library")"; done
  put_modules
  echo "root:x:0:0:root:/root:/bin/bash" >"$work/etc/passwd"
  echo "nobody:x:65534:65534:nobody:/:/bin/false" >>"$work/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$work/etc/group"
  pack "$work" "$out/base.cpio"
  rm -rf "$work"
}

make_top() {
  rm -rf "$work"
  mkdir -p "$work/etc" "$work/lib/firmware"
  cp "$NPU_ROOT/tools/vm/init" "$work/init"
  cp "$NPU_ROOT/tools/vm/bashrc" "$work/etc/bashrc"
  cp "$NPU_ROOT/tools/vm/motd" "$work/etc/motd"
  if [ -f "$module" ]; then
    check_module
    mkdir -p "$work/lib/modules"
    # Debug information is for the host's tools; the guest would only carry it about.
    objcopy --strip-debug "$module" "$work/lib/modules/npu.ko"
  fi
  local dir
  for dir in ${firmware:-"$build/firmware" "$build/host/firmware"}; do
    [ ! -d "$dir" ] || (cd "$dir" && find . -path '*npu/*.npufw' -printf '%P\n') | while read -r file; do
      put "$dir/$file" "/lib/firmware/npu"
    done
  done
  pack "$work" "$out/top.cpio"
  rm -rf "$work"
}

# A module of another kernel would be refused in the guest, with less of an explanation.
check_module() {
  local magic
  magic=$(modinfo -F vermagic "$module" | cut -d ' ' -f 1)
  [ "$magic" = "$release" ] || die "$module was built for kernel $magic, the guest is $release" "Build it again: make"
}

exec 9>"$out/lock"
flock 9
key=$(base_key)
if [ ! -s "$out/base.cpio" ] || [ "$(cat "$out/base.key" 2>/dev/null)" != "$key" ]; then
  make_base
  echo "$key" >"$out/base.key"
fi
make_top
# Archives are padded to 512 bytes each, as the kernel asks of joined ones.
cat "$out/base.cpio" "$out/top.cpio" >"$out/initramfs.tmp"
mv "$out/initramfs.tmp" "$out/initramfs.cpio"
