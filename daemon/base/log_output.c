/* log_output.c - writing to what may be slow, full, gone or stuck.  Called by log_writer.c, in the helper
 * thread.
 *
 * Everything but a regular file is written without blocking.  Fails by leaving `written` behind `len`. */
#include "log_output.h"

#include "clock.h"
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

enum { MOST_LOOKS = 4 };

void log_output_open(struct log_output *output, const struct log_target *target)
{
	*output = (struct log_output){ .kind = target->kind, .fd = target->fd, .doubtful = true };
	if (target->socket != NULL)
		snprintf(output->socket, sizeof(output->socket), "%s", target->socket);
}

void log_output_close(struct log_output *output)
{
	fd_close(&output->fd);
}

/* ---- records ----------------------------------------------------------------------------------------- */

static uint32_t datagram_len(const char *record)
{
	uint32_t len;

	memcpy(&len, record, sizeof(len));
	return len;
}

uint64_t log_output_count(const struct log_output *output, const char *bytes, size_t len)
{
	uint64_t count = 0;
	size_t at = 0;

	if (output->kind != LOG_STREAM) {
		for (; at < len; count++)
			at += LOG_OUTPUT_PREFIX + datagram_len(bytes + at);
		return count;
	}
	for (const char *end; at < len; at = (size_t)(end - bytes) + 1, count++) {
		end = memchr(bytes + at, '\n', len - at);
		if (end == NULL)
			return count;
	}
	return count;
}

/* ---- waiting ----------------------------------------------------------------------------------------- */

/* True when it can be written to, after waiting as long as this call may. */
static bool wait_writable(const struct log_output *output)
{
	struct pollfd ready = { .fd = output->fd, .events = POLLOUT };
	uint64_t now = clock_now_ns();
	int wait_ms = output->wait_until_ns > now ? (int)((output->wait_until_ns - now) / CLOCK_MS) : 0;

	return poll(&ready, 1, wait_ms) == 1 && (ready.revents & POLLOUT) != 0;
}

/* ---- streams ----------------------------------------------------------------------------------------- */

/* A pipe or a terminal gets a description of its own: O_NONBLOCK on the one that we were given would be
 * everybody's who has it. */
static void prepare(struct log_output *output)
{
	struct stat info;
	char path[32];
	int own;

	if (fstat(output->fd, &info) < 0 || S_ISREG(info.st_mode)) {
		output->medium = MEDIUM_FILE;
		return;
	}
	if (S_ISSOCK(info.st_mode)) {
		output->medium = MEDIUM_SOCKET;
		return;
	}
	output->medium = MEDIUM_SHARED_PIPE;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", output->fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_APPEND | O_NOCTTY | O_CLOEXEC);
	if (own < 0)
		return;
	fd_close(&output->fd);
	output->fd = own;
	output->medium = MEDIUM_NONBLOCKING;
}

/* At most PIPE_BUF bytes, whole lines if there is one: the kernel does not mix such writes with those of
 * other processes (pipe(7)), and takes them or says EAGAIN. */
static size_t pipe_piece(const char *bytes, size_t len)
{
	const char *end;

	if (len <= PIPE_BUF)
		return len;
	end = memrchr(bytes, '\n', PIPE_BUF);
	return end != NULL ? (size_t)(end - bytes) + 1 : PIPE_BUF;
}

/* POLLOUT of a pipe promises PIPE_BUF bytes of room: the only way not to block on a description that is not
 * ours to change. */
static ssize_t write_shared(const struct log_output *output, const char *bytes, size_t len)
{
	struct pollfd ready = { .fd = output->fd, .events = POLLOUT };

	if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0)
		return errno = EAGAIN, -1;
	return write(output->fd, bytes, pipe_piece(bytes, len));
}

