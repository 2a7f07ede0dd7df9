#!/usr/bin/env bats
# bin/: the programs of a sandbox as programs of here.

load helpers

here() {
	timeout 60 "$@"
}

@test "looking at the sandbox asks for nothing in bin/ and starts nothing" {
	ls -l "$B" >/dev/null
	find "$B" -maxdepth 1 >/dev/null
	[ -d "$B/bin" ]
	same unstarted "$(cat "$B/state")"
}

@test "a look-up starts the sandbox and finds what is there, and only that" {
	[ -x "$B/bin/sh" ]
	same running "$(cat "$B/state")"
	[ ! -e "$B/bin/no-such-program" ]
	[ ! -e "$B/bin/..." ]
	[ ! -e "$B/bin/$(printf 'x%.0s' {1..255})" ]
	same "$(wc -c <"$B/bin/sh")" "$(stat -c %s "$B/bin/sh")"
	fails 'Operation not permitted' mkdir "$B/bin/new"
	fails 'Operation not permitted' rm "$B/bin/sh"
	fails 'denied' put "$B/bin/sh" text
}

@test "a program is run by its name, with its arguments and no options of ours" {
	same "$(inside 'uname -n')" "$(here "$B/bin/uname" -n </dev/null)"
	same --twice "$(here "$B/bin/printf" %s --twice </dev/null)"
	same 'a line' "$(echo 'a line' | here "$B/bin/cat")"
	status=0
	here "$B/bin/sh" -c 'exit 7' </dev/null || status=$?
	same 7 "$status"
	ln -s "$B/bin/uname" "$T/other-name"
	same "$(inside 'uname -n')" "$(here "$T/other-name" -n </dev/null)"
}

@test "PATH: what is there comes from the sandbox, what is not from here" {
	cat >"$T/only-here" <<-'SH'
		#!/bin/sh
		echo from here
	SH
	chmod +x "$T/only-here"
	local name
	name=$(inside 'uname -n')
	same "$name"$'\nfrom here' "$(here bash -c 'PATH=$B/bin:$T:$PATH; uname -n; only-here' </dev/null)"
	mkdir "$T/made"
	printf 'all:\n\t@uname -n\n' >"$T/made/Makefile"
	same "$name" "$(cd "$T/made" && here bash -c 'PATH=$B/bin:$PATH; exec /usr/bin/make -s' </dev/null)"
}

@test "a program that is installed later is there at once" {
	local i
	mkdir "$S/two"
	put "$S/two/config/cwd" /workspace
	put "$S/two/config/env" "PATH=/workspace/bin:/usr/bin:/bin"
	here "$S/two/run" mkdir /workspace/bin </dev/null
	for i in {1..20}; do
		[ ! -e "$S/two/bin/tool$i" ]
		here "$S/two/run" sh -c "printf '#!/bin/sh\necho tool\n' >bin/tool$i; chmod +x bin/tool$i" </dev/null
		same tool "$(here "$S/two/bin/tool$i" </dev/null)"
	done
	# What is no program is none.
	here "$S/two/run" sh -c 'echo >bin/text; mkdir bin/directory; ln -s nowhere bin/dangling; mkfifo bin/fifo; chmod +x bin/fifo' </dev/null
	for i in text directory dangling fifo; do
		[ ! -e "$S/two/bin/$i" ]
	done
	same 1 "$(ls "$S/two/bin" | grep -cx tool7)"
	ls "$S/two/bin" | grep -qx sh
	same '' "$(ls "$S/two/bin" | sort | uniq -d)"
	rmdir "$S/two"
}

@test "many look-ups at once, and one of a sandbox that has ended" {
	seq 200 | xargs -P 8 -n 1 -I{} sh -c '[ -x "$B/bin/cat" ] && [ ! -e "$B/bin/none-{}" ] && echo ok' | sort | uniq -c >"$T/out"
	same '200 ok' "$(xargs <"$T/out")"
	put "$B/ctl" 'stop 0'
	eventually 40 state_is terminated
	fails 'shutdown' ls "$B/bin"
	[ ! -e "$B/bin/other" ]
}
