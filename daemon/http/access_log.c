/* access_log.c - the access log in the common log format, collected in a turn and written at its end.
 *
 * Called by http1.c for each finished exchange and by the worker for the target. Never blocks and never
 * fails: what the target does not take is dropped, and the lines are counted. */
#include "access_log.h"

#include "response.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
	BUFFER_BYTES = 64 * 1024,
	TARGET_BYTES = 2048,            /* of a request target, before escaping; the rest is "..." */
	METHOD_BYTES = 64,
	ESCAPED_BYTES = 4,              /* a byte as \xHH */
	PREFIX_BYTES = INET6_ADDRSTRLEN + 64,   /* peer and time */
	LINE_BYTES = PREFIX_BYTES + ESCAPED_BYTES * (TARGET_BYTES + METHOD_BYTES) + 128,
	TIME_BYTES = 32,                /* "10/Oct/2000:13:55:36 +0000" */
};

/* How to write without blocking. */
enum target_kind { TARGET_PLAIN, TARGET_SOCKET, TARGET_PIPE };

struct access_log {
	struct turn_end hook;
	struct engine *engine;
	int fd;
	enum target_kind kind;
	bool torn;                      /* the last line written is incomplete */
	size_t len;
	time_t time;                    /* the one that `time_text` shows */
	char time_text[TIME_BYTES];
	char bytes[BUFFER_BYTES];
};

/* ---- the target --------------------------------------------------------------------------------------- */

/* A pipe that could not be made non-blocking: as much as one that poll(2) calls writable takes for sure. */
static ssize_t write_pipe(int fd, const char *bytes, size_t len)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };

	if (poll(&poll_fd, 1, 0) != 1 || (poll_fd.revents & POLLOUT) == 0)
		return 0;
	return write(fd, bytes, len < POOL_SMALLEST_BYTES ? len : POOL_SMALLEST_BYTES);
}

