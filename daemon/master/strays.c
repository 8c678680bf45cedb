/* strays.c - children that nobody here forked: found once, waited for, reaped.
 *
 * Called by resume.c, stop.c and master.c. One that cannot be found or watched is a zombie when it ends,
 * until this process does; nothing else depends on it. */
#include "strays.h"

#include "master.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* GRACE: after its own drain's deadline; then AGAIN and again. */
enum { GRACE_MS = 2000, AGAIN_MS = 1000 };

struct stray {
	struct list link;               /* in master->strays */
	struct master *master;
	pid_t pid;
	struct source exit;             /* its pidfd */
	struct timer deadline;
	unsigned column;                /* of the board, where it goes on counting; 0: none */
};

#define FOR_EACH_STRAY(master, stray) \
	for (struct stray *stray = LIST_ENTRY((master)->strays.next, struct stray, link); \
	     &stray->link != &(master)->strays; stray = LIST_ENTRY(stray->link.next, struct stray, link))

/* ---- the end ----------------------------------------------------------------------------------------- */

static void release(struct stray *stray)
{
	struct master *master = stray->master;

	loop_remove(&master->loop, &stray->exit);
	fd_close(&stray->exit.fd);
	timer_cancel(&stray->deadline);
	board_retire(master->board, &master->owners, stray->column, BOARD_NO_SLOT);
	list_remove(&stray->link);
	free(stray);                    /* it has one source, whose event of this turn was the last */
}

static void on_exit_of_stray(struct source *source, uint32_t events)
{
	struct stray *stray = LIST_ENTRY(source, struct stray, exit);
	struct master *master = stray->master;
	siginfo_t info;

	(void)events;
	if (!spawn_reap(source->fd, 0, &info))
		return;
	log_event(LEVEL_INFO, "stray_ended", log_number("pid", (uint64_t)stray->pid),
		  log_text("how", info.si_code == CLD_EXITED ? "exit" : "signal"),
		  log_number("status", (uint64_t)info.si_status));
	if (info.si_code != CLD_EXITED && stray->column != 0)
		spawn_lose(master, stray->column);
	release(stray);
	master_check_end(master);
}

static void too_long(struct timer *timer, uint64_t now_ns)
{
	struct stray *stray = LIST_ENTRY(timer, struct stray, deadline);

	(void)now_ns;
	log_event(LEVEL_NOTICE, "stray_killed", log_number("pid", (uint64_t)stray->pid));
	pidfd_send_signal(stray->exit.fd, SIGKILL, NULL, 0);
	loop_timer(&stray->master->loop, timer, AGAIN_MS * CLOCK_MS);
}

bool strays_left(const struct master *master)
{
	return !list_empty(&master->strays);
}

void strays_stop(struct master *master)
{
	FOR_EACH_STRAY(master, stray)
		pidfd_send_signal(stray->exit.fd, SIGTERM, NULL, 0);
}

void strays_kill(struct master *master)
{
	FOR_EACH_STRAY(master, stray)
		pidfd_send_signal(stray->exit.fd, SIGKILL, NULL, 0);
}

void strays_forget(struct master *master)
{
	for (struct list *link = list_pop_front(&master->strays); link != NULL;
	     link = list_pop_front(&master->strays))
		release(LIST_ENTRY(link, struct stray, link));
}

/* ---- the beginning ----------------------------------------------------------------------------------- */

bool strays_know(const struct master *master, pid_t pid)
{
	FOR_EACH_CHILD(master, child)
		if (child->pid == pid)
			return true;
	FOR_EACH_STRAY(master, stray)
	if (stray->pid == pid)
		return true;
	return pid == master->checker.pid || pid == master->candidate.pid || wills_know(master, pid);
}

/* A worker drains for so long when its channel has ended. */
static uint64_t patience_ns(const struct master *master)
{
	const struct generation *current = master->current.generation;

	return (current != NULL ? current->config->drain_ns : 0) + GRACE_MS * CLOCK_MS;
}

static void watch(struct master *master, pid_t pid)
{
	struct stray *stray = calloc(1, sizeof(*stray));

	if (stray == NULL)
		return;
	stray->master = master;
	stray->pid = pid;
	stray->deadline.fire = too_long;
	stray->exit = (struct source){ .fd = pidfd_open(pid, 0), .handle = on_exit_of_stray };
	if (stray->exit.fd < 0 || loop_add(&master->loop, &stray->exit, EPOLLIN) != 0) {
		fd_close(&stray->exit.fd);
		free(stray);
		return;
	}
	stray->column = board_claim_of(master->board, &master->owners, (uint32_t)pid);
	list_push_back(&master->strays, &stray->link);
	loop_timer(&master->loop, &stray->deadline, patience_ns(master));
	log_event(LEVEL_NOTICE, "stray_found", log_number("pid", (uint64_t)pid));
}

/* All of them were forked by the main thread, before the last execve or since (proc(5),
 * /proc/pid/task/tid/children). */
void strays_find(struct master *master)
{
	char path[64], *word = NULL;
	size_t room = 0;
	FILE *children;
	uint64_t pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	children = fopen(path, "re");
	if (children == NULL) {
		log_event(LEVEL_WARNING, "strays_unknown", log_text("error", strerror(errno)));
		return;
	}
	while (getdelim(&word, &room, ' ', children) > 0)
		if (str_to_u64(str_trim(str_of(word)), &pid) && !strays_know(master, (pid_t)pid))
			watch(master, (pid_t)pid);
	free(word);
	fclose(children);
}
