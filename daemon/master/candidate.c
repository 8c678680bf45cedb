/* candidate.c - the installed binary has to show in a child that it could take over.
 *
 * Called by upgrade.c. The child has this process's rights, as the new image would, but none of its
 * descriptors. It fails by telling `done` why, in whatever words it was said; what it prints is bounded by
 * RLIMIT_FSIZE, and how long it takes by a deadline. */
#include "master.h"
#include "notify.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANDIDATE_SECONDS = 10, KILL_SECONDS = 2, OUTPUT_BYTES = 16 * 1024, CANNOT_EXECUTE = 127 };

/* ---- in the child ------------------------------------------------------------------------------------ */

/* The command line of the daemon, and the option behind it. */
static char **command_line(char **argv)
{
	static char option[] = CANDIDATE_OPTION;
	size_t count = 0;
	char **all;

	while (argv[count] != NULL)
		count++;
	all = calloc(count + 2, sizeof(*all));
	if (all == NULL)
		return NULL;
	memcpy(all, argv, count * sizeof(*all));
	all[count] = option;
	return all;
}

/* Only its own output, and the state where it looks for it. */
static bool arrange(int state_fd, int output)
{
	struct rlimit bounded = { OUTPUT_BYTES, OUTPUT_BYTES };

	/* the last one clears FD_CLOEXEC where dup2(2) had nothing to do */
	return dup2(output, STDOUT_FILENO) >= 0 && dup2(output, STDERR_FILENO) >= 0 &&
	       dup2(state_fd, CANDIDATE_STATE_FD) >= 0 && setrlimit(RLIMIT_FSIZE, &bounded) == 0 &&
	       fcntl(CANDIDATE_STATE_FD, F_SETFD, 0) == 0;
}

/* What is not drover must not speak to systemd in its name. */
static void run_child(const struct master *master, int state_fd)
{
	char **argv = command_line(master->setup->argv);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	unsetenv("NOTIFY_SOCKET");
	alarm(CANDIDATE_SECONDS + 1);   /* should the master be gone by then */
	if (argv != NULL && arrange(state_fd, master->candidate.output))
		execv(master->binary.path, argv);
	dprintf(STDERR_FILENO, "execute %s: %s\n", master->binary.path, strerror(errno));
	_exit(CANNOT_EXECUTE);
}

/* ---- the verdict ------------------------------------------------------------------------------------- */

