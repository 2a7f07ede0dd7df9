#!/usr/bin/env bats
# Remote functions: .ctl/functions/NAME of a session, called through one descriptor.

load helpers

setup() {
	prepare
	mount_up
	mkdir "$S"
	FUNCTIONS=$S/.ctl/functions
}

# function_is NAME SOURCE: makes it, or gives it that source.
function_is() {
	F=$FUNCTIONS/$1
	[ -d "$F" ] || mkdir "$F"
	printf '%s\n' "$2" >"$F/source"
}

# ask JSON [FILE]: what it is answered, on a descriptor of its own.
ask() {
	local answer
	exec 5<>"$F/${2:-call}"
	printf '%s\n' "$1" >&5
	answer=$(timeout 60 cat <&5)
	exec 5>&-
	printf '%s\n' "$answer"
}

# answers WANTED JSON
answers() {
	same "$1" "$(ask "$2")"
}

# refuses TYPE MESSAGE JSON: the answer is an error of that type, and MESSAGE (a pattern) is in it.
refuses() {
	local answer
	answer=$(ask "$3")
	"$PYTHON" - "$answer" "$1" "$2" <<-'PYTHON' || { echo "$answer" && return 1; }
		import json, re, sys
		error = json.loads(sys.argv[1])["error"]
		assert error["type"] == sys.argv[2], error
		assert re.search(sys.argv[3], error["message"]), error
	PYTHON
}

nothing_runs() {
	[ -z "$(ls "$M/.ctl/sandboxes")" ]
}

@test "square: a call is JSON in and JSON out, any number of times on one descriptor" {
	function_is square 'def square(x, plus=0):
    return x * x + plus'
	same 'call config map source' "$(echo $(ls "$F"))"
	exec 5<>"$F/call"
	echo '{"args": [7]}' >&5
	same 49 "$(timeout 60 cat <&5)"
	echo '{"args": [2], "kwargs": {"plus": 1}}' >&5
	same 5 "$(timeout 60 cat <&5)"
	echo '{"kwargs": {"x": 3}}' >&5
	echo '[4]' >&5
	same '9 16' "$(echo $(timeout 60 cat <&5))"
	# No digit is lost, and a text may come in pieces.
	printf '[11111111111111111111' >&5
	printf '1111111111, 5]' >&5
	same "$("$PYTHON" -c 'print((10**30 // 9)**2 + 5)')" "$(timeout 60 cat <&5)"
	exec 5>&-
	eventually 20 nothing_runs
	same "$S" "$(echo "$S"*)"
	same '' "$(ls "$S")"
	grep -qx 'executions 5' "$S/.ctl/stats"
	rmdir "$F"
	same '' "$(ls "$FUNCTIONS")"
	rmdir "$S"
}

@test "a source may hold more than the function, and what it prints is no answer" {
	function_is my-sum 'import os
from functools import wraps

LIMIT = 10

def session(): pass
def doubled(f):
    @wraps(f)
    def inner(*args):
        print("into the diagnostics")
        os.system("echo so does a program")
        return 2 * f(*args)
    return inner

def make_adder(n):
    def add(x):
        return x + n
    return add

add_limit = make_adder(LIMIT)

@session.function(cpu=1)
@doubled
def my_sum(*numbers):
    """Uses a global, a closure and a module."""
    return add_limit(sum(numbers))

if __name__ == "__main__":
    raise SystemExit("not a program")'
	answers 32 '[1, 2, 3]'
	function_is echo 'def echo(*args, **named):
    return {"args": args, "named": named, "set": sorted({3, 1})}'
	answers '{"args": ["é\"\\ ☃ 𝄞", null, true, 1.5, [], {}], "named": {"ключ": "x"}, "set": [1, 3]}' \
		'{"args": ["é\"\\ ☃ \ud834\udd1e", null, true, 1.5, [], {}], "kwargs": {"ключ": "\u0078"}}'
	answers '{"args": ["\ud800"], "named": {}, "set": [1, 3]}' '["\ud800"]'
}

