/* Exchanges and the services that answer them: what answer a request gets; and its line in the access log. */
#include "fake_server.h"

#include "base/clock.h"
#include "base/log_writer.h"
#include "http/access_log.h"
#include "http/date.h"
#include "service/files.h"
#include "service/files_find.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fake_server server;
static struct fake_client client;
static struct offload offload;
static struct log_writers writers;

static void set_up(void)
{
	fake_server_open(&server, &protocol_http1);
	offload_init(&offload, &server.loop, 16);
	log_writers_init(&writers, &server.loop, &offload);
	server.engine.log_writers = &writers;
}

static void tear_down(void)
{
	uint64_t deadline_ns = clock_now_ns() + 5 * CLOCK_S;

	access_log_open(&server.engine, NULL, -1);
	log_writers_close(&writers, deadline_ns);
	ck_assert_uint_eq(offload_close(&offload, deadline_ns), 0);
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
	{ "OPTIONS", 200 }, { "PATCH", 405 }, { "TRACE", 405 }, { "BREW", 501 }, { "get", 501 },
};

START_TEST(a_method_gets_its_status)
{
	ck_assert_uint_eq(status_of(ask(methods[_i].method, "/hello", "")), methods[_i].status);
}
END_TEST

START_TEST(a_405_says_what_is_allowed)
{
	ck_assert_str_eq(field(ask("POST", "/hello", ""), "Allow"), "GET, HEAD, OPTIONS");
}
END_TEST

START_TEST(a_bad_host_gets_400_and_the_end)
{
	fake_connect(&server, &client, "GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n");
	ck_assert(fake_until_eof(&client));
	ck_assert_uint_eq(status_of(client.text), 400);
}
END_TEST

static const struct {
	const char *target;
	unsigned status;
} schemes[] = { { "http://a/hello", 200 }, { "https://a/hello", 421 }, { "HTTPS://a/hello", 421 } };

