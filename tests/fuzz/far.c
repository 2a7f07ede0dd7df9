/*
 * fs/ far away between a kernel that asks and an agent that lies. The input is a script of both: what the
 * kernel asks, what the agent answers to which of the open questions (well-formed with odd values, or as
 * bytes), what it notices, when the connection is lost. What may never happen: a node that changes its type,
 * more bytes than were asked for, two replies to one request, something left at the end.
 */
#include "../unit/far_fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- The script --- */

static const uint8_t *script;
static size_t left;

static uint8_t byte(void)
{
	if (!left)
		return 0;
	left--;
	return *script++;
}

static const char *name(void)
{
	static const char *const names[] = {"a", "b", "c", "long-name", "x"};

	return names[byte() % 5];
}

/* --- What the kernel knows --- */

#define KNOWN_MAX 64

static struct known {
	uint64_t ino;
	mode_t type;
	uint64_t lookups;
} known[KNOWN_MAX];
static struct opened {
	uint64_t ino, handle;
	bool dir;
} opened[KNOWN_MAX];
static uint64_t of_request[1024]; /* the node, by half the request's number */
static uint32_t asked_size[1024];

static bool note_entry(const struct fuse_entry_out *e)
{
	struct known *free_one = NULL;

	if (!e->nodeid)
		return true;
	for (unsigned i = 0; i < KNOWN_MAX; i++) {
		if (known[i].ino == e->nodeid) {
			if (known[i].type != (e->attr.mode & S_IFMT))
				abort();
			known[i].lookups++;
			return true;
		}
		if (!known[i].ino)
			free_one = &known[i];
	}
	if (!free_one) {
		graft_forget(e->nodeid, 1);
		return false;
	}
	*free_one = (struct known){e->nodeid, e->attr.mode & S_IFMT, 1};
	return true;
}

static void note_open(uint64_t ino, uint64_t handle, bool dir)
{
	for (unsigned i = 0; i < KNOWN_MAX; i++)
		if (!opened[i].handle) {
			opened[i] = (struct opened){ino, handle, dir};
			return;
		}
	abort(); /* none is opened when there is no room */
}

static void note_listing(void)
{
	for (size_t at = 0; at + sizeof(struct fuse_direntplus) <= far_fake.len;) {
		const struct fuse_direntplus *d = (const void *)(far_fake.reply + at);

		if (!d->dirent.namelen || d->dirent.namelen > 255 ||
		    memchr(d->dirent.name, '/', d->dirent.namelen) ||
		    memchr(d->dirent.name, '\0', d->dirent.namelen))
			abort();
		note_entry(&d->entry_out);
		at += FUSE_DIRENTPLUS_SIZE(d);
	}
}

static void replied(uint32_t op)
{
	unsigned slot = far_fake.unique / 2 % 1024;

	if (far_fake.ops[slot] == 0)
		abort(); /* a second time */
	far_fake.ops[slot] = 0;
	if (far_fake.error > 0 || far_fake.error < -511)
		abort();
	if (far_fake.error)
		return;
	switch (op) {
	case FUSE_LOOKUP:
	case FUSE_MKDIR:
		note_entry(replied_entry());
		break;
	case FUSE_CREATE:
		note_entry(replied_entry());
		note_open(
		    replied_entry()->nodeid,
		    ((const struct fuse_open_out *)(far_fake.reply + sizeof(struct fuse_entry_out)))->fh,
		    false);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		note_open(of_request[slot], replied_handle(), op == FUSE_OPENDIR);
		break;
	case FUSE_READDIRPLUS:
		note_listing();
		/* fall through */
	case FUSE_READ:
	case FUSE_GETXATTR:
		if (far_fake.len > asked_size[slot])
			abort();
		break;
	}
}

static struct known *some_node(void)
{
	return &known[byte() % KNOWN_MAX];
}

static struct opened *some_open(void)
{
	return &opened[byte() % KNOWN_MAX];
}

