/* Listings of directories that have no index: HTML for people, JSON for programs (listing_page.h).
 *
 * Reading, looking at every entry and sorting are done by the helper thread (http/task.h) in steps; the page
 * is made piece by piece as the client takes it. The memory is bounded (entries.h). */
#ifndef SERVICE_LISTING_H
#define SERVICE_LISTING_H

#include "beneath.h"

#include "http/exchange.h"

struct listing_place {
	int root;                       /* what links must not lead out of */
	int directory;                  /* open for reading */
	const char *path;               /* of the directory below the root: "", or with a slash at the end */
	enum beneath_policy symlinks;
	bool dotfiles;                  /* they are shown */
	bool far;                       /* PLACE_FAR (base/present.h) */
};

/* Answers with a listing: regular files and directories, as far as requests would get them. Takes both
 * descriptors over, which are -1 then. */
enum answer listing_start(struct exchange *exchange, struct listing_place *place);

/* For service.cancel: gives the memory of a listing under way back; harmless when there is none. */
void listing_cancel(struct exchange *exchange);

#endif
