/* What a command says of itself. */
#include "core/process/process.h"

#include <string.h>

int process_exit_number(const struct process *p)
{
	switch (p->state) {
	case PROCESS_EXITED:
		return (int)p->value;
	case PROCESS_SIGNALED:
		return 128 + (int)p->value;
	case PROCESS_TIMEOUT:
		return 124;
	default:
		return 125;
	}
}

static int put_full(const struct process *p, struct buf *out)
{
	static const char *const names[STREAMS] = {"stdout", "stderr"};
	bool any = false;
	int rc = 0;

	for (int i = 0; i < STREAMS && rc == 0; i++) {
		if (p->streams[i].full) {
			rc = buf_printf(out, "%s %s", any ? "" : " full", names[i]);
			any = true;
		}
	}
	return rc;
}

int process_status(const struct process *p, struct buf *out)
{
	static const char *const words[PROCESS_STATES] = {
	    "none", "starting", "running", "exited", "signaled", "timeout", "canceled", "lost", "failed",
	};
	const char *abbreviation;
	int rc;

	switch (p->state) {
	case PROCESS_EXITED:
		rc = buf_printf(out, "exited %u", p->value);
		break;
	case PROCESS_SIGNALED:
		abbreviation = sigabbrev_np((int)p->value);
		rc = buf_printf(out, "signaled %u %s", p->value, abbreviation ? abbreviation : "RT");
		break;
	case PROCESS_FAILED:
		rc = buf_printf(out, "failed %s", p->failure ? p->failure : "NO_MEMORY: out of memory");
		break;
	default:
		rc = buf_puts(out, words[p->state]);
	}
	return rc ? rc : put_full(p, out);
}
