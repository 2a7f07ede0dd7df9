/*
 * Which worker waits for the next request.
 *
 * The kernel wakes workers that wait at the device in the order they came, so each request would wake another
 * thread, as a rule on another CPU, where nothing is warm: that costs more than most requests do. So one
 * worker has the turn: it waits at the device and serves what it reads itself. The others wait here. One of
 * them takes the turn when a request takes longer than the next should wait: because who serves it said so,
 * or because it is seen. While requests come faster than one worker serves them, all wait at the device.
 */
#pragma once

/* Before the workers start; without it the others do nothing. 0 or -errno. Not to be undone. */
int turn_begin(void);

/* Before each read of a request, and behind one that brought one. Whoever waits in the first may be
 * cancelled, once all are. */
void turn_take(void);
void turn_serve(int device);

/* What this thread serves may take its time: another worker reads on. */
void turn_give(void);
