#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# No structure of the driver's user interface has a hole, and 32-bit and 64-bit programs see the same bytes: pahole reads
# it from the compiler's own description of them.  Prints TAP.
set -u
cd "$(dirname "$0")/../.."
out=build/check/uapi-layout
number=0
result() { # status, text
	number=$((number + 1))
	[ "$1" = 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}
# Members with offset and size, of all structures whose name begins with drm_npu or npu_dump.
layout() { # bits, name of a file without its ending
	cc -m"$1" -g -gdwarf-4 -fno-eliminate-unused-debug-types -isystem /usr/include/libdrm -idirafter "/usr/include/$(cc -print-multiarch)" \
		-Ikernel/uapi -c -o "$2.$1.o" "$2.c" &&
		pahole --suppress_aligned_attribute "$2.$1.o" | awk '/^(struct|union) (drm_npu|npu_dump)/ { on = 1 } on { print } /^}/ { on = 0 }' >"$2.$1"
}
# What the compiler has added, or what differs.
faults() { # name
	grep -hn 'XXX\|holes:\|padding:\|sum holes' "$1.64" "$1.32"
	diff "$1.64" "$1.32"
}
rm -rf "$out"
mkdir -p "$out"
for header in kernel/uapi/*.h; do echo "#include \"${header##*/}\""; done >"$out/uapi.c"
layout 64 "$out/uapi" && layout 32 "$out/uapi"
result $? "the headers compile for 64 and for 32 bits"
want=$(cat kernel/uapi/*.h | grep -c '^struct .* {$')
[ "$want" -gt 0 ] && [ "$(grep -c '^struct' "$out/uapi.64")" = "$want" ]
result $? "pahole knows all $want structures of the headers"
found=$(faults "$out/uapi")
[ -z "$found" ]
result $? "no structure has a hole, and none differs between 32 and 64 bits"
[ -z "$found" ] || echo "$found" | sed 's/^/# /'
# A check that finds nothing may be one that cannot.
bad() { # name, members
	echo "#include <linux/types.h>
	struct drm_npu_$1 { $2 };" >"$out/$1.c"
	layout 64 "$out/$1" && layout 32 "$out/$1" && [ -n "$(faults "$out/$1")" ]
	result $? "$3 would be found"
}
bad hole '__u32 a; __u64 b;' "a hole"
bad tail '__u64 a; __u32 b;' "bytes missing at the end"
bad long 'long a, b;' "a member of another size"
echo "1..$number"
