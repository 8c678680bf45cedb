/* news.c - what the master tells everybody.  news_publish and news_add are the master's alone, the rest is
 * for whoever has the board; nothing fails but a read that is overtaken all the time. */
#include "news.h"

#include "board.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { READ_TRIES = 16 };

const char *const news_event_names[NEWS_KINDS] = {
	[NEWS_START] = "start",	 [NEWS_RELOAD] = "reload",   [NEWS_UPGRADE] = "upgrade",
	[NEWS_CRASH] = "crash",	 [NEWS_HANG] = "hang",	      [NEWS_RECOVERED] = "recovered",
	[NEWS_RESPAWN] = "respawn",	 [NEWS_DRAIN] = "drain",     [NEWS_SETTING] = "setting",
	[NEWS_STOP] = "stop",
};

void news_publish(struct board *board, const struct news *news)
{
	uint32_t sequence = board->news.sequence | 1;

	__atomic_store_n(&board->news.sequence, sequence, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy((char *)&board->news + sizeof(sequence), (const char *)news + sizeof(sequence),
	       sizeof(*news) - sizeof(sequence));
	__atomic_store_n(&board->news.sequence, sequence + 1, __ATOMIC_RELEASE);
}

static void terminate(struct news *news)
{
	news->version[sizeof(news->version) - 1] = '\0';
	news->accept_wanted[sizeof(news->accept_wanted) - 1] = '\0';
	news->accept_effective[sizeof(news->accept_effective) - 1] = '\0';
	news->reload.text[NEWS_TEXT_BYTES - 1] = '\0';
	news->upgrade.text[NEWS_TEXT_BYTES - 1] = '\0';
}

bool news_read(const struct board *board, struct news *news)
{
	for (unsigned i = 0; i < READ_TRIES; i++) {
		uint32_t before = __atomic_load_n(&board->news.sequence, __ATOMIC_ACQUIRE);

		*news = board->news;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (before % 2 == 0 && __atomic_load_n(&board->news.sequence, __ATOMIC_RELAXED) == before) {
			terminate(news);
			return true;
		}
	}
	*news = (struct news){ 0 };
	return false;
}

void news_add(struct board *board, uint64_t id, enum news_kind kind, uint32_t slot, bool good,
	      const char *text)
{
	struct news_event *event = &board->events.at[id % NEWS_EVENTS];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	__atomic_store_n(&event->id, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	event->at_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	event->kind = kind;
	event->slot = slot;
	event->good = good;
	snprintf(event->text, sizeof(event->text), "%s", text);
	__atomic_store_n(&event->id, id, __ATOMIC_RELEASE);
	__atomic_store_n(&board->events.last, id, __ATOMIC_RELEASE);
}

static bool read_one(const struct board *board, uint64_t id, struct news_event *copy)
{
	const struct news_event *event = &board->events.at[id % NEWS_EVENTS];

	if (__atomic_load_n(&event->id, __ATOMIC_ACQUIRE) != id)
		return false;
	*copy = *event;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	copy->text[NEWS_EVENT_BYTES - 1] = '\0';
	return __atomic_load_n(&event->id, __ATOMIC_RELAXED) == id && copy->kind < NEWS_KINDS;
}

size_t news_since(const struct board *board, uint64_t after, struct news_event *events, size_t room)
{
	uint64_t last = __atomic_load_n(&board->events.last, __ATOMIC_ACQUIRE);
	uint64_t known = last < NEWS_EVENTS ? last : NEWS_EVENTS;
	size_t count = 0;

	if (after >= last)
		return 0;
	if (known > last - after)
		known = last - after;
	/* counted, because a broken worker may have written the highest number there is */
	for (uint64_t i = 0; i < known && count < room; i++)
		if (read_one(board, last - known + 1 + i, &events[count]))
			count++;
	return count;
}
