#!/usr/bin/env bats
# Every reader a user may reach for, over every control file: each gives the same bytes.

load helpers

# read_by READER FILE: the bytes of FILE as READER gives them.
read_by() {
	case $1 in
	cat | 'busybox cat') $1 "$2" ;;
	cp) rm -f "$T/copied" && cp "$2" "$T/copied" && cat "$T/copied" ;;
	'busybox cp') rm -f "$T/copied" && busybox cp "$2" "$T/copied" && cat "$T/copied" ;;
	head) head -c 10000000 "$2" ;;
	'busybox head') busybox head -n 1000000 "$2" ;;
	tail) tail -c +1 "$2" ;;
	'tail lines') tail -n 1000000 "$2" ;;
	grep) grep -a '' "$2" ;;
	dd) dd if="$2" bs=512 2>/dev/null ;;
	'dd 64k') dd if="$2" bs=65536 2>/dev/null ;;
	sed) sed -n p "$2" ;;
	less) less -f "$2" | cat ;;
	python) "$PYTHON" -c 'import sys; sys.stdout.buffer.write(open(sys.argv[1], "rb").read())' "$2" ;;
	'python copyfile') rm -f "$T/copied" && "$PYTHON" -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' "$2" "$T/copied" && cat "$T/copied" ;;
	perl) perl -e 'local $/; open F, "<", $ARGV[0]; print <F>' "$2" ;;
	node) node -e 'process.stdout.write(require("fs").readFileSync(process.argv[1]))' "$2" ;;
	'node stream') node -e 'require("fs").createReadStream(process.argv[1]).pipe(process.stdout)' "$2" ;;
	rsync) rm -f "$T/copied" && rsync "$2" "$T/copied" && cat "$T/copied" ;;
	tar) tar -C "${2%/*}" -c "${2##*/}" | tar -xO ;;
	bash) printf '%s\n' "$(<"$2")" ;;
	esac
}

READERS=(cat 'busybox cat' cp 'busybox cp' head 'busybox head' tail 'tail lines' grep dd 'dd 64k' sed less python
	'python copyfile' perl node 'node stream' rsync tar)

# Readers of lines add or want a newline at the end; all our text files have one. A terminal is none of them.
text_files() {
	find "$M" \( -name fs -o -name bin \) -prune -o -type f -perm /400 ! -name events ! -name stats ! -name logs ! -name tty -print | sort
}

wrong_readers() {
	local file reader wrong=0
	while read -r file; do
		"$PYTHON" -c 'import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
while chunk := os.read(fd, 1 << 20): sys.stdout.buffer.write(chunk)' "$file" >"$T/wanted"
		for reader in "$@"; do
			timeout 20 bash -c "$(declare -f read_by); read_by \"\$@\"" - "$reader" "$file" >"$T/got" 2>"$T/said" || true
			cmp -s "$T/wanted" "$T/got" || {
				echo "$reader of $file: wanted $(wc -c <"$T/wanted") bytes, got $(wc -c <"$T/got"): $(head -n 1 "$T/said")"
				wrong=1
			}
		done
		same "$(wc -c <"$T/wanted")" "$(wc -c <"$file")" || wrong=1
	done
	return $wrong
}

setup() {
	prepare
	mount_up
	mkdir "$S" "$B"
	put "$B/config/env" A=1
	put "$B/cmd" '["no-such-program"]'
	finish
	put "$B/cmd" 'seq 1 30000; seq 1 500 >&2; exit 3'
	finish
	export T
}

@test "every reader of every readable file gives the same bytes" {
	text_files >"$T/files"
	[ "$(wc -l <"$T/files")" -ge 60 ]
	# Each reader of the sandbox's own files; the many alike (defaults, the older command) by a few.
	grep -F "$B/" "$T/files" | grep -v -e /proc/1/ -e /config/c -e /config/[glmps] | wrong_readers "${READERS[@]}"
	grep -v -F "$B/" "$T/files" | wrong_readers cat 'busybox cat' cp 'python copyfile' tar
	grep -F "$B/proc/1/" "$T/files" | wrong_readers 'busybox cat' 'python copyfile' tar
}

@test "binary output, by all that are made for bytes" {
	put "$B/cmd" "perl -e 'print map(chr, 0..255) x 2000'"
	finish
	printf '%s\n' "$B/stdout" "$B/stdout.log" | wrong_readers cat 'busybox cat' cp 'busybox cp' head tail dd 'dd 64k' python \
		'python copyfile' perl node 'node stream' rsync tar
}

@test "tail -f shows an ended command whole" {
	local f
	for f in "$B/stdout.log" "$B/stderr.log" "$B/stdout"; do
		background timeout 20 tail -c +1 -f "$f" >"$T/followed"
		eventually 40 cmp -s "$T/followed" "$f"
	done
}

@test "readers of a running command's .log get what is there now" {
	put "$B/cmd" 'seq 1 30000; echo told >&2; sleep 1000'
	timeout 60 head -n 1 "$B/stderr" >/dev/null
	eventually 40 eval 'cmp -s "$B/stdout.log" <(seq 1 30000)'
	echo "$B/stdout.log" | wrong_readers "${READERS[@]}"
	same 30000 "$(wc -l <"$B/stdout.log")"
}

@test "live readers of a running stdout end with the command and miss nothing" {
	local reader pids=()
	put "$B/cmd" 'seq 1 20000; sleep 0.7; seq 20001 40000'
	for reader in cat head tail grep dd sed python perl 'node stream'; do
		background eval "read_by '$reader' '$B/stdout' >'$T/live $reader'"
		pids+=($!)
	done
	wait "${pids[@]}"
	for reader in cat head tail grep dd sed python perl 'node stream'; do
		cmp "$T/live $reader" <(seq 1 40000)
	done
}

@test "wc, grep -c, sort, sha256sum, diff and awk count right" {
	seq 1 30000 >"$T/seq"
	same '30000 30000 168894' "$(wc <"$B/stdout" | tr -s ' ' | sed 's/^ //')"
	same 30000 "$(grep -c . "$B/stdout")"
	same "$(sha256sum <"$T/seq")" "$(sha256sum <"$B/stdout")"
	diff "$T/seq" "$B/stdout"
	same 450015000 "$(awk '{ s += $1 } END { print s }' "$B/stdout")"
	same 30000 "$(sort -n "$B/stdout" | tail -n 1)"
}

@test "a conversation over cmd that polls hears of each command, and outlives them" {
	"$PYTHON" - "$B" <<-'PYTHON'
		import os, select, sys
		box = sys.argv[1]
		fd = os.open(box + "/cmd", os.O_RDWR | os.O_NONBLOCK)
		poll = select.poll()
		poll.register(fd, select.POLLIN)
		def talk(text, wanted):
		    os.write(fd, text)
		    got = b""
		    while got != wanted:
		        assert poll.poll(60000), got
		        try:
		            got += os.read(fd, 100)
		        except BlockingIOError:
		            pass
		    while True: # to the end of it
		        try:
		            if os.read(fd, 100) == b"":
		                return
		        except BlockingIOError:
		            assert poll.poll(60000)
		talk(b"echo a", b"a\n")
		talk(b"sleep 0.5; echo b", b"b\n")
		talk(b"sleep 0.2; echo c", b"c\n")
		for name in os.listdir(box + "/proc"):
		    os.rmdir(box + "/proc/" + name)
		os.close(fd)
	PYTHON
	same alive "$(inside 'echo alive')"
}
