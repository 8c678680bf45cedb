/* The status of the service as a page: a document that follows the stream of events, and for who has no
 * scripts the numbers as they are now.  The document is made by page/pack.c from page/page.html, .css and
 * .js. */
#ifndef SERVICE_STATUS_PAGE_H
#define SERVICE_STATUS_PAGE_H

#include "status_desk.h"

extern const struct status_writer status_page;

/* Of the build: what is before and behind the numbers; header lines of the answer. */
extern const char status_page_head[], status_page_tail[], status_page_fields[];

#endif
