/* Does a slot make progress? What the watchdog of systemd asks the master for every slot. */
#ifndef MASTER_WATCH_H
#define MASTER_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child;
struct master;

/* What is known at a tick of the worker that serves in a slot. `busy_ns`, `accepted` and `holding` are what
 * the worker itself says, and may be anything. */
struct watch_view {
	bool stopped;                   /* by a signal (SIGSTOP) or a debugger's leftover */
	uint64_t busy_ns;               /* it has handled one batch of events for so long; 0: it waits */
	bool queued, queued_before;     /* connections wait for it: now, and at the last tick */
	bool accepted;                  /* it has accepted some since the last tick, or is new */
	bool handled;                   /* it hangs, the others accept in its place, and it will be ended */
	bool holding;                   /* it must not accept: at its limit, or out of descriptors */
};

enum watch_verdict { WATCH_GOOD, WATCH_STOPPED, WATCH_BUSY, WATCH_QUEUE };

/* `limit_ns`: busy for longer is no progress. Pure. */
enum watch_verdict watch_judge(const struct watch_view *view, uint64_t limit_ns);

/* A slot at the watchdog's last look. */
struct watched {
	pid_t pid;
	uint64_t accepted;
	bool queued;
};

/* Pings systemd's watchdog, if there is one, as long as all slots make progress. */
void watch_start(struct master *master);
/* Is the child stopped by a signal? */
bool watch_is_stopped(const struct child *child);
/* Is the child stopped, or busy with one batch of events for so long? */
bool watch_hangs(const struct child *child, uint64_t limit_ns);

#endif
