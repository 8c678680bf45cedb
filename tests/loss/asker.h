/* A client: one connection at a time, one burst of requests at a time on it, by the habits of its kind. */
#ifndef LOSS_ASKER_H
#define LOSS_ASKER_H

#include "loss/account.h"
#include "loss/answer.h"
#include "loss/endings.h"

#include "base/loop.h"

#include <netinet/in.h>
#include <sys/un.h>

enum {
	DEPTH_MAX = 16,
	KINDS = 8,
};

/* What clients of a kind do.  Zero: they do not. */
struct kind {
	const char *name;               /* in the report; the option has '-' for '_' */
	bool closes;                    /* a connection for each burst; the request says so */
	bool posts;
	bool downloads;                 /* the large file, slowly; see burst.c */
	bool waits;                     /* asks once, and again at the end: it must be open all the time */
	bool is_distant;                /* each direction takes options.distance_ns */
	bool drips;                     /* sends its request piece by piece */
	unsigned depth;                 /* at most as many requests in a burst */
};

extern const struct kind kinds[KINDS];

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

/* What is the same for all of them. */
struct askers {
	struct loop loop;
	struct files files;
	union address server;
	socklen_t server_len;
	uint64_t gap_ns;                /* the longest between two bursts on a connection */
	uint64_t pace_ns;               /* of a client from burst to burst, on average; 0: any */
	uint64_t distance_ns, drip_ns, limit_ns;
	uint64_t lifetime;              /* of a connection, in bursts, on average; 0: for ever */
	uint64_t download_rate;         /* bytes a second */
	uint64_t requests_left;
	uint64_t random;
	struct account accounts[KINDS];
	struct endings endings;
	unsigned active;                /* clients that have not come to their end */
	unsigned not_in_place;          /* those of which nothing good has been seen yet */
	unsigned opening;               /* of these, those that are at it: client.c bounds them */
	bool reopens;                   /* one that waits and loses its connection opens another */
	bool stopping;
	void (*room)(struct askers *askers);    /* a client, perhaps the last one, got in place */
};

struct asker {
	struct source source;
	struct askers *all;
	const struct kind *kind;
	struct account *account;
	struct timer next;              /* the next burst, piece or read: what a client does of itself */
	struct timer limit;
	struct timer arrival, departure;        /* of a distant one: noticed, arrived there */
	bool connecting, ending;        /* ending: all answered, the server has to close */
	bool is_broken;                 /* its end was a reset */
	bool is_crossed;                /* the server had closed when the burst arrived */
	bool started, in_place, over;
	uint64_t end_ns;                /* when a distant client notices the server's end; 0: no end yet */
	uint64_t began_ns;              /* the burst */
	uint64_t first_byte_ns;         /* of the answer that is coming */
	uint64_t answered_ns;           /* the last answer on this connection; 0: there was none */
	uint64_t kept_ns;               /* how long the server then promised to wait; 0: no word */
	unsigned bursts;
	unsigned first, count;          /* of `wants`, a ring */
	struct want wants[DEPTH_MAX];
	struct answer answer;
	char *out;                      /* the burst's bytes */
	size_t out_len, out_sent, out_allowed;
};

/* Begins: connects and asks.  `asker` is zeroed but for `all`, `kind`, `account`
 * and its descriptor of -1, and stays in place. */
void asker_start(struct asker *asker);

/* No more bursts; the one under way is finished without delay, and one that waited asks.  all->stopping is
 * set. */
void asker_finish(struct asker *asker);

/* What is not finished now is lost. */
void asker_give_up(struct asker *asker);

/* A number below `bound` (at least 1). */
uint64_t askers_random(struct askers *askers, uint64_t bound);

#endif
