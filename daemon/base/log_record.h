/* Records for those who take datagrams: syslog and the journal.
 *
 * Both are written into room that the caller has made sure of, and return the end. */
#ifndef BASE_LOG_RECORD_H
#define BASE_LOG_RECORD_H

#include "str.h"

#include <time.h>

enum {
	LOG_RECORD_HEAD_BYTES = 64,     /* of log_record_syslog */
	LOG_RECORD_FIELD_BYTES = 16,    /* of log_record_field, besides name and value */
	LOG_RECORD_ID_BYTES = 33,
};

/* "<PRI>Mmm dd hh:mm:ss drover[pid]: ", local time, as syslog(3) writes it (RFC 3164, 4.1); the facility is
 * daemon.  tzset(3) must have been called, or the first call reads the zone's file. */
char *log_record_syslog(char *out, int priority, time_t now, int pid);

/* A field of the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): "NAME=value" and a line end,
 * or with its length in front when the value has a line end of its own: no value can make up a field. */
char *log_record_field(char *out, struct str name, struct str value);

/* The MESSAGE_ID of an event: 128 bits in hexadecimal that depend on its name alone (FNV-1a of
 * "drover:NAME"), so that they are the same in every version. */
void log_record_id(const char *event, char id[LOG_RECORD_ID_BYTES]);

#endif
