/* aviatofs wait: until commands have ended, however many there are. */
#pragma once

/* wait [--any | --count N] [--timeout SECONDS] PATH...; returns the exit status. */
int client_wait(int argc, char **argv);
