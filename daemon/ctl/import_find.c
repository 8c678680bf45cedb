/* import_find.c - which directive counts where: nginx's rules of inheritance, and its locations.
 *
 * Pure. A block that has a directive of a name has none of that name from around it, however many there are:
 * so it is with add_header, index, error_page, allow and deny. */
#include "import.h"

#include "base/hash.h"

#include <string.h>

bool is_named(const struct directive *directive, const char *name)
{
	return strcmp(directive->name, name) == 0;
}

static const struct directive *first_of(const struct directive *directive, const char *name)
{
	while (directive != NULL && !is_named(directive, name))
		directive = directive->next;
	return directive;
}

uint64_t name_bit(const char *name)
{
	return UINT64_C(1) << hash_fold(hash_of(str_of(name))) % 64;
}

/* Most of what is looked for is not there, and in http there may be thousands of servers. */
const struct directive *find_own(const struct directive *block, const char *name)
{
	return (block->names & name_bit(name)) != 0 ? first_of(block->children, name) : NULL;
}

const struct directive *find_next(const struct directive *directive)
{
	return first_of(directive->next, directive->name);
}

const struct directive *find_effective(const struct directive *block, const char *name)
{
	for (; block != NULL; block = block->parent) {
		const struct directive *found = find_own(block, name);

		if (found != NULL)
			return found;
	}
	return NULL;
}

const struct directive *find_rule(const struct directive *block)
{
	const uint64_t rules = name_bit("allow") | name_bit("deny");

	for (; block != NULL; block = block->parent)
		for (const struct directive *at = (block->names & rules) != 0 ? block->children : NULL;
		     at != NULL; at = at->next)
			if (is_named(at, "allow") || is_named(at, "deny"))
				return at;
	return NULL;
}

const struct directive *find_below(const struct directive *block, const char *name)
{
	for (const struct directive *child = block->children; child != NULL; child = child->next) {
		const struct directive *found = is_named(child, name) ? child : find_below(child, name);

		if (found != NULL)
			return found;
	}
	return NULL;
}

const char *arg(const struct directive *directive, unsigned index)
{
	return index < directive->arg_count ? directive->args[index] : "";
}

bool is_on(const struct directive *directive)
{
	return directive != NULL && strcmp(arg(directive, 0), "on") == 0;
}

bool has_variable(const char *text)
{
	return strchr(text, '$') != NULL;
}

bool location_path(const struct directive *location, const char **path, bool *exact)
{
	const char *first = arg(location, 0);
	bool two = location->arg_count == 2;

	*exact = false;
	*path = two ? arg(location, 1) : first;
	if (!two && first[0] == '=') {          /* "=/path" in one word */
		*exact = true;
		*path = first + 1;
	} else if (two && strcmp(first, "=") == 0) {
		*exact = true;
	} else if (!two && strncmp(first, "^~", 2) == 0) {
		*path = first + 2;
	} else if (two && strcmp(first, "^~") != 0) {
		return false;
	}
	return location->arg_count >= 1 && location->arg_count <= 2 && (*path)[0] == '/';
}

bool has_location(const struct directive *block, const char *path)
{
	for (const struct directive *at = find_own(block, "location"); at != NULL; at = find_next(at)) {
		const char *own;
		bool exact;

		if (location_path(at, &own, &exact) && !exact && strcmp(own, path) == 0)
			return true;
	}
	return false;
}

/* How much of the path the location's own has; 0: it is none of it. */
static size_t match_length(const struct directive *location, const char *path)
{
	const char *own;
	bool exact;
	size_t len;

	if (!is_named(location, "location") || !location_path(location, &own, &exact))
		return 0;
	if (exact)
		return strcmp(own, path) == 0 ? strlen(own) + 1 : 0;
	len = strlen(own);
	return strncmp(own, path, len) == 0 ? len : 0;
}

const struct directive *find_location(const struct directive *block, const char *path)
{
	const struct directive *best = NULL;
	size_t longest = 0;

	for (const struct directive *child = block->children; child != NULL; child = child->next) {
		const struct directive *inner =
			is_named(child, "location") ? find_location(child, path) : NULL;
		size_t len = match_length(child, path),
		       inner_len = inner != NULL ? match_length(inner, path) : 0;

		if (len > longest) {
			longest = len;
			best = child;
		}
		if (inner_len > longest) {
			longest = inner_len;
			best = inner;
		}
	}
	return best;
}
