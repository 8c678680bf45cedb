/* A set of names that belong to somebody else, to find duplicates among many in as many steps as there are
 * names. */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include "str.h"

/* Zeroed is a valid, empty set. */
struct names {
	struct str *at;                 /* malloc'ed; open addressing, at most half full; NULL text: free */
	size_t room, count;
	uint64_t looks;                 /* at places, so far: what all of it cost */
};

enum names_result { NAMES_NEW, NAMES_KNOWN, NAMES_NO_MEMORY };

/* Adds `name`, whose text must stay there as long as the set does. */
enum names_result names_add(struct names *names, struct str name);

bool names_has(struct names *names, struct str name);

/* Gives the memory back; the set is empty and usable. */
void names_free(struct names *names);

#endif
