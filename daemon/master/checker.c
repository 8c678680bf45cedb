/* checker.c - a user's configuration is read in a child with a deadline; the master gets canonical text or
 * problems.
 *
 * Called by reload.c. The child runs as the workers will, so that what it may not read they could not either.
 * Fails by calling `done` with problems. */
#include "checker_calls.h"
#include "logs.h"
#include "master.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/privilege.h"
#include "config/canonical.h"
#include "config/layers.h"
#include "config/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHECK_SECONDS = 10, KILL_SECONDS = 2, CHECK_MEMORY_BYTES = 1 << 30 };

/* What the child leaves: plain data, bounded, and not trusted beyond that. */
struct checker_result {
	bool good;
	struct config_identity identity;
	struct preflight findings;
	char problems[PROBLEMS_MAX_BYTES];
};

void verdict_release(struct verdict *verdict)
{
	generation_unpin(verdict->generation);
	fd_close(&verdict->text);
	fd_close(&verdict->base);
	fd_close(&verdict->error_log);
	fd_close(&verdict->access_log);
	free(verdict->findings);
	*verdict = (struct verdict){ .text = -1, .base = -1, .error_log = -1, .access_log = -1 };
}

/* ---- in the child ------------------------------------------------------------------------------------ */

/* Where it writes the canonical texts: the whole one, and the one without overrides. */
struct outputs {
	int text, base;
};

static void put_problems(struct checker_result *result, const struct problems *problems)
{
	snprintf(result->problems, sizeof(result->problems), "%s",
		 problems->text != NULL ? problems->text : "");
}

static bool write_text(char *text, int fd)
{
	size_t len = text != NULL ? strlen(text) : 0;
	bool good = text != NULL && len <= CANONICAL_MAX_BYTES && fd_write_all(fd, text, len);

	free(text);
	return good && fd_seal(fd);
}

/* The machine as the master sees it: before the rights are dropped. */
static void look_around(const struct generation *generation, struct preflight *findings)
{
	struct machine machine;

	machine_look(&machine);
	preflight_judge(generation, &machine, findings);
}

/* By the configuration that runs: what the new one says is not known yet, and at the first start nothing is
 * left out. */
static bool confine(const struct master *master, struct err *err)
{
	const struct generation *current = master->current.generation;
	struct err missing;

	privilege_show(false);
	if ((current == NULL || current->config->sealed_code) &&
	    layer_is_there(LAYER_SEALED_CODE, &missing) && !privilege_seal(err))
		return false;
	if ((current != NULL && !current->config->seccomp) || !layer_is_there(LAYER_SECCOMP, &missing))
		return true;
	/* a filter can be loaded by root too, but only with this it is good for those that are no more */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "PR_SET_NO_NEW_PRIVS");
	return syscalls_confine(&checker_calls, NULL, err);
}

static void say_refused(void)
{
	char name[32];

	while (syscalls_refused(name, sizeof(name)))
		log_event(LEVEL_WARNING, "syscall_denied", log_text("name", name),
			  log_text("process", "checker"));
}

/* The files, or what they said the last time. False with a problem. */
static bool read_input(const struct master *master, struct config_input *input, struct generation *generation,
		       struct problems *problems)
{
	size_t len;
	struct err err;
	char *text = NULL;
	bool good;

	if (master->checker.from >= 0) {
		text = fd_read_all(master->checker.from, CANONICAL_MAX_BYTES, &len, &err);
		if (text == NULL)
			return problems_add(problems, "the running configuration: %s", err.text), false;
		input->path = "the running configuration";
		input->text = text;
		input->canonical = true;
	}
	good = read_config(input, generation, problems);
	free(text);
	return good;
}

static bool check(const struct master *master, struct checker_result *result, const struct outputs *to,
		  struct problems *problems)
{
	struct config_input own = master->checker.input, *input = &own;
	char *base = NULL;
	size_t len;
	const struct master_setup *setup = master->setup;
	struct generation *generation = generation_new(0, setup->services);
	struct err err;

	if (generation == NULL)
		return problems_add(problems, "out of memory"), false;
	if (!confine(master, &err))
		return problems_add(problems, "%s: %s", input->path, err.text), false;
	own.base = &base;
	if (!read_input(master, input, generation, problems))
		return false;
	look_around(generation, &result->findings);
	if (!config_owners(generation->config, &generation->arena, problems))
		return false;
	if (!config_identity(generation->config, &result->identity, problems))
		return false;
	if (!privilege_drop(result->identity.change, result->identity.uid, result->identity.gid, &err))
		return problems_add(problems, "%s: %s", input->path, err.text), false;
	if (!setup->check_system(generation, problems))
		return false;
	if (!sandbox_derive(generation, &result->findings, &err))
		return problems_add(problems, "%s: %s", input->path, err.text), false;
	if (!write_text(canonical_print(generation, &len), to->text) || !write_text(base, to->base))
		return problems_add(problems, "%s: the canonical text could not be written", input->path),
		       false;
	return true;
}

