#!/usr/bin/env bats
# Sandboxes that no agent can be put into: commands and files by calls of the service. What both ways have in common is
# in tests/mount, which scripts/test runs over both.

load helpers

# An image whose root cannot be written to.
read_only() {
	put "$B/config/spec" '{"containers": [{"name": "main", "securityContext": {"readOnlyRootFilesystem": true}}]}'
}

# The gateway's sandboxes could have one.
without_agent() {
	mount_down
	mount_up -o agent=no
	mkdir -p "$B"
	put "$B/config/cwd" /workspace
}

info_is() { # KEY WANTED
	same "$2" "$(jq -r ".$1" "$B/info")"
}

@test "a read-only image: info says which way and why, and commands run" {
	read_only
	put "$B/cmd" 'echo out; echo err >&2; exit 3'
	reads "$B/stdout" 'out\n'
	reads "$B/stderr" 'err\n'
	reads "$B/wait" '3\n'
	info_is path api
	jq -e '.path_reason | test("agent|FILE_")' "$B/info"
	put "$B/cmd" '{"command": ["sh", "-c", "pwd; echo $A; cat"], "cwd": "/usr", "env": {"A": "x y"}, "stdin": true}'
	printf 'from stdin' >"$B/stdin"
	reads "$B/stdout" '/usr\nx y\nfrom stdin'
	same 1 "$(control sandboxes | jq length)"
}

@test "a service that takes its time: what is asked of it meanwhile leaves room for all input" {
	without_agent
	put "$B/ctl" start
	control settings '{"readyDelayMs": 7000}' >/dev/null
	head -c 1000000 /dev/urandom >"$T/input"
	put "$B/cmd" '{"command": "sha256sum", "stdin": true}'
	cat "$T/input" >"$B/stdin"
	same "$(sha256sum <"$T/input")" "$(cat "$B/stdout")"
	reads "$B/wait" '0\n'
}

@test "an image for another machine, and one whose /tmp runs nothing: the same, and files too" {
	local image
	for image in foreign noexec; do
		mkdir "$S/$image"
		put "$S/$image/config/image" "$image"
		put "$S/$image/cmd" 'uname -m; exit 4'
		reads "$S/$image/wait" '4\n'
		[ "$image" = noexec ] || [ "$(cat "$S/$image/stdout")" != "$(uname -m)" ]
		same api "$(jq -r .path "$S/$image/info")"
		echo "written outside" >"$S/$image/fs/tmp/file"
		put "$S/$image/cmd" 'cat /tmp/file'
		reads "$S/$image/stdout" 'written outside\n'
	done
	jq -e '.path_reason | test("another machine")' "$S/foreign/info"
	jq -e '.path_reason | test("denied"; "i")' "$S/noexec/info"
}

