/* What a shell in a sandbox says about files, read as the answer to each kind of request. */
#include "backend/aviato/stand_in/output.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was taken from it can be told to core. */
static void check_entry(const struct file_entry *e)
{
	struct file_reply reply;
	struct buf out;

	buf_init(&out, 1u << 20);
	if (file_reply_encode(&out, FILE_READDIR, &(struct file_reply){.attr.st_mode = S_IFDIR}) ||
	    file_list_put_entry(&out, e) || file_reply_decode(FILE_READDIR, out.data, out.len, &reply))
		abort();
	buf_free(&out);
}

static void read_attr(struct helper_output o)
{
	struct file_reply reply = {0}, back;
	struct buf out;

	if (helper_attr(&o, &reply.attr, &reply.text, &reply.text_len))
		return;
	buf_init(&out, 1u << 20);
	if (file_reply_encode(&out, FILE_LOOKUP, &reply) ||
	    file_reply_decode(FILE_LOOKUP, out.data, out.len, &back))
		abort();
	buf_free(&out);
}

static void read_list(struct helper_output o)
{
	struct file_entry e;
	int rc = helper_list(&o) ? 0 : 1;

	while (rc == 1)
		if ((rc = helper_entry(&o, &e)) == 1)
			check_entry(&e);
}

static void read_bytes(struct helper_output o)
{
	struct buf out;
	int rc;

	buf_init(&out, 1u << 16);
	rc = helper_bytes(&o, 5, 1000, &out);
	if (rc == 0 && out.len > 1000)
		abort();
	buf_free(&out);
}

static void read_programs(struct helper_output o)
{
	struct buf out;

	buf_init(&out, 1u << 16);
	if (helper_programs(&o, &out) == 0 && out.len && out.data[out.len - 1])
		abort();
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct helper_output o = {.at = (const char *)data, .left = size};
	struct statvfs fs;

	helper_may_end(&o);
	read_attr(o);
	read_list(o);
	read_bytes(o);
	read_programs(o);
	helper_statfs(&o, &fs);
	helper_end(&o);
	return 0;
}
