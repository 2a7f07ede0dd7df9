/*
 * The agent: owns the processes of one sandbox and spools their output.
 *
 * One thread. A round (loop.c) waits, lets every watch that became ready do its
 * work, runs what is due, and sends all that the daemon has to learn in one
 * write. Nothing is queued for the daemon: each process remembers what the
 * daemon was told (`told`), and the difference to what is now becomes frames
 * when there is room. So a slow or absent daemon costs no memory.
 */
#pragma once

#include "base/list.h"
#include "channel/protocol.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct agent;
struct files;
struct process;

#define PROCESSES_MAX	 4096
#define START_IN_MEMORY	 (16u << 10) /* a longer START payload is kept in a spool file */
#define OUT_PAUSE	 (1u << 20)  /* bytes waiting for the daemon beyond which nothing is added */
#define PUMP_MAX	 (1u << 20)  /* bytes moved from one pipe before others have their turn */
#define KILL_GRACE_MS	 2000	     /* between TERM and KILL where nobody chose */
#define STARTED_DELAY_MS 2	     /* STARTED waits so long to travel with the first output or the end */
#define NEVER		 UINT64_MAX  /* a deadline: ms of CLOCK_MONOTONIC */

/* A descriptor in the loop. `fd` is -1 when closed, also while events for it are still on their way. */
struct watch {
	int fd;
	void (*ready)(struct agent *a, struct watch *w, uint32_t events);
	int loop; /* the epoll it is in, and 1; 0: none */
};

/* One output stream of a process: its pipe and its spool file. */
struct stream {
	struct watch pipe; /* read end; watched unless full */
	struct process *process;
	enum stream_number number;
	struct buf head; /* all of it, while it is short and there is no file */
	int file;	 /* the spool file, -1 before it is made and after the end */
	bool made;	 /* the spool file exists, and has all that was in `head` */
	bool full;	 /* the limit, or the end of the disk: the pipe is left alone */
	bool starved;	 /* full because the spool could not be written; tried again in a while */
	bool copying;	 /* splice does not work here: read and write */
	bool grown;	 /* its pipe was enlarged */
	bool ended;	 /* the process is gone and all it wrote is in the spool */
	bool terminal;	 /* it is our end of a terminal */
	uint64_t size;	 /* bytes in the spool */
	uint64_t end;	 /* when ended: the size the daemon is told as the end */
	struct buf held; /* read from the pipe, not yet written (copying only; at most COPY_MAX) */
	/* What the connected daemon knows: */
	struct {
		uint64_t size;
		bool full, end;
		bool wanted;	     /* WANT came */
		uint64_t sent, have; /* OUTPUT sent up to here; of that, acknowledged */
	} told;
};

/* stdin of a process, when it asked for one. */
struct input {
	struct watch pipe;  /* write end, -1 when closed */
	struct buf waiting; /* received, not yet taken; at most INPUT_WINDOW */
	bool blocked;	    /* the pipe is full: waits for EPOLLOUT */
	bool end;	    /* INPUT_END came, at `received` */
	bool terminal;	    /* it is our end of a terminal */
	bool in_line;	    /* what was typed there last is no end of a line */
	bool closed;	    /* nobody reads on */
	uint64_t received, taken;
	uint64_t told_taken;
	bool told_closed;
};

enum stopping { STOP_NONE, STOP_TERM, STOP_KILLED };

struct process {
	uint32_t id;
	struct list all;    /* agent.processes, in the order of their start */
	struct list by_id;  /* agent.by_id */
	struct list by_pid; /* agent.by_pid, while `group` is set */
	struct list dirty;  /* agent.dirty: the daemon may have something to learn */
	pid_t group;	    /* process group, 0 once it cannot be signalled any more */
	bool running;
	bool forgotten; /* FORGET came while it ran: dropped when reaped */
	enum stopping stopping;
	uint8_t stopped_as; /* the outcome that its end will be told as, once stopping; else 0 */
	uint64_t deadline;  /* its timeout, or its KILL */
	uint64_t limit;	    /* spool bytes per stream */
	struct outcome outcome;
	struct stream streams[STREAMS];
	struct input input;
	struct buf start;   /* the START payload as it came, while short */
	bool start_spooled; /* it is in the file ID.start, of start_len bytes */
	uint32_t start_len;
	bool told_started, told_exited;
};

enum connection_state { CONN_NONE, CONN_HELLO, CONN_REPORTS, CONN_READY };

