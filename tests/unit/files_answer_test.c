/* files_answer_test.c - what is said of files that black-box tests cannot make. */
#include "service/files_answer.h"

#include "base/loop.h"
#include "http/exchange.h"

#include <check.h>
#include <stdlib.h>

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

int main(void)
{
	Suite *suite = suite_create("files_answer");
	TCase *tests = tcase_create("files_answer");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_test(tests, the_last_of_all_times_is_to_come);
	tcase_add_test(tests, the_first_of_all_times_is_over);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
