/* What a watcher knows: directories, and the names that were looked up in them.  Private to watch*.c.
 *
 * A *name* is what was found when a name was looked up in a place: nothing, a file, a directory, a symlink.
 * It is there as long as somebody depends on it: a watch whose path ends there, or a name below. A *place* is
 * a directory as it was reached: "/", below the name of a directory, or below the name of a symlink that
 * leads to one. A place behind a symlink is a place of its own, so that what depends on the symlink is what
 * is below its name; the symlink depends on what it leads to by a watch of its own. An *inode* is what the
 * kernel watches; the places that are the same directory share one.
 *
 * Whatever ends is taken out at once and told later (tree_settle), when nothing is half done. */
#ifndef BASE_WATCH_TREE_H
#define BASE_WATCH_TREE_H

#include "loop.h"
#include "str.h"
#include "watch.h"

#include <stdint.h>
#include <sys/types.h>

enum {
	WATCH_INODES = 1024,            /* chains of the table of inodes */
	WATCH_REFUSED = 64,             /* directories that are remembered because they cannot be watched */
	WATCH_IDLE = 256,               /* directories that are watched though nobody needs that now */
};

/* What the kernel watches: a directory. The kernel's watch outlives its last place for a while: to begin one
 * anew takes the kernel as long as to look at all names of the directory that it has in memory, and that may
 * be a million of names that do not exist. */
struct watched_inode {
	struct watched_inode *next;     /* of its chain */
	struct list places;
	struct list idle;               /* of tree->idle */
	struct watch_tree *tree;
	int wd;
	unsigned unwanted;              /* events since it is idle */
	bool gone;                      /* the kernel has ended the watch by itself */
	bool files;                     /* what is written to its files is told, too */
};

struct watched_place {
	struct watched_name *name;      /* whose directory it is; never NULL */
	struct watched_place *real;     /* behind a symlink: where that leads to; else itself */
	struct watched_inode *inode;
	struct list same;               /* of inode->places */
	struct watched_name **names;    /* a table with gaps (linear probing) */
	uint32_t count, room;           /* of names; room is 0 or a power of 2 */
	dev_t device;
};

enum watched_kind {
	WATCHED_OTHER,                  /* a file, nothing, or what cannot be looked into */
	WATCHED_DIRECTORY,
	WATCHED_LINK,
	WATCHED_LINK_IN_WORK,           /* where it leads to is being looked up */
	WATCHED_REFUSED,                /* a directory that cannot be watched, for the time being */
};

/* A symlink's dependency on what it leads to. */
struct watched_link {
	struct watch target;            /* target.link is in tree->links once it was told, or is over */
	struct watched_name *name;      /* NULL: that is gone */
	struct watched_place *below;    /* where it leads to, if that is a directory */
	struct watched_link *next;      /* of those that are over */
};

struct watched_name {
	struct watched_place *in;       /* NULL: it is "/" itself */
	struct list watches;            /* that end here */
	union {                         /* both NULL but for directories and symlinks */
		struct watched_place *below;
		struct watched_link *link;
	};
	uint32_t hash;
	uint8_t kind;
	uint8_t len;
	char text[];
};

struct watched_refusal {
	struct watched_name *name;
	uint64_t until_ns;
};

struct watch_tree {
	int inotify_fd;
	struct watched_name *top;       /* "/"; NULL: nothing is watched */
	struct watched_inode *inodes[WATCH_INODES];
	unsigned directories;           /* inodes that there are */
	struct list idle;               /* those of them without a place, longest first */
	unsigned idle_count;
	struct watched_refusal refused[WATCH_REFUSED];
	unsigned next_refused;
	uint64_t full_until_ns;         /* the kernel had no more watches (ENOSPC) */
	unsigned char key[16];          /* of the hash: clients choose names */
	struct watched_link *over;      /* of names that are gone, to be ended */
	struct list links;              /* of target.link: what they lead to has changed */
	struct list told;               /* of watch.link: their owners are to be told */
	struct watch_lay *lay;          /* by whom watches are laid; NULL: by the loop, at once */
};

static inline bool tree_is_link(const struct watched_name *name)
{
	return name->kind == WATCHED_LINK || name->kind == WATCHED_LINK_IN_WORK;
}

