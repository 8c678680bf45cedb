/* lines.c - which implementation of lines.h is used.  Called by the parser; cannot fail. */
#include "lines.h"

/* What glibc found at the start; the compiler's own looking, for an older glibc, takes 5,000 bytes. */
#if defined(__x86_64__) && __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#define CPU_HAS(feature) CPU_FEATURE_ACTIVE(feature)
#else
#define CPU_HAS(feature) CPU_HAS_##feature
#define CPU_HAS_AVX2 (__builtin_cpu_init(), __builtin_cpu_supports("avx2"))
#define CPU_HAS_BMI1 __builtin_cpu_supports("bmi")
#define CPU_HAS_BMI2 __builtin_cpu_supports("bmi2")
#endif

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
	if (CPU_HAS(AVX2) && CPU_HAS(BMI1) && CPU_HAS(BMI2))
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