@test "exceptions come with type, message and traceback; what is no JSON is one" {
	function_is f 'import os, signal, sys
class OurError(Exception): pass
def f(what):
    if what == "ours": raise OurError("with ☃ in it")
    if what == "exit": sys.exit("bye")
    if what == "code": print("last words", file=sys.stderr, flush=True); os._exit(3)
    if what == "kill": os.kill(os.getpid(), signal.SIGKILL)
    return {"set": {1}, "nan": float("nan"), "object": object(), "bytes": b"x"}[what]'
	refuses OurError '^with ☃ in it$' '["ours"]'
	ask '["ours"]' | grep -q 'File \\"f.py\\", line 4, in f\\n    if what == '
	refuses SystemExit '^bye$' '["exit"]'
	refuses EXITED '^it exited with 3$' '["code"]'
	ask '["code"]' | grep -qF '"exit_code": 3, "stderr": "last words\n"'
	if [[ ${MOUNT_OPTIONS:-} == *agent=no* ]]; then # the service tells an end by a signal as an exit code
		refuses EXITED '^it exited with 137$' '["kill"]'
	else
		refuses SIGNALED 'signal 9 KILL' '["kill"]'
	fi
	refuses KeyError nothing '["nothing"]'
	for what in set object bytes; do
		refuses TypeError '^return value is not JSON-serializable: ' "[\"$what\"]"
	done
	refuses ValueError '^return value is not JSON-serializable: ' '["nan"]'
	refuses TypeError 'missing 1 required positional argument' '[]'
	refuses TypeError 'a call is an array' '{"arg": [1]}'
	refuses TypeError 'a call is an array' '3'
	function_is f 'def g(): pass'
	refuses NameError 'defines no function f$' '[]'
	function_is f 'def f(:'
	refuses SyntaxError 'f.py, line 1' '[]'
	function_is f 'async def f(): pass'
	refuses TypeError 'is asynchronous' '[]'
}

@test "a script reads the JSON and prints an answer, which is passed on as it is" {
	function_is f '#!/bin/sh
read -r call
case $call in
*pretty*) printf "{\n  \"a\": 1e400,\r\n\t\"b\": 0.10\n}\n" ;;
*text*) echo this is not JSON ;;
*two*) echo 1; echo 2 ;;
*silent*) ;;
*fails*) head -c 9000 /dev/zero | tr "\0" x >&2; echo "the end" >&2; exit 7 ;;
*own*) echo "{\"error\": {\"type\": \"Mine\", \"message\": \"as I say\"}}"; exit 1 ;;
*huge*) head -c 9000000 /dev/zero ;;
*env*) echo "\"$COLOR $(pwd)\"" ;;
*) printf "%s" "$call" ;;
esac'
	answers '{   "a": 1e400,  	"b": 0.10 }' '"pretty"'
	answers '{"verbatim": 1.00000000000000000000000000000000000000000001E-999999}' \
		' {"verbatim": 1.00000000000000000000000000000000000000000001E-999999} '
	refuses INVALID_ANSWER 'not one JSON value: see byte 1$' '"text"'
	refuses INVALID_ANSWER 'not one JSON value' '"two"'
	refuses INVALID_ANSWER 'printed nothing' '"silent"'
	refuses EXITED 'exited with 7' '"fails"'
	ask '"fails"' | grep -q 'x\{4000\}the end\\n"}}$'
	refuses Mine '^as I say$' '"own"'
	refuses TOO_LARGE 'over 8 MiB' '"huge"'
	put "$F/config/env" COLOR=blue
	put "$S/.ctl/defaults/cwd" /tmp
	answers '"blue /tmp"' '"env"'
	echo SIZE=3 >>"$F/config/env"
	same 'COLOR=blue SIZE=3' "$(echo $(cat "$F/config/env"))"
	# The largest there is, both ways.
	"$PYTHON" -c 'import sys; sys.stdout.write("\"" + "ab" * 4194303 + "\"")' >"$T/large"
	same 8388608 "$(stat -c %s "$T/large")"
	function_is f '#!/bin/sh
