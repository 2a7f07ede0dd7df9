/*
 * Every decoder of the agent protocol on the payload of every frame found in
 * the input. What decodes must encode again, to the same bytes.
 */
#include "channel/protocol.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_again(const struct buf *again, int rc, const struct frame *f)
{
	if (rc || again->len != f->length || memcmp(again->data, f->payload, f->length))
		abort();
}

static void decode(const struct frame *f)
{
	struct outcome outcome;
	struct report report;
	struct start start;
	struct buf again;

	buf_init(&again, FRAME_PAYLOAD_MAX);
	if (!start_decode(f->payload, f->length, &start)) {
		same_again(&again, start_encode(&again, &start), f);
		start_free(&start);
	}
	again.len = 0;
	if (!outcome_decode(f->payload, f->length, &outcome))
		same_again(&again, outcome_encode(&again, &outcome), f);
	again.len = 0;
	if (!report_decode(f->payload, f->length, &report)) {
		same_again(&again, report_encode(&again, &report), f);
		start_free(&report.start);
	}
	buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame f;
	ssize_t n;

	while ((n = frame_parse(data, size, &f)) > 0) {
		decode(&f);
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
