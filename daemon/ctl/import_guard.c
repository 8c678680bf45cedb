/* import_guard.c - what keeps clients out in nginx by ways that drover has not: expressions, conditions,
 * programs that are asked. What they may be about is closed.
 *
 * Called by import_route.c, import_files.c, import_simple.c and import_site.c. Pure. */
#include "import.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* ---- expressions --------------------------------------------------------------------------------------- */

/* Up to the bar or the bracket that ends an alternative; what is in brackets of either kind is passed
 * over. */
static const char *alternative_end(const char *at)
{
	unsigned depth = 0;

	for (; *at != '\0'; at++) {
		if (*at == '\\' && at[1] != '\0')
			at++;
		else if (*at == '(')
			depth++;
		else if (depth == 0 && (*at == '|' || *at == ')'))
			break;
		else if (*at == ')')
			depth--;
	}
	return at;
}

/* Is what stands there there in any case, once at least? */
static bool is_certain(const char *behind)
{
	return *behind != '?' && *behind != '*' && *behind != '{';
}

static bool begins_with_dot(const char *text, const char *end)
{
	return end - text >= 2 && begins(text, "\\.") && is_certain(text + 2);
}

/* "(\.git|\.ht)" */
static bool group_of_dots(const char *text)
{
	const char *end;

	text += begins(text, "(?:") ? 3 : 1;
	for (;; text = end + 1) {
		end = alternative_end(text);
		if (!begins_with_dot(text, end))
			return false;
		if (*end != '|')
			return *end == ')' && is_certain(end + 1);
	}
}

bool is_of_dotfiles(const char *regex)
{
	static const char *const fronts[] = { "(^|/)", "(/|^)", "(?:^|/)", "^.*/", "^/", ".*/", "/" };
	const char *end = "|";

	for (; *end == '|'; regex = end + 1) {
		size_t i = 0;

		end = alternative_end(regex);
		while (i < sizeof(fronts) / sizeof(fronts[0]) && !begins(regex, fronts[i]))
			i++;
		if (i == sizeof(fronts) / sizeof(fronts[0]))
			return false;
		regex += strlen(fronts[i]);
		if (!begins_with_dot(regex, end) && (*regex != '(' || !group_of_dots(regex)))
			return false;
	}
	return *end == '\0';
}

static bool is_regex(const struct directive *location)
{
	return is_named(location, "location") && arg(location, 0)[0] == '~';
}

const char *regex_directory(struct import *import, const char *regex)
{
	char *copy = import_alloc(import, strlen(regex) + 1), *out = copy;

	copy[0] = '\0';
	if (!begins(regex, "^/") || *alternative_end(regex) != '\0')
		return copy;
	for (regex++; *regex != '\0' && strchr("*+?()[]{}|^$.", *regex) == NULL; regex++) {
		if (*regex == '\\' && (regex[1] == '\0' || strchr("./-_", *++regex) == NULL))
			break;
		*out++ = *regex;
	}
	*out = '\0';
	strrchr(copy, '/')[1] = '\0'; /* what is behind may have a "?" behind itself */
	return copy;
}

/* ---- what keeps clients out ---------------------------------------------------------------------------- */

/* Somebody else says who may: modules have names of these beginnings. */
static bool asks(const struct directive *at)
{
	static const char *const not_those[] = { "auth_basic", "auth_basic_user_file", "auth_delay", NULL };
	const char *first = arg(at, 0);

	if (is_named(at, "server") || strcmp(first, "off") == 0) /* in http there may be thousands */
		return false;
	for (unsigned i = 0; not_those[i] != NULL; i++)
		if (is_named(at, not_those[i]))
			return false;
	return begins(at->name, "auth_") || begins(at->name, "access_by_") ||
	       is_named(at, "secure_link_secret") || is_named(at, "limit_except") ||
	       (is_named(at, "ssl_verify_client") && strcmp(first, "on") == 0);
}

static const struct directive *find_asker(const struct directive *block)
{
	for (const struct directive *around = block; around != NULL; around = around->parent)
		for (const struct directive *at = around->children; at != NULL; at = at->next)
			if (asks(at) && find_effective(block, at->name) == at)
				return at;
	return NULL;
}

