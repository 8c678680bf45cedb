/* target_fuzz.c - paths and hosts of requests: what is let through is clean, and stays what it is.
 *
 * Input: the bytes of a path, or of a host. */
#include "fuzz.h"

#include "http/target.h"

static bool is_clean(struct str path)
{
	return path.len > 0 && path.at[0] == '/' && path.at[path.len] == '\0' &&
	       memchr(path.at, '\0', path.len) == NULL && memmem(path.at, path.len, "//", 2) == NULL;
}

/* Nobody gets above the root or at a hidden file. */
static void check_segments(struct str path)
{
	const char *dot = path.at;

	while ((dot = memmem(dot, (size_t)(path.at + path.len - dot), "/.", 2)) != NULL) {
		FUZZ_CHECK(dot == path.at);
		FUZZ_CHECK(strcmp(dot, "/.well-known") == 0 || strncmp(dot, "/.well-known/", 13) == 0);
		dot += 2;
	}
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

static void check_location(struct str path, struct arena *arena)
{
	char *copy, *location;

	if (memchr(path.at, '\0', path.len) != NULL || path.at[path.len - 1] == '/')
		return;
	copy = arena_copy(arena, path);
	location = target_slash_location(str_of(copy), str_of("q=1"), arena);
	FUZZ_CHECK(strncmp(location, "./", 2) == 0 && location[2] != '/');
	FUZZ_CHECK(strcmp(location + strlen(location) - 5, "/?q=1") == 0);
}

static void check_path(struct str path)
{
	struct arena arena = { 0 };
	struct str resolved = { 0 };
	unsigned status = target_resolve(path, &arena, &resolved);

	FUZZ_CHECK(status == 0 || status == 400 || status == 404);
	if (status == 0) {
		FUZZ_CHECK(is_clean(resolved) && resolved.len <= path.len);
		check_segments(resolved);
		check_again(resolved, &arena);
		check_location(path, &arena);
	}
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
