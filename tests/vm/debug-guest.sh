# SPDX-License-Identifier: Apache-2.0
# In the debug kernel's guest, after the suites: the checkers were on all the time, the driver goes, nothing is left; and
# then the checkers are shown what they are there for.  Prints TAP.  What a checker finds is in the kernel's log, which
# tests/vm/debug.sh reads.
debug=/sys/kernel/debug
number=0
result() { # status, text
	number=$((number + 1))
	[ "$1" = 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}

# What was lost while the driver worked is lost still when it has gone: one search at the end finds both.  An object
# counts as lost from the second look on, and not in its first five seconds: hence the pauses.  A look takes half a minute.
scan() {
	sleep 6
	echo scan >$debug/kmemleak
	sleep 6
	echo scan >$debug/kmemleak
	cat $debug/kmemleak
}

# Not from the log, whose beginning may be gone by now.
grep -qw kasan_report /proc/kallsyms
result $? "KASAN is on"
grep -q N $debug/dma-api/disabled
result $? "DMA-API checking is on, and has not run out of entries"
rmmod npu
result $? "the driver can be removed"
insmod /lib/modules/npu.ko && rmmod npu
result $? "... loaded and removed again"
leaks=$(scan)
[ $? = 0 ] && [ -z "$leaks" ]
result $? "kmemleak: nothing is lost, and nothing remains when the driver has gone"
echo "$leaks" | sed 's/^/# /'
grep -Eq 'debug_locks: *1' /proc/lockdep_stats
result $? "lockdep is still on"
[ "$(cat $debug/dma-api/error_count)" = 0 ]
result $? "DMA-API checking has counted no error"

echo "<4>reports on purpose from here on" >/dev/kmsg
insmod /npu/build/splat/splat.ko
result $? "a module that does what no module may is loaded"
scan >/dev/null
echo "1..$number"
