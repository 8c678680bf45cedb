/* rules.c - an operator's fields, put into heads that are rendered already.
 *
 * Pure but for the arena. Built by route.c, applied by response.c; a head of a route without rules is never
 * looked at. Working on the lines of the finished head, it does not matter who wrote them. Fails only when
 * building runs out of memory. */
#include "rules.h"

#include "date.h"

#include "base/clock.h"
#include "base/put.h"
#include "config/field.h"

#include <stdio.h>

enum {
	MAX_AGE_BYTES = sizeof("Cache-Control: max-age=") + 20 + sizeof("\r\n"),
	EXPIRES_BYTES = sizeof("Expires: ") + DATE_BYTES + sizeof("\r\n"),
};

/* How long answers of some types may be kept. */
struct cache_rule {
	const struct strings *types;    /* NULL: any */
	const char *cache_control;      /* NULL: what follows from expires */
	uint64_t expires_s;             /* 0: not set */
};

struct rules {
	unsigned drop_count;
	struct str *drops;              /* names of fields that drover does not say itself here */
	struct str lines;               /* what every answer gets, each with CRLF */
	struct str content_type;        /* the same, of answers that may have another type */
	unsigned cache_count;
	struct cache_rule *caches;      /* the first that has the type counts */
	size_t cache_room;
};

static const char content_type[] = "Content-Type", cache_control[] = "Cache-Control", expires[] = "Expires";

static bool has_name(const struct str *names, unsigned count, struct str name)
{
	for (unsigned i = 0; i < count; i++)
		if (str_equal_nocase(names[i], name))
			return true;
	return false;
}

/* ---- building --------------------------------------------------------------------------------------- */

static struct str name_of(const char *field)
{
	struct str name, value;

	field_split(field, &name, &value);
	return name;
}

static void add_drops(struct rules *rules, const struct strings *fields)
{
	for (unsigned i = 0; i < fields->count; i++)
		rules->drops[rules->drop_count++] = name_of(fields->at[i]);
}

static size_t line_bytes(const struct strings *fields)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < fields->count; i++)
		bytes += strlen(fields->at[i]) + sizeof(": \r\n");
	return bytes;
}

/* Writes the fields whose names are not among the first `hidden` drops; `lines` has room. */
static void add_lines(struct rules *rules, const struct strings *fields, unsigned hidden, char *lines,
		      struct arena *arena)
{
	for (unsigned i = 0; i < fields->count; i++) {
		struct str name, value;

		field_split(fields->at[i], &name, &value);
		if (has_name(rules->drops, hidden, name))
			continue;
		if (str_equal_nocase(name, str_of(content_type))) {
			rules->content_type = str_of(
				arena_printf(arena, "%s: %.*s\r\n", content_type, (int)value.len, value.at));
			continue;
		}
		rules->lines.at = lines;
		rules->lines.len += (size_t)sprintf(lines + rules->lines.len, "%.*s: %.*s\r\n", (int)name.len,
						    name.at, (int)value.len, value.at);
	}
}

/* The route's fields stand in for the site's of the same name. */
static bool build_fields(struct rules *rules, const struct headers_config *site,
			 const struct headers_config *route, struct arena *arena)
{
	unsigned names = site->set.count + site->remove.count + route->set.count + route->remove.count;
	char *lines = arena_alloc(arena, line_bytes(&site->set) + line_bytes(&site->add) +
						 line_bytes(&route->set) + line_bytes(&route->add) + 1);
	unsigned of_route;

	rules->drops = arena_alloc(arena, (names + 1) * sizeof(*rules->drops));
	if (lines == NULL || rules->drops == NULL)
		return false;
	add_drops(rules, &route->set);
	add_drops(rules, &route->remove);
	of_route = rules->drop_count;
	add_drops(rules, &site->set);
	add_drops(rules, &site->remove);
	add_lines(rules, &site->set, of_route, lines, arena);
	add_lines(rules, &site->add, of_route, lines, arena);
	add_lines(rules, &route->set, 0, lines, arena);
	add_lines(rules, &route->add, 0, lines, arena);
	return true;
}

static void add_cache(struct rules *rules, const struct strings *types, const char *control,
		      uint64_t expires_ns)
{
	size_t room = EXPIRES_BYTES + MAX_AGE_BYTES;

	if (control == NULL && expires_ns == 0)
		return;
	if (control != NULL)
		room += strlen(control) + sizeof(cache_control) + sizeof(": \r\n");
	if (room > rules->cache_room)
		rules->cache_room = room;
	rules->caches[rules->cache_count++] = (struct cache_rule){
		.types = types,
		.cache_control = control,
		.expires_s = expires_ns / CLOCK_S,
	};
}

/* An Expires or a Cache-Control of headers.set or headers.remove is stronger. */
static bool build_caches(struct rules *rules, const struct route_config *route, struct arena *arena)
{
	rules->caches = arena_alloc(arena, (route->cache.count + 1) * sizeof(*rules->caches));
	if (rules->caches == NULL)
		return false;
	for (unsigned i = 0; i < route->cache.count; i++) {
		const struct cache_config *cache = config_cache(route, i);

		add_cache(rules, &cache->types, cache->cache_control, cache->expires_ns);
	}
	add_cache(rules, NULL, route->cache_control, route->expires_ns);
	return true;
}

