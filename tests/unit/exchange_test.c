/* Exchanges and the services that answer them: what answer a request gets; and its line in the access log. */
#include "fake_server.h"

#include "http/access_log.h"
#include "http/date.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fake_server server;
static struct fake_client client;

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
}

static void tear_down(void)
{
	access_log_free(&server.engine);
	fake_server_close(&server);
}

/* The answer to one request. */
static const char *ask(const char *method, const char *target, const char *header)
{
	char request[4096];

	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n", method,
		 target, header);
	fake_connect(&server, &client, request);
	ck_assert(fake_until_eof(&client));
	return client.text;
}

static unsigned status_of(const char *answer)
{
	unsigned status = 0;

	sscanf(answer, "HTTP/1.1 %u ", &status);        /* NOLINT(cert-err34-c): our own, three digits */
	return status;
}

/* The value of a header line, "" when there is none. */
static const char *field(const char *answer, const char *name)
{
	static char value[256];
	char line[64];
	const char *at;

	snprintf(line, sizeof(line), "\r\n%s: ", name);
	at = strstr(answer, line);
	value[0] = '\0';
	if (at != NULL)
		sscanf(at + strlen(line), "%255[^\r]", value);
	return value;
}

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", server.root, name);
	return path;
}

/* ---- methods and paths ------------------------ */

static const struct {
	const char *method;
	unsigned status;
} methods[] = {
	{ "GET", 200 },     { "HEAD", 200 },  { "POST", 405 },  { "PUT", 405 },  { "DELETE", 405 },
	{ "OPTIONS", 405 }, { "PATCH", 405 }, { "TRACE", 405 }, { "BREW", 501 }, { "get", 501 },
};

START_TEST(a_method_gets_its_status)
{
	ck_assert_uint_eq(status_of(ask(methods[_i].method, "/hello", "")), methods[_i].status);
}
END_TEST

START_TEST(a_405_says_what_is_allowed)
{
	ck_assert_str_eq(field(ask("POST", "/hello", ""), "Allow"), "GET, HEAD");
}
END_TEST

START_TEST(a_bad_host_gets_400_and_the_end)
{
	fake_connect(&server, &client, "GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n");
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(status_of(client.text), 400);
}
END_TEST

START_TEST(an_error_page_can_be_read)
{
	ck_assert_ptr_nonnull(strstr(ask("GET", "/nope", ""), "<h1>404 Not Found</h1>"));
}
END_TEST

START_TEST(status_answers_json_that_nobody_stores)
{
	ask("GET", "/status", "");
	ck_assert_str_eq(field(client.text, "Cache-Control"), "no-store");
	ck_assert_ptr_nonnull(
		strstr(client.text, "{\"slot\":0,\"generation\":1,\"counters\":{\"accepted\":1,"));
}
END_TEST

/* ---- files ------------------------ */

static void make_tree(void)
{
	fake_file(&server, "a.txt", "text", 4);
	ck_assert_int_eq(mkdir(path_of("dir"), 0755), 0);
	ck_assert_int_eq(mkdir(path_of("bare"), 0755), 0);
	ck_assert_int_eq(mkdir(path_of("odd"), 0755), 0);
	ck_assert_int_eq(mkdir(path_of("odd/index.html"), 0755), 0);
	fake_file(&server, "dir/index.html", "<p>", 3);
	ck_assert_int_eq(mkfifo(path_of("fifo"), 0644), 0);
	ck_assert_int_eq(symlink("/etc/passwd", path_of("leaves")), 0);
	ck_assert_int_eq(symlink("../../../etc/passwd", path_of("climbs")), 0);
	ck_assert_int_eq(symlink("loop", path_of("loop")), 0);
	ck_assert_int_eq(symlink("a.txt", path_of("inside")), 0);
	ck_assert_int_eq(mknod(path_of("socket"), S_IFSOCK | 0644, 0), 0);
}

static const struct {
	const char *target;
	unsigned status;
} targets[] = {
	{ "/a.txt", 200 },    { "/inside", 200 },       { "/dir/", 200 },    { "/dir", 301 },
	{ "/bare", 301 },     { "/bare/", 404 },        { "/odd/", 404 },    { "/a.txt/", 404 },
	{ "/a.txt/b", 404 },  { "/fifo", 404 },         { "/socket", 404 },  { "/leaves", 403 },
	{ "/climbs", 403 },   { "/loop", 403 },         { "/nope", 404 },    { "/", 404 },
	{ "/../a.txt", 400 }, { "/dir/../a.txt", 200 }, { "/%61.txt", 200 }, { "/a.txt%00", 400 },
	{ "/.hidden", 404 },
};

