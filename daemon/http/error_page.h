/* What an error looks like: a page of the site, or a small one of our own. */
#ifndef HTTP_ERROR_PAGE_H
#define HTTP_ERROR_PAGE_H

#include "exchange.h"
#include "route.h"

/* Fills in the answer for `status` in place of whatever was there: for an error the page of `site` (NULL: it
 * has none), where there is one and it can be opened; else a few lines of our own. Never fails. */
void error_page_fill(struct exchange *exchange, const struct site *site, unsigned status);

/* True when the site (NULL: none) has a page for `status`, which is looked at for each answer. */
bool error_page_is_file(const struct site *site, unsigned status);

/* The same for a redirect: a few lines with a link to `location`, which becomes the answer's. Never fails. */
void error_page_redirect(struct exchange *exchange, unsigned status, const char *location);

/* Looks at the page before it is served: false when it is there and cannot be opened; a missing one is worth
 * a line in the log, with the `place` of the setting. */
bool error_page_check(const char *path, const char *place, struct err *err);

#endif
