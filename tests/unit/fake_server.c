/* fake_server.c - see the header. */
#include "fake_server.h"

#include "base/clock.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const struct service *const table[] = {
	&service_files,  &service_redirect, &service_respond, &service_status,
	&service_health, &service_later,    &service_trickle, &service_cold, NULL,
};

enum { FILES, REDIRECT, RESPOND, STATUS, HEALTH, LATER, TRICKLE, COLD };

static const struct later_settings soon = { 2 * CLOCK_MS, "soon" }, slow = { 40 * CLOCK_MS, "slow" };
static const struct trickle_settings chunked = { .text = "trickle" };
static const struct trickle_settings known = { .text = "trickle", .length_known = true };
static const struct trickle_settings stalls = { .text = "xy", .after_ns = 20 * CLOCK_MS };
static const struct trickle_settings breaks = { .text = "trickle", .breaks_after = 3 };
static const struct cold_settings cold = { .warm = false }, warm = { .warm = true };

/* ---- the generation ------------------------ */

static void set_text(const struct schema *schema, void *instance, struct arena *arena, const char *name,
		     const char *text)
{
	struct raw raw = { .kind = RAW_STRING, .text = text };
	struct err err;

	ck_assert(setting_store(setting_find(schema, NULL, name), &raw, NULL, instance, arena, &err));
}

static void *defaults(const struct schema *schema, struct arena *arena)
{
	void *instance = setting_instance(schema, arena);
	struct err err;

	ck_assert(setting_store_defaults(schema, instance, arena, &err));
	return instance;
}

/* With room for its origins, as a reader makes it. */
static void *instance_of(const char *list, const char *inner, struct arena *arena)
{
	const struct schema *schema = setting_find(&config_schema, NULL, list)->of;

	if (inner != NULL)
		schema = setting_find(schema, NULL, inner)->of;
	return setting_instance(schema, arena);
}

static void add_route(struct generation *generation, struct site_config *site, const char *match,
		      unsigned index, const void *settings)
{
	struct route_config *route = instance_of("sites", "routes", &generation->arena);

	*route = (struct route_config){ .match = match, .service = { index, (void *)settings } };
	site->routes.at[site->routes.count++] = route;
}

static struct site_config *build_site(struct fake_server *server, struct generation *generation)
{
	struct arena *arena = &generation->arena;
	struct site_config *site = instance_of("sites", NULL, arena);
	void *files = defaults(service_schemas[FILES], arena),
	     *respond = defaults(service_schemas[RESPOND], arena);

	set_text(service_schemas[FILES], files, arena, "root", server->root);
	set_text(service_schemas[RESPOND], respond, arena, "body", "hello\n");
	site->routes.at = arena_alloc(arena, FAKE_ROUTES * sizeof(void *));
	add_route(generation, site, "/", FILES, files);
	add_route(generation, site, "/hello", RESPOND, respond);
	add_route(generation, site, "/status", STATUS, defaults(service_schemas[STATUS], arena));
	add_route(generation, site, "/health", HEALTH, defaults(service_schemas[HEALTH], arena));
	add_route(generation, site, "/later", LATER, &soon);
	add_route(generation, site, "/slow", LATER, &slow);
	add_route(generation, site, "/trickle", TRICKLE, &chunked);
	add_route(generation, site, "/known", TRICKLE, &known);
	add_route(generation, site, "/breaks", TRICKLE, &breaks);
	add_route(generation, site, "/stalls", TRICKLE, &stalls);
	add_route(generation, site, "/cold", COLD, &cold);
	add_route(generation, site, "/warm", COLD, &warm);
	return site;
}

struct generation *fake_generation(struct fake_server *server, uint64_t number)
{
	struct generation *generation = generation_new(number, service_schemas);
	struct config *config = defaults(&config_schema, &generation->arena);
	bool done = false;
	struct err err;

