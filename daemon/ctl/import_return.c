/* import_return.c - `return`, and each `rewrite` that sends a client somewhere else.
 *
 * Called by import_route.c and import_site.c. Where to may have the variables at its ends that drover has
 * words for: $scheme and a host in front, the path of the request behind. */
#include "import.h"

#include <stdlib.h>
#include <string.h>

enum tail { TAIL_NONE, TAIL_REST, TAIL_WHOLE };

/* Where a client is sent: `to`, and behind it nothing, what the match leaves, or the request's whole path. */
struct target {
	const char *to;
	enum tail tail;
};

static const struct {
	const char *text;
	enum tail tail;
} tails[] = {
	{ "$request_uri", TAIL_WHOLE },
	{ "$uri$is_args$args", TAIL_WHOLE },
	{ "$uri", TAIL_WHOLE },
	{ "$document_uri", TAIL_WHOLE },
	{ "$1", TAIL_REST },
};

/* Takes the variable off the end; the text is in the arena. */
static enum tail take_tail(char *text)
{
	size_t len = strlen(text);

	if (len > 0 && text[len - 1] == '?')            /* of a rewrite: no query behind it */
		text[--len] = '\0';
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		size_t of_tail = strlen(tails[i].text);

		if (len < of_tail || strcmp(text + len - of_tail, tails[i].text) != 0)
			continue;
		text[len - of_tail] = '\0';
		return tails[i].tail;
	}
	return TAIL_NONE;
}

static const char *take_host(struct import *import, const char *text, const char *host)
{
	static const char *const names[] = { "$host", "$http_host", "$server_name", "$hostname" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);

		if (strncmp(text, names[i], len) == 0 &&
		    (text[len] == '/' || text[len] == '\0' || text[len] == ':'))
			return host != NULL ? import_printf(import, "%s%s", host, text + len) : text;
	}
	return text;
}

