/* What each client address, and each network of them, takes: a table of fixed size that all workers share, so
 * that a limit holds over all of them.
 *
 * An entry is a cache line, found by a keyed hash of the address's prefix (SipHash: nobody can aim at a
 * place), in a set of QUOTA_WAYS. Of those that have nothing open and owe nothing, so that nothing is lost
 * with them, the one that was silent for longest makes room; a client for whom there is no room is not
 * limited (quota_find says so, the caller counts it). All of it is written by atomic operations with bounded
 * retries and without a lock: whoever dies in the middle stops nobody. It is hostile memory: an index is
 * checked wherever it comes from, and no number in it can do more than limit the wrong client, or the right
 * one not.
 *
 * Open connections are counted by increments and decrements. A worker that dies leaves its share behind:
 * quota_recount begins a new epoch, in which every count is zero and each worker adds its own again, by
 * `force`. A connection that is handed over is let go of here and added there.
 *
 * How exact it is: limits hold exactly, but for two moments. When two workers meet a client that has no entry
 * in the same instant it may get two, and what began in the one that is not found again does not count. And
 * while an epoch is young, connections that were not added again do not count. */
#ifndef NET_QUOTA_H
#define NET_QUOTA_H

#include "addr.h"

#include <stdatomic.h>

enum { QUOTA_VERSION = 1 };

/* 4 MiB, touched as clients come. A connection of the number QUOTA_CONNECTIONS_MOST is not counted. */
enum { QUOTA_ENTRIES = 65536, QUOTA_WAYS = 8, QUOTA_CONNECTIONS_MOST = (1 << 20) - 1 };

/* Of an address (IPv4: all of it), and of the network around it. */
enum quota_scope { QUOTA_ADDRESS, QUOTA_NETWORK, QUOTA_SCOPES };

/* What is limited. */
enum quota_kind { QUOTA_CONNECTIONS, QUOTA_REQUESTS, QUOTA_BANDWIDTH, QUOTA_KINDS };

/* One client of one scope. */
struct quota_entry {
	_Atomic uint64_t word;          /* whose (36 bits), in which epoch (8), how many connections (20) */
	_Atomic uint64_t due_ns[2];     /* when nothing is owed any more: of requests, of bytes sent */
	_Atomic uint64_t seen_ns;
	_Atomic uint64_t said_ns[QUOTA_KINDS];  /* when a line was logged last */
	uint64_t unused;
};

struct quota {
	unsigned char key[16];
	_Atomic uint32_t epoch;
	uint32_t version;               /* of this layout; a worker may write it, as all else */
	_Atomic uint64_t said;          /* the second, and how many lines were logged in it (16 bits) */
	uint64_t unused[4];
	struct quota_entry entries[QUOTA_ENTRIES];
};

/* 0: no limit. */
struct quota_limit {
	unsigned connections;
	uint64_t request_ns;            /* of each request: CLOCK_S / requests */
	uint64_t burst_ns;              /* how far ahead of its time the last request of a burst may be */
	uint64_t bandwidth;             /* bytes a second */
};

/* What a generation says of them. */
struct quota_rules {
	bool wanted;                    /* some limit is set */
	bool dry_run;
	unsigned ipv4_bits[QUOTA_SCOPES], ipv6_bits[QUOTA_SCOPES];
	struct quota_limit limits[QUOTA_SCOPES];
	struct networks exempt;
};

/* Where a client's entries are, by scope; 0: it has none. Whoever holds them for longer than its connection
 * is open may find that somebody else has got them: then they are as 0. */
struct quota_places {
	uint32_t at[QUOTA_SCOPES];
	uint8_t epoch;                  /* in which they were found, or the connection was added */
};

/* A limit that was met. */
struct quota_excess {
	enum quota_kind kind;
	enum quota_scope scope;
	uint64_t wait_ns;               /* until it would be otherwise; of connections nobody knows */
};

/* Shared memory that children inherit, with a random key, and what it is for the next image in `fd`; NULL
 * with `err`. */
struct quota *quota_create(int *fd, struct err *err);

/* The table of the image before, so that connections of workers that go on are counted; NULL: it has another
 * layout. */
struct quota *quota_resume(int fd);

void quota_destroy(struct quota *quota);

/* The client's entries, made where there are none.  No limit, exempt, a unix socket or `quota` NULL: all 0
 * and true. False: some scope that has a limit had no room. */
bool quota_find(struct quota *quota, const struct quota_rules *rules, const union peer *client,
		uint64_t now_ns, struct quota_places *places);

/* One more connection, which quota_leave takes away again. False: one of its scopes has as many as it may, as
 * `excess` says, and none was added; with `force`, or in a dry run, it is added all the same. What could not
 * be added is 0 in `places` then. */
bool quota_enter(struct quota *quota, const struct quota_rules *rules, struct quota_places *places,
		 bool force, struct quota_excess *excess);

/* One less, unless it was added in an earlier epoch: of that nothing is left to take away. */
void quota_leave(struct quota *quota, const struct quota_places *places);

uint8_t quota_epoch(const struct quota *quota);

/* For the master, when a worker died: counts begin anew. Workers see it by quota_epoch, and enter theirs
 * again, with that epoch in their places. */
void quota_recount(struct quota *quota);

/* One more request (the generic cell rate algorithm). A wait of 0: allowed; else one would be after so long,
 * and nothing was taken, in a dry run neither. */
struct quota_excess quota_request(struct quota *quota, const struct quota_rules *rules,
				  const struct quota_places *places, uint64_t now_ns);

/* `bytes` were sent. A wait of 0: go on; else nothing more is to be sent for so long, which is at most
 * QUOTA_PAUSE_MOST_NS. They are taken either way, in a dry run only if there is no wait. */
struct quota_excess quota_sent(struct quota *quota, const struct quota_rules *rules,
			       const struct quota_places *places, uint64_t bytes, uint64_t now_ns);

#define QUOTA_PAUSE_MOST_NS (60 * UINT64_C(1000000000))

/* True when a line may be logged of this: of one client and limit one in 10 s, of all QUOTA_SAY_MOST a
 * second; see quota_say. */
bool quota_may_say(struct quota *quota, const struct quota_places *places, const struct quota_excess *excess,
		   uint64_t now_ns);

enum { QUOTA_SAY_MOST = 20 };

/* So many connections that met a limit are told so at a time, in each worker. */
enum { QUOTA_REFUSALS = 16 };

/* True when places that were found by the one are those of the other, too. */
bool quota_same_places(const struct quota_rules *one, const struct quota_rules *other);

/* Logs client_limited, if it may. */
void quota_say(struct quota *quota, const struct quota_rules *rules, const struct quota_places *places,
	       const union peer *client, const struct quota_excess *excess);

#endif
