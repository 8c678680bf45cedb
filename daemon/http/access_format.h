/* What a finished exchange looks like in the access log.  Pure but for the clock; no memory is allocated. */
#ifndef HTTP_ACCESS_FORMAT_H
#define HTTP_ACCESS_FORMAT_H

#include "exchange.h"

#include "base/log_record.h"
#include "base/log_writer.h"

enum { ACCESS_CLF_BYTES = 32, ACCESS_ISO_BYTES = 24, ACCESS_NOTICE_BYTES = 1024 };

enum { ACCESS_TARGET_BYTES = 2048, ACCESS_REFERER_BYTES = 1024 };       /* of a line; the rest is "..." */

/* How the lines of one log look: decided once, when the log is opened. */
struct access_style {
	enum access_format format;
	enum log_kind kind;
	bool query;                     /* of targets and Referer, too: log.query */
	int pid;                        /* of this process, for syslog */
	time_t second;                  /* the one that the two texts show */
	char clf[ACCESS_CLF_BYTES];     /* "10/Oct/2000:13:55:36 +0000" */
	char iso[ACCESS_ISO_BYTES];     /* "2000-10-10T13:55:36" */
	char message_id[LOG_RECORD_ID_BYTES];
};

void access_style_init(struct access_style *style, enum access_format format);

/* One finished exchange. */
struct access_entry {
	const struct exchange *exchange;
	uint64_t duration_ns;
	struct str method, target, host, referer, agent;        /* at == NULL: absent */
	bool cut;                       /* the answer was not sent to its end */
	char shown_target[ACCESS_TARGET_BYTES + 1], shown_referer[ACCESS_REFERER_BYTES + 1];
};

/* Finds the parts in the request; they stay in its bytes, and are cut to their bounds when they are put.
 * What has something in it that is not shown (secret.h) is copied without. */
void access_entry_fill(struct access_entry *entry, const struct access_style *style,
		       const struct exchange *exchange, uint64_t duration_ns);

/* How many bytes access_put may write. */
size_t access_room(const struct access_style *style, const struct access_entry *entry);

/* Writes the record; returns its length. */
size_t access_put(struct access_style *style, const struct access_entry *entry, char *out);

/* The record that stands where `count` lines were lost; at most ACCESS_NOTICE_BYTES. */
size_t access_put_lost(struct access_style *style, uint64_t count, char *out);

#endif
