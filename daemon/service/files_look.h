/* What a look at a name says, to be compared with the next one's. */
#ifndef SERVICE_FILES_LOOK_H
#define SERVICE_FILES_LOOK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct files_look {
	int error;                      /* why there is nothing; 0: there is something */
	uint32_t mode;
	uint64_t device, inode;
	int64_t size;
	struct timespec modified, changed;
	uint64_t links;
};

/* What `stat` says. Of a directory only which one it is: what is in it is said by other names. */
struct files_look files_look_of(const struct stat *stat);

/* Looks at what `path` leads to. */
struct files_look files_look_at(const char *path);

/* The same without following what it ends with, if that is a symlink. */
struct files_look files_look_at_name(const char *path);

bool files_look_same(const struct files_look *a, const struct files_look *b);

/* The stat that it was made from, as far as it is known. */
struct stat files_look_stat(const struct files_look *look);

#endif