/* The one connection to a daemon. With --stdio it reads and writes two descriptors. */
struct connection {
	struct watch in;
	struct watch out; /* a socket has no second one: fd is -1 then */
	uint32_t in_events, out_events;
	enum connection_state state;
	bool blocked; /* the other side takes no more: waits for EPOLLOUT */
	bool ending;  /* closed once `outgoing` is sent */
	bool stalled; /* frames in `incoming` have to wait */
	bool failed;  /* out of memory: closed at the end of the round */
	struct buf incoming, outgoing;
	size_t sent;   /* of outgoing */
	size_t frame;  /* where in outgoing the frame being written starts */
	uint8_t count; /* of the frame written last */
	enum spool_mode mode;
	struct list *cursor; /* CONN_REPORTS: the last process reported */
};

#define HASH_SIZE 256

struct agent {
	int epoll;
	struct watch listener, signals;
	int spare; /* a descriptor given up for a daemon that comes, or to read the spool, when there is no
		      other; -1 if so */
	int spool; /* directory */
	bool stdio;
	bool own_spool; /* we made its files for ourselves alone: remove them at the end */
	bool is_init;	/* PID 1 of a pid namespace */
	char **environ;
	uint64_t started_ns;  /* since the epoch */
	uint64_t now;	      /* ms, monotonic; at the start of this round */
	uint64_t files_limit; /* RLIMIT_NOFILE as it was, for the children; 0: unchanged */
	struct connection conn;
	struct list processes, dirty;
	struct list trash; /* dropped processes, freed at the end of the round */
	struct list by_id[HASH_SIZE], by_pid[HASH_SIZE];
	unsigned count;	     /* entries of `processes` */
	int root;	     /* where handle 0 of requests about files is; 0: / */
	struct files *files; /* NULL before that */
	/* Deadlines */
	uint64_t next_process;	       /* the earliest of the processes', or earlier */
	uint64_t retry_at;	       /* starved streams */
	bool talk;		       /* there are news to send with this round */
	bool again;		       /* there is more to do at once */
	bool yield;		       /* file requests have had their share of this round */
	uint64_t talk_at;	       /* when delayed news have to leave */
	uint64_t starts;	       /* STARTs that came over this connection */
	bool told_still;	       /* and the daemon knows that no process is left since the last */
	uint64_t orphan_ms, orphan_at; /* nobody connected */
	uint64_t lifetime_at;
	/* The end */
	const char *ending;	       /* the word for BYE, NULL while living */
	uint64_t kill_at, end_by;      /* KILL to all; not a moment longer */
	bool killed, alone, bye, done; /* alone: no child is left */
};

/* loop.c */
struct options {
	int listener, spool; /* owned by the agent; listener -1 with stdio */
	int root;	     /* 0: the agent's own; else owned by the agent */
	bool stdio;
	uint64_t orphan_ms, lifetime_ms; /* 0: none */
};
int agent_init(struct agent *a, const struct options *o); /* 0 or -errno */
void agent_round(struct agent *a, int timeout_ms); /* waits at most so long; -1: as long as nothing is due */
void agent_run(struct agent *a);		   /* until it ends */
void agent_free(struct agent *a);
void agent_end(struct agent *a, const char *reason, uint64_t grace_ms);
int watch_add(struct agent *a, struct watch *w, uint32_t events);
void watch_change(struct agent *a, struct watch *w, uint32_t events);
void watch_pause(struct agent *a, struct watch *w); /* out of the loop, descriptor kept */
void watch_close(struct watch *w);
uint64_t clock_ms(void);
uint64_t wall_ns(void);

/* connection.c */
void connection_init(struct agent *a);
int connection_open(struct agent *a, int in,
		    int out); /* owns both (out -1: as in); replaces the present one */
void connection_close(struct agent *a);
void connection_accept(struct agent *a, struct watch *w, uint32_t events);
void connection_flush(struct agent *a);			  /* sends all that is due, as far as there is room */
void connection_refuse(struct agent *a, const char *why); /* says why, then closes */
void connection_bye(struct agent *a, const char *reason);
bool connection_room(const struct agent *a); /* whether more may be written for the daemon */

/*
 * A frame for the daemon: begin (length in `f` is of no matter), put_*() the
 * payload into what it returns, finish with 0 or what failed.
 */
struct buf *frame_begin(struct agent *a, const struct frame *f);
void frame_finish(struct agent *a, int rc);

