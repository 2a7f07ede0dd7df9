#!/usr/bin/env bats
# Sandboxes whose image has no shell, and so neither an agent nor a helper for files: commands are argument vectors, and
# files are read and written whole, by ReadFile and WriteFile. Its programs are those of tests/gateway/bare.c.

load helpers

setup() {
	prepare
	mkdir "$T/programs"
	local name
	for name in hold show put link remove end; do
		cp "${AVIATOFS%/*}/bare" "$T/programs/$name"
	done
	GATEWAY_SETTINGS=$(jq -nc --arg programs "$T/programs" '{programs: $programs, fileBytesMax: 4194304}') gateway_up
	mount_up
	mkdir "$S" "$B"
	declare_bare "$B"
	W=$B/fs/workspace
}

declare_bare() { # BOX
	put "$1/config/image" distroless
	put "$1/config/spec" '{"containers": [{"name": "main", "command": "/bin/hold", "args": []}]}'
}

# Runs a program in it.
argv() { # WORD...
	jq -nc '$ARGS.positional' --args "$@" >"$B/cmd"
	cat "$B/stdout"
	same 0 "$(cat "$B/wait")"
}

error_is() { # REASON TEXT
	grep -q "^$1: .*$2" "$B/error" || {
		cat "$B/error"
		return 1
	}
}

@test "commands run by their argument vectors; a text needs the shell that is not there" {
	put "$B/cmd" '["end", "7"]'
	reads "$B/wait" '7\n'
	reads "$B/stderr" '7\n'
	put "$B/cmd" '{"command": ["show"], "stdin": true}'
	printf 'from stdin' >"$B/stdin"
	reads "$B/stdout" 'from stdin'
	put "$B/cmd" 'echo text'
	reads "$B/wait" '127\n'
	same api "$(jq -r .path "$B/info")"
	same 1 "$(control sandboxes | jq length)"
}

@test "a service that tells of a missing program by an error, and not by an exit code: the same" {
	control settings '{"missingProgram": "error"}' >/dev/null
	argv put /workspace/f inside >/dev/null
	reads "$W/f" inside
	same api "$(jq -r .path "$B/info")"
	jq -e '.path_reason | test("/bin/sh")' "$B/info"
	put "$B/cmd" 'echo text'
	reads "$B/wait" '125\n'
	grep -q '^failed EXEC_FAILED: .*no such file' "$B/status"
}

@test "files are read: their size, all of it or a part, as they are now" {
	argv put /workspace/f 'written inside' >/dev/null
	reads "$W/f" 'written inside'
	same 14 "$(stat -c %s "$W/f")"
	same 'regular file' "$(stat -c %F "$W/f")"
	same directory "$(stat -c %F "$W")"
	same inside "$(tail -c 6 "$W/f")"
	argv put /workspace/f 'other' >/dev/null
	reads "$W/f" other
	argv remove /workspace/f >/dev/null
	same ENOENT "$(errno_of "open('$W/f')")"
	same ENOENT "$(errno_of "os.stat('$W/none/f')")"
	same EISDIR "$(errno_of "open('$W', 'w')")"
	cp "$B/fs/bin/end" "$T/end"
	cmp "$T/programs/end" "$T/end"
}

@test "a link of the sandbox's leads to what it leads to there, and not out of it" {
	put "$T/secret" outside
	argv link "$T/secret" /workspace/out >/dev/null
	argv link /workspace/f /workspace/in >/dev/null
	argv put /workspace/f inside >/dev/null
	reads "$W/in" inside
	same ENOENT "$(errno_of "open('$W/out')")"
}

@test "files are written: made, replaced, appended to, changed in place; fsync and close store them" {
	echo one >"$W/f"
	same one "$(argv show /workspace/f)"
	echo two >>"$W/f"
	same $'one\ntwo' "$(argv show /workspace/f)"
	printf X | dd of="$W/f" bs=1 seek=1 conv=notrunc 2>/dev/null
	same $'oXe\ntwo' "$(argv show /workspace/f)"
	: >"$W/f"
	same '' "$(argv show /workspace/f)"
	truncate -s 3 "$W/f"
	same 3 "$(stat -c %s "$W/f")"
	argv show /workspace/f >"$T/nuls"
	same 3 "$(stat -c %s "$T/nuls")"
	head -c 3000000 /dev/urandom >"$T/bytes"
	cp "$T/bytes" "$W/bytes"
	cmp "$T/bytes" "$W/bytes"
	cmp "$T/bytes" <(argv show /workspace/bytes)
	$PYTHON - "$W/f" <<-'END'
		import os, sys
		with open(sys.argv[1], "r+b") as f:
		    f.write(b"some")
		    f.flush()
		    os.fsync(f.fileno())
		    assert open(sys.argv[1]).read() == "some"
		    f.seek(2)
		    f.write(b"--")
		    f.seek(0)
		    assert f.read() == b"so--"
	END
	same so-- "$(argv show /workspace/f)"
	same EEXIST "$(errno_of "os.open('$W/f', os.O_CREAT | os.O_EXCL)")"
	same so-- "$(cat "$W/f")"
}

