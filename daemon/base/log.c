/* log.c - the log of events: where lines go and how many.  Called from everywhere but signal handlers and the
 * helper thread; cannot fail, drops and counts.
 *
 * A line is one write, so that the lines of several processes never mix. */
#include "log.h"

#include "clock.h"
#include "fd.h"
#include "log_line.h"
#include "log_record.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static struct {
	char role[32];
	enum log_level least;
	enum log_format format;
	enum log_kind kind;
	int fd;                         /* where there is no writer: written to at once */
	bool owned, is_socket;          /* the fd: is ours to close; is a socket */
	bool journal;                   /* fd is the stream that systemd connected to the journal */
	struct log_writer *writer;      /* NULL: none */
	uint64_t second;                /* the one that `lines` counts */
	unsigned lines;
	uint64_t dropped, *counter;
} state = { .role = "drover", .fd = STDERR_FILENO, .least = LEVEL_INFO, .kind = LOG_STREAM };

/* ---- a line's way ------------------------------------------------------------------------------------ */

static void drop_line(void)
{
	state.dropped++;
	if (state.counter != NULL)
		(*state.counter)++;
}

/* POLLOUT of a pipe promises PIPE_BUF bytes of room, and a line is no longer: a reader that does not read
 * costs lines, never time. */
static bool write_at_once(const char *text, size_t len)
{
	struct pollfd ready = { .fd = state.fd, .events = POLLOUT };

	if (state.is_socket)
		return send(state.fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
	return poll(&ready, 1, 0) != 0 && write(state.fd, text, len) >= 0;
}

/* The line as a stream has it, with its end; at most LOG_LINE_BYTES. */
static size_t stream_line(const struct log_line *line, char *out)
{
	size_t at = 0;

	if (state.journal)              /* which has the time already */
		at = (size_t)sprintf(out, "<%d>", log_line_priority(line->level));
	if (state.format == LOG_JSON)
		at += log_line_json(line, out + at, LOG_LINE_BYTES - at - 1);
	else
		at += log_line_text(line, !state.journal, out + at, LOG_LINE_BYTES - at - 1);
	out[at++] = '\n';
	return at;
}

static size_t syslog_line(const struct log_line *line, char *out)
{
	char *at = log_record_syslog(out, log_line_priority(line->level), line->now.tv_sec, getpid());
	size_t room = LOG_LINE_BYTES - (size_t)(at - out);

	if (state.format == LOG_JSON)
		return (size_t)(at - out) + log_line_json(line, at, room);
	return (size_t)(at - out) + log_line_text(line, false, at, room);
}

static size_t journal_record(const struct log_line *line, char *out)
{
	return log_line_journal(line, out);
}

static void put_record(const struct log_line *line)
{
	static size_t (*const forms[])(const struct log_line *line, char *out) = {
		[LOG_STREAM] = stream_line, [LOG_SYSLOG] = syslog_line, [LOG_JOURNAL] = journal_record,
	};
	size_t room = state.kind == LOG_JOURNAL ? LOG_LINE_RECORD_BYTES : LOG_LINE_BYTES;
	char *out = log_writer_room(state.writer, room);

	if (out != NULL)                /* else it is counted by the writer */
		log_writer_put(state.writer, forms[state.kind](line, out));
}

static void write_line(enum log_level level, const char *event, const struct log_field *fields)
{
	struct log_line line = { level, state.role, event, fields, clock_wall() };
	char text[LOG_LINE_BYTES];

	if (state.writer != NULL)
		put_record(&line);
	else if (!write_at_once(text, stream_line(&line, text)))
		drop_line();
}

_Static_assert((int)LOG_LINE_RECORD_BYTES <= (int)LOG_NOTICE_BYTES, "a notice asks for no more room");

static void say_dropped(uint64_t lines)
{
	write_line(LEVEL_WARNING, "log_lines_dropped",
		   (const struct log_field[]){ log_number("lines", lines), { NULL, NULL, 0 } });
}

/* At most LOG_BURST lines a second; the first line of a new second says what the last one lost. */
static bool may_write(void)
{
	uint64_t second = clock_now_ns() / CLOCK_S;
	uint64_t dropped = state.dropped;

	if (second != state.second) {
		state.second = second;
		state.lines = 0;
		state.dropped = 0;
		if (dropped > 0)
			say_dropped(dropped);
	}
	if (++state.lines <= LOG_BURST)
		return true;
	drop_line();
	return false;
}

void log_fields(enum log_level level, const char *event, const struct log_field *fields)
{
	if (level <= state.least && may_write())
		write_line(level, event, fields);
}

void log_role(const char *role)
{
	snprintf(state.role, sizeof(state.role), "%s", role);
}

void log_count(uint64_t *counter)
{
	state.counter = counter;
}

/* ---- the target -------------------------------------------------------------------------------------- */

/* systemd names the device and inode of the stream that it connected to the journal (systemd.exec(5)). */
static bool is_journal(const struct stat *info)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char mine[64];

	snprintf(mine, sizeof(mine), "%llu:%llu", (unsigned long long)info->st_dev,
		 (unsigned long long)info->st_ino);
	return stream != NULL && strcmp(stream, mine) == 0;
}

