/*
 * The agent protocol, version 1: what daemon and agent say to each other.
 *
 * docs/agent-protocol.md is the prose; this header is the one place where
 * numbers and payload layouts stand. Each side treats the other's bytes as
 * hostile: an unknown type, a short payload or an impossible value ends the
 * connection (never the agent, and never the processes it owns).
 */
#pragma once

#include "base/buf.h"
#include "channel/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define PROTOCOL_MAGIC	 0x41564654u /* "AVFT" */
#define PROTOCOL_VERSION 1u

/* How output reaches the daemon: chosen by the daemon in HELLO. */
enum spool_mode {
	/*
	 * The daemon reads the agent's spool files, and the agent says in GREW how far they reach. Up to
	 * SPOOL_HEAD_MAX bytes there is no file: these come in OUTPUT frames, of which GREW gives no more.
	 */
	SPOOL_SHARED,
	SPOOL_STREAM, /* the agent sends the bytes in OUTPUT frames */
};

enum stream_number { STREAM_OUT, STREAM_ERR, STREAMS };

enum message {
	/* daemon -> agent */
	MSG_HELLO = 1, /* u32 magic, u32 version, u8 spool_mode; then, of who has file handles to resume: u64
			  life, a random number the daemon keeps as long as it runs. Another, or none:
			  the agent drops all handles */
	MSG_START,     /* id; struct start. An id already known is ignored: a START may be repeated */
	MSG_INPUT,     /* id; u64 offset, then bytes to the end of the frame. Bytes before what was
			  already received are skipped, so INPUT may be repeated; a gap is an error */
	MSG_INPUT_END, /* id; u64 offset: stdin ends there */
	MSG_SIGNAL,    /* id; u32 Linux signal number, sent to the process group */
	MSG_CANCEL,    /* id; u32 grace in ms: TERM to the group, KILL after the grace; ends as CANCELED */
	MSG_LIMIT,     /* id; u64 spool limit in bytes, for each stream */
	MSG_WANT,      /* id, stream; u64 offset: send OUTPUT from there on (SPOOL_STREAM) */
	MSG_HAVE,      /* id, stream; u64 offset: everything before it arrived; at most OUTPUT_WINDOW
			  bytes are under way beyond it */
	MSG_FORGET,    /* id; KILL what still runs, drop the spool and the record */
	MSG_SHUTDOWN,  /* u32 grace in ms: TERM to all, KILL after the grace, BYE, exit */
	MSG_PING,      /* u64 cookie */
	MSG_FILE,      /* id: a tag of the daemon's; struct file_request (channel/file_protocol.h) */
	MSG_RESIZE,    /* id; u32 columns, u32 rows, each up to 65535: the size of its terminal */
	MSG_PROGRAMS,  /* id: a tag of the daemon's; text PATH ("": the agent's own), text name ("": all) */

	/* agent -> daemon */
	MSG_WELCOME = 64, /* u32 magic, u32 version, u64 agent start (ns since the epoch) */
	MSG_PROCESS,	  /* id; struct report: one per known process, after WELCOME */
	MSG_READY,	  /* all PROCESS frames are sent; live frames follow */
	MSG_STARTED,	  /* id; u64 when (ns since the epoch) */
	MSG_GREW,	  /* id, stream; u64 size so far; flags bit 0: full, the limit is reached */
	MSG_OUTPUT,	  /* id, stream; u64 offset, bytes (SPOOL_STREAM) */
	MSG_END,     /* id, stream; u64 size: readers may see end of file there. Bytes that a process left
			behind in the background writes later still come as GREW/OUTPUT */
	MSG_EXITED,  /* id; struct outcome */
	MSG_TAKEN,   /* id; u64 bytes of stdin the process's pipe has taken; flags bit 0: nobody reads on */
	MSG_PONG,    /* u64 cookie */
	MSG_BYE,     /* text: why the agent ends (LIFETIME, ORPHANED, SHUTDOWN); the connection closes */
	MSG_REFUSED, /* text: why the connection is closed (protocol error) */
	MSG_FILE_REPLY,	   /* id: the request's; struct file_reply */
	MSG_FILE_CHANGED,  /* struct file_changed: what the daemon has seen of a file holds no more */
	MSG_PROGRAM_NAMES, /* id: that of PROGRAMS; the names of programs there, each with a NUL behind it */
	MSG_STILL, /* u64 how many STARTs came over this connection: no process is left of these, nor any
		      other. Until the next START nothing in the sandbox changes anything */
};