/* One line of plain characters, for a log and for JSON: it may be anybody's output. */
static void tame(char *text)
{
	for (char *c = text; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = *c == '\n' ? ';' : '?';
}

/* What was printed, without the last end of line; malloc'ed, NULL: nothing can be said. */
static char *read_output(int output)
{
	struct err err;
	size_t len;
	char *text = fd_read_all(output, OUTPUT_BYTES, &len, &err);

	while (text != NULL && len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	return text;
}

/* The version, in `text`; NULL: its last line is another one. */
static const char *find_version(char *text)
{
	static const char word[] = CANDIDATE_WORD " ";
	char *line = strrchr(text, '\n');

	line = line != NULL ? line + 1 : text;
	return strncmp(line, word, sizeof(word) - 1) == 0 ? line + sizeof(word) - 1 : NULL;
}

static void describe(const siginfo_t *info, bool killed, char *said, struct err *why)
{
	const char *name = sigabbrev_np(info->si_status);

	tame(said);
	if (killed)
		err_set(why, "it did not come to an end within %d s", CANDIDATE_SECONDS);
	else if (info->si_code != CLD_EXITED)
		err_set(why, "it was ended by a signal (%s)", name != NULL ? name : "unknown");
	else if (info->si_status == 0)
		err_set(why, "it does not say that it is a drover that could take over");
	else if (said[0] == '\0')
		err_set(why, "it ended with status %d and did not say why", info->si_status);
	else
		err_set(why, "%s", said);
	if (said[0] != '\0' && (killed || info->si_code != CLD_EXITED || info->si_status == 0))
		snprintf(why->text + strlen(why->text), sizeof(why->text) - strlen(why->text),
			 "; it said: %s", said);
}

/* ---- its end ----------------------------------------------------------------------------------------- */

static void release(struct master *master)
{
	struct candidate *candidate = &master->candidate;

	loop_remove(&master->loop, &candidate->exit);
	fd_close(&candidate->exit.fd);
	fd_close(&candidate->output);
	timer_cancel(&candidate->deadline);
	candidate->pid = 0;
	candidate->done = NULL;
}

static void judge(struct master *master, const siginfo_t *info)
{
	struct candidate *candidate = &master->candidate;
	candidate_done *done = candidate->done;
	bool killed = candidate->killed;
	char *said = read_output(candidate->output), nothing[] = "";
	const char *version = NULL;
	struct err why = { "" };

	release(master);
	if (said != NULL && info->si_code == CLD_EXITED && info->si_status == 0)
		version = find_version(said);
	if (version == NULL)
		describe(info, killed, said != NULL ? said : nothing, &why);
	else
		tame(said);
	if (done != NULL)
		done(master, version, why.text);
	free(said);
}

static void on_exit_of_candidate(struct source *source, uint32_t events)
{
	struct candidate *candidate = LIST_ENTRY(source, struct candidate, exit);
	siginfo_t info;

	(void)events;
	if (spawn_reap(source->fd, 0, &info))
		judge(LIST_ENTRY(candidate, struct master, candidate), &info);
}

/* It was killed, but a call on a dead file system takes no signal.  It is reaped whenever it ends; until then
 * there is no other. */
static void give_up(struct timer *timer, uint64_t now_ns)
{
	struct candidate *candidate = LIST_ENTRY(timer, struct candidate, deadline);
	candidate_done *done = candidate->done;

	(void)now_ns;
	candidate->done = NULL;
	if (done != NULL)
		done(LIST_ENTRY(candidate, struct master, candidate), NULL,
		     "it does not end although it was killed (is it stuck in the kernel, on a file system"
		     " that is gone?)");
}

static void too_late(struct timer *timer, uint64_t now_ns)
{
	struct candidate *candidate = LIST_ENTRY(timer, struct candidate, deadline);
	struct master *master = LIST_ENTRY(candidate, struct master, candidate);

	(void)now_ns;
	candidate->killed = true;
	kill(candidate->pid, SIGKILL);  /* its end is reported by the pidfd */
	candidate->deadline.fire = give_up;
	loop_timer(&master->loop, &candidate->deadline, KILL_SECONDS * CLOCK_S);
}

/* ---- its beginning ----------------------------------------------------------------------------------- */

static bool watch(struct master *master, struct err *err)
{
	struct candidate *candidate = &master->candidate;

	candidate->exit =
		(struct source){ .fd = pidfd_open(candidate->pid, 0), .handle = on_exit_of_candidate };
	if (candidate->exit.fd < 0)
		return err_sys(err, errno, "pidfd_open");
	if (loop_add(&master->loop, &candidate->exit, EPOLLIN) != 0)
		return err_set(err, "cannot watch the candidate");
	candidate->deadline.fire = too_late;
	loop_timer(&master->loop, &candidate->deadline, CANDIDATE_SECONDS * CLOCK_S);
	return true;
}

bool candidate_start(struct master *master, int state_fd, candidate_done *done, struct err *err)
{
	struct candidate *candidate = &master->candidate;

	if (candidate->pid != 0)
		return err_set(err, "the candidate before it (pid %d) was killed and has not ended yet",
			       (int)candidate->pid);
	candidate->exit.fd = -1;
	candidate->killed = false;
	candidate->output = memfd_create("drover-candidate", MFD_CLOEXEC);
	if (candidate->output < 0)
		return err_sys(err, errno, "memory for what the candidate says");
	candidate->pid = fork();
	if (candidate->pid == 0)
		run_child(master, state_fd);
	if (candidate->pid < 0) {
		err_sys(err, errno, "fork the candidate");
		return release(master), false;
	}
	candidate->done = done;
	if (watch(master, err))
		return true;
	kill(candidate->pid, SIGKILL);
	waitpid(candidate->pid, NULL, 0);       /* killed a moment ago: it ends at once */
	return release(master), false;
}

/* Does not wait for its end, which is reported by the pidfd. */
void candidate_kill(struct master *master)
{
	if (master->candidate.pid == 0)
		return;
	master->candidate.done = NULL;
	kill(master->candidate.pid, SIGKILL);
}

void candidate_forget(struct master *master)
{
	release(master);
}