	config->sites.at = arena_alloc(&generation->arena, sizeof(void *));
	config->sites.at[config->sites.count++] = build_site(server, generation);
	generation->config = config;
	while (!done)
		if (!route_prepare_with(generation, table, 0, &done, &err))
			ck_abort_msg("%s", err.text);
	((struct site *)route_default_site(generation))->row = FAKE_ROW;
	return generation;
}

/* ---- the loop ------------------------ */

static void receive(struct fake_client *client)
{
	char bytes[16 * 1024];
	size_t most = client->gulp > 0 ? client->len + client->gulp : SIZE_MAX;
	ssize_t len;

	while (client->fd >= 0 && !client->deaf && !client->eof && client->len < most) {
		len = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (len < 0 && errno == EAGAIN)
			return;
		client->eof = len <= 0;
		client->error = len < 0 ? errno : 0;
		if (len <= 0)
			return;
		client->text = realloc(client->text, client->len + (size_t)len + 1);
		memcpy(client->text + client->len, bytes, (size_t)len);
		client->len += (size_t)len;
		client->text[client->len] = '\0';
	}
}

static void look(struct fake_server *server)
{
	for (unsigned i = 0; i < server->client_count; i++)
		receive(server->clients[i]);
	server->reached = server->done(server->what);
}

void fake_check_levels(const struct engine *engine)
{
	unsigned counts[DOINGS];

	engine_census(engine, counts);
	for (unsigned i = 0; i < DOINGS; i++)
		ck_assert_msg(engine->counters[COUNT_DOING + i] == counts[i], "%s: %lu instead of %u",
			      counter_names[COUNT_DOING + i],
			      (unsigned long)engine->counters[COUNT_DOING + i], counts[i]);
}

static void at_turn_end(struct turn_end *hook)
{
	struct fake_server *server = LIST_ENTRY(hook, struct fake_server, hook);

	fake_check_levels(&server->engine);
	look(server);
	if (server->reached)
		loop_stop(&server->loop);
}

static void give_up(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	loop_stop(&LIST_ENTRY(timer, struct fake_server, guard)->loop);
}

static void run(struct fake_server *server, uint64_t at_most_ns)
{
	struct err err;

	server->loop.stopped = false;
	server->loop.now_ns = clock_now_ns();
	loop_timer(&server->loop, &server->guard, at_most_ns);
	ck_assert(loop_run(&server->loop, &err));
	timer_cancel(&server->guard);
}

bool fake_until_within(struct fake_server *server, bool (*done)(void *), void *what, uint64_t ns)
{
	server->done = done;
	server->what = what;
	look(server);
	if (!server->reached)
		run(server, ns);
	return server->reached;
}

bool fake_until(struct fake_server *server, bool (*done)(void *), void *what)
{
	return fake_until_within(server, done, what, 30 * CLOCK_S);
}

static bool has_eof(void *what)
{
	return ((struct fake_client *)what)->eof;
}

bool fake_until_eof(struct fake_client *client)
{
	return fake_until(client->server, has_eof, client);
}

struct wanted {
	const struct fake_client *client;
	const char *text;
};

static bool has_text(void *what)
{
	const struct wanted *wanted = what;
	const struct fake_client *client = wanted->client;

	return client->len > 0 &&
	       memmem(client->text, client->len, wanted->text, strlen(wanted->text)) != NULL;
}

bool fake_until_text(struct fake_client *client, const char *text)
{
	struct wanted wanted = { client, text };

	return fake_until(client->server, has_text, &wanted);
}

static bool always(void *what)
{
	(void)what;
	return true;
}

void fake_wait_for_nothing(struct fake_server *server)
{
	server->done = always;
	server->loop.stopped = false;
}

void fake_turn(struct fake_server *server)
{
	fake_wait_for_nothing(server);
	run(server, CLOCK_MS);
}

/* ---- clients ------------------------ */

void fake_send(struct fake_client *client, const char *text)
{
	size_t len = strlen(text);

	if (len > 0)
		ck_assert_int_eq(send(client->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT), (ssize_t)len);
}

