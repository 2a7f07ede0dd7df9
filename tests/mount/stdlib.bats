#!/usr/bin/env bats
# fs/ as the temporary directory of the tests of Python's standard library, which know well what a disk does.

load helpers

# MODULE...
python_tests() {
	# Debian's own, whatever comes first on the PATH: its tests are a package.
	"$PYTHON" -c 'import test.test_os' 2>/dev/null || skip "no tests of the standard library here"
	mkdir "$T/beside" "$B/fs/workspace/tmp"
	timeout 380 "$PYTHON" "$ROOT/tests/mount/stdlib.py" "$B/fs/workspace/tmp" "$T/beside" "$@"
	same '' "$(ls -A "$B/fs/workspace/tmp")"
}

@test "os, posix" {
	python_tests test_os test_posix
}

@test "shutil, tempfile, fileio, mmap, fcntl" {
	python_tests test_shutil test_tempfile test_fileio test_mmap test_fcntl
}

@test "tarfile, zipfile, and what makes thousands of directories" {
	[ -n "${HEAVY:-}" ] || skip "it takes minutes: tests/run heavy"
	python_tests test_os test_tarfile test_zipfile
}