/* A duplicate that is no standard stream. */
static int high(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

static void run_child(struct master *master)
{
	struct checker_result *result = master->checker.result;
	struct outputs to = { high(master->checker.text), high(master->checker.base) };
	int keep[] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, to.text, to.base, master->checker.from };
	struct rlimit memory = { CHECK_MEMORY_BYTES, CHECK_MEMORY_BYTES };
	struct problems problems = { 0 };

	logs_forked(master, NULL);
	alarm(CHECK_SECONDS + 1);       /* should the master be gone by then */
	if (to.text < 0 || to.base < 0) {
		problems_add(&problems, "the check could not begin: %s", strerror(errno));
		put_problems(result, &problems);
		_exit(0);
	}
	fd_close_others(keep, sizeof(keep) / sizeof(keep[0]) - (master->checker.from < 0));
#ifndef __SANITIZE_ADDRESS__            /* whose shadow alone is larger */
	setrlimit(RLIMIT_AS, &memory);
#endif
	(void)memory;
	result->good = check(master, result, &to, &problems);
	put_problems(result, &problems);
	say_refused();
	_exit(0);
}

/* ---- in the master ----------------------------------------------------------------------------------- */

static void release(struct master *master)
{
	struct checker *checker = &master->checker;

	loop_remove(&master->loop, &checker->exit);
	fd_close(&checker->exit.fd);
	fd_close(&checker->text);
	fd_close(&checker->base);
	timer_cancel(&checker->deadline);
	if (checker->result != NULL)
		munmap(checker->result, sizeof(*checker->result));
	checker->result = NULL;
	checker->pid = 0;
}

/* The master's own view: only canonical text, only from a sealed memfd. */
static bool load(struct master *master, struct verdict *verdict, struct err *err)
{
	struct canonical_load load;
	bool done = false, good;
	size_t len;
	char *text;

	if (!fd_is_sealed(master->checker.text) || !fd_is_sealed(master->checker.base))
		return err_set(err, "the checker left its text unsealed");
	text = fd_read_all(master->checker.text, CANONICAL_MAX_BYTES, &len, err);
	if (text == NULL)
		return false;
	verdict->generation = generation_new(0, master->setup->services);
	good = verdict->generation != NULL || err_set(err, "out of memory");
	good = good && canonical_begin(&load, verdict->generation, (struct str){ text, len }, err);
	load.origins = true;            /* droverctl config shows them */
	good = good && canonical_step(&load, 0, &done, err);
	free(text);
	return good;
}

static void copy_problems(char *text, struct problems *problems)
{
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0')
			problems_add(problems, "%s", line);
}

/* Plain data of a child: bounded and terminated here. */
static struct preflight *copy_findings(const struct preflight *from)
{
	struct preflight *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return NULL;            /* they are advice */
	*copy = *from;
	preflight_tame(copy);
	return copy;
}

static void judge(struct master *master, const siginfo_t *info)
{
	struct checker *checker = &master->checker;
	struct verdict verdict = { .text = -1, .base = -1, .error_log = -1, .access_log = -1 };
	struct problems problems = { 0 };
	bool good = info->si_code == CLD_EXITED && checker->result->good;
	struct err err;

	checker->result->problems[sizeof(checker->result->problems) - 1] = '\0';
	checker->cut = info->si_code != CLD_EXITED;
	if (checker->cut)
		problems_add(&problems, "%s: the check was ended by signal %d (%s)", checker->input.path,
			     info->si_status,
			     info->si_status == SIGKILL ? "its deadline of 10 s, or out of memory"
							: strsignal(info->si_status));
	else if (!good)
		copy_problems(checker->result->problems, &problems);
	if (good && !load(master, &verdict, &err)) {
		good = false;
		problems_add(&problems, "%s: %s", checker->input.path, err.text);
	}
	if (good) {
		verdict.text = fd_take(&checker->text);
		verdict.base = fd_take(&checker->base);
		verdict.identity = checker->result->identity;
		verdict.findings = copy_findings(&checker->result->findings);
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): loaded; err_set is always false */
		verdict.slots = config_worker_count(verdict.generation->config);
	}
	release(master);
	checker->done(master, good ? &verdict : NULL, &problems);
	verdict_release(&verdict);      /* unless it was taken */
	problems_release(&problems);
}

static void on_exit_of_checker(struct source *source, uint32_t events)
{
	struct checker *checker = LIST_ENTRY(source, struct checker, exit);
	struct master *master = LIST_ENTRY(checker, struct master, checker);
	siginfo_t info;

	(void)events;
	if (spawn_reap(source->fd, 0, &info))
		judge(master, &info);
}

/* ---- one that does not end --------------------------------------------------------------------------- */

static void forget_stuck(struct stuck_checker *stuck)
{
	loop_remove(&stuck->master->loop, &stuck->exit);
	fd_close(&stuck->exit.fd);
	*stuck = (struct stuck_checker){ .exit.fd = -1 };
}