static bool room_to_open(void)
{
	unsigned free_ones = 0;

	for (unsigned i = 0; i < KNOWN_MAX; i++)
		free_ones += !opened[i].handle;
	/* Those under way may all be answered. */
	return free_ones > KNOWN_MAX / 2;
}

static unsigned opening; /* ever, in this input */

static void ask(uint32_t op, uint64_t ino, uint32_t size, const void *arg, size_t arg_len, const char *text,
		const void *more, size_t more_len)
{
	unsigned slot = far_fake.next / 2 % 1024;

	of_request[slot] = ino;
	asked_size[slot] = size;
	kernel_asks(op, ino, arg, arg_len, text, more, more_len);
}

/* On a name in a directory. */
static void ask_name(uint8_t what, uint64_t dir)
{
	const char *at = name();
	char two[64];
	size_t len;

	switch (what) {
	case 0:
		ask(FUSE_MKDIR, dir, 0, &(struct fuse_mkdir_in){.mode = 0755}, sizeof(struct fuse_mkdir_in),
		    at, NULL, 0);
		break;
	case 1:
		ask(FUSE_UNLINK, dir, 0, NULL, 0, at, NULL, 0);
		break;
	case 2:
		len = (size_t)sprintf(two, "%s", at) + 1;
		len += (size_t)sprintf(two + len, "%s", name()) + 1;
		/* Within a directory, or up: the kernel sees to it that nothing gets into itself. */
		ask(FUSE_RENAME2, dir, 0,
		    &(struct fuse_rename2_in){.newdir = byte() & 1 ? dir : FUSE_ROOT_ID, .flags = byte() % 2},
		    sizeof(struct fuse_rename2_in), NULL, two, len);
		break;
	case 3:
		if (opening >= 8 || !room_to_open())
			break;
		opening++;
		ask(FUSE_CREATE, dir, 0,
		    &(struct fuse_create_in){.flags = O_RDWR | (byte() & 1 ? O_TMPFILE : O_CREAT),
					     .mode = 0644},
		    sizeof(struct fuse_create_in), at, NULL, 0);
		break;
	default:
		ask(FUSE_LOOKUP, dir, 0, NULL, 0, at, NULL, 0);
		break;
	}
}

/* While nothing is asked, and nothing of it open, as the kernel would. */
static void forget(struct known *n)
{
	for (unsigned i = 0; i < KNOWN_MAX; i++)
		if (opened[i].handle && opened[i].ino == n->ino)
			return;
	for (unsigned i = 0; i < 1024; i++)
		if (far_fake.ops[i])
			return;
	graft_forget(n->ino, n->lookups);
	*n = (struct known){0};
}

/* On a file or directory. */
static void ask_node(uint8_t what, struct known *n)
{
	uint64_t ino = n->ino ? n->ino : FUSE_ROOT_ID;
	bool dir = !n->ino || S_ISDIR(n->type);
	uint32_t size = 1u << byte() % 18;

	switch (what) {
	case 0:
		ask(FUSE_SETATTR, ino, 0,
		    &(struct fuse_setattr_in){.valid = byte() & 63, .size = size, .mode = 0600},
		    sizeof(struct fuse_setattr_in), NULL, NULL, 0);
		break;
	case 1:
		if ((!dir && !S_ISREG(n->type)) || opening >= 8 || !room_to_open())
			break;
		opening++;
		ask(dir ? FUSE_OPENDIR : FUSE_OPEN, ino, 0,
		    &(struct fuse_open_in){.flags = dir ? 0 : byte() % 3}, sizeof(struct fuse_open_in), NULL,
		    NULL, 0);
		break;
	case 2:
		ask(FUSE_GETXATTR, ino, size, &(struct fuse_getxattr_in){.size = size},
		    sizeof(struct fuse_getxattr_in), byte() & 1 ? "security.capability" : "user.x", NULL, 0);
		break;
	case 3:
		if (n->ino)
			forget(n);
		break;
	default:
		ask(FUSE_GETATTR, ino, 0, &(struct fuse_getattr_in){0}, sizeof(struct fuse_getattr_in), NULL,
		    NULL, 0);
		break;
	}
}

