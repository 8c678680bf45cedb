/* files_answer_test.c - what is said of files that black-box tests cannot make. */
#include "service/files_answer.h"

#include "base/fd.h"
#include "base/loop.h"
#include "base/present.h"
#include "http/exchange.h"
#include "service/files_body.h"

#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct loop loop;
static struct engine engine = { .loop = &loop };
static struct exchange exchange = { .engine = &engine, .head = "", .response.file_fd = -1 };

static void ask_about(time_t seconds)
{
	struct file file = { .fd = -1, .type = str_of("text/plain") };

	file.stat.st_size = 5;
	file.stat.st_mtim.tv_sec = seconds;
	exchange.request.method = METHOD_HEAD;
	ck_assert_int_eq(files_answer(&exchange, &file), ANSWERED);
	ck_assert_uint_eq(exchange.response.status, 200);
}

START_TEST(the_last_of_all_times_is_to_come)
{
	ask_about(INT64_MAX);
	ck_assert(str_has_prefix(exchange.response.etag, str_of("W/")));
	ck_assert_int_le(exchange.response.last_modified, time(NULL));
}
END_TEST

START_TEST(the_first_of_all_times_is_over)
{
	ask_about(INT64_MIN);
	ck_assert(!str_has_prefix(exchange.response.etag, str_of("W/")));
}
END_TEST

/* ---- a file whose status changes at every moment ---- */

static unsigned reads;
static struct timespec old_times[2];
static bool written_to;                 /* by somebody who sets the old time again */

/* Somebody else may have the file between two of them. */
ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
	char next = (char)('a' + reads++);

	if (written_to) {
		ck_assert_int_eq(pwrite(fd, &next, 1, 0), 1);
		ck_assert_int_eq(futimens(fd, old_times), 0);
	}
	return syscall(SYS_pread64, fd, bytes, len, at);
}

/* Its status has changed since it was looked at. */
static enum files_body read_changed(void)
{
	struct file file = { .fd = memfd_create("file", MFD_CLOEXEC) };
	enum files_body body;

	ck_assert_int_eq(pwrite(file.fd, "hello", 5, 0), 5);
	ck_assert_int_eq(fstat(file.fd, &file.stat), 0);
	old_times[0] = file.stat.st_atim;
	old_times[1] = file.stat.st_mtim;
	file.stat.st_ctim.tv_sec--;
	present_note(file.stat.st_dev, present_look(file.fd), loop.now_ns);
	reads = 0;
	body = files_body_small(&exchange, &file, (struct range){ 0, 5 });
	fd_close(&file.fd);
	return body;
}

START_TEST(who_gets_another_name_at_every_moment_is_whole)
{
	written_to = false;
	ck_assert_int_eq(read_changed(), FILES_BODY_DONE);
	ck_assert_uint_eq(reads, 2);
	ck_assert(str_equal(exchange.response.memory, str_of("hello")));
	exchange_drop_body(&exchange);
}
END_TEST

START_TEST(who_is_written_to_in_secret_is_not)
{
	written_to = true;
	ck_assert_int_eq(read_changed(), FILES_BODY_CHANGED);
	ck_assert_uint_eq(reads, 2);
	exchange_drop_body(&exchange);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("files_answer");
	TCase *tests = tcase_create("files_answer");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_test(tests, the_last_of_all_times_is_to_come);
	tcase_add_test(tests, the_first_of_all_times_is_over);
	tcase_add_test(tests, who_gets_another_name_at_every_moment_is_whole);
	tcase_add_test(tests, who_is_written_to_in_secret_is_not);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