/* tell.c: the difference between what is and what the daemon was told, as frames */
bool tell_all(struct agent *a);			      /* false: there was not enough room */
void tell_report(struct agent *a, struct process *p); /* MSG_PROCESS; what it says counts as told */
bool tell_done(struct agent *a);		      /* nothing is left to tell of anyone */
void tell_still(struct agent *a);		      /* once, when no process is left */

/* requests.c */
int request(struct agent *a, const struct frame *f, const char **ret_why); /* -EPROTO and why, or 0 */

/* files.c: requests about files (agent/files/files.h) */
int files_request(struct agent *a, const struct frame *f, const char **ret_why); /* as request() */
void files_hello(struct agent *a, uint64_t life); /* who comes; 0: nobody who has been here before */
void files_lost(struct agent *a);		  /* the connection */
void files_sync(struct agent *a);  /* what processes are about to say they changed is noticed first */
void files_flush(struct agent *a); /* there is room again */
void files_free(struct agent *a);

/* process.c */
struct process *process_find(struct agent *a, uint32_t id);
void process_start(struct agent *a, uint32_t id, const struct frame *f, struct start *s);
void process_signal(struct process *p, int sig);
void process_stop(struct agent *a, struct process *p, enum outcome_kind as, uint64_t grace_ms);
void process_resize(struct process *p, uint32_t columns, uint32_t rows);
void process_limit(struct agent *a, struct process *p, uint64_t limit);
void process_forget(struct agent *a, struct process *p);
void process_exited(struct agent *a, pid_t pid, int status);
void process_deadlines(struct agent *a);		/* those that are due; sets next_process */
void process_dirty(struct agent *a, struct process *p); /* the daemon may have something to learn of it */
void process_dirty_later(struct agent *a, struct process *p, uint64_t ms); /* the same, but it may wait */
void process_free(struct process *p);
void process_retry(struct agent *a); /* starved streams */
void process_remove(struct agent *a, struct process *p);
int process_start_payload(struct agent *a, struct process *p, struct buf *out); /* appends it */

/* spawn.c: the only place that makes, signals or reaps processes */
struct spawned {
	pid_t pid;
	int in, out, err; /* our ends; -1 where there is none */
};
int spawn(const struct agent *a, const struct start *s, struct spawned *ret, struct outcome *ret_why);
void spawn_resize(int terminal, uint32_t columns, uint32_t rows);
void spawn_signal(pid_t group, int sig);
void spawn_signal_all(struct agent *a, int sig); /* every process there is */
pid_t spawn_reap(int *ret_status);		 /* 0: none is ready; -ECHILD: none is left */

/* programs.c: each name with a NUL behind it; `name` "": all. Takes `path` apart. 0, -ENOMEM or -EFBIG */
int programs_put(const struct agent *a, char *path, const char *name, struct buf *out);

/* environment.c */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
char **environment_merge(char **base, char **over); /* free() the array only; NULL: out of memory */
const char *environment_get(char **env, const char *name);

/* spool.c */
void stream_init(struct stream *st, struct process *p, enum stream_number number);
void stream_ready(struct agent *a, struct watch *w, uint32_t events);
void stream_drain(struct agent *a, struct stream *st);	/* the process is gone: what it wrote, then the end */
void stream_resume(struct agent *a, struct stream *st); /* tries again after `full` */
void stream_close(struct stream *st);
/* Also what it keeps in memory. */
void stream_free(struct stream *st);
ssize_t stream_read(struct agent *a, const struct stream *st, uint64_t offset, void *out, size_t len);
int spool_open(struct agent *a, uint32_t id, const char *suffix, int flags);
/* By name, also where commands have taken every descriptor there is. How many bytes, or -errno. */
ssize_t spool_read(struct agent *a, uint32_t id, const char *suffix, uint64_t offset, void *out, size_t len);
void spool_remove(struct agent *a, uint32_t id, const char *suffix);
void spool_forget(struct agent *a, const struct process *p); /* all its files */

/* input.c */
int input_receive(struct agent *a, struct process *p, uint64_t offset, const uint8_t *data, size_t len,
		  const char **ret_why); /* 0 or -EPROTO */
int input_finish(struct agent *a, struct process *p, uint64_t offset, const char **ret_why);
void input_ready(struct agent *a, struct watch *w, uint32_t events);
void input_close(struct input *in);
