/* Overrides: settings that an operator changed while drover runs (droverctl set). They are one more layer of
 * the configuration, above the files and the command line, and outlive reloads and upgrades, but no restart.
 *
 * The table holds names and values as they were typed: nobody but the checker knows whether they mean
 * anything. */
#ifndef CONFIG_OVERRIDE_H
#define CONFIG_OVERRIDE_H

#include "problems.h"
#include "setting.h"

enum { OVERRIDES_MOST = 128, OVERRIDE_NAME_BYTES = 64, OVERRIDE_VALUE_BYTES = 512 };

struct override {
	char name[OVERRIDE_NAME_BYTES], value[OVERRIDE_VALUE_BYTES];
	bool unconfirmed;               /* it goes at the deadline, unless it is confirmed */
	bool had;                       /* of an unconfirmed one: `before` is what it was set to */
	char before[OVERRIDE_VALUE_BYTES];
};

struct overrides {
	unsigned count;
	struct override at[OVERRIDES_MOST];
};

/* What a value's origin is then. */
extern const char override_origin[];

/* NULL: it is not set. */
const struct override *overrides_find(const struct overrides *overrides, const char *name);

/* False with `err`: too long, or too many. An unconfirmed one remembers what it takes the place of. */
bool overrides_set(struct overrides *overrides, const char *name, const char *value, bool unconfirmed,
		   struct err *err);

/* False: it was not set. */
bool overrides_unset(struct overrides *overrides, const char *name);

bool overrides_pending(const struct overrides *overrides);
/* What is unconfirmed stays, or goes. */
void overrides_confirm(struct overrides *overrides);
/* The same for what has the same value in `like`, where it is confirmed. */
void overrides_confirm_same(struct overrides *overrides, const struct overrides *like);
void overrides_roll_back(struct overrides *overrides);

/* "limits.connections = 5000, workers = 2", cut to what there is room for; returns how many. `pending`: only
 * what waits to be confirmed. */
unsigned overrides_list(const struct overrides *overrides, bool pending, char *text, size_t bytes);

/* The row that may be set by this name; NULL with `err`, which says what may be meant or what to do. */
const struct setting *override_row(const char *name, struct arena *arena, struct err *err);

/* Stores all of them in the struct config `instance`, with their origin. A problem for each that cannot
 * be. */
void overrides_apply(const struct overrides *overrides, void *instance, bool outside, struct arena *arena,
		     struct problems *problems);

#endif
