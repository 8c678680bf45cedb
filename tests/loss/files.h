/* The files that the clients ask for, as they must come back. */
#ifndef LOSS_FILES_H
#define LOSS_FILES_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum { FILES_MAX = 256 };

struct file {
	char name[256];
	const char *bytes;
	uint64_t size;
};

/* The regular files of a directory: the largest is for slow downloads, the others for everything else (a
 * directory of one file has it for both). */
struct files {
	struct file files[FILES_MAX];
	unsigned count;                 /* of all */
	unsigned small_count;           /* all but the last and largest one */
};

/* Maps every file of `directory` (not of those below it).  False with `err` when it cannot be read or has
 * none. */
bool files_load(struct files *files, const char *directory, struct err *err);

/* The file for slow downloads. */
const struct file *files_large(const struct files *files);

#endif