static void on_exit_of_stuck(struct source *source, uint32_t events)
{
	struct stuck_checker *stuck = LIST_ENTRY(source, struct stuck_checker, exit);
	siginfo_t info;

	(void)events;
	if (!spawn_reap(source->fd, 0, &info))
		return;
	log_event(LEVEL_NOTICE, "checker_ended", log_number("pid", (uint64_t)info.si_pid));
	forget_stuck(stuck);
}

/* NULL: all are taken. */
static struct stuck_checker *free_place(struct checker *checker)
{
	for (unsigned i = 0; i < CHECKER_MOST_STUCK; i++)
		if (checker->stuck[i].master == NULL)
			return &checker->stuck[i];
	return NULL;
}

/* It is reaped whenever it ends.  False: that cannot be watched for. */
static bool set_aside(struct master *master)
{
	struct stuck_checker *stuck = free_place(&master->checker);

	if (stuck == NULL)
		return false;
	stuck->master = master;
	stuck->exit = (struct source){ .fd = pidfd_open(master->checker.pid, 0), .handle = on_exit_of_stuck };
	if (stuck->exit.fd >= 0 && loop_add(&master->loop, &stuck->exit, EPOLLIN) == 0)
		return true;
	forget_stuck(stuck);
	return false;
}

/* It was killed, but a call on a dead file system takes no signal.  Reloads go on without it. */
static void give_up(struct timer *timer, uint64_t now_ns)
{
	struct checker *checker = LIST_ENTRY(timer, struct checker, deadline);
	struct master *master = LIST_ENTRY(checker, struct master, checker);
	struct problems problems = { 0 };

	(void)now_ns;
	if (!set_aside(master)) {
		loop_timer(&master->loop, &checker->deadline, KILL_SECONDS * CLOCK_S);
		return;
	}
	checker->cut = true;
	log_event(LEVEL_ERROR, "checker_stuck", log_number("pid", (uint64_t)checker->pid));
	problems_add(
		&problems,
		"%s: the check does not end although it was killed after %d s (pid %d; is it stuck in the"
		" kernel, on a file system that is gone?)",
		checker->input.path, CHECK_SECONDS, (int)checker->pid);
	release(master);
	checker->done(master, NULL, &problems);
	problems_release(&problems);
}

static void too_late(struct timer *timer, uint64_t now_ns)
{
	struct checker *checker = LIST_ENTRY(timer, struct checker, deadline);
	struct master *master = LIST_ENTRY(checker, struct master, checker);

	(void)now_ns;
	kill(checker->pid, SIGKILL);    /* its end is reported by the pidfd */
	checker->deadline.fire = give_up;
	loop_timer(&master->loop, &checker->deadline, KILL_SECONDS * CLOCK_S);
}

/* ---- its beginning and end --------------------------------------------------------------------------- */

static bool watch(struct master *master, struct err *err)
{
	struct checker *checker = &master->checker;

	checker->exit = (struct source){ .fd = pidfd_open(checker->pid, 0), .handle = on_exit_of_checker };
	if (checker->exit.fd < 0)
		return err_sys(err, errno, "pidfd_open");
	if (loop_add(&master->loop, &checker->exit, EPOLLIN) != 0)
		return err_set(err, "cannot watch the checker");
	checker->deadline.fire = too_late;
	loop_timer(&master->loop, &checker->deadline, CHECK_SECONDS * CLOCK_S);
	return true;
}

bool checker_start(struct master *master, struct err *err)
{
	struct checker *checker = &master->checker;

	checker->exit.fd = -1;
	if (free_place(checker) == NULL)
		return err_set(
			err,
			"%d checks before it were killed and do not end (stuck in the kernel, on a file"
			" system that is gone?); a further one begins when one of them has ended",
			CHECKER_MOST_STUCK);
	checker->text = memfd_create("drover-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	checker->base = memfd_create("drover-config-base", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	checker->result = mmap(NULL, sizeof(*checker->result), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (checker->result == MAP_FAILED)
		checker->result = NULL;
	if (checker->text < 0 || checker->base < 0 || checker->result == NULL) {
		err_sys(err, errno, "memory for the checker");
		return release(master), false;
	}
	checker->pid = fork();
	if (checker->pid == 0)
		run_child(master);
	if (checker->pid < 0) {
		err_sys(err, errno, "fork the checker");
		return release(master), false;
	}
	if (watch(master, err))
		return true;
	kill(checker->pid, SIGKILL);
	waitpid(checker->pid, NULL, 0); /* killed a moment ago: it ends at once */
	return release(master), false;
}

/* Does not wait: in an open(2) on a dead network file system it takes no signal. */
void checker_kill(struct master *master)
{
	if (master->checker.pid != 0)
		kill(master->checker.pid, SIGKILL);
}

void checker_forget(struct master *master)
{
	for (unsigned i = 0; i < CHECKER_MOST_STUCK; i++)
		if (master->checker.stuck[i].master != NULL)
			forget_stuck(&master->checker.stuck[i]);
	release(master);
}
