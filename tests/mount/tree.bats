#!/usr/bin/env bats
# The control tree: what may be made, removed and named, and that looking costs nothing.

load helpers

@test "the mount, a session and a sandbox hold what they should" {
	same '.ctl s' "$(echo $(ls -A "$M"))"
	same 'README backend defaults error events metrics sandboxes stats version' "$(echo $(LC_ALL=C ls "$M/.ctl"))"
	same '.ctl box' "$(echo $(ls -A "$S"))"
	same 'ctl defaults error events functions stats' "$(echo $(ls "$S/.ctl"))"
	same 'bin changed cmd config ctl diff error fs id info logs proc run snapshots state status stderr stderr.log stdin stdout stdout.log tty wait winsize' \
		"$(echo $(LC_ALL=C ls -A "$B"))"
	for d in "$B/config" "$S/.ctl/defaults" "$M/.ctl/defaults"; do
		same 'command cpu cwd env from gpu image lifetime memory network pids spec tags' "$(echo $(ls "$d"))"
	done
	same '' "$(ls -A "$B/proc")"
	mkdir "$B/proc/build"
	for f in cmd ctl stdin stdout stderr stdout.log stderr.log status wait; do
		[ -f "$B/proc/build/$f" ]
	done
}

@test "what is not there yet has no dead entry" {
	for f in services; do
		[ ! -e "$B/$f" ]
	done
}

@test "names of sessions and sandboxes: 1 to 48 of [A-Za-z0-9._-], letter or digit at both ends" {
	local x48 good bad d
	x48=$(printf 'x%.0s' {1..48})
	for d in "$M" "$S"; do
		for good in a 0 Z9 a.b-c_d a..b "$x48"; do
			mkdir "$d/$good"
			rmdir "$d/$good"
		done
		for bad in -a a- .a a. _a a_ 'a b' $'a\nb' é 'a:b' 'a*' "${x48}x" "$(printf 'x%.0s' {1..255})"; do
			fails 'Invalid argument' mkdir -- "$d/$bad"
			fails 'No such file' stat -- "$d/$bad"
		done
		fails 'File name too long' mkdir "$d/$(printf 'x%.0s' {1..300})"
	done
}

@test "mkdir and rmdir answer as everywhere" {
	fails 'File exists' mkdir "$S"
	fails 'File exists' mkdir "$B"
	fails 'No such file' mkdir "$M/none/box"
	fails 'No such file' rmdir "$M/none"
	fails 'not empty' rmdir "$S"
	rmdir "$B"
	[ ! -e "$B" ]
	rmdir "$S"
	[ ! -e "$S" ]
	mkdir "$S" "$B"
	state_is unstarted
}

@test "rmdir of a sandbox works though files are listed in it, running or not" {
	put "$B/cmd" 'sleep 1000'
	eventually 40 status_is "$B" running
	within 1 rmdir "$B"
	[ ! -e "$B" ]
	eventually 40 eval '[ -z "$(agents)" ]'
	mkdir "$B"
	same 'unstarted' "$(cat "$B/state")"
	same 'again' "$(inside 'echo again')"
}

@test "foreign names cannot be made, removed or renamed: EPERM" {
	local d
	for d in "$M" "$S" "$B" "$B/proc" "$B/config" "$M/.ctl" "$S/.ctl" "$S/.ctl/defaults"; do
		same EPERM "$(errno_of "os.open('$d/alien', os.O_CREAT | os.O_WRONLY)")"
		same EPERM "$(errno_of "os.symlink('x', '$d/alien')")"
		same EPERM "$(errno_of "os.mkfifo('$d/alien')")"
	done
	for d in "$B" "$B/config" "$M/.ctl" "$S/.ctl"; do
		same EPERM "$(errno_of "os.mkdir('$d/alien')")"
	done
	for d in "$B/cmd" "$B/config/env" "$M/.ctl/README"; do
		same EPERM "$(errno_of "os.unlink('$d')")"
		same EPERM "$(errno_of "os.rename('$d', '$d.old')")"
		same EPERM "$(errno_of "os.link('$d', '$d.old')")"
	done
	for d in "$M/.ctl" "$S/.ctl" "$B/config" "$B/proc" "$M/.ctl/defaults"; do
		same EPERM "$(errno_of "os.rmdir('$d')")"
	done
	[ -f "$B/cmd" ]
}

