/* selftest_instance.c - a daemon of selftest's own: its directory, its
 * configuration, its start and its end.
 *
 * Called by selftest.c and selftest_scenario.c.  Fails by returning false with
 * `err`.  What was started ends with us, whatever ends us: the daemon asks the
 * kernel for SIGTERM when its parent dies. */
#include "selftest.h"

#include "base/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
	START_S = 20,
	STOP_S = 20,
	KILLED_S = 5,
	LOOK_MS = 10, /* between two questions whether it serves */
	LOG_LINES = 12,
	LOG_BYTES = 1024 * 1024,
	TRIES = 3, /* a port that was free may be taken when the daemon comes to it */
};

const struct selftest_content selftest_contents[SELFTEST_FILES] = {
	[FILE_SMALL] = { "small", 1, 1024 },
	[FILE_LARGE] = { "large", 1500, 256 * 1024 },
	[FILE_HUGE] = { "huge", 4000, 4 * 1024 * 1024 },
};

/* A linear congruence (Numerical Recipes) is different enough everywhere. */
void selftest_fill(uint8_t bytes[SELFTEST_BYTES])
{
	uint32_t state = 1;

	for (size_t i = 0; i < SELFTEST_BYTES; i++) {
		state = state * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(state >> 24);
	}
}

/* ---- the directory ---- */

static bool write_file(const char *directory, const char *name, const void *bytes, size_t len,
		       struct err *err)
{
	char path[PATH_MAX];
	int fd AUTO_CLOSE = -1;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || fchmod(fd, 0644) < 0 || !fd_write_all(fd, bytes, len))
		return err_sys(err, errno, "write %s", path);
	return true;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(path);
}

/* Started by root, workers are somebody else, who has to get to the files: then
 * others may pass through. */
static bool make_directory(struct selftest_instance *instance, struct err *err)
{
	const char *parent = getenv("TMPDIR");
	mode_t mode = geteuid() == 0 ? 0711 : 0700;
	int len = snprintf(instance->directory, sizeof(instance->directory), "%s/drover-selftest-XXXXXX",
			   parent != NULL && parent[0] == '/' ? parent : "/tmp");

	if (len >= (int)sizeof(instance->directory)) {
		instance->directory[0] = '\0';
		return err_set(err, "TMPDIR is too long a path for what goes below it: %s", parent);
	}
	if (mkdtemp(instance->directory) == NULL) {
		err_sys(err, errno, "make %s", instance->directory);
		instance->directory[0] = '\0';
		return false;
	}
	if (chmod(instance->directory, mode) < 0)
		return err_sys(err, errno, "chmod %s", instance->directory);
	snprintf(instance->control, sizeof(instance->control), "%s/control.sock", instance->directory);
	return true;
}

static bool make_site(const struct selftest_instance *instance, const uint8_t *bytes, struct err *err)
{
	char site[PATH_MAX];

	snprintf(site, sizeof(site), "%s/site", instance->directory);
	if (mkdir(site, 0755) < 0 || chmod(site, 0755) < 0)
		return err_sys(err, errno, "make %s", site);
	for (unsigned i = 0; i < SELFTEST_FILES; i++) {
		const struct selftest_content *content = &selftest_contents[i];

		if (!write_file(site, content->name, bytes + content->offset, content->len, err))
			return false;
	}
	return true;
}

bool selftest_instance_make(struct selftest_instance *instance, const char *binary, const uint8_t *bytes,
			    struct err *err)
{
	*instance = (struct selftest_instance){ .binary = binary, .pidfd = -1 };
	if (make_directory(instance, err) && make_site(instance, bytes, err))
		return true;
	selftest_instance_remove(instance);
	return false;
}

void selftest_instance_remove(struct selftest_instance *instance)
{
	struct err ignored;

	selftest_instance_stop(instance, &ignored);
	if (instance->directory[0] != '\0')
		nftw(instance->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	instance->directory[0] = '\0';
}

/* ---- the configuration ---- */

/* Two that are free at this moment. */
static bool find_ports(struct selftest_instance *instance, struct err *err)
{
	struct sockaddr_in found = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(found);
	int first AUTO_CLOSE = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int second AUTO_CLOSE = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(first, (struct sockaddr *)&found, len) < 0 ||
	    bind(second, (struct sockaddr *)&found, len) < 0 ||
	    getsockname(second, (struct sockaddr *)&found, &len) < 0)
		return err_sys(err, errno, "find a free port of 127.0.0.1");
	instance->second_port = ntohs(found.sin_port);
	if (getsockname(first, (struct sockaddr *)&found, &len) < 0)
		return err_sys(err, errno, "find a free port of 127.0.0.1");
	instance->address = found;
	return true;
}

