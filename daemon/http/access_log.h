/* The access log in the common log format: lines are collected during a turn and written at its end. It never
 * blocks: what a full disk or a stuck pipe does not take is dropped and counted. */
#ifndef HTTP_ACCESS_LOG_H
#define HTTP_ACCESS_LOG_H

#include "exchange.h"

/* Writes to `fd` from now on; takes it over and closes the one before (its lines are written first). -1:
 * off. */
void access_log_target(struct engine *engine, int fd);

/* Writes what is left, closes the target and gives the memory back.  The loop must not run again. */
void access_log_free(struct engine *engine);

/* One line for a finished exchange; harmless when the log is off. */
void access_log_exchange(struct exchange *exchange);

#endif
