/* wills.c - who inherits the idle connections of a worker that crashed, and how its keeper is let go.
 *
 * A worker has a testament from its fork on: the unread end of what it, or its keeper, will write when it
 * crashes (ipc/will.h). Only the first message is for us: whether there is a keeper, which we have to reap.
 * When the worker has crashed, the end goes to the worker that follows in its slot, or if that one will not
 * be there at once, to another one that serves, and to the next one if that dies before it has read all;
 * after any other end it is closed. Called by spawn.c, slots.c and state.c; what fails costs the idle
 * connections of a worker that crashed, and nothing else. */
#include "fields.h"
#include "master.h"

#include "base/fd.h"
#include "base/log.h"
#include "ipc/will.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

enum { LOOK_MS = 100 };

/* ---- the keeper -------------------------------------------------------------------------------------- */

bool wills_know(const struct master *master, pid_t pid)
{
	for (struct list *link = master->testaments.next; link != &master->testaments; link = link->next)
		if (LIST_ENTRY(link, struct testament, link)->keeper_pid == pid)
			return true;
	return false;
}

/* The image before would look for it: then it is a stray of whichever image goes on. */
static void on_exit_of_keeper(struct source *source, uint32_t events)
{
	struct testament *testament = LIST_ENTRY(source, struct testament, keeper);
	struct master *master = testament->master;
	siginfo_t info;

	(void)events;
	spawn_reap(source->fd, guard_is_armed() ? WNOWAIT : 0, &info);
	loop_remove(&master->loop, source);
	fd_close(&source->fd);
	testament->keeper_pid = 0;
	if (!testament->dead)
		log_event(LEVEL_WARNING, "keeper_gone", log_number("slot", testament->slot),
			  log_number("pid", (uint64_t)testament->pid));
	master_check_end(master);
}

