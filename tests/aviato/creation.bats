#!/usr/bin/env bats
# Creating and ending sandboxes while the service is full, silent or away: one where one was asked for, none
# where that failed, and none left over.

load helpers

created() { # all there ever were
	control sandboxes | jq length
}

living() {
	control sandboxes | jq '[.[] | select(.state | IN("COMPLETED", "FAILED", "TERMINATED") | not)] | length'
}

nothing_lives() {
	[ "$(living)" = 0 ]
}

lives() { # N
	[ "$(living)" = "$1" ]
}

refuse() { # REASON [MORE]
	fault '{"method": "CreateSandbox", "error": {"reason": "'"$1"'", "message": "no room"'"${2:-}"'}}'
}

# status_starts SANDBOX WORDS: what its command came to.
status_starts() {
	[[ $(cat "$1/wait") == 125 ]]
	[[ $(cat "$1/status") == "$2"* ]] || {
		cat "$1/status"
		return 1
	}
}

@test "a service that is full says so at once: one attempt, and the words" {
	fault '{"method": "CreateSandbox", "error": {"code": "resource_exhausted", "message": "all is taken"}}'
	put "$B/cmd" 'echo never'
	status_starts "$B" 'failed RESOURCE_EXHAUSTED: cannot create the sandbox: all is taken'
	same 1 "$(count CreateSandbox)"
	refuse RUNNER_CAPACITY_EXHAUSTED
	mkdir "$S/b"
	put "$S/b/cmd" 'echo never'
	status_starts "$S/b" 'failed CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED: '
	same 2 "$(count CreateSandbox)"
	same 0 "$(created)"
}

# cannot_start NAME ERRNO: a sandbox that the armed fault befalls says so wherever it is used.
cannot_start() {
	local box=$S/$1 errno=$2
	mkdir "$box"
	same "$errno" "$(errno_of "os.stat('$box/fs/etc')")" # it waits for the start
	grep -qE '^[A-Z_]+: cannot .*, request [0-9a-f-]+$' "$box/error"
	same "$errno" "$(errno_of "os.stat('$box/fs/etc')")" # and at once
	same "$errno" "$(errno_of "os.open('$box/fs/new', os.O_CREAT | os.O_WRONLY)")"
	same "$errno" "$(errno_of "os.listdir('$box/fs')")"
	same "$errno" "$(commit "$box/cmd" true)"
	same "$errno" "$(commit "$box/ctl" start)"
	same "$errno" "$(errno_of "open('$box/bin/true')")"
	same "$errno" "$(errno_of "os.mkdir('$box/proc/x')")"
	grep -qE '^[A-Z_]+: the sandbox is failed: cannot .*, request [0-9a-f-]+$' "$box/error"
	same hi "$(inside 'echo hi')"
}

@test "a sandbox that cannot be made: fs/, cmd, ctl and bin/ give the errno of that, whatever it was, and the sentence" {
	local n=0 pair
	for pair in '"code": "resource_exhausted"=ENOSPC' '"reason": "RUNNER_CAPACITY_EXHAUSTED"=ENOSPC' \
		'"code": "resource_exhausted", "reason": "FULL", "domain": "example.com"=ENOSPC' \
		'"reason": "FSS_QUOTA_EXCEEDED"=EDQUOT' '"reason": "RUNNER_OVERLOADED"=EAGAIN' '"code": "aborted"=EAGAIN' \
		'"reason": "PLACEMENT_REJECTED"=EBUSY' '"reason": "NO_SUITABLE_RUNNER"=ENODEV' '"reason": "RESOURCE_CEILING_EXCEEDED"=ENOMEM' \
		'"reason": "SECRET_STORE_NOT_PROVISIONED"=ENOKEY' '"code": "permission_denied"=EPERM' '"code": "invalid_argument"=EINVAL' \
		'"code": "unimplemented"=ENOTSUP' '"code": "internal"=EIO'; do
		n=$((n + 1))
		fault '{"method": "CreateSandbox", "error": {'"${pair%=*}"', "message": "no"}}'
		cannot_start "n$n" "${pair##*=}"
	done
}

