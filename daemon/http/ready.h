/* A worker's ready answers: rendered heads, and small bodies with them, of answers that last (lasting.h), by
 * what they depend on.
 *
 * Whoever fills the table says of an answer that it depends on nothing but the key, the generation and the
 * time until which it is right. An answer is dropped when its lasting ends or its generation is not the
 * current one any more, and when there is no room: then those go first that nobody has asked for again. */
#ifndef HTTP_READY_H
#define HTTP_READY_H

#include "lasting.h"

#include "base/str.h"

#include <stdint.h>

enum {
	READY_MOST = 16 * 1024,                 /* answers */
	READY_BYTES = 8 * 1024 * 1024,          /* of all of them, what belongs to the lastings not counted */
	READY_ANSWER_BYTES = 16 * 1024,         /* of one */
	READY_CHAIN = 8,                        /* that share a bucket */
};

/* GET and HEAD of the same have the same answer but for the body. */
struct ready_key {
	struct str authority, target;   /* as they were sent */
	unsigned codings;               /* what Accept-Encoding comes to (negotiate_number) */
	struct str condition;           /* If-None-Match, as it was sent; len 0: none */
};

/* Of an answer. At `date_at` of its head there are the bytes of a date that has to be made the current one;
 * at `fields_at` is what is said of a connection that is kept for `keep_s` seconds, `fields_len` bytes. */
struct ready_terms {
	uint64_t generation;            /* its number */
	uint64_t until_ns;              /* of the loop's clock; UINT64_MAX: no end */
	unsigned status;
	uint8_t row;                    /* of what is measured, see ipc/metrics.h */
	struct str head;
	uint32_t date_at, fields_at, fields_len, keep_s;
	struct str body;
	bool body_lasts;                /* it is the lasting's; else it is copied */
	struct lasting *lasting;
};

struct ready_answer {
	struct ready_answer *next;      /* in its bucket */
	uint32_t hash;
	uint16_t codings;
	bool used;                      /* since it was considered for its place last */
	struct str authority, target, condition;
	struct ready_terms terms;
	struct list link;               /* of all, the next to be considered first */
	struct lasting_holder holder;
	struct ready_table *ready;
	size_t bytes;
	char text[];
};

struct ready_table {
	struct ready_answer **buckets;  /* NULL: nothing was kept yet */
	uint64_t seed;                  /* which answers share a bucket is nobody's choice */
	struct list answers;
	unsigned count;
	size_t bytes;
};

/* Takes no memory yet. */
void ready_init(struct ready_table *ready);

/* Drops everything. */
void ready_free(struct ready_table *ready);

/* The answer for `key` that is right now; NULL: none. It stays until anything is kept, found or ended. May
 * make a system call where the lasting has `look`. */
const struct ready_answer *ready_find(struct ready_table *ready, const struct ready_key *key,
				      uint64_t generation, uint64_t now_ns);

/* Keeps a copy of the answer, in place of the one that there was; pins the lasting. False: it is too large,
 * or there is no memory. */
bool ready_keep(struct ready_table *ready, const struct ready_key *key, const struct ready_terms *terms);

#endif
