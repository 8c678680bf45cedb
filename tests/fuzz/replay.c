/* replay.c - runs a target over its corpus: `NAME_fuzz DIRECTORY`.  In place of libFuzzer's main.
 *
 * The runner reads the last line. An input that fails ends the process, and its name is the last thing that
 * was said. One that takes more than two seconds of processor time counts as failed. */
#include "fuzz.h"

#include "base/clock.h"
#include "base/fd.h"

#include <dirent.h>
#include <fcntl.h>

enum { MOST_BYTES = 1024 * 1024, MOST_SECONDS = 2 };

static uint64_t processor_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * CLOCK_S + (uint64_t)now.tv_nsec;
}

static bool run_one(int directory, const char *name)
{
	int fd AUTO_CLOSE = openat(directory, name, O_RDONLY | O_CLOEXEC);
	uint64_t began = processor_ns(), took;
	uint8_t *exact;
	struct err err;
	size_t len;
	char *text;

	printf("%s ... ", name);
	fflush(stdout);
	text = fd_read_all(fd, MOST_BYTES, &len, &err);
	FUZZ_CHECK(text != NULL);
	fd_close(&fd);
	exact = malloc(len > 0 ? len : 1);      /* a byte too far is one that a sanitizer sees */
	memcpy(exact, text, len);
	free(text);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	took = processor_ns() - began;
	if (took <= MOST_SECONDS * CLOCK_S) {
		puts("ok");
		return true;
	}
	printf("took %llu ms of processor time\n", (unsigned long long)(took / CLOCK_MS));
	return false;
}

int main(int argc, char **argv)
{
	struct dirent **names = NULL;
	int directory, count, passed = 0, failed = 0;

	directory = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (directory < 0 || (count = scandirat(directory, ".", &names, NULL, alphasort)) < 0)
		return fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]), 2;
	for (int i = 0; i < count; i++) {
		if (names[i]->d_name[0] != '.')
			*(run_one(directory, names[i]->d_name) ? &passed : &failed) += 1;
		free(names[i]);
	}
	free(names);
	close(directory);
	printf("%d passed, %d failed, 0 skipped\n", passed, failed);
	return failed > 0 || passed == 0;
}
