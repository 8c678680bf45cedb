/* Server-sent events: a stream that says at once, and then every `interval`, what is going on. */
#ifndef SERVICE_STATUS_EVENTS_H
#define SERVICE_STATUS_EVENTS_H

#include "status.h"

/* See struct service. */
enum answer status_events_answer(struct exchange *exchange, const struct status_settings *settings);
bool status_events_thaw(struct exchange *exchange, struct record *record);

/* The exchange of a stream is over: its response has a source. */
void status_events_cancel(struct exchange *exchange);

#endif
