#!/usr/bin/env bats
# fs/: the sandbox's live root, and no way out of it.

load helpers

setup() {
	prepare
	echo 'host secret' >"$T/secret"
	mount_up
	mkdir "$S" "$B"
	[ "$BACKEND" = local ] || put "$B/config/cwd" /workspace
	F=$B/fs W=$B/fs/workspace
}

@test "the first look under fs/ starts the sandbox; it shows the sandbox's root" {
	state_is unstarted
	same '' "$(ls "$F/")" # a listing starts nothing: crawlers list
	state_is unstarted
	[ -d "$F/tmp" ]
	state_is running
	ls "$F/" >"$T/root"
	local d
	for d in etc home proc root tmp usr var workspace; do
		grep -qx "$d" "$T/root"
	done
	eventually 40 state_is running
	[ -x "$F/usr/bin/env" ]
}

@test "written outside, read inside; written inside, read outside" {
	printf 'from outside\n' >"$W/a"
	same 'from outside' "$(inside 'cat /workspace/a')"
	inside 'echo from inside >/workspace/a; echo more >/tmp/b' >/dev/null
	reads "$W/a" 'from inside\n'
	reads "$F/tmp/b" 'more\n'
}

@test "create, mkdir, rename, unlink, rmdir, symlink, link" {
	mkdir "$W/d" "$W/d/e"
	echo text >"$W/d/e/f"
	mv "$W/d/e/f" "$W/g"
	same text "$(cat "$W/g")"
	ln -s g "$W/s"
	same g "$(readlink "$W/s")"
	same text "$(cat "$W/s")"
	ln "$W/g" "$W/h"
	same 2 "$(stat -c %h "$W/g")"
	same "$(stat -c %i "$W/g")" "$(stat -c %i "$W/h")"
	fails 'not empty' rmdir "$W/d"
	rmdir "$W/d/e" "$W/d"
	rm "$W/g" "$W/s"
	same h "$(ls "$W")"
	same h "$(inside ls)"
	fails 'No such file' cat "$W/g"
	fails 'File exists' mkdir "$W/h"
}

@test "stat, chmod, truncate, times, statfs" {
	printf 0123456789 >"$W/f"
	chmod 640 "$W/f"
	same '10 640 regular file' "$(stat -c '%s %a %F' "$W/f")"
	same '10 640' "$(inside "stat -c '%s %a' f")"
	truncate -s 4 "$W/f"
	reads "$W/f" 0123
	truncate -s 6 "$W/f"
	reads "$W/f" '0123\0\0'
	touch -d '2001-02-03 04:05:06 UTC' "$W/f"
	same 981173106 "$(stat -c %Y "$W/f")"
	same 981173106 "$(inside 'stat -c %Y f')"
	[ "$(stat -f -c %b "$W")" -gt 0 ]
	df "$W" >/dev/null
}

@test "setuid bits go when a file is written to, as on the disk below" {
	local f
	for f in "$T/f" "$W/f"; do
		echo text >"$f"
		chmod 6755 "$f"
		echo more >>"$f"
		chmod u+s "$f"
		echo over >"$f"
	done
	# Root's writes leave them, unless the agent does them, which is root of its sandbox only.
	local mode
	mode=$(stat -c %a "$W/f")
	[ "$mode" = 755 ] || same "$(stat -c %a "$T/f")" "$mode"
}

@test "append, seek, overwrite in the middle" {
	echo one >"$W/f"
	echo two >>"$W/f"
	reads "$W/f" 'one\ntwo\n'
	printf XX | dd of="$W/f" bs=1 seek=1 conv=notrunc 2>/dev/null
	reads "$W/f" 'oXX\ntwo\n'
}

@test "16 MB through, exact, both ways" {
	seq -w 1 3000000 | head -c 16000000 >"$T/big"
	cp "$T/big" "$W/big"
	same "$(sha256sum <"$T/big")" "$(inside 'sha256sum </workspace/big')"
	inside 'cp big copy' >/dev/null
	cmp "$T/big" "$W/copy"
}

@test "a directory of 2,000 files is listed whole" {
	inside 'mkdir many; cd many; seq 2000 | xargs touch' >/dev/null
	same "$(seq 2000 | sort)" "$(ls "$W/many" | sort)"
	rm -r "$W/many"
	same '' "$(inside ls)"
}

