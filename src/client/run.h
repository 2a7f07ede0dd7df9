/* aviatofs run, and the executables of a mount: commands in a sandbox as if they ran here. */
#pragma once

/* run BOX [--env NAME[=VALUE]] [--cwd DIR] [--timeout S] [--tty] [--] ARGV...; returns the exit status. */
int client_run(int argc, char **argv);
/* PATH [ARGUMENT...], PATH being BOX/bin/NAME: runs NAME, without options of ours. */
int client_program(int argc, char **argv);
/* shell BOX [the same options]; returns the shell's exit status. */
int client_shell(int argc, char **argv);
