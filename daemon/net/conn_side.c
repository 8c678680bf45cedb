/* conn_side.c - what few connections have, and the others shall not pay for: who connected, where that is a
 * proxy that says for whom, and what a transport keeps.
 *
 * Called by the engine, the proxy stage, move.c and transports. Fails by returning NULL or false: out of
 * memory, counted. */
#include "conn.h"

#include <stdlib.h>

enum { SIDES_LEAST = 64 };

struct conn_side *conn_side(const struct conn *conn)
{
	return conn->has_side ? conn_engine(conn)->sides[conn->source.fd] : NULL;
}

static bool reach_side(struct engine *engine, unsigned fd)
{
	unsigned room = engine->sides_room != 0 ? engine->sides_room : SIDES_LEAST;
	struct conn_side **sides;

	while (room <= fd)
		room *= 2;
	if (room == engine->sides_room)
		return true;
	sides = reallocarray(engine->sides, room, sizeof(struct conn_side *));
	if (sides == NULL)
		return false;
	engine->sides = sides;
	engine->sides_room = room;
	return true;
}

struct conn_side *conn_side_made(struct conn *conn)
{
	struct engine *engine = conn_engine(conn);
	unsigned fd = (unsigned)conn->source.fd;
	struct conn_side *side;

	if (conn->has_side)
		return conn_side(conn);
	side = reach_side(engine, fd) ? calloc(1, sizeof(*side)) : NULL;
	if (side == NULL) {
		engine_count(engine, COUNT_OUT_OF_MEMORY);
		return NULL;
	}
	engine->sides[fd] = side;
	conn->has_side = true;
	return side;
}

void conn_side_drop(struct conn *conn)
{
	free(conn_side(conn));
	conn->has_side = false;
}

bool conn_name(struct conn *conn, const union peer *peer, const union peer *client)
{
	/* all of its bytes are copied from one to the other, or else a header's word:
	 * NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c) */
	bool is_proxied = memcmp(client, peer, sizeof(*peer)) != 0;
	struct conn_side *side = is_proxied ? conn_side_made(conn) : conn_side(conn);

	if (is_proxied && side == NULL)
		return false;
	if (side != NULL)
		side->peer = is_proxied ? *peer : (union peer){ .family = AF_UNSPEC };
	conn->client = peer_pack(client);
	return true;
}

union peer conn_peer(const struct conn *conn)
{
	return conn_is_proxied(conn) ? conn_side(conn)->peer : conn_client(conn);
}