@test "names: 255 bytes, newlines, blanks, bytes that are no UTF-8; 256 is too long" {
	local long name
	long=$(printf 'n%.0s' {1..255})
	for name in "$long" $'new\nline' ' blank ' $'\xff\xfe' '*' '-rf' "'"; do
		echo x >"$W/$name"
		same x "$(cat "$W/$name")"
		rm -- "$W/$name"
	done
	fails 'File name too long' touch "$W/${long}n"
}

@test "tools: tar in and out, rsync, sed -i, find, grep -r" {
	mkdir "$T/tree" "$T/tree/d"
	echo alpha >"$T/tree/a"
	echo beta >"$T/tree/d/b"
	ln -s a "$T/tree/link"
	tar -C "$T" -c tree | tar -C "$W" -x
	diff -r "$T/tree" "$W/tree"
	rsync -a "$W/tree/" "$T/back/"
	diff -r "$T/tree" "$T/back"
	sed -i s/alpha/gamma/ "$W/tree/a"
	same gamma "$(inside 'cat tree/a')"
	same "$W/tree/d/b" "$(grep -rl beta "$W/tree")"
	same 5 "$(find "$W/tree" | wc -l)"
}

@test "compile: the source goes in by cp, the program runs by cmd, the binary comes out" {
	command -v cc || skip "no cc here"
	printf '%s\n' '#include <stdio.h>' 'int main(void) { puts("hello"); return 3; }' >"$T/a.c"
	cp "$T/a.c" "$W/"
	put "$B/cmd" 'cc a.c -o a && ./a'
	reads "$B/stdout" 'hello\n'
	reads "$B/wait" '3\n'
	cmp <(head -c 4 "$W/a") <(printf '\177ELF')
}