/* The server has pair[1]. */
static void join_from(struct fake_server *server, struct fake_client *client, const char *first,
		      const int pair[2], const struct sockaddr_storage *peer)
{
	*client = (struct fake_client){ .fd = pair[0], .server = server };
	server->clients[server->client_count++] = client;
	fake_send(client, first);
	ck_assert(engine_accept(&server->engine, pair[1], peer, NULL));
}

static void join(struct fake_server *server, struct fake_client *client, const char *first, const int pair[2])
{
	join_from(server, client, first, pair, &(struct sockaddr_storage){ .ss_family = AF_UNIX });
}

void fake_connect(struct fake_server *server, struct fake_client *client, const char *first)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	join(server, client, first, pair);
}

void fake_connect_from(struct fake_server *server, struct fake_client *client, const char *address,
		       const char *first)
{
	struct sockaddr_storage peer = { 0 };
	struct sockaddr_in *v4 = (void *)&peer;
	int pair[2];

	v4->sin_family = AF_INET;
	ck_assert_int_eq(inet_pton(AF_INET, address, &v4->sin_addr), 1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	join_from(server, client, first, pair, &peer);
}

void fake_connect_tcp(struct fake_server *server, struct fake_client *client, const char *first)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];

	ck_assert_int_eq(listen(listener, 1), 0);       /* unbound: the kernel chooses the port */
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(pair[0], (struct sockaddr *)&addr, sizeof(addr)), 0);
	pair[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	close(listener);
	join(server, client, first, pair);
}

void fake_hang_up(struct fake_client *client)
{
	fd_close(&client->fd);
}

unsigned fake_count(const struct fake_client *client, const char *what)
{
	const char *end = client->text + client->len, *at = client->text;
	unsigned count = 0;

	while (at != NULL && (at = memmem(at, (size_t)(end - at), what, strlen(what))) != NULL) {
		count++;
		at += strlen(what);
	}
	return count;
}

/* ---- the server ------------------------ */

void fake_file(struct fake_server *server, const char *name, const char *content, size_t len)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", server->root, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert(fd_write_all(fd, content, len));
	close(fd);
}

void fake_server_open(struct fake_server *server, const struct protocol *protocol)
{
	struct generation *generation;
	struct err err;

	memset(server, 0, sizeof(*server));
	strcpy(server->root, "/tmp/drover-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(server->root));
	ck_assert(loop_open(&server->loop, &err));
	engine_init(&server->engine, &server->loop, protocol, server->counters);
	server->engine.metrics = &server->metrics;
	server->hook.run = at_turn_end;
	loop_at_turn_end(&server->loop, &server->hook);
	server->guard.fire = give_up;
	generation = fake_generation(server, 1);
	server->config = (struct config *)generation->config;
	generation_unpin(engine_adopt(&server->engine, generation));
	fake_fits = (struct fake_fits){ 0 };
	fake_cancels = 0;
}

void fake_server_limit(struct fake_server *server)
{
	struct err err;
	int memory = -1;

	server->engine.quota = quota_create(&memory, &err);
	fd_close(&memory);
	ck_assert_ptr_nonnull(server->engine.quota);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type, (void)walk;
	return remove(path);
}

void fake_server_close(struct fake_server *server)
{
	engine_cut(&server->engine);
	server->engine.sweep.run(&server->engine.sweep);
	ck_assert_uint_eq(server->engine.slab.in_use, 0);
	ck_assert_uint_eq(server->engine.states.in_use, 0);
	ck_assert_uint_eq(server->engine.pool.in_use_bytes, 0);
	ck_assert_uint_eq(server->counters[COUNT_OPEN], 0);
	fake_check_levels(&server->engine);
	for (unsigned i = 0; i < server->client_count; i++) {
		fd_close(&server->clients[i]->fd);
		free(server->clients[i]->text);
	}
	generation_unpin(server->engine.generation);
	engine_free(&server->engine);
	loop_close(&server->loop);
	nftw(server->root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
