#!/usr/bin/env bats
# aviatofs doctor: one line for each thing a mount needs, and the truth of it.

load helpers

setup() {
	prepare
	unset CWSANDBOX_API_KEY AVIATO_API_KEY WANDB_API_KEY CWSANDBOX_BASE_URL AVIATO_BASE_URL WANDB_ENTITY_NAME WANDB_ENTITY
	mkdir "$T/home" "$T/tmp"
	export HOME=$T/home TMPDIR=$T/tmp
}

teardown() {
	same '' "$(ls -A "$T/tmp")"
	not pgrep -f -- "$T/tmp" >/dev/null
	sweep
}

doctor() {
	run timeout 100 "$AVIATOFS" doctor "$@"
}

# said VERDICT CHECK [WORDS]
said() {
	grep -E "^$1 +$2 .*${3:-}" <<<"$output" >/dev/null || {
		echo "no line '$1 $2 ... ${3:-}' in:"
		echo "$output"
		return 1
	}
}

@test "where tests run, a mount works, and it leaves nothing behind" {
	doctor
	same 0 "$status"
	not grep -vE '^(ok|warn|fail) +[a-z_]+ +[^ ]' <<<"$output"
	not grep '^fail' <<<"$output"
	said ok mount 'a trial mount ran a command'
	said ok isolation
	said ok bubblewrap 'bubblewrap [0-9]'
	doctor local:
	same 0 "$status"
}

@test "without bubblewrap it fails, says what to install, and does not try" {
	as_root
	run timeout 100 unshare -m --propagation private bash -c 'umount -l -a -t fuse.aviatofs; mount --bind /dev/null /usr/bin/bwrap && exec "$1" doctor' - "$AVIATOFS"
	same 1 "$status"
	said fail bubblewrap 'apt install bubblewrap'
	said fail isolation
	said fail mount 'not tried'
}

@test "without /dev/fuse" {
	as_root
	run timeout 100 unshare -m --propagation private bash -c 'umount -l -a -t fuse.aviatofs; mount -t tmpfs tmpfs /dev && exec "$1" doctor' - "$AVIATOFS"
	same 1 "$status"
	said fail fuse '/dev/fuse is missing'
}

@test "without /etc/mtab an ordinary user is told how fusermount3 will unmount" {
	as_root
	chmod 755 "$T"
	cp "$AVIATOFS" "$T/home/"
	# What it lacks in such an /etc is not the question here.
	run timeout 100 unshare -m --propagation private bash -c 'umount -l -a -t fuse.aviatofs; mount -t tmpfs tmpfs /etc && HOME=$2 exec setpriv --reuid=65534 --clear-groups "$1" doctor' \
		- "$T/home/aviatofs" "$T/home"
	said warn fusermount 'ln -s /proc/self/mounts /etc/mtab'
}

@test "a bwrap that cannot isolate is told apart from one that is missing" {
	printf '#!/bin/sh\n[ "$1" = --version ] && { echo bubblewrap 9.9; exit; }\necho "setting up uid map: Permission denied" >&2\nexit 1\n' >"$T/home/bwrap"
	chmod 755 "$T/home/bwrap"
	PATH=$T/home:$PATH doctor
	same 1 "$status"
	said ok bubblewrap 'bubblewrap 9.9'
	said fail isolation 'setting up uid map: Permission denied'
	printf '#!/bin/sh\n[ "$1" = --version ] && { echo bubblewrap 9.9; exit; }\nexec /bin/cat /dev/zero\n' >"$T/home/bwrap"
	PATH=$T/home:$PATH within 60 doctor
	same 1 "$status"
	said fail isolation 'did not end within'
}

@test "the state directory: missing, shared, not a directory" {
	[ "$(id -u)" != 0 ] || skip 'it is that of an ordinary user'
	export XDG_STATE_HOME=$T/home/state
	doctor
	said ok state "$T/home/state/aviatofs can be made"
	mkdir -p "$XDG_STATE_HOME/aviatofs"
	chmod 777 "$XDG_STATE_HOME/aviatofs"
	doctor
	same 1 "$status"
	said fail state 'can be written by others'
	chmod 700 "$XDG_STATE_HOME/aviatofs"
	doctor
	same 0 "$status"
	said ok state 'mode 0700'
	rmdir "$XDG_STATE_HOME/aviatofs"
	echo >"$XDG_STATE_HOME/aviatofs"
	doctor
	same 1 "$status"
	said fail state 'is no directory'
	unset XDG_STATE_HOME HOME
	doctor
	same 1 "$status"
	said fail state 'HOME is not set'
}

@test "the remote side: which variables are set, never what is in them; nothing is called" {
	doctor aviato:
	same 1 "$status"
	said fail credentials CWSANDBOX_API_KEY
	CWSANDBOX_API_KEY=top-secret-1 doctor aviato:
	same 0 "$status"
	said ok credentials CWSANDBOX_API_KEY
	said ok address https://
	[[ $output != *top-secret* ]]
	WANDB_API_KEY=top-secret-2 doctor aviato:
	same 1 "$status"
	[[ $output != *top-secret* ]]
	printf 'machine api.wandb.ai login user password top-secret-3\n' >"$HOME/.netrc"
	chmod 600 "$HOME/.netrc"
	WANDB_ENTITY_NAME=team doctor aviato:
	same 0 "$status"
	said ok credentials netrc
	[[ $output != *top-secret* ]]
	CWSANDBOX_API_KEY=k AVIATO_BASE_URL=https://example.test:8443 doctor aviato:
	said ok address 'https://example.test:8443 .*AVIATO_BASE_URL'
	CWSANDBOX_API_KEY=k CWSANDBOX_BASE_URL=ftp://x doctor aviato:
	same 1 "$status"
	said fail address
	CWSANDBOX_API_KEY=k doctor https://sandboxes.example.test
	said ok address 'https://sandboxes.example.test .as given'
	[[ $output != *bubblewrap* ]]
}

@test "words that make no sense, and a closed standard output" {
	doctor frob:
	same 2 "$status"
	[[ $output == *usage* ]]
	doctor local: local:
	same 2 "$status"
	timeout 100 "$AVIATOFS" doctor aviato: | head -n 1 | grep -q '^ok'
}