bool selftest_instance_configure(const struct selftest_instance *instance,
				 const struct selftest_settings *settings, struct err *err)
{
	char second[64] = "", from[PATH_MAX], to[PATH_MAX], *text;
	int len;
	bool written;

	if (settings->second_address)
		snprintf(second, sizeof(second), ", { address = \"127.0.0.1:%u\"; }", instance->second_port);
	len = asprintf(&text,
		       "workers = %u;\naccept = \"%s\";\ncontrol = \"%s\";\n"
		       "listen = ( { address = \"127.0.0.1:%u\"; }%s );\n"
		       "log = { access = \"%s/access.log\"; };\n"
		       "timeouts = { keep_alive = \"1h\"; drain = \"5s\"; };\n"
		       "sites = ( { routes = ( { match = \"/\"; files = { root = "
		       "\"%s/site\"; }; } ); } );\n",
		       settings->workers, settings->accept, instance->control,
		       ntohs(instance->address.sin_port), second, instance->directory, instance->directory);
	if (len < 0)
		return err_sys(err, ENOMEM, "write a configuration");
	written = write_file(instance->directory, "drover.conf.new", text, (size_t)len, err);
	free(text);
	snprintf(from, sizeof(from), "%s/drover.conf.new", instance->directory);
	snprintf(to, sizeof(to), "%s/drover.conf", instance->directory);
	if (written && rename(from, to) < 0)
		return err_sys(err, errno, "rename %s", from);
	return written;
}

/* ---- start ---- */

/* In the child: nothing of what systemd or a shell gave us is for the instance.
 */
static void become_daemon(const struct selftest_instance *instance, int log_fd, pid_t parent)
{
	static const char *const others[] = { "NOTIFY_SOCKET",     "LISTEN_PID",
					      "LISTEN_FDS",        "LISTEN_FDNAMES",
					      "WATCHDOG_PID",      "WATCHDOG_USEC",
					      "RUNTIME_DIRECTORY", "STATE_DIRECTORY",
					      "LOGS_DIRECTORY",    "CONFIGURATION_DIRECTORY",
					      "CACHE_DIRECTORY",   "CREDENTIALS_DIRECTORY",
					      "JOURNAL_STREAM",    "INVOCATION_ID",
					      "MAINPID",           "FDSTORE",
					      "SYSTEMD_EXEC_PID",  NULL };
	char path[PATH_MAX];
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	setpgid(0, 0); /* ^C is for us, and we end it */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || chdir("/") < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
	    dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0)
		_exit(127);
	signal(SIGPIPE, SIG_DFL);
	for (unsigned i = 0; others[i] != NULL; i++)
		unsetenv(others[i]);
	snprintf(path, sizeof(path), "%s/drover.conf", instance->directory);
	execl(instance->binary, instance->binary, "-c", path, (char *)NULL);
	dprintf(STDERR_FILENO, "execute %s: %s\n", instance->binary, strerror(errno));
	_exit(127);
}

static bool start_daemon(struct selftest_instance *instance, struct err *err)
{
	char path[PATH_MAX];
	int log_fd AUTO_CLOSE = -1;
	pid_t parent = getpid(), pid;

	snprintf(path, sizeof(path), "%s/log", instance->directory);
	log_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (log_fd < 0)
		return err_sys(err, errno, "open %s", path);
	pid = fork();
	if (pid < 0)
		return err_sys(err, errno, "fork");
	if (pid == 0)
		become_daemon(instance, log_fd, parent);
	instance->pid = pid;
	instance->pidfd = pidfd_open(pid, 0);
	return instance->pidfd >= 0 || err_sys(err, errno, "pidfd_open");
}

static bool serves_everywhere(const json_t *status, unsigned workers)
{
	const json_t *slots = json_object_get(status, "slots"), *slot;
	size_t index;

	json_array_foreach(slots, index, slot) if (ctl_number(slot, "pid") == 0) return false;
	return json_array_size(slots) == workers;
}

bool selftest_instance_ended(const struct selftest_instance *instance)
{
	struct pollfd ended = { .fd = instance->pidfd, .events = POLLIN };

	return poll(&ended, 1, 0) != 0;
}

