/* target_fuzz.c - paths and hosts of requests: what is let through is clean, and stays what it is; where a
 * redirect leads.
 *
 * Input: the bytes of a path, of a host, or of where to redirect. */
#include "fuzz.h"

#include "http/location.h"
#include "http/target.h"

#include <strings.h>

static bool is_clean(struct str path)
{
	return path.len > 0 && path.at[0] == '/' && path.at[path.len] == '\0' &&
	       memchr(path.at, '\0', path.len) == NULL && memmem(path.at, path.len, "//", 2) == NULL;
}

/* Nobody gets above the root; what hides is one segment that begins with a dot. */
static void check_segments(struct str path)
{
	bool hidden = false;

	for (const char *at = path.at; at < path.at + path.len; at++) {
		size_t len = strcspn(at + 1, "/");

		if (at[0] != '/' || at[1] != '.')
			continue;
		FUZZ_CHECK(len != 1 && (len != 2 || at[2] != '.'));
		hidden |= at != path.at || len != 11 || memcmp(at, "/.well-known", 12) != 0;
	}
	FUZZ_CHECK(target_is_hidden(path, 0) == hidden);
}

/* What it means, said again with every byte escaped, means the same. */
static void check_again(struct str resolved, struct arena *arena)
{
	char *escaped = arena_alloc(arena, resolved.len * 3 + 1);
	struct str again;
	size_t len = 0;

	for (size_t i = 0; i < resolved.len; i++)
		len += (size_t)sprintf(escaped + len, resolved.at[i] == '/' ? "/" : "%%%02X",
				       (unsigned char)resolved.at[i]);
	FUZZ_CHECK(target_resolve((struct str){ escaped, len }, arena, &again) == 0);
	FUZZ_CHECK(str_equal(resolved, again));
}

/* Printable ASCII without what could end a field's value or be taken for something else. */
static bool is_uri(const char *text)
{
	for (const char *at = text; *at != '\0'; at++)
		if (*at <= ' ' || *at >= 0x7f || strchr("\"<>\\^`{|}[]", *at) != NULL)
			return false;
	return true;
}

/* A path that is redirected stays on its host, and comes back as it was. */
static void check_location(struct str path, struct str resolved, struct arena *arena)
{
	static const char *const targets[] = { "/", "/new", "/new/?a=b#c", "//h", "https://h:1/x/" };
	char *location = location_with_slash(resolved, path, arena), *rest;
	struct str again, sent = { location, strcspn(location, "?") };

	FUZZ_CHECK(is_uri(location) && location[0] == '/' && (resolved.len == 1 || location[1] != '/'));
	FUZZ_CHECK(target_resolve(sent, arena, &again) == 0);
	FUZZ_CHECK(str_has_prefix(again, resolved) && again.len <= resolved.len + 1);
	rest = location_rest(path, resolved, 0, arena);
	FUZZ_CHECK(is_uri(rest) && rest[0] == '/' && rest[1] != '/');
	FUZZ_CHECK(target_resolve(str_of(rest), arena, &again) == 0 && str_equal(again, resolved));
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		location = location_redirect(targets[i], true, str_of(rest), path, arena);
		FUZZ_CHECK(is_uri(location));
		if (i < 3)
			FUZZ_CHECK(location[0] == '/' && location[1] != '/');
		else
			FUZZ_CHECK(strncmp(location, i == 3 ? "https://h/" : "https://h:1/x/",
					   i == 3 ? 10 : 14) == 0);
	}
}

/* What an operator may write is sent as it is. */
static void check_to(struct str text, struct arena *arena)
{
	char *to = arena_copy(arena, text);
	struct err err;
	char *location;

	if (!location_check(to, &err))
		return;
	location = location_redirect(to, false, str_of("/x%20y"), str_of(""), arena);
	FUZZ_CHECK(location[0] == '/' || strncasecmp(location, "http", 4) == 0);
	FUZZ_CHECK(strstr(location, "/x%20y") != NULL);
	for (const char *at = location; *at != '\0'; at++)
		FUZZ_CHECK(*at > ' ' && *at < 0x7f && *at != '\\');
}

static void check_path(struct str path)
{
	struct arena arena = { 0 };
	struct str resolved = { 0 };
	unsigned status = target_resolve(path, &arena, &resolved);

	FUZZ_CHECK(status == 0 || status == 400);
	if (status == 0) {
		FUZZ_CHECK(is_clean(resolved) && resolved.len <= path.len);
		check_segments(resolved);
		check_again(resolved, &arena);
		check_location(path, resolved, &arena);
	}
	check_to(path, &arena);
	arena_free(&arena);
}

static void check_host(struct str authority)
{
	char host[TARGET_HOST_BYTES], again[TARGET_HOST_BYTES], small[8];
	bool good = target_host(authority, host, sizeof(host));
	size_t len;

	if (target_host(authority, small, sizeof(small)))
		FUZZ_CHECK(good && strlen(small) < sizeof(small) && strcmp(small, host) == 0);
	if (!good)
		return;
	len = strlen(host);
	FUZZ_CHECK(len > 0 && len < sizeof(host) && len <= authority.len);
	FUZZ_CHECK(host[0] == '[' || strchr(host, ':') == NULL);
	FUZZ_CHECK(strpbrk(host, "/?#@ ABCDEFGHIJKLMNOPQRSTUVWXYZ") == NULL);
	if (host[len - 1] == '.')       /* one dot is taken off, not all */
		return;
	FUZZ_CHECK(target_host(str_of(host), again, sizeof(again)) && strcmp(host, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };

	check_path(text);
	check_host(text);
	return 0;
}
