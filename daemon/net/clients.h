/* The engine's connections as those of their clients: counted by net/quota.h from when it is known whose a
 * connection is (at accept, or after its PROXY header) to its end.  While a connection is handed over nobody
 * counts it.  Without a table (engine->quota NULL) or limits nothing of this does anything. */
#ifndef NET_CLIENTS_H
#define NET_CLIENTS_H

#include "conn.h"

extern const struct quota_rules clients_without_rules;

/* Where it is counted. */
static inline struct quota_places clients_places(const struct conn *conn)
{
	return (struct quota_places){
		.at = { conn->counted_at[QUOTA_ADDRESS], conn->counted_at[QUOTA_NETWORK] },
		.epoch = conn->counted_epoch,
	};
}

/* Counts a new connection. False: its client has as many as it may; counted, logged, and not added. */
bool clients_admit(struct conn *conn);

/* What becomes of it then: WAIT: it is told (protocol->refusal speaks on it now); CLOSE: it is to be closed
 * without a word, because too many are told already. */
enum served clients_refuse(struct conn *conn);

/* Counts a connection that is there already, whatever the limit says. */
void clients_keep(struct conn *conn);

/* It is not its client's any more. */
void clients_leave(struct conn *conn);

/* The engine goes by these rules; connections are counted as they say. */
void clients_adopt(struct engine *engine, const struct quota_rules *rules);

/* Once a turn: when counts have begun anew, the engine's connections are added. */
void clients_look(struct engine *engine);

#endif
