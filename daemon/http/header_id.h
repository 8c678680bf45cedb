/* The names of the fields that the daemon itself looks at: from a name to its id, by the name's length and
 * one letter, so that of all others hardly one is compared with anything. */
#ifndef HTTP_HEADER_ID_H
#define HTTP_HEADER_ID_H

#include "request.h"

enum {
	HEADER_NAME_BYTES = 32,         /* room for the longest known name and its colon */
	HEADER_SLOTS = 520,             /* more than header_slot can give for names that fit in there */
};

/* A known name, in lower case, its colon behind it, and zeros; `bits` has a bit for each byte of these. */
struct header_name {
	char text[HEADER_NAME_BYTES];
	uint32_t bits;
};

extern const struct header_name header_names[HEADER_IDS];

/* Which id a name can have, by header_slot. */
extern const unsigned char header_slots[HEADER_SLOTS];

/* `last_but_one` is the byte in front of a name's last one, in capitals or not; of a name of one byte
 * whatever stands in front of it. */
static inline unsigned header_slot(unsigned name_len, unsigned char last_but_one)
{
	return 9 * name_len + last_but_one;     /* a factor by which no two of the names meet */
}

/* HEADER_OTHER when it is not among them. */
enum header_id header_id_of(struct str name);

#endif
