#!/usr/bin/env bats
# No symlink in fs/ leads out of it, whatever the sandbox plants or changes meanwhile.

load helpers

plant() {
	"$ROOT/tests/graft/traps" "$TREE" "$T/canary"
	touch "$T/planted"
}

links() {
	(cd "$TREE" && find . -type l -printf '%P\n' | sort)
}

@test "a trap read through the mount gives what it gives inside, or nothing" {
	[ "$(id -u)" = 0 ] || skip "chroot is the judge, and wants root"
	plant
	cp /bin/busybox "$TREE/busybox"
	local link inside outside wrong=0 count=0
	while read -r link; do
		inside=$(chroot "$TREE" /busybox cat "/$link" 2>/dev/null) || true
		outside=$(cat "$M/$link" 2>/dev/null) || true
		# What resolves nowhere inside may be clamped to something that is inside.
		if [ -n "$inside" ] && [ "$inside" != "$outside" ]; then
			echo "$link -> $(readlink "$M/$link"): $outside, but inside: $inside"
			wrong=1
		fi
		case $outside in *$SECRET*) echo "$link got out" && wrong=1 ;; esac
		count=$((count + 1))
	done < <(links)
	[ $count -gt 200 ]
	[ $wrong = 0 ]
}

@test "a link to a directory leads to the same directory as inside" {
	[ "$(id -u)" = 0 ] || skip "chroot is the judge, and wants root"
	plant
	cp /bin/busybox "$TREE/busybox"
	local link inside wrong=0
	while read -r link; do
		inside=$(chroot "$TREE" /busybox stat -L -c %i "/$link" 2>/dev/null) || continue
		[ "$inside" = "$(stat -c %i "$TREE")" ] && inside=root || inside=$(chroot "$TREE" /busybox readlink -f "/$link")
		[ "$inside" = root ] && inside=/
		[ "$M/.$inside" -ef "$M/$link" ] || {
			echo "$link -> $(readlink "$M/$link") is not $inside"
			wrong=1
		}
	done < <(links)
	[ $wrong = 0 ]
}

@test "lstat's size is the length of the text" {
	plant
	local link
	while read -r link; do
		same "$(readlink -n "$M/$link" | wc -c)" "$(stat -c %s "$M/$link")"
	done < <(links | grep 1)
}

@test "readers: cat, find -L, grep -r, tar, cp -a, rsync -a, du -L" {
	plant
	mkdir "$T/out" "$T/out/cp" "$T/out/rsync"
	links | while read -r link; do cat "$M/$link" 2>/dev/null; done >"$T/out/cat" || true
	find -L "$M/few" -type f -exec cat {} + >"$T/out/find" 2>/dev/null || true
	grep -rsh . "$M" >"$T/out/grep" || true
	grep -Rsh -D skip . "$M/few" >"$T/out/grep-R" || true
	tar -C "$M" -chf "$T/out/tar-h" few >/dev/null 2>&1 || true
	tar -C "$M" -cf "$T/out/tar" . >/dev/null 2>&1 || true
	cp -a "$M/." "$T/out/cp" 2>/dev/null || true
	cp -rL "$M/few" "$T/out/cp-L" 2>/dev/null || true
	rsync -a "$M/" "$T/out/rsync" >/dev/null 2>&1 || true
	rsync -aL "$M/few" "$T/out/rsync-L" >/dev/null 2>&1 || true
	local out
	grep -q inside "$T/out/cat"
	for out in cat find grep-R tar-h cp-L rsync-L; do
		grep -rqa inside "$T/out/$out"
	done
	# A copied link holds the text shown: below the copy it leads where it led in the mount.
	for out in "$T"/out/{cp,rsync}; do
		find "$out" -type l -exec cat {} + 2>/dev/null || true
	done >"$T/out/copied"
	no_secret_in "$T/out"
	nothing_escaped
}

@test "writers are confined by the test itself, so that an open trap harms nobody" {
	fails 'Read-only file system' confined 'touch /usr/new'
	fails 'Read-only file system' confined 'touch /new'
	fails 'Read-only file system' confined 'chmod u+x /usr/bin/env'
	same '' "$(confined 'find / -xdev -maxdepth 1 ! -name usr ! -name tmp ! -type l ! -path /')"
	confined 'touch "$T/mine"'
	[ -e "$T/mine" ]
}

@test "writers: redirection, tee, chmod, touch, mkdir, mv, rm -rf" {
	plant
	links >"$T/links"
	touch "$T/planted"
	confined '
		while read -r link; do
			echo overwritten >"$M/$link"
			echo appended | tee -a "$M/$link" >/dev/null
			chmod u+x "$M/$link"
			touch "$M/$link" "$M/$link/new"
			mkdir "$M/$link/new.d"
		done <"$T/links" 2>/dev/null
		true'
	nothing_escaped
	# A link that led up would find the mount point among its neighbours.
	same 'canary links mnt planted says tree' "$(find "$T" -mindepth 1 -maxdepth 1 ! -name errors -printf '%f\n' | sort | xargs)"
	mv "$M/a" "$M/moved"
	confined '
		while read -r link; do rm -rf "${M:?}/$link/"; done <"$T/links" 2>/dev/null
		true'
	nothing_escaped
	confined 'rm -rf "${M:?}"/* "$M/ " "$M/-dash"'
	same '' "$(ls -A "$TREE")"
	nothing_escaped
}

