/* import_headers.c - who may use a path, and the fields of its answers: allow and deny, auth_basic,
 * add_header, expires, etag.
 *
 * Called by import_route.c and import_site.c, with the rules of inheritance of import_find.c. */
#include "import.h"

#include "config/field.h"
#include "net/addr.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FIELDS_BYTES = 6 * 1024 };

struct fields {
	struct texts set, add, set_names;
	size_t bytes;
};

static bool is_cache_control(const char *name)
{
	return str_equal_nocase(str_of(name), str_of("Cache-Control"));
}

/* ---- fields ------------------------------------------------------------------------------------------ */

static bool is_good_value(const char *value)
{
	struct err err;

	return is_writable(value) && !has_variable(value) && field_check_value(value, &err);
}

/* As one more, or where an answer has it once, in its place. */
static void take_field(struct import *import, const struct directive *at, struct fields *fields)
{
	const char *line = import_printf(import, "%s: %s", arg(at, 0), arg(at, 1));
	const char *name = import_lower(import, arg(at, 0));
	struct err err = { "" };

	if (!is_good_value(arg(at, 1)) || fields->bytes + strlen(line) > MOST_FIELDS_BYTES) {
		import_note(import, NOTE_MISSING, at, "%s: a field has a fixed text, without variables",
			    arg(at, 0));
		return;
	}
	if (field_check_add(line, &err)) {
		texts_add(import, &fields->add, line);
	} else if (!texts_has(&fields->set_names, name) && field_check_set(line, &err)) {
		texts_add(import, &fields->set_names, name);
		texts_add(import, &fields->set, line);
	} else {
		import_note(import, NOTE_MISSING, at, "%s",
			    err.text[0] != '\0' ? err.text : "an answer has it once");
		return;
	}
	fields->bytes += strlen(line) + 4;
	if (strcmp(arg(at, 2), "always") != 0)
		import_note(import, NOTE_DIFFERS, at, "%s is on errors, too, as with always", arg(at, 0));
}

void import_headers(struct import *import, FILE *out, const char *indent, const struct directive *block)
{
	const struct directive *etag = find_effective(block, "etag");
	bool no_etag = etag != NULL && strcmp(arg(etag, 0), "off") == 0;
	struct fields fields = { 0 };
	const char *inner = import_printf(import, "%s            ", indent);

	for (const struct directive *at = find_effective(block, "add_header"); at != NULL; at = find_next(at))
		if (!is_cache_control(arg(at, 0)) && arg(at, 1)[0] != '\0')
			take_field(import, at, &fields);
	if (fields.set.count + fields.add.count == 0 && !no_etag)
		return;
	fprintf(out, "%sheaders = {\n", indent);
	if (fields.set.count > 0)
		write_list(out, inner, "set", &fields.set);
	if (fields.add.count > 0)
		write_list(out, inner, "add", &fields.add);
	if (no_etag)
		fprintf(out, "%sremove = [ \"ETag\" ];\n", inner);
	fprintf(out, "%s};\n", indent);
}

/* ---- how long answers may be kept -------------------------------------------------------------------- */

static const unsigned long long of_expires[2] = { 1000, 3650ULL * 86400000 };

/* What expires says in a Cache-Control; "": nothing. `time` is set when it is a time. */
static const char *control_of(struct import *import, const struct directive *expires, const char **time)
{
	const char *word = expires != NULL ? arg(expires, 0) : "off";

	*time = NULL;
	if (strcmp(word, "off") == 0)
		return "";
	if (strcmp(word, "epoch") == 0 || word[0] == '-')
		return "no-cache";
	if (strcmp(word, "max") == 0)
		return "max-age=315360000";
	if (strcmp(word, "0") == 0)
		return "max-age=0";
	if (word[0] == '@' || has_variable(word) || strcmp(word, "modified") == 0) {
		import_note(import, NOTE_MISSING, expires, "an answer may be kept for a time, not until one");
		return "";
	}
	*time = import_duration(import, expires, word, of_expires);
	return "";
}

