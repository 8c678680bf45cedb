/* master.c - the master's life: start and signals.
 *
 * Called by main.c. The start is the first reload, from nothing; a failure there ends the process, later ones
 * never do. */
#include "arrivals.h"
#include "control.h"
#include "departure.h"
#include "logs.h"
#include "master.h"
#include "notify.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/privilege.h"
#include "config/layers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void on_reload_signal(struct master *master)
{
	reload_ask(master, NULL, false);
}

/* A second TERM means: now. */
static void on_stop_signal(struct master *master)
{
	master_stop(master, master->stopping);
}

static void on_fast_signal(struct master *master)
{
	master_stop(master, true);
}

static void on_reopen_signal(struct master *master)
{
	reopen_ask(master, NULL);
}

static void on_upgrade_signal(struct master *master)
{
	upgrade_ask(master, NULL);
}

/* waits: what it asks for is done when an upgrade is over, perhaps by the image before: so it is not read
 * while there is a way back, and stays pending (execve(2)). */
static const struct {
	int number;
	bool waits;
	void (*act)(struct master *master);
} signals[] = {
	{ SIGHUP, true, on_reload_signal },
	{ SIGTERM, false, on_stop_signal },
	{ SIGQUIT, false, on_stop_signal },
	{ SIGINT, false, on_fast_signal },
	{ SIGUSR1, true, on_reopen_signal },
	{ SIGUSR2, false, on_upgrade_signal },
};

enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };

static void on_signal(struct source *source, uint32_t events)
{
	struct master *master = LIST_ENTRY(source, struct master, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	for (unsigned i = 0; i < SIGNALS; i++)
		if (signals[i].number == (int)info.ssi_signo)
			signals[i].act(master);
}

/* From the first moment on: one that comes before there is a loop waits for it. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < SIGNALS; i++)
		sigaddset(&set, signals[i].number);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

int master_hear(int fd)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < SIGNALS; i++)
		if (!signals[i].waits || !guard_is_armed())
			sigaddset(&set, signals[i].number);
	return signalfd(fd, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool open_signals(struct master *master, struct err *err)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);       /* inherited as ignored, children would vanish unseen (waitid(2)) */
	master->signals = (struct source){ .fd = master_hear(-1), .handle = on_signal };
	if (master->signals.fd < 0)
		return err_sys(err, errno, "signalfd");
	if (loop_add(&master->loop, &master->signals, EPOLLIN) != 0)
		return err_set(err, "cannot watch signals");
	return true;
}

static void free_dead(struct turn_end *hook)
{
	struct master *master = LIST_ENTRY(hook, struct master, sweep);

	for (struct list *link = list_pop_front(&master->dead); link != NULL;
	     link = list_pop_front(&master->dead))
		free(LIST_ENTRY(link, struct child, link));
	arrivals_sweep(master);
	wills_sweep(master);
	control_sweep(master);
}

/* With a URL that can be clicked or copied, where there is one. */
static void say_listening(const char *address)
{
	char url[ADDR_TEXT_BYTES + 16];

	snprintf(url, sizeof(url), "http://%s/", address);
	if (strncmp(address, "unix:", 5) == 0)
		log_event(LEVEL_NOTICE, "listening", log_text("address", address));
	else
		log_event(LEVEL_NOTICE, "listening", log_text("address", address), log_text("url", url));
}

/* When the first generation serves, say where. */
static void on_started(struct asker *asker, const struct outcome *outcome)
{
	struct master *master = LIST_ENTRY(asker, struct master, starter);
	const struct config *config;

	if (!outcome->good)
		return;
	config = master->current.generation->config;
	for (unsigned i = 0; i < config->listen.count; i++)
		say_listening(config_listen(config, i)->address);
	inherit_say_surplus(master);
}

void master_init(struct master *master, const struct master_setup *setup)
{
	master->setup = setup;
	master->loop.epoll_fd = master->signals.fd = master->board_fd = -1;
	master->hot_fd = master->quota_fd = -1;
	master->current.text = master->current.base = master->current.error_log = master->current.access_log =
		-1;
	master->transition.next = master->current;
	master->checker.text = master->checker.base = master->checker.from = master->checker.exit.fd = -1;
	master->candidate.output = master->candidate.exit.fd = -1;
	list_init(&master->children);
	list_init(&master->dead);
	list_init(&master->listeners);
	list_init(&master->inherited);
	list_init(&master->strays);
	list_init(&master->testaments);
	list_init(&master->transition.askers);
	list_init(&master->transition.later);
	list_init(&master->transition.changes);
	list_init(&master->transition.checks);
	for (unsigned i = 0; i < CONFIG_MAX_WORKERS; i++)
		master->slots[i].master = master;
	list_init(&master->reopening.askers);
	list_init(&master->reopening.later);
	list_init(&master->rescue.watches);
	tuning_init(master);
	list_init(&master->rescue.dropped);
	list_init(&master->handover.departures);
	list_init(&master->hold.askers);
	list_init(&master->hold.later);
	list_init(&master->census.askers);
	list_init(&master->listing.waiting);
	list_init(&master->listing.asking);
	list_init(&master->upgrade.askers);
}

