/* notify.c - what systemd is told (sd_notify(3)); all of libsystemd is here.
 *
 * Called by master.c and reload.c. Without a supervisor every call does nothing; a failure is ignored: there
 * is nobody else to tell. */
#include "master.h"

#include <string.h>
#include <systemd/sd-daemon.h>

void notify_ready(const struct master *master)
{
	sd_notifyf(0, "READY=1\nSTATUS=%u workers, generation %llu%s%.*s", master->slot_count,
		   (unsigned long long)master->current.generation->number,
		   master->reloads_good + master->reloads_bad > 1
			? master->last_reload_good ? "; last reload: " : "; last reload failed: " : "",
		   master->reloads_good + master->reloads_bad > 1
			? (int)strcspn(master->last_reload, "\n") : 0,
		   master->last_reload);        /* its first line: the next would be a variable of its own */
}

void notify_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
		   (unsigned long long)(clock_now_ns() / 1000));
}

void notify_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=finishing what is under way");
}

void notify_stopped(const char *text)
{
	sd_notifyf(0, "STATUS=%s", text);
}
