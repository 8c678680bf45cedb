/* A record: numbers and bytes of one thing on its way to another process of this machine.
 *
 * The same calls write and read, so that one function describes a layout for both directions. Every step is
 * checked against the record's length: what has no room, or is not there, makes the record `bad`, and from
 * then on nothing is written and everything that is read is zero. Look at `bad` once, at the end. */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include "arena.h"

#include <stdbool.h>
#include <stdint.h>

struct record {
	char *at;                       /* the caller's */
	size_t size;                    /* the room, or the bytes that are there */
	size_t len;                     /* written or read so far */
	bool reading, bad;
};

/* A record to be written into `room` bytes at `at`. */
struct record record_to(char *at, size_t room);

/* A record of `len` bytes to be read. */
struct record record_from(char *at, size_t len);

void record_u64(struct record *record, uint64_t *value);
void record_u32(struct record *record, uint32_t *value);

/* Read: anything but 0 and 1 is bad. */
void record_bool(struct record *record, bool *value);

/* Read: a value that is not below `bound` is bad. */
void record_below(struct record *record, unsigned *value, unsigned bound);

/* `len` bytes as they are, a plain structure without pointers. */
void record_raw(struct record *record, void *bytes, size_t len);

/* A length and so many bytes, at most `most` (bad otherwise). Read: points into the record, whose bytes must
 * stay. */
void record_bytes(struct record *record, struct str *bytes, size_t most);

/* A slice that may be absent, which stays absent. Read: a copy in `arena`; bad when there is no memory. */
void record_text(struct record *record, struct str *text, struct arena *arena);

/* True when all of a record that was read has been used and nothing was wrong with it. */
bool record_done(const struct record *record);

#endif
