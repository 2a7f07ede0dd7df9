# shellcheck shell=bash
# Each test has a directory served as fs/ is, and things beside it that nobody may reach through it.
#
#   $T  a directory of this test alone      $TREE  what is served      $M  the mount point
#   $T/canary/secret  holds $SECRET         $SAYS  a descriptor of what mount_tree says

ROOT=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
MOUNT_TREE=$(realpath "${MOUNT_TREE:-$ROOT/${BUILD:-build}/mount_tree}")
# GRAFT=--far: the directory is served by an agent.
GRAFT=${GRAFT:-}
# LATENCY: milliseconds of a round trip to that agent. CUTS=on: the connection to it is lost again
# and again.
CUTS=${CUTS:-}
# So many descriptors may the server have open.
DESCRIPTORS=${DESCRIPTORS:-}
PYTHON=/usr/bin/python3
SECRET=only-outside
# libfuse ends its threads by pthread_cancel, which ASan's alternate signal stacks do not survive.
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}use_sigaltstack=0

setup() {
	T=$(mktemp -d "${TMPDIR:-/tmp}/graft-test.XXXXXX")
	TREE=$T/tree M=$T/mnt
	mkdir "$TREE" "$M" "$T/canary"
	echo $SECRET >"$T/canary/secret"
	touch "$T/planted"
	export T TREE M
	[ -n "${LATE_MOUNT:-}" ] || mount_tree
}

teardown() {
	local bad=0
	cd /
	exec 7<&- 8<&- # of a test that failed: a mount in use would not end
	[ -z "${BACKGROUND:-}" ] || kill "$BACKGROUND" 2>/dev/null || true
	[ -z "${SERVER:-}" ] || kill -CONT "$SERVER"
	unmount_tree || bad=1
	rm -rf --one-file-system "$T"
	return $bad
}

# mount_tree [DIRECTORY]
mount_tree() {
	local line
	mkfifo "$T/says"
	exec {SAYS}<>"$T/says"
	(
		[ -z "$DESCRIPTORS" ] || ulimit -n "$DESCRIPTORS"
		# shellcheck disable=SC2086 # --far, or nothing
		exec "$MOUNT_TREE" $GRAFT "${1:-$TREE}" "$M"
	) >"$T/says" 2>"$T/errors" 3>&- &
	SERVER=$!
	read -r -t 20 -u "$SAYS" line
	[ "$line" = ready ]
	[ -z "$CUTS" ] || cut_often 0.
}

# Also judges how the server ended: a sanitizer's finding shows here.
unmount_tree() {
	[ -n "${SERVER:-}" ] || return 0
	# What was closed last is told to the server behind the back of who closed it, and not at all once this
	# is unmounted: it would count as leaked.
	timeout 20 stat "$M" >/dev/null || true
	fusermount3 -u "$M" || fusermount3 -uz "$M"
	local status=0
	wait "$SERVER" || status=$?
	SERVER=
	[ $status = 0 ] || cat "$T/errors"
	return $status
}

# cut_often [0.]: every few hundredths of a second, or tenths, until the end of the test, or heal.
cut_often() {
	while kill -USR2 "$SERVER" 2>/dev/null; do
		sleep "${1:-0.0}$((RANDOM % 10))"
	done 3>&- &
	BACKGROUND=$!
}

heal() {
	kill "$BACKGROUND"
	BACKGROUND=
}

same() { # EXPECTED GOT
	[ "$1" = "$2" ] || {
		printf 'expected: %s\ngot:      %s\n' "$1" "$2"
		return 1
	}
}

fails() { # TEXT COMMAND...
	local text=$1 out
	shift
	if out=$(LC_ALL=C "$@" 2>&1); then
		echo "worked: $*"
		return 1
	fi
	case $out in
	*"$text"*) ;;
	*)
		echo "$* said: $out"
		return 1
		;;
	esac
}

# not COMMAND...: COMMAND fails. A "! COMMAND" that is not a test's last line judges nothing: errexit passes over it.
not() {
	! "$@" || {
		echo "it works: $*"
		return 1
	}
}

# confined SCRIPT: for all that writes or removes through traps. Should one of them be open, it must find
# nothing to harm: of the machine only /usr is there, read-only, and nothing but $T can be written.
confined() {
	bwrap --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
		--bind "$T" "$T" --remount-ro / --unshare-pid --unshare-net --unshare-ipc --die-with-parent \
		--new-session bash -c "$1" 3>&-
}

# no_secret_in FILE-OR-DIRECTORY: nothing outside was read into it.
no_secret_in() {
	if grep -ra -D skip "$SECRET" "$1"; then
		return 1
	fi
}

# Nothing outside was read into the tree, or written.
nothing_escaped() {
	no_secret_in "$TREE" || return 1
	same "$SECRET" "$(cat "$T/canary/secret")" || return 1
	same secret "$(ls "$T/canary")" || return 1
	same '' "$(find "$T/canary" -newer "$T/planted")"
}
