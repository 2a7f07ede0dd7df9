#!/usr/bin/env bats
# Output of any content and size arrives byte for byte; none is dropped, none held in memory.

load helpers

@test "NUL bytes, no newline at the end, an empty line" {
	put "$B/cmd" "printf 'a\\0b\\0\\n\\n\\377x'"
	reads "$B/stdout" 'a\0b\0\n\n\377x'
}

@test "all 256 byte values, on both streams" {
	put "$B/cmd" "perl -e 'print map chr, 0..255; print STDERR map chr, reverse 0..255'"
	cmp "$B/stdout" <(perl -e 'print map chr, 0..255')
	cmp "$B/stderr" <(perl -e 'print map chr, reverse 0..255')
}

@test "100 MB, exact, while it is made and again afterwards" {
	local want size=100000000
	want=$(seq -w 1 20000000 | head -c $size | sha256sum)
	put "$B/cmd" "seq -w 1 20000000 | head -c $size"
	same "$want" "$(timeout 120 cat "$B/stdout" | sha256sum)"
	same "$want" "$(sha256sum <"$B/stdout")"
	same "$want" "$(cat "$B/stdout.log" | sha256sum)"
	same $size "$(stat -c %s "$B/stdout")"
	reads "$B/wait" '0\n'
}

@test "both streams at once, interleaved, each exact" {
	put "$B/cmd" 'for i in $(seq 20000); do echo out $i; echo err $i >&2; done'
	background eval 'cat "$B/stderr" >"$T/err"'
	local reader=$!
	cmp <(cat "$B/stdout") <(seq -f 'out %g' 20000)
	wait $reader
	cmp "$T/err" <(seq -f 'err %g' 20000)
}

@test "many small writes with readers at their heels" {
	put "$B/cmd" "perl -e '\$| = 1; print \"\$_\\n\" for 1..50000'"
	local i readers=()
	for i in 1 2 3; do
		background eval "timeout 120 cat '$B/stdout' >'$T/got$i'"
		readers+=("$!")
	done
	wait "${readers[@]}"
	for i in 1 2 3; do
		cmp "$T/got$i" <(seq 50000)
	done
}

# A request that is answered while others become due on the same thread must keep its own bytes.
@test "readers of many commands at once never see each other's bytes" {
	local i j readers=()
	for i in {1..8}; do
		mkdir "$B/proc/c$i"
		put "$B/proc/c$i/cmd" "perl -e '\$| = 1; print \"$i \$_\n\" for 1..12000'"
		for j in 1 2 3; do
			background eval "timeout 120 cat '$B/proc/c$i/stdout' >'$T/got$i.$j'"
			readers+=("$!")
		done
	done
	wait "${readers[@]}"
	for i in {1..8}; do
		for j in 1 2 3; do
			cmp "$T/got$i.$j" <(seq -f "$i %.0f" 12000)
		done
	done
}
