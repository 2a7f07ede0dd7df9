/* aviatofs doctor: what this machine has and lacks for a mount, one line for each, and what to do about it.
 */
#pragma once

/* doctor [SOURCE]; returns the exit status: 0 when a mount would work, 1 when not, 2 for words that make no
 * sense. */
int doctor_run(int argc, char **argv);