START_TEST(what_is_for_https_alone_is_not_given_out_without_it)
{
	ck_assert_uint_eq(status_of(ask("GET", schemes[_i].target, "")), schemes[_i].status);
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
	ck_assert_ptr_nonnull(strstr(client.text, "\"slot\":0,\"generation\":1,"));
	ck_assert_ptr_nonnull(strstr(client.text, "\"counters\":{\"accepted\":1,"));
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

START_TEST(a_directory_sends_its_client_to_its_clean_path)
{
	make_tree();
	ck_assert_str_eq(field(ask("GET", "//dir?q=1", ""), "Location"), "/dir/?q=1");
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
	char date[DATE_BYTES];
	time_t modified;

	make_tree();
	ck_assert_int_eq(utimensat(AT_FDCWD, path_of("a.txt"), times, 0), 0);
	ask("GET", "/a.txt", "");
	snprintf(date, sizeof(date), "%s", field(client.text, "Date"));
	ck_assert(date_parse(str_of(field(client.text, "Last-Modified")), time(NULL), &modified));
	ck_assert_int_le(modified, clock_wall().tv_sec);        /* time(2) is some milliseconds behind */
	ck_assert_str_eq(field(client.text, "Last-Modified"), date);
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
	struct files_settings settings = { .root = "/nonexistent" };
	const char *setting;
	struct err err;

	ck_assert(!service_files.check(&settings, &setting, &err));
	ck_assert_str_eq(err.text, "root /nonexistent: No such file or directory");
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

static char log_text_read[64 * 1024];

/* What the log holds. */
static const char *read_log(const char *name)
{
	int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, log_text_read, sizeof(log_text_read) - 1);

	close(fd);
	log_text_read[len > 0 ? len : 0] = '\0';
	return log_text_read;
}

static bool has_line(void *what)
{
	(void)what;
	return strchr(read_log("log"), '\n') != NULL;
}

/* The same, once there is a line. */
static const char *logged(void)
{
	ck_assert(fake_until(&server, has_line, NULL));
	return log_text_read;
}

static int open_log(const char *name)
{
	return open(path_of(name), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void rename_log(void)
{
	char from[256];

	strcpy(from, path_of("log"));
	ck_assert_int_eq(rename(from, path_of("old")), 0);
}

/* Several requests on one connection, `last` the last one. */
static void ask_many(unsigned count, const char *target, const char *last)
{
	char requests[8192];
	size_t len = 0;

	for (unsigned i = 0; i < count; i++)
		len += (size_t)sprintf(requests + len, "%s HTTP/1.1\r\nHost: a\r\n\r\n", target);
	sprintf(requests + len, "%s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", last);
	fake_connect(&server, &client, requests);
	ck_assert(fake_until_eof(&client));
}

static void start_log_as(enum access_format format)
{
	server.config->log_access = "the log";
	server.config->access_format = format;
	access_log_open(&server.engine, server.config, open_log("log"));
}

static void start_log(void)
{
	start_log_as(ACCESS_COMMON);
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
	access_log_open(&server.engine, NULL, -1);
	ck_assert_ptr_null(server.engine.access_log);
	ck_assert(list_empty(&server.engine.access_logs));
	ck_assert(list_empty(&writers.all));
	ask("GET", "/hello", "");
	ck_assert_str_eq(read_log("log"), "");
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

/* The buffer was changed for a larger one, and nothing more came. */
START_TEST(a_head_that_filled_the_buffer_is_logged_as_it_was)
{
	char part[POOL_SMALLEST_BYTES + 1] = "GET /hello HTTP/1.1\r\nX: ";

	memset(part + strlen(part), 'x', sizeof(part) - 1 - strlen(part));
	server.config->request_head_ns = 20 * CLOCK_MS;
	start_log();
	fake_connect(&server, &client, part);
	ck_assert(fake_until_eof(&client));
	ck_assert_ptr_nonnull(strstr(logged(), "] \"GET /hello HTTP/1.1\" 408 "));
}
END_TEST

START_TEST(an_answer_that_was_cut_is_logged_with_what_was_sent)
{
	start_log();
	ask("GET", "/breaks", "");
	ck_assert_ptr_nonnull(strstr(logged(), "/breaks HTTP/1.1\" 200 3\n"));
}
END_TEST

/* The value behind `"key":` in a line of JSON, as it is written. */
static const char *member(const char *line, const char *key)
{
	static char value[4096];
	char name[64];
	const char *at;

	snprintf(name, sizeof(name), "\"%s\":", key);
	at = strstr(line, name);
	if (at == NULL)
		return NULL;
	at += strlen(name);
	snprintf(value, sizeof(value), "%.*s",
		 (int)(*at == '"' ? strcspn(at + 1, "\"") + 2 : strcspn(at, ",}")), at);
	return value;
}

START_TEST(combined_has_referer_and_user_agent)
{
	start_log_as(ACCESS_COMBINED);
	ask("GET", "/hello", "Referer: http://a/\"x\"\r\nUser-Agent: t\xc3\xa9\r\n");
	ck_assert_ptr_nonnull(strstr(logged(), "] \"GET /hello HTTP/1.1\" 200 6 \"http://a/\\x22x\\x22\""
					       " \"t\\xc3\\xa9\"\n"));
}
END_TEST

START_TEST(combined_has_dashes_for_what_is_not_there)
{
	start_log_as(ACCESS_COMBINED);
	ask("GET", "/hello", "");
	ck_assert_ptr_nonnull(strstr(logged(), " 200 6 \"-\" \"-\"\n"));
}
END_TEST

START_TEST(json_has_everything)
{
	const char *line;
	char id[64];

	start_log_as(ACCESS_JSON);
	ask("GET", "/hello?q", "Referer: r\r\nUser-Agent: u\r\n");
	line = logged();
	ck_assert_str_eq(member(line, "peer"), "\"unix:\"");
	ck_assert_str_eq(member(line, "host"), "\"a\"");
	ck_assert_str_eq(member(line, "method"), "\"GET\"");
	ck_assert_str_eq(member(line, "target"), "\"/hello?q\"");
	ck_assert_str_eq(member(line, "protocol"), "\"HTTP/1.1\"");
	ck_assert_str_eq(member(line, "status"), "200");
	ck_assert_str_eq(member(line, "bytes"), "6");
	ck_assert_str_eq(member(line, "referer"), "\"r\"");
	ck_assert_str_eq(member(line, "user_agent"), "\"u\"");
	ck_assert_str_eq(member(line, "slot"), "0");
	ck_assert_str_eq(member(line, "generation"), "1");
	ck_assert_int_lt(strtoll(member(line, "duration_us"), NULL, 10), 5000000);
	ck_assert_ptr_null(member(line, "cut"));
	snprintf(id, sizeof(id), "\"%016lx-1\"", server.engine.instance);
	ck_assert_str_eq(member(line, "id"), id);
}
END_TEST

START_TEST(json_leaves_out_what_was_not_understood)
{
	const char *line;

	start_log_as(ACCESS_JSON);
	fake_connect(&server, &client, "non\"sense\r\n\r\n");
	ck_assert(fake_until_eof(&client));
	line = logged();
	ck_assert_str_eq(member(line, "status"), "400");
	ck_assert_ptr_null(member(line, "method"));
	ck_assert_ptr_null(member(line, "host"));
}
END_TEST

START_TEST(json_says_that_an_answer_was_cut)
{
	start_log_as(ACCESS_JSON);
	ask("GET", "/breaks", "");
	ck_assert_str_eq(member(logged(), "cut"), "true");
}
END_TEST

START_TEST(what_is_too_long_is_cut)
{
	char header[4096], most[516];

	memset(header, 'x', sizeof(header));
	snprintf(header, sizeof(header), "User-Agent: %0600d\r\n", 0);
	memset(most, '0', 512);
	strcpy(most + 512, "...");
	start_log_as(ACCESS_JSON);
	ask("GET", "/hello", header);
	ck_assert_int_eq(strncmp(member(logged(), "user_agent") + 1, most, 515), 0);
}
END_TEST

START_TEST(one_in_so_many_is_logged)
{
	server.config->access_sample = 3;
	start_log();
	ask_many(7, "GET /hello", "GET /hello?last");
	access_log_open(&server.engine, NULL, -1);      /* all is written that will be */
	offload_wait(&offload, clock_now_ns() + 5 * CLOCK_S);
	read_log("log");
	ck_assert_ptr_nonnull(strchr(log_text_read, '\n'));
	ck_assert_ptr_eq(strchr(strchr(log_text_read, '\n') + 1, '\n'), strrchr(log_text_read, '\n'));
	ck_assert_ptr_null(strstr(log_text_read, "last"));
}
END_TEST

START_TEST(a_server_error_is_logged_whatever_the_sample)
{
	server.config->access_sample = 1000000;
	start_log();
	ask_many(1, "GET /hello", "FROB /hello");
	ck_assert_ptr_nonnull(strstr(logged(), " 501 "));
	ck_assert_ptr_null(strstr(log_text_read, " 200 "));
}
END_TEST

START_TEST(only_slow_ones_are_logged)
{
	server.config->access_slow_ns = 35 * CLOCK_MS;
	start_log_as(ACCESS_JSON);
	ask_many(20, "GET /hello", "GET /slow");        /* 40 ms */
	ck_assert_ptr_nonnull(strstr(logged(), "/slow"));
	for (const char *at = strstr(log_text_read, "duration_us"); at != NULL;
	     at = strstr(at + 1, "duration_us"))        /* on a busy machine others may be slow too */
		ck_assert_int_ge(strtoll(at + strlen("duration_us") + 2, NULL, 10), 35000);
}
END_TEST

static bool slow_has_begun(void *what)
{
	(void)what;
	return server.engine.exchanges == 1;
}

static bool old_has_line(void *what)
{
	(void)what;
	return strchr(read_log("old"), '\n') != NULL;
}

START_TEST(an_exchange_under_way_is_logged_as_it_began)
{
	start_log();
	rename_log();
	fake_connect(&server, &client, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert(fake_until(&server, slow_has_begun, NULL));
	start_log_as(ACCESS_JSON);
	ck_assert(fake_until(&server, old_has_line, NULL));
	ck_assert_ptr_nonnull(strstr(log_text_read, "\"GET /slow HTTP/1.1\" 200"));
	ck_assert_str_eq(read_log("log"), "");
}
END_TEST

START_TEST(the_same_log_opened_anew_takes_exchanges_under_way_too)
{
	start_log();
	rename_log();
	fake_connect(&server, &client, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
	ck_assert(fake_until(&server, slow_has_begun, NULL));
	start_log();
	ck_assert_ptr_nonnull(strstr(logged(), "\"GET /slow HTTP/1.1\" 200"));
	ck_assert_str_eq(read_log("old"), "");
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
	tcase_add_loop_test(start, what_is_for_https_alone_is_not_given_out_without_it, 0,
			    sizeof(schemes) / sizeof(schemes[0]));
	tcase_add_test(start, an_error_page_can_be_read);
	tcase_add_test(start, status_answers_json_that_nobody_stores);
	tcase_add_loop_test(files, a_path_gets_its_status, 0, sizeof(targets) / sizeof(targets[0]));
	tcase_add_test(files, a_name_that_is_too_long_is_not_found);
	tcase_add_test(files, a_directory_sends_its_client_to_its_clean_path);
	tcase_add_test(files, a_file_has_the_type_of_its_name);
	tcase_add_test(files, a_file_from_the_future_was_modified_now);
	tcase_add_test(files, an_etag_is_made_of_size_and_time);
	tcase_add_loop_test(files, a_condition_gets_its_status, 0,
			    sizeof(conditions) / sizeof(conditions[0]));
	tcase_add_test(files, a_304_names_the_etag);
	tcase_add_test(files, a_root_that_is_not_there_is_refused);
	tcase_add_test(files, the_root_is_looked_up_for_each_request);
	tcase_add_test(log, a_request_is_a_line_in_the_common_log_format);
	tcase_add_test(log, a_log_that_is_switched_off_is_given_back);
	tcase_add_test(log, a_request_line_that_was_not_understood_is_a_dash);
	tcase_add_test(log, a_head_that_filled_the_buffer_is_logged_as_it_was);
	tcase_add_test(log, an_answer_that_was_cut_is_logged_with_what_was_sent);
	tcase_add_test(log, combined_has_referer_and_user_agent);
	tcase_add_test(log, combined_has_dashes_for_what_is_not_there);
	tcase_add_test(log, json_has_everything);
	tcase_add_test(log, json_leaves_out_what_was_not_understood);
	tcase_add_test(log, json_says_that_an_answer_was_cut);
	tcase_add_test(log, what_is_too_long_is_cut);
	tcase_add_test(log, one_in_so_many_is_logged);
	tcase_add_test(log, a_server_error_is_logged_whatever_the_sample);
	tcase_add_test(log, only_slow_ones_are_logged);
	tcase_add_test(log, an_exchange_under_way_is_logged_as_it_began);
	tcase_add_test(log, the_same_log_opened_anew_takes_exchanges_under_way_too);
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
