#!/usr/bin/env bats
# The remote service itself: reaching it, being known to it, and what it may answer.

load helpers

setup() {
	prepare
	gateway_up
}

up() {
	mount_up "$@"
	mkdir "$S" "$B"
}

at() { # url | tls | weather | tlsWeather | ca
	jq -r ".$1" "$T/ready"
}

@test "over TLS with an own authority: HTTP/2, one connection; without it, or by another name, there is no mount" {
	GATEWAY=$(at tls)
	fails certificate mount_up
	GATEWAY=${GATEWAY/localhost/127.0.0.2}
	fails 'aviatofs: ' mount_up -o "cacert=$(at ca)"
	GATEWAY=$(at tls)
	forget_counts
	up -o "cacert=$(at ca)"
	same hi "$(inside 'echo hi')"
	control calls | jq -e '([.[].http] | unique) == ["2.0"] and ([.[].connection] | unique | length) == 1' >/dev/null
}

# certificate NAME HOST [CA-OPTION...]: that of its own authority, with its key.
certificate() {
	local name=$1 host=$2
	shift 2
	touch "$T/index"
	printf '[ca]\ndefault_ca=it\n[it]\ndatabase=%s\nnew_certs_dir=%s\nserial=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=any\nunique_subject=no\nx509_extensions=names\n[any]\ncommonName=supplied\n[names]\nsubjectAltName=DNS:%s\nbasicConstraints=CA:true\n' \
		"$T/index" "$T" "$T/serial" "$host" >"$T/ca.conf"
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/$name.key" -subj "/CN=$host" -out "$T/$name.csr" 2>/dev/null
	openssl ca -batch -selfsign -config "$T/ca.conf" -in "$T/$name.csr" -keyfile "$T/$name.key" -out "$T/$name.pem" -notext "$@" 2>/dev/null
}

@test "a certificate that is over, or of another name, is refused before a key is sent, also where its authority is known" {
	local name port
	mkfifo "$T/silence" # it ends with its standard input
	certificate old localhost -startdate 20200101000000Z -enddate 20210101000000Z
	certificate other other.example -days 2
	certificate good localhost -days 2
	for name in old other good; do
		# shellcheck disable=SC2016 # not for this shell
		background bash -c 'exec openssl s_server "$@" <>"$0"' "$T/silence" \
			-accept 127.0.0.1:0 -cert "$T/$name.pem" -key "$T/$name.key" -alpn h2 >"$T/$name.said" 2>&1
		eventually 20 grep -q '^ACCEPT' "$T/$name.said"
		port=$(sed -n 's/^ACCEPT .*://p' "$T/$name.said")
		GATEWAY=https://localhost:$port
		within 60 fails '' mount_up -o "cacert=$T/$name.pem,timeout=1"
	done
	not grep -aq ListSandboxes "$T/old.said" "$T/other.said"
		eventually 20 grep -aq 'PRI \* HTTP/2.0' "$T/good.said" # only so does the test mean anything
}

@test "who asks: a wrong key, W&B by environment and by .netrc; a key appears nowhere" {
	CWSANDBOX_API_KEY=wrong-key fails 'cannot list the sandboxes' mount_up
	unset CWSANDBOX_API_KEY
	HOME=$T fails 'there are no credentials' mount_up
	WANDB_API_KEY=test-wandb-key fails 'WANDB_ENTITY_NAME' mount_up
	WANDB_API_KEY=test-wandb-key WANDB_ENTITY_NAME=team up
	same WANDB_API_KEY "$(mkdir "$S/x" && put "$S/x/cmd" true && cat "$S/x/wait" >/dev/null && jq -r .credentials "$S/x/info")"
	not grep -qa test-wandb-key "/proc/$(daemon_pid)/environ"
	not grep -rqs test-wandb-key "$S/x/info" "$S/x/error" "$S/x/config" "$M/.ctl/error" "$M/.ctl/stats"
	mount_down
	(umask 077 && echo 'machine api.wandb.ai login user password test-wandb-key' >"$T/.netrc")
	HOME=$T WANDB_ENTITY=team mount_up
	[ -d "$M/.ctl" ]
}

@test "no service at mount time is one clear line; one that goes away fails at once, and is used again when it is back" {
	curl -sS --json '{}' "$CONTROL/down" >/dev/null
	GATEWAY=$(at weather)
	within 40 fails 'aviatofs: ' mount_up
	curl -sS --json '{}' "$CONTROL/up" >/dev/null
	up
	same hi "$(inside 'echo hi')"
	curl -sS --json '{}' "$CONTROL/down" >/dev/null
	# The first ones to notice take a while; then it is known.
	eventually 60 noticed
	within 5 fails '' cat "$M/.ctl/runners"
	curl -sS --json '{}' "$CONTROL/up" >/dev/null
	eventually 60 ls "$M/.ctl/runners"
	eventually 60 cat "$M/.ctl/runners"
	eventually 60 back
}

noticed() {
	timeout 60 ls "$M/.ctl/sandboxes" >/dev/null 2>&1
	grep -q UNREACHABLE "$M/.ctl/error"
}

