/* import_global.c - what drover has once for all sites: workers, logs, timeouts, limits, proxies, types.
 *
 * Called by import.c. nginx has many of these for each server or location: the widest one counts, and each
 * that says something else is noted. */
#include "import.h"

#include <stdlib.h>
#include <string.h>

/* ---- one value for all ------------------------------------------------------------------------------- */

static void note_others(struct import *import, const struct directive *block, const struct directive *chosen)
{
	for (const struct directive *child = block->children; child != NULL; child = child->next) {
		if (child != chosen && is_named(child, chosen->name) &&
		    strcmp(arg(child, 0), arg(chosen, 0)) != 0)
			import_note(import, NOTE_MISSING, child,
				    "drover has one for all sites: that of line %u counts", chosen->line);
		note_others(import, child, chosen);
	}
}

/* At the level of all servers, else the first that there is. */
static const struct directive *widest(struct import *import, const char *name)
{
	const struct directive *http = find_own(&import->root, "http"),
			       *events = find_own(&import->root, "events");
	const struct directive *found = find_own(&import->root, name);

	if (found == NULL && http != NULL)
		found = find_own(http, name);
	if (found == NULL && events != NULL)
		found = find_own(events, name);
	return found != NULL ? found : find_below(&import->root, name);
}

static const struct directive *one_for_all(struct import *import, const char *name)
{
	const struct directive *found = widest(import, name);

	if (found != NULL)
		note_others(import, &import->root, found);
	return found;
}

/* ---- groups ------------------------------------------------------------------------------------------ */

struct group {
	char *text;
	size_t len;
	FILE *out;
};

static void group_begin(struct group *group)
{
	*group = (struct group){ 0 };
	group->out = open_memstream(&group->text, &group->len);
	if (group->out == NULL)
		abort();
}

static void group_end(struct group *group, FILE *out, const char *name)
{
	fclose(group->out);
	if (group->len > 0)
		fprintf(out, "%s = {\n%s};\n", name, group->text);
	free(group->text);
}

/* What is a time or a size and nothing else. */
static const struct simple {
	const char *name, *group, *setting;
	bool is_size;
	unsigned long long bounds[2];   /* in ms, in bytes */
} simples[] = {
	{ "client_header_timeout", "timeouts", "request_head", false, { 100, 600000 } },
	{ "client_body_timeout", "timeouts", "body", false, { 100, 600000 } },
	{ "keepalive_timeout", "timeouts", "keep_alive", false, { 100, 86400000 } },
	{ "send_timeout", "timeouts", "send", false, { 100, 3600000 } },
	{ "worker_shutdown_timeout", "timeouts", "drain", false, { 0, 86400000 } },
	{ "client_max_body_size", "limits", "body", true, { 0, 1 << 30 } },
	{ "limit_rate", "clients", "bandwidth", true, { 1024, 100ULL << 30 } },
};

/* Zero is no limit in nginx. */
static const char *simple_value(struct import *import, const struct simple *simple,
				const struct directive *found)
{
	bool zero = strcmp(arg(found, 0), "0") == 0;

	if (simple->is_size && zero && strcmp(simple->group, "clients") == 0)
		return NULL;
	if (simple->is_size && zero) {
		import_note(import, NOTE_DIFFERS, found, "there is a limit in any case; 1g is the largest");
		return "1g";
	}
	return simple->is_size ? import_size(import, found, arg(found, 0), simple->bounds)
			       : import_duration(import, found, arg(found, 0), simple->bounds);
}

static void write_simples(struct import *import, FILE *out, const char *group)
{
	for (size_t i = 0; i < sizeof(simples) / sizeof(simples[0]); i++) {
		const struct simple *simple = &simples[i];
		const struct directive *found = NULL;
		const char *value = NULL;

		if (strcmp(simple->group, group) == 0)
			found = one_for_all(import, simple->name);
		if (found != NULL)
			value = simple_value(import, simple, found);
		if (value != NULL)
			write_setting(out, "        ", simple->setting, value);
		if (value != NULL && is_named(found, "limit_rate"))
			import_note(import, NOTE_DIFFERS, found,
				    "counts for all connections of one address together, and all sites");
	}
}

/* ---- numbers ----------------------------------------------------------------------------------------- */

