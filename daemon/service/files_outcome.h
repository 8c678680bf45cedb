/* An outcome of looking for a file: what was found, by which names, and how long it lasts.  The file cache
 * makes and keeps them; a response, or whoever gives its answer again, may have one longer. */
#ifndef SERVICE_FILES_OUTCOME_H
#define SERVICE_FILES_OUTCOME_H

#include "files_find.h"
#include "files_look.h"
#include "files_tree.h"

#include "base/watch.h"
#include "http/lasting.h"
#include "net/conn.h"

struct files_outcome;

enum { FILES_BLOCK_BYTES = 16 };        /* what malloc takes for a block, besides */

/* The status of one that nobody shall try to keep for a while. */
enum { FILES_UNKNOWN = 1 };

/* A name that was looked up for it. */
struct files_name {
	struct files_name *next;
	struct files_outcome *outcome;
	struct watch watch;
	struct files_look look;         /* before what depends on it was looked up */
	size_t base_len;                /* of the root's part of the path */
	char path[];                    /* absolute */
};

/* A directory between the root and a name. */
struct files_way {
	struct files_way *next;
	struct files_look look;
	size_t len;
	char path[];                    /* absolute */
};

/* The file, in one coding: its bytes, or its descriptor, once somebody wanted it. */
struct files_copy {
	struct files_copy *next;
	struct files_outcome *outcome;
	struct list link;               /* in cache->open while it has a descriptor that is counted */
	enum coding coding;
	int fd;
	char *bytes;
	struct files_look look;
};

/* What it is the outcome of. */
struct files_key {
	struct files_tree *tree;
	struct str path;                /* below the root */
	bool directory, is_match;       /* see files_path */
	uint64_t hash;
};

struct files_cache {
	struct engine_part part;
	struct engine *engine;
	struct files_trees trees;
	struct files_outcome **places;  /* a hash table */
	size_t mask;
	struct list files, nothings;    /* those that are kept; whose turn it is to go comes first */
	struct list open;               /* of struct files_copy, the same */
	unsigned open_count;            /* descriptors, also of what is over and still in use */
	unsigned alive;                 /* outcomes */
	uint64_t bytes, nothing_bytes;  /* of all that are alive; of `nothings` */
	uint64_t generation;            /* whose bounds these are: */
	uint64_t most_bytes, largest, trust_ns;
	unsigned most_open;
	bool closed;                    /* it goes with the last outcome */
};

struct files_outcome {
	/* what each use touches, in one cache line */
	struct lasting lasting;
	struct files_cache *cache;
	uint64_t look_ns;               /* when to look at the names again */
	bool told;                      /* of every change; else each use looks */
	bool used;                      /* since its turn to go came last */
	bool negotiable;
	unsigned status;                /* 0, 301, 403, 404, or FILES_UNKNOWN */
	struct files_outcome *next;     /* in its place of the table */
	struct list link;               /* in files or nothings: it is kept */
	struct files_key key;           /* its path is below */
	size_t bytes;                   /* of all it has */
	struct str type, found;         /* of a file: its type, its path below the root; allocated */
	struct files_name *names;       /* the one that was asked for comes last */
	unsigned name_count;            /* with those of `ways` */
	struct files_way *ways;
	struct files_copy *copies;      /* the identity first */
	char path[];
};

/* An outcome that knows nothing yet, with one pin; NULL when out of memory. */
struct files_outcome *files_outcome_new(struct files_cache *cache, const struct files_key *key);

/* Says that it depends on what is at `path` below `base`. False: it cannot be known whether that changes. */
bool files_outcome_add_name(struct files_outcome *outcome, struct str base, const char *path);

/* For an outcome that nobody tells of, where not every symlink is followed: notes the directories on the way
 * to its names, for a symlink that takes the place of one may lead out of the root, to the same file. False:
 * one is a symlink, and what it leads to is not known to be below the root later on. */
bool files_outcome_add_ways(struct files_outcome *outcome);

/* Takes `fd`, what was found in `coding`, over. False when out of memory; then it is closed. */
bool files_outcome_add_copy(struct files_outcome *outcome, enum coding coding, int fd,
			    const struct stat *stat);

/* Keeps what is told of a file that was found; false when out of memory. */
bool files_outcome_describe(struct files_outcome *outcome, const struct file *file);

/* Looks at its names: true when all are as they were. Where the kernel tells, those suffice by which
 * something was found, and the first one: this is for what is told of nowhere. */
bool files_outcome_is_same(const struct files_outcome *outcome);

/* True when one of its names is so young that a clock may not tell what it is from what it will be. */
bool files_outcome_is_young(const struct files_outcome *outcome);

/* True when its file may be written to by a name that nobody watches. */
bool files_outcome_has_links(const struct files_outcome *outcome);

/* Watches nothing any more; the other one waits for what cannot be watched yet. */
void files_outcome_unwatch(struct files_outcome *outcome);
void files_outcome_watch_less(struct files_outcome *outcome);

/* True when what is far away has a part in it (base/present.h). */
bool files_outcome_is_far(const struct files_outcome *outcome);

/* Reads what is in `copy->fd`, which is closed then. CHANGED: it is not what was found, or no memory.
 * COLD: the disk would have to be waited for. */
enum files_read { FILES_READ_DONE, FILES_READ_COLD, FILES_READ_CHANGED };
enum files_read files_copy_read(struct files_copy *copy);

/* Closes its descriptor, and counts it no more. */
void files_copy_close(struct files_copy *copy);

/* Of files_cache.c: a watch on one of the names says that the outcome is over. */
void files_cache_changed(struct files_outcome *outcome);

#endif
