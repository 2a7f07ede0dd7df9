#!/usr/bin/env bats
# What fs/ over the channel asks the agent for: counted, never timed.

load helpers

setup() {
	prepare
	MOUNT_OPTIONS=files=channel mount_up
	mkdir "$S" "$B"
	W=$B/fs/workspace
}

requests() {
	"$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1])).get("file_requests", 0))' "$B/info"
}

# at_most N COMMAND...: it asks for no more than that.
at_most() {
	local most=$1 before took
	shift
	before=$(requests)
	"$@"
	took=$(($(requests) - before))
	((took <= most)) || {
		echo "$took requests, not $most: $*"
		return 1
	}
}

@test "a listing with attributes is a few requests, and a stat then is none" {
	inside 'mkdir many; cd many; seq 500 | xargs touch; mkdir d; ln -s 1 link' >/dev/null
	at_most 20 ls -l "$W/many" >"$T/out"
	at_most 0 stat "$W/many"/1 "$W/many"/17
	at_most 20 ls -l "$W/many" >"$T/out" # extended attributes, where there may be some
	at_most 0 [ ! -e "$W/many/absent" ]
}

@test "a small file comes with its open; a large one in large pieces; writes are not waited for one by one" {
	inside 'head -c 100000 /dev/zero >small; head -c 16000000 /dev/zero >large' >/dev/null
	ls -l "$W" >/dev/null
	at_most 8 cat "$W/small" >"$T/small"
	same 100000 "$(stat -c %s "$T/small")"
	at_most 100 cat "$W/large" >"$T/large"
	same 16000000 "$(stat -c %s "$T/large")"
	at_most 300 cp "$T/large" "$W/copy"
	same "$(sha256sum <"$T/large")" "$(inside 'sha256sum <copy')"
}