exec cat'
	exec 5<>"$F/call"
	cat "$T/large" >&5
	timeout 60 cat <&5 | head -c -1 | cmp - "$T/large"
	exec 5>&-
}

@test "what is wrong is told where it happens" {
	mkdir "$FUNCTIONS/f"
	F=$FUNCTIONS/f
	local name
	for name in .f f. 'a b' é '' "$(printf 'x%.0s' {1..49})"; do
		[ -z "$name" ] || fails 'Invalid argument' mkdir "$FUNCTIONS/$name"
	done
	grep -q '^INVALID_NAME: a function' "$S/.ctl/error"
	fails 'File exists' mkdir "$F"
	fails 'not permitted' touch "$FUNCTIONS/file"
	fails 'not permitted' rmdir "$F/config"
	same EINVAL "$(errno_of "os.write(os.open('$F/call', os.O_RDWR), b'[1]')")"
	grep -q '^NO_SOURCE: function f has no source' "$S/.ctl/error"
	same EINVAL "$(errno_of "os.write(os.open('$F/map', os.O_RDWR), b'[1]')")"
	fails 'Permission denied' cat "$F/call"
	fails 'Permission denied' tee "$F/map" <<<'[1]'
	grep -q '^ONE_WAY: map ' "$S/.ctl/error"
	printf '#!/bin/sh\nexec cat\n' >"$F/source"
	local text
	for text in '[1' '[1}' '{1}' '[01]' '["a' '"\x"' '"'$'\t''"' nul '[1] [2]' $'"\xff"' '[1,]'; do
		same "OK EINVAL EINVAL" "$(TEXT=$text FILE=$F/call errno_of '
fd = os.open(os.environ["FILE"], os.O_RDWR)
os.write(fd, os.environb[b"TEXT"])
print("OK", end=" ")
try:
    os.fsync(fd)
except OSError as e:
    print(errno.errorcode[e.errno], end=" ")
os.read(fd, 100)')"
	done
	grep -q '^INVALID_JSON: not valid JSON at byte 3$' "$S/.ctl/error"
	# What comes after it counts for itself.
	exec 5<>"$F/call"
	echo '[1' >&5
	fails 'Invalid argument' timeout 60 cat <&5
	echo '[2]' >&5
	same '[2]' "$(timeout 60 cat <&5)"
	exec 5>&-
	same EFBIG "$(FILE=$F/call errno_of '
fd = os.open(os.environ["FILE"], os.O_RDWR)
for i in range(10):
    os.write(fd, b" " * 1000000)')"
	same EFBIG "$(FILE=$F/call errno_of '
fd = os.open(os.environ["FILE"], os.O_RDWR)
try:
    for i in range(10):
        os.write(fd, b" " * 1000000)
except OSError:
    pass
try:
    os.write(fd, b"[1]")
    print("taken")
except OSError:
    pass
os.read(fd, 100)')"
	head -c 9000000 /dev/zero | tr '\0' '#' >"$T/large"
	fails 'File too large' cp "$T/large" "$F/source"
	fails 'Invalid argument' cp /bin/true "$F/source" # a program of bytes is no text
	for text in 0 65 x -1 1.5 ''$'\n'1; do
		fails 'Invalid argument' put "$F/config/parallel" "$text"
	done
	fails 'Invalid argument' put "$F/config/pool" 65
	fails 'Invalid argument' put "$F/config/memory" much
	same 4 "$(cat "$F/config/parallel")"
	: >"$F/source"
	same '' "$(cat "$F/source")"
	same EINVAL "$(errno_of "os.write(os.open('$F/call', os.O_RDWR), b'[1]')")"
	eventually 20 nothing_runs # what a call had is deleted behind its back
}

