/* Listening sockets that systemd passes at the start. */
#ifndef MASTER_INHERIT_H
#define MASTER_INHERIT_H

#include "base/err.h"
#include "base/list.h"
#include "net/addr.h"

#include <stdbool.h>

struct config;
struct master;

/* Who besides this process holds a listening socket: it lives on when this process ends. */
enum keeper {
	KEEPER_NONE,
	KEEPER_UNIT,                    /* a .socket unit, which passed it */
	KEEPER_STORE,                   /* the FD store, which got it from drover */
};

/* A socket that systemd passed at the start, while no listener has it. */
struct inherited {
	struct list link;               /* in master->inherited */
	int fd;
	enum keeper keeper;
	char *name;                     /* FileDescriptorName=, or what notify.c called it in the store */
	const char *flaw;               /* why nobody can accept from it; NULL: it can be used */
	struct addr addr;
};

/* Takes it over; the environment says no more of it then.  False with `err`: what the environment says is
 * broken. */
bool inherit_take(struct master *master, struct err *err);
/* Do names, addresses and options of what a unit passed fit the configuration?  False with `err`. */
bool inherit_check(const struct master *master, const struct config *config, struct err *err);
bool inherit_has(const struct master *master, const struct addr *addr);
/* The next one at this address, now the caller's to free; NULL: none (more). */
struct inherited *inherit_claim(struct master *master, const struct addr *addr);
void inherit_free(struct inherited *one);
/* A listener is gone: takes over the descriptor and the name of a unit's socket.  False: out of memory, both
 * are released. */
bool inherit_return(struct master *master, int fd, char *name);
/* The address cannot be bound: adds to `err` which of them is in the way, if one is. */
void inherit_explain(const struct master *master, const struct addr *addr, struct err *err);
/* Lets go what an earlier run stored and `config` does not have. */
void inherit_drop_stale(struct master *master, const struct config *config);
/* Says what nobody wants. */
void inherit_say_surplus(const struct master *master);
void inherit_close(struct master *master);

#endif
