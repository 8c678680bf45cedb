/* trouble.c - a service that does to its worker what the query asks for, and then answers with the worker's
 * pid:
 *
 *     ?stall=MS           blocks the loop, asleep
 *     ?burn=MS            blocks the loop, busy
 *     ?crash=HOW          dies: segv, abort, bus, fpe, ill, kill, stack (it overflows), exit (with status 0)
 *     ?leak=BYTES         keeps memory, and has written to it
 *     ?descriptors=COUNT  keeps open files
 *     nothing             only answers
 *
 * Called through the struct, by the test build alone (tests/aids/registry.c).  What it cannot do is answered
 * with 500, a query that it does not understand with 400. */
#include "aids/trouble.h"

#include "aids/answer.h"
#include "base/clock.h"
#include "http/exchange.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FRAME_BYTES = 4096, LEAK_MAX_BYTES = 1 << 30, BLOCK_MAX_MS = 600000 };

static const struct setting rows[] = { { 0 } };

const struct schema trouble_schema = {
	.name = "trouble",
	.settings = rows,
	.count = 0,
	.bytes = 0,
	.help = "stalls, burns, crashes or leaks on request: for tests",
};

/* ---- what blocks ---- */

/* A signal does not end it: who stops the worker and lets it go on has not helped. */
static bool stall(uint64_t ms)
{
	uint64_t end_ns = clock_now_ns() + ms * CLOCK_MS;

	if (ms > BLOCK_MAX_MS)
		return false;
	for (uint64_t now_ns = clock_now_ns(); now_ns < end_ns; now_ns = clock_now_ns())
		poll(NULL, 0, (int)((end_ns - now_ns + CLOCK_MS - 1) / CLOCK_MS));
	return true;
}

static bool burn(uint64_t ms)
{
	uint64_t end_ns = clock_now_ns() + ms * CLOCK_MS;

	if (ms > BLOCK_MAX_MS)
		return false;
	while (clock_now_ns() < end_ns)
		;
	return true;
}

/* ---- what leaks: reachable, so that no sanitizer speaks of it ---- */

struct leaked {
	struct leaked *next;
	char bytes[];
};

static struct leaked *leaked;

static bool leak(uint64_t bytes)
{
	struct leaked *more = bytes <= LEAK_MAX_BYTES ? malloc(sizeof(*more) + bytes) : NULL;

	if (more == NULL)
		return false;
	memset(more->bytes, 1, bytes);
	more->next = leaked;
	leaked = more;
	return true;
}

static bool leak_descriptors(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		if (eventfd(0, EFD_CLOEXEC) < 0)
			return false;
	return true;
}

/* ---- what kills: by the fault itself where there is one, as it would come ---- */

#define UNCHECKED __attribute__((no_sanitize("address", "undefined"), noinline))

static void crash_segv(void)
{
	volatile char *page = mmap(NULL, FRAME_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*page = 0;
}

/* Of a file that is too short for it; mapped at the start, for a worker may make no file. */
static volatile char *page_of_nothing;

__attribute__((constructor)) static void map_nothing(void)
{
	int fd = memfd_create("trouble", MFD_CLOEXEC);

	page_of_nothing = mmap(NULL, FRAME_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
}

static void crash_bus(void)
{
	*page_of_nothing = 0;
}

UNCHECKED static void crash_fpe(void)
{
	volatile int zero = 0, one = 1;

	one = one / zero; /* NOLINT(clang-analyzer-core.DivideZero): that is what it is for */
	raise(SIGFPE);    /* where a division by zero has a result */
}

static void crash_ill(void)
{
	raise(SIGILL);
}

static void crash_kill(void)
{
	raise(SIGKILL);
}

UNCHECKED static unsigned deeper(unsigned depth) /* NOLINT(misc-no-recursion): that is what it is for */
{
	volatile char frame[FRAME_BYTES];

	frame[0] = (char)depth;
	return depth == 0 ? 0 : deeper(depth - 1) + (unsigned)frame[0];
}

static void crash_stack(void)
{
	deeper(UINT32_MAX);
}

static void crash_exit(void)
{
	_exit(0);
}

static bool crash(struct str how)
{
	static const struct {
		const char *name;
		void (*die)(void);
	} ways[] = {
		{ "segv", crash_segv },   { "abort", abort },     { "bus", crash_bus },
		{ "fpe", crash_fpe },     { "ill", crash_ill },   { "kill", crash_kill },
		{ "stack", crash_stack }, { "exit", crash_exit },
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (str_equal(how, str_of(ways[i].name)))
			ways[i].die();
	return false;   /* unknown, or it survived */
}

/* ---- the service ---- */

static bool do_number(bool (*act)(uint64_t), struct str text, unsigned *status)
{
	uint64_t number;

	*status = str_to_u64(text, &number) ? 500 : 400;
	return *status != 400 && act(number);
}

/* False: it was not done, and `*status` says why. */
static bool act(struct str query, unsigned *status)
{
	static const struct {
		const char *prefix;
		bool (*act)(uint64_t);
	} acts[] = {
		{ "stall=", stall },
		{ "burn=", burn },
		{ "leak=", leak },
		{ "descriptors=", leak_descriptors },
	};

	for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		struct str prefix = str_of(acts[i].prefix);

		if (str_has_prefix(query, prefix)) {
			str_take(&query, prefix.len);
			return do_number(acts[i].act, query, status);
		}
	}
	*status = 400;
	if (!str_has_prefix(query, str_of("crash=")))
		return query.len == 0;
	str_take(&query, strlen("crash="));
	return crash(query);
}

static enum answer trouble_start(struct exchange *exchange, const void *settings)
{
	unsigned status = 0;

	(void)settings;
	if (!act(span_str(exchange->request.query, exchange->head), &status)) {
		exchange_error(exchange, status);
		return ANSWERED;
	}
	return answer_text(exchange, arena_printf(&exchange->arena, "%d\n", (int)getpid()));
}

const struct service service_trouble = { .name = "trouble",
					 .settings = &trouble_schema,
					 .start = trouble_start };
