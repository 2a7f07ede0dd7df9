#!/usr/bin/env bats
# Snapshots: taken, looked into, deleted, started from; and what becomes of them.

load helpers

# A root that has a bit of everything.
FILL='mkdir -p /workspace/d /workspace/deep/er; echo hello >/workspace/d/a; ln /workspace/d/a /workspace/b
	ln -s /etc/passwd /workspace/inside; ln -s ../../../../../../etc/shadow /workspace/out
	truncate -s 100M /workspace/sparse; printf end >>/workspace/sparse; mkfifo /workspace/pipe
	touch /workspace/deep/er/f; chmod 0 /workspace/deep/er; echo x >/workspace/noread; chmod 0 /workspace/noread'

taken() { # NAME
	put "$B/ctl" "snapshot $1"
}

fork() { # NAME SNAPSHOT
	mkdir "$S/$1"
	put "$S/$1/config/from" "$2"
}

in_fork() { # NAME TEXT
	printf '{ %s\n} 2>&1\n' "$2" >"$S/$1/cmd"
	timeout 60 cat "$S/$1/stdout"
}

@test "taken, looked into, deleted" {
	inside "$FILL"
	taken a
	same a "$(ls "$B/snapshots")"
	inside 'echo changed >/workspace/d/a; rm /workspace/b; rm -rf /workspace/deep'
	same hello "$(cat "$B/snapshots/a/workspace/d/a")"
	same "$(stat -c %i "$B/snapshots/a/workspace/d/a")" "$(stat -c %i "$B/snapshots/a/workspace/b")"
	same root:x:0:0 "$(head -n 1 "$B/snapshots/a/workspace/inside" | cut -d: -f1-4)"
	[ ! -e "$B/snapshots/a/workspace/out" ]
	same 104857603 "$(stat -c %s "$B/snapshots/a/workspace/sparse")"
	[ "$(stat -c %b "$B/snapshots/a/workspace/sparse")" -lt 1000 ]
	[ -p "$B/snapshots/a/workspace/pipe" ]
	same 0 "$(stat -c %a "$B/snapshots/a/workspace/deep/er")"
	run diff -r "$B/snapshots/a/workspace/d" "$B/fs/workspace/d"
	[ "$status" = 1 ]
	[[ $output == *'< hello'*'> changed'* ]]
	grep -q '"state":.*"ready"' "$B/info"
	rmdir "$B/snapshots/a"
	taken a # at once: the old one may still be on its way out
	same changed "$(cat "$B/snapshots/a/workspace/d/a")"
	rmdir "$B/snapshots/a"
	same '' "$(ls "$B/snapshots")"
	[ ! -e "$B/snapshots/a" ]
	eventually 20 no_file "$STATE/default/$(cat "$B/id")/snapshots/a"
}

no_file() {
	[ ! -e "$1" ]
}

@test "it is read-only, in every way" {
	inside "$FILL"
	taken a
	local d=$B/snapshots/a/workspace before
	before=$(find "$d" -printf '%p %s %m %T@\n' | sort)
	refuses EROFS "open('$d/d/a', 'a')"
	refuses EROFS "open('$d/new', 'w')"
	refuses EROFS "os.truncate('$d/d/a', 0)"
	refuses EROFS "os.mkdir('$d/new')"
	refuses EROFS "os.rmdir('$d/d')"
	refuses EROFS "os.unlink('$d/d/a')"
	refuses EROFS "os.rename('$d/b', '$d/c')"
	refuses EROFS "os.link('$d/b', '$d/c')"
	refuses EROFS "os.symlink('x', '$d/c')"
	refuses EROFS "os.mkfifo('$d/c')"
	refuses EROFS "os.chmod('$d/d/a', 0o600)"
	refuses EROFS "os.utime('$d/d/a')"
	refuses EROFS "os.setxattr('$d/d/a', 'user.x', b'1')"
	refuses EXDEV "os.rename('$d/b', '$B/fs/workspace/c')"
	same "$before" "$(find "$d" -printf '%p %s %m %T@\n' | sort)"
}

refuses() { # ERRNO PYTHON
	$PYTHON - "$1" "$2" <<-'END'
		import errno, os, sys
		try:
		    exec(sys.argv[2])
		except OSError as e:
		    sys.exit(errno.errorcode[e.errno] != sys.argv[1] and f"{sys.argv[2]}: {e}")
		sys.exit(f"{sys.argv[2]}: done")
	END
}

@test "a name is optional, and judged" {
	put "$B/ctl" snapshot
	put "$B/ctl" snapshot
	mkdir "$B/snapshots/three"
	same '1 2 three' "$(echo $(ls "$B/snapshots"))"
	for bad in 1 -x a/b "$(printf '%060d' 1)" 'a b'; do
		if put "$B/ctl" "snapshot $bad" 2>/dev/null; then false; fi
		[ -s "$B/error" ]
	done
	mkdir "$B/snapshots/1" 2>"$T/said" && false
	grep -q 'exists' "$T/said"
	[ ! -e "$B/snapshots/4" ]
}