/* "max-age=3600" of the time that drover is given. */
static const char *max_age(struct import *import, const char *time)
{
	char *unit;
	unsigned long long number = strtoull(time, &unit, 10);

	if (strcmp(unit, "ms") == 0)
		return import_printf(import, "max-age=%llu", number / 1000);
	return import_printf(import, "max-age=%llu",
			     number * (*unit == 'd'   ? 86400
				       : *unit == 'h' ? 3600
				       : *unit == 'm' ? 60
						      : 1));
}

/* The two settings for a block; "" and NULL: nothing is said. */
static const char *cache_of(struct import *import, const struct directive *block, const char **time)
{
	const char *control = control_of(import, find_effective(block, "expires"), time);

	for (const struct directive *at = find_effective(block, "add_header"); at != NULL;
	     at = find_next(at)) {
		if (!is_cache_control(arg(at, 0)) || arg(at, 1)[0] == '\0')
			continue;
		if (!is_good_value(arg(at, 1))) {
			import_note(import, NOTE_MISSING, at, "a field has a fixed text, without variables");
			continue;
		}
		if (control[0] == '\0' && *time != NULL)
			control = max_age(import, *time);
		control =
			import_printf(import, "%s%s%s", control, control[0] != '\0' ? ", " : "", arg(at, 1));
	}
	return strlen(control) < MOST_FIELDS_BYTES / 4 ? control : "";
}

/* What a regular expression says of these types, in this server. */
static void take_kind(struct import *import, const struct directive *location, struct texts *entries)
{
	struct texts types = { 0 };
	const char *time, *control;
	char *text = NULL;
	size_t len = 0;
	FILE *out;

	if (!kinds_of(import, location, &types))
		return;
	control = cache_of(import, location, &time);
	if (control[0] == '\0' && time == NULL)
		return;
	out = import_stream(&text, &len);
	fputs("                      { types = ", out);
	write_strings(out, &types);
	putc(';', out);
	if (control[0] != '\0')
		write_setting_within(out, "cache_control", control);
	if (time != NULL)
		write_setting_within(out, "expires", time);
	fputs(" }", out);
	import_keep(import, out, &text, entries);
}

/* nginx looks at them wherever the path is, unless a location with ^~ has it. */
static void write_kinds(struct import *import, FILE *out, const char *indent, const struct directive *block)
{
	const struct directive *server = block;
	struct texts entries = { 0 };

	if (strncmp(arg(block, 0), "^~", 2) == 0 || strncmp(arg(block, 0), "=", 1) == 0)
		return;
	while (server->parent != NULL && !is_named(server, "server"))
		server = server->parent;
	for (const struct directive *at = find_own(server, "location"); at != NULL; at = find_next(at))
		take_kind(import, at, &entries);
	if (entries.count == 0)
		return;
	fprintf(out, "%scache = (\n", indent);
	write_blocks(out, &entries);
	fprintf(out, "%s);\n", indent);
}

void import_cache(struct import *import, FILE *out, const char *indent, const struct directive *block)
{
	const char *time, *control = cache_of(import, block, &time);

	write_kinds(import, out, indent, block);
	if (control[0] != '\0')
		write_setting(out, indent, "cache_control", control);
	if (time != NULL)
		write_setting(out, indent, "expires", time);
}

/* ---- who may ----------------------------------------------------------------------------------------- */

struct access {
	struct texts allow, deny;
	bool closed;                    /* "deny all" at the end */
	bool unknown;                   /* a deny that was not understood */
};

static bool overlaps(const struct texts *networks, const struct cidr *cidr)
{
	for (unsigned i = 0; i < networks->count; i++) {
		struct cidr other;
		struct err err;

		if (cidr_parse(networks->at[i], &other, &err) &&
		    (cidr_covers(&other, cidr) || cidr_covers(cidr, &other)))
			return true;
	}
	return false;
}