#define PROGRAMS_MAX (1u << 20) /* bytes of PROGRAM_NAMES */
#define GREW_FULL    1u
#define TAKEN_CLOSED 1u

#define SPOOL_HEAD_MAX 4096u	    /* output of fewer bytes is kept in memory and makes no file */
#define OUTPUT_WINDOW  (1u << 20)   /* bytes of OUTPUT not yet acknowledged by HAVE, per stream */
#define INPUT_WINDOW   (256u << 10) /* bytes of INPUT not yet acknowledged by TAKEN, per process */
#define SPOOL_LIMIT    (1ull << 30) /* default, bytes per stream */

enum start_kind {
	START_ARGV,   /* argv, searched on PATH, no shell */
	START_SHELL,  /* /bin/sh -c text */
	START_SCRIPT, /* text starts with #!: run as a script file */
};

/* Owned strings; start_free() frees them. Limits are checked by both sides. */
struct start {
	uint8_t kind;
	bool input;		/* stdin follows in INPUT frames; otherwise stdin is empty */
	bool merge;		/* stderr goes into STREAM_OUT */
	bool tty;		/* stdin, stdout and stderr are a terminal; then `merge` is of no matter */
	uint32_t columns, rows; /* of the terminal; 0 without one */
	uint64_t timeout_ms;	/* 0: none */
	uint64_t spool_limit;	/* bytes per stream */
	char *name;		/* the daemon's name for it, given back in reports */
	char *cwd;		/* absolute; empty: the agent's own */
	char **argv;		/* NULL-terminated; kind ARGV */
	char **env;		/* NULL-terminated K=V, laid over the agent's own environment */
	char *text;		/* the command as the user wrote it; what SHELL and SCRIPT run */
	uint32_t text_len;
};

#define TERMINAL_MAX	  65535u /* columns, rows */
#define START_STRINGS_MAX 65536u /* argv or env entries */
#define START_NAME_MAX	  255u
#define START_PAYLOAD_MAX (FRAME_PAYLOAD_MAX - 4096u) /* so that a report of it fits into a frame too */
#define SIGNAL_MAX	  64u			      /* Linux signal numbers are 1 to this */

enum outcome_kind {
	OUTCOME_EXITED,	  /* value: exit code */
	OUTCOME_SIGNALED, /* value: signal number */
	OUTCOME_TIMEOUT,
	OUTCOME_CANCELED,
	OUTCOME_FAILED, /* could not be run: reason and text say why */
	OUTCOMES
};

struct outcome {
	uint8_t kind;
	uint32_t value;
	uint64_t started_ns, ended_ns; /* since the epoch */
	char reason[32];
	char text[256];
};

/* What a reconnecting daemon learns of one process. */
struct report {
	bool running;
	struct outcome outcome; /* when not running; started_ns always */
	uint64_t size[STREAMS]; /* bytes spooled */
	bool ended[STREAMS];	/* END was or would have been sent */
	bool full[STREAMS];
	uint64_t input_received; /* contiguous bytes of stdin received */
	uint64_t input_taken;	 /* of these, written to the process */
	bool input_ended;	 /* INPUT_END was received */
	bool input_closed;	 /* nobody reads on */
	struct start start;
};

/*
 * Encoders append the payload, and append nothing when they fail; decoders read all of it.
 * 0, -ENOMEM/-EFBIG, or -EPROTO, which encoders too return for what the other side would refuse.
 */
int hello_encode(struct buf *out, enum spool_mode mode, uint64_t life);
int start_encode(struct buf *out, const struct start *s);
int start_decode(const void *payload, size_t len, struct start *ret);
/* In a payload that start_decode() takes. */
void start_set_limit(void *payload, size_t len, uint64_t spool_limit);
void start_free(struct start *s);
int outcome_encode(struct buf *out, const struct outcome *o);
int outcome_decode(const void *payload, size_t len, struct outcome *ret);
int report_encode(struct buf *out, const struct report *r);
int report_decode(const void *payload, size_t len, struct report *ret); /* then start_free(&ret->start) */
/* All but the start, which comes last: for the agent, who keeps each start as it came. */
int report_encode_head(struct buf *out, const struct report *r);

/*
 * Spool files (SPOOL_SHARED): in the spool directory, "ID.out" and "ID.err",
 * made at the first byte. Writes the name into `out`.
 */
void spool_name(uint32_t id, enum stream_number stream, char out[24]);
