/* control.c - the control socket: droverctl's requests, answered without ever blocking the master.
 *
 * Every client has a bounded line in, a bounded answer out, and a deadline; there is a bounded number of
 * them, and those that say nothing make room for others. Called by reload.c at the start and by master.c at
 * the end. */
#include "control.h"

#include "client.h"
#include "fields.h"
#include "master.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/control.h"
#include "ipc/rights.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST_CLIENTS = 128, CLIENT_DEADLINE_MS = 10000 };

struct control {
	struct master *master;
	struct source source;
	struct addr addr;
	struct listener_path path;
	struct list clients, gone;      /* gone: freed at the turn's end */
	unsigned count;
	bool full;                      /* not accepting until a client has gone */
};

struct master *client_master(const struct client *client)
{
	return client->control->master;
}

static void client_free(struct client *client)
{
	struct control *control = client->control;

	loop_remove(&control->master->loop, &client->source);
	fd_close(&client->source.fd);
	timer_cancel(&client->deadline);
	list_remove(&client->asker.link);
	list_remove(&client->link);
	free(client->answer);
	free(client->path);
	fd_array_close(&client->fds);
	change_free(client->change);
	client->answer = client->path = NULL;
	client->change = NULL;
	/* a stale event of this batch may still look at its tag */
	list_push_back(&control->gone, &client->link);
	control->count--;
	if (control->full && loop_add(&control->master->loop, &control->source, EPOLLIN) == 0)
		control->full = false;
}

static void too_slow(struct timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	client_free(LIST_ENTRY(timer, struct client, deadline));
}

/* Descriptors go with a byte: if there are many, with one each time, as many as the kernel takes. */
static ssize_t send_on(struct client *client)
{
	unsigned left = client->fds.count - client->fds_sent, count = left < RIGHTS_MOST ? left : RIGHTS_MOST;
	size_t len = left > count ? 1 : client->answer_len - client->answer_sent;
	const int *fds = count > 0 ? client->fds.at + client->fds_sent : NULL;
	ssize_t n = rights_send(client->source.fd, client->answer + client->answer_sent, len, fds, count);

	for (; n > 0 && count > 0; count--)
		fd_close(&client->fds.at[client->fds_sent++]);
	return n;
}

static void flush(struct client *client)
{
	while (client->answer_sent < client->answer_len) {
		ssize_t n = send_on(client);

		if (n < 0 && errno == EAGAIN) {
			loop_modify(&client->control->master->loop, &client->source, EPOLLOUT);
			return;
		}
		if (n < 0)
			break;
		client->answer_sent += (size_t)n;
	}
	if (guard_is_armed())           /* it is kept for the way back, too */
		shutdown(client->source.fd, SHUT_RDWR);
	client_free(client);            /* one request a connection: the answer's end is the end */
}

void client_reply(struct client *client, json_t *object)
{
	client->answer = fields_line(object, &client->answer_len);
	json_decref(object);
	if (client->answer == NULL) {
		client_free(client);
		return;
	}
	loop_timer(&client->control->master->loop, &client->deadline, CLIENT_DEADLINE_MS * CLOCK_MS);
	flush(client);
}

void client_reply_with(struct client *client, json_t *object, struct fd_array *fds)
{
	client->fds = *fds;
	*fds = (struct fd_array){ 0 };
	client_reply(client, object);
}

json_t *client_request(const struct client *client)
{
	const char *end = memchr(client->line, '\n', client->len);

	return end != NULL ? json_loadb(client->line, (size_t)(end - client->line), JSON_REJECT_DUPLICATES,
					NULL)
			   : NULL;
}

