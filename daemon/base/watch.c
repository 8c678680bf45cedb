/* watch.c - names that are watched.  Not there yet: nobody can tell. */
#include "watch.h"

volatile sig_atomic_t watch_signalled;

struct watcher *watcher_open(struct loop *loop, struct err *err)
{
	(void)loop;
	err_set(err, "not there yet");
	return NULL;
}

void watcher_close(struct watcher *watcher)
{
	(void)watcher;
}

bool watch_path(struct watcher *watcher, struct watch *watch, const char *path)
{
	(void)watcher, (void)watch, (void)path;
	return false;
}

void watch_end(struct watch *watch)
{
	(void)watch;
}

void watch_drain(void)
{
	watch_signalled = 0;
}
