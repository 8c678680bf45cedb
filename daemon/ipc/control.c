/* control.c - what the daemon, droverctl and `drover -t` share of the control protocol. Fails by returning
 * false or NULL. */
#include "control.h"

#include "rights.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static const char system_path[] = "/run/drover/control.sock";

bool control_default_path(char path[CONTROL_PATH_BYTES])
{
	const char *runtime = getenv("RUNTIME_DIRECTORY"), *home = getenv("XDG_RUNTIME_DIR");
	int len;

	if (runtime != NULL && runtime[0] == '/')       /* several directories are separated by colons */
		len = snprintf(path, CONTROL_PATH_BYTES, "%.*s/control.sock", (int)strcspn(runtime, ":"),
			       runtime);
	else if (geteuid() == 0)
		len = snprintf(path, CONTROL_PATH_BYTES, "%s", system_path);
	else if (home != NULL && home[0] == '/')
		len = snprintf(path, CONTROL_PATH_BYTES, "%s/drover/control.sock", home);
	else
		return false;
	return len < CONTROL_PATH_BYTES;
}

bool control_find(const char *setting, char path[CONTROL_PATH_BYTES])
{
	if (strcmp(setting, "auto") != 0)
		return snprintf(path, CONTROL_PATH_BYTES, "%s", setting) < CONTROL_PATH_BYTES;
	if (getenv("RUNTIME_DIRECTORY") == NULL && access(system_path, F_OK) == 0) {
		strcpy(path, system_path);
		return true;
	}
	return control_default_path(path);
}

/* A full backlog is waited for, like an answer (unix(7) honours SO_SNDTIMEO in connect). */
int control_connect(const char *path, unsigned deadline_ms, struct err *err)
{
	int fd AUTO_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = { deadline_ms / 1000, deadline_ms % 1000 * 1000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path)) {
		errno = ENOENT;
		return err_set(err, "%s: longer than the path of a unix socket may be", path), -1;
	}
	strcpy(addr.sun_path, path);    /* its length was just checked */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
	    connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		errno = errno == EAGAIN ? ETIMEDOUT : errno;
		return err_sys(err, errno, "connect to %s", path), -1;
	}
	return fd_take(&fd);
}

/* 0: forever. False with errno when it is over. */
static bool wait_readable(int fd, uint64_t until_ns)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint64_t now_ns = clock_now_ns();
	int wait_ms = until_ns == 0 ? -1 : until_ns <= now_ns ? 0 : (int)((until_ns - now_ns) / CLOCK_MS + 1);
	int ready = poll(&poll_fd, 1, wait_ms);

	if (ready == 0)
		errno = ETIMEDOUT;
	return ready > 0 || (ready < 0 && errno == EINTR);
}

enum { MOST_DESCRIPTORS = 2048 };       /* as many as there may be workers */

static void keep(struct fd_array *fds, int fd)
{
	if (fds->count < MOST_DESCRIPTORS)
		fd_array_push(fds, fd); /* one for which there is no memory is missed later */
	else
		fd_close(&fd);
}

/* As recv(2), and what comes along goes to `fds` (NULL: the kernel throws it away). */
static ssize_t receive(int fd, char *bytes, size_t room, struct fd_array *fds)
{
	int came[RIGHTS_MOST], flags = 0;
	unsigned count = 0;
	ssize_t n;

	if (fds == NULL)
		return recv(fd, bytes, room, MSG_DONTWAIT);
	n = rights_receive(fd, bytes, room, came, &count, &flags);
	for (unsigned i = 0; i < count; i++)
		keep(fds, came[i]);
	return n;
}

/* Reads to the end of the connection: the answer is one line. NULL with errno. */
static char *read_answer(int fd, uint64_t until_ns, struct fd_array *fds)
{
	size_t len = 0, room = 64 * 1024;
	char *text = malloc(room + 1), *grown;
	ssize_t n = 1;

	while (text != NULL && n != 0 && wait_readable(fd, until_ns)) {
		n = receive(fd, text + len, room - len, fds);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			break;
		len += n > 0 ? (size_t)n : 0;
		if (len < room)
			continue;
		room *= 2;
		grown = room <= CONTROL_ANSWER_BYTES ? realloc(text, room + 1) : NULL;
		if (grown == NULL)
			break;
		text = grown;
	}
	if (text != NULL && n == 0 && len > 0) {
		text[len] = '\0';
		return text;
	}
	if (n == 0 || errno != ETIMEDOUT)
		errno = EPROTO;
	free(text);
	return NULL;
}

/* Where the answer's descriptors go, and until when it is waited for. */
struct patience {
	struct fd_array *fds;
	unsigned deadline_ms;
};

static json_t *converse(int fd, const char *path, struct str line, struct patience patience, struct err *err)
{
	unsigned deadline_ms = patience.deadline_ms;
	uint64_t until_ns = deadline_ms > 0 ? clock_now_ns() + deadline_ms * CLOCK_MS : 0;
	char *text = NULL;
	json_t *answer;

	/* in one piece: whoever has read a line may answer and close at once */
	if (send(fd, line.at, line.len, MSG_NOSIGNAL) >= 0)
		text = read_answer(fd, until_ns, patience.fds);
	else if (errno == EPIPE || errno == ECONNRESET)
		errno = EPROTO;
	if (text == NULL && errno == ETIMEDOUT)
		return err_set(err, "drover at %s did not answer within %u s", path, deadline_ms / 1000),
		       NULL;
	if (text == NULL)
		return err_set(err,
			       "drover at %s closed the connection without an answer (is it stopping, did an"
			       " upgrade just fail, or are you another user?)",
			       path),
		       NULL;
	answer = json_loads(text, 0, NULL);
	free(text);
	if (answer == NULL) {
		errno = EPROTO;
		err_set(err, "the answer of drover at %s is no JSON", path);
	}
	return answer;
}

json_t *control_ask(const char *path, json_t *request, unsigned deadline_ms, struct err *err)
{
	return control_ask_with(path, request, deadline_ms, NULL, err);
}

json_t *control_ask_with(const char *path, json_t *request, unsigned deadline_ms, struct fd_array *fds,
			 struct err *err)
{
	char *line = request != NULL ? json_dumps(request, JSON_COMPACT) : NULL;
	json_t *answer = NULL;
	int fd AUTO_CLOSE = -1;
	size_t len;

	json_decref(request);
	if (line == NULL) {
		errno = ENOMEM;
		return err_sys(err, ENOMEM, "make a request"), NULL;
	}
	len = strlen(line);
	line[len] = '\n';               /* in place of the terminator: it is sent by length */
	fd = control_connect(path, deadline_ms, err);
	if (fd >= 0)
		answer = converse(fd, path, (struct str){ line, len + 1 },
				  (struct patience){ fds, deadline_ms }, err);
	free(line);
	return answer;
}
