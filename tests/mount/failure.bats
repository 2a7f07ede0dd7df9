#!/usr/bin/env bats
# Each thing that can go wrong has its own clear error, and harms nothing that was there before.

load helpers
setup() { prepare; }

ready() {
	mount_up "$@"
	mkdir "$S" "$B"
}

# A PATH with the host's programs but for bwrap; with a fake one where FAKE_BWRAP holds a script.
path_without_bwrap() {
	mkdir "$T/bin"
	ln -s /usr/bin/* /bin/* /usr/sbin/* "$T/bin/" 2>/dev/null || true
	rm "$T/bin/bwrap"
	[ -z "${FAKE_BWRAP:-}" ] || {
		printf '%s\n' "$FAKE_BWRAP" >"$T/bin/bwrap"
		chmod +x "$T/bin/bwrap"
	}
}

# The command did not run, and WORDS say why.
did_not_run() {
	put "$B/cmd" "touch $T/escaped /tmp/escaped-$$; echo ran" || true
	reads "$B/wait" '125\n'
	[[ $(cat "$B/status") == failed* ]]
	grep -qi -- "$1" "$B/error"
	grep -qi -- "$1" "$S/.ctl/error"
	[ ! -e "$T/escaped" ] && [ ! -e "/tmp/escaped-$$" ]
	same failed "$(cat "$B/state")"
	same EIO "$(errno_of "open('$B/stdout').read()")"
}

@test "no bubblewrap: the mount or the command fails and names it; nothing runs outside" {
	as_root
	path_without_bwrap
	touch "$T/empty"
	export -f did_not_run
	# In a mount namespace where /usr/bin/bwrap is a file that cannot be run.
	unshare -m --propagation private bash -ec '
		umount -l -a -t fuse.aviatofs
		mount --bind "$T/empty" /usr/bin/bwrap
		. "$1/helpers.bash"
		if PATH=$T/bin mount_up 2>"$T/said"; then
			mkdir "$S" "$B"
			did_not_run "bubblewrap\|bwrap"
			mount_down
		else
			same 1 "$(wc -l <"$T/said")"
			grep -qi "bubblewrap\|bwrap" "$T/said"
		fi' - "$BATS_TEST_DIRNAME"
}

@test "no user namespaces: what bubblewrap says is what error says" {
	FAKE_BWRAP='#!/bin/sh
case $* in *--version*|*--help*) exec /usr/bin/bwrap "$@";; esac
echo "bwrap: No permissions to create new namespace, likely because the kernel does not allow it" >&2
exit 1' path_without_bwrap
	if PATH=$T/bin mount_up 2>"$T/said"; then
		mkdir "$S" "$B"
		did_not_run 'No permissions to create new namespace'
	else
		grep -q 'namespace' "$T/said"
	fi
}

# A mount whose sandboxes do not start, and one of them.
cannot_start() {
	FAKE_BWRAP='#!/bin/sh
case $* in *--version*|*--help*) exec /usr/bin/bwrap "$@";; esac
echo "bwrap: not today" >&2
exit 1' path_without_bwrap
	PATH=$T/bin mount_up
	mkdir "$S" "$B"
}

# It is asked for before the start can fail: both under one lock.
@test "who waits for a program of bin/ while the sandbox starts hears that it cannot" {
	cannot_start
	same EIO "$(errno_of "os.stat('$B/bin/sh')")"
	grep -q 'not today' "$B/error"
	same failed "$(cat "$B/state")"
}

@test "a terminal of a sandbox that cannot start: its reader hears of it, and the next open is refused" {
	cannot_start
	same EIO "$(errno_of "os.read(os.open('$B/tty', os.O_RDWR), 1)")"
	grep -q '^[A-Z_]*: .*not today' "$B/error"
	same EIO "$(errno_of "os.open('$B/tty', os.O_RDWR)")"
	grep -q '^[A-Z_]*: the sandbox is failed: .*not today' "$B/error"
	eventually 20 eval '[ -z "$(ls "$B/proc")" ]'
	# One that cannot be started at all.
	mkdir "$S/gone"
	make_image
	put "$S/gone/config/image" "$T/image"
	rm -rf "$T/image"
	same EIO "$(errno_of "os.read(os.open('$S/gone/tty', os.O_RDWR), 1)")"
	same ESHUTDOWN "$(errno_of "os.open('$S/gone/tty', os.O_RDWR)")"
	grep -q '^IMAGE_MISSING: the sandbox is failed: ' "$S/gone/error"
}

# Its child waits for it, and holds all it was given.
@test "bwrap is killed half-way: said at once, and what it began is gone" {
	FAKE_BWRAP="#!/bin/sh
case \$* in *--version*|*--help*) exec /usr/bin/bwrap \"\$@\";; esac
sleep 1000 &
echo \$! >$T/begun
kill -KILL \$\$" path_without_bwrap
	PATH=$T/bin mount_up
	mkdir "$S" "$B"
	did_not_run 'ended before it was ready'
	same '' "$(pgrep -P "$(daemon_pid)")" # nor a zombie
	gone "$(cat "$T/begun")"
}

# Nobody is left to read what bwrap says of its child, before that may go on.
@test "the daemon is killed while bwrap begins: the next mount ends what came of it" {
	FAKE_BWRAP="#!/bin/sh
case \$* in *--version*|*--help*) exec /usr/bin/bwrap \"\$@\";; esac
touch $T/begun
until [ -e $T/go ]; do sleep 0.01; done
exec /usr/bin/bwrap \"\$@\"" path_without_bwrap
	PATH=$T/bin mount_up
	mkdir "$S" "$B"
	put "$B/ctl" start
	eventually 20 test -e "$T/begun"
	kill_daemon
	touch "$T/go"
	eventually 40 eval '[ -n "$(agents)" ]'
	mount_up
	[ ! -d "$S" ]
	eventually 20 eval '[ -z "$(agents)" ]'
	eventually 20 eval '[ -z "$(ls "$STATE/default")" ]'
}

@test "no /dev/fuse: one line" {
	as_root
	local status=0
	touch "$T/plain"
	unshare -m sh -c 'umount -l -a -t fuse.aviatofs; mount --bind "$1/plain" /dev/fuse && exec timeout 20 "$2" local: "$1/mnt" -o state_dir="$1/state"' \
		- "$T" "$AVIATOFS" 2>"$T/said" 3>&- || status=$?
	[ "$status" != 0 ] && [ "$status" != 124 ]
	same 1 "$(wc -l <"$T/said")"
	not mounted
}

@test "what libfuse says of a mount that fails is in the one line" {
	as_root
	local status=0
	unshare -m sh -c 'umount -l -a -t fuse.aviatofs; mount --bind /dev/null /dev/fuse && exec timeout 20 "$2" local: "$1/mnt" -o state_dir="$1/state"' \
		- "$T" "$AVIATOFS" 2>"$T/said" 3>&- || status=$?
	same 1 "$status"
	same 1 "$(wc -l <"$T/said")"
	grep -q '^aviatofs: .*/mnt cannot be mounted (mount failed: ' "$T/said"
	not mounted
}

@test "a missing image: said at the write or by the command, and cured by a new sandbox" {
	ready
	if put "$B/config/image" "$T/no-such-image" 2>"$T/said"; then
		did_not_run 'image'
	else
		grep -qi 'image' "$B/error"
	fi
	mkdir "$S/good"
	put "$S/good/cmd" 'echo good'
	reads "$S/good/stdout" 'good\n'
}

@test "an image that is removed between config and start" {
	ready
	make_image
	put "$B/config/image" "$T/image"
	rm -rf "$T/image"
	did_not_run 'image'
	# A name that is looked up is not said to be missing where the sandbox is, by the first look-up either.
	local where
	for where in fs/etc bin/sh; do
		make_image
		mkdir "$S/${where%/*}"
		put "$S/${where%/*}/config/image" "$T/image"
		rm -rf "$T/image"
		same ESHUTDOWN "$(errno_of "os.stat('$S/${where%/*}/$where')")"
		same ESHUTDOWN "$(errno_of "os.stat('$S/${where%/*}/$where')")"
		grep -q IMAGE_MISSING "$S/${where%/*}/error"
	done
}

@test "a state directory that cannot be made: one line" {
	local status=0
	touch "$T/file"
	timeout 20 "$AVIATOFS" local: "$M" -o "state_dir=$T/file/state" 2>"$T/said" 3>&- || status=$?
	[ "$status" != 0 ]
	same 1 "$(wc -l <"$T/said")"
	not mounted
}

@test "text over 8 MiB: EFBIG at the write, nothing runs, what was there stays" {
	ready
	same before "$(inside 'echo before')"
	head -c $((9 << 20)) /dev/zero | tr '\0' '#' >"$T/big"
	fails 'File too large' cp "$T/big" "$B/cmd"
	fails 'File too large' dd if="$T/big" of="$B/cmd" bs=1M
	same 1 "$(echo $(ls "$B/proc"))"
	reads "$B/proc/1/stdout" 'before\n'
	{
		printf 'echo eight\n#'
		head -c $(((8 << 20) - 12)) "$T/big"
	} >"$T/eight"
	same $((8 << 20)) "$(stat -c %s "$T/eight")"
	cp "$T/eight" "$B/cmd"
	reads "$B/stdout" 'eight\n'
}

@test "a commit that is refused is told to those who ask: EINVAL from close" {
	ready
	same EINVAL "$(commit "$B/cmd" '["broken')"
	grep -qi json "$B/error"
	fails 'Invalid argument' cp <(echo '["broken') "$B/cmd"
	same fine "$(inside 'echo fine')"
}

@test "the disk of the spool is full: no hang, no crash, what came is exact" {
	as_root
	mount -t tmpfs -o size=8m,mode=700 tmpfs "$STATE"
	ready
	put "$B/cmd" 'seq -w 1 4000000; echo end'
	# Either it waits for space, as at the limit, or it ends with a reason. Both say so.
	eventually 40 eval '[[ $(cat "$B/status") == @(running full*|failed*|lost|exited*|signaled*) ]]'
	local status
	status=$(cat "$B/status")
	[ "$status" != 'exited 0' ]
	[[ $status == *full* ]] || [ -s "$B/error" ]
	local size
	size=$(stat -c %s "$B/stdout.log")
	[ "$size" -gt 1000000 ]
	cmp <(cat "$B/stdout.log") <(seq -w 1 4000000 | head -c "$size")
	rmdir "$B/proc/1"
	same fine "$(timeout 20 cat <(inside 'echo fine'))"
	mount_down
	umount "$STATE"
}

# Its stdin is full of bytes on their way when it goes: a hundred times, as it is a race.
@test "a sandbox removed under its readers and writers" {
	ready
	local n f pids box
	for n in {1..100}; do
		box=$S/r$n pids=()
		mkdir "$box"
		put "$box/cmd" '{"command": "echo begun; sleep 1000", "stdin": true}'
		timeout 60 head -n 1 "$box/stdout" >/dev/null
		for f in stdout stderr wait; do
			background cat "$box/$f" >/dev/null 2>&1
			pids+=($!)
		done
		background yes >"$box/stdin" 2>/dev/null
		pids+=($!)
		rmdir "$box"
		for f in "${pids[@]}"; do
			eventually 40 gone "$f"
		done
		fails 'No such file' cat "$box/stdout"
	done
}

@test "garbage in every writable file is refused or harmless, and the mount lives" {
	ready
	local f junk
	for junk in "$(head -c 3000 /dev/urandom | tr -d '\0')" $'\n\n\n' ' ' "$(printf 'x%.0s' {1..5000})" $'\xff\xfe\x01'; do
		find "$M" -name fs -prune -o -type f -perm /200 ! -name cmd ! -name stdin -print | while read -r f; do
			printf '%s' "$junk" >"$f" 2>/dev/null || true
		done
	done
	mkdir -p "$S/fresh"
	: >"$M/.ctl/defaults/env"
	: >"$S/.ctl/defaults/env"
	[ -s "$M/.ctl/version" ]
}
