# shellcheck shell=bash
# The same suite over the remote service: BACKEND=aviato. One gateway (tests/gateway) for each file of tests, started before
# its first and ended after its last; each test has a mount of it, as otherwise of local:.
#
#   $GATEWAY  its addresses, as JSON    $GATEWAY_DIR  where it keeps its sandboxes

HERE=/

setup_file() {
	export GATEWAY GATEWAY_DIR=$BATS_FILE_TMPDIR/gateway SOURCE CWSANDBOX_API_KEY=test-token
	unset CWSANDBOX_BASE_URL AVIATO_BASE_URL AVIATO_API_KEY WANDB_API_KEY
	mkdir "$GATEWAY_DIR"
	chmod 711 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/file" "$BATS_FILE_TMPDIR" "$GATEWAY_DIR" # its sandboxes may be nobody's
	TMPDIR=$GATEWAY_DIR "$ROOT/tests/gateway/gateway" --ready-file "$GATEWAY_DIR/ready" >"$GATEWAY_DIR/log" 2>&1 3>&- 4>&- &
	echo $! >"$GATEWAY_DIR/pid"
	eventually 60 [ -s "$GATEWAY_DIR/ready" ] || {
		cat "$GATEWAY_DIR/log"
		return 1
	}
	GATEWAY=$(cat "$GATEWAY_DIR/ready")
	SOURCE=$(at_gateway url)
}

teardown_file() {
	local pid
	pid=$(cat "$GATEWAY_DIR/pid")
	kill -TERM "$pid"
	eventually 40 gone "$pid"
	[ -z "$(in_sandboxes)" ] || {
		echo "the gateway left processes behind"
		return 1
	}
}

at_gateway() { # url | weather | control ...
	jq -r ".$1" <<<"$GATEWAY"
}

# control METHOD PATH [JSON]: a control request (tests/gateway/README.md); its answer.
control() {
	curl -sS --fail-with-body -X "$1" ${3:+--data "$3"} "$(at_gateway control)$2"
}

# sandboxes_in JQ-CONDITION: ids of sandboxes at the gateway.
sandboxes_in() {
	control GET /sandboxes | jq -r ".[] | select($1) | .id"
}

living='.state | IN("COMPLETED", "FAILED", "TERMINATED") | not'

in_sandboxes() {
	grep -lsF "$GATEWAY_DIR/" /proc/[0-9]*/mountinfo | cut -d/ -f3
}

# --- what helpers.bash has otherwise ---

our_processes() {
	{
		pgrep -f -- "$T/(mnt|state)"
		in_sandboxes
	} | sort -un | grep -vx -e "$$" -e "$BASHPID" || true
}

no_living() {
	[ -z "$(sandboxes_in "$living")" ]
}

fail_if_left_behind() {
	local bad=0
	if ! eventually 20 no_living; then
		bad=1
		echo "sandboxes left behind:"
		control GET /sandboxes | jq -c ".[] | select($living)"
	fi
	left_on_this_machine || bad=1
	return $bad
}

sweep() {
	local id
	control DELETE /faults >/dev/null
	for id in $(sandboxes_in "$living"); do
		control POST "/sandboxes/$id" '{"to": "kill"}' >/dev/null
	done
	sweep_this_machine
}

kill_sandbox() {
	control POST "/sandboxes/$(cat "$B/id")" '{"to": "kill"}' >/dev/null
}

# The agents themselves; what passes bytes on between them and the service is not in a session of its own.
agents() {
	local pid exe
	for pid in $(in_sandboxes); do
		exe=$(readlink "/proc/$pid/exe" 2>/dev/null) || continue
		[[ $exe == *aviatofs-agent* ]] && [ "$(sid_of "$pid")" = "$pid" ] && echo "$pid"
	done
	true
}

sid_of() {
	sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f4
}