/* nginx passes over bits behind the prefix. */
static const char *network_of(struct import *import, const char *text)
{
	char host[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	size_t len = strcspn(text, "/");
	int family = memchr(text, ':', len) != NULL ? AF_INET6 : AF_INET;
	unsigned width = family == AF_INET ? 32 : 128;
	uint64_t bits;

	if (text[len] != '/' || len >= sizeof(host) || !str_to_u64(str_of(text + len + 1), &bits) ||
	    bits > width)
		return text;
	snprintf(host, sizeof(host), "%.*s", (int)len, text);
	if (inet_pton(family, host, bytes) != 1)
		return text;
	for (unsigned bit = (unsigned)bits; bit < width; bit++)
		bytes[bit / 8] &= (uint8_t)~(0x80U >> bit % 8);
	inet_ntop(family, bytes, host, sizeof(host));
	return import_printf(import, "%s/%u", host, (unsigned)bits);
}

/* nginx goes by the first that fits; drover refuses whom deny has, whatever allow says. */
static void take_rule(struct import *import, const struct directive *at, struct access *access)
{
	bool allows = is_named(at, "allow");
	const char *who = network_of(import, arg(at, 0));
	struct cidr cidr;
	struct err err;

	if (!cidr_parse(who, &cidr, &err)) {
		import_note(import, NOTE_MISSING, at, "no address and no network%s",
			    allows ? "" : ": closed (403)");
		access->unknown |= !allows;
		return;
	}
	if (!allows && overlaps(&access->allow, &cidr))
		import_note(import, NOTE_DIFFERS, at,
			    "deny goes before allow here: who is in both is refused");
	if (!texts_has(allows ? &access->allow : &access->deny, who))
		texts_add(import, allows ? &access->allow : &access->deny, who);
}

static void collect(struct import *import, const struct directive *block, struct access *access)
{
	for (const struct directive *at = find_rule(block); at != NULL; at = at->next) {
		if (!is_named(at, "allow") && !is_named(at, "deny"))
			continue;
		if (strcmp(arg(at, 0), "all") == 0) {
			access->closed = is_named(at, "deny");
			return;
		}
		take_rule(import, at, access);
	}
}

bool import_access(struct import *import, FILE *out, const char *indent, const struct directive *block)
{
	const struct directive *file = find_effective(block, "auth_basic_user_file");
	const struct directive *realm = find_effective(block, "auth_basic"),
			       *satisfy = find_effective(block, "satisfy");
	struct access access = { 0 };

	collect(import, block, &access);
	if (access.unknown || (access.closed && access.allow.count == 0))
		return false;
	if (access.closed)
		write_list(out, indent, "allow", &access.allow);
	if (access.deny.count > 0)
		write_list(out, indent, "deny", &access.deny);
	if (satisfy != NULL && strcmp(arg(satisfy, 0), "any") == 0)
		import_note(import, NOTE_MISSING, satisfy,
			    "who uses the path needs both, the address and the password");
	if (realm == NULL || strcmp(arg(realm, 0), "off") == 0)
		return true;
	if (file == NULL || has_variable(arg(file, 0)) || has_variable(arg(realm, 0)) ||
	    !is_writable(arg(file, 0)) || !is_writable(arg(realm, 0)) || strlen(arg(realm, 0)) > 100) {
		import_note(import, NOTE_MISSING, realm,
			    "a password needs a realm and a file of fixed names;"
			    " until then 403");
		return false;
	}
	fprintf(out, "%sauth = { file = ", indent);
	write_quoted(out, arg(file, 0)[0] == '/'
				  ? arg(file, 0)
				  : import_printf(import, "%s/%s", import->directory, arg(file, 0)));
	fputs("; realm = ", out);
	write_quoted(out, arg(realm, 0));
	fputs("; };\n", out);
	return true;
}
