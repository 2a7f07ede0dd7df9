#!/usr/bin/env bats
# `run` and `aviatofs run`: commands in a sandbox as if they ran here, from whatever runs programs.

load helpers

# here COMMAND...: with an end to its patience, and nothing on its input unless it is redirected.
here() {
	timeout 60 "$@"
}

status_of() {
	local status=0
	here "$@" >/dev/null 2>&1 </dev/null || status=$?
	echo "$status"
}

nothing_left() {
	[ -z "$(ls "$B/proc")" ]
}

@test "run is a program of a true size, and looking at it starts nothing" {
	[ -x "$B/run" ]
	same "$(wc -c <"$B/run")" "$(stat -c %s "$B/run")"
	same '#!' "$(head -c 2 "$B/run")"
	same unstarted "$(cat "$B/state")"
}

@test "both streams apart, and the exit status" {
	status=0
	here "$B/run" sh -c 'echo out; echo err >&2; exit 7' >"$T/out" 2>"$T/err" </dev/null || status=$?
	same 7 "$status"
	same out "$(cat "$T/out")"
	same err "$(cat "$T/err")"
	same 0 "$(status_of "$B/run" true)"
	same 255 "$(status_of "$B/run" sh -c 'exit 255')"
	same 126 "$(status_of "$B/run" /etc)"
	same 127 "$(status_of "$B/run" no-such-program)"
	same 137 "$(status_of "$B/run" sh -c 'kill -KILL $$')"
	same 125 "$(status_of "$B/run" sh -c 'exit 125')"
	nothing_left
}

