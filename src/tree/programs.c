/* bin/: the programs of a sandbox as programs of here. All are one file, that goes by the name it is run by.
 */
#include "tree/run.h"

#include "core/process/programs.h"

static struct object *find(const struct place *at, const char *name)
{
	return programs_has(at->sandbox, name) ? &at->sandbox->object : NULL;
}

static const char *next(const struct place *at, uint64_t *cursor, struct object **ret)
{
	*ret = &at->sandbox->object;
	return programs_next(at->sandbox, cursor);
}

static unsigned count(const struct place *at)
{
	(void)at;
	return 0;
}

static int seek(const struct place *at, const char *name, struct list **ret_wait, struct error *err)
{
	return programs_seek(at->sandbox, name, ret_wait, err);
}

const struct node program_rows[] = {
    {"", 0555, "runs the program of its name in the sandbox", .show = program_show, .constant = true,
     .brief = true},
    {0},
};

const struct children programs = {
    .kind = OBJECT_SANDBOX,
    .alike = true,
    .come_and_go = true,
    .find = find,
    .next = next,
    .count = count,
    .seek = seek,
};