START_TEST(a_path_gets_its_status)
{
	make_tree();
	ck_assert_uint_eq(status_of(ask("GET", targets[_i].target, "")), targets[_i].status);
}
END_TEST

START_TEST(a_name_that_is_too_long_is_not_found)
{
	char target[600] = "/";

	memset(target + 1, 'x', 500);
	ck_assert_uint_eq(status_of(ask("GET", target, "")), 404);
}
END_TEST

START_TEST(a_directory_sends_its_client_to_a_relative_place)
{
	make_tree();
	ck_assert_str_eq(field(ask("GET", "//dir?q=1", ""), "Location"), "./dir/?q=1");
}
END_TEST

START_TEST(a_file_has_the_type_of_its_name)
{
	make_tree();
	ck_assert_str_eq(field(ask("GET", "/dir/", ""), "Content-Type"), "text/html; charset=utf-8");
}
END_TEST

START_TEST(a_file_from_the_future_was_modified_now)
{
	struct timespec times[2] = { { .tv_sec = time(NULL) + 86400 }, { .tv_sec = time(NULL) + 86400 } };
	time_t modified;

	make_tree();
	ck_assert_int_eq(utimensat(AT_FDCWD, path_of("a.txt"), times, 0), 0);
	ask("GET", "/a.txt", "");
	ck_assert(date_parse(str_of(field(client.text, "Last-Modified")), time(NULL), &modified));
	ck_assert_int_le(modified, time(NULL));
}
END_TEST

static void make_old_file(void)
{
	struct timespec times[2] = { { .tv_sec = 1000000000, .tv_nsec = 7 },
				     { .tv_sec = 1000000000, .tv_nsec = 7 } };

	fake_file(&server, "old", "1234", 4);
	ck_assert_int_eq(utimensat(AT_FDCWD, path_of("old"), times, 0), 0);
}

START_TEST(an_etag_is_made_of_size_and_time)
{
	make_old_file();
	ck_assert_str_eq(field(ask("GET", "/old", ""), "ETag"), "\"4-de0b6b3a7640007\"");
}
END_TEST

#define ETAG "\"4-de0b6b3a7640007\""

static const struct {
	const char *header;
	unsigned status;
} conditions[] = {
	{ "If-None-Match: " ETAG "\r\n", 304 },
	{ "If-None-Match: W/" ETAG "\r\n", 304 },
	{ "If-None-Match: \"a\", \"b,c\" ,W/" ETAG "\r\n", 304 },
	{ "If-None-Match: \"a\"\r\nIf-None-Match: " ETAG "\r\n", 304 },
	{ "If-None-Match: *\r\n", 304 },
	{ "If-None-Match: \"a\"\r\n", 200 },
	{ "If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT\r\n", 304 },
	{ "If-Modified-Since: Sun, 09 Sep 2001 01:46:41 GMT\r\n", 304 },
	{ "If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT\r\n", 200 },
	{ "If-Modified-Since: yesterday\r\n", 200 },
	{ "If-None-Match: \"a\"\r\nIf-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT\r\n", 200 },
};

START_TEST(a_condition_gets_its_status)
{
	make_old_file();
	ck_assert_uint_eq(status_of(ask("GET", "/old", conditions[_i].header)), conditions[_i].status);
}
END_TEST

START_TEST(a_304_names_the_etag)
{
	make_old_file();
	ck_assert_str_eq(field(ask("GET", "/old", "If-None-Match: *\r\n"), "ETag"), ETAG);
}
END_TEST

START_TEST(a_root_that_is_not_there_is_refused)
{
	struct {
		const char *root;
		struct strings index;
		bool listing;
	} settings = { .root = "/nonexistent" };
	const char *setting;
	struct err err;

	ck_assert(!service_files.check(&settings, &setting, &err));
	ck_assert_str_eq(err.text, "root /nonexistent: No such file or directory");
}
END_TEST

START_TEST(listings_are_refused)
{
	struct {
		const char *root;
		struct strings index;
		bool listing;
	} settings = { .root = "/", .listing = true };
	const char *setting;
	struct err err;

	ck_assert(!service_files.check(&settings, &setting, &err));
	ck_assert_str_eq(setting, "listing");
}
END_TEST

START_TEST(the_root_is_looked_up_for_each_request)
{
	char before[128], after[80];

	snprintf(before, sizeof(before), "%s", server.root);
	snprintf(after, sizeof(after), "%s-moved", server.root);
	fake_file(&server, "x", "old", 3);
	ck_assert_int_eq(rename(before, after), 0);
	ck_assert_int_eq(mkdir(before, 0755), 0);
	fake_file(&server, "x", "new", 3);
	ck_assert_ptr_nonnull(strstr(ask("GET", "/x", ""), "\r\n\r\nnew"));
	snprintf(before, sizeof(before), "%s/x", after);
	unlink(before);
	rmdir(after);
}
END_TEST

