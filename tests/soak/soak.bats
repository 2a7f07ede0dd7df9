#!/usr/bin/env bats
# Commands in remote sandboxes for $SOAK_SECONDS while the way to the service goes wrong at random: every byte of
# output and input is right, every status is, no sandbox is made twice, and at the end nothing is left.

load ../aviato/helpers

setup() {
	prepare
	GATEWAY_BY=weather gateway_up
	mount_up -o timeout=60
	SEED=${SOAK_SEED:-$RANDOM}
	echo "SOAK_SEED=$SEED"
}

# A worker's commands, one after another; what is wrong is told in $T/wrong-N.
work() { # N SANDBOX
	local box=$2 rounds=0 size code
	RANDOM=$((SEED + $1))
	while [ ! -e "$T/over" ]; do
		rounds=$((rounds + 1)) size=$((RANDOM % 20000)) code=$((RANDOM % 100))
		mkdir "$box/proc/w$1-$rounds"
		local at=$box/proc/w$1-$rounds
		case $((RANDOM % 3)) in
		0)
			put "$at/cmd" "seq $size; seq 100 >&2; exit $code"
			cmp <(timeout 100 cat "$at/stdout") <(seq $size) && cmp <(timeout 100 cat "$at/stderr") <(seq 100)
			;;
		1)
			put "$at/cmd" "{\"command\": \"cat; exit $code\", \"stdin\": true}"
			seq $size >"$at/stdin"
			cmp <(timeout 100 cat "$at/stdout") <(seq $size)
			;;
		2)
			put "$at/cmd" "for i in \$(seq 20); do echo \$i; sleep 0.05; done; exit $code"
			cmp <(timeout 100 cat "$at/stdout") <(seq 20)
			;;
		esac || echo "round $rounds: output: $(cat "$at/status" "$box/error")" >>"$T/wrong-$1"
		[ "$(timeout 100 cat "$at/wait")" = "$code" ] || echo "round $rounds: status: $(cat "$at/status" "$box/error")" >>"$T/wrong-$1"
		rmdir "$at"
	done
	echo "$rounds" >"$T/rounds-$1"
}

disturb() {
	local how
	case $((RANDOM % 7)) in
	0) control cut '{}' ;;
	1) control goaway '{}' ;;
	2)
		control down '{}'
		sleep 0.$((RANDOM % 10))
		control up '{}'
		;;
	3) control weather "{\"latencyMs\": $((RANDOM % 60))}" ;;
	4)
		how=(reset connection end)
		fault "{\"method\": \"StreamExec\", \"cut\": {\"sent\": $((RANDOM * 2)), \"how\": \"${how[RANDOM % 3]}\"}}"
		control cut '{}' # so that it is for the next stream
		;;
	5) fault '{"method": "GetSandbox", "error": {"code": "unavailable", "message": "later"}, "times": 2}' ;;
	6) control weather "{\"cutDownAfter\": $((RANDOM * 2))}" ;;
	esac >/dev/null
}

@test "soak: byte-exact under random faults, and nothing left" {
	local n until boxes=3
	local -a workers
	mkdir "$S"
	for n in $(seq $boxes); do
		mkdir "$S/b$n"
		put "$S/b$n/ctl" start
	done
	for n in $(seq $((2 * boxes))); do
		background work "$n" "$S/b$((n % boxes + 1))"
	done
	RANDOM=$SEED until=$((SECONDS + ${SOAK_SECONDS:-40}))
	while ((SECONDS < until)); do
		disturb
		sleep "0.$((RANDOM % 10))"
	done
	touch "$T/over"
	no_faults
	control weather '{"latencyMs": 0, "cutUpAfter": -1, "cutDownAfter": -1, "stall": false}' >/dev/null
	eventually 200 eval '[ "$(ls "$T" | grep -c ^rounds-)" = '$((2 * boxes))' ]'
	if ls "$T" | grep -q ^wrong-; then
		grep . "$T"/wrong-*
		return 1
	fi
	echo "rounds: $(cat "$T"/rounds-* | paste -sd+ | bc 2>/dev/null || cat "$T"/rounds-*)"
	same $boxes "$(control sandboxes | jq length)"
	rmdir "$S"/b* "$S"
	eventually 30 eval 'same 0 "$(control sandboxes | jq "[.[] | select(.state != \"TERMINATED\")] | length")"'
}
