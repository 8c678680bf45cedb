/* spawn.c - worker processes: forked, asked, told, killed, reaped.
 *
 * Called by slots.c and reload.c. What happens to a child goes through the table in child.c, and nothing else
 * decides what is done about it. */
#include "departure.h"
#include "logs.h"
#include "master.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/landlock.h"
#include "base/log.h"
#include "base/privilege.h"
#include "base/watch.h"
#include "config/layers.h"
#include "ipc/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>

enum {
	KILL_AGAIN_MS = 1000,
	KILL_TRIES = 5,
	DRAIN_GRACE_MS = 2000,
	MOST_CONNECTIONS = 1000000,     /* of a worker: limits.connections */
};

/* ---- in the child ------------------------------------------------------------------------------------ */

/* A worker never acts on signals from outside: `systemctl kill` and ^C reach the whole group (invariant
 * 10). */
static void ignore_signals(void)
{
	static const int ignored[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE };
	sigset_t none;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A kernel without Landlock is no reason not to serve: the master says so. A list that is absent is in the
 * text of a drover that knew none, which an upgrade serves on. */
static bool confine(const struct config *config, struct err *err)
{
	const struct strings *paths = &config->sandbox_read;

	tzset();                        /* its file is out of reach from here on; so is the list of mounts */
	watch_prepare();
	return !config->landlock || paths->at == NULL || !layer_is_there(LAYER_LANDLOCK, err) ||
	       landlock_confine(paths->at, paths->count, err);
}

/* What is not there at all was said by the master (degraded.c). */
static bool seal(const struct config *config, struct err *err)
{
	privilege_show(config->core_dumps);
	return !config->sealed_code || !layer_is_there(LAYER_SEALED_CODE, err) || privilege_seal(err);
}

static void run_child(struct master *master, const struct child *child, const struct worker_ends *its,
		      const struct verdict *verdict)
{
	int channel = fcntl(its->channel, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), error = errno;
	int will = its->will < 0 ? -1 : fcntl(its->will, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	int keep[] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, channel, will < 0 ? channel : will };
	const struct config *config = verdict->generation->config;
	struct worker_ends ends = { channel, will, config->survive, config->seccomp };
	const struct config_identity *who = &verdict->identity;
	struct err err;

	ignore_signals();
	logs_forked(master, config);
	if (channel < 0) {
		log_event(LEVEL_ERROR, "worker_failed", log_number("slot", child->slot),
			  log_text("error", strerror(error)));
		_exit(1);
	}
	fd_close_others(keep, sizeof(keep) / sizeof(keep[0]));
	privilege_open_files(config->open_files);
	if (!privilege_drop(who->change, who->uid, who->gid, &err) ||
	    !confine(config, &err) || !seal(config, &err)) {
		log_event(LEVEL_ERROR, "worker_failed", log_number("slot", child->slot),
			  log_text("error", err.text));
		_exit(1);
	}
	_exit(master->setup->run_worker(master, &ends, child));
}

/* ---- what a child says ------------------------------------------------------------------------------- */

/* One of them may be idle, and is not woken again. Who is full too says so on the board; it does no harm if
 * that is a lie. */
void spawn_tell_to_look(const struct master *master, const struct child *full)
{
	FOR_EACH_CHILD(master, child) {
		if (child != full && (child->state == CHILD_SERVING || child->state == CHILD_DRAINING) &&
		    master->hot->line[child->column].holding == 0)
			channel_hint(child->channel.fd, MESSAGE_LOOK);
	}
}

static void on_message(struct child *child, const struct message *message)
{
	if (message->type == MESSAGE_READY)
		reload_child_ready(child, message->generation);
	else if (message->type == MESSAGE_FAILED)
		reload_child_failed(child, message->generation, message->body.text);
	else if (message->type == MESSAGE_CONFINED)
		reload_child_confined(child, message->generation, message->body.text);
	else if (message->type == MESSAGE_ADOPTED)
		reload_child_adopted(child, message->generation);
	else if (message->type == MESSAGE_REOPENED)
		reopen_child_answered(child, message->generation, message->body.reopened.good != 0);
	else if (message->type == MESSAGE_RELEASED)
		release_child_done(child, message->generation);
	else if (message->type == MESSAGE_SPENT)
		stop_child_spent(child);
	else if (message->type == MESSAGE_COUNTED)
		generations_child_counted(child, &message->body.count);
	else if (message->type == MESSAGE_LISTED)
		listing_child_listed(child, message->generation);
	else if (message->type == MESSAGE_PARTED)
		handover_parted(child, &message->body.hand);
	else if (message->type == MESSAGE_UNHEARD)
		handover_unheard(child, &message->body.hand);
	else if (message->type == MESSAGE_WAITING)
		spawn_tell_to_look(child->master, child);
	else
		log_event(LEVEL_WARNING, "worker_message_unknown", log_number("slot", child->slot));
}

/* Its exit follows at once, or it is broken: then its deadline does. */
static void on_channel_end(struct child *child)
{
	loop_remove(&child->master->loop, &child->channel);
	if (!timer_armed(&child->deadline))
		loop_timer(&child->master->loop, &child->deadline, KILL_AGAIN_MS * CLOCK_MS);
}

static void on_channel(struct source *source, uint32_t events)
{
	struct child *child = LIST_ENTRY(source, struct child, channel);
	enum channel_result result;
	struct message message;
	struct message_fds fds;

	(void)events;
	result = channel_receive(source->fd, &message,
				 &fds); /* one a turn: no child can keep the master busy */
	if (result == CHANNEL_MESSAGE)
		on_message(child, &message);
	if (result != CHANNEL_EMPTY)
		channel_drop(&fds);
	if (result == CHANNEL_END)
		on_channel_end(child);
}

/* ---- the end of a child ------------------------------------------------------------------------------ */

static bool is_clean(const siginfo_t *info)
{
	return info->si_code == CLD_EXITED && info->si_status == 0;
}

static bool is_expected(const struct child *child)
{
	return child->state == CHILD_DRAINING || child->state == CHILD_KILLED;
}

/* Whatever it had in hand is gone: also of one that nobody had told to leave, and that says that all is
 * well. */
static bool has_died(const struct child *child, const siginfo_t *info)
{
	return !is_clean(info) || !is_expected(child);
}

/* That is a fault of its own, or of what befell it: one that was killed because nobody needed it is none, nor
 * one of a trial. */
static bool is_a_death(const struct child *child, const siginfo_t *info)
{
	bool as_told = child->unwanted && info->si_code != CLD_EXITED && info->si_status == SIGKILL;

	return has_died(child, info) && !child->trial && !as_told;
}

static uint64_t lived_ms(const struct child *child)
{
	uint64_t now_ns = child->master->loop.now_ns;

	return now_ns > child->started_ns ? (now_ns - child->started_ns) / CLOCK_MS : 0;
}

/* Who has the column may have written any number, and anybody may write another one meanwhile. */
static uint64_t still_open(const struct master *master, unsigned column)
{
	uint64_t open =
		__atomic_load_n(&master->board->column[column].counters[COUNT_OPEN], __ATOMIC_RELAXED);

	return open < MOST_CONNECTIONS ? open : MOST_CONNECTIONS;
}

static const char *how_of(const siginfo_t *info)
{
	return info->si_code == CLD_EXITED ? "exit" : obituary_signal(info->si_status);
}

static const char forbidden_call[] =
	"it made a system call that no worker makes, such as to run a program (sandbox.seccomp): unless that"
	" is a bug, somebody has taken it over; the kernel's log names the call (type=1326)";

static void say_exit(const struct child *child, const siginfo_t *info, enum log_level level,
		     const struct obituary *obituary)
{
	struct log_field fields[9 + OBITUARY_FIELDS] = {
		log_number("slot", child->slot),
		log_number("pid", (uint64_t)child->pid),
		log_text("state", child_state_names[child->state]),
		log_text("how", how_of(info)),
		log_number("status", (uint64_t)info->si_status),
		log_number("generation", child->generation),
		log_number("lived_ms", lived_ms(child)),
	};
	unsigned count = 7;

	if (has_died(child, info)) {
		fields[count++] = log_number("lost", still_open(child->master, child->column));
		if (info->si_code != CLD_EXITED && info->si_status == SIGSYS)
			fields[count++] = log_text("remedy", forbidden_call);
		obituary_fields(obituary, fields, count);
	}
	log_fields(level, "worker_exited", fields);
}

/* For whoever asks later. Without memory for it there is the log. */
static void remember(const struct child *child, const siginfo_t *info, const struct obituary *obituary)
{
	struct slot *slot = &child->master->slots[child->slot];
	bool killed = info->si_code != CLD_EXITED;

	if (slot->death == NULL)
		slot->death = malloc(sizeof(*slot->death));
	if (slot->death == NULL)
		return;
	*slot->death = (struct death){
		.signal = killed ? info->si_status : 0,
		.status = killed ? 0 : info->si_status,
		.lived_ms = lived_ms(child),
		.lost = still_open(child->master, child->column),
	};
	clock_gettime(CLOCK_REALTIME, &slot->death->at);
	snprintf(slot->death->phase, sizeof(slot->death->phase), "%s", obituary->phase);
	snprintf(slot->death->client, sizeof(slot->death->client), "%s", obituary->client);
	snprintf(slot->death->request, sizeof(slot->death->request), "%s", obituary->request);
}

static void log_exit(const struct child *child, const siginfo_t *info)
{
	bool expected = is_expected(child), clean = is_clean(info);
	struct obituary obituary;

	if (expected && (child->trial || (clean && child->left_for != 0)))
		return;         /* of those that drained departure.c says more */
	obituary_of(child, &obituary);
	say_exit(child, info,
		 expected && clean ? LEVEL_INFO
		 : expected        ? LEVEL_NOTICE
				   : LEVEL_ERROR,
		 &obituary);
	if (is_a_death(child, info))
		remember(child, info, &obituary);
}

static void release(struct child *child)
{
	struct master *master = child->master;

	loop_remove(&master->loop, &child->channel);
	loop_remove(&master->loop, &child->exit);
	fd_close(&child->channel.fd);
	fd_close(&child->exit.fd);
	timer_cancel(&child->deadline);
	board_retire(master->board, &master->owners, child->column, child->slot);
	list_remove(&child->link);
}

/* Children are freed at the turn's end: a stale event of this batch may still look at their tags. */
static void bury(struct child *child)
{
	list_push_back(&child->master->dead, &child->link);
}

/* The child is no more, or counts as that: whoever waited for it goes on. */
static void let_go(struct child *child)
{
	struct step step = child_next(child->state, EV_EXITED);
	struct master *master = child->master;
	struct slot *slot = &master->slots[child->slot];

	child->state = step.state;
	hold_child_gone(child);
	departure_end(child);
	release(child);
	handover_forget(child);
	if (slot->serving == child)
		slot->serving = NULL;
	if (slot->next == child)
		slot->next = NULL;
	/* first: a transition that ends by this death looks for slots that have nobody coming */
	if (step.action != ACT_FORGET && !child->trial)
		slot_respawn(slot, child);
	reload_child_died(child);
	reopen_child_gone(child);
	release_child_died(child);
	generations_child_died(master);
	listing_child_died(child);
	slots_publish(master);
	bury(child);
	master_check_end(master);
}

void spawn_lose(struct master *master, unsigned column)
{
	uint64_t had = still_open(master, column);

	master->board->column[BOARD_RETIRED].counters[COUNT_LOST_CRASHED] += had;
	stop_lost(master, had);
	quota_recount(master->quota);
}

static void on_exit_of_child(struct source *source, uint32_t events)
{
	struct child *child = LIST_ENTRY(source, struct child, exit);
	int keep = guard_is_armed() ? WNOWAIT : 0;      /* the old image would look for it */
	siginfo_t info;

	(void)events;
	if (!spawn_reap(source->fd, keep, &info))
		return;
	log_exit(child, &info);
	if (is_a_death(child, &info))
		tell_crash(child, &info, still_open(child->master, child->column));
	if (has_died(child, &info))
		spawn_lose(child->master, child->column);
	wills_child_died(child, has_died(child, &info) && child->served_ns != 0);
	let_go(child);
}

/* Not even SIGKILL ends a process that waits in the kernel for a disk that is gone; the stop does not wait
 * with it. */
static void leave_behind(struct child *child)
{
	log_event(LEVEL_ERROR, "worker_unkillable", log_number("slot", child->slot),
		  log_number("pid", (uint64_t)child->pid));
	spawn_lose(child->master, child->column);
	wills_child_died(child, false);
	let_go(child);
}

/* ---- what is done to a child ------------------------------------------------------------------------- */

static void on_deadline(struct timer *timer, uint64_t now_ns)
{
	struct child *child = LIST_ENTRY(timer, struct child, deadline);

	(void)now_ns;
	if (child->kills >= KILL_TRIES && master_is_stopping(child->master))
		leave_behind(child);
	else if (child->state == CHILD_DRAINING || child->state == CHILD_KILLED)
		child_happens(child, EV_DEADLINE);
	else
		reload_child_late(child);
}

static void send_signal(struct child *child, int signal_number)
{
	log_event(child->trial               ? LEVEL_DEBUG
		  : signal_number == SIGABRT ? LEVEL_WARNING    /* it served and hung */
					     : LEVEL_NOTICE,
		  "worker_killed", log_number("slot", child->slot), log_number("pid", (uint64_t)child->pid),
		  log_text("signal", obituary_signal(signal_number)));
	child->kills += signal_number == SIGKILL;
	pidfd_send_signal(child->exit.fd, signal_number, NULL, 0);
	loop_timer(&child->master->loop, &child->deadline, KILL_AGAIN_MS * CLOCK_MS);
}

void child_unreachable(struct child *child, const struct err *err)
{
	log_event(LEVEL_ERROR, "worker_unreachable", log_number("slot", child->slot),
		  log_text("error", err->text));
	child->state = CHILD_KILLED;
	send_signal(child, SIGKILL);
}

static void send_drain(struct child *child)
{
	struct master *master = child->master;
	uint64_t drain_ns =
		master->current.generation != NULL ? master->current.generation->config->drain_ns : 0;
	struct message message = { .type = MESSAGE_DRAIN, .bytes = sizeof(struct drain_note) };
	struct err err;

	child->hands = !stop_is_draining(master);
	if (child->left_ns == 0)
		departure_begin(child);
	message.body.drain = (struct drain_note){
		.deadline_ns = master->loop.now_ns + drain_ns,
		.close_idle = stop_is_draining(master),
		.keep_sockets = stop_is_draining(master),
		.hand = child->hands,
	};
	loop_timer(&master->loop, &child->deadline, drain_ns + DRAIN_GRACE_MS * CLOCK_MS);
	if (!channel_send(child->channel.fd, &message, NULL, 0, &err))
		child_unreachable(child, &err);
}

static void send_go(struct child *child)
{
	struct message cover = { .type = MESSAGE_COVER, .bytes = sizeof(struct slot_set) };
	struct master *master = child->master;
	struct err err;

	cover.body.cover = master->uncovered;
	loop_timer(&master->loop, &child->deadline, master->current.generation->config->prepare_ns);
	if (!channel_send(child->channel.fd, &cover, NULL, 0, &err) ||
	    !channel_tell(child->channel.fd, MESSAGE_GO, child->asked, &err))
		child_unreachable(child, &err);
	stop_tell(child);
}

static void bug(struct child *child, enum child_event event)
{
	log_event(LEVEL_ERROR, "bug_child_event", log_number("slot", child->slot),
		  log_text("state", child_state_names[child->state]), log_number("child_event", event));
}

void child_happens(struct child *child, enum child_event event)
{
	struct step step = child_next(child->state, event);

	if (step.action == ACT_BUG) {
		bug(child, event);
		return;
	}
	child->unwanted = child->unwanted || (event == EV_RETIRE && step.action == ACT_KILL);
	child->state = step.state;
	switch (step.action) {
	case ACT_START:
		send_go(child);
		break;
	case ACT_SEND_DRAIN:
		send_drain(child);
		break;
	case ACT_KILL:
		send_signal(child, SIGKILL);
		break;
	case ACT_ABORT:
		send_signal(child, SIGABRT);
		break;
	default:        /* counting is the transition's, respawning is on_exit_of_child's */
		break;
	}
}

void child_go(struct child *child)
{
	child_happens(child, EV_GO);
}

void spawn_kill_all(struct master *master)
{
	FOR_EACH_CHILD(master, child) {
		child->unwanted = child->unwanted || child->state != CHILD_KILLED;
		child->state = CHILD_KILLED;
		send_signal(child, SIGKILL);
	}
}

/* ---- asking and forking ------------------------------------------------------------------------------ */

static bool send_config(const struct child *child, const struct verdict *verdict, struct err *err)
{
	struct message message = { .type = MESSAGE_CONFIG, .generation = verdict->generation->number };

	return channel_send(child->channel.fd, &message, &verdict->text, 1, err) &&
	       logs_send(child, MESSAGE_LOGS, verdict->generation->number, verdict, err);
}

bool spawn_ask(struct child *child, const struct verdict *verdict, struct err *err)
{
	struct message prepare = { .type = MESSAGE_PREPARE, .generation = verdict->generation->number,
				   .bytes = sizeof(struct prepare_note) };

	sockets_note(child->master, verdict, &prepare.body.prepare);
	child->asked = verdict->generation->number;
	/* many may have been forked in this turn, on a machine that takes its time for it */
	loop_timer_from_now(&child->master->loop, &child->deadline, verdict->generation->config->prepare_ns);
	return send_config(child, verdict, err) && sockets_send(child, verdict, err) &&
	       channel_send(child->channel.fd, &prepare, NULL, 0, err);
}

bool spawn_watch(struct child *child, int channel, struct err *err)
{
	struct master *master = child->master;

	child->channel = (struct source){ .fd = channel, .handle = on_channel };
	child->exit = (struct source){ .fd = pidfd_open(child->pid, 0), .handle = on_exit_of_child };
	child->deadline.fire = on_deadline;
	if (child->exit.fd < 0)
		return err_sys(err, errno, "pidfd_open");
	if (loop_add(&master->loop, &child->exit, EPOLLIN) != 0 ||
	    loop_add(&master->loop, &child->channel, EPOLLIN) != 0)
		return err_set(err, "cannot watch worker %u", child->slot);
	return wills_watch(child, err);
}

static struct child *new_child(struct master *master, unsigned slot, const struct verdict *verdict,
			       struct err *err)
{
	struct child *child = calloc(1, sizeof(*child));

	if (child == NULL)
		return err_set(err, "out of memory"), NULL;
	child->master = master;
	child->slot = slot;
	child->state = CHILD_STARTING;
	child->started_ns = master->loop.now_ns;
	child->trial = master->transition.dry && verdict == &master->transition.next;
	child->born = verdict->generation->number;
	child->column = board_claim(master->board, &master->owners);
	board_sites_publish(master->board, &master->owners);
	if (child->column == 0) {
		free(child);
		return err_set(err, "more than %d workers at once", BOARD_COLUMNS - 1), NULL;
	}
	master->hot->line[child->column] = (struct hot_line){ 0 };
	return child;
}

static void give_up(struct child *child)
{
	if (child->pid > 0) {
		kill(child->pid, SIGKILL);
		waitpid(child->pid, NULL, 0);   /* killed a moment ago: it ends at once */
	}
	wills_child_died(child, false);
	release(child);
	free(child);
}

static bool fork_child(struct child *child, const struct verdict *verdict, struct err *err)
{
	struct master *master = child->master;
	int ends[2] = { -1, -1 };
	int mine AUTO_CLOSE = -1, its AUTO_CLOSE = -1, will AUTO_CLOSE = -1;

	if (!channel_pair(ends, err))
		return false;
	mine = ends[0];
	rights_refuse(mine);            /* no message of a worker has any */
	its = ends[1];
	if (!child->trial) {
		will = wills_make(child, err);
		if (will < 0)
			return false;
	}
	child->pid = fork();
	if (child->pid == 0)
		run_child(master, child, &(struct worker_ends){ .channel = its, .will = will }, verdict);
	if (child->pid < 0)
		return err_sys(err, errno, "fork");
	master->board->column[child->column].pid = (uint32_t)child->pid;
	master->board->column[child->column].slot = child->slot;
	return spawn_watch(child, fd_take(&mine), err);
}

struct child *spawn_child(struct master *master, unsigned slot, const struct verdict *verdict,
			  struct err *err)
{
	struct child *child = new_child(master, slot, verdict, err);

	if (child == NULL)
		return NULL;
	child->channel.fd = child->exit.fd = -1;
	list_push_back(&master->children, &child->link);
	if (!fork_child(child, verdict, err) || !spawn_ask(child, verdict, err)) {
		give_up(child);
		return NULL;
	}
	if (child->trial) {
		log_event(LEVEL_DEBUG, "trial_started", log_number("slot", slot),
			  log_number("pid", (uint64_t)child->pid));
		return child;
	}
	master->slots[slot].next = child;
	log_event(LEVEL_INFO, "worker_started", log_number("slot", slot),
		  log_number("pid", (uint64_t)child->pid),
		  log_number("generation", verdict->generation->number));
	return child;
}