@test "a sandbox that cannot be reached: the same, and a file is not said to be missing where the sandbox is" {
	same hi "$(inside 'echo hi')"
	fault '{"method": "WriteFile", "times": 0, "error": {"code": "permission_denied", "message": "no"}}'
	cannot_start send EPERM
	no_faults
	fault '{"method": "CreateSandbox", "error": {"code": "not_found", "message": "no"}}'
	mkdir "$S/gone"
	same ESHUTDOWN "$(errno_of "os.stat('$S/gone/fs/etc')")"
	same ESHUTDOWN "$(errno_of "os.open('$S/gone/fs/new', os.O_CREAT | os.O_WRONLY)")"
	same ESHUTDOWN "$(commit "$S/gone/cmd" true)"
	# One that ran has ended, however that came about.
	put "$B/ctl" 'stop 0'
	eventually 30 state_is terminated
	same ESHUTDOWN "$(errno_of "os.stat('$B/fs/etc')")"
	same ESHUTDOWN "$(commit "$B/cmd" true)"
}

@test "a sandbox that is given up is deleted, not left to its lifetime" {
	fault '{"method": "WriteFile", "times": 0, "error": {"code": "permission_denied", "message": "no"}}'
	put "$B/cmd" 'echo never'
	status_starts "$B" 'failed '
	eventually 30 nothing_lives
	same 1 "$(created)"
}

@test "placement: the other kind of place is tried once, for the reasons that are about places, without the runners" {
	local reason n=0
	for reason in RUNNER_CAPACITY_EXHAUSTED PLACEMENT_REJECTED PLACEMENT_CONSTRAINT_UNSATISFIED NO_SUITABLE_RUNNER RUNNER_OVERLOADED \
		RUNNER_UNAVAILABLE; do
		n=$((n + 1))
		refuse $reason
		mkdir "$S/n$n"
		put "$S/n$n/config/placement" cks_then_serverless
		put "$S/n$n/config/spec" '{"runnerIds": ["runner-2"]}'
		put "$S/n$n/cmd" 'echo there'
		reads "$S/n$n/stdout" 'there\n'
		same runner-shared "$(jq -r .runner "$S/n$n/info")"
		same $((2 * n)) "$(count CreateSandbox)"
		same $n "$(created)"
	done
	put "$B/config/placement" serverless_then_cks
	refuse RUNNER_CAPACITY_EXHAUSTED
	same hi "$(inside 'echo hi')"
	same runner-1 "$(jq -r .runner "$B/info")"
}

@test "placement: nothing else makes it try the other, nor a third; where there is room it stays" {
	put "$S/.ctl/defaults/placement" cks_then_serverless
	same hi "$(inside 'echo hi')"
	same runner-1 "$(jq -r .runner "$B/info")"
	same 1 "$(count CreateSandbox)"
	local n=0 fault
	for fault in '"reason": "SERVERLESS_DISABLED"' '"code": "resource_exhausted"' '"code": "invalid_argument"' \
		'"reason": "RUNNER_CAPACITY_EXHAUSTED", "domain": "example.com"'; do
		forget_counts
		n=$((n + 1))
		fault '{"method": "CreateSandbox", "error": {'"$fault"'}}'
		mkdir "$S/n$n"
		put "$S/n$n/cmd" true
		status_starts "$S/n$n" failed
		same 1 "$(count CreateSandbox)"
	done
	forget_counts
	refuse RUNNER_CAPACITY_EXHAUSTED
	refuse NO_SUITABLE_RUNNER
	mkdir "$S/last"
	put "$S/last/cmd" true
	status_starts "$S/last" 'failed CWSANDBOX_NO_SUITABLE_RUNNER'
	same 2 "$(count CreateSandbox)"
	same 1 "$(created)"
}