@test "with a stop: not here, and nothing is stopped" {
	same ready "$(inside 'echo ready')"
	same ENOTSUP "$(commit "$B/ctl" 'stop 5 snapshot x')"
	grep -q '^UNSUPPORTED: ' "$B/error"
	state_is running
}

@test "of a sandbox that has not started, has ended, is no more" {
	if mkdir "$B/snapshots/a" 2>/dev/null; then false; fi
	grep -q NOT_RUNNING "$B/error"
	taken a # this starts it
	state_is running
	put "$B/ctl" stop
	eventually 30 state_is 'terminated'
	if taken b 2>/dev/null; then false; fi
	grep -q SANDBOX_ENDED "$B/error"
	same root "$(cut -d: -f1 "$B/snapshots/a/etc/passwd" | head -n 1)"
	fork new box/snapshots/a
	same root "$(in_fork new whoami)"
	rmdir "$B"
	same still "$(in_fork new 'echo still')"
}

@test "a new sandbox starts as the snapshot" {
	inside "$FILL; echo a:b >>/etc/passwd"
	taken a
	inside 'rm -rf /workspace/*'
	fork new box/snapshots/a
	same "$(cat "$B/id")/a" "$(cat "$S/new/config/from")"
	same "hello a:b 2 0" "$(echo $(in_fork new 'cat /workspace/d/a; tail -n 1 /etc/passwd
		stat -c %h /workspace/b; stat -c %a /workspace/deep/er'))"
	# Both go on alone, and a fork has snapshots of its own.
	in_fork new 'echo two >/workspace/d/a; rm /workspace/b'
	same hello "$(cat "$B/snapshots/a/workspace/d/a")"
	put "$S/new/ctl" 'snapshot a'
	fork third new/snapshots/a
	same two "$(in_fork third 'cat /workspace/d/a; ls /workspace/b 2>/dev/null')"
	same "$(cat "$S/new/id")/a" "$(sed -n 's/.*"from":[^"]*"\([^"]*\)".*/\1/p' "$S/third/info")"
	# The source is not needed any more.
	rmdir "$S/new"
	same two "$(in_fork third 'cat /workspace/d/a')"
}

