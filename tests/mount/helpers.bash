# shellcheck shell=bash
# What every test has: a mount of its own, one declared sandbox, and a broom.
#
#   $T  a directory of this test alone    $M  the mount point      $STATE  its -o state_dir
#   $S  the session $M/s                  $B  the sandbox $S/box (not started yet)
#
# BACKEND=aviato puts the remote service in place of local: (gateway.bash). A test that is about local: alone
# says so by local_only.
#
# Nothing here sleeps in the hope that something has happened: `eventually` asks until a deadline.

ROOT=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
AVIATOFS=$(realpath "${AVIATOFS:-$ROOT/build/aviatofs}")
# A version manager's python3 is a slow script and may be out of an ordinary user's reach.
PYTHON=/usr/bin/python3
[ -x $PYTHON ] || PYTHON=python3
export AVIATOFS PYTHON
BACKGROUND=()
BACKEND=${BACKEND:-local}
SOURCE=${SOURCE:-local:}
export HERE=/workspace # where commands start

setup() {
	prepare
	mount_up
	mkdir "$S" "$B"
}

# Directories and names, without a mount.
prepare() {
	T=$(mktemp -d "${TMPDIR:-/tmp}/aviatofs-test.XXXXXX")
	M=$T/mnt STATE=$T/state S=$T/mnt/s B=$T/mnt/s/box
	mkdir "$M"
	mkdir -m 700 "$STATE"
	export T M S B STATE
}

teardown() {
	local bad=0
	kill_background
	exec 5>&- 6>&-
	mount_down || bad=1
	fail_if_left_behind || bad=1
	sweep
	return $bad
}

# --- the mount ---

# shellcheck disable=SC2120 # most mounts need no options
# mount_up [OPTION...]: returns when it answers, as aviatofs promises.
mount_up() {
	timeout 30 "$AVIATOFS" "$SOURCE" "$M" -o "state_dir=$STATE${MOUNT_OPTIONS:+,$MOUNT_OPTIONS}" "$@" 3>&- 4>&-
}

mounted() {
	findmnt -n -t fuse.aviatofs "$M" >/dev/null
}

daemon_pid() {
	pgrep -o -f -- "^$AVIATOFS $SOURCE $M( |\$)"
}

# Not as long as one of its threads has something open, though its first may be a zombie already.
gone() {
	! kill -0 "$1" 2>/dev/null || [ "$(grep -cs -e '^State:	Z' -e '^Threads:	[01]$' "/proc/$1/status")" = 2 ]
}

