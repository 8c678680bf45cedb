/* answer_fuzz.c - what droverctl makes of an answer, and of the file that comes with it: any bytes end in one
 * of its exit statuses, and what the file has in it drives no terminal.
 *
 * Input: which command and whether --json, then what comes from the socket; for the commands that get a file,
 * up to a NUL, and behind that the file. */
#include "fuzz.h"

/* The tool as it is; the test calls what would be its main. */
#define main droverctl_main
#include "ctl/droverctl.c"
#undef main

#include "ctl/top.h"
#include "ipc/rights.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The last one is shown without being asked for: two looks at a daemon take a while. */
enum { STATUS, RELOAD, GENERATIONS, CONNECTIONS, SLOW, TOP, COMMANDS };

static const char *const names[COMMANDS] = { "status", "reload", "generations", "connections", "slow", "top" };

/* What is behind the mode's byte when nothing is, of commands that get a file. */
static const char listed[] = "{\"ok\":true,\"now_ns\":9,\"workers\":[{\"slot\":0,\"pid\":1,\"listed\":true}]}";

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listener = -1;
static struct str answer, file;

static void set_up(void)
{
	if (listener >= 0)
		return;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", fuzz_directory());
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	FUZZ_CHECK(listen(listener, 8) == 0);
}

static int file_made(void)
{
	int fd = memfd_create("answer", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && write(fd, file.at, file.len) == (ssize_t)file.len);
	return fd;
}

/* The daemon: takes a line, says the input and ends. */
static void *say_answer(void *unused)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), with = file.at != NULL ? file_made() : -1;
	char line[1024];
	ssize_t sent;

	(void)unused;
	FUZZ_CHECK(fd >= 0 && recv(fd, line, sizeof(line), 0) > 0);
	for (size_t at = 0; at < answer.len; at += (size_t)sent) {
		sent = rights_send(fd, answer.at + at, answer.len - at, &with, at == 0 && with >= 0);
		if (sent <= 0)
			break;          /* it has heard enough */
	}
	close(fd);
	if (with >= 0)
		close(with);
	return NULL;
}

/* What the tool says, besides what it complains of. */
static char *said;
static size_t said_bytes;

static int run_with(const char *command, bool as_json)
{
	char *arguments[] = { "droverctl", "--socket", address.sun_path, (char *)(uintptr_t)command,
			      as_json ? "--json" : NULL, NULL };
	FILE *out = stdout, *errors = stderr, *memory = open_memstream(&said, &said_bytes);
	pthread_t daemon;
	int status;

	FUZZ_CHECK(memory != NULL && pthread_create(&daemon, NULL, say_answer, NULL) == 0);
	stdout = memory;
	stderr = fopen("/dev/null", "w");
	optind = 0;                     /* getopt(3): from the beginning */
	status = droverctl_main(as_json ? 5 : 4, arguments);
	fclose(stderr);
	stdout = out;
	stderr = errors;
	fclose(memory);
	FUZZ_CHECK(pthread_join(daemon, NULL) == 0);
	return status;
}

static void check_is_plain(void)
{
	for (size_t i = 0; i < said_bytes; i++)
		FUZZ_CHECK(said[i] == '\n' || (said[i] >= ' ' && said[i] <= '~'));
}

static void check_status(int status, const json_t *object, unsigned command)
{
	if (json_is_true(json_object_get(object, "ok")))
		FUZZ_CHECK(status == STATUS_GOOD || (command == SLOW && status == STATUS_REFUSED));
	else if (object != NULL)
		FUZZ_CHECK(status == STATUS_REFUSED);
	else
		FUZZ_CHECK(status == STATUS_UNREACHABLE);
}

/* Two looks at the same daemon, as `top` has them. */
static void show_top(json_t *object, bool as_json, unsigned columns)
{
	const struct top_screen screen = { .columns = columns, .rows = columns / 2, .sort = columns };
	FILE *memory = open_memstream(&said, &said_bytes);
	struct top_look before, now;

	FUZZ_CHECK(top_look(&before, json_incref(object)) && top_look(&now, json_incref(object)));
	top_between(&now, &before);
	if (as_json)
		json_decref(top_json(&now, columns));
	else
		top_table(memory, &now, columns, &screen);
	fclose(memory);
	check_is_plain();
	top_forget(&before);
	top_forget(&now);
}

static struct str behind_nul(void)
{
	const char *nul = answer.len > 0 ? memchr(answer.at, '\0', answer.len) : NULL;
	struct str rest = { NULL, 0 };

	if (nul == NULL)
		return rest;
	rest = (struct str){ nul + 1, (size_t)(answer.at + answer.len - nul - 1) };
	answer.len -= rest.len + 1;
	if (answer.len == 0)
		answer = (struct str){ listed, sizeof(listed) - 1 };
	return rest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint8_t mode = input_byte(&input);
	unsigned command = mode / 2 % COMMANDS;
	json_t *object;
	char *text;

	set_up();
	answer = input_take(&input, input.len);
	file = command == CONNECTIONS || command == SLOW ? behind_nul() : (struct str){ NULL, 0 };
	text = fuzz_copy(answer);       /* up to a NUL, as the tool takes it */
	object = json_loads(text, 0, NULL);
	free(text);
	if (command == TOP) {
		show_top(object, mode % 2 != 0, mode);
	} else {
		check_status(run_with(names[command], mode % 2 != 0), object, command);
		if ((command == CONNECTIONS || command == SLOW) && mode % 2 == 0)
			check_is_plain();
	}
	json_decref(object);
	free(said);
	said = NULL;
	said_bytes = 0;
	return 0;
}
