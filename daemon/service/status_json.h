/* The status of the service as one JSON document in one line. */
#ifndef SERVICE_STATUS_JSON_H
#define SERVICE_STATUS_JSON_H

#include "status_desk.h"

/* All of it; and as the data of a server-sent event, up to where the events begin: every stream has its own
 * behind that, by status_json_events. */
extern const struct status_writer status_json_whole, status_json_stream;

/* Writes the events after the one with the number `after`, at most as many as are kept, and the document's
 * end; returns the last one's number (`after`: there was none). */
uint64_t status_json_events(const struct board *board, uint64_t after, struct status_text *out);

#endif