/* A worker can say any number: only a child that nobody else waits for is waited for. */
static bool is_child(int pidfd)
{
	siginfo_t info;

	return waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void watch_keeper(struct testament *testament, pid_t pid)
{
	struct master *master = testament->master;

	if (pid <= 0 || strays_know(master, pid))
		return;
	testament->keeper.fd = pidfd_open(pid, 0);
	if (testament->keeper.fd < 0 || !is_child(testament->keeper.fd) ||
	    loop_add(&master->loop, &testament->keeper, EPOLLIN) != 0)
		fd_close(&testament->keeper.fd);
	else
		testament->keeper_pid = pid;
}

/* ---- the heir ---------------------------------------------------------------------------------------- */

static bool inherits(const struct child *child)
{
	return child != NULL && child->state == CHILD_SERVING && child->testament != NULL;
}

/* Does it do at all what it is told? What it inherits would wait for it. */
static bool is_well(const struct slot *slot)
{
	return !slot_is_failing(slot) && !slot->bad;
}

/* Of those who are well, the one that has the fewest connections. */
static const struct child *find_sibling(const struct master *master)
{
	const struct hot_line *lines = master->hot->line;
	const struct child *found = NULL;

	FOR_EACH_CHILD(master, child) {
		if (inherits(child) && is_well(&master->slots[child->slot]) &&
		    (found == NULL || lines[child->column].open < lines[found->column].open))
			found = child;
	}
	return found;
}

/* NULL: nobody yet. */
static const struct child *find_heir(const struct testament *testament)
{
	const struct master *master = testament->master;
	const struct slot *slot = &master->slots[testament->slot];
	const struct child *own = inherits(slot->serving) ? slot->serving : NULL, *heir = own;

	if (own == NULL && (slot->next != NULL || timer_armed(&slot->respawn)) && slot->failures == 0)
		return NULL;            /* it follows at once */
	if (own == NULL || !is_well(slot))
		heir = find_sibling(master);
	return heir != NULL ? heir : own;
}

static void send_end(struct testament *testament, const struct child *heir)
{
	struct message message = {
		.type = MESSAGE_WILL,
		.bytes = sizeof(struct hand_note),
		.body.hand = { .slot = testament->slot, .pid = (uint32_t)testament->pid },
	};
	struct err err;

	if (channel_send(heir->channel.fd, &message, &testament->end.fd, 1, &err))
		testament->heir = heir->pid;
	else
		log_event(LEVEL_WARNING, "survival_impossible", log_number("slot", testament->slot),
			  log_number("pid", (uint64_t)testament->pid), log_text("error", err.text));
}

static bool has_heir(const struct testament *testament)
{
	FOR_EACH_CHILD(testament->master, child) {
		if (child->pid == testament->heir)
			return true;
	}
	return false;
}

/* Nobody writes any more, and nothing is left: the end of the file. */
static bool is_read(const struct testament *testament)
{
	char byte;

	return recv(testament->end.fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Who crashes a worker comes back at once, and the heir may crash before it has read all: then the next one
 * goes on. */
static void arrange(struct testament *testament)
{
	bool lost = !testament->crashed || stop_is_draining(testament->master);
	const struct child *heir;

	if (!testament->dead || !testament->heard || testament->end.fd < 0)
		return;
	if (lost || (testament->heir != 0 && is_read(testament))) {
		will_burn(&testament->end.fd);
		return;
	}
	if (!has_heir(testament)) {
		testament->heir = 0;
		heir = find_heir(testament);
		if (heir == NULL)
			return;
		send_end(testament, heir);
	}
	loop_timer(&testament->master->loop, &testament->look, LOOK_MS * CLOCK_MS);
}

static void on_look(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	arrange(LIST_ENTRY(timer, struct testament, look));
}

void wills_arrange(struct master *master)
{
	for (struct list *link = master->testaments.next; link != &master->testaments; link = link->next)
		arrange(LIST_ENTRY(link, struct testament, link));
}

/* ---- the testament ----------------------------------------------------------------------------------- */

static void on_word(struct source *source, uint32_t events)
{
	struct testament *testament = LIST_ENTRY(source, struct testament, end);
	struct will_word word = { 0 };

	(void)events;
	if (will_hear(source->fd, &word) == WILL_EMPTY)
		return;
	testament->heard = true;
	loop_remove(&testament->master->loop, source);
	watch_keeper(testament, (pid_t)word.keeper);
	arrange(testament);
}

static struct testament *new_testament(struct master *master)
{
	struct testament *testament = calloc(1, sizeof(*testament));

	if (testament == NULL)
		return NULL;
	testament->master = master;
	testament->end = (struct source){ .fd = -1, .handle = on_word };
	testament->keeper = (struct source){ .fd = -1, .handle = on_exit_of_keeper };
	testament->look.fire = on_look;
	list_push_back(&master->testaments, &testament->link);
	return testament;
}

static bool new_testament_of(struct child *child)
{
	child->testament = new_testament(child->master);
	if (child->testament == NULL)
		return false;
	child->testament->slot = child->slot;
	child->testament->pid = child->pid;
	return true;
}

int wills_make(struct child *child, struct err *err)
{
	int ends[2];

	if (!new_testament_of(child))
		return err_set(err, "out of memory"), -1;
	if (!will_pair(ends, err))
		return -1;
	child->testament->end.fd = ends[0];
	return ends[1];
}

static bool watch(struct testament *testament, struct err *err)
{
	struct loop *loop = &testament->master->loop;

	if ((testament->keeper.fd >= 0 && loop_add(loop, &testament->keeper, EPOLLIN) != 0) ||
	    (testament->end.fd >= 0 && !testament->heard && loop_add(loop, &testament->end, EPOLLIN) != 0))
		return err_set(err, "cannot watch the will of worker %u", testament->slot);
	return true;
}

bool wills_watch(struct child *child, struct err *err)
{
	if (child->testament == NULL)
		return true;
	child->testament->pid = child->pid;
	return watch(child->testament, err);
}

void wills_child_died(struct child *child, bool crashed)
{
	struct testament *testament = child->testament;

	if (testament == NULL)
		return;
	child->testament = NULL;
	testament->dead = true;
	testament->crashed = crashed;
	if (!testament->end.added)      /* heard, or never watched: nobody wrote a word */
		testament->heard = true;
	if (!crashed)                   /* else when it is known who follows in the slot */
		arrange(testament);
}

bool wills_left(const struct master *master)
{
	for (struct list *link = master->testaments.next; link != &master->testaments; link = link->next)
		if (LIST_ENTRY(link, struct testament, link)->keeper.fd >= 0)
			return true;
	return false;
}

void wills_kill(struct master *master)
{
	for (struct list *link = master->testaments.next; link != &master->testaments; link = link->next)
		pidfd_send_signal(LIST_ENTRY(link, struct testament, link)->keeper.fd, SIGKILL, NULL, 0);
}

static void release(struct testament *testament)
{
	struct loop *loop = &testament->master->loop;

	timer_cancel(&testament->look);
	loop_remove(loop, &testament->end);
	loop_remove(loop, &testament->keeper);
	will_burn(&testament->end.fd);
	fd_close(&testament->keeper.fd);
	list_remove(&testament->link);
	free(testament);
}

void wills_sweep(struct master *master)
{
	for (struct list *link = master->testaments.next, *next; link != &master->testaments; link = next) {
		struct testament *testament = LIST_ENTRY(link, struct testament, link);

		next = link->next;
		if (testament->dead && testament->end.fd < 0 && testament->keeper.fd < 0)
			release(testament);
	}
}

void wills_forget(struct master *master)
{
	struct list *all = &master->testaments;

	for (struct list *link = list_pop_front(all); link != NULL; link = list_pop_front(all))
		release(LIST_ENTRY(link, struct testament, link));
}

/* ---- an upgrade -------------------------------------------------------------------------------------- */

static const struct field rows[] = {
	FIELD(FIELD_NUMBER, testament, slot),
	FIELD(FIELD_NUMBER, testament, pid),
	FIELD(FIELD_BOOL, testament, crashed),
	FIELD(FIELD_NUMBER, testament, heir),
	FIELD(FIELD_FD, testament, end.fd),
	FIELD(FIELD_BOOL, testament, heard),
	FIELD(FIELD_FD, testament, keeper.fd),
	FIELD(FIELD_NUMBER, testament, keeper_pid),
	{ NULL, 0, 0, 0 },
};

static bool load(struct testament *testament, const struct json_t *json, struct err *err)
{
	return fields_load(rows, testament, json, err) &&
	       (testament->slot < CONFIG_MAX_WORKERS || err_set(err, "no slot %u", testament->slot));
}

struct json_t *wills_save(const struct child *child)
{
	return child->testament != NULL ? fields_save(rows, child->testament) : json_null();
}

bool wills_load(struct child *child, const struct json_t *json, struct err *err)
{
	if (json == NULL)
		return err_set(err, "will is missing");
	if (json_is_null(json))
		return true;
	if (!new_testament_of(child))
		return err_set(err, "out of memory");
	return load(child->testament, json, err);
}

struct json_t *wills_save_dead(const struct master *master)
{
	json_t *array = json_array();

	for (const struct list *link = master->testaments.next; link != &master->testaments;
	     link = link->next) {
		const struct testament *testament = LIST_ENTRY(link, struct testament, link);

		if (testament->dead && json_array_append_new(array, fields_save(rows, testament)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

bool wills_load_dead(struct master *master, const struct json_t *json, struct err *err)
{
	struct testament *testament = new_testament(master);

	if (testament == NULL)
		return err_set(err, "out of memory");
	testament->dead = true;
	return load(testament, json, err);
}

bool wills_resume(struct master *master, struct err *err)
{
	for (struct list *link = master->testaments.next; link != &master->testaments; link = link->next) {
		struct testament *testament = LIST_ENTRY(link, struct testament, link);

		if (testament->dead && !watch(testament, err))
			return false;
	}
	return true;
}