@test "an image for another machine whose agent is there: that is sent, is found again, and is the first choice from then on" {
	local image program=${AVIATOFS%/*}/aviatofs-agent
	mount_down
	mkdir "$T/bin"
	cp "$AVIATOFS" "$program" "$T/bin"
	# linux32 calls the machine i686 there; it still runs what it ran before.
	cp "$program" "$T/bin/aviatofs-agent-i686"
	echo >>"$T/bin/aviatofs-agent-i686"
	AVIATOFS=$T/bin/aviatofs
	mount_up
	mkdir -p "$S"
	on() { # IMAGE PROGRAMS-SENT
		forget_counts
		mkdir "$S/$1$2"
		put "$S/$1$2/config/image" "$1"
		put "$S/$1$2/cmd" 'exit 4'
		reads "$S/$1$2/wait" '4\n'
		same agent "$(jq -r .path "$S/$1$2/info")"
		counted WriteFile "$2"
	}
	on foreign 2
	on foreign 1
	on ordinary 2
	on ordinary 1
	kill -KILL "$(daemon_pid)"
	eventually 20 fusermount3 -uz "$M"
	forget_counts
	mount_up
	for image in foreign2 ordinary1; do
		put "$S/$image/cmd" 'exit 5'
		reads "$S/$image/wait" '5\n'
		same agent "$(jq -r .path "$S/$image/info")"
	done
	counted WriteFile 0
}

@test "with an agent, info says so" {
	inside : >/dev/null
	info_is path agent
}

@test "what is not to be had without an agent fails, and says so" {
	read_only
	put "$B/cmd" '["true"]'
	reads "$B/wait" '0\n'
	same EROFS "$(errno_of "open('$B/fs/tmp/new', 'w')")"
	same ENOTSUP "$(errno_of "os.setxattr('$B/fs/tmp', 'user.a', b'1')")"
	printf '#!/bin/sh\necho a script has to be a file\n' >"$B/cmd"
	reads "$B/wait" '125\n'
	[[ $(cat "$B/status") == "failed CWSANDBOX_FILE_"* ]]
	printf '{"command": ["echo", "caf\351"]}' >"$B/cmd" || true
	printf '["echo", "\\u00e9"]' >"$B/cmd"
	reads "$B/stdout" '\303\251\n'
}

@test "a command on a terminal, and its size" {
	read_only
	put "$B/cmd" '{"command": "test -t 0 && test -t 1 && echo a terminal; stty size", "tty": true}'
	reads "$B/wait" '0\n'
	tr -d '\r' <"$B/stdout" >"$T/said"
	grep -qx 'a terminal' "$T/said"
	grep -qx '[0-9]* [0-9]*' "$T/said"
}

@test "the end of the sandbox is noticed, and told by its commands" {
	read_only
	put "$B/cmd" 'echo begun; sleep 1000'
	same begun "$(timeout 30 head -n 1 "$B/stdout")"
	control "sandboxes/$(cat "$B/id")" '{"to": "kill"}' >/dev/null
	finish
	eventually 40 state_is failed
	same ESHUTDOWN "$(errno_of "os.write(os.open('$B/cmd', os.O_WRONLY), b'echo x')")"
}

@test "a command that is cut off fails with the reason; others go on" {
	read_only
	inside : >/dev/null
	control faults '{"method": "StreamExec", "cut": {"sent": 200}}' >/dev/null
	put "$B/cmd" 'seq 1000; sleep 1000'
	reads "$B/wait" '125\n'
	[[ $(cat "$B/status") == failed\ * ]]
	same EIO "$(errno_of "
fd = os.open('$B/stdout', os.O_RDONLY)
while os.read(fd, 65536): pass")"
	same on "$(inside 'echo on')"
	control faults '{"method": "StreamExec", "error": {"code": "resource_exhausted", "message": "too many"}}' >/dev/null
	put "$B/cmd" 'echo not run'
	reads "$B/wait" '125\n'
	grep -q RESOURCE_EXHAUSTED "$B/status"
	grep -q 'too many' "$B/error"
}

@test "a service that takes a command or a request about files and says nothing: both fail in time, with the reason" {
	mount_down
	mount_up -o agent=no,timeout=3
	mkdir -p "$B"
	same hi "$(inside 'echo hi')"
	fault '{"method": "StreamExec", "hang": true, "times": 2}'
	put "$B/cmd" 'echo never'
	within 20 finish
	same 'failed UNREACHABLE: the service has not answered for 3 s' "$(cat "$B/status")"
	grep -q '^UNREACHABLE: .*the service has not answered for 3 s' "$B/error"
	put "$B/cmd" '{"command": "cat", "stdin": true}'
	within 20 finish
	grep -q '^failed UNREACHABLE: ' "$B/status"
	fault '{"method": "WriteFile", "hang": true}'
	printf '#!/bin/sh\necho never\n' >"$B/cmd" # is written into a file first
	within 20 finish
	grep -q '^failed ' "$B/status"
	fault '{"method": "StreamExec", "hang": true}'
	control cut '{}' >/dev/null # the shell is begun again
	eventually 20 eval '[ "$(control faults)" = "[]" ]'
	same ETIMEDOUT "$(within 20 errno_of "os.stat('$B/fs/etc/passwd')")"
	grep -q '^UNREACHABLE: the service has not answered for 3 s' "$B/error"
	same on "$(inside 'echo on')"
	eventually 20 grep -q root "$B/fs/etc/passwd"
}

@test "signals come in the order they were given, though the service may be slow with one" {
	read_only
	inside : >/dev/null
	put "$B/cmd" 'trap "echo one" USR1; trap "echo two; exit 0" USR2; echo begun; while :; do sleep 0.1; done'
	same begun "$(timeout 30 head -n 1 "$B/stdout")"
	fault '{"method": "Exec", "delayMs": 2000}'
	put "$B/proc/2/ctl" 'signal USR1'
	put "$B/proc/2/ctl" 'signal USR2'
	reads "$B/wait" '0\n'
	reads "$B/stdout" 'begun\none\ntwo\n'
}

@test "what commands say when they are told to end is still read; what does not listen is killed when the grace is over" {
	mount_down
	mount_up -o agent=no
	mkdir -p "$B"
	last_words_are_read
	mkdir -p "$M/two/a" "$M/two/b"
	local box
	for box in "$M/two/a" "$M/two/b"; do
		put "$box/cmd" 'trap "" TERM; echo ready; while :; do sleep 1000; done'
		same ready "$(timeout 30 head -n 1 "$box/stdout")"
	done
	put "$M/two/a/cmd" 'echo ready; exec sleep 1000'
	same ready "$(timeout 30 head -n 1 "$M/two/a/stdout")"
	put "$M/two/a/ctl" 'stop 1'
	reads "$M/two/a/proc/1/wait" '125\n'
	reads "$M/two/a/proc/2/wait" '125\n'
	reads "$M/two/a/proc/2/status" 'canceled\n'
	within 2 rmdir "$M/two/b"
	eventually 30 eval 'same 0 "$(control sandboxes | jq "[.[] | select(.state | IN(\"TERMINATED\", \"COMPLETED\") | not)] | length")"'
}

@test "the output limit holds the command, as ever" {
	mount_down
	mount_up -o spool_limit=64Ki,agent=no
	mkdir -p "$B"
	put "$B/cmd" 'head -c 3000000 /dev/zero; echo done >&2'
	eventually 40 grep -q full "$B/status"
	same 65536 "$(stat -c %s "$B/stdout")"
	put "$B/proc/1/ctl" 'limit 4Mi'
	reads "$B/wait" '0\n'
	same 3000000 "$(stat -c %s "$B/stdout")"
}

# What tests/mount/fs.bats has no need for, as an agent holds what is open.
@test "fs/: an open file is known by its name, and another one under it is not touched" {
	without_agent
	local w=$B/fs/workspace
	printf first >"$w/f"
	exec 5<>"$w/f"
	mv "$w/f" "$w/moved"
	echo more >&5
	reads "$w/moved" 'more\n'
	inside 'echo other >new; mv new moved' >/dev/null
	same ESTALE "$(errno_of "os.write(5, b'lost?')")"
	reads "$w/moved" 'other\n'
	exec 5<&-
}

@test "fs/: busybox is enough, and a directory of thousands comes by some hundred at a time" {
	command -v busybox || skip "no busybox here"
	without_agent
	put "$B/config/env" "PATH=/workspace/busybox:/usr/bin:/bin"
	inside 'mkdir busybox; for p in stat find dd head base64 mv chmod touch readlink mkdir rm ln sync truncate; do ln -s "$(command -v busybox)" busybox/$p; done
		mkdir many; cd many; seq 1500 | xargs touch; ln -s 7 "new
line"' >/dev/null
	local w=$B/fs/workspace
	same "$({ seq 1500; printf 'new\nline\n'; } | sort)" "$(ls "$w/many" | sort)"
	same 7 "$(readlink "$w/many/new"$'\n'"line")"
	head -c 300000 /dev/urandom >"$T/bytes"
	cp "$T/bytes" "$w/bytes"
	cmp "$T/bytes" "$w/bytes"
	printf XY | dd of="$w/bytes" bs=1 seek=100001 conv=notrunc 2>/dev/null
	same XY "$(tail -c +100002 "$w/bytes" | head -c 2)"
	same 300000 "$(stat -c %s "$w/bytes")"
	touch -d @1000000000 "$w/bytes"
	same 1000000000 "$(stat -c %Y "$w/bytes")"
	mkdir "$w/d"
	mv "$w/bytes" "$w/d/"
	fails 'not empty' rmdir "$w/d"
	mv -T "$w/d" "$w/many/d"
	cmp <(head -c 100001 "$T/bytes") <(head -c 100001 "$w/many/d/bytes")
}

@test "fs/: when the stream breaks what looks goes on, and a change says that it may not have been made" {
	without_agent
	local w=$B/fs/workspace i said=
	echo text >"$w/f"
	for i in 1 2 3; do
		control faults '{"method": "StreamExec", "cut": {"sent": 100}}' >/dev/null
		reads "$w/f" 'text\n'
	done
	control faults '{"method": "StreamExec", "cut": {"sent": 100}, "times": 3}' >/dev/null
	for i in 1 2 3 4; do
		said+=" $(errno_of "open('$w/f', 'a').write('more\\n')")"
	done
	no_faults
	same '' "$(tr -d ' ' <<<"${said//EIO/}" | sed 's/OK//g')"
	same "$(grep -c more <(inside 'cat f'))" "$(grep -c more "$w/f")"
}

@test "fs/: what fails by no fault of the file's has its sentence in error; what the errno says needs none" {
	without_agent
	put "$B/config/env" "PATH=/workspace/few"
	inside '/usr/bin/mkdir few; for p in stat find; do /usr/bin/ln -s /usr/bin/$p few; done; echo text >f' >/dev/null
	local w=$B/fs/workspace
	same 5 "$(stat -c %s "$w/f")"
	same ENOTSUP "$(errno_of "open('$w/f').read()")"
	same 'NO_PROGRAM: a request about /workspace/f needs a program that the image does not have' "$(cat "$B/error")"
	same ENOENT "$(errno_of "open('$w/none')")"
	grep -q '^NO_PROGRAM: ' "$B/error"
	fault '{"method": "StreamExec", "cut": {"sent": 10}, "times": 0}'
	control cut '{}' >/dev/null
	fails 'reset' ls "$w"
	grep -q '^UNREACHABLE: cannot ask for files: ' "$B/error"
	cmp "$B/error" "$M/.ctl/error"
	no_faults
	eventually 20 ls "$w/f"
}

@test "fs/: a refusal of the service that comes before it was asked anything is told at once, in its words" {
	without_agent
	inside 'echo text >f' >/dev/null
	local i
	for i in {1..5}; do
		fault '{"method": "StreamExec", "error": {"code": "resource_exhausted", "message": "too many"}, "times": 0}'
		control cut '{}' >/dev/null
		same EAGAIN "$(within 20 errno_of "os.listdir('$B/fs/workspace')")"
		grep -q '^RESOURCE_EXHAUSTED: cannot ask for files: too many' "$B/error"
		no_faults
		eventually 40 grep -q text "$B/fs/workspace/f"
	done
}

is_held() {
	[ "$(inside 'grep -ls AVIATOFS_HOLD= /proc/[0-9]*/environ | wc -l')" != 0 ]
}

@test "that this mount uses a sandbox is said again there when the stream that says so has broken" {
	without_agent
	eventually 40 is_held
	inside 'for p in $(grep -ls AVIATOFS_HOLD= /proc/[0-9]*/environ); do p=${p#/proc/}; kill -KILL "${p%/environ}"; done; :' >/dev/null
	eventually 60 is_held
}

@test "the next mount takes it over, once the one before has gone; what ran for that is gone with it" {
	without_agent
	inside 'echo kept >kept' >/dev/null
	put "$B/cmd" 'echo begun; sleep 1000'
	same begun "$(timeout 30 head -n 1 "$B/stdout")"
	# A second mount beside it leaves it alone.
	mkdir "$T/other"
	mount_at "$T/other" -o agent=no
	same '' "$(ls "$T/other")"
	timeout 20 fusermount3 -u "$T/other"
	status_is "$B" running
	state_is running
	kill -KILL "$(daemon_pid)"
	eventually 20 fusermount3 -uz "$M"
	mount_up -o agent=no
	state_is running
	info_is path api
	reads "$B/status" 'none\n'
	reads "$B/fs/workspace/kept" 'kept\n'
	same on "$(inside 'echo on')"
	same 1 "$(control sandboxes | jq length)"
}

# The marks of 2 and 20 begin alike.
@test "a signal is for one command, however many there are" {
	local i
	without_agent
	for i in {1..22}; do
		mkdir "$B/proc/n$i"
		put "$B/proc/n$i/cmd" 'echo begun; exec sleep 1000'
	done
	for i in {1..22}; do
		same begun "$(timeout 60 head -n 1 "$B/proc/n$i/stdout")"
	done
	put "$B/proc/n1/ctl" 'signal TERM'
	reads "$B/proc/n1/wait" '143\n'
	same on "$(inside 'echo on')"
	for i in {2..22}; do
		same running "$(cat "$B/proc/n$i/status")"
	done
}

@test "a directory that is not there: a command with a terminal says so too" {
	without_agent
	put "$B/cmd" '{"command": "pwd", "cwd": "/nonexistent", "tty": true}'
	reads "$B/wait" '125\n'
	[[ $(cat "$B/status") == 'failed CWD: '* ]]
	same '' "$(cat "$B/stdout")"
}

@test "fsync tells of what could not be written" {
	without_agent
	put "$B/config/env" 'PATH=/tmp/few:/usr/bin:/bin'
	inside 'mkdir /tmp/few; printf "%s\n" "#!/bin/sh" "[ \$# = 0 ] && exit 0" "echo \"sync: error syncing x: Input/output error\" >&2; exit 1" >/tmp/few/sync; chmod +x /tmp/few/sync'
	: >"$B/fs/tmp/f"
	same EIO "$(errno_of "os.fsync(os.open('$B/fs/tmp/f', os.O_RDWR))")"
}
