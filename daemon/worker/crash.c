/* crash.c - the last steps of a worker that crashes.
 *
 * crash_prepare is called by main.c, the rest by worker.c. What runs in the handler allocates nothing and
 * asks nobody: the heap may be broken, the stack used up, a lock held by whoever crashed. The steps are
 * taken in order, each at most once: a crash in one of them (or a time that is up) begins the handler anew,
 * with the next step. The last one is what would have happened without a handler, so that the exit status
 * and the core dump are true. */
#include "crash.h"

#include "base/must.h"
#include "base/put.h"

#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	STACK_BYTES = 64 * 1024,        /* a crash may be that there is no more of the other one */
	FRAMES = 48,                    /* that are looked at: the handler's own are among them */
	MODULES = 24,
	NAME_BYTES = 32,
	SECONDS = 2,                    /* for all steps: then the next one */
};

static const int caught[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM };

/* A piece of the program. */
struct module {
	uintptr_t base, end;
	char name[NAME_BYTES];
};

static struct {
	struct epitaph *epitaph;
	pthread_t loop;
	atomic_uint step;               /* the next one */
	int number;                     /* the first signal */
	siginfo_t info;
	uintptr_t pc;                   /* 0: not known */
	void (*will)(void *of);
	void *of;
	struct module modules[MODULES];
	unsigned module_count;
	_Alignas(max_align_t) char stack[STACK_BYTES];
} crash;

/* ---- the stack as text ------------------------------------------------------------------------------- */

static const struct module *module_of(uintptr_t address)
{
	for (unsigned i = 0; i < crash.module_count; i++)
		if (address >= crash.modules[i].base && address < crash.modules[i].end)
			return &crash.modules[i];
	return NULL;
}

static char *put_hex(char *out, uintptr_t number)
{
	char digits[16];
	size_t at = sizeof(digits);

	do
		digits[--at] = "0123456789abcdef"[number % 16];
	while ((number /= 16) > 0);
	out = put_text(out, "0x");
	return put(out, (struct str){ digits + at, sizeof(digits) - at });
}

/* "drover+0x1a2b": what addr2line(1) wants, wherever the program was loaded. */
static void put_frame(uintptr_t address)
{
	struct epitaph *epitaph = crash.epitaph;
	const struct module *module = module_of(address);
	char text[NAME_BYTES + 32], *out = text;
	size_t len, at = epitaph->stack_bytes;

	if (at > 0)
		out = put_text(out, " ");
	if (module != NULL)
		out = put_text(put_text(out, module->name), "+");
	out = put_hex(out, module != NULL ? address - module->base : address);
	len = (size_t)(out - text);
	if (at > sizeof(epitaph->stack) || len > sizeof(epitaph->stack) - at)
		return;
	memcpy(epitaph->stack + at, text, len);
	epitaph->stack_bytes = (uint32_t)(at + len);
}

/* Where it crashed, and who called that: behind the handler's own frames, where they can be told from it. */
static void walk(void)
{
	void *frames[FRAMES];
	int count, at = 0;

	if (crash.pc != 0)
		put_frame(crash.pc);
	count = backtrace(frames, FRAMES);
	for (int i = 0; i < count && crash.pc != 0 && at == 0; i++)
		if ((uintptr_t)frames[i] == crash.pc)
			at = i + 1;
	/* a return address may belong to the next line already, even to the next function */
	for (int i = at; i < count; i++)
		put_frame((uintptr_t)frames[i] - 1);
}

/* ---- the steps --------------------------------------------------------------------------------------- */

static bool in_loop(void)
{
	return pthread_equal(pthread_self(), crash.loop);
}

static void note(void)
{
	struct epitaph *epitaph = crash.epitaph;
	bool sent = crash.info.si_code <= 0;

	epitaph->code = crash.info.si_code;
	epitaph->address = sent ? (uint64_t)crash.info.si_pid : (uint64_t)(uintptr_t)crash.info.si_addr;
	epitaph->elsewhere = !in_loop();
	epitaph->stack_bytes = 0;
	epitaph_order();
	epitaph->signal = (uint32_t)crash.number;
}

/* What it deals with is the loop's, which goes on meanwhile: the handler's next step is taken there. */
static void go_to_loop(void)
{
	if (in_loop())
		return;
	pthread_kill(crash.loop, crash.number);
	for (;;)
		pause();
}

static void write_will(void)
{
	if (crash.will != NULL)
		crash.will(crash.of);
}

static void (*const steps[])(void) = { note, walk, go_to_loop, write_will };

enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

static void die(void)
{
	signal(crash.number, SIG_DFL);
	raise(crash.number);
	_exit(128 + crash.number);      /* it is blocked: cannot be */
}

static uintptr_t pc_of(const void *context)
{
	const ucontext_t *machine = context;

#if defined(__x86_64__)
	return (uintptr_t)machine->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (uintptr_t)machine->uc_mcontext.pc;
#else
	(void)machine;
	return 0;
#endif
}

static void on_crash(int number, siginfo_t *info, void *context)
{
	unsigned step;

	if (atomic_load(&crash.step) == 0) {
		crash.number = number;
		crash.info = *info;
		crash.pc = pc_of(context);
		alarm(SECONDS);
	}
	while ((step = atomic_fetch_add(&crash.step, 1)) < STEPS)
		steps[step]();
	die();
}

/* ---- before it --------------------------------------------------------------------------------------- */

static int add_module(struct dl_phdr_info *info, size_t size, void *unused)
{
	struct module *module = &crash.modules[crash.module_count];
	const char *name = info->dlpi_name, *slash = strrchr(name, '/');

	(void)size, (void)unused;
	if (crash.module_count == MODULES)
		return 1;
	module->base = info->dlpi_addr;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;

		if (info->dlpi_phdr[i].p_type == PT_LOAD && end > module->end)
			module->end = end;
	}
	if (*name == '\0')              /* the program itself */
		name = "drover";
	else if (slash != NULL)
		name = slash + 1;
	strncpy(module->name, name, NAME_BYTES - 1);
	crash.module_count++;
	return 0;
}

void crash_prepare(void)
{
	void *frame;

	backtrace(&frame, 1);           /* loads libgcc, which is a module then */
	crash.module_count = 0;
	dl_iterate_phdr(add_module, NULL);
}

void crash_will(void (*will)(void *of), void *of)
{
	crash.will = NULL;
	epitaph_order();
	crash.of = of;
	epitaph_order();
	crash.will = will;
}

/* SA_NODEFER: a crash in a step is not the end. */
bool crash_catch(struct epitaph *epitaph, struct err *err)
{
	stack_t stack = { .ss_sp = crash.stack, .ss_size = sizeof(crash.stack) };
	struct sigaction action = { .sa_sigaction = on_crash,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
	bool good = true;

	crash.epitaph = epitaph;
	crash.loop = pthread_self();
	atomic_store(&crash.step, 0);
	must_note(epitaph->broken, sizeof(epitaph->broken));
	sigemptyset(&action.sa_mask);
	if (sigaltstack(&stack, NULL) < 0)
		good = err_sys(err, errno, "a stack for the handler of crashes");
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		if (sigaction(caught[i], &action, NULL) < 0)
			good = err_sys(err, errno, "the handler of crashes");
	return good;
}