# most_at_once: how many sandboxes of the function ran at a time, by the events so far.
most_at_once() {
	timeout 10 "$PYTHON" - "$S/.ctl/events" <<-'PYTHON'
		import json, os, sys
		running, most = set(), 0
		fd = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
		text = b""
		try:
		    while piece := os.read(fd, 1 << 16):
		        text += piece
		except BlockingIOError:
		    pass
		for event in map(json.loads, text.splitlines()):
		    if event["event"] == "process":
		        (running.discard if event["status"] not in ("starting", "running") else running.add)(event["sandbox"])
		        most = max(most, len(running))
		print(most)
	PYTHON
}

@test "map: answers in the order of the lines, so many at once, and a failure is a line" {
	function_is f '#!/bin/sh
read -r n
case $n in
3) exit 5 ;;
esac
[ ! -e /workspace/mark ] || exit 6
touch /workspace/mark
sleep 0.$(( (20 - n) % 4 ))
echo "$n"'
	put "$F/config/parallel" 3
	local n
	for n in {1..14}; do
		case $n in
		5) echo 'no JSON' ;;
		7) printf '\n \t\n%s\n' $n ;;
		14) printf '%s' $n ;; # no newline
		*) echo $n ;;
		esac
	done >"$T/lines"
	ask "$(cat "$T/lines")" map | sed -E 's/\{"error": \{"type": "([A-Z_]+)".*/\1/' >"$T/answers"
	same '1 2 EXITED 4 INVALID_JSON 6 7 8 9 10 11 12 13 14' "$(echo $(cat "$T/answers"))"
	same 3 "$(most_at_once)"
	eventually 20 nothing_runs
	# A line at a time.
	exec 5<>"$F/map"
	for n in 8 12; do
		echo $n >&5
		read -r -u 5 -t 60 answer
		same $n "$answer"
	done
	# One that is too long is a line too, and so is what follows.
	{
		head -c 9000000 /dev/zero | tr '\0' 1
		printf '\n16\n'
	} >&5
	timeout 60 cat <&5 >"$T/answers"
	grep -q '"TOO_LARGE"' "$T/answers"
	same 16 "$(tail -n 1 "$T/answers")"
	exec 5>&-
}

@test "a writer that outruns the calls waits; closing cancels what runs" {
	function_is f '#!/bin/sh
exec sleep 100'
	put "$F/config/parallel" 2
	timeout 60 "$PYTHON" - "$F/map" "$M/.ctl/sandboxes" <<-'PYTHON'
		import errno, os, select, sys, time
		fd = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK)
		poll = select.poll()
		poll.register(fd, select.POLLIN | select.POLLOUT)
		assert poll.poll(5000) == [(fd, select.POLLOUT)]
		count = 0
		try:
		    while count < 10_000:
		        count += os.write(fd, b"[1]\n" * 7) // 4
		except BlockingIOError:
		    pass
		assert 1024 <= count <= 1030, count
		assert poll.poll(0) == []
		try:
		    os.read(fd, 100)
		    assert False
		except BlockingIOError:
		    pass
		while len(os.listdir(sys.argv[2])) != 2:
		    time.sleep(0.02)
		# By bytes too.
		other = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK)
		taken = 0
		try:
		    while taken < 100 << 20:
		        taken += os.write(other, b'["%s"]\n' % (b"x" * 1_000_000))
		except BlockingIOError:
		    pass
		assert taken < 12 << 20, taken
	PYTHON
	eventually 20 nothing_runs
	# A signal ends a waiting read or write, and nothing else.
	function_is f '#!/bin/sh
until [ -e go ]; do sleep 0.05; done
cat'
	exec 5<>"$F/call"
	echo '"x"' >&5
	not timeout 0.3 cat <&5
	eventually 20 eval '[ "$(ls "$M/.ctl/sandboxes" | wc -l)" = 1 ]'
	local box
	box=$M/.ctl/sandboxes/$(ls "$M/.ctl/sandboxes")
	[ "$(jq -r .function "$box/info" 2>/dev/null || grep -o '"function":	"f"' "$box/info")" ]
	fails busy rmdir "$box"
	eventually 40 eval '[ "$(cat "$box/state")" = running ]'
	put "$box/cmd" ': >go'
	same '"x"' "$(timeout 60 cat <&5)"
	exec 5>&-
	eventually 20 nothing_runs
}

