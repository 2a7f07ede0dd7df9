/* The terminal we are on, while it is given over to a command in a sandbox. */
#pragma once

#include <stdbool.h>

/* Its size; false where there is none, or it does not know. */
bool terminal_size(unsigned *ret_columns, unsigned *ret_rows);
/* Every key goes to the command as it is. Nothing where standard input is no terminal. */
void terminal_enter(void);
/* As it was before; whether that made a difference. Any thread, any number of times. */
bool terminal_leave(void);
