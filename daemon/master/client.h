/* A client of the control socket, for the commands that it may send: a row of `commands` in control.c and a
 * function here or in a file of its own (control_NAME.c). A command answers once, now or later, and never
 * blocks; when it returns, the client may be freed. */
#ifndef MASTER_CLIENT_H
#define MASTER_CLIENT_H

#include "asker.h"

#include "base/fd.h"
#include "base/loop.h"
#include "ipc/control.h"

#include <stddef.h>

struct control;
struct json_t;
struct master;

/* What a client waits for: its answer comes later. The next image goes by these numbers, too. */
enum wait { WAIT_NOT, WAIT_RELOAD, WAIT_REPLACE, WAIT_REOPEN, WAIT_CHECK, WAIT_UPGRADE,
	    WAIT_GENERATIONS, WAIT_CONNECTIONS, WAIT_CHANGE, WAIT_HOLD, WAITS };

struct client {
	struct source source;
	struct list link;
	struct control *control;
	struct timer deadline;          /* armed but while something is waited for */
	struct asker asker;
	char line[CONTROL_LINE_BYTES + 1];      /* terminated */
	size_t len;
	char *answer;
	size_t answer_len, answer_sent;
	struct fd_array fds;            /* that go with the answer's first bytes; -1: it is gone */
	unsigned fds_sent;
	enum wait wait;
	struct change *change;          /* of WAIT_CHANGE; NULL: none */
	char *path;                     /* malloc'ed: asker.path; NULL: none */
};

struct master *client_master(const struct client *client);

/* Sends `object` (its reference is taken; NULL: out of memory) as the answer. */
void client_reply(struct client *client, struct json_t *object);

/* The same with descriptors, which are taken over (SCM_RIGHTS). */
void client_reply_with(struct client *client, struct json_t *object, struct fd_array *fds);

/* The same for {"ok":good,"text":text}. */
void client_reply_text(struct client *client, bool good, const char *text);

/* Paths may be any bytes: if they are no UTF-8, those that are no ASCII become '?'. NULL: out of memory. */
struct json_t *client_text(const char *text);

/* What it asked for, parsed anew: a new reference, or NULL. */
struct json_t *client_request(const struct client *client);

/* ---- control_connections.c: the connections of all workers, in memfds that go with the answer ---- */

void command_connections(struct client *client, const struct json_t *request);
void connections_ask(struct master *master, struct asker *asker);

/* ---- control_slow.c ---- */

void command_slow(struct client *client, const struct json_t *request);

/* droverctl drain and resume: see control_hold.c. */
void client_drain(struct client *client, const struct json_t *request);
void client_resume(struct client *client, const struct json_t *request);
void client_held(struct asker *asker, const struct outcome *outcome);

/* The answer follows from what is asked for, which has deadlines of its own: client->asker waits for it. */
void client_wait(struct client *client, enum wait wait);

/* ---- control_set.c ---- */
void command_set(struct client *client, const struct json_t *request);
void command_confirm(struct client *client, const struct json_t *request);
/* What the client's line asks for, as a transition. */
void control_change(struct master *master, struct asker *asker);

/* ---- control_config.c ---- */
void command_config(struct client *client, const struct json_t *request);

#endif