@test "from: paths, ids, and what is none" {
	inside true
	taken a
	local id
	id=$(cat "$B/id")/a
	mkdir "$M/other" "$S/new" "$M/other/new"
	for path in box/snapshots/a ./box//snapshots/a s/box/snapshots/a "$M/s/box/snapshots/a" "$id" \
		../s/box/snapshots/a ".ctl/sandboxes/$(cat "$B/id")/snapshots/a"; do
		case $path in
		box* | ./*) ;;
		*)
			put "$M/other/new/config/from" "$path"
			same "$id" "$(cat "$M/other/new/config/from")"
			;;
		esac
		: >"$S/new/config/from"
		put "$S/new/config/from" "$path"
		same "$id" "$(cat "$S/new/config/from")"
	done
	: >"$S/new/config/from"
	for bad in box/snapshots/b box/snapshots b/snapshots/a /etc ../../etc/passwd "${id%a}../x" "${id%/a}" x/y '../a'; do
		if put "$S/new/config/from" "$bad" 2>/dev/null; then false; fi
		grep -q NO_SUCH_SNAPSHOT "$S/new/error"
	done
	same '' "$(cat "$S/new/config/from")"
	# For all of a session, and gone before it is used.
	put "$S/.ctl/defaults/from" box/snapshots/a
	same "$id" "$(cat "$S/new/config/from")"
	rmdir "$B/snapshots/a"
	eventually 20 no_file "$STATE/default/$id"
	put "$S/new/cmd" true
	same 125 "$(timeout 30 cat "$S/new/wait")"
	grep -q NO_SUCH_SNAPSHOT "$S/new/error"
	rmdir "$M/other/new" "$M/other"
}

@test "of a directory image: only what lies over it is copied" {
	make_image
	head -c 20000000 /dev/zero >"$T/image/big"
	mkdir "$T/image/lib-data"
	touch "$T/image/lib-data/one" "$T/image/lib-data/two"
	put "$B/config/image" "$T/image"
	inside 'echo mine >/workspace/f;
		busybox rm /etc/motd; busybox rm -r /lib-data; busybox mkdir /lib-data; touch /lib-data/three
		busybox ln /workspace/f /workspace/g'
	taken a
	inside 'busybox rm /workspace/f'
	local d=$B/snapshots/a
	same mine "$(cat "$d/workspace/f")"
	[ ! -e "$d/etc/motd" ]
	same three "$(ls "$d/lib-data")"
	same 20000000 "$(stat -c %s "$d/big")"
	if [ -d "$STATE/default/$(cat "$B/id")/upper" ]; then
		[ "$(du -s "$STATE/default/$(cat "$B/id")/snapshots" | cut -f1)" -lt 5000 ]
	fi
	fork new box/snapshots/a
	same 'mine three big motd-gone' "$(echo $(in_fork new 'cat /workspace/g; ls /lib-data; ls / | busybox grep big; ls /etc/motd >/dev/null 2>&1 || echo motd-gone'))"
	grep -q "\"image\":.*$T/image" "$S/new/info"
	# Another image than the snapshot's makes no sense.
	mkdir "$T/other" "$S/third"
	put "$S/third/config/image" "$T/other"
	if put "$S/third/config/from" box/snapshots/a 2>/dev/null; then false; fi
	grep -q INVALID_VALUE "$S/third/error"
}

@test "who waits for it blocks nobody, and can be interrupted; rmdir gives it up" {
	inside 'cd /workspace && mkdir many && cd many && seq 500 | xargs touch'
	mkdir "$B/snapshots/listed"
	[ -n "$(ls "$B/snapshots/listed")" ]
	put "$B/ctl" 'snapshot a' &
	local writer=$!
	same 1 "$(inside 'echo 1')"
	wait $writer
	same 500 "$(ls -U "$B/snapshots/a/workspace/many" | wc -l)"
	for _ in 1 2 3; do
		mkdir "$B/snapshots/b"
		rmdir "$B/snapshots/b"
	done
	# A fork that is still copying goes as readily.
	for _ in 1 2 3; do
		fork new box/snapshots/a
		put "$S/new/ctl" start
		rmdir "$S/new"
	done
	(exec timeout -s INT 0.05 sh -c 'echo "snapshot c" >"$1"' sh "$B/ctl") || true
	[ ! -d "$B/snapshots/c" ] || ls "$B/snapshots/c/workspace/many" >/dev/null
	mkdir "$B/snapshots/d"
	rmdir "$B"
}

no_rest() { # DIRECTORY
	[ -z "$(find "$1" -maxdepth 1 -name '.?*')" ]
}

@test "a killed daemon: the next mount has the snapshots, and not those that were half done" {
	make_image
	inside 'echo one >/workspace/f'
	taken a
	mkdir "$S/two"
	put "$S/two/config/image" "$T/image"
	in_fork two 'echo two >/workspace/f'
	put "$S/two/ctl" 'snapshot b'
	kill_daemon
	local id
	id=$(cat "$STATE"/default/*/meta.json | sed -n 's/.*"id":"\([^"]*\)".*/\1/p' | head -n 1)
	mkdir -p "$STATE/default/$id/snapshots"/{half,.new-0,.gone-0}/root/deep
	mount_up
	same one "$(cat "$B/snapshots/a/workspace/f")"
	same two "$(cat "$S/two/snapshots/b/workspace/f")"
	same 'a b' "$(echo $(ls "$B/snapshots") $(ls "$S/two/snapshots"))"
	eventually 20 no_rest "$STATE/default/$id/snapshots"
	fork new box/snapshots/a
	same one "$(in_fork new 'cat /workspace/f')"
	rmdir "$B/snapshots/a" "$S/two/snapshots/b"
}

@test "what a sandbox makes of its root leads nobody out when it is copied" {
	inside 'rm -rf /etc/ssl /dev /usr /proc 2>/dev/null
		mv /etc /etc2; ln -s /workspace /etc; ln -s /tmp/aviatofs-not-here /workspace/ssl; mkfifo /workspace/hosts
		ln -s /etc/shadow /workspace/resolv.conf; d=/workspace; i=0
		while [ $i -lt 100 ]; do d=$d/d; mkdir $d; i=$((i+1)); done'
	taken a
	fork new box/snapshots/a
	same fine "$(in_fork new 'test -d /etc && test ! -L /etc && echo fine')"
	same '' "$(ls -d /tmp/aviatofs-not-here 2>/dev/null)"
}

@test "files that change while they are copied" {
	put "$B/cmd" 'cd /workspace; mkdir a b; i=0; while :; do
		i=$((i+1)); echo $i >a/f; ln -sf /etc/passwd a/g; rm -f b/f; mv a/f b/f; rm -f a/g; mkdir a/g; touch a/g/x; rm -r a/g
		mv a c; mv b a; mv c b; done'
	for i in 1 2 3 4 5; do
		taken "s$i"
		ls -R "$B/snapshots/s$i/workspace" >/dev/null
	done
	rmdir "$B/proc/1"
}
