/* escape.c - a service that does to its worker's surroundings what somebody would who had taken the worker
 * over, from inside it, with its rights and no others:
 *
 *     ?list                       a line for each attempt: its name, and what is to stop it
 *     ?try=NAME&root=DIR&...      "reached", or "refused ERRNO": what came of it
 *
 * The other names are those of struct target. An attempt may end the worker instead of answering (KILLS).
 *
 * Called through the struct, by the test build alone (tests/aids/registry.c).  What it does not understand is
 * answered with 400. */
#include "aids/escape.h"

#include "aids/answer.h"
#include "aids/attempt.h"
#include "http/exchange.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct setting rows[] = { { 0 } };

const struct schema escape_schema = {
	.name = "escape",
	.settings = rows,
	.count = 0,
	.bytes = 0,
	.help = "attempts to get out of a worker, on request: for tests",
};

static const struct attempt *const tables[] = { attempts_on_files, attempts_on_processes,
						attempts_on_kernel };

enum { TABLES = sizeof(tables) / sizeof(tables[0]) };

static const struct attempt *find(struct str name)
{
	for (size_t i = 0; i < TABLES; i++)
		for (const struct attempt *one = tables[i]; one->name != NULL; one++)
			if (str_equal(name, str_of(one->name)))
				return one;
	return NULL;
}

/* ---- the list ---- */

static const struct {
	unsigned layer;
	const char *name;
} layer_names[] = {
	{ BY_FILES, "files" },       { BY_UID, "uid" },         { BY_CAPS, "caps" },
	{ BY_KERNEL, "kernel" },     { BY_LANDLOCK, "landlock" }, { BY_SECCOMP, "seccomp" },
	{ BY_SECRECY, "secrecy" },   { BY_SEALS, "seals" },     { KILLS, "kills" },
	{ MAYBE, "maybe" },
};

static const char *append_row(struct arena *arena, const char *text, const struct attempt *attempt)
{
	text = arena_printf(arena, "%s%s", text, attempt->name);
	for (size_t i = 0; text != NULL && i < sizeof(layer_names) / sizeof(layer_names[0]); i++)
		if ((attempt->layers & layer_names[i].layer) != 0)
			text = arena_printf(arena, "%s %s", text, layer_names[i].name);
	return text == NULL ? NULL : arena_printf(arena, "%s\n", text);
}

static const char *list_all(struct arena *arena)
{
	const char *text = "";

	for (size_t i = 0; i < TABLES; i++)
		for (const struct attempt *one = tables[i]; text != NULL && one->name != NULL; one++)
			text = append_row(arena, text, one);
	return text;
}

/* ---- one attempt ---- */

/* errno, or 0: it was reached. */
static int act(const struct attempt *attempt, const struct target *target)
{
	errno = 0;
	return attempt->act(target) >= 0 ? 0 : errno;
}

/* A worker that may have no children does it itself: then it is refused, too, and changes nothing. */
static int act_in_child(const struct attempt *attempt, const struct target *target)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return act(attempt, target);
	if (pid == 0)
		_exit(act(attempt, target));
	if (waitpid(pid, &status, 0) < 0)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EPROTO;
}

static struct str argument(struct str query, const char *name)
{
	struct str wanted = str_of(name), part;

	while (query.len > 0) {
		const char *end = memchr(query.at, '&', query.len);

		part = (struct str){ query.at, end != NULL ? (size_t)(end - query.at) : query.len };
		str_take(&query, part.len + (end != NULL));
		if (str_has_prefix(part, wanted)) {
			str_take(&part, wanted.len);
			return part;
		}
	}
	return (struct str){ "", 0 };
}

static const char *text_argument(struct arena *arena, struct str query, const char *name)
{
	struct str value = argument(query, name);

	return arena_printf(arena, "%.*s", (int)value.len, value.at);
}

static unsigned number_argument(struct str query, const char *name)
{
	uint64_t number = 0;

	return str_to_u64(argument(query, name), &number) && number <= INT32_MAX ? (unsigned)number : 0;
}

static const char *try_one(struct arena *arena, struct str query, const struct attempt *attempt)
{
	struct target target = {
		.root = text_argument(arena, query, "root="),
		.outside = text_argument(arena, query, "outside="),
		.control = text_argument(arena, query, "control="),
		.abstract = text_argument(arena, query, "abstract="),
		.master = (pid_t)number_argument(query, "master="),
		.sibling = (pid_t)number_argument(query, "sibling="),
		.port = number_argument(query, "port="),
	};
	int error;

	if (target.root == NULL || target.outside == NULL || target.control == NULL ||
	    target.abstract == NULL || target.master == 0 || target.sibling == 0 || target.port == 0)
		return NULL;
	error = (attempt->layers & IN_CHILD) != 0 ? act_in_child(attempt, &target) : act(attempt, &target);
	return error == 0 ? "reached\n" : arena_printf(arena, "refused %s\n", strerrorname_np(error));
}

static enum answer escape_start(struct exchange *exchange, const void *settings)
{
	struct str query = span_str(exchange->request.query, exchange->head);
	const struct attempt *attempt = find(argument(query, "try="));

	(void)settings;
	if (str_equal(query, str_of("list")))
		return answer_text(exchange, list_all(&exchange->arena));
	if (attempt != NULL)
		return answer_text(exchange, try_one(&exchange->arena, query, attempt));
	exchange_error(exchange, 400);
	return ANSWERED;
}

const struct service service_escape = { .name = "escape",
					.settings = &escape_schema,
					.start = escape_start };
