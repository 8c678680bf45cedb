/* Roots whose files are far away (PLACE_FAR): names are looked up, and files opened, by a helper thread. */
#ifndef SERVICE_FILES_FAR_H
#define SERVICE_FILES_FAR_H

#include "files_find.h"

/* What was found; it answers, or says ANSWER_LATER. Takes what it wants of both. */
typedef enum answer files_found(struct exchange *exchange, const struct files_settings *settings,
				struct files_place *place, struct file *file, unsigned status);

/* Looks at a root that is open, which may block as opening it may: when the settings are checked. */
void files_far_check(struct files_settings *settings, int root);

/* True when the loop must not look anything up below the settings' root. */
bool files_far_is(const struct exchange *exchange, const struct files_settings *settings);

/* The loop has found something there: where that is far away, by a file system mounted below the root or by
 * another root that the path leads to now, it does so no more. */
void files_far_notice(const struct exchange *exchange, const struct files_settings *settings,
		      const struct stat *stat);

/* Has it found by a helper thread; `found` is called on the loop then. */
enum answer files_far_find(struct exchange *exchange, const struct files_settings *settings,
			   files_found *found);

#endif
