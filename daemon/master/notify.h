/* What systemd is told, and keeps. */
#ifndef MASTER_NOTIFY_H
#define MASTER_NOTIFY_H

#include <stdint.h>

struct listener;
struct master;

/* A name in the FD store begins with it. */
#define NOTIFY_STORED "drover/"
enum { NOTIFY_NAME_BYTES = 256 };       /* the longest FDNAME= and its end */

void notify_starting(struct master *master);
void notify_ready(const struct master *master);
void notify_reloading(struct master *master);
void notify_upgrading(struct master *master);
/* The image that follows. */
void notify_resumed(struct master *master);
void notify_stopping(struct master *master);
/* Workers leave: the status line says how far they are. */
void notify_leaving(struct master *master);
/* How the stop went, for the status line. */
void notify_stopped(const char *text);
/* The status line alone, when nothing is under way that has one of its own. */
void notify_status(const struct master *master);
/* The period of the watchdog; 0: there is none. */
uint64_t notify_watchdog_ns(void);
void notify_alive(void);
/* Has systemd keep the listener's sockets that nobody else holds; none of them, if not all fit. */
void notify_store(struct master *master, struct listener *listener);
/* The place among its address's that a socket has which is stored under this name. */
unsigned notify_stored_place(const char *name);
/* Has it forget the one that it keeps under the name, or all of a listener. */
void notify_forget(struct master *master, const char *name);
void notify_forget_listener(struct master *master, const struct listener *listener);

#endif
