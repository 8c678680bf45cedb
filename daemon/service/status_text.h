/* A text that grows while it is written, and that several answers share once it is: the documents of the
 * status service.
 *
 * What has no room is left out and makes the text `bad`: look once, at the end. Doubling makes it linear. */
#ifndef SERVICE_STATUS_TEXT_H
#define SERVICE_STATUS_TEXT_H

#include "base/str.h"
#include "http/lasting.h"

enum { STATUS_TEXT_MOST = 32 * 1024 * 1024 };

struct status_text {
	struct lasting lasting;         /* pinned by who made it, and by who sends it */
	char *at;
	size_t len, room;
	bool bad;                       /* out of memory, or of STATUS_TEXT_MOST */
	size_t *left;                   /* its room counts in there until it is released; NULL: nowhere */
};

/* An empty one with one pin, which lasting_unpin gives back; NULL when out of memory. */
struct status_text *status_text_new(void);

/* Nothing is in it any more; what it had room for it keeps. */
void status_text_empty(struct status_text *text);

void status_text_put(struct status_text *text, struct str bytes);
void status_text_add(struct status_text *text, const char *literal);
void status_text_number(struct status_text *text, uint64_t number);

/* As much as a signed reader takes. */
void status_text_count(struct status_text *text, uint64_t number);

/* Nanoseconds as seconds, without an exponent; as microseconds. */
void status_text_seconds(struct status_text *text, uint64_t ns);
void status_text_micros(struct status_text *text, uint64_t ns);

/* In quotes, whatever the bytes (escape_json). */
void status_text_quoted(struct status_text *text, const char *bytes);

/* The same as a label's value in metrics: in ASCII (escape_text), with no escape but of a backslash. */
void status_text_label(struct status_text *text, const char *bytes);

#endif
