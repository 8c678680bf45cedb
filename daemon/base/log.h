/* The log of events: one a line, `key=value`, for people and for grep; or JSON, or the journal's own fields.
 *
 *	2026-11-23T10:00:00.123Z info master reload_done generation=2 took_ms=14
 *
 * Every event has a stable id (the word after the role).  Where standard error is the journal the time is
 * left out and a priority "<N>" stands in front (sd-daemon(3)).  Values are quoted when they need it, and
 * control characters are escaped, so that no client can forge a line.  A process writes at most LOG_BURST
 * lines a second; what it leaves out is counted in a line of its own.
 *
 * Nothing here waits: pipes, sockets and terminals are written to only as far as they take it at once;
 * regular files, syslog and the journal's socket by the helper thread (log_writer.h). */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "log_writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_BURST = 200 };

enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_NOTICE, LEVEL_INFO, LEVEL_DEBUG, LEVELS };

enum log_format { LOG_TEXT, LOG_JSON };

/* One `key=value`; made by log_text and log_number. */
struct log_field {
	const char *key;
	const char *text;               /* NULL: it is a number */
	uint64_t number;
};

static inline struct log_field log_text(const char *key, const char *text)
{
	return (struct log_field){ key, text != NULL ? text : "", 0 };
}

static inline struct log_field log_number(const char *key, uint64_t number)
{
	return (struct log_field){ key, NULL, number };
}

struct log_setup {
	enum log_level least;
	enum log_format format;         /* of a line; the journal has its fields besides */
	struct log_target target;       /* LOG_STREAM with fd -1: stderr */
};

/* Names this process in its lines ("master", "worker-2").  Copied. */
void log_role(const char *role);

/* Where lines go from now on; takes target.fd over.  What was written before still goes to the target of
 * before.  `writers` NULL: there is no loop yet, everything goes to stderr at once.  Before the first call:
 * stderr, info, text. */
void log_open(struct log_writers *writers, const struct log_setup *setup);

/* Back to stderr; what the helper thread has not written yet stays for log_writers_close. */
void log_close(void);

/* In a forked child, first of all: stderr, and nothing of what was inherited is touched. */
void log_forked(void);

/* Lines that are no event, for whoever typed the command that failed; `text` may be several.  On standard
 * error, where each is an error if that is the journal. */
void log_plain(const char *program, const char *text);

/* Counts the lines that are lost in `*counter` too; NULL: no more. */
void log_count(uint64_t *counter);

/* Writes one line; the fields end at one whose key is NULL.  Never fails: a line that cannot be written is
 * dropped, and the next one that can be says how many were. */
void log_fields(enum log_level level, const char *event, const struct log_field *fields);

#define log_event(level, event, ...) \
	log_fields((level), (event), \
		   (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ NULL, NULL, 0 } })

/* The names of the levels and formats in the configuration, and a NULL. */
extern const char *const log_level_names[];
extern const char *const log_format_names[];

#endif
