/* The nodes of fs/ the kernel knows: their numbers, what they are, and how deep they are. */
#pragma once

#include "base/list.h"
#include "fuse/graft/graft.h"
#include "fuse/graft/index.h"

#include <pthread.h>

/*
 * A directory or symlink is identified by its place (parent node and name) and
 * the file that is there (dev, ino); other files by (dev, ino) alone, so that
 * all hard links are one node, as they are one inode to the kernel.
 *
 * Why the place counts: the kernel climbs ".." along its own dentries, so what
 * a symlink may say depends on where the kernel believes its directory to be.
 * A directory the sandbox moves is met again as a new node, in the new place;
 * the kernel's idea of an old one changes only by a rename through the mount,
 * which nodes_moving() and nodes_moved() follow.
 *
 * One lock guards everything here; it is never held across a system call.
 */
extern pthread_mutex_t graft_lock;

/* A file as an open found it. */
struct graft_version {
	bool sure; /* a later change is sure to show in the rest */
	off_t size;
	struct timespec modified, changed;
	uint64_t still; /* what graft_stillness() said; 0: to be judged by the rest alone */
};

struct graft_node {
	struct hashed by_number, by_identity;
	struct hashed by_file; /* of directories: wherever they are known */
	struct list link;      /* of graft->nodes */
	struct graft *graft;
	/*
	 * Where it is: of a directory or symlink, which is identified by that; and of what is `unheld`, where
	 * it was last seen. Else NULL.
	 */
	struct graft_node *parent;
	char *name;	 /* any bytes */
	uint64_t number; /* as the kernel calls it */
	dev_t dev;
	ino_t ino;
	mode_t type;	       /* S_IFDIR and the like; an inode's never changes */
	int fd;		       /* O_PATH; -1 once shut down. It pins the inode, so (dev, ino) is not reused */
	bool unheld;	       /* there is no descriptor, and was none: see graft/reach.h */
	struct timespec birth; /* of what is unheld */
	uint64_t lookups;
	unsigned int children; /* nodes whose parent this is; they keep it alive */

	/*
	 * After a rename into another directory the kernel may have this node in the old
	 * place or in the new until it looks it up again: `floor` is the least depth of both,
	 * valid as long as no directory moved up since.
	 */
	bool unsettled;
	unsigned int floor;
	uint64_t floor_epoch;

	/*
	 * How the kernel does I/O on a file that is open: on all opens through the same backing
	 * file, or on all by asking us. It allows no mixture. See graft/open.c.
	 */
	int32_t backing;	    /* 0: none */
	unsigned int passed, plain; /* opens of either kind */

	/* What the kernel may remember of it; see graft/still.h. */
	_Atomic enum graft_origin {
		GRAFT_UNKNOWN,
		GRAFT_OWN,     /* of the sandbox's root file system, and known in one place only */
		GRAFT_FOREIGN, /* nothing of it may be remembered */
	} origin;
	bool asked;	     /* the kernel has asked something of it */
	unsigned int mapped; /* opens through which its times may change without a request */
	uint64_t kept_since; /* when attributes were given out last, in that order; 0: none are */
	struct list kept;    /* of graft->kept, where kept_since is not 0 */

	/* As of the last open that is closed again: by then the kernel has dropped the pages it was told to.
	 */
	struct graft_version version;

	void *far; /* the graft's own, where it is far away */
};

struct graft {
	struct graft_node root;
	uint64_t key;
	unsigned int refs;   /* owners, nodes but the root, handles, running operations */
	unsigned int active; /* running operations */
	bool down;
	bool read_only;
	int descriptors_most;		    /* see graft/reach.h */
	uint64_t epoch;			    /* grows when a directory moves up through the mount */
	struct list nodes, unheld, handles; /* `unheld`: the nodes that are */
	/* See graft/still.h. */
	uint64_t root_mount; /* 0: not known */
	uint64_t still;	     /* which time of stillness it is, 0: something may run */
	uint64_t periods;
	uint64_t names_given, names_taken_back; /* counts; equal: the kernel remembers no name */
	struct list kept; /* nodes it remembers attributes of, in the order of `kept_since` */
	unsigned int kept_count;
	uint64_t kept_last;
	/* NULL where the files are reached by descriptors: in all others `fd` is -1. */
	struct far *far;
	/* The kernel has forgotten a node; all of the graft is done with. No lock held. */
	void (*far_node_gone)(void *node_far);
	void (*far_gone)(struct far *far);
};

/* An open file or directory; fi->fh. Holds a reference to its graft. */
struct files_list;
struct graft_handle {
	struct list link; /* of graft->handles */
	struct graft *graft;
	int fd;	     /* -1 once shut down */
	bool live;   /* as files_is_live() says */
	bool passed; /* counted in node->passed, else in node->plain */
	bool mapped; /* counted in node->mapped */
	bool cached; /* through the kernel's pages, and `version` is what they are of */
	struct graft_version version;
	struct graft_node *node; /* known to the kernel as long as this is open */
	dev_t dev;		 /* of that node */
	struct files_list *list; /* of a directory, else NULL */
	pthread_mutex_t lock;	 /* of `list` */
};

/*
 * Every operation runs between these. -ESHUTDOWN from graft_enter() when the sandbox ended; otherwise
 * descriptors stay open, and the graft alive, until graft_leave().
 */
int graft_enter(struct graft *g);
/* The same for one that changes files: -EROFS where none may. */
int graft_enter_to_change(struct graft *g);
void graft_leave(struct graft *g);

/*
 * The node for what `fd` (O_PATH, owned from here, also on failure) refers to, found as `name` in `dir`.
 * One more lookup is counted. `st` is of the file, and `birth` too, for a node that is or gets unheld:
 * without `fd` it does, unless it is far away. Returns NULL when out of memory.
 */
struct graft_node *graft_nodes_get(struct graft_node *dir, const char *name, int fd, const struct stat *st,
				   const struct timespec *birth);
/* That node if there is one that holds a descriptor, so that none is needed; else NULL, and nothing is
 * counted. */
struct graft_node *graft_nodes_known(struct graft_node *dir, const char *name, const struct stat *st);
/* The same file was seen there: if its node is unheld it is reached there from now on. */
void graft_nodes_seen(struct graft_node *dir, const char *name, const struct stat *st,
		      const struct timespec *birth);
bool graft_has_unheld(struct graft *g);
/* The directory an unheld node is in, which lives until graft_node_unpin(); `name` takes 256 bytes. */
struct graft_node *graft_node_place(struct graft_node *node, char *name);
void graft_node_unpin(struct graft_node *dir);
/* With the lock held: that of a number, or NULL. */
struct graft_node *graft_node_locked(struct graft *g, uint64_t number);

/* Levels below fs/, never more than the kernel believes. */
unsigned int graft_depth(struct graft_node *dir);

/* A rename; with `exchange` the two change places. */
struct graft_move {
	struct graft_node *dir, *newdir;
	const char *name, *newname;
	bool exchange;
};
/* Before the system call, whether or not it will work, and after it worked. */
void graft_nodes_moving(const struct graft_move *move);
/* Whether a directory was among what moved. */
bool graft_nodes_moved(const struct graft_move *move);

/* st_ino as shown: distinct between sandboxes, stable across mounts. */
ino_t graft_shown_ino(const struct graft *g, dev_t dev, ino_t ino);

/* Of the file or directory `node`. Takes `fd` in any case; NULL: out of memory. */
struct graft_handle *graft_handle_new(struct graft_node *node, int fd, bool directory);
void graft_handle_free(struct graft_handle *h);