/* A file is closed when nothing is under way with it. */
static bool is_busy(const struct opened *o)
{
	for (unsigned i = 0; i < 1024; i++)
		if (far_fake.ops[i] && of_request[i] == o->ino)
			return true;
	return false;
}

static void ask_open(uint8_t what, struct opened *o)
{
	static const char bytes[8192];
	uint32_t size = 1u << byte() % 18, at = byte();

	if (what == 0 && is_busy(o))
		return;
	if (what == 0) {
		ask(o->dir ? FUSE_RELEASEDIR : FUSE_RELEASE, o->ino, 0,
		    &(struct fuse_release_in){.fh = o->handle}, sizeof(struct fuse_release_in), NULL, NULL,
		    0);
		*o = (struct opened){0};
	} else if (o->dir || what == 1) {
		ask(o->dir ? FUSE_READDIRPLUS : FUSE_READ, o->ino, size,
		    &(struct fuse_read_in){
			.fh = o->handle, .size = size, .offset = o->dir ? at : (uint64_t)at * size},
		    sizeof(struct fuse_read_in), NULL, NULL, 0);
	} else if (what == 2) {
		size = size > sizeof bytes ? sizeof bytes : size;
		ask(FUSE_WRITE, o->ino, 0,
		    &(struct fuse_write_in){.fh = o->handle, .size = size, .offset = (uint64_t)at * size},
		    sizeof(struct fuse_write_in), NULL, bytes, size);
	} else {
		ask(at & 1 ? FUSE_FSYNC : FUSE_FLUSH, o->ino, 0, &(struct fuse_flush_in){.fh = o->handle},
		    sizeof(struct fuse_flush_in), NULL, NULL, 0);
	}
}

static void kernel(void)
{
	uint8_t what = byte() % 16;
	struct known *n = some_node();
	struct opened *o;

	if (what < 6 && (!n->ino || S_ISDIR(n->type))) {
		ask_name(what, n->ino ? n->ino : FUSE_ROOT_ID);
	} else if (what < 11) {
		ask_node(what % 5, n);
	} else {
		o = some_open();
		if (o->handle)
			ask_open(what - 11, o);
	}
}

/* --- The agent --- */

#define OPEN_MAX 64

static struct {
	struct file_request q;
	uint32_t tag;
} questions[OPEN_MAX];
static unsigned question_count;

static void gather(void)
{
	while (question_count < OPEN_MAX &&
	       agent_is_asked(&questions[question_count].q, &questions[question_count].tag))
		question_count++;
}

static struct stat any_file(void)
{
	static const mode_t types[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR, 0};
	static const off_t sizes[] = {0, 1, 5, 4096, 100000, 1 << 30, INT64_MAX, -1};
	uint8_t b = byte(), c = byte();
	struct stat st = a_file(b % 8, types[b / 8 % 8] | 0644, sizes[c % 8]);

	st.st_dev = 1 + c / 128;
	st.st_nlink = c / 8 % 4;
	st.st_uid = c / 32 % 2;
	st.st_blksize = c / 64 % 2 ? 4096 : -1;
	return st;
}

static void put_list(struct buf *list, uint8_t op)
{
	struct file_entry e = {0};

	for (unsigned n = byte() % 8; n; n--) {
		e.attr = any_file();
		e.position = byte();
		e.known = byte() & 1;
		e.plain = e.position & 1;
		strcpy(e.name, name());
		if (op == FILE_READDIR)
			(void)file_list_put_entry(list, &e);
		else
			(void)file_list_put_attr(list, e.position % 4 ? 0 : ESTALE, &e.attr);
	}
}

