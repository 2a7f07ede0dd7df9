#!/usr/bin/env bats
# What the remote backend costs on the wire: requests and messages, counted by the gateway.

load helpers

# Messages of the stream to the agent so far: RECEIVED SENT.
messages() {
	control calls | jq -r '[.[] | select(.method == "StreamExec" and .open)] | "\(.[0].received) \(.[0].sent)"'
}

requests() {
	control counts | jq -c 'with_entries(select(.key != "StreamExec"))'
}

@test "a command is one message to the agent, at most three from it, on the one stream that is there, and no request" {
	inside true
	forget_counts_but_calls
	read -r received0 sent0 <<<"$(messages)"
	for i in {1..50}; do
		exec 6<>"$B/cmd"
		echo "echo $i" >&6
		same "$i" "$(cat <&6)"
		exec 6>&-
	done
	read -r received sent <<<"$(messages)"
	echo "received $((received - received0)), sent $((sent - sent0)) for 50 commands"
	((received - received0 <= 52))
	# What the agent has to tell goes out whenever it has run dry: at the most that it runs, its output, its end.
	((sent - sent0 <= 3 * 50 + 2))
	same "$before" "$(control counts)"
}

# The calls are kept: the stream is one of them.
forget_counts_but_calls() {
	before=$(control counts)
}

@test "a session, its sandboxes and their control files are listed and read without a request" {
	inside true
	forget_counts_but_calls
	read -r received0 _ <<<"$(messages)"
	for i in {1..10}; do
		ls -lR "$S/.ctl" >/dev/null
		ls -l "$S" "$B" "$B/config" "$B/proc" "$B/proc/1" >/dev/null
		cat "$B/state" "$B/status" "$B/info" "$B/id" "$B/error" "$B/services" "$B/config/image" "$M/.ctl/stats" >/dev/null
	done
	read -r received _ <<<"$(messages)"
	same "$before" "$(control counts)"
	same "$received0" "$received"
}

@test "without an agent, a directory of thousands costs a few messages to the shell, and what is heard ends what was known" {
	mount_down
	mount_up -o agent=no
	mkdir -p "$B"
	put "$B/config/cwd" /workspace
	inside 'mkdir many; cd many; seq 3000 | xargs touch; echo made'
	local many=$B/fs/workspace/many
	read -r received0 _ <<<"$(messages)"
	same 3001 "$(ls -l "$many" | wc -l)"
	same 3000 "$(find "$many" -type f -newermt 2020-01-01 | wc -l)"
	same 3000 "$(stat -c %s "$many"/* | grep -cx 0)"
	read -r received _ <<<"$(messages)"
	echo "received $((received - received0))"
	# Some 20. On a machine that is slow it is listed once more each second.
	((received - received0 < 500))
	inside 'cd many; rm 7; echo longer >8; mv 9 nine; echo done' >/dev/null
	[ ! -e "$many/7" ]
	same 7 "$(stat -c %s "$many/8")"
	[ ! -e "$many/9" ]
	[ -e "$many/nine" ]
	# Another directory under the same name.
	ls -l "$many" >/dev/null
	inside 'mv many old; mkdir many; echo done' >/dev/null
	same '' "$(ls "$many")"
	[ ! -e "$many/8" ]
}

@test "a sandbox costs a create, a look and the agent; more commands cost none of that" {
	inside 'echo 1'
	inside 'echo 2'
	same 1 "$(count CreateSandbox)"
	same 1 "$(count WriteFile)"
	same 1 "$(count StreamExec)"
	[ "$(count GetSandbox)" -le 3 ]
}

@test "waiters share the polls of a sandbox that is being made" {
	control settings '{"creatingMs": 2500}' >/dev/null
	seq 20 | timeout 60 xargs -P 20 -I{} sh -c "echo 'echo {}' > '$B/cmd'"
	cat "$B/wait" >/dev/null
	same 1 "$(count CreateSandbox)"
	# 0.2 s, and then growing by half: 2.5 s are some seven looks, whoever waits.
	[ "$(count GetSandbox)" -le 12 ]
}

@test "200 commands stream at once over one connection" {
	inside true
	# Each waits until all run: they do so at once, or never end.
	cat >"$T/one" <<-'SH'
		exec 6<>"$1/cmd"
		echo 'touch /tmp/here.$$; until [ "$(ls /tmp | grep -c here)" -ge 200 ]; do sleep 0.3; done; seq 200' >&6
		cat <&6 | cksum
	SH
	seq 200 | timeout 120 xargs -P 200 -I{} sh "$T/one" "$B" >"$T/got"
	same 200 "$(wc -l <"$T/got")"
	same "$(seq 200 | cksum)" "$(sort -u "$T/got")"
	same 1 "$(count StreamExec)"
	same 1 "$(control calls | jq '[.[] | .connection] | unique | length')"
}

@test "1,000 remote sandboxes are listed in one mount, by pages and no more" {
	# Made by the service's own call: they need not run for a list.
	control settings '{"pendingMs": 600000, "pageSize": 100}' >/dev/null
	node - "$GATEWAY" <<-'JS'
		const client = require("node:http2").connect(process.argv[2]);
		const headers = { ":method": "POST", ":path": "/coreweave.sandbox.v1.SandboxService/CreateSandbox",
			"content-type": "application/json", authorization: "Bearer test-token" };
		const body = JSON.stringify({ sandbox: { spec: { containers: [{ name: "main", image: "python:3.11" }] } } });
		const create = () => new Promise((done) => client.request(headers).on("close", done).resume().end(body));
		(async () => {
			for (let i = 0; i < 50; i++)
				await Promise.all(Array.from({ length: 20 }, create));
			client.close();
		})();
	JS
	forget_counts
	# And the one of this mount that was only declared.
	same 1001 "$(timeout 60 ls "$M/.ctl/sandboxes" | wc -l)"
	same 10 "$(count ListSandboxes)"
	same 0 "$(count GetSandbox)"
}
