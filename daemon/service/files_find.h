/* From a request to a file: where the route's files are, and which of them is meant. */
#ifndef SERVICE_FILES_FIND_H
#define SERVICE_FILES_FIND_H

#include "beneath.h"
#include "files_answer.h"

#include "base/present.h"
#include "config/setting.h"
#include "http/negotiate.h"

struct files_settings {
	const char *root, *alias;       /* exactly one is set */
	struct strings index, try, precompressed;
	bool listing, dotfiles;
	unsigned symlinks;              /* enum beneath_policy */
	struct {                        /* no setting: what a worker has seen of it, see files_far.h */
		enum place place;       /* of the root */
		bool far_below;         /* something below it is PLACE_FAR */
	} seen;
};

/* Who keeps what is found: told of each path (below the directory `base`) before it is looked up, for the
 * outcome depends on what is there. */
struct files_witness {
	void (*tell)(struct files_witness *witness, struct str base, const char *path);
};

/* Where the files of a request are: the directory, and the path in it. */
struct files_place {
	int root;                       /* O_PATH */
	struct str base;                /* its path, as it is written in the settings */
	const char *path;               /* without slashes in front; "" is the root itself */
	bool directory;                 /* the request names one: it ends with a slash */
	enum beneath_policy policy;
	struct files_witness *witness;  /* NULL: nobody */
};

/* What of the request's path says which file it is, besides the settings: with `directory` and `is_match` (it
 * is the route's match itself) it is all that does. Without slashes in front. */
const char *files_path(const struct exchange *exchange, const struct files_settings *settings,
		       bool *directory, bool *is_match);

/* True when the request is for what must not be seen, see settings.dotfiles. */
bool files_is_hidden(const struct exchange *exchange, const struct files_settings *settings);

/* Opens the root of the request's files, anew for each: a deployment swaps a symlink in its path. 0, or the
 * status that says why not; `place->root` (-1 to begin with) is then as it was. */
unsigned files_locate(const struct exchange *exchange, const struct files_settings *settings,
		      struct files_place *place);

/* Says in the log, now and then, that the root cannot be opened. */
void files_root_failed(const struct files_settings *settings, int error);

/* Finds what answers: 0 with a regular file, or with a directory when there is none but its listing; 301 for
 * a directory whose name lacks the slash; else the status that says why there is nothing: 406 where the
 * request refuses the file as it is, and it is there in no other coding.  When the root was swapped meanwhile
 * and nothing is left in the old one, the new one is `place->root`.  What `file->fd`
 * (-1 to begin with) is by then belongs to the caller in any case. */
unsigned files_find(struct exchange *exchange, const struct files_settings *settings,
		    struct files_place *place, struct file *file);

/* The same before the client's say in the coding: the file as it is, whose `path` and `negotiable` are
 * set. */
unsigned files_find_plain(struct exchange *exchange, const struct files_settings *settings,
			  struct files_place *place, struct file *file);

/* Opens what holds the same as the file at `path`, of which `original` is known, in `coding`: a descriptor
 * and its `stat`, or -1 when there is nothing good. */
int files_open_sibling(struct exchange *exchange, const struct files_place *place, const char *path,
		       enum coding coding, const struct stat *original, struct stat *stat);

/* The codings that there may be siblings in, in the server's order; at most FILES_CODINGS. */
enum { FILES_CODINGS = 2 * CODINGS };   /* more than there are names */
unsigned files_codings(const struct files_settings *settings, enum coding codings[FILES_CODINGS]);

/* True when the settings' path still leads to where `file` was looked for. */
bool files_is_there(const struct files_settings *settings, const struct files_place *place,
		    const struct file *file);

#endif