@test "arguments arrive as they are" {
	local words=('' 'a b' "it's" '"quoted"' '\' '*' $'new\nline' $'tab\t' 'ä')
	[[ ${MOUNT_OPTIONS:-} == *agent=no* ]] || words+=($'\xff')
	here "$B/run" printf '%s|' "${words[@]}" -- -x >"$T/got" </dev/null
	printf '%s|' "${words[@]}" -- -x | cmp - "$T/got"
	same --twice "$(here "$B/run" -- printf %s --twice </dev/null)"
}

@test "input is carried over, with its end, and many bytes both ways" {
	same 'a line' "$(echo 'a line' | here "$B/run" cat)"
	same 0 "$(here "$B/run" wc -c </dev/null)"
	head -c 3000000 /dev/urandom >"$T/bytes"
	here "$B/run" cat <"$T/bytes" | cmp - "$T/bytes"
	cat "$T/bytes" | here "$B/run" sh -c 'cat | tee /dev/stderr' 2>"$T/err" | cmp - "$T/bytes"
	cmp "$T/err" "$T/bytes"
	# A command that does not read it does not wait for it.
	same done "$(here "$B/run" echo done < <(sleep 30 3>&- 4>&- & echo $! >"$T/sleeper"; wait))"
	kill "$(cat "$T/sleeper")" || true
	here "$B/run" true <"$T/bytes"
	nothing_left
}

@test "who stops reading stops the command" {
	run eval 'here "$B/run" yes | head -n 1; echo "${PIPESTATUS[0]}"'
	same $'y\n141' "$output"
	# PIPE is not what this one listens to.
	run eval 'here "$B/run" sh -c "trap \"\" PIPE; while :; do seq 100000 2>/dev/null; done" | head -n 1; echo "${PIPESTATUS[0]}"'
	[[ $output == $'1\n143' || $output == $'1\n137' ]]
	# What has ended by itself is told nothing, and that is no failure of anybody.
	ended() {
		grep -qsx 'exited 0' "$B"/proc/run-*/status
	}
	run eval 'here "$B/run" seq 100000 | { eventually 40 ended; head -n 1; } ; echo "${PIPESTATUS[0]}"'
	same $'1\n0' "$output"
	same '' "$(cat "$B/error")"
	nothing_left
}

@test "signals are passed on, and end both" {
	local name number pid
	for name in INT:130 TERM:143 HUP:129 QUIT:131 USR1:138; do
		number=${name#*:} name=${name%:*}
		# A background job of a script ignores INT and QUIT; this one must not.
		"$PYTHON" - "$B/run" sh -c 'echo ready; exec sleep 1000' >"$T/out" 3>&- 4>&- <<-'PYTHON' &
			import os, signal, sys
			for number in signal.SIGINT, signal.SIGQUIT: signal.signal(number, signal.SIG_DFL)
			os.execv(sys.argv[1], sys.argv[1:])
		PYTHON
		pid=$!
		BACKGROUND+=($pid)
		eventually 40 grep -qs ready "$T/out"
		kill "-$name" $pid
		status=0
		wait $pid || status=$?
		same "$number" "$status"
		: >"$T/out"
	done
	eventually 40 nothing_left
}

@test "a command that catches the signal has its own end" {
	"$B/run" sh -c 'trap "echo caught; exit 3" TERM; echo ready; while :; do sleep 0.02; done' >"$T/out" </dev/null 3>&- 4>&- &
	BACKGROUND+=($!)
	eventually 40 grep -qs ready "$T/out"
	kill -TERM "${BACKGROUND[0]}"
	status=0
	wait "${BACKGROUND[0]}" || status=$?
	same 3 "$status"
	same $'ready\ncaught' "$(cat "$T/out")"
}

@test "TSTP stops it and CONT lets it go on" {
	stopped() {
		grep -q '^State:	T' "/proc/$1/status"
	}
	"$B/run" sh -c 'echo $$; exec sleep 1000' >"$T/out" </dev/null 3>&- 4>&- &
	BACKGROUND+=($!)
	eventually 40 [ -s "$T/out" ]
	in_state() {
		same "$1" "$(here "$AVIATOFS" run "$B" sed -n 's/^State:	\(.\).*/\1/p' "/proc/$(cat "$T/out")/status" </dev/null)" >/dev/null
	}
	kill -TSTP $!
	eventually 40 stopped $!
	eventually 40 in_state T
	kill -CONT $!
	eventually 40 in_state S
	kill -TERM $!
	status=0
	wait $! || status=$?
	same 143 "$status"
}

@test "many at once, each its own" {
	seq 60 | here xargs -P 12 -I{} "$B/run" sh -c 'echo {}; exit 0' | sort -n | cmp - <(seq 60)
	nothing_left
}

@test "from make, xargs, find -exec, git bisect and a shebang line" {
	mkdir "$T/work"
	cd "$T/work"
	printf 'SHELL = %s\n.SHELLFLAGS = sh -c\nall: a b\na b:\n\t@echo $@ in `pwd`\n' "$B/run" >Makefile
	same "a in $HERE"$'\n'"b in $HERE" "$(here make -s -j2 </dev/null | sort)"
	same 123 "$(echo 1 | status_of xargs "$B/run" false)"
	touch x y
	same 'x y' "$(here find . -name '[xy]' -exec "$B/run" basename {} \; </dev/null | sort | xargs)"
	git init -q -b main . && git config user.email a@b && git config user.name c
	for i in 1 2 3 4 5 6; do
		echo $i >n
		git add n && git commit -q -m $i
	done
	git bisect start HEAD HEAD~5 >/dev/null
	here git bisect run sh -c '"$B/run" test "$(cat n)" -lt 4' >"$T/bisect" </dev/null
	grep -q 'is the first bad commit' "$T/bisect"
	same 4 "$(git show -s --format=%s refs/bisect/bad)"
	cd /
}

@test "a first line that names run makes a script one of the sandbox" {
	printf '#!%s sh\necho "$# arguments, $(cat), $(pwd)"\n' "$B/run" >"$T/script"
	chmod +x "$T/script"
	cp "$T/script" "$B/fs/workspace/script"
	same '2 arguments, input, /workspace' "$(echo input | (cd "$B/fs/workspace" && here ./script a b))"
}

@test "it runs where the caller is, if that is below fs/" {
	mkdir -p "$B/fs/workspace/deep/er"
	(cd "$B/fs/workspace/deep/er" && same /workspace/deep/er "$(here "$B/run" pwd </dev/null)")
	(cd "$B/fs" && same / "$(here ../run pwd </dev/null)")
	(cd "$T" && same "$HERE" "$(here "$B/run" pwd </dev/null)")
	(cd "$B/fs/workspace/deep" && same /tmp "$(here "$AVIATOFS" run "$B" --cwd /tmp pwd </dev/null)")
	ln -s "$B/run" "$T/link"
	same linked "$(here "$T/link" echo linked </dev/null)"
}

@test "aviatofs run has options for one command" {
	same 'a=1 b= c=here ' "$(c=here here "$AVIATOFS" run "$B" --env a=0 --env b= --env c --env a=1 --env unset -- \
		sh -c 'for n in a b c unset; do eval "[ -z \"\${$n+x}\" ] || printf %s \"$n=\$$n \""; done' </dev/null)"
	same /usr "$(here "$AVIATOFS" run "$B" --cwd /usr pwd </dev/null)"
	same 124 "$(status_of "$AVIATOFS" run "$B" --timeout 0.2 sleep 1000)"
	same 125 "$(status_of "$AVIATOFS" run "$B" --cwd /no/such pwd)"
	same 125 "$(status_of "$AVIATOFS" run "$B" --cwd relative pwd)"
	same 125 "$(status_of "$AVIATOFS" run "$B" --timeout x true)"
	same 125 "$(status_of "$AVIATOFS" run "$B" --nonsense true)"
	same 125 "$(status_of "$AVIATOFS" run "$B")"
	same 125 "$(status_of "$AVIATOFS" run)"
	same 'with options' "$(here "$B/run" --env a='with options' sh -c 'echo "$a"' </dev/null)"
}

@test "what is no sandbox, or one that has ended, is a failure of our own with a sentence" {
	fails 'no sandbox' here "$AVIATOFS" run "$T" true
	fails 'no sandbox' here "$AVIATOFS" run "$S" true
	fails 'No such file' here "$AVIATOFS" run "$S/nobody" true
	put "$B/ctl" stop
	eventually 40 state_is terminated
	fails '(' here "$B/run" true
	same 125 "$(status_of "$B/run" true)"
	nothing_left
}

@test "a sandbox that ends takes the command along" {
	"$B/run" sh -c 'echo ready; exec sleep 1000' >"$T/out" 2>"$T/err" </dev/null 3>&- 4>&- &
	BACKGROUND+=($!)
	eventually 40 grep -qs ready "$T/out"
	put "$B/ctl" 'stop 0'
	status=0
	wait "${BACKGROUND[0]}" || status=$?
	same 125 "$status"
	grep -q canceled "$T/err"
}

@test "the latest command is that of cmd, whatever run does beside it" {
	put "$B/cmd" 'echo by cmd'
	here "$B/run" echo by run >/dev/null </dev/null
	reads "$B/stdout" 'by cmd\n'
}

@test "what a killed client leaves is tidied up like any numbered command" {
	local i
	for i in 1 2 3; do
		"$B/run" sh -c 'echo ready; exec sleep 1000' >"$T/out$i" </dev/null 3>&- 4>&- &
		BACKGROUND+=($!)
		eventually 40 grep -qs ready "$T/out$i"
		kill -KILL $!
	done
	wait_for_background
	same 3 "$(ls "$B/proc" | grep -c ^run-)"
	for i in "$B"/proc/run-*; do
		put "$i/ctl" 'signal TERM'
		finish "$i"
	done
	seq 70 | while read -r _; do put "$B/cmd" '["true"]'; done
	finish
	eventually 40 eval '! ls "$B/proc" | grep -q ^run-'
}

@test "output that cannot be written is no success, whether or not the command had ended by then" {
	[ -c /dev/full ] || skip "no /dev/full here"
	local status=0
	here "$B/run" echo gone >/dev/full 2>"$T/err" </dev/null || status=$?
	[ "$status" = 125 ] || same 141 "$status" # told as of a pipe that nobody reads
	grep -q 'No space left' "$T/err"
	status=0
	here "$B/run" sh -c 'trap "" PIPE; echo gone; exit 7' >/dev/full 2>/dev/null </dev/null || status=$?
	same 7 "$status"
}

@test "a word that is wrong is named" {
	local status=0
	here "$AVIATOFS" run "$B" --cwd here true 2>"$T/err" || status=$?
	same 125 "$status"
	grep -q -- '--cwd here: an absolute path' "$T/err"
	here "$AVIATOFS" run "$B" --timeout soon true 2>"$T/err" || true
	grep -q -- '--timeout soon: seconds' "$T/err"
	here "$AVIATOFS" run "$B" --env =x true 2>"$T/err" || true
	grep -q -- '--env =x: NAME' "$T/err"
}

@test "a shell without a terminal reads its commands: from a pipe, from nothing" {
	local status=0
	same 'no terminal' "$(echo '[ -t 0 ] || echo no terminal' | here "$AVIATOFS" shell "$B")"
	here "$AVIATOFS" shell "$B" <<<'exit 3' || status=$?
	same 3 "$status"
	here "$AVIATOFS" shell "$B" </dev/null
	nothing_left
}

@test "run: input that cannot be read is no end of it" {
	local status=0
	"$B/run" wc -c <"$T" >"$T/out" 2>"$T/err" || status=$?
	same 125 "$status"
	grep -q 'input: Is a directory' "$T/err"
}

@test "run in a sandbox that breaks: 125, and one line says so" {
	local_only 'it kills a process of this machine'
	inside : >/dev/null
	background bash -c '"$B/run" sleep 1000 </dev/null 2>"$T/err"; echo $? >"$T/status"'
	eventually 20 eval 'grep -qsx running "$B"/proc/run-*/status'
	kill_sandbox
	eventually 20 test -s "$T/status"
	same 125 "$(cat "$T/status")"
	same 1 "$(wc -l <"$T/err")"
	grep -q ': lost' "$T/err"
}
