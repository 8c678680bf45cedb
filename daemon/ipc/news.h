/* What the master tells everybody about the service as a whole: on the board (board.h), for workers that show
 * it (the status service). The master alone writes; it never reads it back, because a worker can write all of
 * the board. Readers bound what they read. */
#ifndef IPC_NEWS_H
#define IPC_NEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NEWS_TEXT_BYTES = 192, NEWS_EVENTS = 256, NEWS_EVENT_BYTES = 128, NEWS_NO_SLOT = UINT32_MAX };

/* A reload or an upgrade: the last one, and how many there were. */
struct news_outcome {
	uint64_t at_ms;                 /* of the clock on the wall; 0: there was none */
	uint64_t succeeded, failed;
	uint32_t good;
	char text[NEWS_TEXT_BYTES];
};

struct news {
	uint32_t sequence;              /* odd while it is written */
	uint32_t pid, slots;
	uint32_t stopping;
	uint64_t started_ms;            /* of the service: an upgrade is no new start */
	uint64_t generation;
	char version[32], accept_wanted[16], accept_effective[16];
	struct news_outcome reload, upgrade;
};

/* What happened; new ones go to the end, their names are in news.c. */
enum news_kind {
	NEWS_START,
	NEWS_RELOAD,                   /* good or not */
	NEWS_UPGRADE,                  /* good or not */
	NEWS_CRASH,                    /* of a worker */
	NEWS_HANG,                     /* a worker does not get on; its siblings accept in its place */
	NEWS_RECOVERED,                /* it gets on again */
	NEWS_RESPAWN,                  /* a worker serves in the place of one that died */
	NEWS_DRAIN,                    /* a slot, or all, leave or come back: droverctl drain */
	NEWS_SETTING,                  /* droverctl set */
	NEWS_STOP,
	NEWS_KINDS
};

extern const char *const news_event_names[NEWS_KINDS];

struct news_event {
	uint64_t id;                    /* from 1 on; 0: none, or it is just being written */
	uint64_t at_ms;
	uint32_t kind, slot;            /* slot: NEWS_NO_SLOT: of none in particular */
	uint32_t good;
	char text[NEWS_EVENT_BYTES];
};

/* The last NEWS_EVENTS of them, each at its id modulo that. */
struct news_ring {
	uint64_t last;                  /* the newest one's id */
	struct news_event at[NEWS_EVENTS];
};

struct board;

/* By the master: publishes all of `news` (its sequence is not looked at). */
void news_publish(struct board *board, const struct news *news);

/* A copy of it, every text terminated. False: it is just being written, again and again; *news is zeroed. */
bool news_read(const struct board *board, struct news *news);

/* By the master: something happened now, number `id`, which follows the one before. `text` is cut to what
 * there is room for. */
void news_add(struct board *board, uint64_t id, enum news_kind kind, uint32_t slot, bool good,
	      const char *text);

/* Copies the events after number `after` that are still there, oldest first, at most `room`, to `events`, and
 * returns how many. Every text is terminated, every kind is one. */
size_t news_since(const struct board *board, uint64_t after, struct news_event *events, size_t room);

#endif
