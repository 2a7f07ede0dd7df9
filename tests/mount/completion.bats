#!/usr/bin/env bats
# Completion in bash, zsh and fish: commands, their options, -o options and what follows them.

load helpers

FOLDER=$ROOT/scripts/completion

setup() {
	prepare
	mkdir "$T/bin" "$T/here" "$T/here/sub" "$T/here/other"
	: >"$T/here/sample.pem"
	ln -s "$AVIATOFS" "$T/bin/aviatofs"
	cd "$T/here"
	PATH=$T/bin:$PATH
	OPTIONS=$("$AVIATOFS" --help | grep -oE '^  -o [a-z_]+=?' | cut -c6-)
	COMMANDS=$("$AVIATOFS" --help | sed -nE '/^Commands/,$ s/^  ([a-z]+) .*/\1/p')
	[[ $COMMANDS == *doctor* && $OPTIONS == *on_exit=* ]]
}

teardown() {
	sweep
}

sorted() {
	echo $(tr ' ' '\n' <<<"$*" | sort -u)
}

# in_bash LINE: the replies, which take the place of what stands behind the last = or :
in_bash() {
	bash --norc -c '
		. "$1/aviatofs.bash"
		compopt() { :; }
		COMP_LINE=$2 COMP_POINT=${#2}
		_aviatofs
		echo ${COMPREPLY[@]}' - "$FOLDER" "$1"
}

in_fish() {
	HOME=$T fish --no-config -c 'source $argv[1]/aviatofs.fish; complete -C $argv[2]' "$FOLDER" "$1" | cut -f1 | tr '\n' ' ' | sed 's/ $//'
}

# Zsh's own part is played by functions that print.
in_zsh() {
	zsh -f -c '
		compadd() { while [[ $1 != -- ]]; do shift; done; shift; for w; do [[ $w != $PREFIX* ]] || print -r -- $IPREFIX$w; done }
		compset() { eval "local rest=\${PREFIX##$2}"; IPREFIX+=${PREFIX%$rest}; PREFIX=$rest }
		_files() { print -r -- FILES$1 }
		words=(${(z)2}); [[ $2 != *" " ]] || words+=("")
		CURRENT=${#words} PREFIX=$words[-1] IPREFIX=
		. "$1/_aviatofs"' - "$FOLDER" "$1"
}

@test "bash" {
	bash -n "$FOLDER/aviatofs.bash"
	same "$(sorted "$COMMANDS" local: aviato: https:// sub other)" "$(sorted "$(in_bash 'aviatofs ')")"
	same doctor "$(in_bash 'aviatofs doc')"
	same sub "$(in_bash 'aviatofs local: s')"
	same "$(sorted -f -d -s -h --help -V --version -o)" "$(sorted "$(in_bash 'aviatofs -')")"
	same "$(sorted "$OPTIONS")" "$(sorted "$(in_bash 'aviatofs -o ')")"
	same on_exit= "$(in_bash 'aviatofs /mnt -o on')"
	# What stands before = is the shell's to keep.
	same 'stop keep' "$(in_bash 'aviatofs -o on_exit=')"
	same keep "$(in_bash 'aviatofs local: /mnt -o umask=022,on_exit=k')"
	same 'on off' "$(in_bash 'aviatofs -o passthrough=')"
	same 'names nothing' "$(in_bash 'aviatofs -o umask=022,remember=n')"
	same 022,umask= "$(in_bash 'aviatofs -o umask=022,um')"
	same sub "$(in_bash 'aviatofs -o state_dir=s')"
	same 'sample.pem sub' "$(sorted "$(in_bash 'aviatofs -o cacert=s')")"
	same "$(sorted --any --count --timeout)" "$(sorted "$(in_bash 'aviatofs wait --')")"
	same "$(sorted --env --cwd --timeout --tty)" "$(sorted "$(in_bash 'aviatofs run box --')")"
	same "$(sorted --env --cwd --timeout --tty)" "$(sorted "$(in_bash 'aviatofs shell box --')")"
	same sample.pem "$(in_bash 'aviatofs wait --any sa')"
	same 'other sub' "$(sorted "$(in_bash 'aviatofs run ')")"
	same "$(sorted local: aviato: https://)" "$(sorted "$(in_bash 'aviatofs doctor ')")"
	same '' "$(in_bash 'aviatofs nothing-of-that-na')"
	# In a shell as it is used.
	timeout 60 "$PYTHON" - "$FOLDER" <<-'PYTHON'
		import os, pty, select, signal, sys
		pid, fd = pty.fork()
		if pid == 0:
		    os.environ["TERM"] = "dumb"
		    os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
		text = b""
		def until(word):
		    global text
		    while word not in text:
		        if not select.select([fd], [], [], 20)[0]:
		            os.kill(pid, signal.SIGKILL)
		            sys.exit(f"no {word} in {text}")
		        text += os.read(fd, 4096)
		os.write(fd, b". %s/aviatofs.bash; echo rea''dy\n" % sys.argv[1].encode())
		until(b"ready")
		os.write(fd, b"aviatofs local: su\t")
		until(b"aviatofs local: sub/")
		os.write(fd, b" -o on_e\t")
		until(b"-o on_exit=")
		os.write(fd, b"ke\t")
		until(b"-o on_exit=keep")
		os.kill(pid, signal.SIGKILL)
		os.waitpid(pid, 0)
	PYTHON
}

@test "zsh" {
	zsh -n "$FOLDER/_aviatofs"
	same "$(sorted "$COMMANDS" local: aviato: https:// FILES-/)" "$(sorted "$(in_zsh 'aviatofs ')")"
	same "$(sorted doctor FILES-/)" "$(sorted "$(in_zsh 'aviatofs doc')")"
	same FILES-/ "$(in_zsh 'aviatofs local: s')"
	same "$(sorted "$OPTIONS")" "$(sorted "$(in_zsh 'aviatofs -o ')")"
	same umask=022,on_exit=keep "$(in_zsh 'aviatofs local: /mnt -o umask=022,on_exit=k')"
	same 'off on' "$(sorted "$(in_zsh 'aviatofs -o passthrough=')" | sed 's/passthrough=//g')"
	same umask=022,remember=names "$(in_zsh 'aviatofs -o umask=022,remember=na')"
	same FILES-/ "$(in_zsh 'aviatofs -o state_dir=s')"
	same "$(sorted --any --count --timeout)" "$(sorted "$(in_zsh 'aviatofs wait --')")"
	same "$(sorted --env --cwd --timeout --tty)" "$(sorted "$(in_zsh 'aviatofs shell box --')")"
	same FILES "$(in_zsh 'aviatofs wait --any s')"
	same local: "$(in_zsh 'aviatofs doctor l')"
}

@test "fish" {
	fish -n "$FOLDER/aviatofs.fish"
	same "$(sorted "$COMMANDS" local: aviato: https:// sub/ other/)" "$(sorted "$(in_fish 'aviatofs ')")"
	same doctor "$(in_fish 'aviatofs doc')"
	same sub/ "$(in_fish 'aviatofs local: s')"
	local options=${OPTIONS/on_exit=/on_exit=stop on_exit=keep}
	options=${options/passthrough=/passthrough=on passthrough=off}
	options=${options/remember=/remember=attributes remember=names remember=nothing}
	same "$(sorted "$options")" "$(sorted "$(in_fish 'aviatofs -o ')")"
	same umask=022,on_exit=keep "$(in_fish 'aviatofs local: /mnt -o umask=022,on_exit=k')"
	same "$(sorted --any --count --timeout)" "$(sorted "$(in_fish 'aviatofs wait --')")"
	same "$(sorted --env --cwd --timeout --tty)" "$(sorted "$(in_fish 'aviatofs shell box --')")"
	same local: "$(in_fish 'aviatofs doctor l')"
	in_fish 'aviatofs wait ./s' | grep -q sample.pem
}

@test "make install puts them where the shells look" {
	make -s -C "$ROOT" -n install DESTDIR=/dest PREFIX=/usr | tee "$T/said" >/dev/null
	grep -q 'completion/aviatofs.bash /dest/usr/share/bash-completion/completions/aviatofs$' "$T/said"
	grep -q 'completion/_aviatofs /dest/usr/share/zsh/site-functions/_aviatofs$' "$T/said"
	grep -q 'completion/aviatofs.fish /dest/usr/share/fish/vendor_completions.d/aviatofs.fish$' "$T/said"
}