@test "ls, find, stat, tree and reading what is known start nothing" {
	mkdir "$B/proc/named"
	ls -la "$M" "$S" "$B" "$B/proc" "$B/config" >/dev/null
	find "$M" -name fs -prune -o -ls >/dev/null
	find "$M" -name fs -prune -o -print0 | xargs -0 stat >/dev/null
	tree -a -I fs "$M" >/dev/null
	stat "$B/fs" >/dev/null
	test -d "$B/fs"
	cat "$B"/{state,status,id,info,error} "$B"/config/* "$B/proc/named/status" >/dev/null
	state_is unstarted
	same '' "$(agents)"
}

@test "modes tell the truth" {
	mkdir "$B/proc/named"
	find "$M" -name fs -prune -o -type f -print | "$PYTHON" -c '
import os, sys, errno
wrong = 0
for path in sys.stdin.read().split("\n")[:-1]:
    mode = os.stat(path).st_mode
    for bit, how, name in (0o400, os.O_RDONLY, "reading"), (0o200, os.O_WRONLY, "writing"):
        refused = None
        try:
            os.close(os.open(path, how | os.O_NONBLOCK))
        except OSError as e:
            refused = e.errno if e.errno in (errno.EACCES, errno.EPERM) else None
        if bool(mode & bit) == (refused is not None):
            wrong += 1
            print(oct(mode), name, path, refused)
sys.exit(wrong > 0)'
}

@test "true sizes: what stat says is what cat gives" {
	inside 'echo twelve byte' >/dev/null
	local f
	for f in "$B"/{stdout,stdout.log,stderr,status,state,id,error,cmd} "$M"/.ctl/{README,version,backend}; do
		same "$(stat -c %s "$f")" "$(cat "$f" | wc -c)"
	done
}

@test "a thousand sandboxes are listed, each once" {
	mkdir "$M/many"
	(cd "$M/many" && seq -f 'box%g' 1 1000 | xargs mkdir)
	same "$(seq -f 'box%g' 1 1000 | sort)" "$(ls "$M/many" | sort)"
	same 1000 "$(find "$M/many" -mindepth 1 -maxdepth 1 -name 'box*' | wc -l)"
	rmdir "$M"/many/*
	same '' "$(ls "$M/many")"
}

@test "a directory that is removed while it is open ends quietly" {
	exec 5<"$S"
	rmdir "$B" "$S"
	run ls "/proc/$$/fd/5/"
	exec 5<&-
	[ ! -e "$S" ]
}

@test "README names every file, and what it shows works" {
	local name
	for name in $(find "$M/.ctl" "$S/.ctl" "$B" -path "$B/fs" -prune -o -path '*/sandboxes/*' -prune -o -printf '%f\n' | sort -u); do
		case $name in
		.ctl | box | fs) ;;
		*) grep -qE "^  $name/? " "$M/.ctl/README" || { echo "README does not name $name" && false; } ;;
		esac
	done
	[ "$(wc -L <"$M/.ctl/README")" -le 120 ]
	grep '^    ' "$M/.ctl/README" | sed -E 's/^    //; s/   .*//' >"$T/examples"
	[ "$(wc -l <"$T/examples")" -ge 15 ]
	echo 'int x;' >"$T/a.c"
	(cd "$M" && HOME=$T timeout 100 bash -e "$T/examples") >"$T/said" 2>&1 || { cat "$T/said" && false; }
	sed '1s/^Linux .*/Linux/' "$T/said" | cmp - <(printf 'Linux\n0\nexited 0\n/workspace\na\nb\n/workspace\n49\n') ||
		{ cat "$T/said" && false; }
	[ ! -e "$M/work" ]
}

@test "version says something; info is JSON" {
	[[ $(cat "$M/.ctl/version") == *[0-9].[0-9]* ]]
	[[ $(cat "$M/.ctl/backend") == local* ]]
	[ -s "$M/.ctl/stats" ]
	jq -e . "$B/info" >/dev/null
}

@test "the id is the sandbox's own, and stays" {
	local id
	id=$(cat "$B/id")
	[[ $id =~ ^[a-z0-9-]{1,40}$ ]]
	inside : >/dev/null
	same "$id" "$(cat "$B/id")"
	mkdir "$S/other"
	[ "$(cat "$S/other/id")" != "$id" ]
}

@test "session ctl close ends its sandboxes" {
	inside : >/dev/null
	put "$S/.ctl/ctl" close
	eventually 40 eval '[ -z "$(agents)" ]'
	fails 'Invalid argument' put "$S/.ctl/ctl" frobnicate
}

@test "events tell of what happens, and block for news" {
	timeout 60 head -n 1 "$S/.ctl/events" >"$T/event" &
	inside : >/dev/null
	wait $!
	[ -s "$T/event" ]
}
