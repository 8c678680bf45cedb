/* The client's side of the control command `check`: what a running drover would do with a configuration. */
#ifndef IPC_CHECK_H
#define IPC_CHECK_H

#include "base/err.h"

#include <stdio.h>

struct json_t;

enum check_result {
	CHECK_GOOD,
	CHECK_WOULD_FAIL,               /* nothing is wrong in it, but a reload would fail now */
	CHECK_WRONG,                    /* the configuration itself */
};

/* Asks the drover at `socket` what a reload with `file` (NULL: its own) would do; nothing changes there. NULL
 * with `err` and errno as control_ask; it never hangs. */
struct json_t *check_ask(const char *socket, const char *file, struct err *err);

/* Prints the answer: findings and what is wrong to stderr, a good verdict to stdout. */
enum check_result check_show(const struct json_t *answer, const char *socket);

/* One finding as a line: "drover.conf:3:12: warning: TEXT; REMEDY [ID]". An empty place is left out. */
void check_line(FILE *out, const char *place, const char *severity, const char *text, const char *remedy,
		const char *id);

#endif
