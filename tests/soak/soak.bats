#!/usr/bin/env bats
# Commands in remote sandboxes, and copies into and out of them, for $SOAK_SECONDS on each of the two ways, while the
# way to the service goes wrong at random. With an agent nothing fails and every byte and status is right. Without one a
# command or copy may fail, and says why; what reports success is right all the same. At the end nothing is left.

load ../aviato/helpers

BOXES=3

setup() {
	prepare
	GATEWAY_BY=weather gateway_up
	SEED=${SOAK_SEED:-$RANDOM}
	echo "SOAK_SEED=$SEED"
}

wrong() { # WORKER TEXT...
	echo "${*:2}" >>"$T/wrong-$1"
}

count_one() { # WORKER WHAT
	echo "$2" >>"$T/counts-$1"
}

# --- Commands ---

# The output so far is right: all of it when the command ended, else as far as it goes.
output_is() { # FILE WHOLE|PART WANTED-FILE
	timeout 100 cat "$1" >"$3.got" 2>/dev/null || [ "$2" = part ] || return
	if [ "$2" = whole ]; then
		cmp "$3.got" "$3"
	else
		cmp -n "$(stat -c %s "$3.got")" "$3.got" "$3"
	fi || {
		diff "$3" "$3.got" | head -n 20
		return 1
	}
}

# Judges a command of which $T/w-N.out and .err are the output that is wanted.
judge() { # N DIRECTORY CODE
	local code extent=whole out=$T/w-$1.out err=$T/w-$1.err
	code=$(timeout 100 cat "$2/wait") || code=hangs
	if [ "$code" = "$3" ]; then
		count_one "$1" commands
	elif [ "$MODE" = api ] && [ "$code" = 125 ] && grep -qE '^(failed|lost) [^ ]+: .' "$2/status"; then
		extent=part
		count_one "$1" failed
	else
		wrong "$1" "$2: $code, not $3: $(cat "$2/status" "$2/../../error")"
	fi
	output_is "$2/stdout" $extent "$out" && output_is "$2/stderr" $extent "$err" ||
		wrong "$1" "$2: output: $(cat "$2/status" "$2/../../error")"
}

# A worker's commands, one after another; what is wrong is told in $T/wrong-N.
commands() { # N SANDBOX
	local box=$2 rounds=0 size code at
	RANDOM=$((SEED + $1))
	while [ ! -e "$T/over" ]; do
		rounds=$((rounds + 1)) size=$((RANDOM % 20000)) code=$((RANDOM % 100))
		at=$box/proc/w$1-$rounds
		mkdir "$at"
		: >"$T/w-$1.err"
		seq $size >"$T/w-$1.out"
		case $((RANDOM % 3)) in
		0)
			seq 100 >"$T/w-$1.err"
			put "$at/cmd" "seq $size; seq 100 >&2; exit $code"
			;;
		1)
			put "$at/cmd" "{\"command\": \"cat; exit $code\", \"stdin\": true}"
			timeout 100 seq $size 2>/dev/null >"$at/stdin" || [ "$MODE" = api ] || wrong "$1" "$at: input"
			;;
		2)
			seq 20 >"$T/w-$1.out"
			put "$at/cmd" "for i in \$(seq 20); do echo \$i; sleep 0.05; done; exit $code"
			;;
		esac
		judge "$1" "$at" $code
		rmdir "$at"
	done
	touch "$T/done-$1"
}

# --- Copies ---

# What a command in the sandbox says; without an agent it is given again as often as it is cut off.
said_inside() { # N SANDBOX TEXT
	local at try code
	for try in {1..50}; do
		at=$2/proc/c$1-$try
		mkdir "$at"
		put "$at/cmd" "$3"
		timeout 100 cat "$at/stdout" 2>/dev/null >"$T/said-$1"
		code=$(timeout 100 cat "$at/wait")
		rmdir "$at"
		[ "$code" != 0 ] || break
		[ "$MODE" = api ] || break
	done
	[ "$code" = 0 ] && cat "$T/said-$1"
}

# A copy that fails has to say why, in the words of an errno that aviato.md has for streams that break.
copy() { # N FROM TO
	local bs=$((1 + RANDOM * 8))
	if ((RANDOM % 2)); then
		timeout 200 cp "$2" "$3" 2>"$T/copy-$1"
	else
		timeout 200 dd if="$2" of="$3" bs=$bs status=none 2>"$T/copy-$1"
	fi && return
	count_one "$1" uncopied
	[ "$MODE" = api ] && grep -qE 'Input/output error|timed out|refused|reset by peer|No route' "$T/copy-$1" ||
		wrong "$1" "$2 to $3: $(cat "$T/copy-$1")"
	return 1
}

