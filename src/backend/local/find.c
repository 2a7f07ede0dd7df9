/* Sandboxes of earlier mounts: taken over when they live, deleted when they do not. */
#include "backend/local/instance.h"
#include "backend/local/snapshots.h"

#include "base/log.h"
#include "base/loop.h"
#include "channel/pipe.h"
#include "channel/protocol.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

int local_living_agent(const struct meta *m)
{
	struct pollfd end = {.events = POLLIN};
	char boot[40];

	meta_boot(boot);
	if (m->agent <= 0 || strcmp(boot, m->boot))
		return -1;
	end.fd = pidfd_open(m->agent, 0);
	if (end.fd < 0)
		return -1;
	/* In this order: a process that took over the number would show here. */
	if (process_started(m->agent) == m->agent_started && poll(&end, 1, 0) == 0)
		return end.fd;
	close(end.fd);
	return -1;
}

/* Whether some agent still holds the spool directory, even one whose pid was never written down. */
static bool spool_in_use(int spool)
{
	return flock(spool, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
}

#define LAST_MS 2000 /* what such an agent may take to end */

static int add_frame(struct buf *out, enum message type, const struct buf *payload)
{
	const struct frame f = {.type = type, .length = (uint32_t)payload->len};
	uint8_t header[FRAME_HEADER];
	int rc;

	frame_header(&f, header);
	rc = buf_append(out, header, sizeof header);
	return rc ? rc : buf_append(out, payload->data, payload->len);
}

/* As a daemon of its own would say it: HELLO and, right behind, SHUTDOWN without a grace. */
static int say_shutdown(int socket)
{
	struct buf words, hello, grace;
	int rc;

	buf_init(&words, 64);
	buf_init(&hello, 64);
	buf_init(&grace, 64);
	rc = hello_encode(&hello, SPOOL_SHARED, 0);
	rc = rc ? rc : put_u32(&grace, 0);
	rc = rc ? rc : add_frame(&words, MSG_HELLO, &hello);
	rc = rc ? rc : add_frame(&words, MSG_SHUTDOWN, &grace);
	if (!rc && send(socket, words.data, words.len, MSG_NOSIGNAL) != (ssize_t)words.len)
		rc = -EIO;
	buf_free(&words);
	buf_free(&hello);
	buf_free(&grace);
	return rc;
}

/*
 * Who answers at the other end, as a pidfd, or -1. Not whom SO_PEERCRED names: that is who began to listen,
 * which was the daemon.
 */
static int answering_process(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec words = {.iov_base = &byte, .iov_len = 1};
	struct msghdr m = {
	    .msg_iov = &words, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct pollfd answer = {.fd = socket, .events = POLLIN};
	struct cmsghdr *c;
	struct ucred who;

	if (poll(&answer, 1, LAST_MS) <= 0 || recvmsg(socket, &m, MSG_DONTWAIT) <= 0)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
		return -1;
	memcpy(&who, CMSG_DATA(c), sizeof who);
	return pidfd_open(who.pid, 0);
}

/*
 * A daemon that died between its agent's first step and the note of it leaves an agent nobody knows by
 * pid. It has run nothing yet, as nobody was connected to it; and bwrap may not even have finished with it.
 */
static bool end_unrecorded(struct instance *i)
{
	int socket = instance_connect(&i->home), on = 1;
	struct pollfd end = {.fd = -1, .events = POLLIN};

	if (socket >= 0 && !setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) &&
	    !say_shutdown(socket))
		end.fd = answering_process(socket);
	if (end.fd >= 0) {
		poll(&end, 1, LAST_MS);
		close(end.fd);
	}
	if (socket >= 0)
		close(socket);
	return !spool_in_use(i->spool);
}

/* A maker that died before its first meta.json leaves at most the lock. */
static bool is_stillborn(int home)
{
	int fd = openat(home, ".", OPEN_DIR);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	bool only_lock = dir != NULL;

	while (dir && only_lock && (entry = readdir(dir)))
		only_lock = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
			    !strcmp(entry->d_name, "lock") || !strcmp(entry->d_name, "meta.json.new");
	if (dir)
		closedir(dir);
	return only_lock;
}

static void posted_watch(void *arg)
{
	/* Not before find() has told core of the sandbox, which makes it the owner of the pipe. */
	core_lock();
	core_unlock();
	instance_watch(arg);
}

bool local_adopt(struct instance *i)
{
	struct sandbox_leftover found = {
	    .id = i->meta.id,
	    .session = i->meta.session,
	    .name = i->meta.name,
	    .config = &i->meta.config,
	    .created = i->meta.created,
	    .started = i->meta.started,
	    .kept = i->meta.kept,
	    .instance = i,
	};
	struct pipe *pipe = socket_pipe(i->socket);

	i->pipe = pipe;
	i->phase = PHASE_RUNNING;
	i->sandbox = pipe ? sandbox_found(&found) : NULL;
	if (!i->sandbox || loop_post(posted_watch, i)) {
		log_warn("sandbox %s cannot be taken over: out of memory", i->meta.id);
		if (pipe) {
			i->socket = -1;
			pipe->ops->close(pipe);
		}
		if (i->sandbox) {
			i->phase = PHASE_ENDED;
			sandbox_ended(i->sandbox, END_FAILED, NULL);
		} else {
			instance_release(i);
		}
		return false;
	}
	snapshots_adopt(i);
	sandbox_connected(i->sandbox, pipe, i->spool);
	i->socket = i->spool = -1;
	log_info("took over sandbox %s (%s/%s)", i->meta.id, i->meta.session, i->meta.name);
	return true;
}

int local_examine(struct instance *i, const char *id, struct error *err)
{
	int rc = meta_read(i->home.dir, &i->meta, err);

	if (rc == -ENOENT && is_stillborn(i->home.dir)) {
		memcpy(i->meta.id, id, strlen(id) + 1);
		return 0;
	}
	if (rc)
		return rc;
	if (strcmp(i->meta.id, id))
		return error_set(err, EINVAL, "BAD_META", "meta.json is about another sandbox");
	i->agent_fd = local_living_agent(&i->meta);
	i->spool = openat(i->home.dir, "spool", OPEN_DIR);
	if (i->agent_fd < 0)
		return i->spool >= 0 && spool_in_use(i->spool) && !end_unrecorded(i)
			   ? error_set(err, EBUSY, "BAD_META", "an agent runs that was never written down")
			   : 0;
	i->socket = instance_connect(&i->home);
	if (i->socket < 0 || i->spool < 0)
		return error_errno(err, i->socket < 0 ? -i->socket : ENOENT, "AGENT_LOST",
				   "its agent does not answer");
	return 1;
}

static void each_leftover(void *arg, const char *id, struct home home)
{
	struct local *l = arg;
	struct instance *i = instance_new(l, NULL);
	struct error err;
	int rc;

	if (!i) {
		home_close(&home);
		return;
	}
	i->home = home;
	rc = local_examine(i, id, &err);
	if (rc > 0) {
		local_adopt(i);
	} else if (rc == 0) {
		log_info("deleting the remains of sandbox %s", id);
		instance_remove(i);
	} else {
		log_warn("%s/%s: left alone: %s", l->store.path, id, err.text);
		instance_release(i);
	}
}

void local_find(struct backend *b)
{
	struct local *l = (struct local *)b;

	store_scan(&l->store, each_leftover, l);
}
