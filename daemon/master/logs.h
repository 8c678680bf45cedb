/* The master's own log, and the descriptors of the workers'. */
#ifndef MASTER_LOGS_H
#define MASTER_LOGS_H

#include "base/err.h"
#include "ipc/channel.h"

#include <stdbool.h>
#include <stdint.h>

struct child;
struct config;
struct master;
struct verdict;

/* The master's own log, before there is a configuration and after it. */
void logs_start(struct master *master);
void logs_end(struct master *master);
/* Opens the files that the verdict's configuration names.  False with `err`, which names the setting's place:
 * nothing stays open.  A dry one tries it and leaves no trace. */
bool logs_open(struct verdict *next, bool dry, struct err *err);
/* The master's own log goes where the committed configuration says. */
void logs_switch(struct master *master);
/* Sends LOGS or REOPEN for the verdict. */
bool logs_send(const struct child *child, enum message_type type, uint64_t number,
	       const struct verdict *verdict, struct err *err);
/* In a forked child, first of all. */
void logs_forked(struct master *master, const struct config *config);

#endif
