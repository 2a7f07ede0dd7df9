/* The standard input of a command: what core sends becomes messages of its StreamExec. */
#include "backend/aviato/stand_in/command.h"

#include "base/log.h"
#include "rpc/base64.h"
#include "rpc/call.h"

#include <string.h>

#define PIECE (64u << 10) /* bytes in one message */

/* How much of it goes into the next message. */
static size_t piece(const struct command *c)
{
	size_t room = (call_room(c->call) - 64) / 4 * 3; /* in base64, and with what is around it */

	if (room > PIECE)
		room = PIECE;
	return c->input.len < room ? c->input.len : room;
}

static void send_piece(struct command *c, size_t len)
{
	static const char head[] = "{\"stdin\":\"", tail[] = "\"}";
	struct buf text;

	buf_init(&text, BASE64_ENCODED(len) + 64);
	if (buf_puts(&text, head) || base64_append(&text, c->input.data, len) || buf_puts(&text, tail) ||
	    call_send(c->call, text.data, text.len))
		log_warn("out of memory: input of a command is lost");
	buf_free(&text);
	buf_consume(&c->input, len);
	c->input_taken += len;
}

void command_pump_input(struct command *c)
{
	uint64_t before = c->input_taken;

	if (!c->call || !c->started || !c->start.input || c->input_closed)
		return;
	while (c->input.len && call_queued(c->call) < CALL_QUEUE_HIGH)
		send_piece(c, piece(c));
	if (c->input_taken != before)
		stand_in_tell_number(c->stand_in, MSG_TAKEN, c->id, 0, 0, c->input_taken, NULL, 0);
	if (!c->input_ended || c->input.len)
		return;
	c->input_closed = true;
	(void)call_send(c->call, "{\"close\":{}}", strlen("{\"close\":{}}"));
	call_finish(c->call);
}

void command_input(struct command *c, const void *data, size_t len)
{
	if (c->over || buf_append(&c->input, data, len))
		return;
	command_pump_input(c);
}

void command_input_end(struct command *c)
{
	c->input_ended = true;
	command_pump_input(c);
}
