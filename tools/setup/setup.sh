#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# setup.sh [GROUP...]: installs the packages of these groups of packages.txt (all of them if none is named) that are
# missing.  Does nothing, and needs neither root nor network, when all are there.
set -eu
. "$(dirname "$0")/lib.sh"

packages() { # GROUP...
  awk -v groups="$*" '
    BEGIN { n = split(groups, list, " "); for (i = 1; i <= n; i++) wanted[list[i]] = 1 }
    /^\[/ { group = substr($1, 2, length($1) - 2); next }
    /^[^#]/ && NF && (n == 0 || group in wanted) { print $1 }' "$NPU_ROOT/tools/setup/packages.txt"
}

missing() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

main() {
  case ${1:-} in
  --update)
    as_root apt-get update -o DPkg::Lock::Timeout=300 -o APT::Update::Error-Mode=any
    return
    ;;
  --install)
    shift
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
    return
    ;;
  esac
  local lacking package stale= step=$NPU_ROOT/tools/setup/step.sh
  command -v apt-get >/dev/null || die "this is no Debian system: there is no apt-get" \
    "Install what tools/setup/packages.txt lists by your system's own means; the VM needs Debian's archive."
  mapfile -t lacking < <(missing $(packages "$@"))
  if [ ${#lacking[@]} = 0 ]; then
    echo "  packages               all there"
    return
  fi
  echo "  packages missing       ${lacking[*]}"
  # Asked for here, where it can be seen: in a step sudo would wait for a password that nobody sees asked.
  [ "$(id -u)" = 0 ] || ! command -v sudo >/dev/null || sudo -v || die "sudo was refused" "Run \"make setup\" once as root."
  # An archive that does not answer may be one that nothing here needs: go on with the lists that there are.
  "$step" "package lists" "$NPU_CACHE/logs/apt-update.log" "$0" --update ||
    stale=" (and its lists could not be brought up to date: is the network there? $NPU_CACHE/logs/apt-update.log)"
  for package in "${lacking[@]}"; do
    apt-cache show "$package" 2>/dev/null | grep -q . ||
      die "apt knows no package \"$package\"$stale" "Enable the component main of Debian 12 or newer in apt's sources, then try again."
  done
  "$step" "packages" "$NPU_CACHE/logs/apt-install.log" "$0" --install "${lacking[@]}" ||
    die "these packages could not be installed: ${lacking[*]}$stale" "The log says why. Install them by hand, then go on."
}
main "$@"
