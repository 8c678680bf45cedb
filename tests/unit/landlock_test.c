/* landlock_test.c - what a confined process can reach and what not, tried from inside of one.
 *
 * Each test prepares a directory, forks, confines the child and tries; its status is how many attempts ended
 * otherwise than they should. */
#include "base/landlock.h"

#include "base/fd.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[64], open_dir[80], open_file[96], closed_file[96];

static void write_file(const char *path)
{
	int fd AUTO_CLOSE = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	ck_assert_int_eq(write(fd, "x", 1), 1);
}

static void set_up(void)
{
	char closed_dir[80];

	snprintf(top, sizeof(top), "/tmp/landlock_test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(open_dir, sizeof(open_dir), "%s/open", top);
	snprintf(closed_dir, sizeof(closed_dir), "%s/closed", top);
	ck_assert_int_eq(mkdir(open_dir, 0755), 0);
	ck_assert_int_eq(mkdir(closed_dir, 0755), 0);
	snprintf(open_file, sizeof(open_file), "%s/file", open_dir);
	snprintf(closed_file, sizeof(closed_file), "%s/file", closed_dir);
	write_file(open_file);
	write_file(closed_file);
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);   /* NOLINT(cert-env33-c): a path of our own */
}

static int wrong_results;

/* `errno_wanted` 0: it must succeed. */
static void expect(const char *what, bool succeeded, int errno_wanted)
{
	int error = succeeded ? 0 : errno;

	if (error == errno_wanted)
		return;
	fprintf(stderr, "%s: %s, wanted: %s\n", what, strerror(error), strerror(errno_wanted));
	wrong_results++;
}

static bool can_open(const char *path, int flags)
{
	int fd AUTO_CLOSE = open(path, flags | O_CLOEXEC, 0644);

	return fd >= 0;
}

/* Runs `attempts` in a child that is confined to `paths`. */
static void confined(const char *const *paths, unsigned count, void (*attempts)(void))
{
	struct err err;
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (!landlock_confine(paths, count, &err)) {
			fprintf(stderr, "%s\n", err.text);
			_exit(100);
		}
		attempts();
		_exit(wrong_results);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}

static void confined_to_open(void (*attempts)(void))
{
	const char *const paths[] = { open_dir };

	confined(paths, 1, attempts);
}

static void read_things(void)
{
	expect("a file below", can_open(open_file, O_RDONLY), 0);
	expect("the directory", can_open(open_dir, O_RDONLY | O_DIRECTORY), 0);
	expect("a file beside", can_open(closed_file, O_RDONLY), EACCES);
	expect("the directory above", can_open(top, O_RDONLY | O_DIRECTORY), EACCES);
	expect("/etc/passwd", can_open("/etc/passwd", O_RDONLY), EACCES);
	expect("/proc", can_open("/proc/self/maps", O_RDONLY), LANDLOCK_LEAVES_PROC ? 0 : EACCES);
	expect("/dev", can_open("/dev/urandom", O_RDONLY), EACCES);
}

START_TEST(what_is_below_is_readable_and_nothing_else)
{
	confined_to_open(read_things);
}
END_TEST

static void change_things(void)
{
	char path[128], other[128];

	snprintf(path, sizeof(path), "%s/new", open_dir);
	snprintf(other, sizeof(other), "%s/other", open_dir);
	expect("write", can_open(open_file, O_WRONLY), EACCES);
	expect("make a file", can_open(path, O_WRONLY | O_CREAT), EACCES);
	expect("make a directory", mkdir(path, 0755) == 0, EACCES);
	expect("make a FIFO", mkfifo(path, 0644) == 0, EACCES);
	expect("make a symlink", symlink("file", path) == 0, EACCES);
	expect("link", link(open_file, other) == 0, EACCES);
	expect("rename", rename(open_file, other) == 0, EACCES);
	expect("remove", unlink(open_file) == 0, EACCES);
	expect("truncate", truncate(open_file, 0) == 0, EACCES);
	expect("run a program", execl("/bin/true", "true", NULL) == 0, EACCES);
}