json_t *client_text(const char *text)
{
	json_t *json = json_string(text);
	char *copy;

	if (json != NULL)
		return json;
	copy = strdup(text);
	for (char *c = copy; c != NULL && *c != '\0'; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	json = copy != NULL ? json_string(copy) : NULL;
	free(copy);
	return json;
}

void client_reply_text(struct client *client, bool good, const char *text)
{
	json_t *object = json_pack("{s:b, s:o}", "ok", (int)good, "text", client_text(text));

	if (object == NULL)             /* out of memory: the one that is always there may do */
		object = json_pack("{s:b, s:s}", "ok", (int)good, "text", "the reason is in the log");
	client_reply(client, object);
}

static void on_answer(struct asker *asker, const struct outcome *outcome)
{
	struct client *client = LIST_ENTRY(asker, struct client, asker);

	client->wait = WAIT_NOT;
	client_reply_text(client, outcome->good, outcome->text);
}

static json_t *findings_json(const struct preflight *findings)
{
	json_t *all = json_array();

	for (unsigned i = 0; findings != NULL && i < findings->count; i++) {
		const struct finding *one = &findings->at[i];

		/* one whose place is no UTF-8 is left out: json_array_append_new ignores NULL */
		json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", one->id, "severity",
						     finding_severity_names[one->severity], "place",
						     one->place, "text", one->text, "remedy", one->remedy));
	}
	return all;
}

static void on_checked(struct asker *asker, const struct outcome *outcome)
{
	struct client *client = LIST_ENTRY(asker, struct client, asker);
	const struct master *master = client->control->master;
	json_t *object = json_pack(
		"{s:b, s:b, s:o, s:i, s:I, s:o}", "ok", (int)outcome->good, "wrong", (int)outcome->wrong,
		"text", client_text(outcome->text), "pid", (int)getpid(), "generation",
		(json_int_t)(master->current.generation != NULL ? master->current.generation->number : 0),
		"findings", findings_json(outcome->findings));

	if (outcome->changes != NULL && object != NULL)
		json_object_set(object, "changes", outcome->changes);
	client->wait = WAIT_NOT;
	if (object != NULL)
		client_reply(client, object);
	else
		client_reply_text(client, outcome->good, outcome->text);
}

/* ---- commands ---------------------------------------------------------------------------------------- */

static void command_status(struct client *client, const json_t *request)
{
	const struct master *master = client_master(client);
	json_t *status = status_json(master);

	if (json_is_true(json_object_get(request, "metrics")))
		json_object_set_new(status, "metrics", status_metrics_json(master));
	client_reply(client, json_pack("{s:b, s:o}", "ok", 1, "status", status));
}

static void on_counted(struct asker *asker, const struct outcome *outcome)
{
	struct client *client = LIST_ENTRY(asker, struct client, asker);

	client->wait = WAIT_NOT;
	client_reply(client, json_pack("{s:b, s:o}", "ok", (int)outcome->good, "generations",
				generations_json(client->control->master)));
}

static void ask_reload(struct master *master, struct asker *asker)
{
	reload_ask(master, asker, false);
}

static void ask_replace(struct master *master, struct asker *asker)
{
	reload_ask(master, asker, true);
}

/* What is asked for has deadlines of its own. */
void client_wait(struct client *client, enum wait wait)
{
	static void (*const ask[WAITS])(struct master *master, struct asker *asker) = {
		[WAIT_RELOAD] = ask_reload, [WAIT_REPLACE] = ask_replace,  [WAIT_REOPEN] = reopen_ask,
		[WAIT_CHECK] = reload_check, [WAIT_UPGRADE] = upgrade_ask,
		[WAIT_GENERATIONS] = generations_ask, [WAIT_CONNECTIONS] = connections_ask,
		[WAIT_CHANGE] = control_change,
		[WAIT_HOLD] = hold_ask,
	};

	client->wait = wait;
	client->asker.answer = wait == WAIT_CHECK         ? on_checked  /* WAIT_CONNECTIONS: by itself */
			       : wait == WAIT_GENERATIONS ? on_counted
			       : wait == WAIT_HOLD        ? client_held
							  : on_answer;
	client->asker.path = client->path;
	timer_cancel(&client->deadline);
	ask[wait](client_master(client), &client->asker);
}

static void command_reload(struct client *client, const json_t *request)
{
	bool replace = json_is_true(json_object_get(request, "replace"));

	if (json_object_get(request, "all") != NULL || json_object_get(request, "saved") != NULL)
		client_wait(client, WAIT_CHANGE);
	else
		client_wait(client, replace ? WAIT_REPLACE : WAIT_RELOAD);
}