@test "editors that write in place work" {
	command -v vim >/dev/null || skip "no vim here"
	printf 'a\nb\nc\n' >"$W/f"
	vim -u NONE -n -es -c 'set nowritebackup' -c '2s/b/B/' -c wq "$W/f" </dev/null
	same $'a\nB\nc' "$(argv show /workspace/f)"
}

@test "what is written in many pieces is stored once more when it is closed, and not for each" {
	echo begin >"$W/f"
	forget_counts
	$PYTHON -c "
f = open('$W/f', 'wb', 0)
for i in range(100): f.write(b'0123456789')
f.close()"
	(($(count WriteFile) <= 3))
	same 1000 "$(stat -c %s "$W/f")"
	same 1000 "$(argv show /workspace/f | wc -c)"
	# One look at each name of a path, which the opening and the reading behind it use.
	forget_counts
	cat "$W/f" >/dev/null
	(($(count ReadFile) <= 2))
}

@test "what cannot be stored fails: where that is known at once in open or write, else in close, with its sentence" {
	same EACCES "$(errno_of "open('$B/fs/proc/version', 'w')")"
	same EACCES "$(errno_of "os.write(os.open('$B/fs/proc/version', os.O_WRONLY), b'x')")"
	same ENOENT "$(errno_of "open('$W/none/f', 'w')")"
	echo text >"$W/f"
	fault '{"method": "WriteFile", "skip": 1, "times": 0, "error": {"reason": "FILE_IO_FAILED", "message": "the disk is full"}}'
	same 'OK EIO' "$($PYTHON -c "
import os
f = os.open('$W/f', os.O_WRONLY | os.O_TRUNC)
os.write(f, b'lost'); print('OK', end=' ')
try: os.close(f)
except OSError as e: print('EIO' if e.errno == 5 else e)")"
	error_is CWSANDBOX_FILE_IO_FAILED 'the disk is full'
	no_faults
	reads "$W/f" ''
}

@test "files larger than the service reads or writes at once say so" {
	head -c 4194304 /dev/zero >"$W/most"
	same 4194304 "$(stat -c %s "$W/most")"
	printf 'one too many' >>"$W/most" || true
	error_is FILE_TOO_LARGE '4194304 bytes'
	same EFBIG "$(errno_of "open('$W/most', 'ab', 0).write(b'x')")"
	same EFBIG "$(errno_of "os.truncate('$W/most', 1 << 40)")"
	control settings '{"fileBytesMax": 1000}' >/dev/null
	argv put /workspace/other x >/dev/null # what is known of files may be over
	same 4194304 "$(stat -c %s "$W/most")"
	fails 'File too large' cat "$W/most"
	error_is FILE_TOO_LARGE '1000 bytes'
}

@test "what needs a shell fails, with a sentence in error, and does nothing" {
	echo text >"$W/f"
	local what act
	while read -r what act; do
		same ENOTSUP "$(errno_of "$act")"
		error_is NO_SHELL "$what.* needs a shell, which the image does not have"
		reads "$W/f" 'text\n'
	done <<-END
		listing os.listdir('$W')
		directory os.mkdir('$W/d')
		removing os.unlink('$W/f')
		renaming os.rename('$W/f', '$W/g')
		attributes os.chmod('$W/f', 0o700)
		link os.symlink('f', '$W/l')
		attributes os.utime('$W/f', (1, 1))
		link os.link('$W/f', '$W/l')
		special os.mkfifo('$W/p')
	END
	same '' "$(ls "$B/bin")"
	same text "$(argv show /workspace/f)"
	forget_counts
	ls -lR "$S" --ignore=fs >/dev/null
	counted ReadFile 0
}

@test "a read that is not answered holds up nobody else, and ends with who waits for it" {
	echo text >"$W/f"
	argv put /workspace/slow x >/dev/null
	forget_counts
	fault '{"method": "ReadFile", "hang": true, "skip": 1}' # not for the directory
	timeout 60 cat "$W/slow" 2>/dev/null &
	local pid=$! status=0
	eventually 30 counted ReadFile 2
	reads "$W/f" 'text\n'
	kill "$pid"
	wait "$pid" || status=$?
	same 143 "$status"
}