@test "a directory moved underneath, up and down, while it is walked" {
	mkdir -p "$TREE/1/2/3/4/d" "$TREE/canary" "$TREE/1/2/3/canary"
	local n text=canary/secret
	for n in 0 1 2 3 4 5; do
		ln -s "$text" "$TREE/1/2/3/4/d/l$n"
		text=../$text
	done
	"$PYTHON" - "$TREE" 3>&- <<-'END' &
		import os, sys
		os.chdir(sys.argv[1])
		while True:
		    os.rename("1/2/3/4/d", "d")
		    os.rename("d", "1/2/d")
		    os.rename("1/2/d", "1/2/3/4/d")
	END
	BACKGROUND=$!
	for n in $(seq 300); do
		cat "$M"/1/2/3/4/d/l? "$M"/1/2/d/l? "$M"/d/l? 2>/dev/null || true
		(cd "$M/1/2/3/4/d" 2>/dev/null && cat l0 l1 l2 l3 l4 l5 ../l5 2>/dev/null) || true
	done >"$T/read"
	find -L "$M" -type f -exec cat {} + >>"$T/read" 2>/dev/null || true
	kill $BACKGROUND
	no_secret_in "$T/read"
	nothing_escaped
}

@test "links and directories swapped for each other during a walk" {
	mkdir -p "$TREE/x/y" "$TREE/spare" "$TREE/canary"
	echo inside | tee "$TREE/x/y/secret" "$TREE/spare/secret" >"$TREE/canary/secret"
	ln -s "../../../../..$T/canary" "$TREE/x/l1"
	ln -s "y/../../../../canary" "$TREE/x/l2"
	"$PYTHON" - "$TREE" 3>&- <<-'END' &
		import ctypes, os, sys
		os.chdir(sys.argv[1])
		libc = ctypes.CDLL(None)
		def exchange(a, b):
		    libc.renameat2(-100, a, -100, b, 2)
		while True:
		    exchange(b"x/y", b"x/l1")
		    exchange(b"x/l1", b"x/l2")
		    exchange(b"x", b"spare")
		    exchange(b"x/y", b"x/l2")
		    exchange(b"x", b"spare")
	END
	BACKGROUND=$!
	local n
	for n in $(seq 300); do
		cat "$M/x/y/secret" "$M/x/l1/secret" "$M/x/l2/secret" "$M/x/l2/../secret" 2>/dev/null || true
	done 2>/dev/null >"$T/read"
	confined 'for n in {1..300}; do echo overwritten >"$M/x/l1/secret"; done 2>/dev/null; true'
	kill $BACKGROUND
	no_secret_in "$T/read"
	nothing_escaped
}

@test "a rename through the mount takes a directory's links along" {
	mkdir -p "$TREE/1/2/3" "$TREE/d/e"
	echo inside >"$TREE/file"
	ln -s /file "$TREE/d/e/abs"
	ln -s ../../file "$TREE/d/e/rel"
	same inside "$(cat "$M/d/e/abs")"
	mv "$M/d" "$M/1/2/3/d"
	same ../../../../../file "$(readlink "$M/1/2/3/d/e/abs")"
	same inside "$(cat "$M/1/2/3/d/e/abs")"
	same ../../file "$(readlink "$M/1/2/3/d/e/rel")"
	mv "$M/1/2/3/d/e" "$M/e"
	same inside "$(cat "$M/e/abs")"
	same ../file "$(readlink "$M/e/rel")"
	(
		cd "$M/e"
		mv "$M/e" "$M/1/e"
		same "$M/1/e" "$(pwd -P)"
	)
}

@test "a FIFO nobody writes, a socket, a device and a lease do not hold the server up" {
	mkfifo "$TREE/fifo"
	echo leased >"$TREE/leased"
	echo free >"$TREE/free"
	same fifo "$(stat -c %F "$M/fifo")"
	fails '' timeout 0.3 cat "$M/fifo"
	coproc "$PYTHON" -c 'import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
signal.pause()' "$TREE/leased" 3>&-
	BACKGROUND=$COPROC_PID
	read -r -t 10 -u "${COPROC[0]}"
	fails 'temporarily unavailable' timeout 10 cat "$M/leased"
	fails 'temporarily unavailable' timeout 10 truncate -s 0 "$M/leased"
	same free "$(cat "$M/free")"
	if [ "$(id -u)" = 0 ]; then
		mknod "$TREE/null" c 1 3
		same 'character special file' "$(stat -c %F "$M/null")"
		fails 'denied' cat "$M/null"
	fi
}

@test "setuid, file capabilities and device nodes have no effect" {
	cp /bin/true "$TREE/prog"
	chmod 4755 "$TREE/prog"
	findmnt -n -o OPTIONS "$M" | grep nosuid | grep -q nodev
}

@test "names with newlines and bytes that are not UTF-8 pass unchanged" {
	local name
	for name in $'new\nline' $'bad\xff\xfeutf8' ' ' '-n' "$(printf '%0255d' 0)"; do
		printf '%s\n' "$name" >"$M/$name"
		same "$name" "$(cat "$TREE/$name")"
	done
	same 5 "$(find "$M" -type f -printf x | wc -c)"
	same "$(find "$TREE" -type f -printf '%P\0' | sort -z | sha1sum)" "$(find "$M" -type f -printf '%P\0' | sort -z | sha1sum)"
	fails 'too long' touch "$M/$(printf '%0256d' 0)"
}
