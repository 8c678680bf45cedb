/* The listening sockets: they are opened before a configuration is in force, and live as long as it is. */
#ifndef MASTER_SOCKETS_H
#define MASTER_SOCKETS_H

#include "inherit.h"
#include "steer.h"

#include "ipc/channel.h"
#include "net/listener.h"

#include <stdbool.h>
#include <stdint.h>

struct arrival;
struct child;
struct master;
struct verdict;

struct listen_socket {
	uint64_t serial;
	int fd;
	bool listening;
	enum keeper keeper;
	char *name;                     /* of KEEPER_UNIT: FileDescriptorName= */
	struct arrival *watch;     /* NULL: nobody looks whether somebody waits there */
};

struct listener {
	struct list link;
	uint32_t id;
	struct addr addr;
	struct listener_path path;
	struct listener_options options;        /* in force */
	struct listener_options wanted;         /* by the open transition */
	bool keep;                      /* the open transition's generation has it */
	bool fresh;                     /* made by the open transition */
	bool inherited;                 /* it began with sockets that systemd passed */
	bool fixed;                     /* no socket can be added: they are a unit's or another user's */
	bool shared;                    /* committed: everybody accepts from its sockets */
	enum steered steered;
	bool steered_here;              /* by this image: else the one before may have had other ideas */
	int array;                      /* for mode directed: its sockets by their slots; -1: none yet */
	unsigned seated;                /* the first of them are in the array */
	bool seats_wanted;              /* they are in another one still: it is tried again */
	char unsteered[ERR_TEXT_BYTES]; /* why it is not steered as configured; "": it is */
	unsigned count;                 /* sockets: one per slot, or fewer */
	struct listen_socket *sockets;
};

/* Opens what the verdict's configuration needs and is not there yet; nothing listens. False with `err`:
 * nothing is left behind. */
bool sockets_prepare(struct master *master, const struct verdict *next, struct err *err);
/* listen(2) on all of it.  False with `err`: call sockets_abort. */
bool sockets_commit(struct master *master, struct err *err);
void sockets_abort(struct master *master);
/* After the commit: who accepts from which socket now. */
void sockets_settle(struct master *master);
/* Closes the listeners that the committed generation has not, and counts who waited there. */
void sockets_sweep(struct master *master);
/* What waits at the listener's sockets, and what the kernel has dropped there. */
struct listener_queue sockets_queue(const struct listener *listener);
/* The latter over all listeners. */
uint64_t sockets_dropped(const struct master *master);
unsigned sockets_count(const struct master *master);
/* True when there are such. */
bool sockets_leave(const struct master *master);
/* Calls `act` for each socket that ends with us, of all listeners or of those. */
void sockets_for_each(struct master *master, bool all, void (*act)(struct listener *listener, int fd));
/* Sends the sockets of the verdict's listeners that the child has not yet. */
bool sockets_send(struct child *child, const struct verdict *verdict, struct err *err);
/* Fills in which listeners and how many slots the verdict has. */
void sockets_note(struct master *master, const struct verdict *verdict, struct prepare_note *note);
/* Closes all, and counts who waited there; what lives on in systemd keeps its path and its queue. */
void sockets_close(struct master *master);

#endif