static bool refuses(const struct directive *block)
{
	const struct directive *done = find_own(block, "return");
	unsigned long status = done != NULL ? strtoul(arg(done, 0), NULL, 10) : 0;

	return status >= 400 && status != 410; /* what is gone is no secret */
}

/* What a client says of itself keeps nobody out, and files there are or there are not. */
static bool is_harmless(const char *condition)
{
	static const char *const known[] = { "($request_method",
					     "($host",
					     "($http_host",
					     "($http_user_agent",
					     "($http_referer",
					     "($invalid_referer",
					     "($scheme",
					     "($args",
					     "($query_string",
					     "($http_x_forwarded_proto",
					     "(!-",
					     "(-" };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (begins(condition, known[i]))
			return true;
	return false;
}

static const struct directive *find_condition(const struct directive *block)
{
	for (const struct directive *at = find_own(block, "if"); at != NULL; at = find_next(at))
		if (refuses(at) && !is_harmless(arg(at, 0)))
			return at;
	return NULL;
}

/* Does what an expression stands for go to a program? Paths that begin alike are no files. */
static bool runs(const struct directive *location)
{
	const char *regex = arg(location, location->arg_count - 1);
	bool of_ending = regex[0] != '^' || strstr(regex, "\\.") != NULL;

	return has_pass(location) && (of_ending || find_own(location, "proxy_pass") == NULL);
}

bool is_guarded(const struct directive *location)
{
	const struct directive *realm = find_own(location, "auth_basic");

	return find_own(location, "deny") != NULL || find_own(location, "internal") != NULL ||
	       (realm != NULL && strcmp(arg(realm, 0), "off") != 0) || refuses(location) ||
	       find_condition(location) != NULL ||
	       (find_asker(location) != NULL && find_asker(location)->parent == location);
}

bool guards_more(const struct directive *location)
{
	const struct directive *rule = find_rule(location), *realm = find_effective(location, "auth_basic"),
			       *asker = find_asker(location), *other = find_own(location->parent, "location");
	bool password = realm != NULL && strcmp(arg(realm, 0), "off") != 0;

	if (is_guarded(location) || has_pass(location))
		return true;
	for (; other != NULL; other = find_next(other))
		if ((rule != NULL && find_rule(other) != rule) ||
		    (password && find_effective(other, "auth_basic") != realm) ||
		    (asker != NULL && find_asker(other) != asker))
			return true;
	return false;
}

bool is_guarding_regex(const struct directive *location)
{
	return is_regex(location) && !is_of_dotfiles(arg(location, location->arg_count - 1)) &&
	       (is_guarded(location) || runs(location));
}

/* ---- of a route ---------------------------------------------------------------------------------------- */

/* An expression beside or around the block goes before its own, shorter or not. */
static bool is_about(struct import *import, const struct directive *location, const char *match)
{
	const char *begin = location->was_regex ? arg(location, 1)
			    : is_guarding_regex(location)
				    ? regex_directory(import, arg(location, location->arg_count - 1))
				    : NULL;

	if (begin == NULL || (location->was_regex && !is_guarded(location) && !has_pass(location)))
		return false;
	return strncasecmp(begin, match, strlen(begin)) == 0;
}

const struct directive *find_guard(struct import *import, const struct directive *block, const char *match)
{
	const struct directive *found = find_asker(block), *inner = block;
	bool first = !block->was_regex &&
		     (strncmp(arg(block, 0), "^~", 2) == 0 || arg(block, 0)[0] == '=');

	if (found == NULL)
		found = find_condition(block);
	for (const struct directive *around = block; found == NULL && around != NULL;
	     around = around->parent) {
		if (is_named(around, "server"))
			found = find_condition(around);
		for (const struct directive *at = around->children; found == NULL && at != NULL;
		     at = at->next)
			if (at != inner && is_named(at, "location") && is_about(import, at, match) &&
			    (!first || around == block))
				found = at;
		inner = around;
	}
	return found;
}