# Every way the sandbox can point at a file of the host.
traps() {
	inside "
		ln -s $T/secret absolute
		ln -s ../../../../../../../../../../..$T/secret dots
		ln -s / slash
		ln -s .. up
		ln -s slash$T/secret chained
		ln -s /proc/self/root proc
		ln -s /proc/self/cwd cwd
		ln -s ${T#/} relative
		ln -s $B/../../.ctl/README back
	" >/dev/null
}

@test "no symlink leads a reader out" {
	traps
	local path
	for path in absolute dots "slash$T/secret" "slash/..$T/secret" "up/..$T/secret" chained "proc$T/secret" "up/up/up$T/secret" \
		"relative/secret"; do
		not grep -s secret "$W/$path"
		not timeout 10 "$PYTHON" -c 'import sys; print(open(sys.argv[1]).read())' "$W/$path" 2>/dev/null
	done
	not grep -s secret "$W"/*
	cp -rL "$W/absolute" "$W/dots" "$W/chained" "$T/copied" 2>/dev/null || true
	not grep -rs secret "$T/copied"
}

@test "no symlink leads a writer out" {
	traps
	local path
	for path in absolute dots "slash$T/secret" chained; do
		echo overwritten >"$W/$path" 2>/dev/null || true
		touch "$W/${path%secret}new" 2>/dev/null || true
		mkdir "$W/slash$T/made" 2>/dev/null || true
	done
	reads "$T/secret" 'host secret\n'
	[ ! -e "$T/new" ]
	[ ! -e "$T/made" ]
}

@test "links of the sandbox resolve in the sandbox" {
	inside 'echo inner >/tmp/inner; ln -s /tmp/inner abs; ln -s ../tmp/inner rel; mkdir d; ln -s ../../../../../tmp/inner d/deep; ln -s /usr usr' >/dev/null
	same inner "$(cat "$W/abs")"
	same inner "$(cat "$W/rel")"
	same inner "$(cat "$W/d/deep")"
	[ -x "$W/usr/bin/env" ]
	same inner "$(inside 'cat abs')"
}

@test "a link to an absolute path through the mount works on both sides" {
	mkdir "$W/d"
	echo text >"$W/d/f"
	ln -s "$W/d/f" "$W/d/link"
	ln -s "$F" "$W/top"
	same text "$(cat "$W/d/link")"
	same ../../workspace/d/f "$(readlink "$W/d/link")"
	same /workspace/d/f "$(inside "readlink /workspace/d/link")"
	same / "$(inside "readlink /workspace/top")"
	[ "$W/top/workspace/d" -ef "$W/d" ]
	# Another sandbox's files, and the control files, are not to be had that way.
	mkdir "$S/other"
	echo other >"$S/other/fs/tmp/secret"
	ln -s "$S/other/fs/tmp/secret" "$B/state" "$W"
	fails 'No such file' cat "$W/secret"
	fails 'No such file' cat "$W/state"
	same "$B/state" "$(inside "readlink /workspace/state")"
}

@test "a link that changes under a reader never leads out: 2,000 looks at a racing path" {
	local looks=2000
	[[ ${MOUNT_OPTIONS:-} != *agent=no* ]] || looks=100 # by a shell
	inside "mkdir -p real$T; echo decoy >real$T/secret" >/dev/null
	put "$B/cmd" 'while :; do ln -sfn /workspace/real race; ln -sfn / race; done'
	eventually 40 status_is "$B" running
	timeout 100 "$PYTHON" - "$W/race$T/secret" $looks <<-'PYTHON'
		import sys
		seen = 0
		for _ in range(int(sys.argv[2])):
		    try:
		        text = open(sys.argv[1]).read()
		    except OSError:
		        continue
		    assert "host" not in text, text
		    seen += 1
		print("seen", seen)
	PYTHON
}

# As make(1) does with its standard output.
@test "O_APPEND that comes by fcntl appends, also behind what the sandbox wrote" {
	"$PYTHON" - "$W/log" "$B" <<-'PYTHON'
		import fcntl, os, sys
		path, box = sys.argv[1:]
		fd = os.open(path, os.O_RDWR | os.O_CREAT)
		fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
		os.write(fd, b"one\n")
		with open(box + "/cmd", "w") as cmd:
		    cmd.write("echo two >>/workspace/log")
		with open(box + "/wait") as wait:
		    assert wait.read() == "0\n"
		os.write(fd, b"three\n")
		os.close(fd)
		with open(path, "rb") as f:
		    got = f.read()
		assert got == b"one\ntwo\nthree\n", got
	PYTHON
}

@test "a directory by a descriptor: what is there at the first read, and both names of one symlink outlive a rename" {
	"$PYTHON" - "$W" <<-'PYTHON'
		import os, sys
		d = sys.argv[1] + "/d"
		os.mkdir(d)
		open(d + "/old", "w").close()
		fd = os.open(d, os.O_RDONLY | os.O_DIRECTORY)
		os.close(os.open("new", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=fd))
		os.unlink("old", dir_fd=fd)
		assert os.listdir(fd) == ["new"], os.listdir(fd)
		os.close(fd)
		os.symlink("x", d + "/a")
		os.link(d + "/a", d + "/b", follow_symlinks=False)
		os.lstat(d + "/a")
		os.rename(d + "/b", d + "/a")
		assert sorted(os.listdir(d)) == ["a", "b", "new"], os.listdir(d)
		assert os.path.lexists(d + "/b")
	PYTHON
}

@test "device nodes, FIFOs and sockets of the sandbox do no harm outside" {
	inside 'mkfifo fifo; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")"' >/dev/null
	[ -e "$W/fifo" ]
	within 20 timeout 15 stat "$W/fifo" "$W/sock" >/dev/null
	within 20 timeout 15 ls -la "$W" >/dev/null
	not timeout 20 "$PYTHON" -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$W/sock" 2>/dev/null
	findmnt -n -o OPTIONS "$M" | grep -q nosuid
	findmnt -n -o OPTIONS "$M" | grep -q nodev
}

@test "the read-only parts stay read-only from outside as well" {
	fails 'Read-only' touch "$F/usr/bin/alien"
	fails 'Read-only' rm "$F/usr/bin/env"
	[ -x /usr/bin/env ]
}

@test "after the end: ESHUTDOWN, at once" {
	echo x >"$W/f"
	exec 5<"$W/f"
	put "$B/ctl" 'stop 1'
	eventually 40 state_is terminated
	same ESHUTDOWN "$(errno_of "open('$W/f').read()")"
	same ESHUTDOWN "$(errno_of "os.listdir('$F')")"
	exec 5<&-
}
