/* Between a transfer and the request of a duplex call. */
#pragma once

#include "rpc/transfer.h"

#define DUPLEX_BUFFER 65536u /* of curl, for each upload */

/* Of curl. */
size_t duplex_on_read(char *ret, size_t size, size_t count, void *arg);
int duplex_on_seek(void *arg, curl_off_t offset, int origin);
/* Whether all that was sent may be sent again. */
bool duplex_may_repeat(const struct call *c);
/* curl begins to send it, once more maybe: from its start. */
void duplex_begin(struct call *c);
/* Lets go of the part of `out` that curl has taken, unless it may have to be sent again. */
void duplex_drop_sent(struct call *c);
/* Of a message of `len` bytes, at most call_room(): what has to be in front of it, where its size was sent
 * ahead. 0 or -ENOMEM. */
int duplex_pad(struct call *c, size_t len);
/* As transfer_nudge(). */
void duplex_nudge(struct call *c);
/* Bytes came of which no call has heard: they may have been the end of this one. */
void duplex_doubt(struct call *c);