static void command_reopen(struct client *client, const json_t *request)
{
	(void)request;
	client_wait(client, WAIT_REOPEN);
}

static void command_upgrade(struct client *client, const json_t *request)
{
	(void)request;
	client_wait(client, WAIT_UPGRADE);
}

static void command_check(struct client *client, const json_t *request)
{
	const char *path = json_string_value(json_object_get(request, "config"));

	if (path != NULL && path[0] != '/') {
		client_reply_text(client, false, "config: expected an absolute path");
		return;
	}
	client->path = path != NULL ? strdup(path) : NULL;
	if (path != NULL && client->path == NULL)
		client_reply_text(client, false, "out of memory");
	else
		client_wait(client, WAIT_CHECK);
}

static void command_generations(struct client *client, const json_t *request)
{
	(void)request;
	client_wait(client, WAIT_GENERATIONS);
}

static const struct {
	const char *name;
	void (*run)(struct client *client, const json_t *request);
} commands[] = {
	{ "status", command_status },
	{ "reload", command_reload },
	{ "reopen", command_reopen },
	{ "check", command_check },
	{ "generations", command_generations },
	{ "connections", command_connections },
	{ "set", command_set },
	{ "confirm", command_confirm },
	{ "config", command_config },
	{ "drain", client_drain },
	{ "resume", client_resume },
	{ "slow", command_slow },
	{ "upgrade", command_upgrade },
};

static void refuse_unknown(struct client *client)
{
	char text[256] = "unknown command; known are";

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		size_t len = strlen(text);

		snprintf(text + len, sizeof(text) - len, "%s %s", i > 0 ? "," : "", commands[i].name);
	}
	client_reply_text(client, false, text);
}

static void run_line(struct client *client)
{
	/* what comes behind the line was not asked for, whether it came with it or later */
	size_t len = (size_t)((char *)memchr(client->line, '\n', client->len) - client->line);
	json_error_t error;
	json_t *request = json_loadb(client->line, len, JSON_REJECT_DUPLICATES, &error);
	const char *name = json_string_value(json_object_get(request, "command"));

	for (size_t i = 0; name != NULL && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) == 0) {
			commands[i].run(client, request);
			json_decref(request);
			return;
		}
	}
	if (request == NULL && error.text[0] == '\0')      /* jansson has nothing against the line */
		client_reply_text(client, false, "out of memory");
	else if (name != NULL)
		refuse_unknown(client);
	else
		client_reply_text(client, false, "expected one JSON object with a \"command\" on one line");
	json_decref(request);
}

/* ---- bytes in ---------------------------------------------------------------------------------------- */

/* A caller that leaves while a reload is under way stops waiting; the reload goes on. */
static void read_line(struct client *client)
{
	ssize_t n = recv(client->source.fd, client->line + client->len, CONTROL_LINE_BYTES - client->len,
			 MSG_DONTWAIT);
	size_t from = client->len;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || client->wait != WAIT_NOT) {       /* gone, or talking out of turn */
		client_free(client);
		return;
	}
	client->len += (size_t)n;
	if (memchr(client->line + from, '\n', client->len - from) != NULL)
		run_line(client);
	else if (client->len == CONTROL_LINE_BYTES)
		client_reply_text(client, false, "the line is longer than 4096 bytes");
}

