/* What a status means, for machines and for people. */
#ifndef HTTP_REASON_H
#define HTTP_REASON_H

/* The standard reason phrase, "Unknown" for a status without one. */
const char *reason_phrase(unsigned status);

/* A sentence for a reader; "" when the phrase says it all. */
const char *reason_hint(unsigned status);

#endif
