/* fake_transport.c - see the header.  Called by the engine and protocols in tests. */
#include "fake_transport.h"

#include <stdlib.h>
#include <string.h>

enum { INSIDE_BYTES = 64 * 1024 };

struct inside {
	size_t len, at;
	char bytes[INSIDE_BYTES];
};

struct fake_fits fake_fits;

static struct inside *inside_of(const struct conn *conn)
{
	const struct conn_side *side = conn_side(conn);

	return side != NULL ? side->transport_state : NULL;
}

static bool fake_pending(const struct conn *conn)
{
	return inside_of(conn) != NULL && inside_of(conn)->at < inside_of(conn)->len;
}

static bool says_again(struct conn *conn)
{
	fake_fits.calls++;
	if (fake_fits.again_every == 0 || fake_fits.calls % fake_fits.again_every != 0)
		return false;
	conn_wake(conn);
	return true;
}

static enum io fill_inside(struct conn *conn)
{
	struct inside *inside = inside_of(conn);
	size_t got = 0;
	enum io io;

	if (inside == NULL)
		inside = conn_side_made(conn)->transport_state = calloc(1, sizeof(*inside));
	io = transport_plain.recv(conn, inside->bytes, sizeof(inside->bytes), &got);
	inside->at = 0;
	inside->len = io == IO_OK ? got : 0;
	return io;
}

static size_t smallest(size_t a, size_t b, size_t limit)
{
	size_t least = a < b ? a : b;

	return limit > 0 && limit < least ? limit : least;
}

static enum io fake_recv(struct conn *conn, void *buffer, size_t room, size_t *got)
{
	struct inside *inside;
	enum io io = IO_OK;

	fake_fits.recv_calls++;
	if (says_again(conn))
		return IO_AGAIN;
	if (!fake_pending(conn))
		io = fill_inside(conn);
	if (io != IO_OK)
		return io;
	inside = inside_of(conn);
	*got = smallest(room, inside->len - inside->at, fake_fits.recv_bytes);
	memcpy(buffer, inside->bytes + inside->at, *got);
	inside->at += *got;
	if (fake_pending(conn))
		conn->readable = true;
	else if (inside->len < sizeof(inside->bytes) && !conn->ended)
		conn->readable = false;
	return IO_OK;
}

static enum io fake_writev(struct conn *conn, const struct iovec *parts, int count, bool more, size_t *sent)
{
	struct iovec one = parts[0];

	if (says_again(conn))
		return IO_AGAIN;
	if (fake_fits.send_bytes == 0)
		return transport_plain.writev(conn, parts, count, more, sent);
	one.iov_len = smallest(one.iov_len, one.iov_len, fake_fits.send_bytes);
	return transport_plain.writev(conn, &one, 1, more, sent);
}

static size_t fake_unsent(const struct conn *conn)
{
	return transport_plain.unsent(conn);
}

static void fake_shutdown(struct conn *conn)
{
	transport_plain.shutdown(conn);
}

static void fake_close(struct conn *conn)
{
	free(inside_of(conn));
	if (conn_side(conn) != NULL)
		conn_side(conn)->transport_state = NULL;
}

const struct transport fake_transport = {
	.name = "fits",
	.recv = fake_recv,
	.writev = fake_writev,
	.unsent = fake_unsent,
	.pending = fake_pending,
	.shutdown = fake_shutdown,
	.close = fake_close,
};
