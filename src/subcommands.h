/* aviatofs WORD ...: what the program does besides mounting. */
#pragma once

struct subcommand {
	const char *name;
	const char *usage; /* what stands behind the name */
	const char *help;  /* one line */
	/* argv[0] is the name. Returns the exit status; messages go to standard error. */
	int (*run)(int argc, char **argv);
};

/* NULL when `word` is none: then it is a source or a mount point. */
const struct subcommand *subcommand_find(const char *word);
/* One line for each, as --help shows them. */
void subcommands_print(void);
