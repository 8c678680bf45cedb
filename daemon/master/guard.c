/* guard.c - an upgrade's way to the new image, and back from it.
 *
 * guard_begin is called by main.c, guard_leap and the rest by upgrade.c and resume.c. What runs in a signal's
 * handler (guard_roll_back) allocates nothing and asks nobody: it may be there because the memory is broken.
 * When even the old binary cannot be executed the process ends as it would have without a guard, and whoever
 * supervises it starts it anew. */
#include "guard.h"

#include "base/fd.h"
#include "base/put.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define FAILED "failed:"

/* What is longer is cut. STACK: a crash may be that there is no more of the other one. */
enum { STEP_BYTES = 64, REASON_BYTES = 1024, STACK_BYTES = 64 * 1024 };

static const struct {
	int number;
	const char *why;
} caught[] = {
	{ SIGSEGV, "the new binary crashed (SEGV)" },
	{ SIGBUS, "the new binary crashed (BUS)" },
	{ SIGABRT, "the new binary aborted (ABRT)" },
	{ SIGILL, "the new binary crashed (ILL)" },
	{ SIGFPE, "the new binary crashed (FPE)" },
	{ SIGALRM, "the new binary did not get on within the time that this step has" },
};

enum { CAUGHT = sizeof(caught) / sizeof(caught[0]) };

static struct {
	volatile bool armed;
	pid_t pid;                      /* forked children have all this too, but are not guarded */
	struct guard_plan plan;
	const char *volatile step;
	sigset_t mask;                  /* as the old image left it: what it blocked may be pending */
	struct sigaction before[CAUGHT];
	/* the variable, for the old image */
	char reason[sizeof(GUARD_VARIABLE FAILED) + 32 + STEP_BYTES + REASON_BYTES];
	_Alignas(max_align_t) char stack[STACK_BYTES];
} guard;

/* ---- forward ----------------------------------------------------------------------------------------- */

void guard_leap(const char *path, const struct guard_plan *plan, struct err *err)
{
	char text[32];

	snprintf(text, sizeof(text), "%d:%d", plan->state_fd, plan->kept_fd);
	if (setenv(GUARD_VARIABLE, text, 1) < 0) {
		err_sys(err, errno, "the environment");
	} else if (fcntl(plan->state_fd, F_SETFD, 0) < 0 || fcntl(plan->kept_fd, F_SETFD, 0) < 0) {
		err_sys(err, errno, "what the new image needs");
	} else {
		execv(path, plan->argv);
		err_sys(err, errno, "execute %s", path);
	}
	unsetenv(GUARD_VARIABLE);
	fd_cloexec_all();
}

/* ---- back -------------------------------------------------------------------------------------------- */

/* No stdio: this may be a handler. */
static void give_reason(const char *why)
{
	char *out = put_text(guard.reason, GUARD_VARIABLE "=");

	out = put_number(out, (uint64_t)guard.plan.state_fd);
	out = put_text(out, ":" FAILED);
	out = put(out, (struct str){ guard.step, strnlen(guard.step, STEP_BYTES) });
	out = put_text(out, ": ");
	out = put(out, (struct str){ why, strnlen(why, REASON_BYTES) });
	*out = '\0';
}

/* In its place in the environment, where it has been since the leap. */
static void put_reason(void)
{
	const size_t name = sizeof(GUARD_VARIABLE "=") - 1;

	for (char **entry = environ; *entry != NULL; entry++)
		if (strncmp(*entry, guard.reason, name) == 0)
			*entry = guard.reason;
}

void guard_roll_back(const char *why)
{
	if (!guard.armed || getpid() != guard.pid)
		return;
	give_reason(why);
	put_reason();
	alarm(0);
	fcntl(guard.plan.kept_fd, F_SETFD, FD_CLOEXEC); /* the old binary opens itself anew */
	sigprocmask(SIG_SETMASK, &guard.mask, NULL);    /* a thread, or a handler, blocks more (execve(2)) */
	execveat(guard.plan.kept_fd, "", guard.plan.argv, environ, AT_EMPTY_PATH);
}

/* What cannot be rolled back, or is a child's, does what it does without a guard. */
static void on_signal(int number)
{
	for (unsigned i = 0; i < CAUGHT; i++)
		if (caught[i].number == number)
			guard_roll_back(caught[i].why);
	signal(number, SIG_DFL);
	raise(number);
}

static void at_exit(void)
{
	guard_roll_back("the new binary ended");
}

/* ---- arming ------------------------------------------------------------------------------------------ */

static void catch_signals(void)
{
	stack_t stack = { .ss_sp = guard.stack, .ss_size = sizeof(guard.stack) };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };
	sigset_t set;

	sigemptyset(&action.sa_mask);
	sigemptyset(&set);
	sigaltstack(&stack, NULL);
	for (unsigned i = 0; i < CAUGHT; i++) {
		sigaction(caught[i].number, &action, &guard.before[i]);
		sigaddset(&set, caught[i].number);
	}
	sigprocmask(SIG_UNBLOCK, &set, &guard.mask);
}

void guard_arm(const struct guard_plan *plan)
{
	guard.plan = *plan;
	guard.pid = getpid();
	guard.armed = true;
	catch_signals();
	atexit(at_exit);
	guard_step("start", GUARD_STEP_SECONDS);
}

static bool parse_fd(struct str text, int *fd)
{
	uint64_t number;

	if (!str_to_u64(text, &number) || number > INT_MAX || fcntl((int)number, F_GETFD) < 0)
		return false;
	*fd = (int)number;
	return true;
}

static bool parse(const char *text, struct guard_plan *plan)
{
	const char *rest = strchr(text, ':');

	if (rest == NULL || !parse_fd((struct str){ text, (size_t)(rest - text) }, &plan->state_fd))
		return false;
	rest++;
	if (strncmp(rest, FAILED, sizeof(FAILED) - 1) != 0)
		return parse_fd(str_of(rest), &plan->kept_fd);
	plan->failure = rest + sizeof(FAILED) - 1;
	return true;
}

bool guard_begin(struct guard_plan *plan, char **argv)
{
	struct guard_plan found = { .state_fd = -1, .kept_fd = -1, .argv = argv };
	const char *text = getenv(GUARD_VARIABLE);

	if (text == NULL)
		return false;
	if (!parse(text, &found)) {
		unsetenv(GUARD_VARIABLE);
		return false;
	}
	*plan = found;
	if (plan->failure == NULL)
		guard_arm(plan);
	else
		unsetenv(GUARD_VARIABLE);       /* the text itself stays where it is */
	return true;
}

void guard_step(const char *step, unsigned seconds)
{
	guard.step = step;
	if (guard.armed)
		alarm(seconds);
}

bool guard_is_armed(void)
{
	return guard.armed;
}

void guard_disarm(void)
{
	stack_t none = { .ss_flags = SS_DISABLE };

	if (!guard.armed)
		return;
	guard.armed = false;
	alarm(0);
	for (unsigned i = 0; i < CAUGHT; i++)
		sigaction(caught[i].number, &guard.before[i], NULL);
	sigaltstack(&none, NULL);
	unsetenv(GUARD_VARIABLE);
	fd_close(&guard.plan.state_fd);
	fd_close(&guard.plan.kept_fd);
	fd_cloexec_all();
}
