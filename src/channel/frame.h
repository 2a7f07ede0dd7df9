/* Frames: the unit of the agent protocol. Shared by the daemon and the agent. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * On the wire, little-endian:
 *   u32 length of the payload | u8 type | u8 stream | u8 flags | u8 count | u32 id | payload
 * Both sides refuse a length over FRAME_PAYLOAD_MAX and close the connection.
 */
#define FRAME_HEADER	  12u
#define FRAME_COUNT_AT	  7u
#define FRAME_PAYLOAD_MAX (12u << 20)

struct frame {
	uint8_t type;	/* enum message */
	uint8_t stream; /* enum stream_number where the type has streams, else 0 */
	uint8_t flags;
	uint32_t id; /* which process; 0 for the connection itself */
	const uint8_t *payload;
	uint32_t length;
	uint8_t count; /* the agent's: see frame_count_after() */
};

/*
 * Looks for one frame at the start of `data`. Returns its whole size in bytes
 * and fills `ret_frame` (whose payload points into `data`); 0 when more bytes
 * are needed; -EPROTO when the bytes cannot be a frame.
 */
ssize_t frame_parse(const void *data, size_t len, struct frame *ret_frame);

/*
 * The agent counts its frames on a connection, 1 to 255 and then from 1 again, so that it is noticed when one
 * does not come. 0 counts nothing.
 */
static inline uint8_t frame_count_after(uint8_t count)
{
	return count == UINT8_MAX ? 1 : (uint8_t)(count + 1);
}

/* A number into the 4 or 8 bytes at `at`, little-endian. */
void store_u32(void *at, uint32_t v);
void store_u64(void *at, uint64_t v);

/* Writes a header for `f` (payload excluded) into FRAME_HEADER bytes. */
void frame_header(const struct frame *f, uint8_t out[FRAME_HEADER]);

/*
 * Payloads are written and read field by field. Strings are u32 length and
 * bytes, without a NUL. A reader that runs past the end, or meets a string
 * with an inner NUL where text is wanted, turns `bad` and yields zeros from
 * then on, so callers check once.
 */
int put_u8(struct buf *out, uint8_t v);
int put_u32(struct buf *out, uint32_t v);
int put_u64(struct buf *out, uint64_t v);
int put_bytes(struct buf *out, const void *data, uint32_t len);

struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

uint8_t get_u8(struct reader *r);
uint32_t get_u32(struct reader *r);
uint64_t get_u64(struct reader *r);
/* Points into the frame; NULL when bad. */
const uint8_t *get_bytes(struct reader *r, uint32_t *ret_len);
/* A malloc'ed C string; NULL when bad, out of memory (bad too) or holding a NUL. */
char *get_text(struct reader *r);
