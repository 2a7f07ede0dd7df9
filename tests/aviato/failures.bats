#!/usr/bin/env bats
# A gateway that is away, slow, or mad: clear errors, no hang, nothing twice, nothing forgotten, no byte lost.

load helpers

setup() {
	prepare
	GATEWAY_BY=weather gateway_up
}

begin() { # [OPTION...]
	mount_up "$@"
	mkdir -p "$B"
}

living() {
	control sandboxes | jq '[.[] | select(.state | IN("COMPLETED", "FAILED", "TERMINATED") | not)] | length'
}

@test "down at the mount: refused in one line, soon, and nothing is left" {
	local status=0
	control down '{}' >/dev/null
	within 30 mount_up 2>"$T/said" || status=$?
	[ "$status" != 0 ]
	same 1 "$(wc -l <"$T/said")"
	grep -q 127.0.0.1 "$T/said"
	not mounted
	control up '{}' >/dev/null
	begin
	same back "$(inside 'echo back')"
}

@test "down later: what runs goes on, what needs the service fails in time, and all of it comes back" {
	begin -o timeout=3
	put "$B/cmd" 'i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.02; done; exit 7'
	timeout 20 head -n 5 "$B/stdout" >/dev/null
	control down '{}' >/dev/null
	eventually 20 grep -q 'unreachable since' "$B/state"
	reads "$B/status" 'running\n'
	mkdir "$S/new"
	put "$S/new/cmd" 'echo never' || true
	within 40 finish "$S/new"
	[[ $(cat "$S/new/status") == failed\ * ]]
	[ -s "$S/new/error" ]
	control up '{}' >/dev/null
	eventually 60 state_is running
	cmp <(timeout 60 cat "$B/stdout") <(seq -f 'line %g' 0 399)
	reads "$B/wait" '7\n'
	same 1 "$(control sandboxes | jq length)"
}

# A command of the one that runs is given up after `timeout`: by then the others have been asked about more than once.
@test "down while sandboxes start: they are patient, and start when the service is back" {
	local box
	begin -o timeout=4
	same hi "$(inside 'echo hi')"
	fault '{"method": "GetSandbox", "times": 0, "rewrite": [["STATE_RUNNING", "STATE_CREATING"]]}'
	for box in a b c; do
		mkdir "$S/$box"
		put "$S/$box/cmd" 'echo started'
	done
	for box in a b c; do
		eventually 20 grep -qx creating "$S/$box/state"
	done
	control down '{}' >/dev/null
	put "$B/cmd" 'echo never' || true
	within 30 finish
	grep -q '^failed ' "$B/status"
	no_faults
	control up '{}' >/dev/null
	for box in a b c; do
		reads "$S/$box/stdout" 'started\n'
		reads "$S/$box/wait" '0\n'
	done
	same 4 "$(control sandboxes | jq length)"
	eventually 60 state_is running
}

# The look-up waits for an answer that cannot come any more.
@test "who looks into bin/ while the service is away hears of that in time" {
	begin -o timeout=2
	same hi "$(inside 'echo hi')"
	control down '{}' >/dev/null
	same ETIMEDOUT "$(errno_of "os.stat('$B/bin/no-such')")"
	grep -q "^UNREACHABLE: " "$B/error"
	control up '{}' >/dev/null
	eventually 60 state_is running
}

@test "an answer that is lost makes no second sandbox, and a passing failure none at all" {
	begin
	fault '{"method": "CreateSandbox", "error": {"code": "unavailable", "message": "later", "at": "end"}}'
	same one "$(inside 'echo one')"
	counted CreateSandbox 2
	same 1 "$(control sandboxes | jq length)"
	fault '{"method": "CreateSandbox", "cut": {"received": 20, "how": "connection"}, "times": 2}'
	mkdir "$S/two"
	put "$S/two/cmd" 'echo two'
	reads "$S/two/stdout" 'two\n'
	same 2 "$(control sandboxes | jq length)"
	same 2 "$(living)"
}

@test "streams cut anywhere: output and input arrive whole" {
	begin -o timeout=3
	inside : >/dev/null
	local how n=1
	for how in reset connection end reset; do
		fault "{\"method\": \"StreamExec\", \"cut\": {\"sent\": $((RANDOM * 3)), \"how\": \"$how\"}}"
		control cut '{}' >/dev/null
		put "$B/cmd" '{"command": "cat; seq 30000", "stdin": true}'
		{ seq 20000; } >"$B/stdin"
		cmp <(timeout 60 cat "$B/stdout") <(seq 20000; seq 30000)
		reads "$B/wait" '0\n'
		n=$((n + 1))
		same "$n" "$(ls "$B/proc" | wc -l)"
	done
	control faults >"$T/left"
	same 1 "$(control sandboxes | jq length)"
}

fine() {
	n=$((n + 1))
	mkdir "$S/n$n"
	put "$S/n$n/cmd" 'echo fine'
	[ "$(timeout 30 cat "$S/n$n/stdout" 2>/dev/null)" = fine ]
}

# mad METHOD TYPE BODY-FILE
mad() {
	jq -n --arg method "$1" --arg type "$2" --rawfile body "$3" \
		'{method: $method, times: 0, http: {status: 200, contentType: $type, body: $body}}' >"$T/fault"
	curl -sS --fail-with-body "$CONTROL/faults" --data-binary "@$T/fault" >/dev/null
}

