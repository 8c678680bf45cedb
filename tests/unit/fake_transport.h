/* A transport that moves bytes of a real socket in fits: a few at a time, AGAIN now and then, and with
 * received bytes buffered inside as TLS does. One set of fits for the process; set it before a connection is
 * accepted. */
#ifndef FAKE_TRANSPORT_H
#define FAKE_TRANSPORT_H

#include "net/conn.h"

struct fake_fits {
	size_t recv_bytes, send_bytes;          /* the most per call; 0: as many as asked for */
	unsigned again_every; /* each such call says AGAIN, and is repeated next turn; 0: never */
	unsigned calls, recv_calls;
};

extern struct fake_fits fake_fits;
extern const struct transport fake_transport;

#endif
