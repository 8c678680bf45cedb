/* A file of users and their passwords' hashes: a line `user:hash`, where hash is what crypt(3) takes. Further
 * fields behind another colon, empty lines and lines that begin with "#" are passed over. A hash that begins
 * with "*" or "!" is no hash: that user cannot log in.
 *
 * Nothing of a file is kept: each question reads it anew, which takes little beside a password hash. */
#ifndef HTTP_USER_FILE_H
#define HTTP_USER_FILE_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>
#include <sys/stat.h>

enum {
	USER_FILE_BYTES = 4 * 1024 * 1024,
	USER_FILE_LINE_BYTES = 1024,
	USER_FILE_HASH_BYTES = 384,     /* CRYPT_OUTPUT_SIZE: with the NUL */
};

/* Which file it was, and in which state. Two that are equal, byte by byte, are the same content, but for a
 * change in the same tick of the file system's clock: see user_file_settled. */
struct file_mark {
	uint64_t device, inode, bytes;
	uint64_t modified_s, modified_ns, changed_s, changed_ns;
};

struct file_mark file_mark_of(const struct stat *stat);

/* False while the file is so young that a change to it might not show in its mark. */
bool user_file_settled(const struct file_mark *mark, int64_t now_s);

/* What a line says; a user without a text: nothing. */
struct user_line {
	struct str user, hash;
};

/* Pure. False: the line is wrong, and `err` says why. */
bool user_line_parse(struct str text, struct user_line *line, struct err *err);

/* A question: `user` and `seed` go in, the rest comes out. */
struct user_lookup {
	const char *user;
	uint64_t seed;          /* the same for a user each time, and known to nobody else */
	bool known;
	/* The user's, or for an unknown user another one's, so that it takes as long to be refused; "":
	 * nobody in the file could log in. */
	char hash[USER_FILE_HASH_BYTES];
	struct file_mark mark;
	bool steady;            /* the file did not change while it was read */
};

/* Reads the file for one user; the time does not depend on where the user stands. May block. False, with
 * `err`: it cannot be read or has a line that is wrong. */
bool user_file_find(const char *path, struct user_lookup *lookup, struct err *err);

/* Every line is right, and no user is there twice. Needs memory for the names; may block. */
bool user_file_check(const char *path, struct err *err);

#endif
