#!/usr/bin/env bats
# Snapshots of remote sandboxes: of their scratch volume, kept by the service.

load helpers

VOLUME='{"volumes": [{"name": "workspace", "scratch": {"size": "1Gi"}}], "containers": [{"name": "main", "volumeMounts": [{"volume": "workspace", "mountPath": "/workspace"}]}]}'

with_volume() {
	put "$B/config/spec" "$VOLUME"
	inside 'echo kept > /workspace/file; echo lost > /tmp/file'
}

@test "a snapshot by ctl waits until it is ready; a sandbox that starts from it has what was in the volume" {
	with_volume
	control settings '{"snapshotMs": 1000}' >/dev/null
	put "$B/ctl" 'snapshot first'
	same ready "$(cat "$B/snapshots/first/state")"
	jq -e '.state == "ready"' "$B/snapshots/first/info" >/dev/null
	mkdir "$S/new"
	put "$S/new/config/from" box/snapshots/first
	same "$(cat "$B/snapshots/first/id")" "$(cat "$S/new/config/from")"
	put "$S/new/cmd" 'cat /workspace/file; ls /tmp/file'
	same kept "$(cat "$S/new/stdout")"
}

@test "mkdir takes one too, rmdir deletes it at the service" {
	with_volume
	mkdir "$B/snapshots/mine"
	eventually 30 status_of mine ready
	local id
	id=$(cat "$B/snapshots/mine/id")
	same mine "$(ls "$B/snapshots")"
	rmdir "$B/snapshots/mine"
	eventually 30 counted DeleteFileSystemSnapshot 1
	eventually 30 no_snapshots
	mkdir "$S/new"
	put "$S/new/config/from" "$id"
	put "$S/new/ctl" start
	eventually 30 grep -q 'FSS_NOT_FOUND' "$S/new/error"
}

status_of() { # NAME STATE
	[ "$(cat "$B/snapshots/$1/state")" = "$2" ]
}

no_snapshots() {
	[ -z "$(ls "$B/snapshots")" ]
}

@test "another mount sees snapshots under their names, and removes them" {
	with_volume
	put "$B/ctl" 'snapshot one'
	put "$B/ctl" 'snapshot two'
	mkdir "$T/other"
	mount_at "$T/other"
	local there
	there=$T/other/.ctl/sandboxes/$(cat "$B/id")
	same $'one\ntwo' "$(ls "$there/snapshots")"
	same "$(cat "$B/snapshots/two/id")" "$(cat "$there/snapshots/two/id")"
	rmdir "$there/snapshots/one"
	eventually 30 counted DeleteFileSystemSnapshot 1
	fusermount3 -u "$T/other"
}

@test "snapshots: what the service refuses, or fails at, is an errno and a sentence" {
	inside 'true'
	same EINVAL "$(commit "$B/ctl" 'snapshot x' | sed 's/ENOTSUP/EINVAL/; s/EBUSY/EINVAL/')"
	grep -q 'cannot take a snapshot' "$B/error"
	no_snapshots
	control settings '{"snapshotsSupported": false}' >/dev/null
	mkdir "$S/vol"
	put "$S/vol/config/spec" "$VOLUME"
	put "$S/vol/cmd" true
	cat "$S/vol/wait"
	same ENOTSUP "$(commit "$S/vol/ctl" 'snapshot x')"
	grep -q '^CWSANDBOX_FSS_NOT_SUPPORTED' "$S/vol/error"
	control settings '{"snapshotsSupported": true, "snapshotFails": "no room"}' >/dev/null
	same EIO "$(commit "$S/vol/ctl" 'snapshot x')"
	grep -qx 'SNAPSHOT_FAILED: the snapshot failed: no room' "$S/vol/error"
}

@test "a snapshot whose creation is not heard of is made once; one given up while it is made is deleted" {
	with_volume
	fault '{"method": "CreateFileSystemSnapshot", "error": {"code": "unavailable", "at": "end"}}'
	put "$B/ctl" 'snapshot once'
	same once "$(ls "$B/snapshots")"
	rmdir "$B/snapshots/once"
	control settings '{"snapshotMs": 60000}' >/dev/null
	mkdir "$B/snapshots/long"
	eventually 30 test -s "$B/snapshots/long/id"
	rmdir "$B/snapshots/long"
	eventually 30 counted DeleteFileSystemSnapshot 2
}