/* The directory that `name` is, or leads to; NULL: it does not. */
static inline struct watched_place *tree_below(const struct watched_name *name)
{
	if (!tree_is_link(name))
		return name->below;
	return name->link == NULL ? NULL : name->link->below;
}

void tree_init(struct watch_tree *tree, int inotify_fd);

/* Those in `watches` (by watch.link) are told by tree_settle. */
void tree_tell_all(struct watch_tree *tree, struct list *watches);

/* Ends all, and tells in tree_settle. */
void tree_end_all(struct watch_tree *tree);

/* Tells, and ends what depends on what was told, until there is nothing more. */
void tree_settle(struct watch_tree *tree);

struct watched_name *tree_find(struct watch_tree *tree, struct watched_place *place, struct str text);

/* One that differs in the case of ASCII letters at most: an event may have another spelling than the one that
 * was looked up, in a directory that takes them for the same (casefold in ext4(5)). */
struct watched_name *tree_find_alike(struct watch_tree *tree, struct watched_place *place, struct str text);

/* A new name, which nobody depends on yet; NULL: no memory. `in` NULL: it becomes the top. */
struct watched_name *tree_add_name(struct watch_tree *tree, struct watched_place *in, struct str text);

/* A new place below `name`, a directory or symlink; NULL: no memory, and the inode is given back if it has no
 * other place. */
struct watched_place *tree_add_place(struct watch_tree *tree, struct watched_name *name,
				     struct watched_inode *inode);

/* The inode of a kernel's watch; made if there is none. NULL: no memory, and the watch was given back. */
struct watched_inode *tree_inode(struct watch_tree *tree, int wd);

/* The same, NULL: there is none. */
struct watched_inode *tree_inode_of(const struct watch_tree *tree, int wd);

/* It has a place again. */
void tree_use_inode(struct watch_tree *tree, struct watched_inode *inode);

/* It has one less: if that was the last, it is idle. */
void tree_drop_inode(struct watch_tree *tree, struct watched_inode *inode);

/* An event of an idle one: if there are too many, or it was the last, the kernel's watch ends. */
void tree_unwanted(struct watch_tree *tree, struct watched_inode *inode);

/* Ends the kernel's watch that has been idle for longest; false: none is, or that would have to wait. */
bool tree_drop_idle(struct watch_tree *tree);

/* No more idle ones than may be. */
void tree_trim_idle(struct watch_tree *tree);

/* Forgets the idle ones; the kernel's watches end with the descriptor. */
void tree_close(struct watch_tree *tree);

/* What was found by that name counts no more: it goes, and all below it; those who depended are told by
 * tree_settle. */
void tree_end(struct watch_tree *tree, struct watched_name *name);

/* The watches that end at `name`, without those of symlinks, are told by tree_settle; nothing else ends. True
 * if there were any. */
bool tree_tell_owners(struct watch_tree *tree, struct watched_name *name);

/* Gives `name` back, and those above it, as far as nobody depends on them. */
void tree_release(struct watch_tree *tree, struct watched_name *name);

/* Gives `name` alone back, if nobody depends on it. */
void tree_drop(struct watch_tree *tree, struct watched_name *name);

/* Remembers a directory that cannot be watched: it stays, though nobody depends on it. */
void tree_refuse(struct watch_tree *tree, struct watched_name *name, uint64_t until_ns);

/* Until when. */
uint64_t tree_refused_until(const struct watch_tree *tree, const struct watched_name *name);

/* Forgets that: it is looked at again. */
void tree_forget(struct watch_tree *tree, struct watched_name *name);

/* What makes `name` a symlink, which depends on nothing yet; NULL: no memory. */
struct watched_link *tree_add_link(struct watched_name *name);

/* From now on `watch` is told when `name` ends. */
void tree_watch(struct watched_name *name, struct watch *watch);

/* Ends a watch of its owner's will: nobody is told.  Harmless on one that watches nothing. */
void tree_unwatch(struct watch *watch);

/* How `name` is found from "/" without passing a symlink, at the end of the room; NULL: it is longer. */
char *tree_path(const struct watched_name *name, char *room, size_t bytes);

#endif
