#!/usr/bin/env bats
# fs/ from both sides at once: what one has done the other sees.

load helpers

@test "200 rounds: each side sees at once what the other did, names, sizes, bytes and mappings" {
	timeout 150 "$PYTHON" "$ROOT/tests/mount/coherence.py" "$B" 200
}

@test "a file that is replaced all the time is always there, whole, and never older than before" {
	cat >"$B/fs/workspace/replace.py" <<-'PYTHON'
		import itertools, os
		for i in itertools.count():
		    if os.path.exists("stop"):
		        break
		    with open("new", "w") as f:
		        f.write("%d\n" % i * 100)
		    os.rename("new", "status")
	PYTHON
	put "$B/cmd" 'python3 replace.py'
	eventually 20 test -e "$B/fs/workspace/status"
	timeout 150 "$PYTHON" - "$B/fs/workspace/status" <<-'PYTHON'
		import os, sys
		last = 0
		for _ in range(1000):
		    os.stat(sys.argv[1])
		    os.chmod(sys.argv[1], 0o644)
		    text = open(sys.argv[1]).read()
		    now = int(text.split()[0])
		    assert text == "%d\n" % now * 100 and now >= last, (last, text)
		    last = now
		assert last > 0
	PYTHON
	: >"$B/fs/workspace/stop"
	reads "$B/wait" '0\n'
}

@test "git outside while commits happen inside: refs and index are always whole" {
	command -v git || skip "no git here"
	inside 'git init -q . && git config user.name n && git config user.email e@x && echo 0 >f && git add f && git commit -qm 0' >/dev/null
	put "$B/cmd" 'for i in $(seq 40); do echo $i >f; echo $i >new$i; git add . && git commit -qm $i || exit 9; done'
	export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' GIT_OPTIONAL_LOCKS=0
	local looks=0
	look() {
		timeout 20 git -C "$B/fs/workspace" "$@"
	}
	while [[ $(cat "$B/status") != exited* ]]; do
		look rev-parse HEAD >/dev/null
		look log -1 --format=%s | grep -qE '^[0-9]+$'
		look status --porcelain >/dev/null
		looks=$((looks + 1))
	done
	same 0 "$(cat "$B/wait")"
	((looks > 0))
	git -C "$B/fs/workspace" fsck --strict
	same '' "$(git -C "$B/fs/workspace" status --porcelain)"
	same 40 "$(git -C "$B/fs/workspace" log -1 --format=%s)"
}