static void on_client(struct source *source, uint32_t events)
{
	struct client *client = LIST_ENTRY(source, struct client, source);

	if (client->answer != NULL && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
		flush(client);
	else if (client->answer == NULL)
		read_line(client);
}

/* The socket is 0600; this holds even where the directory was left open and the mode was changed. */
static bool may_talk(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* Owns nothing yet; NULL: out of memory. */
static struct client *new_client(struct control *control)
{
	struct client *client = calloc(1, sizeof(*client));

	if (client == NULL)
		return NULL;
	client->control = control;
	client->source = (struct source){ .fd = -1, .handle = on_client };
	client->deadline.fire = too_slow;
	list_push_back(&control->clients, &client->link);
	control->count++;
	return client;
}

static void attend(struct client *client)
{
	struct loop *loop = &client->control->master->loop;

	if (loop_add(loop, &client->source, EPOLLIN | EPOLLRDHUP) == 0)
		loop_timer(loop, &client->deadline, CLIENT_DEADLINE_MS * CLOCK_MS);
	else
		client_free(client);
}

static void add_client(struct control *control, int accepted)
{
	int fd AUTO_CLOSE = accepted;
	struct client *client = may_talk(fd) ? new_client(control) : NULL;

	if (client == NULL)
		return;
	client->source.fd = fd_take(&fd);
	attend(client);
}

/* It waits for nothing, and nothing of it waits to be read. */
static bool is_silent(const struct client *client)
{
	char byte;

	return client->answer == NULL && client->wait == WAIT_NOT &&
	       recv(client->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/* Whoever has been silent for the longest time goes, so that it does not keep the operator out: who has
 * something to say has said it before so many others came. */
static bool make_room(struct control *control)
{
	for (struct list *link = control->clients.next; link != &control->clients; link = link->next) {
		struct client *client = LIST_ENTRY(link, struct client, link);

		if (is_silent(client)) {
			client_free(client);
			return true;
		}
	}
	return false;
}

static void on_connection(struct source *source, uint32_t events)
{
	struct control *control = LIST_ENTRY(source, struct control, source);
	int fd;

	(void)events;
	if (control->count >= MOST_CLIENTS && !make_room(control)) {    /* the rest waits in the backlog */
		loop_remove(&control->master->loop, source);
		control->full = true;
		return;
	}
	fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		add_client(control, fd);
}

/* ---- opening and closing ----------------------------------------------------------------------------- */

static bool listen_at(struct control *control, const char *path, struct err *err)
{
	struct listener_options options = {
		.backlog = 128,
		.mode = 0600,
		.owner = LISTENER_AS_CREATED,
		.group = LISTENER_AS_CREATED,
	};
	char text[CONTROL_PATH_BYTES + 8], directory[CONTROL_PATH_BYTES];
	mode_t mask;

	snprintf(directory, sizeof(directory), "%s", path);
	*strrchr(directory, '/') = '\0';
	if (directory[0] != '\0' && mkdir(directory, 0755) < 0 && errno != EEXIST)
		return err_sys(err, errno, "make the directory %s", directory);
	snprintf(text, sizeof(text), "unix:%s", path);
	if (!addr_parse(text, &control->addr, err))
		return false;
	mask = umask(0177);             /* never open to others, not even for a moment */
	control->source.fd = listener_bind(&control->addr, &options, &control->path, err);
	umask(mask);
	if (control->source.fd < 0)
		return false;
	return listener_start(control->source.fd, &control->addr, &control->path, &options, err);
}

/* NULL: out of memory. */
static struct control *new_control(struct master *master)
{
	struct control *control = calloc(1, sizeof(*control));

	if (control == NULL)
		return NULL;
	control->master = master;
	control->source = (struct source){ .fd = -1, .handle = on_connection };
	list_init(&control->clients);
	list_init(&control->gone);
	master->control = control;
	return control;
}

bool control_open(struct master *master, const struct config *config, struct err *err)
{
	bool is_auto = strcmp(config->control, "auto") == 0;
	struct control *control = new_control(master);
	char path[CONTROL_PATH_BYTES] = "";

	if (control == NULL)
		return err_set(err, "out of memory");
	if (strcmp(config->control, "off") == 0)
		return true;
	if (is_auto && !control_default_path(path))
		err_set(err, "no $RUNTIME_DIRECTORY and no $XDG_RUNTIME_DIR: without a socket of its own"
			     " (control = \"/PATH\") droverctl cannot reach it");
	else if (listen_at(control, is_auto ? path : config->control, err) &&
		 (loop_add(&master->loop, &control->source, EPOLLIN) == 0 || err_set(err, "cannot watch it")))
		return true;
	if (control->source.fd >= 0) {          /* it was bound: the path is ours */
		fd_close(&control->source.fd);
		listener_unlink(&control->addr, &control->path);
	}
	if (!is_auto)
		return err_add(err, "control");
	log_event(LEVEL_WARNING, "control_unavailable", log_text("error", err->text));
	return true;
}

void control_sweep(struct master *master)
{
	struct list *gone, *link;

	if (master->control == NULL)
		return;
	gone = &master->control->gone;
	for (link = list_pop_front(gone); link != NULL; link = list_pop_front(gone))
		free(LIST_ENTRY(link, struct client, link));
}

void control_close(struct master *master)
{
	struct control *control = master->control;

	if (control == NULL)
		return;
	while (!list_empty(&control->clients))
		client_free(LIST_ENTRY(control->clients.next, struct client, link));
	if (control->source.fd >= 0)
		listener_unlink(&control->addr, &control->path);
	loop_remove(&master->loop, &control->source);
	fd_close(&control->source.fd);
	control_sweep(master);
	free(control);
	master->control = NULL;
}

/* ---- from one image to the next ---------------------------------------------------------------------- */

static const struct field control_rows[] = {
	FIELD(FIELD_FD, control, source.fd),
	FIELD(FIELD_CHARS, control, addr.text),
	FIELD(FIELD_NUMBER, control, path.device),
	FIELD(FIELD_NUMBER, control, path.inode),
	FIELD(FIELD_NUMBER, control, path.owner),
	FIELD(FIELD_NUMBER, control, path.group),
	{ NULL, 0, 0, 0 },
};

static const struct field client_rows[] = {
	FIELD(FIELD_FD, client, source.fd),
	FIELD(FIELD_NUMBER, client, wait),
	FIELD(FIELD_CHARS, client, line),
	FIELD(FIELD_TEXT, client, path),
	FIELD(FIELD_NUMBER, client, asker.slot),
	FIELD(FIELD_BOOL, client, asker.back),
	FIELD(FIELD_BOOL, client, asker.at_once),
	{ NULL, 0, 0, 0 },
};

/* One whose answer is on its way is not taken along: what its socket did not take at once is a lot, and it
 * can ask again. */
json_t *control_save(const struct master *master)
{
	const struct control *control = master->control;
	json_t *json = fields_save(control_rows, control), *clients = json_array();
	bool good = true;

	for (const struct list *link = control->clients.next; link != &control->clients; link = link->next) {
		const struct client *client = LIST_ENTRY(link, struct client, link);

		if (client->answer == NULL)
			good = json_array_append_new(clients, fields_save(client_rows, client)) == 0 && good;
	}
	if (json_object_set_new(json, "clients", clients) == 0 && good)
		return json;
	json_decref(json);
	return NULL;
}

static bool load_client(struct control *control, const json_t *json, struct err *err)
{
	struct client *client = new_client(control);

	if (client == NULL)
		return err_set(err, "out of memory");
	if (!fields_load(client_rows, client, json, err))
		return false;
	client->len = strlen(client->line);
	return client->wait < WAITS || err_set(err, "nobody can wait for %u", client->wait);
}

bool control_load(struct master *master, const json_t *json, struct err *err)
{
	struct control *control = new_control(master);
	char text[ADDR_TEXT_BYTES];
	const json_t *clients, *client;
	size_t index;

	if (control == NULL)
		return err_set(err, "out of memory");
	clients = fields_load(control_rows, control, json, err) ? fields_list(json, "clients", err) : NULL;
	if (clients == NULL)
		return err_add(err, "control");
	memcpy(text, control->addr.text, sizeof(text));
	if (control->source.fd >= 0 && !addr_parse(text, &control->addr, err))
		return err_add(err, "control");
	json_array_foreach(clients, index, client)
		if (!load_client(control, client, err))
			return err_add(err, "control, client %zu", index);
	return true;
}

bool control_resume(struct master *master, struct err *err)
{
	struct control *control = master->control;
	struct list *next;

	if (control->source.fd >= 0 && loop_add(&master->loop, &control->source, EPOLLIN) != 0)
		return err_set(err, "cannot watch the control socket");
	for (struct list *link = control->clients.next; link != &control->clients; link = next) {
		struct client *client = LIST_ENTRY(link, struct client, link);
		enum wait wait = client->wait;

		next = link->next;
		attend(client);
		if (wait != WAIT_NOT && client->source.fd >= 0)
			client_wait(client, wait);
	}
	return true;
}
