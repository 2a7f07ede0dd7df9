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
