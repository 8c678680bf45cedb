/* A directory listing as a page or as JSON, made piece by piece. */
#ifndef SERVICE_LISTING_PAGE_H
#define SERVICE_LISTING_PAGE_H

#include "entries.h"

enum listing_form { LISTING_HTML, LISTING_JSON };

/* What the query asks for. */
struct listing_wish {
	bool has_form;                  /* format= says which; else Accept does */
	enum listing_form form;
	enum entry_key key;
	bool descending;
};

/* Reads `sort` (name, size, time), `order` (asc, desc) and `format` (html, json); the last one of each
 * counts, what it does not know is passed over. */
struct listing_wish listing_wish(struct str query);

enum { LISTING_PIECE_BYTES = 4096 };

struct listing_page {
	struct listing_wish wish;
	struct str path;                /* of the directory, decoded; begins and ends with a slash */
	struct entries entries;         /* sorted */
	unsigned part;                  /* what comes next, see listing_page.c */
	size_t index;                   /* within it */
	struct str piece;               /* what is left of the piece that was made last */
	char text[LISTING_PIECE_BYTES];
};

/* Fills up to `room` bytes; returns how many, 0 at the end.  The bytes do not depend on the rooms. */
size_t listing_page_pull(struct listing_page *page, char *buffer, size_t room);

#endif
