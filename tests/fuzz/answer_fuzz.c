/* answer_fuzz.c - what droverctl makes of an answer: any bytes end in one of its exit statuses.
 *
 * Input: which command and whether --json, then what comes from the socket. */
#include "fuzz.h"

#include "base/fd.h"

/* The tool as it is, but for where it connects to. */
#define main droverctl_main
#define control_connect fuzz_connect
#include "ctl/droverctl.c"
#undef main
#undef control_connect

static struct str answer;
static int other_end = -1;              /* open for as long as the tool has something to send */

/* A socket that says the input and ends. */
int fuzz_connect(const char *path, struct err *err)
{
	int ends[2];

	(void)path, (void)err;
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	FUZZ_CHECK(fd_write_all(ends[1], answer.at, answer.len));
	shutdown(ends[1], SHUT_WR);
	other_end = ends[1];
	return ends[0];
}

/* What the tool says is nobody's business here. */
static FILE *nowhere(void)
{
	static FILE *file;

	if (file == NULL)
		file = fopen("/dev/null", "w");
	return file;
}

static int run_quietly(const struct options *options, const struct command *command)
{
	FILE *out = stdout, *errors = stderr;
	int status;

	stdout = stderr = nowhere();
	status = run(options, command);
	stdout = out;
	stderr = errors;
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) - 1 };
	struct input input = { data, size };
	uint8_t mode = input_byte(&input);
	struct options options = { .json = mode % 2 != 0 };
	char *text;
	json_t *object;
	int status;

	answer = input_take(&input, input.len);
	text = fuzz_copy(answer);       /* up to a NUL, as the tool takes it */
	object = json_loads(text, 0, NULL);
	free(text);
	status = run_quietly(&options, &commands[mode / 2 % COMMANDS]);
	fd_close(&other_end);
	if (json_is_true(json_object_get(object, "ok")))
		FUZZ_CHECK(status == STATUS_GOOD);
	else if (object != NULL)
		FUZZ_CHECK(status == STATUS_REFUSED);
	else
		FUZZ_CHECK(status == STATUS_UNREACHABLE);
	json_decref(object);
	return 0;
}
