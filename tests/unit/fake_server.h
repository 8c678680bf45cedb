/* An engine with one generation on a real loop, and clients at the other end of socket pairs, all in one
 * thread.
 *
 * Nothing sleeps: fake_until runs turns until its condition holds, and gives up after thirty seconds. */
#ifndef FAKE_SERVER_H
#define FAKE_SERVER_H

#include "fake_service.h"
#include "fake_transport.h"

#include "config/generation.h"
#include "http/exchange.h"
#include "http/http1.h"
#include "http/route.h"
#include "ipc/metrics.h"
#include "service/files.h"
#include "service/health.h"
#include "service/redirect.h"
#include "service/registry.h"
#include "service/respond.h"
#include "service/status.h"

#include <check.h>

enum { FAKE_ROUTES = 12, FAKE_ROW = 5 };        /* of the site, in what is measured */

struct fake_client {
	int fd;                         /* -1: closed */
	char *text;                     /* all that was received, terminated */
	size_t len;
	bool eof;
	int error;                      /* errno of a failed recv */
	bool deaf;                      /* receives nothing */
	size_t gulp;                    /* receives at most this much a turn; 0: all */
	struct fake_server *server;
};

struct fake_server {
	struct loop loop;
	struct engine engine;
	uint64_t counters[COUNTERS];
	struct metrics_column metrics;
	struct config *config;          /* of the current generation: tests change its limits */
	struct turn_end hook;
	struct timer guard;
	struct fake_client *clients[4];
	unsigned client_count;
	bool (*done)(void *what);
	void *what;
	bool reached;
	char root[64];                  /* a directory for files, at "/" */
};

/* Routes: "/" files, "/hello" respond ("hello\n"), "/status" status, "/health" health, "/later" 2 ms, "/slow" 40 ms, "/trickle"
 * chunked "trickle", "/known" the same with a length, "/breaks" the same that breaks off, "/stalls" "xy" with
 * 20 ms before each, "/cold" a file whose pieces are not in memory, "/warm" one that is. */
void fake_server_open(struct fake_server *server, const struct protocol *protocol);

/* Gives its engine a table of clients; whoever calls destroys it. */
void fake_server_limit(struct fake_server *server);

/* A further generation with the same settings. */
struct generation *fake_generation(struct fake_server *server, uint64_t number);

/* What is counted of connections by what they do is what a walk over all of them finds. It is looked at after
 * every turn. */
void fake_check_levels(const struct engine *engine);

/* Ends all connections and checks that nothing is left behind. */
void fake_server_close(struct fake_server *server);

/* A new client; what it sends is sent before the server accepts the connection. */
void fake_connect(struct fake_server *server, struct fake_client *client, const char *first);

/* The same, and this is the address that it comes from. */
void fake_connect_from(struct fake_server *server, struct fake_client *client, const char *address,
		       const char *first);

/* The same over TCP, where a FIN is announced once only. */
void fake_connect_tcp(struct fake_server *server, struct fake_client *client, const char *first);

void fake_send(struct fake_client *client, const char *text);
void fake_hang_up(struct fake_client *client);

/* Runs turns until the condition holds; false after five seconds. */
bool fake_until(struct fake_server *server, bool (*done)(void *what), void *what);
bool fake_until_within(struct fake_server *server, bool (*done)(void *what), void *what, uint64_t ns);
bool fake_until_eof(struct fake_client *client);
bool fake_until_text(struct fake_client *client, const char *text);

/* The next turn ends, whatever happens in it. */
void fake_wait_for_nothing(struct fake_server *server);

/* One turn; it waits for events no longer than a few milliseconds. */
void fake_turn(struct fake_server *server);

/* A file below the root. */
void fake_file(struct fake_server *server, const char *name, const char *content, size_t len);

/* How often `what` occurs in what the client received. */
unsigned fake_count(const struct fake_client *client, const char *what);

#endif