/* False: no number; noted. */
static bool take_number(struct import *import, const struct directive *at, unsigned long least,
			unsigned long most)
{
	char *end;
	unsigned long number = strtoul(arg(at, 0), &end, 10);

	if (arg(at, 0)[0] >= '0' && arg(at, 0)[0] <= '9' && *end == '\0' && number >= least && number <= most)
		return true;
	import_note(import, NOTE_MISSING, at, "\"%s\" is not from %lu to %lu", arg(at, 0), least, most);
	return false;
}

static void write_number(struct import *import, FILE *out, const char *name, const char *setting,
			 const unsigned long bounds[2])
{
	const struct directive *found = one_for_all(import, name);

	if (found != NULL && take_number(import, found, bounds[0], bounds[1]))
		fprintf(out, "%s = %lu;\n", setting, strtoul(arg(found, 0), NULL, 10));
}

/* ---- processes --------------------------------------------------------------------------------------- */

/* What getpwnam(3) could be asked for. */
static bool is_user_name(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len < 64 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static void write_user(struct import *import, FILE *out)
{
	const struct directive *user = one_for_all(import, "user");

	if (user == NULL)
		return;
	if (!is_user_name(arg(user, 0)) || (user->arg_count > 1 && !is_user_name(arg(user, 1)))) {
		import_note(import, NOTE_MISSING, user, "no name of a user");
		return;
	}
	write_setting(out, "", "user", arg(user, 0));
	if (user->arg_count > 1)
		write_setting(out, "", "group", arg(user, 1));
}

static void write_processes(struct import *import, FILE *out)
{
	const struct directive *workers = one_for_all(import, "worker_processes");

	if (workers != NULL && strcmp(arg(workers, 0), "auto") != 0)
		write_number(import, out, "worker_processes", "workers", (const unsigned long[2]){ 1, 1024 });
	write_user(import, out);
}

/* ---- limits ------------------------------------------------------------------------------------------ */

/* As many buffers of that size: a line fits into one, the head into all. */
static void write_head_limits(struct import *import, FILE *out)
{
	const struct directive *buffers = one_for_all(import, "large_client_header_buffers");
	static const unsigned long long of_line[2] = { 256, 64 << 10 }, of_head[2] = { 256, 128 << 10 };
	const char *line, *head = NULL;
	unsigned long count;

	if (buffers == NULL || !take_number(import, buffers, 1, 1024))
		return;
	count = strtoul(arg(buffers, 0), NULL, 10);
	line = import_size(import, buffers, arg(buffers, 1), of_line);
	if (line != NULL)
		head = import_size(import, buffers,
				   import_printf(import, "%llu",
						 count * (strtoull(line, NULL, 10)
							  << (strchr(line, 'k') != NULL ? 10 : 0))),
				   of_head);
	if (head == NULL)
		return;
	write_setting(out, "        ", "request_line", line);
	write_setting(out, "        ", "header_bytes", head);
}

static void write_limits(struct import *import, FILE *out)
{
	struct group group;

	group_begin(&group);
	write_simples(import, group.out, "limits");
	write_head_limits(import, group.out);
	write_number(import, group.out, "worker_connections", "        connections",
		     (const unsigned long[2]){ 1, 1000000 });
	write_number(import, group.out, "worker_rlimit_nofile", "        open_files",
		     (const unsigned long[2]){ 64, 10000000 });
	group_end(&group, out, "limits");
}

/* ---- limits per client ------------------------------------------------------------------------------- */

static const char *parameter(const struct directive *directive, const char *prefix)
{
	for (unsigned i = 0; i < directive->arg_count; i++)
		if (strncmp(directive->args[i], prefix, strlen(prefix)) == 0)
			return directive->args[i] + strlen(prefix);
	return "";
}

/* The zone's definition, when it is one of addresses. "zone=one:10m" or, in the use, "zone=one". */
static const struct directive *find_zone(struct import *import, const char *name, const char *zone)
{
	const struct directive *http = find_own(&import->root, "http");
	size_t len = strcspn(zone, ":");

	for (const struct directive *at = http != NULL ? find_own(http, name) : NULL; at != NULL;
	     at = find_next(at))
		if (strncmp(parameter(at, "zone="), zone, len) == 0 &&
		    strcspn(parameter(at, "zone="), ":") == len)
			return at;
	return NULL;
}

static bool is_of_addresses(const struct directive *zone)
{
	return zone != NULL && (strcmp(arg(zone, 0), "$binary_remote_addr") == 0 ||
				strcmp(arg(zone, 0), "$remote_addr") == 0);
}

static const char for_all[] = "counts for all requests of one address, whatever the site and the path";

static bool in_range(const char *text, const char *unit, unsigned long least, unsigned long most)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	return text[0] >= '0' && text[0] <= '9' && strcmp(end, unit) == 0 && number >= least &&
	       number <= most;
}

