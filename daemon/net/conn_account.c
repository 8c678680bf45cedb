/* conn_account.c - the connections of an engine one by one, for people who ask. Called by worker/listing.c;
 * changes nothing, cannot fail. */
#include "conn.h"

/* A free place has no listener when it was never used, and a closed connection in it when it was. */
static bool is_open(const struct conn *conn)
{
	return conn->listener != NULL && !conn->closed && !conn->refused;
}

const struct conn *engine_next(const struct engine *engine, struct slab_walk *walk, unsigned most)
{
	for (unsigned i = 0; i < most; i++) {
		const struct conn *conn = slab_next(&engine->slab, walk);

		if (conn == NULL)
			return NULL;
		if (is_open(conn))
			return conn;
	}
	return NULL;
}

void conn_account(const struct conn *conn, struct account *account)
{
	const struct protocol *protocol = conn_protocol(conn);

	*account = (struct account){ .client = conn_client(conn) };
	if (protocol->account != NULL)
		protocol->account(conn, account);
}
