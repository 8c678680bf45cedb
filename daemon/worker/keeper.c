/* keeper.c - what a worker does for the case that it crashes: notes which connections are idle, and with
 * `survive` makes a keeper of its will.
 *
 * The keeper is a process that shares the worker's descriptors, but not its memory: neither a core dump nor
 * the kernel when memory runs out takes it along. It waits for the worker's end, sends what is still noted
 * then, and ends; after an orderly end nothing is. It is a child of the master, which learns of it by the
 * will's first message. Called by worker.c; what fails is said, and the worker serves without. */
#include "confine.h"
#include "crash.h"
#include "worker.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>

enum {
	STACK_BYTES = 32 * 1024,
	MOST_MARKS = 1024 * 1024,       /* of descriptors, where their number is as good as unlimited */
};

/* Not on the worker's heap: a handler of crashes uses it as long as there is a process. */
static struct will will = { .fd = -1 };

static struct {
	int worker;                     /* a pidfd */
	bool seccomp;
	_Alignas(max_align_t) char stack[STACK_BYTES];
} keeper;

/* ---- in the keeper: with the worker's memory of then, and no library's locks ----------------------- */

/* It is in the unit's group, where signals come that are meant for others. */
static void hear_nothing(void)
{
	for (int number = 1; number < NSIG; number++)
		if (number != SIGSYS)   /* base/syscalls.c: ignored it would end the keeper */
			signal(number, SIG_IGN);
}

static int keep(void *unused)
{
	struct pollfd end = { .fd = keeper.worker, .events = POLLIN };
	struct err err;

	(void)unused;
	prctl(PR_SET_NAME, "drover-keeper");
	hear_nothing();
	if (keeper.seccomp && !confine_keeper(&err))
		return 1;
	while (poll(&end, 1, -1) < 1)
		;
	if ((end.revents & POLLIN) == 0)        /* POLLHUP too, when it has been reaped */
		return 1;
	if (will.notes->told == 0)      /* killed before it could tell */
		will_tell(&will, (uint32_t)getpid());
	will_execute(&will);
	return 0;
}

/* ---- in the worker --------------------------------------------------------------------------------- */

static pid_t make_keeper(struct err *err)
{
	pid_t pid;

	keeper.worker = pidfd_open(getpid(), 0);
	if (keeper.worker < 0)
		return err_sys(err, errno, "pidfd_open"), 0;
	pid = clone(keep, keeper.stack + STACK_BYTES, CLONE_FILES | CLONE_PARENT, NULL);
	if (pid > 0)
		return pid;
	err_sys(err, errno, "clone");
	fd_close(&keeper.worker);
	return 0;
}

/* In the handler of a crash. */
static void execute(void *of)
{
	will_execute(of);
}

void keeper_begin(struct worker *worker, const struct worker_start *start)
{
	unsigned room = worker->open_files < MOST_MARKS ? worker->open_files : MOST_MARKS;
	pid_t pid = 0;
	struct err err;

	if (start->will < 0)
		return;
	if (!will_make(&will, start->will, room, &err)) {
		log_event(LEVEL_WARNING, "will_impossible", log_text("error", err.text));
		return;
	}
	worker->engine.marks = will.notes->marks;
	worker->engine.marks_room = will.room;
	crash_will(execute, &will);
	keeper.seccomp = start->seccomp;
	if (start->survive)
		pid = make_keeper(&err);
	if (start->survive && pid == 0)
		log_event(LEVEL_WARNING, "keeper_impossible", log_text("error", err.text));
	will_tell(&will, (uint32_t)pid);
}