@test "a pool has sandboxes running before they are called" {
	function_is f '#!/bin/sh
exec cat'
	put "$F/config/pool" 2
	eventually 20 eval 'same 2 "$(cat "$M"/.ctl/sandboxes/*/state | grep -cx running)"'
	local before
	before=$(ls "$M/.ctl/sandboxes")
	answers 7 7
	# One of them did it, is gone, and another has taken its place.
	eventually 20 eval 'same 2 "$(cat "$M"/.ctl/sandboxes/*/state | grep -cx running)"'
	same 3 "$(ls "$M/.ctl/sandboxes" <<<"$before" | cat - <(echo "$before") | sort -u | wc -l)"
	# Other settings, other sandboxes.
	eventually 20 eval '[ "$(ls "$M/.ctl/sandboxes" | wc -l)" = 2 ]' # without the one that has done it
	before=$(ls "$M/.ctl/sandboxes")
	put "$F/config/env" A=1
	eventually 20 eval 'same 2 "$(cat "$M"/.ctl/sandboxes/*/state | grep -cx running)"'
	same 4 "$(ls "$M/.ctl/sandboxes" | cat - <(echo "$before") | sort -u | wc -l)"
	put "$F/config/pool" 0
	eventually 20 nothing_runs
	[ "$BACKEND" = local ] || return 0
	# What cannot be started is told, and not tried again and again.
	mkdir "$T/gone"
	put "$F/config/image" "$T/gone"
	rmdir "$T/gone"
	put "$F/config/pool" 1
	refuses IMAGE_MISSING gone 1
}

@test "rmdir, close and the end of the mount cancel calls; a killed mount leaves none" {
	function_is f '#!/bin/sh
sleep 100'
	exec 5<>"$F/call"
	echo 1 >&5
	rmdir "$F"
	read -r -u 5 -t 60 answer
	[[ $answer == *'"CANCELED"'* ]]
	fails 'shutdown' eval 'echo 2 >&5'
	exec 5>&-
	eventually 20 nothing_runs
	function_is f '#!/bin/sh
sleep 100'
	exec 5<>"$F/call"
	echo 1 >&5
	eventually 20 eval '[ "$(ls "$M/.ctl/sandboxes" | wc -l)" = 1 ]'
	put "$F/config/pool" 1
	within 20 put "$S/.ctl/ctl" close
	timeout 60 cat <&5 | grep -q '"CANCELED"'
	fails 'shutdown' eval 'echo 2 >&5'
	fails 'shutdown' mkdir "$FUNCTIONS/g"
	exec 5>&-
	rmdir "$S"
	eventually 20 nothing_runs
	# Left by a mount that was killed: the next one ends it, and shows no session for it.
	mkdir "$S"
	function_is f '#!/bin/sh
sleep 100'
	exec 5<>"$F/call"
	echo 1 >&5
	eventually 20 eval 'cat "$M"/.ctl/sandboxes/*/status | grep -q running'
	kill_daemon
	exec 5>&-
	fusermount3 -uz "$M"
	mount_up
	same '' "$(ls "$M")"
	eventually 20 nothing_runs
	eventually 20 eval '[ -z "$(agents)" ]'
	# Ended with it: teardown looks for what is left.
	mkdir "$S"
	function_is f '#!/bin/sh
sleep 100'
	put "$F/config/pool" 1
	background "$PYTHON" -c 'import os, sys; fd = os.open(sys.argv[1], os.O_RDWR); os.write(fd, b"1"); os.read(fd, 9)' "$F/call"
	eventually 20 eval '[ "$(ls "$M/.ctl/sandboxes" | wc -l)" = 2 ]'
	kill "${BACKGROUND[@]}"
}
