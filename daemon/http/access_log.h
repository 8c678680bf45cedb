/* The access log: a line for each finished exchange, in the format of the configuration that the exchange
 * began under.
 *
 * A log belongs together with its target: an exchange pins the one that is current when it begins, and a
 * reload that changes target, format or choice makes another, so that a file never has lines of two formats.
 * Lines are written by the helper thread (base/log_writer.h); what it cannot get rid of is dropped and
 * counted. */
#ifndef HTTP_ACCESS_LOG_H
#define HTTP_ACCESS_LOG_H

#include "exchange.h"

/* New exchanges are logged as `config` says, to `fd` where log.access is a file or stderr (taken over; else
 * -1).  The same settings with another fd: all lines, those of exchanges under way too, go there from now on
 * (a file was renamed).  NULL: off. */
void access_log_open(struct engine *engine, const struct config *config, int fd);

/* The log of a new exchange; NULL when it is off. */
struct access_log *access_log_pin(struct engine *engine);

/* NULL is ignored. */
void access_log_unpin(struct access_log *log);

/* One line for an exchange that was finished at `now_ns`, if its log wants it. */
void access_log_exchange(struct exchange *exchange, uint64_t now_ns);

#endif