static void write_requests(struct import *import, FILE *out)
{
	const struct directive *use = one_for_all(import, "limit_req");
	const struct directive *zone =
		use != NULL ? find_zone(import, "limit_req_zone", parameter(use, "zone=")) : NULL;
	const char *rate = zone != NULL ? parameter(zone, "rate=") : "", *burst;

	if (use == NULL)
		return;
	if (!is_of_addresses(zone) || !in_range(rate, "r/s", 1, 1000000)) {
		import_note(import, NOTE_MISSING, use,
			    "clients.requests counts by address, and whole requests a second");
		return;
	}
	fprintf(out, "        requests = %lu;\n", strtoul(rate, NULL, 10));
	burst = parameter(use, "burst=");
	if (in_range(burst, "", 1, 1000000))
		fprintf(out, "        burst = %lu;\n", strtoul(burst, NULL, 10));
	import_note(import, NOTE_DIFFERS, use, "%s; nobody is delayed", for_all);
}

static void write_connections(struct import *import, FILE *out)
{
	const struct directive *use = one_for_all(import, "limit_conn");
	const struct directive *zone = use != NULL ? find_zone(import, "limit_conn_zone", arg(use, 0)) : NULL;

	if (use == NULL)
		return;
	if (!is_of_addresses(zone) || !in_range(arg(use, 1), "", 1, 1000000)) {
		import_note(import, NOTE_MISSING, use, "clients.connections counts by address alone");
		return;
	}
	fprintf(out, "        connections = %lu;\n", strtoul(arg(use, 1), NULL, 10));
	import_note(import, NOTE_DIFFERS, use, "%s; idle connections count", for_all);
}

static void write_clients(struct import *import, FILE *out)
{
	struct group group;

	group_begin(&group);
	write_connections(import, group.out);
	write_requests(import, group.out);
	write_simples(import, group.out, "clients");
	if (is_on(widest(import, "limit_req_dry_run")) || is_on(widest(import, "limit_conn_dry_run")))
		fputs("        dry_run = true;\n", group.out);
	group_end(&group, out, "clients");
}

/* ---- proxies, files, all together -------------------------------------------------------------------- */

/* Of the listeners with the PROXY protocol they are in proxy_from. */
static void write_forwarded(struct import *import, FILE *out)
{
	const struct directive *header = one_for_all(import, "real_ip_header");
	const char *name = header != NULL ? arg(header, 0) : "X-Real-IP";
	struct texts proxies = { 0 };

	if (strcmp(name, "proxy_protocol") == 0)
		return;
	import_proxies(import, &proxies);
	if (proxies.count == 0)
		return;
	if (str_equal_nocase(str_of(name), str_of("X-Forwarded-For")) ||
	    str_equal_nocase(str_of(name), str_of("Forwarded"))) {
		fputs("forwarded = {\n", out);
		write_list(out, "        ", "from", &proxies);
		if (str_equal_nocase(str_of(name), str_of("Forwarded")))
			write_setting(out, "        ", "header", "forwarded");
		fputs("};\n", out);
		return;
	}
	import_note(import, NOTE_MISSING, header != NULL ? header : widest(import, "set_real_ip_from"),
		    "%s is not looked at: let the proxy send X-Forwarded-For or Forwarded", name);
}

static void write_file_cache(struct import *import, FILE *out)
{
	const struct directive *cache = one_for_all(import, "open_file_cache");
	const char *most = cache != NULL ? parameter(cache, "max=") : "";

	if (cache != NULL && strcmp(arg(cache, 0), "off") == 0)
		import_note(import, NOTE_UNNEEDED, cache, "a change is seen by the next request in any case");
	if (in_range(most, "", 1, 1000000))
		fprintf(out, "file_cache = { files = %lu; };\n", strtoul(most, NULL, 10));
}

static void write_timeouts(struct import *import, FILE *out)
{
	struct group group;

	group_begin(&group);
	write_simples(import, group.out, "timeouts");
	group_end(&group, out, "timeouts");
}

void import_global(struct import *import, FILE *out)
{
	write_processes(import, out);
	import_logs(import, out);
	write_timeouts(import, out);
	write_limits(import, out);
	write_clients(import, out);
	write_forwarded(import, out);
	write_file_cache(import, out);
	import_types(import, out);
}
