#include "options.h"

#include "channel/protocol.h"
#include "core/config.h"
#include "subcommands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ORPHAN_TIMEOUT_S 3600
#define UMASK_OWNER	 077
#define UMASK_OTHERS	 022

static const char help[] =
    "usage: aviatofs [SOURCE] MOUNTPOINT [-f] [-d] [-s] [-o OPTION,...]\n"
    "       aviatofs COMMAND ...\n"
    "\n"
    "Shows sandboxes as files: mkdir makes one, writing to cmd runs a command in it.\n"
    "SOURCE is local: (the default), local:NAME for a separate set of sandboxes, aviato: for\n"
    "the remote service, or its address, https://HOST[:PORT].\n"
    "\n"
    "  -f                   stay in the foreground\n"
    "  -d                   the same, and log what happens\n"
    "  -s                   one thread\n"
    "  -h, --help           this text\n"
    "  -V, --version        versions of this program and of libfuse\n"
    "  -o cacert=FILE       certificates to trust, instead of the system's\n"
    "  -o credentials=FILE  a file with the key for the remote service\n"
    "  -o on_exit=WHAT      stop (default) the sandboxes when the mount ends, or keep them\n"
    "  -o orphan_timeout=T  a sandbox without a mount ends after that time (default 1h)\n"
    "  -o passthrough=WHAT  on (default): the kernel reads and writes files below fs/ without\n"
    "                       the daemon, where it can; off\n"
    "  -o remember=WHAT     of files below fs/, while nothing runs in a sandbox: attributes\n"
    "                       (default), names as well, or nothing\n"
    "  -o spool_limit=SIZE  output kept per stream before a command must wait (default 1Gi)\n"
    "  -o state_dir=DIR     where sandboxes and their output are kept\n"
    "  -o timeout=T         how long an agent may be out of reach before what needs it\n"
    "                       fails (default 30s)\n"
    "  -o umask=MODE        permission bits taken off control files (default 077)\n"
    "  -o allow_other       let other users in (see fuse.conf)\n"
    "\n"
    "fusermount3 -u MOUNTPOINT ends it. The manual is aviatofs(1).\n"
    "\n"
    "Commands, of which none is mistaken for a mount point (write ./run for such a directory):\n";

void options_print_help(void)
{
	fputs(help, stdout);
	subcommands_print();
}

/* --- -o options --- */

static int bad_value(struct error *err, const char *option, const char *value)
{
	return error_set(err, EINVAL, "BAD_OPTION", "-o %s: '%.100s' is not understood", option, value);
}

static int set_on_exit(struct options *o, const char *value, struct error *err)
{
	if (strcmp(value, "keep") != 0 && strcmp(value, "stop") != 0)
		return bad_value(err, "on_exit", value);
	o->keep = strcmp(value, "keep") == 0;
	return 0;
}

/* Sizes and times are written as in config/. */
static int set_orphan_timeout(struct options *o, const char *value, struct error *err)
{
	o->orphan_timeout_s = config_parse_seconds(value);
	return o->orphan_timeout_s ? 0 : bad_value(err, "orphan_timeout", value);
}

static int set_spool_limit(struct options *o, const char *value, struct error *err)
{
	o->spool_limit = config_parse_bytes(value);
	return o->spool_limit ? 0 : bad_value(err, "spool_limit", value);
}

static int set_timeout(struct options *o, const char *value, struct error *err)
{
	o->timeout_s = config_parse_seconds(value);
	return o->timeout_s && o->timeout_s <= 86400 ? 0 : bad_value(err, "timeout", value);
}

/* Files a daemon opens have to be named from the root. */
static int set_path(char **ret, const char *option, const char *value, struct error *err)
{
	free(*ret);
	*ret = strdup(value);
	if (value[0] != '/')
		return error_set(err, EINVAL, "BAD_OPTION", "-o %s: '%.100s' is not an absolute path", option,
				 value);
	return *ret ? 0 : error_set(err, ENOMEM, "NO_MEMORY", "out of memory");
}

static int set_state_dir(struct options *o, const char *value, struct error *err)
{
	return set_path(&o->state_dir, "state_dir", value, err);
}

static int set_credentials(struct options *o, const char *value, struct error *err)
{
	return set_path(&o->credentials, "credentials", value, err);
}

