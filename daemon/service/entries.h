/* What is in a directory: names, sizes and times, packed, and in an order.
 *
 * The memory is mapped, so that it goes back to the system at once, and bounded twice: one directory has at
 * most ENTRIES_MOST_BYTES, and all that exist in the process together ENTRIES_TOTAL_BYTES.  A table is used
 * by one thread at a time, different tables by different threads. */
#ifndef SERVICE_ENTRIES_H
#define SERVICE_ENTRIES_H

#include "base/str.h"

#include <sys/stat.h>

/* 100,000 of the longest names there are, and of usual names several times that. */
enum {
	ENTRIES_MOST_BYTES = 32 << 20,
	ENTRIES_TOTAL_BYTES = 64 << 20,
};

enum entry_key { ENTRY_NAME, ENTRY_SIZE, ENTRY_TIME };

struct entry {
	uint64_t size;
	int64_t modified;               /* seconds since 1970 */
	bool is_directory;
	uint8_t name_len;
	char name[];
};

enum entries_result {
	ENTRIES_OK,
	ENTRIES_TOO_LARGE,              /* this one */
	ENTRIES_FULL,                   /* all together; later there may be room again */
	ENTRIES_NO_MEMORY,
};

/* Zeroed is an empty one. */
struct entries {
	char *records;                  /* mapped */
	size_t used, mapped;
	uint32_t *order, *other;        /* places of records; `other` is for sorting */
	size_t order_mapped;
	size_t count, sorted_run;
	enum entry_key key;
	bool descending;
	uint64_t total_bytes;           /* of the files */
	size_t directories;             /* of them */
};

/* Adds one; on failure nothing has changed. */
enum entries_result entries_add(struct entries *entries, struct str name, const struct stat *stat);

/* No more will be added: gives spare memory back and gets ready to be sorted by `key`. */
enum entries_result entries_seal(struct entries *entries, enum entry_key key, bool descending);

/* Sorts a bit further (one pass of a merge sort); false when all is in order: directories first, then by the
 * key, then by name.  Names compare as people expect: without case, and with numbers by their value. */
bool entries_sort_on(struct entries *entries);

/* The one at `index` of the order; sealed and sorted. */
const struct entry *entries_at(const struct entries *entries, size_t index);

/* Gives all memory back; it is empty then. */
void entries_free(struct entries *entries);

/* What all tables of the process have now. */
size_t entries_total(void);

#endif
