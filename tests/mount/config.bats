#!/usr/bin/env bats
# Settings: three levels, judged when they are written, fixed once the sandbox starts.

load helpers

# Written, then read back before the start.
keeps() {
	put "$B/config/$1" "$2"
	same "$2" "$(cat "$B/config/$1")"
}

@test "a setting is written, read, replaced, cleared" {
	keeps cwd /tmp
	keeps cwd /var
	: >"$B/config/cwd"
	same "$HERE" "$(inside pwd)"
}

@test "> replaces, >> appends lines to env and tags" {
	put "$B/config/env" A=1
	echo B=2 >>"$B/config/env"
	same $'A=1\nB=2' "$(cat "$B/config/env")"
	put "$B/config/env" C=3
	same C=3 "$(cat "$B/config/env")"
	printf 'one\ntwo\n' >"$B/config/tags"
	echo three >>"$B/config/tags"
	same $'one\ntwo\nthree' "$(cat "$B/config/tags")"
}

@test "env merges by name, the nearest level wins" {
	printf '%s\n' A=mount B=mount C=mount >"$M/.ctl/defaults/env"
	printf '%s\n' B=session C=session >"$S/.ctl/defaults/env"
	printf '%s\n' C=box 'D=with space' >"$B/config/env"
	same 'mount session box with space' "$(inside 'echo $A $B $C $D')"
	same $'A=mount\nB=session\nC=box\nD=with space' "$(sort "$B/config/env")"
}

@test "tags of all levels are appended, farthest first" {
	put "$M/.ctl/defaults/tags" far
	put "$S/.ctl/defaults/tags" middle
	printf 'near\nfar\n' >"$B/config/tags"
	put "$B/ctl" start
	eventually 40 state_is running
	same 'far middle near far' "$(echo $(cat "$B/config/tags"))"
}

@test "other settings replace: sandbox over session over mount" {
	put "$M/.ctl/defaults/cwd" /var
	same /var "$(inside pwd)"
	put "$S/.ctl/defaults/cwd" /home
	mkdir "$S/b2"
	put "$S/b2/cmd" pwd
	reads "$S/b2/stdout" '/home\n'
	mkdir "$S/b3"
	put "$S/b3/config/cwd" /tmp
	put "$S/b3/cmd" pwd
	reads "$S/b3/stdout" '/tmp\n'
	same /var "$(inside pwd)"
}

@test "defaults of one session do not touch another" {
	mkdir "$M/t" "$M/t/box"
	put "$S/.ctl/defaults/env" X=s
	put "$M/t/box/cmd" 'echo "[$X]"'
	reads "$M/t/box/stdout" '[]\n'
}

@test "once started: EBUSY, and reads give the effective values" {
	put "$M/.ctl/defaults/cwd" /var
	inside : >/dev/null
	same EBUSY "$(errno_of "os.write(os.open('$B/config/cwd', os.O_WRONLY), b'/tmp')")"
	same /var "$(cat "$B/config/cwd")"
	put "$M/.ctl/defaults/cwd" /home
	same /var "$(cat "$B/config/cwd")"
}

@test "a bad value fails the write with EINVAL and says why" {
	local pair before
	for pair in 'memory lots' 'memory -5' 'memory 12Q' 'cpu fast' 'cpu -1' 'pids some' 'lifetime soon' 'lifetime -1' \
		'lifetime 4294967296' 'lifetime 50000d' 'network maybe' 'cwd relative/path' 'env NO_EQUALS_SIGN' 'env =x'; do
		before=$(cat "$B/config/${pair%% *}")
		fails 'Invalid argument' put "$B/config/${pair%% *}" "${pair#* }" || { echo "$pair"; return 1; }
		[ -s "$B/error" ]
		same "$before" "$(cat "$B/config/${pair%% *}")"
	done
	same EINVAL "$(commit "$B/config/spec" '{')"
	[[ $(cat "$B/error") == INVALID_JSON:* ]]
	fails 'Invalid argument' put "$B/config/spec" '[1]'
	# Also without an end of line, once no more text could make it right.
	for pair in '=x' '1=x' $'A=1\n=x'; do
		same EINVAL "$(TEXT=$pair errno_of "os.write(os.open('$B/config/env', os.O_WRONLY), os.environb[b'TEXT'])")"
	done
	same EINVAL "$(commit "$B/config/env" 'A')"
	same '' "$(cat "$B/config/env")"
	fails 'Invalid argument' put "$S/.ctl/defaults/memory" lots
	[ -s "$S/.ctl/error" ]
	fails 'Invalid argument' put "$M/.ctl/defaults/memory" lots
	[ -s "$M/.ctl/error" ]
	printf 'A=a\0b\n' >"$T/nul"
	fails 'Invalid argument' cp "$T/nul" "$B/config/env"
	same 'INVALID_VALUE: env takes no NUL byte' "$(cat "$B/error")"
	fails 'Invalid argument' cp "$T/nul" "$B/ctl"
	same 'INVALID_VERB: ctl takes no NUL byte' "$(cat "$B/error")"
	inside : >/dev/null
}