@test "nonsense for an answer: every call fails with a reason, and the mount lives on" {
	local pair n=0
	head -c 20000 /dev/urandom | LC_ALL=C tr -cd '\1-\177' >"$T/random"
	printf '%0.s{"status":' {1..20000} >"$T/deep"
	printf '{"sandboxId": "../../etc", "status": 5}' >"$T/odd"
	printf '\0\377\377\377\377{' >"$T/long"
	begin -o timeout=3
	for pair in CreateSandbox:{random,deep,odd,long} GetSandbox:{random,deep,odd,long} StreamExec:random; do
		n=$((n + 1))
		mad "${pair%:*}" "$([ "${pair%:*}" = StreamExec ] && echo application/connect+json || echo application/json)" "$T/${pair#*:}"
		mkdir "$S/n$n"
		put "$S/n$n/cmd" 'echo no'
		within 50 finish "$S/n$n" || { cat "$S/n$n"/{state,status,error}; return 1; }
		no_faults
		[[ $(cat "$S/n$n/status") == @(failed|canceled|lost)* ]]
	done
	eventually 30 fine # once a probe has found that the service answers again
}

@test "nothing gets through any more: commands fail in time, the unmount too, and the next mount finds the sandbox" {
	begin -o timeout=2
	put "$B/cmd" 'echo begun; sleep 1000'
	timeout 20 head -n 1 "$B/stdout" >/dev/null
	control down '{}' >/dev/null
	eventually 20 grep -q 'unreachable since' "$B/state"
	put "$B/cmd" 'echo no'
	within 20 finish
	within 60 mount_down
	same 1 "$(living)"
	control up '{}' >/dev/null
	mount_up
	eventually 40 state_is running
	reads "$B/proc/1/stdout.log" 'begun\n'
	rmdir "$B"
	eventually 20 eval 'same 0 "$(living)"'
}

# endless PAGES [FAULT]: the next lists have so many pages, of which each names another one; then that befalls the next.
endless() {
	jq -n --argjson pages "$1" --argjson last "${2:-null}" '
		[range($pages) | {method: "ListSandboxes", http: {status: 200, contentType: "application/json",
			body: ({sandboxes: [{sandboxId: "listed-\(.)"}], nextPageToken: "page-\(.)"} | tojson)}}] + [$last | values]' >"$T/pages"
	curl -sS --fail-with-body "$CONTROL/faults" --data-binary "@$T/pages" >/dev/null
}

@test "a list of sandboxes that does not end is given up, with a sentence" {
	begin
	forget_counts
	endless 300
	same EPROTO "$(errno_of "os.listdir('$M/.ctl/sandboxes')")"
	grep -q '^BAD_ANSWER: cannot list the sandboxes: the list does not end' "$M/.ctl/error"
	# Some may be asked for again: an answer that comes before libcurl has sent all is lost now and then.
	local asked
	asked=$(count ListSandboxes)
	((asked >= 100 && asked < 200))
	no_faults
	# The same page over and over.
	forget_counts
	fault '{"method": "ListSandboxes", "times": 0, "http": {"status": 200, "contentType": "application/json", "body": "{\"nextPageToken\": \"more\"}"}}'
	eventually 20 eval '[ "$(errno_of "os.listdir(\"$M/.ctl/sandboxes\")")" = EPROTO ] && [ "$(count ListSandboxes)" != 0 ]'
	asked=$(count ListSandboxes)
	((asked >= 2 && asked < 50))
	no_faults
	eventually 20 ls "$M/.ctl/sandboxes"
	same '' "$(ls "$M/.ctl/sandboxes" | grep listed)"
	same on "$(inside 'echo on')"
}

@test "while a list of sandboxes goes on and on, all else does too" {
	local reader
	begin
	same hi "$(inside 'echo hi')"
	forget_counts
	endless 50 '{"method": "ListSandboxes", "hang": true}'
	background ls "$M/.ctl/sandboxes"
	reader=$!
	eventually 20 counted ListSandboxes 51
	same on "$(inside 'echo on')"
	mkdir "$S/two"
	put "$S/two/cmd" 'echo two'
	reads "$S/two/stdout" 'two\n'
	grep -q runnerId "$M/.ctl/runners"
	rmdir "$S/two"
	counted ListSandboxes 51
	kill -0 "$reader" # it waits still,
	kill "$reader"    # and can be told not to
	eventually 20 gone "$reader"
}

@test "a list that holds a sandbox twice: it is taken over once, and works" {
	begin -o on_exit=keep
	same hi "$(inside 'echo hi')"
	local id
	id=$(cat "$B/id")
	within 60 mount_down
	curl -sS --http2-prior-knowledge -H "Authorization: Bearer $CWSANDBOX_API_KEY" --json '{}' \
		"$GATEWAY/coreweave.sandbox.v1.SandboxService/ListSandboxes" >"$T/list"
	jq -c '.sandboxes += .sandboxes' "$T/list" >"$T/twice"
	same 2 "$(jq '.sandboxes | length' "$T/twice")"
	jq -n --rawfile body "$T/twice" '{method: "ListSandboxes", http: {status: 200, contentType: "application/json", body: $body}}' >"$T/fault"
	fault "$(cat "$T/fault")"
	mount_up
	same "$(basename "$B")" "$(ls "$S")"
	same "$id" "$(cat "$B/id")"
	same again "$(inside 'echo again')"
	eventually 40 state_is running
	rmdir "$B"
	eventually 20 eval 'same 0 "$(living)"'
}

@test "a sandbox that hangs does not hold up the next mount, which takes over the others" {
	begin -o on_exit=keep
	mkdir "$S/other"
	put "$S/other/cmd" true
	same hi "$(inside 'echo hi')"
	finish "$S/other"
	within 60 mount_down
	fault '{"method": "StreamExec", "hang": true}'
	within 50 mount_up
	same 1 "$(ls "$S" | wc -l)"
	B=$S/$(ls "$S")
	same again "$(inside 'echo again')"
	same 2 "$(ls "$M/.ctl/sandboxes" | wc -l)"
}
