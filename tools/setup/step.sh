#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# step.sh NAME LOG COMMAND...: runs a step of the build with its output in LOG, and shows that it lives.
#
# On a terminal one line is kept up to date; elsewhere a line is printed when the step starts, every 10 seconds, and at
# the end.  A failed step shows the end of its log.  Exit status: the command's.
set -u

[ $# -ge 3 ] || { echo "usage: step.sh NAME LOG COMMAND..." >&2; exit 2; }
name=$1 log=$2
shift 2
mkdir -p "$(dirname "$log")" || exit 1

start=$EPOCHREALTIME
elapsed() { awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }
tty=0
[ -t 1 ] && tty=1

# The last line of the log, cut so that a terminal line never wraps.
last_line() { tail -c 400 "$log" 2>/dev/null | tr '\r' '\n' | grep -a . | tail -n 1 | tr -cd '[:print:]' | cut -c 1-70; }

heartbeat() {
  local n=0
  while sleep 1; do
    n=$((n + 1))
    if [ $tty = 1 ]; then
      printf '\r\033[K  %-22s %6ss  %s' "$name" "$(elapsed)" "$(last_line)"
    elif [ $((n % 10)) = 0 ]; then
      printf '  %-22s %6ss  %s\n' "$name" "$(elapsed)" "$(last_line)"
    fi
  done
}

[ $tty = 1 ] && printf '  %-22s ...' "$name" || printf '  %-22s started, log %s\n' "$name" "$log"
# The descriptor of a lock that the caller holds must not stay open in a daemon that the step might leave behind.
"$@" >"$log" 2>&1 </dev/null 9>&- &
job=$!
heartbeat 9>&- &
beat=$!
trap 'kill $beat 2>/dev/null' EXIT
trap 'kill $job 2>/dev/null; exit 130' INT TERM
wait $job
status=$?
kill $beat 2>/dev/null
wait $beat 2>/dev/null
[ $tty = 1 ] && printf '\r\033[K'
if [ $status = 0 ]; then
  printf '  %-22s %6ss  done, log %s\n' "$name" "$(elapsed)" "$log"
else
  printf '  %-22s %6ss  FAILED (status %d), log %s; it ends so:\n' "$name" "$(elapsed)" $status "$log"
  tail -n 25 "$log" | sed 's/^/    | /'
fi
exit $status