static ssize_t write_some(const struct log_output *output, const char *bytes, size_t len)
{
	switch (output->medium) {
	case MEDIUM_SOCKET:
		return send(output->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	case MEDIUM_SHARED_PIPE:
		return write_shared(output, bytes, len);
	default:
		return write(output->fd, bytes, pipe_piece(bytes, len));
	}
}

static void write_all(struct log_output *output)
{
	while (output->written < output->len) {
		ssize_t n =
			write_some(output, output->bytes + output->written, output->len - output->written);

		if (n > 0) {
			output->written += (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			if (!wait_writable(output))
				return;
		} else if (n == 0 || errno != EINTR) {
			output->error = n == 0 ? EIO : errno;
			return;
		}
	}
}

/* ---- files ------------------------------------------------------------------------------------------- */

/* A file that only can be appended to is taken to be as we left it. */
static bool ends_with_line(const struct log_output *output, off_t size)
{
	char last;

	if (size == 0)
		return true;
	return pread(output->fd, &last, 1, size - 1) == 1 ? last == '\n' : !output->torn;
}

/* Behind a line that somebody tore comes a line end before anything else.  Another process may just be in the
 * middle of a write, so it is believed only when the file has not grown from one call to the next, a few
 * times; two that believe it at once make an empty line, and no harm.  False: not now. */
static bool heal(struct log_output *output)
{
	struct stat info;

	if (fstat(output->fd, &info) == 0 && !ends_with_line(output, info.st_size)) {
		output->looks = info.st_size == output->looked_at ? output->looks + 1 : 1;
		output->looked_at = info.st_size;
		if (output->looks < MOST_LOOKS)
			return false;
		if (write(output->fd, "\n", 1) != 1)
			return output->error = errno, false;
	}
	output->looks = 0;
	output->torn = false;
	return true;
}

/* Whole lines.  One that was cut is written again from its beginning, behind a line end: its rest would be
 * right only if nobody wrote in between, and nobody can know that. */
static void write_file(struct log_output *output)
{
	const char *end;
	ssize_t n;

	if (output->doubtful && !heal(output))
		return;
	do
		n = write(output->fd, output->bytes, output->len);
	while (n < 0 && errno == EINTR);
	output->doubtful = n != (ssize_t)output->len;
	if (n <= 0) {
		output->error = n == 0 ? EIO : errno;
		return;
	}
	end = memrchr(output->bytes, '\n', (size_t)n);
	output->written = end != NULL ? (size_t)(end - output->bytes) + 1 : 0;
	output->torn = output->written < (size_t)n;
}

static void write_stream(struct log_output *output)
{
	if (output->medium == MEDIUM_UNKNOWN)
		prepare(output);
	if (output->medium == MEDIUM_FILE)
		write_file(output);
	else
		write_all(output);
}

/* ---- datagrams --------------------------------------------------------------------------------------- */

/* By name, and never connected: then it does not matter that whoever reads is restarted. And workers may not
 * connect(2) (worker/confine.c), which would lead the sockets that they hold elsewhere. */
static ssize_t send_by_name(const struct log_output *output, const char *record, size_t len, int flags)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, output->socket, sizeof(address.sun_path));
	return sendto(output->fd, record, len, flags | MSG_NOSIGNAL, (const struct sockaddr *)&address,
		      sizeof(address));
}

/* poll(2) does not know where a socket that is not connected will send to; the kernel waits in sendto(2). */
static ssize_t send_waiting(const struct log_output *output, const char *record, size_t len)
{
	uint64_t now = clock_now_ns();
	uint64_t left_us = output->wait_until_ns > now ? (output->wait_until_ns - now) / 1000 : 0;
	struct timeval wait = { .tv_sec = (time_t)(left_us / 1000000),
				.tv_usec = (suseconds_t)(left_us % 1000000) };

	if (left_us == 0)               /* which would be for ever */
		return errno = EAGAIN, -1;
	if (setsockopt(output->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) < 0)
		return -1;
	return send_by_name(output, record, len, 0);
}

enum sent { SENT, SENT_NEVER, SENT_NOT_NOW };

static enum sent send_record(const struct log_output *output, const char *record, size_t len)
{
	ssize_t n = send_by_name(output, record, len, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		n = send_waiting(output, record, len);
	if (n >= 0)
		return SENT;
	return errno == EMSGSIZE || errno == EINVAL ? SENT_NEVER : SENT_NOT_NOW;
}

static bool is_slow(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == EINTR;
}

static void write_datagrams(struct log_output *output)
{
	if (output->fd < 0)
		output->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (output->fd < 0)
		output->error = errno;
	while (output->fd >= 0 && output->written < output->len) {
		const char *record = output->bytes + output->written;
		uint32_t len = datagram_len(record);
		enum sent sent = send_record(output, record + LOG_OUTPUT_PREFIX, len);

		if (sent == SENT_NOT_NOW) {
			output->error = is_slow(errno) ? 0 : errno;
			return;
		}
		output->lost += sent == SENT_NEVER ? 1 : 0;
		output->written += LOG_OUTPUT_PREFIX + len;
	}
}

void log_output_write(struct log_output *output)
{
	output->written = 0;
	output->lost = 0;
	output->error = 0;
	if (output->kind == LOG_STREAM)
		write_stream(output);
	else
		write_datagrams(output);
}
