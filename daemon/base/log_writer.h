/* Log lines on their way out: the loop puts them into a ring, the helper thread writes them.
 *
 * The loop never waits, whatever the target does: a full disk, a pipe that nobody reads, a socket whose
 * reader is slow, a file system that hangs.  What the ring does not take is dropped and counted; the first
 * record behind the gap is one by which the owner says how many were lost.
 *
 * A record is a whole line (with its line end) for a stream, a datagram for syslog and the journal.  Lines of
 * several processes do not mix: a file is appended to by whole batches, a pipe gets at most PIPE_BUF bytes at
 * a time, ending with a line where possible.  A line that a full disk tore is ended when there is room, and
 * written again whole. */
#ifndef BASE_LOG_WRITER_H
#define BASE_LOG_WRITER_H

#include "offload.h"

#include <stdint.h>

enum log_kind { LOG_OFF, LOG_STREAM, LOG_SYSLOG, LOG_JOURNAL };

struct log_target {
	enum log_kind kind;
	int fd;                         /* LOG_STREAM: open for writing; else -1 */
	const char *socket;             /* LOG_SYSLOG, LOG_JOURNAL: the path; copied */
};

/* All writers of a process: those in use, and those that only finish what they have. */
struct log_writers {
	struct loop *loop;
	struct offload *offload;
	struct list all;
};

struct log_writer;

enum { LOG_NOTICE_BYTES = 32 * 1024 };

struct log_owner {
	/* There was a gap of `lines`, and there is room again for LOG_NOTICE_BYTES: to put a record that says
	 * so.  NULL: nobody asks. */
	void (*say_lost)(struct log_owner *owner, struct log_writer *writer, uint64_t lines);
	/* The target does not take anything, for another reason than that it is slow; once until it does
	 * again.  NULL: nobody asks. */
	void (*say_failed)(struct log_owner *owner, int error);
	uint64_t *lost;                 /* counts lines; may be NULL */
	uint64_t delay_ns;              /* how long a record may wait for company; 0: none */
	uint64_t gap;                   /* what a retired writer had not said yet: the next one does */
};

void log_writers_init(struct log_writers *writers, struct loop *loop, struct offload *offload);

/* Writes what is left, waiting until CLOCK_MONOTONIC is at `deadline_ns` for all of them together, counts the
 * rest as lost and frees every writer.  The loop must not run any more. */
void log_writers_close(struct log_writers *writers, uint64_t deadline_ns);

/* In a forked child: frees the copies (before offload_forget); nothing is written, and descriptors are left
 * to fd_close_others. */
void log_writers_forget(struct log_writers *writers);

/* A writer to `target`, whose fd it takes over (also on failure); NULL when out of memory.  `owner` must stay
 * until the writer is retired, its counter until the writers are closed. */
struct log_writer *log_writer_open(struct log_writers *writers, const struct log_target *target,
				   struct log_owner *owner);

/* Room for a record of at most `bytes`; NULL: the record is lost, and counted. */
char *log_writer_room(struct log_writer *writer, size_t bytes);

/* The record that was written there has `bytes`. */
void log_writer_put(struct log_writer *writer, size_t bytes);

/* The owner is done with it: it writes what it has, for a few seconds at most, then it is gone.  NULL is
 * ignored. */
void log_writer_retire(struct log_writer *writer);

#endif