void log_plain(const char *program, const char *text)
{
	struct stat info = { 0 };
	char mark[8] = "";

	if (fstat(STDERR_FILENO, &info) == 0 && is_journal(&info))
		snprintf(mark, sizeof(mark), "<%d>", log_line_priority(LEVEL_ERROR));
	fprintf(stderr, "%s%s: ", mark, program);
	for (const char *c = text; *c != '\0'; c++) {
		fputc(*c, stderr);
		if (*c == '\n' && c[1] != '\0')
			fputs(mark, stderr);
	}
	fputc('\n', stderr);
}

static void say_lost(struct log_owner *owner, struct log_writer *writer, uint64_t lines)
{
	(void)owner;
	(void)writer;
	say_dropped(lines);
}

/* The log cannot say what is wrong with itself: standard error is the next best place. */
static void say_failed(struct log_owner *owner, int error)
{
	const struct log_field fields[] = { log_text("error", strerror(error)), { NULL, NULL, 0 } };
	struct log_line line = { LEVEL_ERROR, state.role, "log_failed", fields, clock_wall() };
	char text[LOG_LINE_BYTES];
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
	size_t len = log_line_text(&line, true, text, sizeof(text) - 1);

	(void)owner;
	text[len++] = '\n';
	if (poll(&ready, 1, 0) == 1 && write(STDERR_FILENO, text, len) < 0)
		return;                 /* that was the last resort */
}

static struct log_owner owner = { .say_lost = say_lost, .say_failed = say_failed };

static void write_direct(int fd, bool owned)
{
	struct stat info = { 0 };

	fstat(fd, &info);
	state.kind = LOG_STREAM;
	state.fd = fd;
	state.owned = owned;
	state.is_socket = S_ISSOCK(info.st_mode);
	state.journal = is_journal(&info);
}

/* A gap that the writer did not come to say is said by the first line of the next second. */
static void let_go(void)
{
	log_writer_retire(state.writer);
	state.writer = NULL;
	state.dropped += owner.gap;
	owner.gap = 0;
	if (state.owned)
		fd_close(&state.fd);
	write_direct(STDERR_FILENO, false);
}

static bool needs_writer(const struct log_target *target, int fd)
{
	struct stat info = { 0 };

	return target->kind != LOG_STREAM || (fstat(fd, &info) == 0 && S_ISREG(info.st_mode));
}

/* A file may hang, and so may whoever reads a datagram socket that is full. */
static bool open_writer(struct log_writers *writers, const struct log_target *target)
{
	struct log_target own = *target;

	if (own.kind == LOG_STREAM && own.fd < 0)
		own.fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (own.kind == LOG_SYSLOG)
		tzset();                /* reads the zone's file now, not in a turn of the loop */
	owner.lost = state.counter;
	state.writer = log_writer_open(writers, &own, &owner);
	state.kind = own.kind;
	state.journal = false;
	return state.writer != NULL;
}

void log_open(struct log_writers *writers, const struct log_setup *setup)
{
	const struct log_target *target = &setup->target;
	int fd = target->fd >= 0 ? target->fd : STDERR_FILENO;

	let_go();
	state.least = setup->least;
	state.format = setup->format;
	if (target->kind == LOG_STREAM && (writers == NULL || !needs_writer(target, fd)))
		write_direct(fd, target->fd >= 0);
	else if (writers == NULL || !open_writer(writers, target))
		write_direct(STDERR_FILENO, false);
}

void log_close(void)
{
	let_go();
}

void log_forked(void)
{
	state.writer = NULL;
	state.owned = false;
	state.counter = NULL;
	state.dropped = 0;
	write_direct(STDERR_FILENO, false);
}