# Its command tells in the volume that it was told to end.
with_last_words() {
	with_volume
	put "$B/cmd" 'trap "echo bye >/workspace/last; exit" TERM; echo ready; while :; do sleep 0.02; done'
	same ready "$(timeout 30 head -n 1 "$B/stdout")"
}

@test "stop with a snapshot: it holds what the commands left when they were told to end, and outlives the sandbox" {
	control settings '{"snapshotMs": 500}' >/dev/null
	with_last_words
	put "$B/ctl" 'stop 10 snapshot end'
	same ready "$(cat "$B/snapshots/end/state")"
	eventually 30 state_is terminated
	same 1 "$(count DeleteSandbox)"
	same 0 "$(count CreateFileSystemSnapshot)"
	mkdir "$S/new" "$S/third"
	put "$S/new/config/from" box/snapshots/end
	put "$S/new/cmd" 'cat /workspace/file /workspace/last'
	reads "$S/new/stdout" 'kept\nbye\n'
	local id
	id=$(cat "$B/snapshots/end/id")
	rmdir "$B"
	put "$S/third/config/from" "$id"
	put "$S/third/cmd" 'cat /workspace/last'
	reads "$S/third/stdout" 'bye\n'
}

@test "stop with a snapshot: an answer that is lost makes one snapshot, and one end" {
	with_volume
	fault '{"method": "DeleteSandbox", "error": {"code": "unavailable", "at": "end"}}'
	put "$B/ctl" 'stop snapshot'
	same 1 "$(ls "$B/snapshots")"
	same 2 "$(count DeleteSandbox)"
	eventually 30 state_is terminated
}

@test "stop with a snapshot that is refused: the sandbox is not ended, nothing is lost, and either can be asked for again" {
	with_last_words
	control settings '{"snapshotsSupported": false}' >/dev/null
	same ENOTSUP "$(commit "$B/ctl" 'stop 5 snapshot end')"
	grep -q '^CWSANDBOX_FSS_NOT_SUPPORTED: cannot stop the sandbox with a snapshot: ' "$B/error"
	no_snapshots
	state_is terminating
	same RUNNING "$(control sandboxes | jq -r '.[0].state')"
	control settings '{"snapshotsSupported": true}' >/dev/null
	put "$B/ctl" 'stop 5 snapshot end'
	eventually 30 state_is terminated
	mkdir "$S/new"
	put "$S/new/config/from" box/snapshots/end
	put "$S/new/cmd" 'cat /workspace/file /workspace/last'
	reads "$S/new/stdout" 'kept\nbye\n'
	control settings '{"snapshotsSupported": false}' >/dev/null
	B=$S/new
	same ENOTSUP "$(commit "$B/ctl" 'stop 5 snapshot end')"
	put "$B/ctl" 'stop 0'
	eventually 30 state_is terminated
}

@test "stop with a snapshot: what cannot be is said before anything is stopped" {
	same EBUSY "$(commit "$B/ctl" 'stop snapshot x')" # it does not run
	same hi "$(inside 'echo hi')"
	same ENOTSUP "$(commit "$B/ctl" 'stop snapshot x')" # and has no volume
	grep -q 'one scratch volume; it has 0' "$B/error"
	same EINVAL "$(commit "$B/ctl" 'stop 5 snapshots')"
	same EINVAL "$(commit "$B/ctl" 'stop 5 6')"
	same EINVAL "$(commit "$B/ctl" 'stop snapshot a b')"
	no_snapshots
	same on "$(inside 'echo on')"
	same 0 "$(count DeleteSandbox)"
}

@test "a stop, and then one with a snapshot: that is too late" {
	with_volume
	put "$B/cmd" 'trap "" TERM; echo ready; while :; do sleep 1000; done'
	same ready "$(timeout 30 head -n 1 "$B/stdout")"
	put "$B/ctl" 'stop 3'
	same EBUSY "$(commit "$B/ctl" 'stop snapshot x')"
	no_snapshots
	eventually 30 state_is terminated
}
