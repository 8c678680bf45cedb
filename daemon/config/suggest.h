/* "did you mean": what an unknown name may stand for. */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include "setting.h"

/* The name of those that may stand in `schema` (in its group `group`; NULL: outside of any) that `name` may
 * be a typing error of. NULL: nothing is near enough. */
const char *suggest_near(const struct schema *schema, const char *group, const struct schema *const *services,
			 const char *name, struct arena *arena);

/* Where a setting, or a service, of just this name belongs, as drover.conf(5) writes it:
 * "sites[].routes[].files.root". NULL: nowhere. */
const char *suggest_home(const struct schema *schema, const struct schema *const *services, const char *name,
			 struct arena *arena);

/* The same of names as they stand outside of the file, group and all: "limits.conections", or "connections"
 * alone. Lists are not among them. */
const char *suggest_whole(const struct schema *schema, const char *name);

#endif
