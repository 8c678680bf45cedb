/* What the master tells on the board (ipc/news.h), for workers that show it: the state of the service and
 * what happened. It keeps what it needs for that itself: the board may say anything. Nothing that a client
 * or a worker said gets into a text. */
#ifndef MASTER_TELL_H
#define MASTER_TELL_H

#include "ipc/news.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>

struct child;
struct master;
struct outcome;
struct slot;

struct tell {
	uint64_t started_ms;            /* of the service, by the clock on the wall */
	uint64_t event;                 /* the last one's number */
};

/* The service begins. */
void tell_begin(struct master *master);

/* The image before has left `tell` in the state, and one that failed may have told more since. */
void tell_resume(struct master *master);

/* Whenever something of it has changed that struct news has. */
void tell_news(struct master *master);

/* Something happened, now; `text` may be cut, and what is not printable ASCII in it becomes a question mark.
 * `slot`: NEWS_NO_SLOT for none in particular. */
void tell_event(struct master *master, enum news_kind kind, uint32_t slot, bool good, const char *text);

/* The start, a reload, or a transition that is part of an upgrade (which says so itself) is over. */
void tell_reload(struct master *master, const struct outcome *outcome, bool is_start);

/* A worker does not get on; it is counted. */
void tell_stall(const struct child *child);

/* A worker has died, with so many connections open; before its column is retired, in which it is counted. */
void tell_crash(const struct child *child, const siginfo_t *info, uint64_t open);

/* A worker serves: if it is for one that died, that is told. */
void tell_served(struct slot *slot);

#endif
