/* How bytes of a connection move: `plain` (recv, writev, sendfile); later `tls`; in tests one that moves them
 * in fits. A transport keeps its state behind conn->transport_state. */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct conn;

/* What became of an attempt to move bytes.  AGAIN: an event will say when to go on. */
enum io { IO_OK, IO_AGAIN, IO_EOF, IO_ERROR };

struct transport {
	const char *name;
	/* Reads up to `room` bytes. IO_OK: `*got` > 0. A short read clears conn->readable unless
	 * conn->ended. */
	enum io (*recv)(struct conn *conn, void *buffer, size_t room, size_t *got);
	/* Writes; `more`: further bytes follow at once (MSG_MORE). IO_OK: `*sent` > 0, perhaps not all; a
	 * short write clears conn->writable. */
	enum io (*writev)(struct conn *conn, const struct iovec *parts, int count, bool more, size_t *sent);
	/* Sends up to `len` bytes of a file from `*offset`, which moves on. IO_OK: `*sent` > 0; a short
	 * transfer says nothing (the socket is full, or the file has shrunk): the next call does. IO_EOF: the
	 * file ends at `*offset`. NULL: the protocol reads and writes instead. */
	enum io (*send_file)(struct conn *conn, int file_fd, off_t *offset, size_t len, size_t *sent);
	/* How many bytes were written that the client has not taken; NULL: nobody knows. */
	size_t (*unsent)(const struct conn *conn);
	/* How long ago the last of them left for the client; NULL: nobody knows. UINT64_MAX: not known
	 * here. */
	uint64_t (*quiet_ns)(const struct conn *conn);
	/* True when bytes are buffered inside that no event will announce; conn->readable stays set then. */
	bool (*pending)(const struct conn *conn);
	/* No more will be written (shutdown(2), SHUT_WR). */
	void (*shutdown)(struct conn *conn);
	void (*close)(struct conn *conn);       /* gives back transport_state; NULL: there is none */
	bool moves; /* a connection can be moved to another worker: it has no state of its own */
};

extern const struct transport transport_plain;

#endif