static bool is_clean(const char *text)
{
	static const char good[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?@!&'()*+,;=";

	for (; *text != '\0'; text++) {
		if (*text == '%' && str_hex_value(text[1]) >= 0 && str_hex_value(text[2]) >= 0)
			text += 2;
		else if (strchr(good, *text) == NULL)
			return false;
	}
	return true;
}

/* A name that begins with a letter, and perhaps a port; or an IPv4 address. */
static bool is_good_host(const char *text)
{
	size_t len = strcspn(text, "/?"), name = strcspn(text, ":/?");
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
	size_t digits = name < len ? strspn(text + name + 1, "0123456789") : 0;

	return name > 0 && name < 254 && strspn(text, good) == name && text[0] != '.' && text[0] != '-' &&
	       text[name - 1] != '.' && memmem(text, name, "..", 2) == NULL &&
	       (name == len || (digits > 0 && digits < 6 && name + 1 + digits == len &&
				atoi(text + name + 1) > 0 && atoi(text + name + 1) < 65536));
}

static bool is_good_target(const char *to)
{
	const char *host = strncmp(to, "https://", 8) == 0 ? to + 8
			   : strncmp(to, "http://", 7) == 0 ? to + 7
			   : strncmp(to, "//", 2) == 0      ? to + 2
							    : NULL;

	if (strlen(to) > 1000 || !is_clean(to))
		return false;
	return host != NULL ? is_good_host(host) : to[0] == '/';
}

/* False: noted. */
static bool resolve(struct import *import, const struct directive *at, const char *text,
		    struct target *target)
{
	char *copy = arena_copy(&import->arena, str_of(text));
	const char *scheme = "", *rest;

	target->tail = take_tail(copy);
	rest = copy;
	if (strncmp(rest, "$scheme://", 10) == 0)
		scheme = "//";
	else if (strncmp(rest, "https://", 8) == 0)
		scheme = "https://";
	else if (strncmp(rest, "http://", 7) == 0)
		scheme = "http://";
	if (scheme[0] != '\0')
		rest = take_host(import, strstr(rest, "://") + 3, import->host);
	target->to = import_printf(import, "%s%s", scheme, rest);
	if (target->to[0] == '\0' && target->tail == TAIL_NONE)
		target->to = "/";
	if ((target->to[0] == '\0' && target->tail != TAIL_NONE) || is_good_target(target->to))
		return true;
	if (strstr(target->to, "$host") != NULL || strstr(target->to, "$http_host") != NULL)
		import_note(import, NOTE_MISSING, at,
			    "a client's Host never becomes a Location: write the name of the site; until "
			    "then 404");
	else
		import_note(import, NOTE_MISSING, at,
			    "\"%s\" has variables, or characters that no address has;"
			    " until then 404",
			    text);
	return false;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static const char *without_slash(struct import *import, const char *text)
{
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '/')
		len--;
	return arena_copy(&import->arena, (struct str){ text, len });
}

static void write_redirect(FILE *out, const char *to, unsigned status, bool rest)
{
	fputs("redirect = { to = ", out);
	write_quoted(out, to);
	fprintf(out, ";%s", status != 301 ? " status = " : "");
	if (status != 301)
		fprintf(out, "%u;", status);
	fputs(rest ? " }" : " rest = false; }", out);
}

static void write_status(FILE *out, unsigned status)
{
	fprintf(out, "                  respond = { status = %u; }", status);
}

/* The whole path goes along: to the target, then the match, and drover appends what is behind it. */
static bool write_target(struct import *import, FILE *out, const struct target *target, unsigned status,
			 const char *match)
{
	const char *to = target->to;

	if (target->tail == TAIL_WHOLE) {
		to = import_printf(import, "%s%s", without_slash(import, to), without_slash(import, match));
		if (to[0] == '\0')
			to = "/";
		if (!is_good_target(to))
			return false;
	}
	fputs("                  ", out);
	write_redirect(out, to, status, target->tail == TAIL_WHOLE);
	return true;
}

static const char *type_of_text(const struct directive *at)
{
	const struct directive *type = find_effective(at->parent, "default_type");

	return type != NULL && is_writable(arg(type, 0)) ? arg(type, 0) : "text/plain";
}

static void write_answer(struct import *import, FILE *out, const struct directive *at, unsigned status)
{
	const char *text = arg(at, 1);
	bool has_text = at->arg_count > 1;

	if (has_text && has_variable(text)) {
		import_note(import, NOTE_MISSING, at,
			    "there are no variables: the text goes out as it is written");
	}
	fprintf(out, "                  respond = { status = %u;", status);
	if (has_text && strlen(text) < 4096) {
		fputs(" body = ", out);
		write_quoted(out, text);
		fputs("; type = ", out);
		write_quoted(out, type_of_text(at));
		putc(';', out);
	}
	fputs(" }", out);
}

static bool is_redirect(unsigned status)
{
	return (status >= 301 && status <= 303) || status == 307 || status == 308;
}

bool import_return(struct import *import, FILE *out, const struct directive *at, const char *match)
{
	char *end;
	unsigned long status = strtoul(arg(at, 0), &end, 10);
	bool has_status = *end == '\0' && arg(at, 0)[0] >= '0' && arg(at, 0)[0] <= '9';
	struct target target;

	if (!has_status && at->arg_count == 1)
		status = 302;
	if (status == 444) {
		import_note(import, NOTE_DIFFERS, at,
			    "a client gets an answer in any case: 421, that this is not the place");
		return write_status(out, 421), true;
	}
	if (is_redirect((unsigned)status) && (has_status ? at->arg_count == 2 : at->arg_count == 1)) {
		if (!resolve(import, at, arg(at, has_status ? 1 : 0), &target))
			return false;
		if (target.tail != TAIL_REST && write_target(import, out, &target, (unsigned)status, match))
			return true;
	} else if (has_status && status >= 200 && status <= 599 && !(status >= 300 && status < 400)) {
		return write_answer(import, out, at, (unsigned)status), true;
	}
	import_note(import, NOTE_MISSING, at, "not an answer that drover has; until then 404");
	return false;
}

/* ---- rewrite ----------------------------------------------------------------------------------------- */

/* Reads the literal beginning of a regular expression; false when it has more in it than letters. */
static bool take_literal(struct import *import, const char **regex, const char **literal)
{
	char *copy = import_alloc(import, strlen(*regex) + 1), *out = copy;
	const char *at = *regex;

	while (*at != '\0' && *at != '(' && *at != '$' && strncmp(at, ".*", 2) != 0) {
		if (*at == '\\' && at[1] != '\0' && strchr("./-_", at[1]) != NULL)
			at++;
		else if (strchr("*+?()[]{}|\\^", *at) != NULL)
			return false;
		*out++ = *at++;
	}
	*out = '\0';
	*regex = at;
	*literal = copy;
	return true;
}

/* "^/old/(.*)$" and the like: what is in front, and whether something behind it is kept. */
static bool parse_regex(struct import *import, const char *regex, struct rewrite *rewrite)
{
	static const char *const ends[] = { "(.*)$", "(.*)", ".*$", ".*", "" };
	const char *literal;

	if (*regex == '^')
		regex++;
	else if (strcmp(regex, "(.*)") != 0 && strcmp(regex, ".*") != 0)
		return false;
	if (!take_literal(import, &regex, &literal))
		return false;
	rewrite->match = literal[0] != '\0' ? literal : "/";
	rewrite->exact = strcmp(regex, "$") == 0;
	rewrite->rest = regex[0] == '(';
	if (rewrite->exact)
		return literal[0] == '/';
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (strcmp(regex, ends[i]) == 0)
			return rewrite->match[0] == '/';
	return false;
}

static bool ends_with_slash(const char *text)
{
	return text[0] != '\0' && text[strlen(text) - 1] == '/';
}

/* What $1 stands for is what drover appends when both sides end alike. */
static bool join(struct import *import, const struct target *target, struct rewrite *rewrite)
{
	if (target->tail == TAIL_WHOLE) {
		rewrite->to = import_printf(import, "%s%s", without_slash(import, target->to),
					    without_slash(import, rewrite->match));
		rewrite->rest = true;
	} else if (target->tail == TAIL_REST) {
		bool all = strcmp(rewrite->match, "/") == 0;

		if (!rewrite->rest ||
		    (!all && ends_with_slash(rewrite->match) != ends_with_slash(target->to)))
			return false;
		rewrite->to = without_slash(import, target->to);
	} else {
		rewrite->to = target->to;
		rewrite->rest = rewrite->exact;         /* the query */
	}
	if (rewrite->to[0] == '\0')
		rewrite->to = "/";
	return is_good_target(rewrite->to);
}

bool rewrite_parse(struct import *import, const struct directive *at, struct rewrite *rewrite)
{
	const char *flag = arg(at, 2), *to = arg(at, 1);
	bool leads_away = strncmp(to, "http://", 7) == 0 || strncmp(to, "https://", 8) == 0 ||
			  strncmp(to, "$scheme", 7) == 0;
	struct target target;

	*rewrite = (struct rewrite){ .status = strcmp(flag, "permanent") == 0 ? 301 : 302 };
	if (strcmp(flag, "permanent") != 0 && strcmp(flag, "redirect") != 0 && !leads_away) {
		import_note(import, NOTE_MISSING, at,
			    "paths are not rewritten: alias, try and redirect do what it is mostly used for");
		return false;
	}
	if (at->arg_count < 2 || !parse_regex(import, arg(at, 0), rewrite)) {
		import_note(import, NOTE_MISSING, at,
			    "there are no regular expressions: routes of paths that redirect");
		return false;
	}
	if (!resolve(import, at, to, &target))
		return false;
	if (join(import, &target, rewrite))
		return true;
	import_note(import, NOTE_MISSING, at, "what is put in front cannot be told from what is behind");
	return false;
}

void rewrite_write(FILE *out, const struct rewrite *rewrite)
{
	fputs("                  ", out);
	write_redirect(out, rewrite->to, rewrite->status, rewrite->rest);
}
