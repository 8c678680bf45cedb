/* From a request to a file: where the route's files are, and which of them is meant. */
#ifndef SERVICE_FILES_FIND_H
#define SERVICE_FILES_FIND_H

#include "beneath.h"
#include "files_answer.h"

#include "config/setting.h"

struct files_settings {
	const char *root, *alias;       /* exactly one is set */
	struct strings index, try, precompressed;
	bool listing, dotfiles;
	unsigned symlinks;              /* enum beneath_policy */
};

/* Where the files of a request are: the directory, and the path in it. */
struct files_place {
	int root;                       /* O_PATH */
	const char *path;               /* without slashes in front; "" is the root itself */
	bool directory;                 /* the request names one: it ends with a slash */
	enum beneath_policy policy;
};

/* Opens the root of the request's files, anew for each: a deployment swaps a symlink in its path. 0, or the
 * status that says why not; `place->root` (-1 to begin with) is then as it was. */
unsigned files_locate(const struct exchange *exchange, const struct files_settings *settings,
		      struct files_place *place);

/* Finds what answers: 0 with a regular file, or with a directory when there is none but its listing; 301 for
 * a directory whose name lacks the slash; else the status that says why there is nothing: 406 where the
 * request refuses the file as it is, and it is there in no other coding.  When the root was swapped meanwhile
 * and nothing is left in the old one, the new one is `place->root`.  What `file->fd`
 * (-1 to begin with) is by then belongs to the caller in any case. */
unsigned files_find(struct exchange *exchange, const struct files_settings *settings,
		    struct files_place *place, struct file *file);

#endif