bool rules_build(const struct headers_config *site, const struct route_config *route, struct arena *arena,
		 const struct rules **built, struct err *err)
{
	static const struct route_config none;
	struct rules *rules = arena_alloc(arena, sizeof(*rules));
	const struct route_config *config = route != NULL ? route : &none;

	if (rules == NULL || !build_fields(rules, site, &config->headers, arena) ||
	    !build_caches(rules, config, arena))
		return err_set(err, "headers: out of memory");
	*built = rules->drop_count + rules->cache_count > 0 || rules->lines.len > 0 ? rules : NULL;
	return true;
}

size_t rules_room(const struct rules *rules)
{
	return rules == NULL ? 0 : rules->lines.len + rules->content_type.len + rules->cache_room;
}

bool rules_say_when(const struct rules *rules)
{
	for (unsigned i = 0; rules != NULL && i < rules->cache_count; i++)
		if (rules->caches[i].expires_s > 0)
			return true;
	return false;
}

/* ---- applying --------------------------------------------------------------------------------------- */

/* What was seen in a head on the way through it. */
struct seen {
	bool cache_control, expires;
};

static struct str line_at(char *at, const char *end)
{
	const char *feed = memchr(at, '\n', (size_t)(end - at));

	return (struct str){ at, feed != NULL ? (size_t)(feed + 1 - at) : (size_t)(end - at) };
}

/* Several parts have a type that says where they are divided (RFC 9110, 14.6); an error is our own page; and
 * an answer without content has no type. */
static bool may_retype(const struct rules_answer *answer)
{
	return !answer->is_error && answer->status != 204 && answer->status != 304 &&
	       answer->content_type.len > 0 &&
	       !str_has_prefix(answer->content_type, str_of("multipart/byteranges"));
}

static bool is_dropped(const struct rules *rules, const struct rules_answer *answer, struct str name)
{
	if (!has_name(rules->drops, rules->drop_count, name))
		return false;
	return may_retype(answer) || !str_equal_nocase(name, str_of(content_type));
}

/* Leaves the lines out that are dropped; returns where the empty line is now. */
static char *keep_lines(const struct rules *rules, const struct rules_answer *answer, char *head, size_t len,
			struct seen *seen)
{
	const char *end = head + len - strlen("\r\n");
	struct str line = line_at(head, end);
	char *at = head + line.len, *out = at;

	for (; at < end; at += line.len) {
		struct str name;

		line = line_at(at, end);
		name = (struct str){ at, strcspn(at, ":\r") };
		if (is_dropped(rules, answer, name))
			continue;
		seen->cache_control |= str_equal_nocase(name, str_of(cache_control));
		seen->expires |= str_equal_nocase(name, str_of(expires));
		memmove(out, at, line.len);
		out += line.len;
	}
	return out;
}

/* "image/png; q" is of "image/png" and of "image/" with an asterisk. */
static bool is_of_type(struct str type, struct str pattern)
{
	size_t len = 0;

	while (len < type.len && type.at[len] != ';' && type.at[len] != ' ')
		len++;
	if (str_equal(pattern, str_of("*/*")))
		return len > 0;
	if (pattern.at[pattern.len - 1] != '*')
		return str_equal_nocase((struct str){ type.at, len }, pattern);
	pattern.len--;
	return len > pattern.len && str_equal_nocase((struct str){ type.at, pattern.len }, pattern);
}

static const struct cache_rule *cache_of(const struct rules *rules, struct str type)
{
	for (unsigned i = 0; i < rules->cache_count; i++) {
		const struct strings *types = rules->caches[i].types;

		if (types == NULL)
			return &rules->caches[i];
		for (unsigned j = 0; j < types->count; j++)
			if (is_of_type(type, str_of(types->at[j])))
				return &rules->caches[i];
	}
	return NULL;
}

/* An answer's own Cache-Control says how long it may be kept, and no Expires stands beside it. */
static char *put_cache(const struct rules *rules, const struct rules_answer *answer, struct seen seen,
		       char *out)
{
	const struct cache_rule *cache = answer->can_be_kept ? cache_of(rules, answer->media_type) : NULL;
	bool dropped = has_name(rules->drops, rules->drop_count, str_of(cache_control));
	char date[DATE_BYTES];

	if (cache == NULL || seen.cache_control)
		return out;
	if (cache->cache_control != NULL && !dropped)
		out += sprintf(out, "%s: %s\r\n", cache_control, cache->cache_control);
	else if (cache->expires_s > 0 && !dropped)
		out += sprintf(out, "%s: max-age=%llu\r\n", cache_control,
			       (unsigned long long)cache->expires_s);
	if (cache->expires_s == 0 || seen.expires ||
	    has_name(rules->drops, rules->drop_count, str_of(expires)))
		return out;
	date_format(answer->now + (time_t)cache->expires_s, date);
	return out + sprintf(out, "%s: %s\r\n", expires, date);
}

size_t rules_apply(const struct rules *rules, const struct rules_answer *answer, char *head, size_t len)
{
	struct seen seen = { false, false };
	char *out = keep_lines(rules, answer, head, len, &seen);

	out = put_cache(rules, answer, seen, out);
	if (may_retype(answer))
		out = put(out, rules->content_type);
	out = put(out, rules->lines);
	return (size_t)(put(out, str_of("\r\n")) - head);
}
