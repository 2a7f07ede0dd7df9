#!/usr/bin/env bats
# Programs that work on files for a living, on fs/. HEAVY=1 has more of each.

load helpers

setup() {
	prepare
	mount_up
	mkdir "$S" "$B"
	W=$B/fs/workspace
}

# Each of stress-ng's tests of file systems that has a few steps of a known length, all at the same time. Not
# getdent, which walks through all the machine has, and keeps mounts of other tests from being unmounted.
@test "stress-ng: thirty-four ways to work on files at once, and each finds what it left" {
	command -v stress-ng || skip "no stress-ng here"
	local one args=() more=${HEAVY:+0}
	for one in access:20 aiol:20 chattr:10 chmod:20 dentry:512 dir:512 dirdeep:200 dirmany:500 dnotify:10 fallocate:8 fcntl:50 \
		file-ioctl:20 filename:100 flock:500 fsize:3 fstat:50 hdd:30 io:20 iomix:50 lease:50 locka:100 lockf:100 \
		lockofd:100 mknod:100 msync:10 open:50 readahead:30 rename:200 revio:50 seek:100 sendfile:50 sync-file:2 touch:200 utime:100; do
		args+=("--${one%:*}" 1 "--${one%:*}-ops" "${one#*:}$more")
	done
	[ -z "${HEAVY:-}" ] || args+=(--xattr 1 --link 1 --mmap 1 --fpunch 1 --mmap-bytes 1m)
	timeout 200 stress-ng "${args[@]}" --timeout "${HEAVY:+1}40" --verify --temp-path "$W" --hdd-bytes 4m --iomix-bytes 2m \
		--fallocate-bytes 4m --seek-size 1m --revio-bytes 2m --readahead-bytes 4m --sync-file-bytes 1m --aiol-requests 4 \
		--sendfile-size 1m >"$T/said" 2>&1 || {
		grep -E 'fail|error' "$T/said"
		return 1
	}
	not grep 'stress-ng: fail' "$T/said"
	same '' "$(ls -A "$W")"
}

@test "fio: written in order, at random, by mapping, by two at once: read back by its checksums" {
	command -v fio || skip "no fio here"
	local size=$((${HEAVY:+10}8))m
	fio --directory="$W" --size="$size" --verify=crc32c --do_verify=1 --verify_fatal=1 --verify_state_save=0 --end_fsync=1 --group_reporting \
		--output-format=terse --ioengine=psync \
		--name=in-order --rw=write --bs=128k \
		--name=at-random --rw=randwrite --bs=4k --numjobs=2 \
		--name=mapped --ioengine=mmap --rw=randwrite --bs=4k \
		--name=appended --ioengine=psync --rw=write --bs=13k --file_append=1 >"$T/said" 2>&1 || {
		cat "$T/said"
		return 1
	}
}

@test "sqlite3: four processes write to one database with a write-ahead log, and one reads" {
	"$PYTHON" - "$W/db" "${HEAVY:+10}25" <<-'END'
		import sqlite3, subprocess, sys
		name, rounds = sys.argv[1:]
		db = sqlite3.connect(name)
		assert db.execute("pragma journal_mode=wal").fetchone()[0] == "wal"
		db.execute("create table t (who, n)")
		db.commit()
		write = """if 1:
		    import sqlite3, sys
		    db = sqlite3.connect(sys.argv[1], timeout=100, isolation_level=None)
		    for n in range(int(sys.argv[3])):
		        db.execute("begin immediate")
		        last = db.execute("select max(n) from t where who = ?", (sys.argv[2],)).fetchone()[0]
		        assert last == (n - 1 if n else None), (last, n)
		        db.execute("insert into t values (?, ?)", (sys.argv[2], n))
		        db.execute("commit")
		"""
		writers = [subprocess.Popen([sys.executable, "-c", write, name, str(who), rounds]) for who in range(4)]
		seen = 0
		while any(w.poll() is None for w in writers):
		    count = db.execute("select count(*) from t").fetchone()[0]
		    assert count >= seen
		    seen = count
		assert all(w.returncode == 0 for w in writers)
		assert db.execute("select count(*) from t").fetchone()[0] == 4 * int(rounds)
		assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
	END
	[[ $(inside 'head -c 15 db') == 'SQLite format 3' ]]
}

@test "editors and builds: vim, ex, sed -i, patch, make, an archive of many small files" {
	cd "$W"
	seq 100 >text
	if command -v vim; then
		# Its swap file and its backup lie beside the text.
		vim -u NONE -es -c 'set backupskip= backup writebackup swapfile directory=. backupdir=.' -c '%s/^5$/five/' -c wq text </dev/null
		same five "$(sed -n 5p text)"
		same 5 "$(sed -n 5p text~)"
		[ ! -e .text.swp ]
	fi
	sed -i 's/^7$/seven/' text
	same seven "$(inside 'sed -n 7p text')"
	cp text old
	sed -i.bak '1d; s/^9$/nine/' text
	diff -u old text >change || true
	cp old again
	patch -s again change
	cmp again text
	"$PYTHON" - <<-'END'
		import os, shutil, zipfile
		with zipfile.ZipFile("z.zip", "w") as z:
		    for n in range(300):
		        z.writestr(f"pack/{n % 20}/file{n}.c", f"int f{n}(void) {{ return {n}; }}\n")
		    z.writestr("pack/main.c", "int f299(void);\nint main(void) { return f299() != 299; }\n")
		    z.writestr("pack/Makefile", "main: main.o 19/file299.o 18/file298.o\n\t$(CC) -o $@ $^\n")
		zipfile.ZipFile("z.zip").extractall(".")
		assert sum(len(f) for _, _, f in os.walk("pack")) == 302
		shutil.copytree("pack", "copy")
	END
	if command -v make && command -v cc; then
		make -s -j2 -C pack
		pack/main
		same '' "$(make -s -C pack 2>&1)" # nothing is newer than what was made of it
		inside pack/main
	fi
	diff -r -x main -x '*.o' pack copy
	rm -r pack copy
	cd /
	same 'again change old text text.bak z.zip' "$(ls "$W" | grep -v '~' | xargs)"
}
