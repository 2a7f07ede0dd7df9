# Completion of aviatofs for fish. What there is to be completed comes from `aviatofs --help`.

function __aviatofs_help # SED-PROGRAM
    aviatofs --help 2>/dev/null | sed -nE $argv[1]
end

function __aviatofs_commands
    __aviatofs_help '/^Commands/,$ s/^  ([a-z]+) .*/\1/p'
end

# True while the first word is none of the commands.
function __aviatofs_mounts
    set -l words (commandline -opc)
    not contains -- "$words[2]" (__aviatofs_commands)
end

function __aviatofs_runs # COMMAND...
    set -l words (commandline -opc)
    contains -- "$words[2]" $argv
end

# The last one of the options between commas.
function __aviatofs_option_list
    set -l before (commandline -ct | string replace -rf '^(.*,).*' '$1')
    set -q before[1]; or set before ''
    for option in (__aviatofs_help 's/^  -o ([a-z_]+=?).*/\1/p')
        switch $option
            case on_exit=
                printf '%s\n' $before$option{stop,keep}
            case passthrough=
                printf '%s\n' $before$option{on,off}
            case remember=
                printf '%s\n' $before$option{attributes,names,nothing}
            case '*'
                echo $before$option
        end
    end
end

# The options of a command: what its usage says.
function __aviatofs_flags
    set -l words (commandline -opc)
    aviatofs $words[2] --help 2>&1 </dev/null | grep '^usage:' | grep -oE -e '--[a-z]+'
end

complete -c aviatofs -f
complete -c aviatofs -n __fish_is_first_arg -a '(__aviatofs_commands)'
complete -c aviatofs -n __fish_is_first_arg -a 'local: aviato: https://'
complete -c aviatofs -n __aviatofs_mounts -a '(__fish_complete_directories)'
complete -c aviatofs -n __aviatofs_mounts -s f -d 'stay in the foreground'
complete -c aviatofs -n __aviatofs_mounts -s d -d 'the same, and log what happens'
complete -c aviatofs -n __aviatofs_mounts -s s -d 'one thread'
complete -c aviatofs -n __aviatofs_mounts -s h -l help -d 'a short help'
complete -c aviatofs -n __aviatofs_mounts -s V -l version -d 'versions'
complete -c aviatofs -n __aviatofs_mounts -s o -x -a '(__aviatofs_option_list)'
complete -c aviatofs -n 'not __aviatofs_mounts' -a '(__aviatofs_flags)'
complete -c aviatofs -n '__aviatofs_runs doctor' -a 'local: aviato: https://'
complete -c aviatofs -n '__aviatofs_runs wait' -F
complete -c aviatofs -n '__aviatofs_runs run shell' -a '(__fish_complete_directories)'