sum_of() {
	sha256sum <"$1" | cut -d' ' -f1
}

# Files of this worker, one after another, made outside or inside.
copies() { # N SANDBOX
	local file=/tmp/file-$1 mine=$T/mine-$1 back=$T/back-$1 size sum rounds=0
	RANDOM=$((SEED + $1))
	while [ ! -e "$T/over" ]; do
		rounds=$((rounds + 1)) size=$((RANDOM % 3 * (RANDOM * 100 + RANDOM) % 3000000))
		if ((rounds % 3)); then
			head -c $size /dev/urandom >"$mine"
			copy "$1" "$mine" "$2/fs$file" || continue
			sum=$(said_inside "$1" "$2" "sha256sum <$file | cut -d' ' -f1") || wrong "$1" "no sum of $file"
			[ "$sum" = "$(sum_of "$mine")" ] || wrong "$1" "$file of $size bytes is not what was copied there: $sum"
		else
			sum=$(said_inside "$1" "$2" "head -c $size /dev/urandom >$file; sha256sum <$file | cut -d' ' -f1") ||
				wrong "$1" "no sum of $file"
		fi
		copy "$1" "$2/fs$file" "$back" || continue
		[ "$sum" = "$(sum_of "$back")" ] || wrong "$1" "$file of $size bytes is not what was copied from there: $sum"
		count_one "$1" copied
	done
	touch "$T/done-$1"
}

# --- What goes wrong ---

disturb() {
	local how
	case $((RANDOM % 8)) in
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
	7) fault '{"method": "StreamExec", "error": {"code": "unavailable", "message": "not now"}}' ;;
	esac >/dev/null
}

all_done() { # WORKERS
	[ "$(ls "$T" | grep -c ^done-)" = "$1" ]
}

# soak SECONDS-BETWEEN-FAULTS
soak() {
	local n until faults=0 workers=$((3 * BOXES))
	mkdir "$S"
	for n in $(seq $BOXES); do
		mkdir "$S/b$n"
		put "$S/b$n/ctl" start
	done
	for n in $(seq $BOXES); do
		background commands "$n" "$S/b$n"
		background commands $((BOXES + n)) "$S/b$n"
		background copies $((2 * BOXES + n)) "$S/b$n"
	done
	RANDOM=$SEED until=$((SECONDS + ${SOAK_SECONDS:-40}))
	while ((SECONDS < until)); do
		disturb
		faults=$((faults + 1))
		sleep "$((RANDOM % ($1 + 1))).$((RANDOM % 10))"
	done
	touch "$T/over"
	no_faults
	control weather '{"latencyMs": 0, "cutUpAfter": -1, "cutDownAfter": -1, "stall": false}' >/dev/null
	eventually 200 all_done $workers
	echo "# $MODE: $(sort "$T"/counts-* | uniq -c | xargs), $faults faults" >&3
	if ls "$T" | grep -q ^wrong-; then
		grep . "$T"/wrong-*
		return 1
	fi
	grep -qx copied "$T"/counts-*
	grep -qx commands "$T"/counts-*
}

# All is as if nothing had been, and then all goes.
recovered() {
	local n
	for n in $(seq $BOXES); do
		same "still here $n" "$(B=$S/b$n inside "echo still here $n")"
		head -c 100000 /dev/urandom >"$T/last"
		cp "$T/last" "$S/b$n/fs/tmp/last"
		same "$(sum_of "$T/last")" "$(B=$S/b$n inside 'sha256sum </tmp/last' | cut -d' ' -f1)"
		same '' "$(ls "$S/b$n/proc" | grep -v '^[0-9]*$')"
	done
	same $BOXES "$(control sandboxes | jq length)"
	rmdir "$S"/b* "$S"
	eventually 30 eval 'same 0 "$(control sandboxes | jq "[.[] | select(.state != \"TERMINATED\")] | length")"'
}

@test "soak: byte-exact under random faults, and nothing left" {
	MODE=agent
	mount_up -o timeout=60
	soak 0
	recovered
}

@test "soak without an agent: what fails says so, what does not is byte-exact, and nothing left" {
	MODE=api
	mount_up -o timeout=60,agent=no
	soak 2
	recovered
}
