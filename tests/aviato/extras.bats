#!/usr/bin/env bats
# What the remote service has beside sandboxes: services, runners, templates, secrets.

load helpers

services_say() { # FILTER
	jq -se "$1" "$B/services" >/dev/null
}

@test "services: ports as they were declared, with the addresses the service gives them; stat and reading ask nobody" {
	put "$B/config/spec" '{"services": [{"port": 8080, "name": "http", "visibility": "VISIBILITY_PUBLIC"}, {"port": 9, "protocol": "SERVICE_PROTOCOL_UDP"}]}'
	reads "$B/services" ''
	put "$B/ctl" start
	eventually 60 state_is running
	eventually 30 services_say '.[0].url | startswith("http")'
	services_say '.[0] | .port == 8080 and .name == "http" and .visibility == "public"'
	services_say '.[1] == {"port": 9, "protocol": "udp"}'
	forget_counts
	for i in {1..20}; do
		cat "$B/services" >/dev/null
		stat "$B/services" >/dev/null
	done
	same '{}' "$(control counts)"
}

@test "services: an address that is not there yet is pending, and comes without a look at anything" {
	control settings '{"serviceUrlMs": 600000}' >/dev/null
	put "$B/config/spec" '{"services": [{"port": 8080, "visibility": "VISIBILITY_PUBLIC"}, {"port": 9}]}'
	same hi "$(inside 'echo hi')"
	services_say '. == [{"port": 8080, "visibility": "public", "pending": true}, {"port": 9}]'
	control settings '{"serviceUrlMs": 0}' >/dev/null
	eventually 30 services_say '.[0] | (.url | startswith("http")) and (has("pending") | not)'
}

@test "services: the address works, and another mount knows it from the list" {
	put "$B/config/image" python:3.11
	put "$B/config/command" 'mkdir -p /tmp/www && cd /tmp/www && echo served > index.html && exec python3 -m http.server 8080'
	put "$B/config/spec" '{"services": [{"port": 8080, "name": "http", "visibility": "VISIBILITY_PUBLIC"}]}'
	put "$B/ctl" start
	eventually 60 services_say '.[0].url | startswith("http")'
	eventually 30 curl -sfo "$T/got" "$(jq -r .url "$B/services")/index.html"
	same served "$(cat "$T/got")"
	mkdir "$T/other"
	mount_at "$T/other"
	same "$(cat "$B/services")" "$(cat "$T/other/.ctl/sandboxes/$(cat "$B/id")/services")"
	fusermount3 -u "$T/other"
}

@test "runners and templates are asked for when they are opened, and good for a second" {
	ls -l "$M/.ctl" >/dev/null
	same 0 "$(count ListAvailableRunners)"
	jq -se 'length > 0 and all(.[]; .runnerId != "") and any(.[]; .healthy and .resources)' "$M/.ctl/runners" >/dev/null
	local since=$SECONDS
	seq 20 | timeout 60 xargs -P 20 -I{} cat "$M/.ctl/runners" >"$T/many"
	[ "$(count ListAvailableRunners)" -le $((3 + SECONDS - since)) ]
	jq -se 'type == "array"' "$M/.ctl/templates" >/dev/null
	same 1 "$(count ListSandboxTemplates)"
}

@test "runners: a failure of any code is an answer, also those by which the kernel, or the mount, would understand something else" {
	# EAGAIN is no invitation to wait, and ENOSYS would have the kernel never ask for such a thing again.
	fault '{"method": "ListAvailableRunners", "error": {"code": "aborted", "message": "not so fast"}}'
	same EAGAIN "$(errno_of "open('$M/.ctl/runners')")"
	grep -q '^ABORTED: cannot list the runners: not so fast' "$M/.ctl/error"
	fault '{"method": "ListSandboxTemplates", "error": {"code": "unimplemented"}}'
	same ENOTSUP "$(errno_of "open('$M/.ctl/templates')")"
	grep -q '^UNIMPLEMENTED: ' "$M/.ctl/error"
	fault '{"method": "ListSandboxes", "times": 2, "error": {"code": "aborted", "message": "too much"}}'
	same EAGAIN "$(errno_of "os.listdir('$M/.ctl/sandboxes')")"
	grep -q '^ABORTED: .*too much' "$M/.ctl/error"
	same hi "$(inside 'echo hi')"
}

@test "runners: a failure is the open's, with its sentence; an open that waits is ended by a signal" {
	fault '{"method": "ListAvailableRunners", "error": {"code": "permission_denied", "message": "not yours"}}'
	fails 'Operation not permitted' cat "$M/.ctl/runners"
	grep -q '^PERMISSION_DENIED: cannot list the runners: not yours' "$M/.ctl/error"
	fault '{"method": "ListSandboxTemplates", "hang": true}'
	background cat "$M/.ctl/templates"
	local reader=$!
	eventually 30 counted ListSandboxTemplates 1
	kill -INT "$reader" 2>/dev/null
	kill "$reader"
	wait "$reader" || true
}

