/* answer_fuzz.c - what droverctl makes of an answer: any bytes end in one of its exit statuses.
 *
 * Input: which command and whether --json, then what comes from the socket. */
#include "fuzz.h"

/* The tool as it is; the test calls what would be its main. */
#define main droverctl_main
#include "ctl/droverctl.c"
#undef main

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *const names[] = { "status", "reload" };

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listener = -1;
static struct str answer;

static void set_up(void)
{
	if (listener >= 0)
		return;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", fuzz_directory());
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FUZZ_CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	FUZZ_CHECK(listen(listener, 8) == 0);
}

/* The daemon: takes a line, says the input and ends. */
static void *say_answer(void *unused)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char line[1024];
	ssize_t sent;

	(void)unused;
	FUZZ_CHECK(fd >= 0 && recv(fd, line, sizeof(line), 0) > 0);
	for (size_t at = 0; at < answer.len; at += (size_t)sent) {
		sent = send(fd, answer.at + at, answer.len - at, MSG_NOSIGNAL);
		if (sent <= 0)
			break;          /* it has heard enough */
	}
	close(fd);
	return NULL;
}

/* What the tool says is nobody's business here. */
static FILE *nowhere(void)
{
	static FILE *file;

	if (file == NULL)
		file = fopen("/dev/null", "w");
	return file;
}

static int run_quietly(const char *command, bool as_json)
{
	char *arguments[] = { "droverctl", "--socket", address.sun_path, (char *)(uintptr_t)command,
			      as_json ? "--json" : NULL, NULL };
	FILE *out = stdout, *errors = stderr;
	pthread_t daemon;
	int status;

	FUZZ_CHECK(pthread_create(&daemon, NULL, say_answer, NULL) == 0);
	stdout = stderr = nowhere();
	optind = 0;                     /* getopt(3): from the beginning */
	status = droverctl_main(as_json ? 5 : 4, arguments);
	stdout = out;
	stderr = errors;
	FUZZ_CHECK(pthread_join(daemon, NULL) == 0);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	uint8_t mode = input_byte(&input);
	json_t *object;
	char *text;
	int status;

	set_up();
	answer = input_take(&input, input.len);
	text = fuzz_copy(answer);       /* up to a NUL, as the tool takes it */
	object = json_loads(text, 0, NULL);
	free(text);
	status = run_quietly(names[mode / 2 % 2], mode % 2 != 0);
	if (json_is_true(json_object_get(object, "ok")))
		FUZZ_CHECK(status == STATUS_GOOD);
	else if (object != NULL)
		FUZZ_CHECK(status == STATUS_REFUSED);
	else
		FUZZ_CHECK(status == STATUS_UNREACHABLE);
	json_decref(object);
	return 0;
}