@test "spec may come in several writes, of several processes" {
	printf '%s\n' '{' ' ' '}' >"$B/config/spec"
	same $'{\n \n}' "$(cat "$B/config/spec")"
	{ cat <<<'{ '; cat <<<'}'; } >"$B/config/spec"
	same $'{ \n}' "$(cat "$B/config/spec")"
	same '' "$(cat "$B/error")"
	# What no more text can make right is refused by the write that shows it, and what was set stays.
	same EINVAL "$(errno_of "os.write(os.open('$B/config/spec', os.O_WRONLY), b'{\"cwd\": }')")"
	same $'{ \n}' "$(cat "$B/config/spec")"
	inside : >/dev/null
	same EBUSY "$(errno_of "os.write(os.open('$B/config/spec', os.O_WRONLY), b'{')")"
}

@test "good values in their several spellings" {
	local_only 'settings of its own'
	local pair
	# A limit that cannot be kept on this machine is refused as such, not as a bad value.
	for pair in 'memory 512M' 'memory 4Gi' 'memory 1073741824' 'cpu 2' 'cpu 0.5' 'cpu 500m' 'pids 100'; do
		put "$B/config/${pair%% *}" "${pair#* }" 2>"$T/refused" || grep -q 'not supported' "$T/refused"
	done
	for pair in 'lifetime 90' 'lifetime 5m' \
		'lifetime 2h' 'lifetime 1d' 'network none' 'network host' 'image host' 'spec {}'; do
		keeps "${pair%% *}" "${pair#* }"
	done
}

@test "what the local backend does not have is refused, not ignored" {
	local_only 'settings of its own'
	put "$B/config/gpu" 1 2>"$T/refused" || true
	if [ ! -s "$T/refused" ]; then
		put "$B/cmd" 'echo must not run'
		reads "$B/wait" '125\n'
	fi
	grep -qi gpu "$B/error"
}

@test "cwd of a command wins over config/cwd" {
	put "$B/config/cwd" /var
	put "$B/cmd" '{"command": ["pwd"], "cwd": "/tmp"}'
	reads "$B/stdout" '/tmp\n'
}

@test "command: the sandbox's main process, its output in logs" {
	local_only 'logs have tests of their own there'
	put "$B/config/command" 'echo main is up; sleep 1000'
	put "$B/ctl" start
	same 'main is up' "$(timeout 60 head -n 1 "$B/logs")"
	same aside "$(inside 'echo aside')"
	state_is running
}

@test "a main process that ends well completes its sandbox" {
	local_only 'logs have tests of their own there'
	put "$B/config/command" 'echo bye'
	put "$B/ctl" start
	eventually 40 state_is completed
	reads "$B/logs" 'bye\n'
}

@test "a main process that fails makes it failed" {
	put "$B/config/command" 'echo oops >&2; exit 3'
	put "$B/ctl" start
	eventually 40 state_is failed
	[ -s "$B/error" ]
}

@test "lifetime: the sandbox ends by itself" {
	put "$B/config/lifetime" 2
	put "$B/cmd" 'echo begun; sleep 1000'
	same begun "$(timeout 60 head -n 1 "$B/stdout")"
	eventually 40 eval '! state_is running && ! state_is terminating'
	state_is '@(terminated|completed)' || state_is terminated
	[[ $(cat "$B/status") == @(canceled|lost) ]]
	same 125 "$(cat "$B/wait")"
	# The remote service says it in its own words.
	[ "$BACKEND" != local ] || same 'ENDED: the lifetime of the sandbox was over' "$(cat "$B/error")"
	grep -q lifetime "$B/error"
	eventually 40 eval '[ -z "$(agents)" ]'
}

@test "network: none has a loopback at most, host is the host's" {
	local_only 'settings of its own'
	same lo "$(echo $(inside "tail -n +3 /proc/net/dev | cut -d: -f1"))"
	mkdir "$S/net"
	put "$S/net/config/network" host
	put "$S/net/cmd" 'readlink /proc/self/ns/net'
	reads "$S/net/stdout" '%s\n' "$(readlink /proc/self/ns/net)"
}

@test "image: a directory with a root file system, which is never written to" {
	local_only 'settings of its own'
	make_image
	local before
	before=$(find "$T/image" -printf '%p %s %m %T@\n' | sort | sha256sum)
	put "$B/config/image" "$T/image"
	same 'from the image' "$(inside 'cat /etc/motd')"
	same 'changed' "$(inside 'echo changed >/etc/motd; touch /new; cat /etc/motd')"
	[ -f "$B/fs/new" ]
	fails '' grep -q root "$B/fs/etc/passwd"
	same "$before" "$(find "$T/image" -printf '%p %s %m %T@\n' | sort | sha256sum)"
	mkdir "$S/second"
	put "$S/second/config/image" "$T/image"
	put "$S/second/cmd" 'cat /etc/motd'
	reads "$S/second/stdout" 'from the image\n'
}

