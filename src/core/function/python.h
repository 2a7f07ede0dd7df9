/* The program that calls a Python function: python3 -c PROGRAM NAME. */
#pragma once

/*
 * Its input is the length of the source in decimal and a newline, the source, and the call's JSON. It
 * prints the result as JSON, or {"error": {"type", "message", "traceback"}} and exits with 1. What the
 * source itself prints goes to standard error.
 */
extern const char python_runner[];
