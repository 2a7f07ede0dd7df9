"""
stdlib.py ON BESIDE MODULE...: runs tests of Python's standard library in the directory ON. Those that fail are
run again in BESIDE, which is on a disk: what fails there too is this machine's doing. Says what is left, and how
many passed.
"""
import errno
import importlib
import os
import sys
import tempfile
import unittest
import warnings

# They compare what readlink says of an absolute target, which fs/ shows relative; or copy that text to where it
# says something else; or have a target that leads out.
TEXT_OF_LINKS = {
    "ReadlinkTests.test_bytes", "ReadlinkTests.test_pathlike", "ReadlinkTests.test_pathlike_bytes",
    "TestCopyTree.test_copytree_symlinks", "TestCopyTree.test_copytree_symlink_dir",
    "TestCopyTree.test_copytree_dangling_symlinks", "TestMove.test_move_dangling_symlink",
    "TestPosixSpawnP.test_posix_spawnp",
}
# Thousands of directories below each other: `heavy` has it.
LONG = {"WalkTests.test_walk_many_open_files", "BytesWalkTests.test_walk_many_open_files"}


# Of an owner who is nobody in the sandbox, over the channel.
OWNERS = {
    "ChownFileTests.test_chown_with_root", "PosixTester.test_chown", "PosixTester.test_fchown",
    "PosixTester.test_lchown",
}


def owners_are_the_sandboxes(where):
    try:
        with tempfile.TemporaryFile(dir=where) as f:
            os.chown(f.fileno(), 12345, 12345)
    except OSError as e:
        return e.errno == errno.EINVAL
    return False


def short(test):
    return ".".join(test.id().split(".")[-2:])


def tests_of(suite):
    for one in suite:
        yield from tests_of(one) if isinstance(one, unittest.TestSuite) else [one]


class Result(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.wrong = {}

    def addError(self, test, err):
        self.wrong.setdefault(getattr(test, "test_case", test), self._exc_info_to_string(err, test))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err:
            self.addError(test, err)


def run(tests, where):
    os.environ["TMPDIR"] = tempfile.tempdir = where
    os.chdir(where)
    result = Result()
    suite = unittest.TestSuite()
    suite.addTests(tests)  # by their classes, for what these set up
    suite._cleanup = False  # they are run twice
    suite.run(result)
    return result


def main(on, beside, *modules):
    warnings.simplefilter("ignore")
    os.chdir(on)  # names of files are tried there at import
    from test import support
    support.use_resources = []
    skipped = TEXT_OF_LINKS | (set() if os.environ.get("LONG") else LONG)
    if owners_are_the_sandboxes(on):
        skipped |= OWNERS
    failed = passed = 0
    for name in modules:
        module = importlib.import_module("test." + name)
        tests = [t for t in tests_of(unittest.defaultTestLoader.loadTestsFromModule(module)) if short(t) not in skipped]
        result = run(tests, on)
        passed += result.testsRun - len(result.wrong) - len(result.skipped)
        if result.wrong:
            here_too = run([t for t in result.wrong if isinstance(t, unittest.TestCase)], beside).wrong
            for test in set(result.wrong) - set(here_too):
                failed += 1
                print(test.id() + ":\n" + result.wrong[test])
    print(f"{passed} passed, {failed} failed on the mount alone")
    return failed > 0 or passed == 0


sys.exit(main(*sys.argv[1:]))
