/* import_fuzz.c - any bytes as an nginx configuration: what comes out is one that the checker takes, or it is
 * said what is wrong where.
 *
 * Input: the text; behind NULs, the texts of a.conf, b.conf ... that it may include. */
#include "fuzz.h"

#include "config/read.h"
#include "ctl/import.h"
#include "service/registry.h"

#include <string.h>
#include <unistd.h>

enum { MOST_FILES = 3 };

static void write_files(struct input input)
{
	char name[] = "a.conf";

	fuzz_write("nginx.conf", input_until(&input, '\0'));
	for (unsigned i = 0; i < MOST_FILES; i++, name[0]++) {
		unlink(name);
		if (input.len > 0)
			fuzz_write(name, input_until(&input, '\0'));
	}
}

/* Whether files are there is not the text's fault, and comes last. */
static bool is_of_the_system(const char *line)
{
	return strstr(line, "No such file or directory") != NULL || strstr(line, "Not a directory") != NULL ||
	       strstr(line, "neither a directory nor a file") != NULL ||
	       strstr(line, "File name too long") != NULL;
}

static void check_taken(const char *text)
{
	struct generation *generation = generation_new(1, service_schemas);
	struct problems problems = { 0 };
	bool good = read_config(&(struct config_input){ .path = "drover.conf", .text = text }, generation,
				&problems);

	for (char *line = problems.text; !good && line != NULL && *line != '\0';
	     line = strchr(line, '\n') + 1) {
		char *copy = strndup(line, strcspn(line, "\n"));

		if (!is_of_the_system(copy))
			fprintf(stderr, "%s\n%s\n", text, copy);
		FUZZ_CHECK(is_of_the_system(copy));
		free(copy);
	}
	generation_unpin(generation);
	problems_release(&problems);
}

static void check_error(const struct err *err)
{
	FUZZ_CHECK(err->text[0] != '\0' && strchr(err->text, ':') != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct import import = { .prefix = "/usr/share/nginx" };
	struct err err = { "" };
	char *text = NULL;

	fuzz_directory();
	if (size > 65536 || fuzz_leads_out((struct str){ (const char *)data, size }, "include", ';'))
		return 0;
	write_files((struct input){ data, size });
	if (import_read(&import, "nginx.conf", &err))
		text = import_translate(&import);
	else
		check_error(&err);
	if (text != NULL)
		check_taken(text);
	free(text);
	import_release(&import);
	return 0;
}