static bool take_nothing_over(struct master *master, struct err *err)
{
	const struct master_setup *setup = master->setup;

	if (!inherit_take(master, err))
		return false;
	master->board = board_create(setup->counter_names, setup->counters, setup->levels, &master->board_fd,
				     err);
	tell_begin(master);
	return master->board != NULL && steer_open(master, err);
}

/* The table of the image before, or else limits begin anew, and its workers keep theirs until they have
 * left. */
static bool open_quota(struct master *master, struct err *err)
{
	master->quota = quota_resume(master->quota_fd);
	if (master->quota != NULL)
		return true;
	fd_close(&master->quota_fd);
	master->quota = quota_create(&master->quota_fd, err);
	return master->quota != NULL;
}

static bool set_up(struct master *master, const struct master_setup *setup, struct err *err)
{
	bool resumes = setup->plan != NULL;

	master_init(master, setup);
	log_role("master");
	binary_find(&master->binary, err);      /* else the candidate of an upgrade is not found */
	privilege_open_files(0);
	privilege_lower_bpf();          /* execve(2) has put it into effect */
	layers_look();                  /* before there is a child */
	if (resumes ? !resume_take(master, err) : !take_nothing_over(master, err))
		return false;
	if (!open_quota(master, err))
		return false;
	if (!loop_open(&master->loop, err))
		return false;
	logs_start(master);
	master->sweep.run = free_dead;
	loop_at_turn_end(&master->loop, &master->sweep);
	if (resumes)
		notify_resumed(master);
	else
		notify_starting(master);
	watch_start(master);
	return open_signals(master, err) && (!resumes || resume_watch(master, err));
}

/* Also of a half-built one. */
static void tear_down(struct master *master)
{
	control_close(master);
	checker_forget(master);
	candidate_forget(master);
	strays_forget(master);
	wills_forget(master);
	sockets_close(master);
	inherit_close(master);
	slots_forget(master);
	logs_end(master);
	verdict_release(&master->current);
	state_release(&master->upgrade.state);
	free(master->findings);
	departure_forget(master);
	free_dead(&master->sweep);
	rescue_close(master);
	fd_close(&master->signals.fd);
	loop_close(&master->loop);
	board_destroy(master->board);
	fd_close(&master->board_fd);
	hot_unmap(master->hot);
	quota_destroy(master->quota);
	fd_close(&master->hot_fd);
	fd_close(&master->quota_fd);
	free(master);
}

/* The start's problems are for whoever typed the command: plain lines, not log lines. */
static int say_failure(const struct master *master)
{
	const char *text = master->failure;
	static const char check[] = "failed at check: ";

	if (strncmp(text, check, sizeof(check) - 1) == 0)
		text += sizeof(check) - 1;
	log_plain("drover", text);
	return master->exit_status != 0 ? master->exit_status : 1;
}

/* An image that cannot take over leads back to the one before. */
static int fail_start(struct master *master, const struct err *err)
{
	guard_roll_back(err->text);
	log_plain("drover", err->text);
	if (master != NULL)
		tear_down(master);
	return 1;
}

int master_run(const struct master_setup *setup)
{
	struct err err = { "out of memory" };
	struct master *master;
	int status;

	block_signals();
	privilege_show(false);          /* until a configuration says otherwise */
	master = calloc(1, sizeof(*master));
	if (master == NULL || !set_up(master, setup, &err))
		return fail_start(master, &err);
	master->starter.answer = on_started;
	if (setup->plan != NULL)
		upgrade_go_on(master);
	else
		reload_ask(master, &master->starter, false);
	if (!loop_run(&master->loop, &err))
		snprintf(master->failure, sizeof(master->failure), "%s", err.text);
	status = master->failure[0] != '\0' ? say_failure(master) : master->exit_status;
	tear_down(master);
	return status;
}
