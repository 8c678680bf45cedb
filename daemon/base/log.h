/* The log: one event a line, `key=value`, for people and for grep.
 *
 *	2026-11-23T10:00:00.123Z info master reload_done generation=2 took_ms=14
 *
 * Every event has a stable id (the word after the role).  Under journald the time is left out and a priority
 * "<N>" stands in front (sd-daemon(3)).  Values are quoted when they need it, and control characters are
 * escaped, so that no client can forge a line.  A process writes at most LOG_BURST lines a second; what it
 * leaves out is counted in a line of its own. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_BURST = 200 };

enum log_level { LEVEL_ERROR, LEVEL_WARNING, LEVEL_NOTICE, LEVEL_INFO, LEVEL_DEBUG, LEVELS };

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

/* Names this process in its lines ("master", "worker 2").  Copied. */
void log_role(const char *role);

/* Where lines go and which: `fd` stays the caller's and must stay open. Before the first call: stderr,
 * info. */
void log_target(int fd, enum log_level least);

/* Writes one line; the fields end at one whose key is NULL.  Never fails: a line that cannot be written is
 * dropped, and the next one that can be says how many were. */
void log_fields(enum log_level level, const char *event, const struct log_field *fields);

#define log_event(level, event, ...) \
	log_fields((level), (event), \
		   (const struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ NULL, NULL, 0 } })

/* The names of the levels in the configuration, LEVELS of them and a NULL. */
extern const char *const log_level_names[];

#endif