@test "image: copied where no overlay can be mounted, as in a container: links, holes, modes; rmdir gives up" {
	local_only 'settings of its own'
	as_root
	mkdir "$T"/{under,over,work,layers}
	mount -t overlay overlay -o "lowerdir=$T/under,upperdir=$T/over,workdir=$T/work" "$T/layers" ||
		skip 'no overlays here'
	mkdir -m 700 "$T/layers/places"
	mount_down
	mount_up -o "state_dir=$T/layers/places"
	mkdir "$S" "$B"
	make_image
	mkdir "$T/image/mounted" "$T/image/many"
	mount -t tmpfs tmpfs "$T/image/mounted"
	echo hidden >"$T/image/mounted/f"
	ln "$T/image/etc/motd" "$T/image/etc/second"
	truncate -s 1T "$T/image/sparse"
	chmod 1751 "$T/image/workspace"
	seq 20000 | (cd "$T/image/many" && xargs touch)
	put "$B/config/image" "$T/image"
	same 'from the image' "$(inside 'cat /etc/motd')"
	same '2 1751' "$(stat -c %h "$B/fs/etc/second") $(stat -c %a "$B/fs/workspace")"
	same '1099511627776 0' "$(stat -c '%s %b' "$B/fs/sparse")"
	same 20000 "$(ls "$B/fs/many" | wc -l)"
	[ ! -e "$B/fs/mounted/f" ]
	mkdir "$S/second"
	put "$S/second/config/image" "$T/image"
	put "$S/second/ctl" start
	eventually 20 eval '[ "$(ls -d "$T"/layers/places/default/*/root/many/1 | wc -l)" = 2 ]'
	rmdir "$S/second"
	same 'from the image' "$(inside 'cat /etc/second')"
	mount_down
	same '' "$(ls -A "$T/layers/places")"
	umount "$T/image/mounted" "$T/layers"
}

@test "limits are kept, or their lack is an error: never silence" {
	local_only 'settings of its own'
	put "$B/config/pids" 40
	put "$B/cmd" 'for i in $(seq 200); do sleep 5 & done 2>/dev/null; grep -lx sleep /proc/[0-9]*/comm | wc -l'
	if [ "$(timeout 30 cat "$B/wait")" = 125 ]; then
		grep -qi pids "$B/error"
	else
		local made
		made=$(cat "$B/stdout")
		[ "${made:-0}" -lt 40 ]
	fi
	mkdir "$S/m"
	if ! put "$S/m/config/memory" 64M; then # no control group can be made here: said at the write
		grep -qi memory "$S/m/error"
		return
	fi
	put "$S/m/cmd" '["perl", "-e", "my $x = q(x) x 300_000_000; print length $x"]'
	case $(timeout 60 cat "$S/m/wait") in
	0) return 1 ;;
	125) grep -qi memory "$S/m/error" ;;
	esac
}

@test "the largest limits there are start a sandbox, and beyond them is refused when written" {
	local_only 'settings of its own'
	local pair before
	for pair in 'pids 4194305' 'pids 99999999999999999' 'lifetime 4294967296'; do
		before=$(cat "$B/config/${pair% *}")
		same EINVAL "$(errno_of "os.write(os.open('$B/config/${pair% *}', os.O_WRONLY), b'${pair#* }\n')")"
		same "$before" "$(cat "$B/config/${pair% *}")"
	done
	same EINVAL "$(commit "$S/.ctl/defaults/pids" 4194305)"
	grep -q 'pids: the kernel counts to 4194304' "$S/.ctl/error"
	keeps lifetime 4294967295
	if put "$B/config/pids" 4194304 2>"$T/refused"; then
		same 4194304 "$(cat "$B/config/pids")"
	else # no control group can be made here
		grep -q 'not supported' "$T/refused"
	fi
	same started "$(inside 'echo started')"
}

@test "memory that is too little to start with: said so, and nothing is left" {
	local_only 'settings of its own'
	put "$B/config/memory" 4K || {
		grep -q LIMIT_UNAVAILABLE "$B/error"
		skip "no control group can be made here"
	}
	put "$B/cmd" 'echo never'
	reads "$B/wait" '125\n'
	grep -q '^failed OUT_OF_MEMORY: ' "$B/status"
	grep -q '^OUT_OF_MEMORY: the sandbox used more memory than its limit allows' "$B/error"
	same ENOMEM "$(errno_of "os.stat('$B/fs/etc')")"
	same '' "$(agents)"
}

@test "logs that are open when their sandbox is removed" {
	local_only 'logs have tests of their own there'
	put "$B/config/command" 'echo main is up; exec sleep 1000'
	put "$B/ctl" start
	exec 5<"$B/logs"
	same 'main is up' "$(timeout 20 head -n 1 <&5)"
	rmdir "$B"
	[ ! -e "$B" ]
	exec 5<&-
	mkdir "$B"
	same alive "$(inside 'echo alive')"
}

@test "a sandbox with a main process that breaks: its commands are lost, not canceled" {
	local_only 'it kills a process of this machine'
	put "$B/config/command" 'sleep 1000'
	put "$B/ctl" start
	put "$B/cmd" 'echo half; sleep 1000'
	same half "$(timeout 20 head -n 1 "$B/stdout")"
	kill_sandbox
	reads "$B/wait" '125\n'
	[[ $(cat "$B/status") == lost* ]]
	fails 'Input/output error' cat "$B/stdout"
}
