/* notify.c - what systemd is told (sd_notify(3)): readiness, a status line, the watchdog's ping, the sockets
 * to keep, and that more time is needed. What it passes at the start is in inherit.c; no other file calls
 * libsystemd.
 *
 * Called by master.c, reload.c, slots.c, sockets.c and watch.c. Without a supervisor every call does nothing;
 * a failure is ignored: there is nobody else to tell. */
#include "departure.h"
#include "master.h"
#include "notify.h"

#include "base/log.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* While a start, a reload or a stop is under way, systemd is asked every two seconds for ten more: what
 * drover.conf allows may be longer than TimeoutStopSec, and a master that hangs is still noticed. */
enum { EXTEND_EVERY_MS = 2000, STATUS_BYTES = 512 };
#define EXTEND "EXTEND_TIMEOUT_USEC=10000000\n"

/* ---- status ------------------------------------------------------------------------------------------ */

static unsigned serving_slots(const struct master *master)
{
	unsigned count = 0;

	for (unsigned i = 0; i < master->slot_count; i++)
		count += master->slots[i].serving != NULL;
	return count;
}

static unsigned held_slots(const struct master *master)
{
	unsigned count = 0;

	for (unsigned i = 0; i < master->slot_count; i++)
		count += master->slots[i].held;
	return count;
}

/* What is not as it should be, or as it usually is. */
static void describe_lack(const struct master *master, char *text, size_t bytes)
{
	unsigned held = held_slots(master), missing = master->slot_count - serving_slots(master) - held;

	text[0] = '\0';
	if (missing > 0 && held > 0)
		snprintf(text, bytes, " (%u without a process, %u out of service)", missing, held);
	else if (missing > 0 || held > 0)
		snprintf(text, bytes, " (%u %s)", missing + held,
			 held > 0 ? "out of service" : "without a process");
}

static void describe_service(const struct master *master, char text[STATUS_BYTES])
{
	unsigned addresses = master->current.generation->config->listen.count;
	char lack[96];

	describe_lack(master, lack, sizeof(lack));
	snprintf(text, STATUS_BYTES, "%s%u workers%s, generation %llu, %u address%s",
		 hold_since_ns(master) != 0 ? "out of service (health routes answer 503); " : "",
		 master->slot_count, lack, (unsigned long long)master->current.generation->number, addresses,
		 addresses == 1 ? "" : "es");
}

static void describe_handover(const struct master *master, char text[STATUS_BYTES])
{
	size_t len = strlen(text);
	unsigned workers;
	struct parting sum = departure_sum(master, &workers);

	if (workers > 0)
		snprintf(text + len, STATUS_BYTES - len,
			 "; handing over: %u worker%s, %llu of %llu connections", workers,
			 workers == 1 ? "" : "s", (unsigned long long)sum.moved,
			 (unsigned long long)sum.connections);
}

/* Of several lines only the first: the next would be another variable. */
static void add_last(char text[STATUS_BYTES], const char *what, bool good, const char *said)
{
	size_t len = strlen(text);

	snprintf(text + len, STATUS_BYTES - len, "; last %s%s: %.*s", what, good ? "" : " failed",
		 (int)strcspn(said, "\n"), said);
}

/* The start was the first reload. */
static void describe(const struct master *master, char text[STATUS_BYTES])
{
	describe_service(master, text);
	describe_handover(master, text);
	if (master->reloads_good + master->reloads_bad > 1)
		add_last(text, "reload", master->last_reload_good, master->last_reload);
	if (master->upgrade.good + master->upgrade.bad > 0)
		add_last(text, "upgrade", master->upgrade.last_good, master->upgrade.last);
}

static void describe_stop(const struct master *master, char text[STATUS_BYTES])
{
	unsigned workers = 0;

	for (const struct list *link = master->children.next; link != &master->children; link = link->next)
		workers++;
	snprintf(text, STATUS_BYTES, "stopping: %llu connections of %u workers are finishing",
		 (unsigned long long)board_sum(master->board, master->setup->open), workers);
}

void notify_status(const struct master *master)
{
	char text[STATUS_BYTES];

	if (master_is_stopping(master) || master->current.generation == NULL ||
	    master->transition.phase != PHASE_IDLE || upgrade_is_open(master))
		return;
	describe(master, text);
	sd_notifyf(0, "STATUS=%s", text);
}

/* ---- phases ------------------------------------------------------------------------------------------ */

static void ask_for_time(struct timer *timer, uint64_t now_ns)
{
	struct master *master = LIST_ENTRY(timer, struct master, extend);
	char text[STATUS_BYTES];

	(void)now_ns;
	if (master_is_stopping(master)) {
		describe_stop(master, text);
		sd_notifyf(0, EXTEND "STATUS=%s", text);
	} else if (master->transition.phase != PHASE_IDLE || upgrade_is_open(master)) {
		sd_notify(0, EXTEND);
	} else if (!list_empty(&master->handover.departures)) {
		notify_status(master);
	} else {
		return;
	}
	loop_timer(&master->loop, timer, EXTEND_EVERY_MS * CLOCK_MS);
}

/* Asks for time while something is under way. */
static void begin(struct master *master)
{
	master->extend.fire = ask_for_time;
	if (getenv("NOTIFY_SOCKET") != NULL)
		loop_timer(&master->loop, &master->extend, EXTEND_EVERY_MS * CLOCK_MS);
}

