/* lines.c - which implementation of lines.h is used.  Called by the parser; cannot fail. */
#include "lines.h"

static bool take_none(struct parse *parse, struct request *request, const struct parse_limits *limits,
		      const char *head, size_t len)
{
	(void)parse, (void)request, (void)limits, (void)head, (void)len;
	return false;
}

const struct lines lines_none = { "none", take_none };

#ifdef __x86_64__
enum { IMPLEMENTATIONS = 3 };
#else
enum { IMPLEMENTATIONS = 1 };
#endif

static const struct lines *usable[IMPLEMENTATIONS + 1] = { &lines_none };
const struct lines *lines_used = &lines_none;

/* Before main: every process of the daemon parses alike from its first byte on. */
static void __attribute__((constructor)) choose(void)
{
	unsigned count = 0;

#ifdef __x86_64__
	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"))
		usable[count++] = &lines_avx2;
	usable[count++] = &lines_sse2;
#endif
	usable[count] = &lines_none;
	lines_used = usable[0];
}

const struct lines *const *lines_usable(void)
{
	return usable;
}
