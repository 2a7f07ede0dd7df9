# shellcheck shell=bash
# Completion of aviatofs for bash. What there is to be completed comes from `aviatofs --help`.

# The names of -o options, with an = where a value follows.
_aviatofs_options() {
	aviatofs --help 2>/dev/null | sed -nE 's/^  -o ([a-z_]+=?).*/\1/p'
}

_aviatofs_commands() {
	aviatofs --help 2>/dev/null | sed -nE '/^Commands/,$ s/^  ([a-z]+) .*/\1/p'
}

# The options of one command: what its usage says.
_aviatofs_flags() { # COMMAND
	aviatofs "$1" --help 2>&1 </dev/null | grep '^usage:' | grep -oE -e '--[a-z]+'
}

_aviatofs_reply() { # WORDS: those that $cur begins
	mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_aviatofs_paths() { # -d or -f
	compopt -o filenames 2>/dev/null
	mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen "$1" -- "$cur")
}

# The last one of the options between commas.
_aviatofs_option_list() {
	local before=
	if [[ $cur == *,* ]]; then
		before=${cur%,*},
		cur=${cur##*,}
	fi
	case $cur in
	on_exit=*)
		before+=on_exit= cur=${cur#*=}
		_aviatofs_reply 'stop keep'
		;;
	passthrough=*)
		before+=passthrough= cur=${cur#*=}
		_aviatofs_reply 'on off'
		;;
	remember=*)
		before+=remember= cur=${cur#*=}
		_aviatofs_reply 'attributes names nothing'
		;;
	state_dir=*)
		before+=state_dir= cur=${cur#*=}
		_aviatofs_paths -d
		;;
	cacert=* | credentials=*)
		before+=${cur%%=*}= cur=${cur#*=}
		_aviatofs_paths -f
		;;
	*=*) ;;
	*)
		_aviatofs_reply "$(_aviatofs_options)"
		compopt -o nospace 2>/dev/null
		;;
	esac
	COMPREPLY=("${COMPREPLY[@]/#/$before}")
}

_aviatofs_command() { # COMMAND
	case $1 in
	doctor) _aviatofs_reply 'local: aviato: https://' ;;
	wait) [[ $cur == -* ]] || _aviatofs_paths -f ;;
	run | shell) [[ $cur == -* ]] || _aviatofs_paths -d ;;
	esac
	[[ $cur != -* ]] || _aviatofs_reply "$(_aviatofs_flags "$1")"
}

_aviatofs() {
	# Bash splits words at = and : too; here only blanks do.
	local line=${COMP_LINE:0:COMP_POINT} cur previous
	local -a words
	cur=${line##*[[:blank:]]}
	read -ra words <<<"${line%"$cur"}"
	previous=${words[-1]}
	COMPREPLY=()
	if [[ $previous == -o ]]; then
		_aviatofs_option_list
	elif [[ ${#words[@]} -gt 1 && " $(_aviatofs_commands | tr '\n' ' ')" == *" ${words[1]} "* ]]; then
		_aviatofs_command "${words[1]}"
	elif [[ $cur == -* ]]; then
		_aviatofs_reply '-f -d -s -h --help -V --version -o'
	else
		[[ ${#words[@]} -gt 1 ]] || _aviatofs_reply "$(_aviatofs_commands) local: aviato: https://"
		_aviatofs_paths -d
	fi
	# What stands before the last = or : is not replaced.
	line=${line##*[[:blank:]]}
	if [[ $line == *[=:]* && ${COMP_WORDBREAKS-=:} == *[=:]* ]]; then
		line=${line%"${line##*[=:]}"}
		COMPREPLY=("${COMPREPLY[@]#"$line"}")
	fi
}

complete -o bashdefault -o default -F _aviatofs aviatofs