/* systemd 254 and later say how much the store takes; for older ones the unit does. */
static void look_at_store(struct master *master)
{
	const char *room = getenv("FDSTORE");
	uint64_t number;

	if (room != NULL && getenv("NOTIFY_SOCKET") != NULL && str_to_u64(str_of(room), &number))
		master->store_max = number;
}

void notify_starting(struct master *master)
{
	look_at_store(master);
	sd_notify(0, EXTEND "STATUS=starting");
	begin(master);
}

void notify_upgrading(struct master *master)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu\n" EXTEND "STATUS=upgrading: checking %s",
		   (unsigned long long)(clock_now_ns() / 1000), master->binary.path);
	begin(master);
}

void notify_resumed(struct master *master)
{
	look_at_store(master);
	sd_notify(0, EXTEND "STATUS=upgrading to drover " DROVER_VERSION ": starting workers");
	begin(master);
}

void notify_ready(const struct master *master)
{
	char text[STATUS_BYTES];

	describe(master, text);
	sd_notifyf(0, "READY=1\nSTATUS=%s", text);
}

void notify_reloading(struct master *master)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu\n" EXTEND "STATUS=reloading",
		   (unsigned long long)(clock_now_ns() / 1000));
	begin(master);
}

void notify_leaving(struct master *master)
{
	begin(master);
}

void notify_stopping(struct master *master)
{
	char text[STATUS_BYTES];

	if (master->failure[0] != '\0')        /* a start that came to nothing; systemctl status shows it */
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(master->last_reload, "\n"),
			 master->last_reload);
	else
		describe_stop(master, text);
	sd_notifyf(0, "STOPPING=1\n" EXTEND "STATUS=%s", text);
	begin(master);
}

/* ---- the watchdog ------------------------------------------------------------------------------------ */

uint64_t notify_watchdog_ns(void)
{
	uint64_t period_us = 0;

	if (sd_watchdog_enabled(0, &period_us) <= 0 || period_us > UINT64_MAX / 1000)
		return 0;
	return period_us * 1000;
}

void notify_alive(void)
{
	sd_notify(0, "WATCHDOG=1");
}

/* ---- the FD store ------------------------------------------------------------------------------------ */

/* By address and place: the order in which they come back is systemd's. Printable and without ":"
 * (sd_pid_notify_with_fds(3)); false: too long. */
static bool store_name(const struct addr *addr, unsigned place, char name[NOTIFY_NAME_BYTES])
{
	size_t len = sizeof(NOTIFY_STORED) - 1;

	memcpy(name, NOTIFY_STORED, len);
	for (const char *c = addr->text; *c != '\0'; c++) {
		bool plain = *c > ' ' && *c < 127 && *c != ':' && *c != '%';

		if (len + 4 > NOTIFY_NAME_BYTES)
			return false;
		len += (size_t)snprintf(name + len, 4, plain ? "%c" : "%%%02X", (unsigned char)*c);
	}
	return snprintf(name + len, NOTIFY_NAME_BYTES - len, "/%u", place) < (int)(NOTIFY_NAME_BYTES - len);
}

unsigned notify_stored_place(const char *name)
{
	const char *digits = strrchr(name, '/') + 1;    /* the prefix ends with one */
	char *end;
	unsigned long place = strtoul(digits, &end, 10);

	return *end == '\0' && place < HOT_SLOTS ? (unsigned)place : 0;
}

static bool store_one(const struct listener *listener, unsigned place)
{
	char name[NOTIFY_NAME_BYTES], text[NOTIFY_NAME_BYTES + 64];

	if (!store_name(&listener->addr, place, name))
		return false;
	/* FDPOLL=0: else systemd would drop a socket that reports HUP for a moment */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	return sd_pid_notify_with_fds(0, 0, text, &listener->sockets[place].fd, 1) > 0;
}

/* Those that nobody else holds yet. */
static bool store_all(struct master *master, struct listener *listener)
{
	for (unsigned i = 0; i < listener->count; i++) {
		if (listener->sockets[i].keeper != KEEPER_NONE)
			continue;
		if (!store_one(listener, i))
			return false;
		listener->sockets[i].keeper = KEEPER_STORE;
		master->store_used++;
	}
	return true;
}

static unsigned count_kept_by(const struct listener *listener, enum keeper keeper)
{
	unsigned count = 0;

	for (unsigned i = 0; i < listener->count; i++)
		count += listener->sockets[i].keeper == keeper;
	return count;
}

void notify_store(struct master *master, struct listener *listener)
{
	unsigned count = count_kept_by(listener, KEEPER_NONE);

	if (count == 0 || master->store_max == 0)
		return;
	if (master->store_used + count > master->store_max || !store_all(master, listener))
		log_event(LEVEL_WARNING, "not_stored", log_text("address", listener->addr.text),
			  log_number("sockets", count), log_number("stored", master->store_used),
			  log_number("most", master->store_max));
}

void notify_forget(struct master *master, const char *name)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	master->store_used -= master->store_used > 0;
}

void notify_forget_listener(struct master *master, const struct listener *listener)
{
	char name[NOTIFY_NAME_BYTES];

	for (unsigned i = 0; i < listener->count; i++) {
		const struct listen_socket *one = &listener->sockets[i];

		if (one->keeper == KEEPER_STORE && one->name != NULL)
			notify_forget(master, one->name);       /* of an earlier process */
		else if (one->keeper == KEEPER_STORE && store_name(&listener->addr, i, name))
			notify_forget(master, name);
	}
}

void notify_stopped(const char *text)
{
	sd_notifyf(0, "STATUS=%s", text);
}
