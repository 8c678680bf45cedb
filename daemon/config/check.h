/* What no single row can see: the rules between settings. */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "read.h"

/* Adds a line to `problems` for each rule that `config` (with origins; what was wrong in it may be missing)
 * breaks. Pure: asks the system nothing. */
void config_check(const struct config *config, struct problems *problems);

/* The part of it that is about clients.*: limits that say nothing, or not what is meant. */
void check_clients(const struct config *config, struct problems *problems);

/* Looks the names in listen.owner and listen.group up (getpwnam(3), which may block: in the checker and for
 * `-t` only). With an arena they are replaced by their numbers, so that the canonical text has only these.
 * False: a problem was added for each that is unknown. */
bool config_owners(const struct config *config, struct arena *arena, struct problems *problems);

/* Who workers will run as: what `user` and `group` mean on this machine. */
struct config_identity {
	bool change;                    /* false: workers stay who the master is */
	unsigned uid, gid;
	char name[64];
};

/* Resolves it (getpwnam(3), which may block: in the checker and for `-t` only). False: a problem was added,
 * no such user, or a user is set although drover was not started as root. */
bool config_identity(const struct config *config, struct config_identity *identity,
		     struct problems *problems);

#endif
