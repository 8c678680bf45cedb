/* What each client address, and each network of them, takes: a table of fixed size that all workers share, so
 * that a limit holds over all of them.
 *
 * An entry is a cache line, found by a keyed hash of the address's prefix (SipHash: nobody can aim at a
 * place), in a set of QUOTA_WAYS. Whoever was silent for longest and has nothing open makes room; a client
 * for whom there is no room is not limited (quota_find says 0, the caller counts it). All of it is written by
 * atomic operations with bounded retries and without a lock: whoever dies in the middle stops nobody.  It is
 * hostile memory: an index is checked wherever it comes from, and no number in it can do more than limit the
 * wrong client.
 *
 * Open connections are counted by increments and decrements. A worker that dies leaves its share behind:
 * quota_recount begins a new epoch, in which every count is zero and each worker adds its own again
 * (quota_behind). A connection that is handed over is let go of here and added there. */
#ifndef NET_QUOTA_H
#define NET_QUOTA_H

#include "addr.h"

#include <stdatomic.h>

enum { QUOTA_ENTRIES = 65536, QUOTA_WAYS = 8 };         /* 4 MiB, touched as clients come */

/* Of an address (IPv4: all of it), and of the network around it. */
enum quota_scope { QUOTA_ADDRESS, QUOTA_NETWORK, QUOTA_SCOPES };

struct quota;

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

/* Where a client's entries are, by scope; 0: it has none. */
struct quota_places {
	uint32_t at[QUOTA_SCOPES];
};

/* Shared memory that children inherit, with a random key; NULL with `err`. */
struct quota *quota_create(struct err *err);
void quota_destroy(struct quota *quota);

/* The client's entries, made where there are none.  No limit, exempt, or a unix socket: all 0 and true.
 * False: some scope that has a limit had no room. */
bool quota_find(struct quota *quota, const struct quota_rules *rules, const union peer *client,
		uint64_t now_ns, struct quota_places *places);

/* One more connection. False: one of its scopes has as many as it may, and none was added (with `force`, or
 * in a dry run, it is added all the same). */
bool quota_enter(struct quota *quota, const struct quota_rules *rules, const struct quota_places *places,
		 bool force);

/* One less; `epoch` is what quota_epoch said when it was added: of an earlier one nothing is left to take
 * away. */
void quota_leave(struct quota *quota, const struct quota_places *places, uint32_t epoch);

uint32_t quota_epoch(const struct quota *quota);

/* For the master, when a worker died: counts begin anew. Workers see it by quota_epoch, and enter theirs
 * again by `force`. */
void quota_recount(struct quota *quota);

/* One more request (the generic cell rate algorithm).  0: allowed; else the time until one would be, and
 * nothing was taken.  A dry run takes and says so too. */
uint64_t quota_request(struct quota *quota, const struct quota_rules *rules,
		       const struct quota_places *places, uint64_t now_ns);

/* `bytes` were sent. Returns the time for which nothing more is to be sent; 0: go on. */
uint64_t quota_sent(struct quota *quota, const struct quota_rules *rules, const struct quota_places *places,
		    uint64_t bytes, uint64_t now_ns);

#endif