static int set_cacert(struct options *o, const char *value, struct error *err)
{
	return set_path(&o->ca_file, "cacert", value, err);
}

static int set_umask(struct options *o, const char *value, struct error *err)
{
	char *end;
	unsigned long mode = strtoul(value, &end, 8);

	if (!*value || *end || mode > 0777)
		return bad_value(err, "umask", value);
	o->umask = (mode_t)mode;
	return 0;
}

static int set_passthrough(struct options *o, const char *value, struct error *err)
{
	o->no_passthrough = strcmp(value, "off") == 0;
	return o->no_passthrough || strcmp(value, "on") == 0 ? 0 : bad_value(err, "passthrough", value);
}

static int set_memory(struct options *o, const char *value, struct error *err)
{
	static const char *const words[] = {
	    [GRAFT_REMEMBER_NOTHING] = "nothing",
	    [GRAFT_REMEMBER_ATTRIBUTES] = "attributes",
	    [GRAFT_REMEMBER_NAMES] = "names",
	};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(value, words[i]) == 0) {
			o->memory = (enum graft_memory)i;
			return 0;
		}
	return bad_value(err, "remember", value);
}

static int set_spool(struct options *o, const char *value, struct error *err)
{
	o->spool_over_channel = strcmp(value, "channel") == 0;
	return o->spool_over_channel ? 0 : bad_value(err, "spool", value);
}

static int set_files(struct options *o, const char *value, struct error *err)
{
	o->files_over_channel = strcmp(value, "channel") == 0;
	return o->files_over_channel ? 0 : bad_value(err, "files", value);
}

static int set_agent(struct options *o, const char *value, struct error *err)
{
	o->no_agent = strcmp(value, "no") == 0;
	return o->no_agent ? 0 : bad_value(err, "agent", value);
}

static const struct {
	const char *name;
	int (*set)(struct options *o, const char *value, struct error *err);
} valued[] = {
    {"on_exit", set_on_exit},
    {"orphan_timeout", set_orphan_timeout},
    {"spool_limit", set_spool_limit},
    {"state_dir", set_state_dir},
    {"timeout", set_timeout},
    {"credentials", set_credentials},
    {"cacert", set_cacert},
    {"umask", set_umask},
    {"passthrough", set_passthrough},
    {"remember", set_memory},
    {"spool", set_spool},
    {"files", set_files},
    {"agent", set_agent},
};

/* Options of mount(8) and fstab that mean nothing to us, or that the kernel's defaults give already. */
static bool swallowed(const char *option)
{
	static const char *const names[] = {"_netdev", "auto",	"noauto", "user",     "nouser",	 "users",
					    "owner",   "group", "nofail", "defaults", "suid",	 "dev",
					    "nosuid",  "nodev", "async",  "atime",    "noatime", "relatime"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(option, names[i]) == 0)
			return true;
	return strncmp(option, "x-", 2) == 0 || strncmp(option, "comment=", 8) == 0;
}

/* Options that go on to libfuse as they are; of "noexec,exec" the last one counts. */
static bool passed_on(const char *option)
{
	return strcmp(option, "ro") == 0 || strcmp(option, "rw") == 0 || strcmp(option, "noexec") == 0 ||
	       strcmp(option, "exec") == 0 || strcmp(option, "auto_unmount") == 0 ||
	       strncmp(option, "fsname=", 7) == 0 || strncmp(option, "context=", 8) == 0;
}

static int add_fuse_option(struct options *o, const char *option)
{
	return fuse_opt_add_arg(&o->fuse_args, "-o") || fuse_opt_add_arg(&o->fuse_args, option) ? -ENOMEM : 0;
}

static int take_option(struct options *o, const char *option, bool *named, struct error *err)
{
	const char *equals = strchr(option, '=');

	for (size_t i = 0; equals && i < sizeof valued / sizeof *valued; i++)
		if (strlen(valued[i].name) == (size_t)(equals - option) &&
		    strncmp(valued[i].name, option, (size_t)(equals - option)) == 0)
			return valued[i].set(o, equals + 1, err);
	if (swallowed(option))
		return 0;
	if (strcmp(option, "allow_other") == 0) {
		o->allow_other = true;
		/* The kernel then checks modes and owners for everybody. */
		return add_fuse_option(o, "allow_other,default_permissions");
	}
	if (passed_on(option)) {
		*named |= strncmp(option, "fsname=", 7) == 0;
		return add_fuse_option(o, option);
	}
	return error_set(err, EINVAL, "BAD_OPTION", "unknown option -o %.100s (see aviatofs --help)", option);
}

