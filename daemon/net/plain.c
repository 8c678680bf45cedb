/* plain.c - the transport of bare sockets.
 *
 * Called by protocols, through the struct. Keeps conn->readable and conn->writable true to what the kernel
 * will announce (DESIGN invariant 6). A broken connection is IO_ERROR; nothing raises a signal. */
#include "conn.h"

#include "base/clock.h"
#include "base/watch.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

static enum io failed(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK ? IO_AGAIN : IO_ERROR;
}

/* An event will set the flag again. */
static enum io failed_to_read(struct conn *conn)
{
	enum io io = failed();

	if (io == IO_AGAIN)
		conn->readable = false;
	return io;
}

static enum io failed_to_write(struct conn *conn)
{
	enum io io = failed();

	if (io == IO_AGAIN)
		conn->writable = false;
	return io;
}

static enum io plain_recv(struct conn *conn, void *buffer, size_t room, size_t *got)
{
	ssize_t len = recv(conn->source.fd, buffer, room, 0);

	if (len < 0)
		return failed_to_read(conn);
	watch_tell();           /* what was asked after a change is answered by what is there now */
	if (len == 0)
		return IO_EOF;
	/* A short read emptied the queue, and the next byte is an event; a FIN that was announced is not. */
	if ((size_t)len < room && !conn->ended)
		conn->readable = false;
	*got = (size_t)len;
	return IO_OK;
}

static size_t total(const struct iovec *parts, int count)
{
	size_t len = 0;

	for (int i = 0; i < count; i++)
		len += parts[i].iov_len;
	return len;
}

static enum io plain_writev(struct conn *conn, const struct iovec *parts, int count, bool more, size_t *sent)
{
	struct msghdr message = { .msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count };
	int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
	ssize_t len;

	if (count == 1)         /* cheaper than a message by a tenth of a microsecond */
		len = send(conn->source.fd, parts[0].iov_base, parts[0].iov_len, flags);
	else
		len = sendmsg(conn->source.fd, &message, flags);
	if (len < 0)
		return failed_to_write(conn);
	if ((size_t)len < total(parts, count))
		conn->writable = false;
	*sent = (size_t)len;
	return IO_OK;
}

static enum io plain_send_file(struct conn *conn, int file_fd, off_t *offset, size_t len, size_t *sent)
{
	ssize_t moved = sendfile(conn->source.fd, file_fd, offset, len);

	if (moved < 0)
		return failed_to_write(conn);
	if (moved == 0)
		return IO_EOF;
	*sent = (size_t)moved;
	return IO_OK;
}

/* What is in the socket's queue, sent but not acknowledged or not sent at all (tcp(7), SIOCOUTQ). */
static size_t plain_unsent(const struct conn *conn)
{
	int bytes = 0;

	return ioctl(conn->source.fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

/* Not of unix sockets. */
static uint64_t plain_quiet_ns(const struct conn *conn)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(conn->source.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return UINT64_MAX;
	return info.tcpi_last_data_sent * CLOCK_MS;
}

static bool plain_pending(const struct conn *conn)
{
	(void)conn;
	return false;
}

static void plain_shutdown(struct conn *conn)
{
	shutdown(conn->source.fd, SHUT_WR);
}

const struct transport transport_plain = {
	.name = "plain",
	.recv = plain_recv,
	.writev = plain_writev,
	.send_file = plain_send_file,
	.unsent = plain_unsent,
	.quiet_ns = plain_quiet_ns,
	.pending = plain_pending,
	.shutdown = plain_shutdown,
	.moves = true,
};
