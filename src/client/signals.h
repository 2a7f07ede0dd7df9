/* Signals that we are sent and that are meant for the command. */
#pragma once

#include "client/started.h"

/* Before any thread is made. With `tty`, also those that a terminal changes its size. */
void signals_block(bool tty);
/* From now on a thread passes them on. False: there could be none, and a line on standard error said so. */
bool signals_pass_to(const struct started *p);
/* Whether this one was. */
bool signals_passed(int signal_number);
/* Ends this program by that signal. */
_Noreturn void signals_die(int signal_number);
