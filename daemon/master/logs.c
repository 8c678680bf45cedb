/* logs.c - log files: opened by the master, which has the rights, and sent to the workers.
 *
 * Called by reload.c, reopen.c, spawn.c, checker.c and master.c.  A log that cannot be opened fails the
 * reload or the reopening; the files of before go on. */
#include "logs.h"
#include "master.h"

#include "base/fd.h"
#include "base/log.h"
#include "config/probe.h"
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FLUSH_NS CLOCK_S

/* ---- opening ----------------------------------------------------------------------------------------- */

/* Readable too where that is allowed, so that a writer can see whether the last line is whole; never a FIFO,
 * whose reader would then be we ourselves. */
static int open_file(const char *path)
{
	const int flags = O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
	int fd AUTO_CLOSE = open(path, O_WRONLY | O_CREAT | flags, 0640), both;
	struct stat info;
	char again[32];

	if (fd < 0 || fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
		return fd_take(&fd);
	snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
	both = open(again, O_RDWR | flags);
	return both >= 0 ? both : fd_take(&fd);
}

/* ENXIO says "No such device or address", which is of little help (open(2)). */
static bool explain(const char *path, struct err *err)
{
	char text[ERR_TEXT_BYTES];
	struct stat info;

	if (stat(path, &info) < 0 || (!S_ISFIFO(info.st_mode) && !S_ISSOCK(info.st_mode)))
		return false;
	snprintf(text, sizeof(text), "%s", err->text);
	return err_set(err, "%s (it is %s)", text,
		       S_ISFIFO(info.st_mode) ? "a FIFO that nobody reads; start its reader first"
					      : "a socket; \"syslog\" writes to one");
}

/* The descriptor of the log that `name` is set to, -1 when it has none. */
static bool open_log(const struct config *config, const char *name, const char *setting, int *fd,
		     bool dry, struct err *err)
{
	const char *origin = config_origin(config, name), *colon = origin[0] != '\0' ? ": " : "";

	*fd = -1;
	if (config_log_target(config, setting, -1).kind != LOG_STREAM)
		return true;
	if (dry && strcmp(setting, "stderr") != 0)
		return probe_log(setting, err) || err_add(err, "%s%s%s", origin, colon, name);
	*fd = strcmp(setting, "stderr") == 0 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
					     : open_file(setting);
	if (*fd >= 0)
		return true;
	err_sys(err, errno, "%s%s%s: open %s", origin, colon, name, setting);
	return errno == ENXIO ? explain(setting, err) : false;
}

bool logs_open(struct verdict *next, bool dry, struct err *err)
{
	const struct config *config = next->generation->config;
	int error AUTO_CLOSE = -1, access AUTO_CLOSE = -1;

	if (!open_log(config, "log.error", config->log_error, &error, dry, err) ||
	    !open_log(config, "log.access", config->log_access, &access, dry, err))
		return false;
	fd_close(&next->error_log);
	fd_close(&next->access_log);
	next->error_log = fd_take(&error);
	next->access_log = fd_take(&access);
	return true;
}

/* ---- the master's own log ---------------------------------------------------------------------------- */

void logs_start(struct master *master)
{
	struct log_setup setup = { .least = LEVEL_INFO, .target = { LOG_STREAM, -1, NULL } };

	offload_init(&master->offload, &master->loop, 64);
	log_writers_init(&master->log_writers, &master->loop, &master->offload);
	log_count(&master->board->column[BOARD_RETIRED].counters[COUNT_ERROR_LOG_DROPPED]);
	log_open(&master->log_writers, &setup);
}

void logs_switch(struct master *master)
{
	const struct config *config = master->current.generation->config;
	int fd = master->current.error_log;
	struct log_setup setup = { .least = config->log_level, .format = config->log_format };

	if (fd >= 0)    /* the verdict keeps its own for workers to come */
		fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	setup.target = config_log_target(config, config->log_error, fd);
	log_open(&master->log_writers, &setup);
}

/* What is queued is written, but nobody waits for a disk that hangs. */
void logs_end(struct master *master)
{
	uint64_t deadline_ns = clock_now_ns() + FLUSH_NS;

	if (master->log_writers.loop == NULL)   /* it was not started */
		return;
	log_close();
	log_writers_close(&master->log_writers, deadline_ns);
	offload_close(&master->offload, deadline_ns);
	log_count(NULL);
}

/* fork(2) copies this thread alone: the helper may have held its lock at that moment, so the copies are let
 * go without looking at them. */
void logs_forked(struct master *master, const struct config *config)
{
	struct log_setup setup = { .least = LEVEL_INFO, .target = { LOG_STREAM, -1, NULL } };

	if (config != NULL) {
		setup.least = config->log_level;
		setup.format = config->log_format;
	}
	log_forked();
	log_writers_forget(&master->log_writers);
	offload_forget(&master->offload);
	log_open(NULL, &setup);
}

/* ---- for the workers --------------------------------------------------------------------------------- */

bool logs_send(const struct child *child, enum message_type type, uint64_t number,
	       const struct verdict *verdict, struct err *err)
{
	const struct config *config = verdict->generation->config;
	struct message message = { .type = type, .generation = number, .bytes = sizeof(struct logs_note) };
	int fds[2];
	unsigned count = 0;

	message.body.logs = (struct logs_note){
		.error_id = config_log_id(config->log_error),
		.access_id = config_log_id(config->log_access),
		.error = verdict->error_log >= 0,
		.access = verdict->access_log >= 0,
	};
	if (verdict->error_log >= 0)
		fds[count++] = verdict->error_log;
	if (verdict->access_log >= 0)
		fds[count++] = verdict->access_log;
	return channel_send(child->channel.fd, &message, fds, count, err);
}
