/* lines.c - which implementation of lines.h is used.  Called by the parser; cannot fail. */
#include "lines.h"

static void take_none(struct parse *parse, struct request *request, const struct parse_limits *limits,
		      const char *head, size_t len)
{
	(void)parse, (void)request, (void)limits, (void)head, (void)len;
}

const struct lines lines_none = { "none", take_none };

#ifdef __x86_64__
enum { IMPLEMENTATIONS = 3 };
#else
enum { IMPLEMENTATIONS = 1 };
#endif

static const struct lines *usable[IMPLEMENTATIONS + 1] = { &lines_none };
static const struct lines *used = &lines_none;

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
	used = usable[0];
}

const struct lines *const *lines_usable(void)
{
	return usable;
}

const struct lines *lines_used(void)
{
	return used;
}

void lines_use(const struct lines *lines)
{
	used = lines;
}

void lines_take(struct parse *parse, struct request *request, const struct parse_limits *limits,
		const char *head, size_t len)
{
	used->take(parse, request, limits, head, len);
}
