/* cgroup_fuzz.c - what the kernel's files say of the control group, or a container's that stand in for
 * them: any text gives a limit, and it is the least of the numbers that were there to be read.
 *
 * Input: which limit; then texts that end with a NUL: /proc/self/cgroup, then each file that is opened, in
 * order; an empty one is not there. */
#include "fuzz.h"

#include <errno.h>
#include <string.h>

static FILE *fuzz_fopen(const char *path, const char *mode);

/* The reader as it is, but for where it reads. */
#define fopen fuzz_fopen
#define cgroup_line fuzz_cgroup_line
#define cgroup_path fuzz_cgroup_path
#define cgroup_limit fuzz_cgroup_limit
#include "config/cgroup.c"
#undef fopen

enum { PATH_DEPTH_MAX = 4096 / 2 + 2 }; /* "/a" again and again, and the root */

static struct input rest;
static char *groups;            /* /proc/self/cgroup */
static char *texts[PATH_DEPTH_MAX + 8];
static unsigned text_count;
static uint64_t least;
static bool any;

/* By other means than the daemon: a line of digits alone, below the "none" of version 1. */
static void note(const char *text)
{
	size_t len = strcspn(text, "\n"), digits = strspn(text, "0123456789");
	unsigned long long value;

	any = true;
	errno = 0;
	value = strtoull(text, NULL, 10);
	if (digits == len && len > 0 && len < 63 && errno == 0 && value < (1ULL << 62) && value < least)
		least = value;
}

static FILE *fuzz_fopen(const char *path, const char *mode)
{
	bool is_groups = strcmp(path, "/proc/self/cgroup") == 0;
	char *text = is_groups ? groups : fuzz_copy(input_until(&rest, '\0'));

	FUZZ_CHECK(is_groups || strncmp(path, "/sys/fs/cgroup/", strlen("/sys/fs/cgroup/")) == 0);
	if (!is_groups) {
		FUZZ_CHECK(text_count < sizeof(texts) / sizeof(texts[0]));
		texts[text_count++] = text;
	}
	if (*text == '\0')
		return NULL;
	if (!is_groups)
		note(text);
	return fmemopen(text, strlen(text), mode);
}

static void check_limit(struct figure limit)
{
	FUZZ_CHECK(!any || limit.known);
	FUZZ_CHECK(!limit.known || limit.value == least);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const limits[][3] = {
		{ "memory", "memory.limit_in_bytes", "memory.max" },
		{ "pids", "pids.max", "pids.max" },
	};
	struct input input = { data, size };
	const char *const *limit = limits[input_byte(&input) % 2];
	char path[64];

	groups = fuzz_copy(input_until(&input, '\0'));
	rest = input;
	least = FIGURE_UNLIMITED;
	any = false;
	check_limit(fuzz_cgroup_limit(limit[0], limit[1], limit[2]));
	if (fuzz_cgroup_path("", path, sizeof(path)))
		FUZZ_CHECK(strlen(path) < sizeof(path) && strchr(path, '\n') == NULL);
	while (text_count > 0)
		free(texts[--text_count]);
	free(groups);
	return 0;
}