@test "secrets go by reference: the value reaches commands, and no file of the mount" {
	control settings '{"secrets": {"wandb": {"TOKEN": "hush-hush-value"}}}' >/dev/null
	put "$B/config/spec" '{"containers": [{"name": "main", "secretStores": [{"storeName": "wandb", "secrets": [{"path": "TOKEN", "envVar": "MY_TOKEN"}]}]}]}'
	same hush-hush-value "$(inside 'printenv MY_TOKEN')"
	put "$B/proc/1/ctl" 'signal TERM' 2>/dev/null || true
	rmdir "$B/proc/1"
	for f in info error state services config/spec config/env; do
		not grep -q hush-hush "$B/$f"
	done
	timeout 60 sed '/"process":"1".*"exit_code":/q' "$M/.ctl/events" >"$T/events"
	not grep -q hush-hush "$T/events" "$M/.ctl/error" "$M/.ctl/runners" "$M/.ctl/stats"
	not grep -q hush-hush "$T/gateway.log"
}

@test "placement, mode and runners go through spec" {
	local runner
	runner=$(jq -r .runnerId "$M/.ctl/runners" | head -n 1)
	put "$B/config/spec" "{\"runnerIds\": [\"$runner\"]}"
	put "$B/ctl" start
	eventually 60 state_is running
	same "$runner" "$(jq -r .runner "$B/info")"
}

@test "a local mount has none of this" {
	mkdir "$T/local"
	timeout 30 "$AVIATOFS" local: "$T/local" -o "state_dir=$STATE" 3>&- 4>&-
	mkdir "$T/local/s" "$T/local/s/box"
	for f in .ctl/ctl .ctl/runners .ctl/templates s/box/services s/box/config/logs s/box/config/template; do
		[ ! -e "$T/local/$f" ]
	done
	not grep -qE 'runners|templates|services|purge' "$T/local/.ctl/README"
	fusermount3 -u "$T/local"
}

@test "purge ends all sandboxes with these tags, and waits; nothing else" {
	put "$S/.ctl/defaults/tags" old
	mkdir "$S/a" "$S/b" "$S/stays"
	put "$S/stays/config/command" 'exec sleep 1000'
	for one in a b stays; do
		[ $one = stays ] || put "$S/$one/config/tags" gone
		put "$S/$one/cmd" true
		same 0 "$(cat "$S/$one/wait")"
	done
	same EINVAL "$(commit "$M/.ctl/ctl" purge)"
	same EINVAL "$(commit "$M/.ctl/ctl" 'purge --al')"
	same 0 "$(count PurgeSandboxes)"
	put "$M/.ctl/ctl" 'purge old gone'
	eventually 60 ended "$S/a"
	eventually 60 ended "$S/b"
	same running "$(cat "$S/stays/state")"
	fault '{"method": "PurgeSandboxes", "error": {"code": "permission_denied", "message": "not yours"}}'
	same EPERM "$(commit "$M/.ctl/ctl" 'purge --all')"
	grep -q '^PERMISSION_DENIED: cannot purge: not yours' "$M/.ctl/error"
	put "$M/.ctl/ctl" 'purge --all'
	eventually 60 ended "$S/stays"
}

ended() {
	grep -qE '^(terminated|completed|failed)$' "$1/state"
}

@test "a sandbox is made from a template, and what is set replaces what that has" {
	local id
	id=$(curl -sS --http2-prior-knowledge --json '{"sandboxTemplate": {"displayName": "mine", "spec": {"containers": [{"name": "main", "image": "python:3.11", "command": "/bin/sh", "args": ["-c", "trap exit TERM; while :; do sleep 1000 & wait; done"], "environmentVariables": {"OF_TEMPLATE": "hush-hush"}}], "maxLifetimeSeconds": 300}}}' \
		-H 'Authorization: Bearer test-token' "$GATEWAY/coreweave.sandbox.v1.SandboxTemplateService/CreateSandboxTemplate" | jq -r .sandboxTemplateId)
	same mine "$(jq -r .displayName "$M/.ctl/templates")"
	not grep -q hush-hush "$M/.ctl/templates"
	put "$B/config/template" "$id"
	same EINVAL "$(commit "$B/config/env" A=1)"
	put "$B/config/tags" labelled
	same hush-hush "$(inside 'echo "$OF_TEMPLATE"')"
	same 'python:3.11 300' "$(echo $(cat "$B/config/image" "$B/config/lifetime"))"
	same labelled "$(cat "$B/config/tags")"
	jq -e --arg id "$id" '.template == $id and .runner_group == "group-1" and .runtime_class == "<node-default>" and
		.containers[0].name == "main" and (has("egress") | not)' "$B/info"
	jq -e '(.expires | fromdate) - (.started | fromdate) == 300' "$B/info"
	same 1 "$(count CreateSandboxFromTemplate)"
	same 0 "$(count CreateSandbox)"
	control sandboxes | jq -e '.[0].tags | index("labelled") and index("aviatofs")' >/dev/null
	mkdir "$S/none"
	put "$S/none/config/template" no-such-template
	put "$S/none/cmd" true
	same 125 "$(cat "$S/none/wait")"
	grep -q 'there is no template' "$S/none/status"
}
