#include "core/link/still.h"

#include "core/sandbox.h"

static void set(struct sandbox *s, bool is)
{
	if (s->still.is == is)
		return;
	s->still.is = is;
	if (s->front && s->front_still)
		s->front_still(s->front, is);
}

bool still_is(const struct sandbox *s)
{
	return s->still.is;
}

void still_ends(struct sandbox *s)
{
	set(s, false);
}

/* A word that speaks of fewer STARTs has crossed the last one. */
static void judge(struct sandbox *s)
{
	set(s, s->still.heard && s->still.heard_of == s->still.given);
}

void still_given(struct sandbox *s, int rc)
{
	if (rc == 0)
		s->still.given++;
	judge(s);
}

void still_heard(struct sandbox *s, uint64_t starts)
{
	s->still.heard = true;
	s->still.heard_of = starts;
	judge(s);
}

void still_unknown(struct sandbox *s)
{
	s->still.heard = false;
	s->still.given = 0;
	set(s, false);
}