@test "placement: what cannot be meant is refused when it is written" {
	same EINVAL "$(commit "$B/config/placement" anywhere)"
	grep -q strict "$B/error"
	put "$B/config/placement" serverless_then_cks
	same EINVAL "$(commit "$B/config/spec" '{"runnerIds": ["runner-1"]}')"
	same EINVAL "$(commit "$B/config/spec" '{"mode": "SANDBOX_MODE_CKS"}')"
	same EINVAL "$(commit "$B/config/template" some)"
	put "$B/config/placement" cks_then_serverless
	same EINVAL "$(commit "$B/config/spec" '{"mode": "SANDBOX_MODE_SERVERLESS"}')"
	put "$B/config/placement" strict
	put "$B/config/spec" '{"mode": "SANDBOX_MODE_SERVERLESS"}'
}

@test "a creation whose answer never comes: one that is repeated is one sandbox" {
	fault '{"method": "CreateSandbox", "cut": {"sent": 10, "how": "connection"}}'
	fault '{"method": "CreateSandbox", "cut": {"sent": 10, "how": "reset"}}'
	fault '{"method": "CreateSandbox", "error": {"code": "unavailable", "at": "end"}}'
	same one "$(inside 'echo one')"
	same 4 "$(count CreateSandbox)"
	same 1 "$(created)"
}

@test "a creation of which nothing is heard in the end is undone, and nothing else is" {
	same one "$(inside 'echo one')"
	# It is made; but what comes is no answer, and is not asked for again.
	fault '{"method": "CreateSandbox", "rewrite": [["\"sandboxId\"", "\"sandboxNo\""]]}'
	mkdir "$S/two"
	put "$S/two/cmd" 'echo never'
	status_starts "$S/two" 'failed BAD_ANSWER'
	eventually 20 eval '[ "$(created)" = 2 ] && lives 1'
	same 3 "$(count CreateSandbox)"
	same on "$(inside 'echo on')"
	# A refusal is none of these.
	forget_counts
	fault '{"method": "CreateSandbox", "error": {"code": "internal"}}'
	mkdir "$S/three"
	put "$S/three/cmd" true
	status_starts "$S/three" 'failed INTERNAL'
	same 0 "$(count DeleteSandbox)"
	same 1 "$(count CreateSandbox)"
}

@test "the service goes away for a rmdir: the sandbox is gone from here at once, and from there when the service is back" {
	same one "$(inside 'echo one')"
	fault '{"method": "DeleteSandbox", "times": 0, "error": {"code": "internal", "message": "not now"}}'
	within 10 rmdir "$B"
	eventually 20 eval '[ "$(count DeleteSandbox)" -ge 2 ]'
	same 1 "$(living)"
	no_faults
	eventually 30 nothing_lives
}

@test "a sandbox that is being ended is followed to its end, whatever the polls say" {
	put "$B/config/command" 'trap "" TERM; while :; do sleep 0.1; done'
	put "$B/ctl" start
	eventually 30 state_is running
	fault '{"method": "GetSandbox", "times": 3, "error": {"code": "internal"}}'
	timeout 40 sh -c "echo 'stop 1' > '$B/ctl'"
	eventually 30 state_is terminated
	nothing_lives
}

@test "the exit code that comes late: a poll that fails leaves what is known" {
	control settings '{"exitCodeLagMs": -1}' >/dev/null
	put "$B/config/command" 'exit 0'
	put "$B/ctl" start
	eventually 30 eval 'grep -q COMPLETED "$B/info"'
	fault '{"method": "GetSandbox", "times": 0, "error": {"code": "unavailable"}}'
	eventually 30 state_is completed
}

@test "what commands say when they are told to end is still read: stop, rmdir, close" {
	last_words_are_read
	eventually 20 nothing_lives
}

@test "rmdir answers at once, and what does not listen is killed when the grace is over" {
	put "$B/cmd" 'trap "" TERM; echo ready; while :; do sleep 1000; done'
	same ready "$(timeout 30 head -n 1 "$B/stdout")"
	within 2 rmdir "$B"
	eventually 20 nothing_lives
}