START_TEST(nothing_is_written_made_or_run)
{
	confined_to_open(change_things);
}
END_TEST

static void refused_things(void)
{
	expect("what is below is not refused", !landlock_refuses(open_dir), 0);
	errno = EPROTO;
	expect("what is beside is refused", landlock_refuses(closed_file), 0);
	expect("what is not there is not refused", !landlock_refuses("/nowhere"), 0);
}

START_TEST(who_is_refused_knows_it)
{
	const char *const paths[] = { "/nowhere/at/all", open_dir };

	ck_assert(!landlock_refuses(closed_file));
	confined(paths, 2, refused_things);
}
END_TEST

static void network_things(void)
{
	struct sockaddr_in loopback = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd AUTO_CLOSE = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	expect("bind", bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) == 0, EACCES);
	loopback.sin_port = htons(9);
	expect("connect", connect(fd, (struct sockaddr *)&loopback, sizeof(loopback)) == 0, EACCES);
}

START_TEST(no_port_is_bound_or_connected_to)
{
	struct err err;

	ck_assert_uint_ge(landlock_version(&err), 4);
	confined_to_open(network_things);
}
END_TEST

static struct sockaddr_un abstract = { .sun_family = AF_UNIX };
static pid_t sibling;

static void reach_others(void)
{
	int fd AUTO_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	expect("signal the parent", kill(getppid(), 0) == 0, EPERM);
	expect("signal a sibling", kill(sibling, SIGKILL) == 0, EPERM);
	expect("signal itself", kill(getpid(), 0) == 0, 0);
	expect("an abstract socket", connect(fd, (struct sockaddr *)&abstract, sizeof(abstract)) == 0, EPERM);
}

START_TEST(other_processes_are_not_signalled_or_connected_to)
{
	int fd AUTO_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct err err;

	ck_assert_uint_ge(landlock_version(&err), 6);
	snprintf(abstract.sun_path + 1, sizeof(abstract.sun_path) - 1, "landlock_test.%d", (int)getpid());
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&abstract, sizeof(abstract)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	sibling = fork();
	if (sibling == 0) {
		pause();
		_exit(0);
	}
	confined_to_open(reach_others);
	ck_assert_int_eq(kill(sibling, SIGKILL), 0);
	ck_assert_int_eq(waitpid(sibling, NULL, 0), sibling);
}
END_TEST

static void one_file(void)
{
	expect("the file", can_open(open_file, O_RDONLY), 0);
	expect("its directory", can_open(open_dir, O_RDONLY | O_DIRECTORY), EACCES);
}

START_TEST(a_file_may_be_named)
{
	const char *const paths[] = { open_file };

	confined(paths, 1, one_file);
}
END_TEST

static int held = -1;

static void use_held(void)
{
	expect("write to what is open", write(held, "y", 1) == 1, 0);
	expect("open it anew by /proc", can_open("/proc/self/fd/0", O_RDONLY), EACCES);
}

START_TEST(what_is_open_stays_open)
{
	held = open(closed_file, O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_ge(held, 0);
	ck_assert_int_ge(dup2(held, 0), 0);
	confined(NULL, 0, use_held);
	fd_close(&held);
}
END_TEST

static TCase *cases(void)
{
	TCase *tests = tcase_create("landlock");

	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_add_test(tests, what_is_below_is_readable_and_nothing_else);
	tcase_add_test(tests, nothing_is_written_made_or_run);
	tcase_add_test(tests, who_is_refused_knows_it);
	tcase_add_test(tests, no_port_is_bound_or_connected_to);
	tcase_add_test(tests, other_processes_are_not_signalled_or_connected_to);
	tcase_add_test(tests, a_file_may_be_named);
	tcase_add_test(tests, what_is_open_stays_open);
	return tests;
}

int main(void)
{
	Suite *suite = suite_create("landlock");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, cases());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
