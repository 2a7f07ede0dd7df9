# shellcheck shell=bash
# Tests of what only the remote backend has: as tests/mount/helpers.bash, over a gateway of each test's own
# (tests/gateway). $GATEWAY is its address, for the mount.

. "${BASH_SOURCE[0]%/*}/../mount/helpers.bash"

setup() {
	prepare
	gateway_up
	mount_up
	mkdir "$S" "$B"
}

teardown() {
	tidy_up
}

tidy_up() {
	local bad=0
	kill_background
	wait_for_background 2>/dev/null
	mount_down || bad=1
	gateway_down || bad=1
	sweep
	return $bad
}

gateway_up() {
	# Its own files go with it.
	GATEWAY_SETTINGS=${GATEWAY_SETTINGS:-{\}} "$ROOT/tests/gateway/gateway" --ready-file "$T/ready" >"$T/gateway.log" 2>&1 3>&- 4>&- &
	GATEWAY_PID=$!
	eventually 30 gateway_settled && [ -s "$T/ready" ] || {
		cat "$T/gateway.log"
		return 1
	}
	GATEWAY=${GATEWAY_BY:-url} GATEWAY=$(jq -r ".$GATEWAY" "$T/ready")
	CONTROL=$(jq -r .control "$T/ready")
	export CWSANDBOX_API_KEY=test-token
	unset CWSANDBOX_BASE_URL AVIATO_BASE_URL AVIATO_API_KEY WANDB_API_KEY
}

# It is ready, or will never be.
gateway_settled() {
	[ -s "$T/ready" ] || ! kill -0 "$GATEWAY_PID" 2>/dev/null
}

gateway_down() {
	[ -n "${GATEWAY_PID:-}" ] || return 0
	kill -TERM "$GATEWAY_PID" 2>/dev/null
	wait "$GATEWAY_PID" 2>/dev/null
	GATEWAY_PID=
	return 0
}

# mount_at DIRECTORY [OPTION...]
mount_at() {
	local directory=$1
	shift
	timeout 60 "$AVIATOFS" "$GATEWAY" "$directory" -o "timeout=20${MOUNT_OPTIONS:+,$MOUNT_OPTIONS}" "$@" 3>&- 4>&-
}

mount_up() {
	mount_at "$M" "$@"
}

daemon_pid() {
	pgrep -o -f -- "^$AVIATOFS [^ ]* $M( |\$)"
}

# What commands say when they are told to end, in each of the ways to do that.
last_words_are_read() {
	local end
	for end in "echo 'stop 5' > $S/x/ctl; cat $S/x/wait" "rmdir $S/x" "echo close > $S/.ctl/ctl"; do
		[ ! -d "$S/x" ] || rmdir "$S/x"
		mkdir "$S/x"
		put "$S/x/cmd" 'trap "echo bye; echo err >&2; exit 5" TERM; echo ready; while :; do sleep 0.02; done'
		same ready "$(timeout 30 head -n 1 "$S/x/stdout")"
		rm -f "$T/said" # or the wait below may see that of the round before
		timeout 60 cat "$S/x/stdout" >"$T/said" &
		eventually 20 grep -q ready "$T/said" # it has opened the file
		timeout 60 sh -c "$end" >/dev/null
		wait $!
		same $'ready\nbye' "$(cat "$T/said")"
	done
	grep -qx err "$S/x/stderr"
	reads "$S/x/wait" '5\n'
}

# --- the gateway's side ---

# control PATH [JSON]: GET, or POST of that.
control() {
	curl -sS --fail-with-body "$CONTROL/$1" ${2:+--json "$2"}
}

# How often a method was called since the start, or forget_counts.
count() {
	control counts | jq ".$1 // 0"
}

counted() { # METHOD N
	[ "$(count "$1")" = "$2" ]
}

forget_counts() {
	curl -sS -X DELETE "$CONTROL/counts" >/dev/null
}

fault() {
	control faults "$1" >/dev/null
}
no_faults() {
	curl -sS -X DELETE "$CONTROL/faults" >/dev/null
}
