#!/usr/bin/env bats
# changed and diff: what a root has become, against what it was made of.

load helpers

# A directory image with one file of every fate.
rich_image() {
	make_image
	local applet
	for applet in rm ln mkdir chmod mkfifo; do
		ln -s busybox "$T/image/bin/$applet"
	done
	mkdir -p "$T/image"/{d/sub/deeper,same,home,root,run,var}
	(
		cd "$T/image/d" || exit
		seq 20 >seq
		echo gone >gone
		echo s >sub/deeper/s
		ln -s old link
		echo t >type
		echo e >exec
		printf nonl >nonl
		echo 'a b' >'a b'
		printf 'bin\0' >bin
		echo untouched >../same/file
		echo replaced >../same/replaced
	)
	put "$B/config/image" "$T/image"
}

CHANGE='echo 10.5 >>/d/seq; rm /d/gone; rm -r /d/sub; rm /d/link; ln -s new /d/link; rm /d/type; mkdir /d/type
	echo in >/d/type/in; chmod 755 /d/exec; printf more >>/d/nonl; echo c >>"/d/a b"; printf x >>/d/bin
	touch /d/empty; mkdir /new; echo n >/new/n; echo 1 >"/tmp/quo\"te
line"; echo 2 >/tmp/é; touch /same/file; echo replaced >/same/replaced; mkfifo /tmp/pipe'

@test "changed: one path a line, and nothing that is as it was" {
	rich_image
	same '' "$(cat "$B/changed")"
	state_is unstarted
	inside "$CHANGE"
	diff - <(LC_ALL=C sort "$B/changed") <<-'END'
		"tmp/quo\"te\nline"
		d/a b
		d/bin
		d/empty
		d/exec
		d/gone
		d/link
		d/nonl
		d/seq
		d/sub
		d/type
		d/type/in
		new
		new/n
		tmp/pipe
		tmp/é
	END
}

@test "diff: what git apply makes of the image what the sandbox has" {
	rich_image
	same '' "$(cat "$B/diff")"
	inside "$CHANGE"
	cat "$B/diff" >"$T/patch"
	grep -qx '# d/bin: binary files differ' "$T/patch"
	grep -qx '# tmp/pipe is neither a file nor a link' "$T/patch"
	inside 'rm /tmp/pipe; printf "bin\0" >/d/bin'
	cp -a "$T/image" "$T/copy"
	git init -q "$T/copy"
	(cd "$T/copy" && git apply -v "$T/patch")
	rm -rf "$T/copy/.git"
	diff -r --no-dereference -x proc -x dev -x hosts "$T/copy" "$B/fs"
	[ -x "$T/copy/d/exec" ]
}

@test "the host image: its own directories start with a few known files" {
	inside 'true'
	same '' "$(cat "$B/changed")"
	inside 'echo hi >/workspace/a; echo x:y >>/etc/passwd; rm /etc/group; mkdir /home/u'
	same 'etc/group etc/passwd home/u workspace/a' "$(echo $(sort "$B/changed"))"
	cat "$B/diff" >"$T/patch"
	grep -qx '+x:y' "$T/patch"
	same 3 "$(grep -c '^diff --git' "$T/patch")"
}

@test "of a sandbox that started from a snapshot, and of one that has ended" {
	rich_image
	inside 'echo 1 >/d/one; rm -r /d/sub'
	put "$B/ctl" 'snapshot a'
	mkdir "$S/new"
	put "$S/new/config/from" box/snapshots/a
	put "$S/new/cmd" 'echo 2 >/d/two; echo back >/d/sub'
	finish "$S/new"
	same 'd/one d/sub d/two' "$(echo $(sort "$S/new/changed"))"
	put "$B/ctl" stop
	eventually 30 state_is terminated
	same 'd/one d/sub' "$(echo $(sort "$B/changed"))"
}

@test "its readers wait alone, and can be interrupted" {
	inside 'cd /workspace; for i in 1 2 3 4 5 6 7 8 9 10; do seq 200000 >f$i; done'
	cat "$B/diff" >"$T/patch" &
	local reader=$!
	same 1 "$(inside 'echo 1')"
	cat "$B/changed" >/dev/null
	wait $reader
	same 2000000 "$(grep -c '^+[0-9]' "$T/patch")"
	local i
	for i in 1 2 3 4 5 6; do
		timeout -s INT 0.03 cat "$B/diff" >/dev/null || true
	done
	exec 5<"$B/diff"
	rmdir "$B"
	exec 5<&-
}

@test "who opens it knows its size: readers that go by that get all of it" {
	inside 'cd /workspace; seq 1000 >a; seq 100000 >b; touch c'
	same 3 "$(node -e 'process.stdout.write(require("fs").readFileSync(process.argv[1]))' "$B/changed" | wc -l)"
	same 101000 "$(node -e 'process.stdout.write(require("fs").readFileSync(process.argv[1]))' "$B/diff" | grep -c '^+[0-9]')"
	cp "$B/diff" "$T/patch"
	same "$(stat -c %s "$T/patch")" "$(stat -L -c %s /dev/stdin <"$B/diff")"
	# Each who has it open has a size of its own.
	exec 5<"$B/changed"
	inside 'touch /workspace/d'
	exec 6<"$B/changed"
	same '36 48' "$(stat -L -c %s /dev/fd/5 /dev/fd/6 | xargs)"
	same 'workspace/a workspace/b workspace/c' "$(sort <&5 | xargs)"
	same 'workspace/a workspace/b workspace/c workspace/d' "$(sort <&6 | xargs)"
	exec 5<&- 6<&-
}

@test "too much of it: an error that says so" {
	inside 'cd /workspace; head -c 9000000 /dev/zero | tr "\0" "a" >big; head -c 8000000 big >f1
		for i in 2 3 4 5 6 7 8 9; do cp f1 f$i; done'
	if cat "$B/diff" >"$T/patch" 2>"$T/said"; then false; fi
	grep -qi 'too large' "$T/said"
	grep -q 'TOO_LARGE' "$B/error"
	inside 'rm /workspace/f*'
	same '# workspace/big differs, and is over 8 MiB' "$(cat "$B/diff")"
}

@test "links out of the root, files nobody may read, names of all kinds" {
	rich_image
	inside 'rm -r /same; ln -s /etc /same; ln -s ../../../../../etc/shadow /d/out; echo secret >/d/mine; chmod 0 /d/mine
		mkdir /d/locked; echo l >/d/locked/l; chmod 0 /d/locked'
	same 'd/locked d/locked/l d/mine d/out same' "$(echo $(sort "$B/changed"))"
	cat "$B/diff" >"$T/patch"
	grep -qx '+../../../../../etc/shadow' "$T/patch"
	grep -qx '+secret' "$T/patch"
	if grep -q 'root:' "$T/patch"; then false; fi
	same 0 "$(stat -c %a "$B/fs/d/mine")"
}