static ssize_t write_some(const struct access_log *log, const char *bytes, size_t len)
{
	if (log->kind == TARGET_SOCKET)
		return send(log->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return log->kind == TARGET_PIPE ? write_pipe(log->fd, bytes, len) : write(log->fd, bytes, len);
}

static void count_dropped(struct access_log *log, const char *bytes, size_t len)
{
	const char *end = bytes + len;

	for (const char *at = memchr(bytes, '\n', len); at != NULL;
	     at = memchr(at, '\n', (size_t)(end - at))) {
		engine_count(log->engine, COUNT_ACCESS_LOG_DROPPED);
		if (++at == end)
			break;
	}
}

static void flush(struct access_log *log)
{
	size_t sent = 0;
	ssize_t len;

	while (sent < log->len) {
		len = write_some(log, log->bytes + sent, log->len - sent);
		if (len <= 0)
			break;
		sent += (size_t)len;
		if (log->kind !=
		    TARGET_PIPE) /* one write a turn: what a file or socket took is what it takes */
			break;
	}
	if (sent < log->len)
		count_dropped(log, log->bytes + sent, log->len - sent);
	if (sent > 0)
		log->torn = log->bytes[sent - 1] != '\n';
	log->len = 0;
}

static void flush_at_turn_end(struct turn_end *hook)
{
	struct access_log *log = LIST_ENTRY(hook, struct access_log, hook);

	if (log->len > 0)
		flush(log);
}

/* A pipe or terminal gets a description of its own: O_NONBLOCK on the one we were given would be
 * everybody's. */
static enum target_kind prepare_target(int *fd)
{
	struct stat status;
	char path[32];
	int own;

	if (fstat(*fd, &status) < 0 || S_ISREG(status.st_mode))
		return TARGET_PLAIN;
	if (S_ISSOCK(status.st_mode))
		return TARGET_SOCKET;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", *fd);
	own = open(path, O_WRONLY | O_NONBLOCK | O_APPEND | O_NOCTTY | O_CLOEXEC);
	if (own < 0)
		return TARGET_PIPE;
	fd_close(fd);
	*fd = own;
	return TARGET_PLAIN;
}

static struct access_log *log_new(struct engine *engine)
{
	struct access_log *log = calloc(1, sizeof(*log));

	if (log == NULL) {
		engine_count(engine, COUNT_OUT_OF_MEMORY);
		return NULL;
	}
	log->engine = engine;
	log->fd = -1;
	log->hook.run = flush_at_turn_end;
	loop_at_turn_end(engine->loop, &log->hook);
	return log;
}

void access_log_target(struct engine *engine, int fd)
{
	struct access_log *log = engine->access_log;

	if (fd < 0) {
		access_log_free(engine);
		return;
	}
	if (log == NULL)
		log = engine->access_log = log_new(engine);
	if (log == NULL) {
		fd_close(&fd);
		return;
	}
	flush_at_turn_end(&log->hook);
	fd_close(&log->fd);
	log->torn = false;
	log->kind = prepare_target(&fd);
	log->fd = fd;
}

void access_log_free(struct engine *engine)
{
	struct access_log *log = engine->access_log;

	if (log == NULL)
		return;
	flush_at_turn_end(&log->hook);
	fd_close(&log->fd);
	list_remove(&log->hook.link);
	free(log);
	engine->access_log = NULL;
}

/* ---- a line ------------------------------------------------------------------------------------------- */

/* The peer without its port; an IPv4 client of an IPv6 socket is written as one. */
static char *put_peer(char *out, const union peer *peer)
{
	const struct in6_addr *v6 = &peer->v6.sin6_addr;

	if (peer->family == AF_INET)
		inet_ntop(AF_INET, &peer->v4.sin_addr, out, INET6_ADDRSTRLEN);
	else if (peer->family != AF_INET6)
		strcpy(out, "unix:");
	else if (IN6_IS_ADDR_V4MAPPED(v6))
		inet_ntop(AF_INET, &v6->s6_addr[12], out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, v6, out, INET6_ADDRSTRLEN);
	return out + strlen(out);
}

static const char *time_text(struct access_log *log)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t now = wall_clock(log->engine->loop)->now;
	struct tm tm;

	if (now == log->time || gmtime_r(&now, &tm) == NULL)
		return log->time_text;
	log->time = now;
	snprintf(log->time_text, sizeof(log->time_text), "%02d/%s/%d:%02d:%02d:%02d +0000", tm.tm_mday % 32,
		 months[tm.tm_mon % 12], (tm.tm_year + 1900) % 100000, tm.tm_hour % 24, tm.tm_min % 60,
		 tm.tm_sec % 61);
	return log->time_text;
}

static bool is_plain(unsigned char byte)
{
	return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

/* No client writes a quote, a line end or an escape sequence into the log. */
static char *put_escaped(char *out, struct str text, size_t most)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = text.len < most ? text.len : most;

	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)text.at[i];

		if (is_plain(byte)) {
			*out++ = (char)byte;
			continue;
		}
		*out++ = '\\';
		*out++ = 'x';
		*out++ = hex[byte >> 4];
		*out++ = hex[byte & 15];
	}
	return text.len > most ? stpcpy(out, "...") : out;
}

/* "GET /x HTTP/1.1", or "-" when the request line was not understood. */
static char *put_request_line(char *out, const struct exchange *exchange)
{
	const struct request *request = &exchange->request;

	if (request->method_name.len == 0 || request->target.len == 0)
		return stpcpy(out, "\"-\"");
	*out++ = '"';
	out = put_escaped(out, span_str(request->method_name, exchange->head), METHOD_BYTES);
	*out++ = ' ';
	out = put_escaped(out, span_str(request->target, exchange->head), TARGET_BYTES);
	return out + sprintf(out, " HTTP/1.%u\"", request->minor);
}

void access_log_exchange(struct exchange *exchange)
{
	struct access_log *log = exchange->engine->access_log;
	char *at;

	if (log == NULL || log->fd < 0)
		return;
	if (BUFFER_BYTES - log->len < LINE_BYTES + 1)
		flush(log);
	at = log->bytes + log->len;
	if (log->torn && log->len == 0)
		*at++ = '\n';
	at = put_peer(at, &exchange->conn->peer);
	at += sprintf(at, " - - [%s] ", time_text(log));
	at = put_request_line(at, exchange);
	at += sprintf(at, " %u %llu\n", exchange->response.status, (unsigned long long)exchange->sent_bytes);
	log->len = (size_t)(at - log->bytes);
}
