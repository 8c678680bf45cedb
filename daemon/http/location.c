/* location.c - the value of Location: encoding what comes from a request, joining it with what an operator
 * wrote.
 *
 * Pure but for the arena. Called by the services that redirect and by the check of their settings. Fails with
 * NULL (out of memory), the check with a text. */
#include "location.h"

#include "target.h"

#include "base/put.h"

enum { ESCAPE_BYTES = 3, MOST_TO_BYTES = 8 * 1024 };

/* pchar and "/" (RFC 3986, 3.3), without "%": it is always encoded in a path that was decoded. */
static const bool path_bytes[256] = {
	['!'] = true,         ['$'] = true, ['&' ... ';'] = true, ['='] = true,
	['@' ... 'Z'] = true, ['_'] = true, ['a' ... 'z'] = true, ['~'] = true,
};

static bool is_escape(struct str text)
{
	return text.len >= ESCAPE_BYTES && text.at[0] == '%' && str_hex_value(text.at[1]) >= 0 &&
	       str_hex_value(text.at[2]) >= 0;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

static char *put_escaped(char *out, char c)
{
	static const char digits[] = "0123456789ABCDEF";

	*out++ = '%';
	*out++ = digits[(unsigned char)c >> 4];
	*out++ = digits[(unsigned char)c & 15];
	return out;
}

static char *put_path(char *out, struct str path)
{
	for (size_t i = 0; i < path.len; i++) {
		if (path_bytes[(unsigned char)path.at[i]])
			*out++ = path.at[i];
		else
			out = put_escaped(out, path.at[i]);
	}
	return out;
}

static char upper(char c)
{
	return c >= 'a' && c <= 'f' ? (char)(c - ('a' - 'A')) : c;
}

/* A path as it was sent keeps its escapes: "%2B" may mean something else than "+" where it leads. */
static char *put_sent(char *out, struct str path)
{
	for (size_t i = 0; i < path.len; i++) {
		struct str rest = { path.at + i, path.len - i };

		if (!is_escape(rest)) {
			out = put_path(out, (struct str){ rest.at, 1 });
			continue;
		}
		*out++ = '%';
		*out++ = upper(rest.at[1]);
		*out++ = upper(rest.at[2]);
		i += ESCAPE_BYTES - 1;
	}
	return out;
}

/* A query keeps its escapes, and may have question marks (RFC 3986, 3.4). */
static char *put_query(char *out, struct str query)
{
	for (size_t i = 0; i < query.len; i++) {
		struct str rest = { query.at + i, query.len - i };

		if (path_bytes[(unsigned char)*rest.at] || *rest.at == '?' || is_escape(rest))
			*out++ = *rest.at;
		else
			out = put_escaped(out, *rest.at);
	}
	return out;
}

char *location_with_slash(struct str path, struct str query, struct arena *arena)
{
	char *location = arena_alloc(arena, (path.len + query.len) * ESCAPE_BYTES + sizeof("/?"));
	char *out = location;

	if (location == NULL)
		return NULL;
	out = put_path(out, path);
	*out++ = '/';
	if (query.len > 0)
		*out++ = '?';
	put_query(out, query);          /* the arena's memory is zeroed: it is terminated */
	return location;
}

/* ---- the rest of a path ------------------------------------------------------------------------------- */

/* Takes the byte that `text` begins with, or the escape of one. */
static char take_byte(struct str *text)
{
	struct str escape;

	if (!is_escape(*text))
		return *str_take(text, 1).at;
	escape = str_take(text, ESCAPE_BYTES);
	return (char)(str_hex_value(escape.at[1]) * 16 + str_hex_value(escape.at[2]));
}

/* Makes of `sent` what is behind the first `skip` bytes of `resolved`; false when the two differ in more than
 * escapes: then nothing of what was sent is what is behind. */
static bool find_rest(struct str *sent, struct str resolved, size_t skip)
{
	struct str text = *sent, rest = { NULL, 0 };

	for (size_t i = 0; i < resolved.len; i++) {
		if (i == skip)
			rest = text;
		if (text.len == 0 || take_byte(&text) != resolved.at[i])
			return false;
	}
	*sent = rest;
	return text.len == 0;
}

char *location_rest(struct str sent, struct str resolved, size_t skip, struct arena *arena)
{
	struct str rest = { resolved.at + skip, resolved.len - skip };
	char *encoded = arena_alloc(arena, (rest.len + sent.len) * ESCAPE_BYTES + 1);

	if (encoded == NULL)
		return NULL;
	if (find_rest(&sent, resolved, skip))
		put_sent(encoded, sent);
	else
		put_path(encoded, rest);
	return encoded;
}

/* ---- redirects ---------------------------------------------------------------------------------------- */

/* "https://host/path?query#fragment" in its parts, each with the character that begins it. */
struct parts {
	struct str origin;              /* "https://host", "//host"; empty: none */
	struct str path, query, fragment;
};

static size_t until(struct str text, const char *ends)
{
	size_t len = 0;

	while (len < text.len && strchr(ends, text.at[len]) == NULL)
		len++;
	return len;
}

/* How much stands in front of the host. */
static size_t before_host(struct str to)
{
	static const char *const schemes[] = { "//", "http://", "https://" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (str_has_prefix_nocase(to, str_of(schemes[i])))
			return strlen(schemes[i]);
	return 0;
}

static struct parts split(const char *text)
{
	struct str to = { text, strlen(text) };
	size_t scheme = before_host(to);
	struct str behind = { to.at + scheme, to.len - scheme };
	struct parts parts = { .origin = str_take(&to, scheme > 0 ? scheme + until(behind, "/?#") : 0) };

	parts.path = str_take(&to, until(to, "?#"));
	parts.query = str_take(&to, until(to, "#"));
	parts.fragment = to;
	return parts;
}

/* One slash between the two, and at least one behind a host (RFC 3986, 6.2.3). */
static char *put_joined(char *out, const struct parts *to, struct str rest)
{
	struct str path = to->path;

	if (rest.len > 0 && path.len > 0 && path.at[path.len - 1] == '/')
		path.len--;
	if (path.len == 0 && rest.len == 0)
		path = str_of("/");
	return put(put(out, path), rest);
}

char *location_redirect(const char *to, bool secure, struct str rest, struct str query, struct arena *arena)
{
	struct parts parts = split(to);
	size_t most = strlen(to) + rest.len + query.len * ESCAPE_BYTES + sizeof("https:/?");
	char *location = arena_alloc(arena, most), *out = location;

	if (location == NULL)
		return NULL;
	if (parts.origin.len > 0 && parts.origin.at[0] == '/')
		out = put(out, str_of(secure ? "https:" : "http:"));
	out = put(out, parts.origin);
	out = put_joined(out, &parts, rest);
	out = put(out, parts.query);
	if (query.len > 0)
		*out++ = parts.query.len > 0 ? '&' : '?';
	out = put_query(out, query);
	put(out, parts.fragment);
	return location;
}

/* ---- checking ---------------------------------------------------------------------------------------- */

/* Everything of RFC 3986 but brackets, which belong into a host alone. */
static bool is_clean(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		struct str rest = { text.at + i, text.len - i };

		if (!path_bytes[(unsigned char)*rest.at] && !is_escape(rest))
			return false;
	}
	return true;
}

static struct str behind_mark(struct str text)
{
	return text.len > 0 ? (struct str){ text.at + 1, text.len - 1 } : text;
}

/* Question marks are fine in both (RFC 3986, 3.4 and 3.5). */
static bool is_clean_query(struct str text)
{
	struct str piece;

	while (text.len > 0) {
		piece = str_take(&text, until(text, "?"));
		if (!is_clean(piece))
			return false;
		text = behind_mark(text);
	}
	return true;
}

static bool check_host(struct str origin, struct err *err)
{
	size_t scheme = before_host(origin);
	struct str authority = { origin.at + scheme, origin.len - scheme };

	if (memchr(authority.at, '$', authority.len) != NULL)    /* RFC 3986 has it, no name does */
		return err_set(err, "\"%.256s\": there are no variables; name the host (path and query of the"
				    " request are appended, see rest)", authority.at);
	return target_is_authority(authority) ||
	       err_set(err,
		       "\"%.*s\" is no host, nor a host and a port; an international name is written in its"
		       " xn-- form",
		       (int)(authority.len < 256 ? authority.len : 256), authority.at);
}

bool location_check(const char *to, struct err *err)
{
	struct parts parts = split(to);

	if (strlen(to) > MOST_TO_BYTES)
		return err_set(err, "longer than %d bytes", MOST_TO_BYTES);
	if (parts.origin.len == 0 && to[0] != '/')
		return err_set(err,
			       "\"%.256s\" is none of \"/path\", \"//host/path\" and \"https://host/path\"",
			       to);
	if (parts.origin.len > 0 && !check_host(parts.origin, err))
		return false;
	if (is_clean(parts.path) && is_clean_query(behind_mark(parts.query)) &&
	    is_clean_query(behind_mark(parts.fragment)))
		return true;
	return err_set(
		err,
		"\"%.256s\" has characters that an address cannot have; write them percent-encoded, such"
		" as %%20",
		to);
}
