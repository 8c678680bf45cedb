/* secret.c - targets, URIs and request lines without what may be a secret.
 *
 * Pure. Called by access_format.c and exchange.c. Cannot fail: what does not fit is cut. */
#include "secret.h"

#include <string.h>

static const struct str hidden = { "-", 1 };

struct out {
	char *text;
	size_t len, room;
};

static void put(struct out *out, struct str text)
{
	if (text.len > out->room - out->len)
		text.len = out->room - out->len;
	if (text.len > 0)
		memcpy(out->text + out->len, text.at, text.len);
	out->len += text.len;
}

static struct str before(struct str text, size_t len)
{
	return (struct str){ text.at, len < text.len ? len : text.len };
}

static struct str behind(struct str text, size_t len)
{
	return len < text.len ? (struct str){ text.at + len, text.len - len } : (struct str){ text.at, 0 };
}

/* What parts of a target and a line end with. */
enum { COLON = 1, SLASH = 2, QUERY = 4, FRAGMENT = 8, SPACE = 16, RETURN = 32 };

static const unsigned char ends_of[256] = {
	[':'] = COLON, ['/'] = SLASH, ['?'] = QUERY, ['#'] = FRAGMENT, [' '] = SPACE, ['\r'] = RETURN,
};

/* How many bytes come before the first of `ends`; text.len: all. */
static size_t until(struct str text, unsigned ends)
{
	size_t at = 0;

	while (at < text.len && (ends_of[(unsigned char)text.at[at]] & ends) == 0)
		at++;
	return at;
}

/* Where its authority begins: behind "://"; text.len where it can have none, as in "/path". What has no
 * scheme may be an authority itself (of CONNECT). */
static size_t authority_of(struct str target)
{
	size_t at;

	if (target.len > 0 && target.at[0] == '/')
		return target.len;
	at = until(target, COLON | SLASH | QUERY | FRAGMENT);
	return target.len - at >= 3 && memcmp(target.at + at, "://", 3) == 0 ? at + 3 : 0;
}

/* How much of an authority is in front of its last "@"; 0: it has none. */
static size_t user_of(struct str authority)
{
	const char *at = authority.len > 0 ? memrchr(authority.at, '@', authority.len) : NULL;

	return at != NULL ? (size_t)(at - authority.at) : 0;
}

bool secret_is_in(struct str target, bool query)
{
	struct str rest;
	size_t end;

	if (query && target.len > 0 && target.at[0] == '/')     /* as nearly all are */
		return false;
	rest = behind(target, authority_of(target));
	end = until(rest, SLASH | QUERY | FRAGMENT);
	return user_of(before(rest, end)) > 0 || (!query && until(target, QUERY | FRAGMENT) < target.len);
}

static void put_tail(struct out *out, struct str rest, bool query)
{
	size_t at = query ? rest.len : until(rest, QUERY | FRAGMENT);

	put(out, before(rest, at));
	if (at == rest.len)
		return;
	put(out, (struct str){ rest.at + at, 1 });
	put(out, hidden);
}

/* `whole`: nothing of the target is missing behind it. */
static void put_target(struct out *out, struct str target, bool query, bool whole)
{
	size_t begin = authority_of(target);
	struct str rest = behind(target, begin);
	size_t end = until(rest, SLASH | QUERY | FRAGMENT), user = user_of(before(rest, end));

	if (begin == target.len) {
		put_tail(out, target, query);
		return;
	}
	put(out, before(target, begin));
	if (end == rest.len && !whole) {  /* the "@" may be still to come */
		put(out, hidden);
		return;
	}
	if (user > 0)
		put(out, hidden);
	put_tail(out, behind(rest, user), query);
}

struct str secret_target(struct str target, bool query, char *out, size_t room)
{
	struct out text = { out, 0, room };

	put_target(&text, target, query, true);
	return (struct str){ out, text.len };
}

/* Its target begins with "/", and so has nobody's name in it. */
static bool is_plain(struct str line)
{
	const char *space = line.len > 1 ? memchr(line.at, ' ', line.len - 1) : NULL;

	return space != NULL && space[1] == '/';
}

static void put_line(struct out *out, struct str line, bool query, bool whole)
{
	size_t method = until(line, SPACE), len;

	put(out, before(line, method + 1));
	line = behind(line, method + 1);
	if (line.len == 0)
		return;
	len = until(line, SPACE | RETURN);
	put_target(out, before(line, len), query, whole || len < line.len);
	put(out, behind(line, len));
}

size_t secret_line_of_any(struct str head, bool query, char *out, size_t room)
{
	struct out text = { out, 0, room };
	const char *end;

	while (head.len > 0 && (head.at[0] == '\r' || head.at[0] == '\n'))      /* RFC 9112, 2.2 */
		head = behind(head, 1);
	head = before(head, room);
	end = head.len > 0 ? memchr(head.at, '\n', head.len) : NULL;
	if (end != NULL)
		head.len = (size_t)(end - head.at);
	if (query && is_plain(head))
		put(&text, head);
	else
		put_line(&text, head, query, end != NULL);
	return text.len;
}
