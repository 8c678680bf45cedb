/* The part of a log writer that runs in the helper thread: from bytes in memory to the target.
 *
 * Between two calls of log_output_write it belongs to the loop, during one to the thread. */
#ifndef BASE_LOG_OUTPUT_H
#define BASE_LOG_OUTPUT_H

#include "log_writer.h"

#include <sys/types.h>

enum { LOG_OUTPUT_PREFIX = sizeof(uint32_t), LOG_SOCKET_BYTES = 108 };

/* How to write without waiting.  A regular file cannot promise it, which is why there is a thread. */
enum log_medium { MEDIUM_UNKNOWN, MEDIUM_FILE, MEDIUM_SOCKET, MEDIUM_NONBLOCKING, MEDIUM_SHARED_PIPE };

struct log_output {
	enum log_kind kind;
	enum log_medium medium;
	int fd;                         /* its own; -1: a socket that was not made yet */
	char socket[LOG_SOCKET_BYTES];
	/* of this call: what to write, and until when to wait for a slow reader (0: not at all) */
	const char *bytes;
	size_t len;
	uint64_t wait_until_ns;
	/* the outcome: bytes done with, lines among them that were lost, and what else went wrong than that
	 * the target is slow (an errno, or 0) */
	size_t written;
	uint64_t lost;
	int error;
	/* of a file, from one call to the next */
	bool doubtful;                  /* its last byte may not be a line's end */
	bool torn;                      /* by us, as far as we know */
	off_t looked_at;                /* how long the file was when its end was no line's */
	unsigned looks;                 /* so often in a row */
};

/* Takes target->fd over.  Does not touch the target. */
void log_output_open(struct log_output *output, const struct log_target *target);

void log_output_write(struct log_output *output);
void log_output_close(struct log_output *output);

/* How many records begin or end in these bytes. */
uint64_t log_output_count(const struct log_output *output, const char *bytes, size_t len);

#endif
