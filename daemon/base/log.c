/* log.c - one event a line.  Called from everywhere but signal handlers; cannot fail, drops and counts.
 *
 * A line is one write(2), so that the lines of several processes never mix. */
#include "log.h"

#include "clock.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES = 4096 };

const char *const log_level_names[] = { "error", "warning", "notice", "info", "debug", NULL };

static const int priorities[LEVELS] = { 3, 4, 5, 6, 7 };        /* sd-daemon(3) */

static struct {
	char role[32];
	int fd;
	enum log_level least;
	bool journal;                   /* fd is the stream that systemd connected to the journal */
	uint64_t second;                /* the one that `lines` counts */
	unsigned lines;
	uint64_t dropped;
} state = { .role = "drover", .fd = STDERR_FILENO, .least = LEVEL_INFO };

struct line {
	char text[LINE_BYTES];
	size_t len;                     /* one byte is kept free for the line's end */
};

static void put_char(struct line *line, char c)
{
	if (line->len < sizeof(line->text) - 1)
		line->text[line->len++] = c;
}

static void put_text(struct line *line, const char *text)
{
	for (; *text != '\0'; text++)
		put_char(line, *text);
}

static void put_escaped(struct line *line, unsigned char c)
{
	char code[5];

	if (c == '"' || c == '\\') {
		put_char(line, '\\');
		put_char(line, (char)c);
	} else if (c < 0x20 || c == 0x7f) {
		snprintf(code, sizeof(code), "\\x%02x", c);
		put_text(line, code);
	} else {
		put_char(line, (char)c);
	}
}

static bool needs_quotes(const char *text)
{
	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c <= ' ' || *c == '"' || *c == '=' || *c == '\\' || *c == 0x7f)
			return true;
	return *text == '\0';
}

static void put_field(struct line *line, const struct log_field *field)
{
	char number[24];

	put_char(line, ' ');
	put_text(line, field->key);
	put_char(line, '=');
	if (field->text == NULL) {
		snprintf(number, sizeof(number), "%llu", (unsigned long long)field->number);
		put_text(line, number);
	} else if (needs_quotes(field->text)) {
		put_char(line, '"');
		for (const char *c = field->text; *c != '\0'; c++)
			put_escaped(line, (unsigned char)*c);
		put_char(line, '"');
	} else {
		put_text(line, field->text);
	}
}

static void put_head(struct line *line, enum log_level level)
{
	struct timespec now = clock_wall();
	char text[64], time[32];
	struct tm parts;

	if (state.journal) {            /* which has the time already */
		snprintf(text, sizeof(text), "<%d>", priorities[level]);
		put_text(line, text);
	} else {
		gmtime_r(&now.tv_sec, &parts);
		strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &parts);
		snprintf(text, sizeof(text), "%s.%03ldZ %s ", time, now.tv_nsec / 1000000,
			 log_level_names[level]);
		put_text(line, text);
	}
	put_text(line, state.role);
	put_char(line, ' ');
}

static void write_line(enum log_level level, const char *event, const struct log_field *fields)
{
	struct pollfd ready = { .fd = state.fd, .events = POLLOUT };
	struct line line;

	line.len = 0;
	put_head(&line, level);
	put_text(&line, event);
	for (; fields->key != NULL; fields++)
		put_field(&line, fields);
	line.text[line.len++] = '\n';
	/* POLLOUT of a pipe promises PIPE_BUF bytes of room, and a line is no longer: a reader that does not
	 * read costs lines, never time */
	if (poll(&ready, 1, 0) == 0 || write(state.fd, line.text, line.len) < 0)
		state.dropped++;
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
			write_line(LEVEL_WARNING, "log_lines_dropped",
				   (const struct log_field[]){ log_number("lines", dropped),
							       { NULL, NULL, 0 } });
	}
	if (++state.lines <= LOG_BURST)
		return true;
	state.dropped++;
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

/* systemd names the device and inode of the stream that it connected to the journal (systemd.exec(5)). */
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char mine[64];
	struct stat info;

	if (stream == NULL || fstat(fd, &info) < 0)
		return false;
	snprintf(mine, sizeof(mine), "%llu:%llu", (unsigned long long)info.st_dev,
		 (unsigned long long)info.st_ino);
	return strcmp(stream, mine) == 0;
}

void log_target(int fd, enum log_level least)
{
	state.fd = fd;
	state.least = least;
	state.journal = is_journal(fd);
}