/* False: it broke the protocol, and there is no connection any more. */
static bool answer(void)
{
	static const uint8_t bytes[FILE_READ_MAX + 1];
	struct file_reply r = {0};
	unsigned which;
	struct buf list;
	uint8_t op, how;
	uint32_t tag;
	bool good;

	gather();
	if (!question_count)
		return true;
	which = byte() % question_count;
	op = questions[which].q.op;
	tag = questions[which].tag;
	how = byte();
	if (how % 8 == 0) { /* bytes, of which it may be half right */
		size_t len = byte() < left ? byte() : left;

		len = len < left ? len : left;
		good = !agent_answers(tag, script, len);
		script += len;
		left -= len;
		return good;
	}
	questions[which] = questions[--question_count];
	buf_init(&list, 1u << 20);
	r.error = how % 8 == 1 ? 1 + byte() : 0;
	r.watch = byte() % 5;
	r.attr = any_file();
	r.parent = any_file();
	r.other = any_file();
	r.flag = byte() & 1;
	r.value = (uint64_t)byte() << (how & 64 ? 8 : 0);
	r.text = (const uint8_t *)"../a/target";
	r.text_len = byte() % 12;
	if (op == FILE_OPEN ? r.flag : op == FILE_READ || op == FILE_GETXATTR) {
		r.data = bytes;
		r.data_len = how & 128 ? byte() : (uint32_t)questions[which].q.length;
		if (op != FILE_READ && r.data_len > 4096)
			r.data_len = 4096;
	}
	if (op == FILE_READDIR || op == FILE_GETATTR)
		put_list(&list, op);
	good = !agent_replies(tag, op, &r, &list);
	buf_free(&list);
	return good;
}

static bool notice(void)
{
	struct file_changed c = {.watch = byte() % 6, .what = byte(), .after = byte()};
	struct buf out;
	bool good;

	if (byte() & 1)
		strcpy(c.name, name());
	buf_init(&out, 1024);
	if (file_changed_encode(&out, &c))
		abort();
	good = !agent_notices(out.data, out.len);
	buf_free(&out);
	return good;
}

static void lose_connection(bool for_long)
{
	core_lock();
	file_calls_suspend(far_fake.sandbox->files);
	far_changed(far_fake.graft, NULL);
	if (for_long)
		file_calls_fail(far_fake.sandbox->files, ETIMEDOUT);
	far_fake.taken = far_fake.count;
	question_count = 0;
	file_calls_resume(far_fake.sandbox->files, far_fake_send, NULL);
	core_unlock();
}

/* --- All of it --- */

static bool step(void)
{
	switch (byte() % 16) {
	case 0:
		lose_connection(byte() & 1);
		return true;
	case 1:
	case 2:
		return notice();
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
		return answer();
	default:
		kernel();
		return true;
	}
}

static void close_all(void)
{
	for (unsigned i = 0; i < KNOWN_MAX; i++)
		if (opened[i].handle)
			kernel_asks(opened[i].dir ? FUSE_RELEASEDIR : FUSE_RELEASE, opened[i].ino,
				    &(struct fuse_release_in){.fh = opened[i].handle},
				    sizeof(struct fuse_release_in), NULL, NULL, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned steps = 0;

	far_fake_begin();
	memset(known, 0, sizeof known);
	memset(opened, 0, sizeof opened);
	memset(far_fake.ops, 0, sizeof far_fake.ops);
	question_count = opening = 0;
	far_fake.replied = replied;
	script = data;
	left = size;
	far_fake_graft();
	while (left && steps++ < 400)
		if (!step())
			break;
	core_lock();
	file_calls_suspend(far_fake.sandbox->files);
	far_end(far_fake.graft);
	file_calls_fail(far_fake.sandbox->files, ESHUTDOWN);
	core_unlock();
	for (unsigned i = 0; i < 1024; i++)
		if (far_fake.ops[i])
			abort(); /* somebody still waits */
	far_fake.replied = NULL;
	close_all();
	far_fake_end();
	return 0;
}
