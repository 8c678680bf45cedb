/* Credentials that were found to be right, so that a password hash is computed once for each and not for each
 * request. Bounded; what was not used for the longest time gives way.
 *
 * What is kept of them is a keyed hash of the file, its state, the user and the password, under a random key
 * of this process: no password can be read from it, and once the file has changed nothing in it is found any
 * more. One table a process, used by its loop alone. */
#ifndef HTTP_VERIFIED_H
#define HTTP_VERIFIED_H

#include "credentials.h"
#include "user_file.h"

enum { VERIFIED_SETS = 512, VERIFIED_WAYS = 8, VERIFIED_PROOF_BYTES = 32 };

struct proof {
	unsigned char bytes[VERIFIED_PROOF_BYTES];
};

/* The keyed hash. */
void verified_proof(const char *file, const struct file_mark *mark, const struct credentials *credentials,
		    struct proof *proof);

/* A number that a user always gets in this process, and that nobody outside can compute. */
uint64_t verified_seed(const char *user);

/* In constant time; a finding counts as use. */
bool verified_has(const struct proof *proof);

void verified_add(const struct proof *proof);

/* Whether they are of the same credentials; in constant time. */
bool verified_same(const struct proof *one, const struct proof *other);

#endif
