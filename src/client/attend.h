/* A command in a sandbox with our own streams and signals wired through, from its start to its end. */
#pragma once

#include "client/box.h"
#include "client/order.h"

/*
 * Runs it and returns its exit status, 128+N where signal N ended it, or CLIENT_BROKEN after a line on
 * standard error. Does not return where the command was ended by a signal that was passed on to
 * it: that ends us as well. Threads are left behind: once in a program's life, which ends then.
 */
int attend(const struct box *b, const struct order *o);
