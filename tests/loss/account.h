/* What became of the requests of one kind of client: every request ends in exactly one outcome. */
#ifndef LOSS_ACCOUNT_H
#define LOSS_ACCOUNT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum outcome {
	/* of a request, one each */
	GOOD,                   /* the whole right answer */
	REFUSED,                /* no connection: nobody listened */
	RESET,                  /* the connection was reset before the answer was whole */
	UNANSWERED,             /* the connection was closed, and nothing of an answer had come */
	TRUNCATED,              /* closed in the middle of the answer */
	WRONG,                  /* other bytes, another status or another length than they had to be */
	STALLED,                /* not whole, or without progress, within the limit */
	CROSSED,                /* sent while the server's FIN of a connection kept alive was on its way */
	BEHIND_CLOSE,           /* behind an answer that announced that it is the last one */
	REQUEST_OUTCOMES,
	/* of a connection, besides */
	IDLE_CLOSED = REQUEST_OUTCOMES, /* kept alive, and closed before the advertised time */
	EXPIRED,                /* kept alive, and closed after the advertised time */
	RESET_AFTER,            /* reset instead of closed after an answer that was the last one */
	UNASKED,                /* bytes that no request had asked for */
	OUTCOMES,
};

enum {
	BUCKETS_PER_OCTAVE = 32,        /* a figure is at most 3 % off */
	OCTAVES = 40,                   /* of microseconds */
};

struct account {
	uint64_t requests;
	uint64_t outcomes[OUTCOMES];
	uint64_t connections;   /* how many were opened */
	uint64_t slow, very_slow;       /* good ones that took longer than 200 ms, 1 s */
	uint64_t slowest_ns;
	uint64_t buckets[OCTAVES * BUCKETS_PER_OCTAVE];
};

/* As in the report: "unanswered". */
const char *account_name(enum outcome outcome);

/* A good answer took `ns`. */
void account_good(struct account *account, uint64_t ns);

/* Adds `other` to `account`. */
void account_add(struct account *account, const struct account *other);

/* Is every request accounted for? */
bool account_balanced(const struct account *account);

/* {"requests": ..., "good": ..., ...}; a new reference. */
json_t *account_json(const struct account *account);

#endif