back() {
	[ "$(inside 'echo back')" = back ]
}

@test "an exit code that comes late is waited for; one that never comes is none" {
	control settings '{"exitCodeLagMs": 1500}' >/dev/null
	up
	put "$B/config/command" 'exit 7'
	put "$B/ctl" start
	eventually 60 state_is failed
	same 7 "$(jq .exit_code "$B/info")"
	grep -q '^MAIN_FAILED: the main process exited with 7' "$B/error"
	control settings '{"exitCodeLagMs": -1}' >/dev/null
	mkdir "$S/never"
	put "$S/never/config/command" 'exit 0'
	put "$S/never/ctl" start
	eventually 60 grep -qx completed "$S/never/state"
	same null "$(jq .exit_code "$S/never/info")"
}

@test "a creation is repeated where that is safe, and makes one sandbox; other failures are not repeated" {
	up
	fault '{"method": "CreateSandbox", "error": {"code": "unavailable", "reason": "BACKEND_UNAVAILABLE", "at": "end", "retryDelayMs": 100}}'
	same hi "$(inside 'echo hi')"
	same 2 "$(count CreateSandbox)"
	same 1 "$(control sandboxes | jq length)"
	forget_counts
	fault '{"method": "CreateSandbox", "times": 0, "error": {"code": "internal", "message": "no luck"}}'
	mkdir "$S/b"
	put "$S/b/cmd" true
	same 125 "$(cat "$S/b/wait")"
	same 1 "$(count CreateSandbox)"
	same 'failed INTERNAL: cannot create the sandbox: no luck' "$(sed 's/, request .*//' "$S/b/status")"
}

@test "polls that fail in passing go on; reasons, fields and the number of the request are in the sentence" {
	up
	fault '{"method": "GetSandbox", "times": 2, "error": {"code": "unavailable", "reason": "RUNNER_UNAVAILABLE", "retryDelayMs": 100}}'
	fault '{"method": "GetSandbox", "skip": 2, "error": {"code": "deadline_exceeded"}}'
	same hi "$(inside 'echo hi')"
	fault '{"method": "CreateSandbox", "error": {"code": "invalid_argument", "message": "bad", "violations": [{"field": "spec.containers[0].image", "description": "is not there"}]}}'
	mkdir "$S/b"
	put "$S/b/cmd" true
	same 125 "$(cat "$S/b/wait")"
	grep -qE '^INVALID_ARGUMENT: cannot create the sandbox: .*\(spec.containers\[0\].image: is not there\), request [0-9a-f-]+$' "$S/b/error"
	fault '{"method": "CreateSandbox", "error": {"code": "failed_precondition", "reason": "NO_SUITABLE_RUNNER", "message": "none", "padDetails": true}}'
	mkdir "$S/c"
	put "$S/c/cmd" true
	same 125 "$(cat "$S/c/wait")"
	grep -q '^failed CWSANDBOX_NO_SUITABLE_RUNNER' "$S/c/status"
}

@test "answers of tomorrow, and with every default written out, are understood" {
	control settings '{"alwaysEmitImplicit": true}' >/dev/null
	up
	fault '{"method": "GetSandbox", "rewrite": [["STATE_RUNNING", "STATE_PREPARING"], ["\"sandboxId\"", "\"newField\":{\"a\":[1]},\"sandboxId\""]]}'
	same hi "$(inside 'echo hi')"
	put "$B/cmd" 'exit 0'
	same 0 "$(cat "$B/wait")"
}

@test "answers that make no sense are an error and no crash: other types, broken and deep JSON, random bytes" {
	local body
	up
	# shellcheck disable=SC2016 # not for this shell
	for body in '"contentType": "text/html", "body": "<html>"' '"contentType": "application/json", "body": "{\"sandboxId\":"' \
		"\"contentType\": \"application/json\", \"body\": \"$(printf '[%.0s' {1..20000})\"" '"contentType": "application/json", "body": "\u0000\u0001\u00ff{}"' \
		'"contentType": "application/json", "body": "{}"'; do
		# For all that come: what became of the one before is asked for by the same call, in the background.
		fault "{\"method\": \"CreateSandbox\", \"times\": 0, \"http\": {\"status\": 200, $body}}"
		mkdir "$S/bad"
		put "$S/bad/cmd" true
		same 125 "$(cat "$S/bad/wait")"
		grep -q '^failed BAD_ANSWER' "$S/bad/status"
		rmdir "$S/bad"
		no_faults
	done
	same hi "$(inside 'echo hi')"
}

@test "GOAWAY: what runs goes on, and later calls come by another connection" {
	up
	inside true
	background cat "$B/stdout"
	curl -sS --json '{}' "$CONTROL/goaway" >/dev/null
	same hi "$(inside 'echo hi')"
	cat "$M/.ctl/runners" >/dev/null
	mkdir "$S/b"
	put "$S/b/cmd" 'echo there'
	same there "$(cat "$S/b/stdout")"
}
