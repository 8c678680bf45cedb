/* What the settings say of a route's answers beyond what drover says itself: fields that are set, added and
 * removed, and how long an answer may be kept.  Built once per generation; most routes have none. */
#ifndef HTTP_RULES_H
#define HTTP_RULES_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "config/config.h"

#include <time.h>

struct rules;

/* An answer, as far as rules ask for it. */
struct rules_answer {
	unsigned status;
	struct str content_type;        /* absent: none */
	struct str media_type;          /* of the whole: not that of several parts of it, and also of a 304 */
	bool is_error;                  /* drover's own page, not a service's answer */
	bool can_be_kept;               /* by a cache: of a GET or HEAD, and no error */
	time_t now;
};

/* Makes `*rules` of a site's fields and of a route's (NULL: for what has no route); NULL when nothing is set.
 * False when out of memory. */
bool rules_build(const struct headers_config *site, const struct route_config *route, struct arena *arena,
		 const struct rules **rules, struct err *err);

/* How many bytes rules_apply may add; NULL: none. */
size_t rules_room(const struct rules *rules);

/* True when what they add depends on the second in which it is done. NULL: false. */
bool rules_say_when(const struct rules *rules);

/* Changes the rendered head of `len` bytes in place; returns its length. */
size_t rules_apply(const struct rules *rules, const struct rules_answer *answer, char *head, size_t len);

#endif
