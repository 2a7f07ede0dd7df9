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
	at_most 5 ls -l "$W/many" >"$T/out" # of a directory in it, times
	at_most 0 [ ! -e "$W/many/absent" ]
}

@test "a directory that is made, filled and removed: what is known is not asked for" {
	mkdir "$W/filled" # and the way there is known
	fill() { for n in {1..20}; do echo "$n" >"$W/filled/$n"; done; }
	at_most 140 fill
	at_most 0 ls -l "$W/filled" >"$T/out"
	same 21 "$(wc -l <"$T/out")"
	at_most 70 rm -r "$W/filled"
	# Changed by others, all of it is asked for at once.
	inside 'mkdir d; cd d; seq 200 | xargs touch' >/dev/null
	ls -l "$W/d" >/dev/null
	inside 'cd d; seq 200 | xargs -n 1 sh -c "echo more >>\$0"' >/dev/null
	at_most 20 ls -l "$W/d" >"$T/out"
	same 200 "$(grep -c ' 5 ' "$T/out")"
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
