#!/usr/bin/env bats
# A tree with files that have no true size, block, or are magic links: /proc itself is served.

LATE_MOUNT=1
load helpers

@test "files without a size are read whole" {
	mount_tree /proc
	same "$(cat /proc/version)" "$(cat "$M/version")"
	same "$(cat /proc/filesystems)" "$(cat "$M/filesystems")"
	grep -q MemTotal "$M/meminfo"
	[ "$(wc -l <"$M/$$/status")" -gt 20 ]
}

@test "magic links are only texts" {
	mount_tree /proc
	same ../ "$(readlink "$M/$$/root")"
	[ "$M" -ef "$M/$$/root" ]
	fails 'No such file' cat "$M/$$/exe"
	same "..$(readlink /proc/$$/exe)" "$(readlink "$M/$$/exe")"
	fails 'No such file' cat "$M/$$/root/etc/passwd"
	fails 'No such file' cat "$M/$$/cwd/canary/secret"
}

@test "a read that would wait for ever fails instead" {
	[ -r /proc/kmsg ] || skip "no right to /proc/kmsg"
	mount_tree /proc
	local status=0
	timeout 10 cat "$M/kmsg" >/dev/null 2>&1 || status=$?
	[ $status != 124 ]
}