/* ---- the access log ------------------------ */

/* What the log holds. */
static const char *logged(void)
{
	static char text[4096];
	int fd;
	ssize_t len;

	fake_turn(&server);
	fd = open(path_of("log"), O_RDONLY | O_CLOEXEC);
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

static void start_log(void)
{
	access_log_target(&server.engine,
			  open(path_of("log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
}

START_TEST(a_request_is_a_line_in_the_common_log_format)
{
	const char *line;
	char day[32], rest[128];

	start_log();
	ask("GET", "/hello?a=1", "");
	line = logged();
	ck_assert_int_eq(sscanf(line, "unix: - - [%31[^]]] %127[^\n]", day, rest), 2);
	ck_assert_str_eq(rest, "\"GET /hello?a=1 HTTP/1.1\" 200 6");
}
END_TEST

START_TEST(a_log_that_is_switched_off_is_given_back)
{
	start_log();
	access_log_target(&server.engine, -1);
	ck_assert_ptr_null(server.engine.access_log);
	ask("GET", "/hello", "");
	ck_assert_str_eq(logged(), "");
}
END_TEST

START_TEST(a_request_line_that_was_not_understood_is_a_dash)
{
	start_log();
	fake_connect(&server, &client, "non\"sense\r\n\r\n");
	ck_assert(fake_until_eof(&client));
	ck_assert_ptr_nonnull(strstr(logged(), "] \"-\" 400 "));
}
END_TEST

START_TEST(an_answer_that_was_cut_is_logged_with_what_was_sent)
{
	start_log();
	ask("GET", "/breaks", "");
	ck_assert_ptr_nonnull(strstr(logged(), "/breaks HTTP/1.1\" 200 3\n"));
}
END_TEST

START_TEST(a_stuck_pipe_drops_lines_and_counts_them)
{
	int ends[2];
	char fill[4096] = "";

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(ends[1], fill, sizeof(fill)) > 0)
		;
	fcntl(ends[1], F_SETFL, 0);             /* blocking, as a supervisor's pipe is */
	access_log_target(&server.engine, ends[1]);
	ask("GET", "/hello", "");
	fake_turn(&server);
	ck_assert_uint_eq(server.counters[COUNT_ACCESS_LOG_DROPPED], 1);
	close(ends[0]);
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("exchange");
	TCase *start = tcase_create("start"), *files = tcase_create("files"), *log = tcase_create("log");
	TCase *const cases[] = { start, files, log };

	for (unsigned i = 0; i < 3; i++) {
		tcase_add_checked_fixture(cases[i], set_up, tear_down);
		suite_add_tcase(all, cases[i]);
	}
	tcase_add_loop_test(start, a_method_gets_its_status, 0, sizeof(methods) / sizeof(methods[0]));
	tcase_add_test(start, a_405_says_what_is_allowed);
	tcase_add_test(start, a_bad_host_gets_400_and_the_end);
	tcase_add_test(start, an_error_page_can_be_read);
	tcase_add_test(start, status_answers_json_that_nobody_stores);
	tcase_add_loop_test(files, a_path_gets_its_status, 0, sizeof(targets) / sizeof(targets[0]));
	tcase_add_test(files, a_name_that_is_too_long_is_not_found);
	tcase_add_test(files, a_directory_sends_its_client_to_a_relative_place);
	tcase_add_test(files, a_file_has_the_type_of_its_name);
	tcase_add_test(files, a_file_from_the_future_was_modified_now);
	tcase_add_test(files, an_etag_is_made_of_size_and_time);
	tcase_add_loop_test(files, a_condition_gets_its_status, 0,
			    sizeof(conditions) / sizeof(conditions[0]));
	tcase_add_test(files, a_304_names_the_etag);
	tcase_add_test(files, a_root_that_is_not_there_is_refused);
	tcase_add_test(files, listings_are_refused);
	tcase_add_test(files, the_root_is_looked_up_for_each_request);
	tcase_add_test(log, a_request_is_a_line_in_the_common_log_format);
	tcase_add_test(log, a_log_that_is_switched_off_is_given_back);
	tcase_add_test(log, a_request_line_that_was_not_understood_is_a_dash);
	tcase_add_test(log, an_answer_that_was_cut_is_logged_with_what_was_sent);
	tcase_add_test(log, a_stuck_pipe_drops_lines_and_counts_them);
	return all;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
