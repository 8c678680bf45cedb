/* What the fuzz targets share. A target NAME_fuzz.c defines fuzz_one and nothing else that is global; it is
 * built twice: by clang with libFuzzer (`make fuzz`), and by the ordinary compiler with replay.c, which runs
 * the corpus (`make check`).
 *
 * A target asserts with FUZZ_CHECK, and leaves nothing behind: every input must give the same result whatever
 * ran before it. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/loop.h"
#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The target: runs one input; it has a buffer of just `size` bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void fuzz_failed(const char *file, int line, const char *what) __attribute__((noreturn));

#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_failed(__FILE__, __LINE__, #condition))

/* What is left of an input, taken from its beginning. */
struct input {
	const uint8_t *at;
	size_t len;
};

/* The next byte; 0 at the end. */
uint8_t input_byte(struct input *input);

/* The next `len` bytes, or as many as there are. */
struct str input_take(struct input *input, size_t len);

/* Everything up to the next byte `end`, which is taken too. */
struct str input_until(struct input *input, char end);

/* Does something lead out of the directory: a slash between `word`, such as "include", and the next `end`?
 * What is elsewhere on the machine is nobody's input. */
bool fuzz_leads_out(struct str text, const char *word, char end);

/* The file `name` has that text. */
void fuzz_write(const char *name, struct str text);

/* A malloc'ed, terminated copy in a buffer of just that size, up to the first NUL. */
char *fuzz_copy(struct str text);

/* How the bytes of an input are cut: the first byte says how many sizes follow (at most 7), then the sizes,
 * which are used in turn; none: byte by byte. A long input has larger pieces: more than about 128 would only
 * cost time. */
struct cuts {
	unsigned count, next;
	size_t least;
	uint8_t sizes[7];
};

struct cuts cuts_of(struct input *input);

/* The length of the next piece of `left` bytes; at least 1. */
size_t cuts_next(struct cuts *cuts, size_t left);

/* One turn of a loop that does not wait. */
void fuzz_turn(struct loop *loop);

/* How many descriptors are open. */
unsigned fuzz_open_count(void);

/* From now on log lines go nowhere. */
void fuzz_no_log(void);

/* A directory below /tmp that is removed at the end of the process, which it becomes the working directory
 * of. */
const char *fuzz_directory(void);

#endif