static int take_options(struct options *o, const char *list, bool *named, struct error *err)
{
	char *copy = strdup(list), *save = NULL;
	int rc = copy ? 0 : -ENOMEM;

	for (char *w = copy ? strtok_r(copy, ",", &save) : NULL; w && rc == 0; w = strtok_r(NULL, ",", &save))
		rc = take_option(o, w, named, err);
	free(copy);
	return rc;
}

/* --- Words --- */

static int take_flag(struct options *o, const char *word, struct error *err)
{
	if (strcmp(word, "-f") == 0 || strcmp(word, "--foreground") == 0)
		o->foreground = true;
	else if (strcmp(word, "-d") == 0 || strcmp(word, "--debug") == 0)
		o->foreground = o->debug = true;
	else if (strcmp(word, "-s") == 0)
		o->single_threaded = true;
	else if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
		o->help = true;
	else if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0)
		o->version = true;
	else
		return error_set(err, EINVAL, "BAD_OPTION", "unknown option %.100s (see aviatofs --help)",
				 word);
	return 0;
}

static int take_words(struct options *o, char **words, int count, struct error *err)
{
	const char *mountpoint;
	struct stat st;

	if (count < 1 || count > 2)
		return error_set(err, EINVAL, "USAGE", "%s (see aviatofs --help)",
				 count ? "too many words: [SOURCE] MOUNTPOINT is wanted"
				       : "no mount point given");
	snprintf(o->source, sizeof o->source, "%s", count == 2 ? words[0] : "local:");
	mountpoint = words[count - 1];
	if (!realpath(mountpoint, o->mountpoint)) {
		if ((errno != ENOTCONN && errno != ECONNABORTED) ||
		    strlen(mountpoint) >= sizeof o->mountpoint)
			return error_errno(err, errno, "MOUNTPOINT", "%s", mountpoint);
		/* A dead mount cannot be resolved: it is taken as it was given. */
		strcpy(o->mountpoint, mountpoint);
	} else if (stat(o->mountpoint, &st) == 0 && !S_ISDIR(st.st_mode)) {
		return error_errno(err, ENOTDIR, "MOUNTPOINT", "%s", mountpoint);
	}
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct error *err)
{
	struct options o = {.orphan_timeout_s = ORPHAN_TIMEOUT_S,
			    .spool_limit = SPOOL_LIMIT,
			    .umask = (mode_t)-1,
			    .memory = GRAFT_REMEMBER_ATTRIBUTES};
	bool named = false, only_words = false;
	char *words[3], fsname[300];
	int count = 0, rc;

	rc = fuse_opt_add_arg(&o.fuse_args, argv[0]) ? -ENOMEM : 0;
	for (int i = 1; i < argc && rc == 0; i++) {
		const char *word = argv[i];

		if (only_words || word[0] != '-' || !word[1]) {
			if (count < 3)
				words[count++] = argv[i];
		} else if (strcmp(word, "--") == 0) {
			only_words = true;
		} else if (strncmp(word, "-o", 2) == 0) {
			if (!word[2] && i + 1 == argc)
				rc = error_set(err, EINVAL, "BAD_OPTION", "-o needs a list of options");
			else
				rc = take_options(&o, word[2] ? word + 2 : argv[++i], &named, err);
		} else {
			rc = take_flag(&o, word, err);
		}
	}
	if (rc == 0 && !o.help && !o.version)
		rc = take_words(&o, words, count, err);
	if (o.umask == (mode_t)-1)
		o.umask = o.allow_other ? UMASK_OTHERS : UMASK_OWNER;
	snprintf(fsname, sizeof fsname, "%s%s%s", "subtype=aviatofs,nosuid,nodev",
		 named ? "" : ",fsname=", named ? "" : o.source);
	if (rc == 0)
		rc = add_fuse_option(&o, fsname);
	if (rc)
		options_free(&o);
	else
		*ret = o;
	return rc;
}

void options_free(struct options *o)
{
	fuse_opt_free_args(&o->fuse_args);
	free(o->state_dir);
	free(o->credentials);
	free(o->ca_file);
}
