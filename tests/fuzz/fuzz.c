/* fuzz.c - see the header.  Called by the targets; fails by ending the process. */
#include "fuzz.h"

#include "base/fd.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <sys/stat.h>

void fuzz_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "\n%s:%d: not true: %s\n", file, line, what);
	abort();
}

/* ---- the fakes of the unit tests assert by check's macros, whose runner is not here ---- */

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): check's names */

void _mark_point(const char *file, int line);
void _ck_assert_failed(const char *file, int line, const char *expression, const char *text, ...)
	__attribute__((noreturn, format(printf, 4, 5)));

void _mark_point(const char *file, int line)
{
	(void)file, (void)line;
}

void _ck_assert_failed(const char *file, int line, const char *expression, const char *text, ...)
{
	va_list args;

	va_start(args, text);
	if (text != NULL)
		vfprintf(stderr, text, args);
	va_end(args);
	fuzz_failed(file, line, expression);
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* ---- input ---- */

uint8_t input_byte(struct input *input)
{
	if (input->len == 0)
		return 0;
	input->len--;
	return *input->at++;
}

struct str input_take(struct input *input, size_t len)
{
	struct str taken = { (const char *)input->at, len < input->len ? len : input->len };

	input->at += taken.len;
	input->len -= taken.len;
	return taken;
}

struct str input_until(struct input *input, char end)
{
	const uint8_t *found = input->len > 0 ? memchr(input->at, end, input->len) : NULL;
	struct str taken = input_take(input, found != NULL ? (size_t)(found - input->at) : input->len);

	input_byte(input);
	return taken;
}

char *fuzz_copy(struct str text)
{
	size_t len = text.len > 0 ? strnlen(text.at, text.len) : 0;
	char *copy = malloc(len + 1);

	if (len > 0)
		memcpy(copy, text.at, len);
	copy[len] = '\0';
	return copy;
}

struct cuts cuts_of(struct input *input)
{
	struct cuts cuts = { .count = input_byte(input) % 8 };

	for (unsigned i = 0; i < cuts.count; i++)
		cuts.sizes[i] = input_byte(input);
	cuts.least = input->len / 128;
	return cuts;
}

size_t cuts_next(struct cuts *cuts, size_t left)
{
	size_t size = cuts->count > 0 ? cuts->sizes[cuts->next++ % cuts->count] + 1U : 1;

	size += cuts->least;
	return size < left ? size : left;
}

/* ---- surroundings ---- */

struct stopper {
	struct ready ready;
	struct loop *loop;
};

/* Something is ready, so epoll_wait does not wait; and that something ends the run. */
static void stop_loop(struct ready *ready)
{
	loop_stop(LIST_ENTRY(ready, struct stopper, ready)->loop);
}

void fuzz_turn(struct loop *loop)
{
	struct stopper stopper = { .ready.serve = stop_loop, .loop = loop };
	struct err err;

	loop->stopped = false;
	loop_ready(loop, &stopper.ready);
	FUZZ_CHECK(loop_run(loop, &err));
	loop_unready(&stopper.ready);
}

unsigned fuzz_open_count(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	FUZZ_CHECK(directory != NULL);
	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count;
}

/* The log owns what it is given: a duplicate, which goes with the next one. */
static void log_nowhere(int fd)
{
	struct log_setup setup = { .least = LEVEL_ERROR, .target = { LOG_STREAM, -1, NULL } };

	setup.target.fd = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	log_open(NULL, &setup);
}

void fuzz_no_log(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	log_nowhere(fd);
}

static char directory[64];

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status, (void)type, (void)walk;
	return remove(path);
}

static void remove_directory(void)
{
	nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_directory(void)
{
	if (directory[0] != '\0')
		return directory;
	strcpy(directory, "/tmp/drover-fuzz-XXXXXX");
	FUZZ_CHECK(mkdtemp(directory) != NULL);
	FUZZ_CHECK(chdir(directory) == 0);
	atexit(remove_directory);
	return directory;
}

bool fuzz_leads_out(struct str text, const char *word, char end)
{
	const char *at = text.at, *behind = text.at + text.len;
	size_t len = strlen(word);

	while (text.len > 0 && (at = memmem(at, (size_t)(behind - at), word, len)) != NULL) {
		const char *last = memchr(at, end, (size_t)(behind - at));

		at += len;
		if (memchr(at, '/', (size_t)((last != NULL ? last : behind) - at)) != NULL)
			return true;
	}
	return false;
}

void fuzz_write(const char *name, struct str text)
{
	FILE *file = fopen(name, "w");

	FUZZ_CHECK(file != NULL && fwrite(text.at, 1, text.len, file) == text.len);
	fclose(file);
}
