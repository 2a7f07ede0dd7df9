#!/usr/bin/env bats
# Sandboxes by their ids, and what a session does with all of its sandboxes at once.

load helpers

# A second mount of the same state directory, at $M2; what it made is for ours to find.
teardown() {
	other_down || true
	for pid in "${BACKGROUND[@]}"; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	mount_down
	fail_if_left_behind
	sweep
}

other_up() {
	M2=$T/mnt2
	mkdir -p "$M2"
	timeout 30 "$AVIATOFS" local: "$M2" -o "state_dir=$STATE" "$@" 3>&- 4>&-
}

other_pid() {
	pgrep -o -f -- "^$AVIATOFS local: $T/mnt2( |\$)"
}

other_down() {
	local pid
	pid=$(other_pid) || return 0
	timeout 20 fusermount3 -u "$T/mnt2"
	eventually 30 gone "$pid"
}

# other_leaves NAME: a sandbox of another mount, running, with one ended command; its mount is then killed. Its id is in $ID.
other_leaves() {
	local pid
	other_up
	mkdir -p "$M2/theirs/$1"
	put "$M2/theirs/$1/cmd" "echo from $1; exit 4"
	finish "$M2/theirs/$1"
	ID=$(cat "$M2/theirs/$1/id")
	pid=$(other_pid)
	kill -KILL "$pid"
	eventually 10 gone "$pid"
	fusermount3 -uz "$M2" || true
}

listed() {
	ls "$M/.ctl/sandboxes" | grep -qx -- "$1"
}

@test "every sandbox of the mount stands under its id, as a directory with all its files" {
	local id by
	id=$(cat "$B/id")
	by=$M/.ctl/sandboxes/$id
	same "$id" "$(ls "$M/.ctl/sandboxes")"
	[ -d "$by" ] && [ ! -L "$by" ]
	same unstarted "$(cat "$by/state")"
	put "$by/cmd" 'echo by its id; pwd'
	reads "$B/stdout" 'by its id\n/workspace\n'
	reads "$by/stdout" 'by its id\n/workspace\n'
	same "$(LC_ALL=C ls -A "$B")" "$(LC_ALL=C ls -A "$by")"
	mkdir "$by/proc/named"
	put "$B/proc/named/cmd" 'exit 3'
	reads "$by/proc/named/wait" '3\n'
	echo text >"$by/fs/workspace/f"
	same text "$(cat "$B/fs/workspace/f")"
	same text "$(cat "$by/fs/workspace/f")"
	# Both ways at once, many times over.
	local i
	for i in {1..50}; do
		same text "$(cat "$B/fs/workspace/f")"
		same text "$(cat "$by/fs/workspace/f")"
		same running "$(cat "$by/state")"
		same running "$(cat "$B/state")"
	done
	[ "$(stat -c %i "$B")" != "$(stat -c %i "$by")" ]
	same "$(realpath "$M/.ctl/sandboxes")" "$(cd "$by" && cd -P .. && pwd -P)"
	# It goes by the name it has in its session.
	fails 'busy' rmdir "$by"
	grep -q "^IN_SESSION: .*s/box" "$M/.ctl/error"
	rmdir "$B"
	[ ! -e "$by" ]
	same '' "$(ls "$M/.ctl/sandboxes")"
}

@test "names that are no ids, and what cannot be done there" {
	local name
	for name in none 0123456789abcdef -x .hidden 'a b' $'new\nline' "$(printf 'x%.0s' {1..41})" "$(printf 'x%.0s' {1..255})"; do
		fails 'No such file' stat -- "$M/.ctl/sandboxes/$name"
	done
	fails 'File name too long' stat -- "$M/.ctl/sandboxes/$(printf 'x%.0s' {1..256})"
	fails 'not permitted' mkdir "$M/.ctl/sandboxes/new"
	fails 'not permitted' touch "$M/.ctl/sandboxes/file"
	fails 'No such file' rmdir "$M/.ctl/sandboxes/none"
	fails 'not permitted' mv "$M/.ctl/sandboxes" "$M/.ctl/boxes"
}

@test "what another mount left is listed, and a look at it attaches" {
	other_leaves one
	listed "$ID"
	# No session of theirs has come up here, and nothing was started or ended.
	same '.ctl s' "$(echo $(ls -A "$M"))"
	local by=$M/.ctl/sandboxes/$ID
	same running "$(cat "$by/state")"
	reads "$by/proc/1/stdout" 'from one\n'
	reads "$by/wait" '4\n'
	put "$by/cmd" 'echo again'
	reads "$by/stdout" 'again\n'
	[ -d "$by/fs/workspace" ]
	same '.ctl s' "$(echo $(ls -A "$M"))"
	rmdir "$by"
	[ ! -e "$by" ]
	eventually 10 eval '[ -z "$(agents)" ]'
}

@test "an unmount leaves alone what was only attached to" {
	other_leaves one
	same running "$(cat "$M/.ctl/sandboxes/$ID/state")"
	mount_down
	[ -n "$(agents)" ]
	mount_up
	reads "$M/theirs/one/proc/1/stdout" 'from one\n'
	rmdir "$M/theirs/one"
	eventually 10 eval '[ -z "$(agents)" ]'
}

@test "a sandbox of a living mount is not ours to have" {
	other_up
	mkdir "$M2/theirs" "$M2/theirs/one"
	put "$M2/theirs/one/cmd" :
	finish "$M2/theirs/one"
	ID=$(cat "$M2/theirs/one/id")
	! listed "$ID"
	fails busy stat "$M/.ctl/sandboxes/$ID"
	grep -q '^OTHER_MOUNT: ' "$M/.ctl/error"
	same running "$(cat "$M2/theirs/one/state")"
	put "$M2/theirs/one/cmd" 'echo still theirs'
	reads "$M2/theirs/one/stdout" 'still theirs\n'
	rmdir "$M2/theirs/one"
}

@test "many look-ups at once attach once" {
	other_leaves one
	local i
	for i in {1..20}; do
		cat "$M/.ctl/sandboxes/$ID/proc/1/stdout" >"$T/out$i" &
		BACKGROUND+=($!)
	done
	wait_for_background
	for i in {1..20}; do
		same 'from one' "$(cat "$T/out$i")"
	done
	rmdir "$M/.ctl/sandboxes/$ID"
}