/* Its status, when it serves; NULL with `err` when it does not. */
static json_t *wait_serving(const struct selftest_instance *instance, unsigned workers,
			    const volatile sig_atomic_t *interrupted, struct err *err)
{
	struct pollfd ended = { .fd = instance->pidfd, .events = POLLIN };
	uint64_t until_ns = clock_now_ns() + START_S * CLOCK_S;

	while (clock_now_ns() < until_ns && !*interrupted) {
		struct err ignored;
		json_t *answer = control_ask(instance->control, json_pack("{s:s}", "command", "status"),
					     START_S * 1000, &ignored);
		json_t *status = json_incref(json_object_get(answer, "status"));

		json_decref(answer);
		if (status != NULL && serves_everywhere(status, workers))
			return status;
		json_decref(status);
		if (poll(&ended, 1, LOOK_MS) > 0)
			return err_set(err, "%s ended at its start", instance->binary), NULL;
	}
	if (*interrupted)
		return err_set(err, "interrupted"), NULL;
	return err_set(err, "%s does not serve after %u s", instance->binary, START_S), NULL;
}

bool selftest_instance_start(struct selftest_instance *instance, const struct selftest_settings *settings,
			     const volatile sig_atomic_t *interrupted, json_t **status, struct err *err)
{
	struct err ignored;

	for (unsigned i = 0; i < TRIES && !*interrupted; i++) {
		bool started = find_ports(instance, err) &&
			       selftest_instance_configure(instance, settings, err) &&
			       start_daemon(instance, err);

		*status = started ? wait_serving(instance, settings->workers, interrupted, err) : NULL;
		if (*status != NULL)
			return true;
		selftest_instance_stop(instance, &ignored);
	}
	return false;
}

/* ---- the end ---- */

static bool wait_ended(const struct selftest_instance *instance, unsigned seconds)
{
	struct pollfd ended = { .fd = instance->pidfd, .events = POLLIN };
	uint64_t until_ns = clock_now_ns() + seconds * CLOCK_S;

	/* a signal to us interrupts poll(2) */
	while (clock_now_ns() < until_ns)
		if (poll(&ended, 1, 100) > 0)
			return true;
	return false;
}

bool selftest_instance_stop(struct selftest_instance *instance, struct err *err)
{
	bool in_time = true;
	int status = 0;

	if (instance->pid <= 0)
		return true;
	kill(instance->pid, SIGTERM);
	if (instance->pidfd >= 0 && !wait_ended(instance, STOP_S)) {
		in_time = false;
		kill(instance->pid, SIGKILL);
		wait_ended(instance, KILLED_S);
	}
	while (waitpid(instance->pid, &status, 0) < 0 && errno == EINTR)
		;
	fd_close(&instance->pidfd);
	instance->pid = 0;
	if (!in_time)
		return err_set(err, "the daemon did not stop within %u s", STOP_S);
	if (WIFSIGNALED(status))
		return err_set(err, "the daemon was ended by signal %d", WTERMSIG(status));
	return WEXITSTATUS(status) == 0 ||
	       err_set(err, "the daemon's exit status is %d", WEXITSTATUS(status));
}

/* ---- its processes ---- */

static pid_t parent_of(pid_t pid)
{
	char path[64], text[512];
	const char *behind;
	int fd AUTO_CLOSE = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* ") S 812": the name may have blanks and brackets itself, proc(5) */
	behind = strrchr(text, ')');
	return behind != NULL && strlen(behind) > 4 ? (pid_t)strtol(behind + 4, NULL, 10) : 0;
}

/* The descriptor is opened first: whoever has the number then is the one who
 * gets the signal. */
bool selftest_instance_signal(const struct selftest_instance *instance, pid_t pid, int number)
{
	int fd AUTO_CLOSE = pid > 1 ? pidfd_open(pid, 0) : -1;

	return fd >= 0 && instance->pid > 0 && parent_of(pid) == instance->pid &&
	       pidfd_send_signal(fd, number, NULL, 0) == 0;
}

void selftest_instance_show_log(const struct selftest_instance *instance)
{
	char path[PATH_MAX];
	struct err ignored;
	size_t len = 0, begin, lines = 0;
	int fd AUTO_CLOSE = -1;
	char *text;

	snprintf(path, sizeof(path), "%s/log", instance->directory);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	text = fd >= 0 ? fd_read_all(fd, LOG_BYTES, &len, &ignored) : NULL;
	if (text == NULL)
		return;
	for (begin = len; begin > 0; begin--)
		if (text[begin - 1] == '\n' && ++lines > LOG_LINES)
			break;
	fprintf(stderr, "the end of its log:\n%s", text + begin);
	free(text);
}