mount_down() {
	local pid
	pid=$(daemon_pid) || true
	if mounted; then
		# Whatever walks through /tmp may be in there for a moment.
		eventually 10 eval 'timeout 20 fusermount3 -u "$M" 2>"$T/unmount"' || {
			cat "$T/unmount"
			echo "cannot unmount $M; still used by:"
			find /proc/[0-9]*/fd /proc/[0-9]*/cwd -lname "$M*" -printf '%p -> %l\n' 2>/dev/null |
				while read -r at; do
					pid=${at#/proc/}
					echo "$at ($(tr '\0' ' ' <"/proc/${pid%%/*}/cmdline" | cut -c 1-200))"
				done
			return 1
		}
	fi
	[ -z "$pid" ] || eventually 60 gone "$pid" || {
		echo "the daemon $pid did not end after the unmount"
		return 1
	}
}

# A daemon that gets no chance to tidy up. Its mount point answers ENOTCONN afterwards.
kill_daemon() {
	local pid
	pid=$(daemon_pid)
	kill -KILL "$pid"
	eventually 40 gone "$pid"
}

# Processes of this test: by their arguments, or by a part of $T being mounted in their namespace.
our_processes() {
	{
		pgrep -f -- "$T/(mnt|state)"
		grep -lsF "$T/state" /proc/[0-9]*/mountinfo | cut -d/ -f3
	} | sort -un | grep -vx -e "$$" -e "$BASHPID" || true
}

no_processes() {
	[ -z "$(our_processes)" ]
}

fail_if_left_behind() {
	left_on_this_machine
}

left_on_this_machine() {
	local bad=0
	eventually 40 no_processes || {
		bad=1
		echo "processes left behind:"
		our_processes | xargs -r ps -ww -o pid,ppid,stat,args -p
	}
	[ -z "$(ls -A "$STATE" 2>/dev/null)" ] || {
		bad=1
		echo "files left behind in the state directory:"
		find "$STATE" -maxdepth 3
	}
	! mounted || {
		bad=1
		echo "still mounted"
	}
	return $bad
}

# Whatever happened, the next test starts on a clean machine.
sweep() {
	sweep_this_machine
}

sweep_this_machine() {
	local pids
	pids=$(our_processes)
	# shellcheck disable=SC2086 # a list
	[ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
	findmnt -rn -o TARGET | grep "^$T/" | while read -r mount; do
		fusermount3 -uz "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null || true
	done
	chmod -R u+rwX "$T" 2>/dev/null || true
	rm -rf --one-file-system "$T" || true
}

# Pids of this mount's agents, seen from the host.
agents() {
	local exe
	for exe in /proc/[0-9]*/exe; do
		case $(readlink "$exe" 2>/dev/null) in
		*aviatofs-agent*) grep -qsF "$T/state" "${exe%/exe}/mountinfo" && cut -d/ -f3 <<<"$exe" ;;
		esac
	done
	true
}

# $B dies, with all that is in it, and not by our doing.
kill_sandbox() {
	local pid
	for pid in $(our_processes); do
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = bwrap ] && kill -KILL "$pid"
	done
	# shellcheck disable=SC2046 # a list
	kill -KILL $(agents) 2>/dev/null || true
}

# --- commands ---

# put FILE TEXT: one line, as `echo TEXT > FILE`.
put() {
	printf '%s\n' "$2" >"$1"
}

# inside TEXT: runs it in the sandbox and gives its output, both streams.
inside() {
	printf '{ %s\n} 2>&1\n' "$1" | timeout 60 tee "$B/cmd" >/dev/null && timeout 60 cat "$B/stdout"
}

# finish [DIR]: waits for the end of the latest command (or of the one in DIR).
finish() {
	timeout 60 cat "${1:-$B}/wait" >/dev/null
}

status_is() {
	[ "$(cat "$1/status")" = "$2" ]
}

state_is() { # PATTERN
	# shellcheck disable=SC2053
	[[ $(cat "$B/state") == $1 ]]
}

# background COMMAND...: remembered, so that teardown ends it. Its pid is in $!.
background() {
	"$@" 3>&- 4>&- &
	BACKGROUND+=("$!")
}

# Those that have ended are no more ours: their numbers may be somebody else's by now.
kill_background() {
	local pid
	for pid in "${BACKGROUND[@]}"; do
		jobs -pr | grep -qx "$pid" || continue
		pkill -KILL -P "$pid" || true
		kill -KILL "$pid" 2>/dev/null || true
	done
}

# Waits for all of them; a bare wait would wait for bats' own children too.
wait_for_background() {
	[ ${#BACKGROUND[@]} = 0 ] || wait "${BACKGROUND[@]}" || true
}

# --- judging ---

# eventually SECONDS COMMAND...: true as soon as COMMAND is.
eventually() {
	local deadline=$((SECONDS + $1 + 1))
	shift
	until "$@"; do
		((SECONDS < deadline)) || return 1
		sleep 0.02
	done
}

# same WANTED GOT
same() {
	[ "$1" = "$2" ] || {
		printf 'wanted: %q\n   got: %q\n' "$1" "$2"
		return 1
	}
}

# reads FILE FORMAT [ARG...]: the bytes of FILE, to its end, are exactly what printf makes of FORMAT.
reads() {
	local file=$1 status=0
	shift
	timeout 60 cat "$file" >"$T/reads.got" || status=$?
	# shellcheck disable=SC2059
	printf "$@" >"$T/reads.wanted"
	cmp "$T/reads.wanted" "$T/reads.got" || {
		echo "wanted of $file:"
		od -c "$T/reads.wanted" | head -20
		echo "got (cat: $status):"
		od -c "$T/reads.got" | head -20
		return 1
	}
	same 0 "$status"
}

# fails WORDS COMMAND...: COMMAND fails and says WORDS (the text of an errno, mostly).
fails() {
	local words=$1 said status=0
	shift
	said=$("$@" 2>&1) || status=$?
	[ "$status" != 0 ] && [[ $said == *"$words"* ]] || {
		printf 'wanted a failure saying "%s", got status %s: %s\n' "$words" "$status" "$said"
		return 1
	}
}

# not COMMAND...: COMMAND fails. A "! COMMAND" that is not a test's last line judges nothing: errexit passes over it.
not() {
	! "$@" || {
		echo "it works: $*"
		return 1
	}
}

# within SECONDS COMMAND...: succeeds, and takes no longer than that.
within() {
	local seconds=$1 started=$EPOCHREALTIME took
	shift
	"$@" || return
	took=$(((${EPOCHREALTIME/./} - ${started/./}) / 1000))
	((took <= seconds * 1000)) || {
		echo "took $took ms: $*"
		return 1
	}
}

# errno_of PYTHON: runs the statements and prints the name of the errno they end with, or OK.
errno_of() {
	timeout 60 "$PYTHON" - "$@" <<-'PYTHON'
		import errno, os, sys
		try:
		    exec(sys.argv[1])
		    print("OK")
		except OSError as e:
		    print(errno.errorcode[e.errno])
	PYTHON
}

# commit FILE TEXT: writes and closes; prints OK or the errno of whichever refused.
commit() {
	FILE=$1 TEXT=$2 errno_of 'fd = os.open(os.environ["FILE"], os.O_WRONLY); os.write(fd, os.environ["TEXT"].encode()); os.close(fd)'
}

# local_only WHY: for the first line of a test.
local_only() {
	[ "$BACKEND" = local ] || skip "local: alone: $1"
}

# agent_only WHY: cannot be told or done where the remote service runs commands without an agent (-o agent=no).
agent_only() {
	[[ ${MOUNT_OPTIONS:-} != *agent=no* ]] || skip "without an agent: $1"
}

as_root() {
	[ "$(id -u)" = 0 ] || skip "needs root"
}

# A root file system of busybox and its libraries, in $T/image.
make_image() {
	local library
	mkdir -p "$T/image"/{bin,tmp,proc,dev,etc,workspace}
	cp /bin/busybox "$T/image/bin/"
	for library in $(ldd /bin/busybox | grep -o '/[^ ]*'); do
		mkdir -p "$T/image${library%/*}"
		cp -L "$library" "$T/image$library"
	done
	for library in sh cat echo ls touch pwd sleep; do
		ln -s busybox "$T/image/bin/$library"
	done
	echo 'from the image' >"$T/image/etc/motd"
}

# shellcheck source=tests/mount/gateway.bash
[ "$BACKEND" = local ] || source "$ROOT/tests/mount/gateway.bash"
