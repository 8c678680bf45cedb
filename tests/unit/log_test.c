/* log_test.c - how events look: text, JSON, the journal's fields; escaping; and what a forked child does. */
#include "base/escape.h"
#include "base/log.h"
#include "base/log_line.h"
#include "base/log_record.h"

#include "base/clock.h"
#include "one_turn.h"

#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* ---- escaping ---------------------------------------------------------------------------------------- */

static const struct {
	const char *in, *text, *json;
} escapes[] = {
	{ "", "", "" },
	{ "plain /~!", "plain /~!", "plain /~!" },
	{ "\"", "\\x22", "\\\"" },
	{ "a\\b", "a\\x5cb", "a\\\\b" },
	{ "\r\n\t\x1b[31m\x7f", "\\x0d\\x0a\\x09\\x1b[31m\\x7f", "\\u000d\\u000a\\u0009\\u001b[31m\\u007f" },
	{ "\xc3\xa9", "\\xc3\\xa9", "\xc3\xa9" },
	{ "\xc2\x9b", "\\xc2\\x9b", "\\u009b" },        /* CSI in eight bits */
	{ "\xc2\x85", "\\xc2\\x85", "\\u0085" },        /* NEL, a line's end for some */
	{ "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa7\\xe2\\x80\\xa8\\xe2\\x80\\xa9",
	  "\xe2\x80\xa7\\u2028\\u2029" },
	/* NOLINTBEGIN(misc-misleading-bidirectional): that is what they are for */
	{ "a\xe2\x80\xae" "b", "a\\xe2\\x80\\xae" "b", "a\\u202eb" },     /* from right to left */
	{ "\xe2\x81\xa6\xe2\x81\xaa", "\\xe2\\x81\\xa6\\xe2\\x81\\xaa", "\\u2066\xe2\x81\xaa" },
	/* NOLINTEND(misc-misleading-bidirectional) */
	{ "\xc2\xa0", "\\xc2\\xa0", "\xc2\xa0" },
	{ "\xe2\x82\xac", "\\xe2\\x82\\xac", "\xe2\x82\xac" },
	{ "\xf0\x9f\x98\x80", "\\xf0\\x9f\\x98\\x80", "\xf0\x9f\x98\x80" },
	{ "\xff", "\\xff", "\\\\xff" },
	{ "\xc3", "\\xc3", "\\\\xc3" },                 /* cut off */
	{ "\xc3(", "\\xc3(", "\\\\xc3(" },
	{ "\xc0\xaf", "\\xc0\\xaf", "\\\\xc0\\\\xaf" }, /* overlong */
	{ "\xe0\x80\xaf", "\\xe0\\x80\\xaf", "\\\\xe0\\\\x80\\\\xaf" },
	{ "\xed\xa0\x80", "\\xed\\xa0\\x80", "\\\\xed\\\\xa0\\\\x80" }, /* a surrogate */
	{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\\\xf4\\\\x90\\\\x80\\\\x80" },
	{ "\xf0\x9f\x98", "\\xf0\\x9f\\x98", "\\\\xf0\\\\x9f\\\\x98" },
};

START_TEST(bytes_are_escaped)
{
	char out[256];

	*escape_text(out, str_of(escapes[_i].in)) = '\0';
	ck_assert_str_eq(out, escapes[_i].text);
	*escape_json(out, str_of(escapes[_i].in)) = '\0';
	ck_assert_str_eq(out, escapes[_i].json);
}
END_TEST

START_TEST(json_is_valid_for_any_bytes_and_within_its_bound)
{
	unsigned state = 99;
	char in[64], out[sizeof(in) * ESCAPE_JSON_MOST + 3];

	for (unsigned i = 0; i < 20000; i++) {
		size_t len = i % sizeof(in);
		json_t *value;
		char *end, *at;

		for (size_t j = 0; j < len; j++) {
			state = state * 1664525 + 1013904223;
			in[j] = (char)(state >> 24 | (state >> 20 & 1 ? 0x80 : 0));
		}
		out[0] = '"';
		end = escape_json(out + 1, (struct str){ in, len });
		ck_assert_uint_le((size_t)(end - out - 1), len * ESCAPE_JSON_MOST);
		strcpy(end, "\"");
		value = json_loads(out, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		ck_assert_msg(value != NULL, "%s", out);
		json_decref(value);
		*escape_text(out, (struct str){ in, len }) = '\0';
		for (at = out; *at >= ' ' && *at <= '~' && *at != '"'; at++)
			;
		ck_assert_int_eq(*at, '\0');
	}
}
END_TEST

/* ---- lines ------------------------------------------------------------------------------------------- */

#define FIELDS(...) (const struct log_field[]){ __VA_ARGS__, { NULL, NULL, 0 } }

static struct log_line line_of(const struct log_field *fields)
{
	return (struct log_line){ LEVEL_NOTICE, "master", "tried", fields, { 951782400, 7000000 } };
}

START_TEST(text_has_time_level_role_event_and_fields)
{
	struct log_line line = line_of(FIELDS(log_number("n", 5), log_text("plain", "a"), log_text("empty", ""),
					      log_text("odd", "a \"b\"\n")));
	char out[LOG_LINE_BYTES];
	size_t len = log_line_text(&line, true, out, sizeof(out));

	out[len] = '\0';
	ck_assert_str_eq(out, "2000-02-29T00:00:00.007Z notice master tried n=5 plain=a empty=\"\""
			      " odd=\"a \\\"b\\\"\\x0a\"");
}
END_TEST

START_TEST(json_has_the_same)
{
	struct log_line line = line_of(FIELDS(log_number("n", 5), log_text("odd", "a \"b\"\n\xff")));
	char out[LOG_LINE_BYTES];
	size_t len = log_line_json(&line, out, sizeof(out));

	out[len] = '\0';
	ck_assert_str_eq(out, "{\"time\":\"2000-02-29T00:00:00.007Z\",\"level\":\"notice\",\"role\":\"master\","
			      "\"event\":\"tried\",\"n\":5,\"odd\":\"a \\\"b\\\"\\u000a\\\\xff\"}");
}
END_TEST

/* Whatever is too much for a line, it is an object. */
START_TEST(json_is_whole_however_long_its_values_are)
{
	static char value[8192];
	char out[LOG_LINE_BYTES + 1];

	for (size_t bytes = 0; bytes + 7 < sizeof(value); bytes += 7) {
		struct log_line line = line_of(FIELDS(log_text("a", value), log_number("n", bytes),
						      log_text("b", value)));
		size_t len = log_line_json(&line, out, LOG_LINE_BYTES);
		json_t *object;

		ck_assert_uint_le(len, LOG_LINE_BYTES);
		object = json_loadb(out, len, 0, NULL);
		ck_assert(json_is_object(object));
		ck_assert_str_eq(json_string_value(json_object_get(object, "event")), "tried");
		json_decref(object);
		memset(value + bytes, bytes % 2 ? '"' : '\xff', 7);
	}
}
END_TEST

START_TEST(text_is_cut_at_its_bound)
{
	static char value[8192];
	struct log_line line = line_of(FIELDS(log_text("a", value)));
	char out[LOG_LINE_BYTES];

	memset(value, 'x', sizeof(value) - 1);
	ck_assert_uint_eq(log_line_text(&line, true, out, sizeof(out)), sizeof(out));
}
END_TEST

START_TEST(a_journal_value_cannot_make_up_a_field)
{
	struct log_line line = line_of(FIELDS(log_text("error", "x\nPRIORITY=0")));
	static char out[LOG_LINE_RECORD_BYTES];
	size_t len = log_line_journal(&line, out);

	ck_assert_ptr_nonnull(memmem(out, len, "\nPRIORITY=5\n", 12));
	ck_assert_ptr_nonnull(memmem(out, len, "\nDROVER_EVENT=tried\n", 20));
	/* the value with its length in front, little endian */
	ck_assert_ptr_nonnull(memmem(out, len, "\nDROVER_ERROR\n\x0c\0\0\0\0\0\0\0x\nPRIORITY=0\n", 35));
}
END_TEST

START_TEST(a_journal_record_is_within_its_bound)
{
	static char value[32 * 1024], out[LOG_LINE_RECORD_BYTES + 1];
	struct log_line line = line_of(FIELDS(log_text("a", value), log_text("b", value), log_text("c", value)));

	memset(value, '\n', sizeof(value) - 1);
	out[LOG_LINE_RECORD_BYTES] = 'e';
	ck_assert_uint_le(log_line_journal(&line, out), LOG_LINE_RECORD_BYTES);
	ck_assert_int_eq(out[LOG_LINE_RECORD_BYTES], 'e');
}
END_TEST

START_TEST(a_message_id_never_changes)
{
	char id[LOG_RECORD_ID_BYTES];

	log_record_id("reload_failed", id);
	ck_assert_str_eq(id, "86d0b68293524267d0dd3612635391b4");
}
END_TEST

START_TEST(a_syslog_head_is_that_of_the_c_library)
{
	char out[LOG_RECORD_HEAD_BYTES];

	setenv("TZ", "UTC", 1);
	tzset();
	*log_record_syslog(out, 6, 951782400 + 3661, 42) = '\0';
	ck_assert_str_eq(out, "<30>Feb 29 01:01:01 drover[42]: ");
	*log_record_syslog(out, 3, 951782400 + 86400, 42) = '\0';
	ck_assert_str_eq(out, "<27>Mar  1 00:00:00 drover[42]: ");
}
END_TEST

/* ---- the process's log ------------------------------------------------------------------------------- */

static struct loop loop;
static struct offload offload;
static struct log_writers writers;
static char dir[] = "/tmp/drover-log-XXXXXX", path[64], content[64 * 1024];

static const char *written(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, content, sizeof(content) - 1);

	close(fd);
	content[len > 0 ? len : 0] = '\0';
	return content;
}

static void set_up(void)
{
	struct log_setup setup = { .least = LEVEL_INFO, .target = { LOG_STREAM, -1, NULL } };
	struct err err;

	ck_assert(loop_open(&loop, &err));
	offload_init(&offload, &loop, 16);
	log_writers_init(&writers, &loop, &offload);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
	setup.target.fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	log_role("test");
	log_open(&writers, &setup);
}

static void tear_down(void)
{
	uint64_t deadline_ns = clock_now_ns() + 10 * CLOCK_S;

	log_close();
	log_writers_close(&writers, deadline_ns);
	ck_assert_uint_eq(offload_close(&offload, deadline_ns), 0);
	loop_close(&loop);
	unlink(path);
	rmdir(dir);
}

START_TEST(a_file_is_written_by_the_helper)
{
	log_event(LEVEL_INFO, "one", log_number("n", 1));
	log_event(LEVEL_DEBUG, "left_out");
	log_event(LEVEL_ERROR, "two");
	offload_wait(&offload, clock_now_ns() + 10 * CLOCK_S);
	ck_assert_ptr_nonnull(strstr(written(), " info test one n=1\n"));
	ck_assert_ptr_nonnull(strstr(content, " error test two\n"));
	ck_assert_ptr_null(strstr(content, "left_out"));
}
END_TEST

START_TEST(more_than_the_burst_is_counted)
{
	uint64_t lost = 0;

	log_count(&lost);
	for (unsigned i = 0; i < 3 * LOG_BURST; i++)    /* in two different seconds at most */
		log_event(LEVEL_INFO, "many");
	ck_assert_uint_ge(lost, LOG_BURST);
	log_count(NULL);
}
END_TEST

/* ---- what is lost ------------------------------------------------------------------------------------ */

enum { BIG_EVENTS = 60, BIG_BYTES = 16000 };

static uint64_t lost;

/* More than a ring has room for, to a journal that is not there. */
static void overflow_journal(const char *socket_path)
{
	struct log_setup setup = { .least = LEVEL_INFO, .target = { LOG_JOURNAL, -1, socket_path } };
	static char value[BIG_BYTES + 1];

	memset(value, 'x', BIG_BYTES);
	lost = 0;
	log_count(&lost);
	log_open(&writers, &setup);
	for (unsigned i = 0; i < BIG_EVENTS; i++)
		log_event(LEVEL_INFO, "big", log_text("value", value));
	ck_assert_uint_gt(lost, 0);
	ck_assert_uint_lt(lost, BIG_EVENTS);
}

static int bind_journal(const char *socket_path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, socket_path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static uint64_t number_behind(const char *name)
{
	const char *at = strstr(content, name);

	return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* A record for the journal may be much longer than a line: the notice must find room all the same. */
START_TEST(a_journal_that_comes_late_is_told_how_many_are_lost)
{
	uint64_t came = 0, said = 0;
	char socket_path[80];
	int fd;

	snprintf(socket_path, sizeof(socket_path), "%s.socket", path);
	overflow_journal(socket_path);
	fd = bind_journal(socket_path);
	while (came + said < BIG_EVENTS) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		ssize_t len;

		one_turn(&loop);
		while (poll(&ready, 1, 0) == 1) {
			len = recv(fd, content, sizeof(content) - 1, 0);
			ck_assert_int_gt(len, 0);
			content[len] = '\0';
			came += strstr(content, "DROVER_EVENT=big\n") != NULL;
			said += number_behind("DROVER_LINES=");
		}
	}
	ck_assert_uint_eq(said, lost);
	ck_assert_uint_eq(came + said, BIG_EVENTS);
	log_count(NULL);
	close(fd);
	unlink(socket_path);
}
END_TEST

/* A target without a writer says it too, with the first line of the next second. */
START_TEST(what_was_lost_before_a_change_of_target_is_said_behind_it)
{
	struct log_setup setup = { .least = LEVEL_INFO, .target = { LOG_STREAM, -1, NULL } };
	char socket_path[80];
	uint64_t second;
	int ends[2];

	snprintf(socket_path, sizeof(socket_path), "%s.socket", path);
	overflow_journal(socket_path);
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	setup.target.fd = ends[1];
	log_open(&writers, &setup);
	for (second = clock_now_ns() / CLOCK_S; clock_now_ns() / CLOCK_S == second;)
		sched_yield();                  /* the second is what is tested */
	log_event(LEVEL_INFO, "again");
	content[read(ends[0], content, sizeof(content) - 1)] = '\0';
	ck_assert_uint_eq(number_behind("log_lines_dropped lines="), lost);
	log_count(NULL);
	close(ends[0]);
}
END_TEST

/* The helper has the lock, or a line half written, at the very moment of a fork; the child logs to stderr and
 * has a thread of its own if it wants one. */
START_TEST(a_forked_child_touches_nothing_that_it_inherited)
{
	/* a thread allocates as it starts, and the sanitizer's allocator has locks that a fork copies */
	log_event(LEVEL_INFO, "begin");
	offload_wait(&offload, clock_now_ns() + 10 * CLOCK_S);
	for (unsigned i = 0; i < 50; i++) {
		int status;
		pid_t pid;

		log_event(LEVEL_INFO, "parent");
		pid = fork();
		if (pid == 0) {
			struct log_setup setup = { .least = LEVEL_INFO, .target = { LOG_STREAM, -1, NULL } };

			alarm(20);
			log_forked();
			log_writers_forget(&writers);
			offload_forget(&offload);
			log_open(NULL, &setup);
			log_role("child");
			setup.target.fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
			log_open(&writers, &setup);
			log_event(LEVEL_INFO, "hello");
			log_close();
			log_writers_close(&writers, clock_now_ns() + 10 * CLOCK_S);
			_exit((int)offload_close(&offload, clock_now_ns() + 10 * CLOCK_S));
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
	}
	offload_wait(&offload, clock_now_ns() + 10 * CLOCK_S);
	written();
	for (unsigned i = 0; i < 2; i++) {
		static const char *const lines[] = { " test parent\n", " child hello\n" };
		unsigned count = 0;

		for (const char *at = strstr(content, lines[i]); at != NULL; at = strstr(at + 1, lines[i]))
			count++;
		ck_assert_uint_eq(count, 50);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *all = suite_create("log");
	TCase *lines = tcase_create("lines"), *process = tcase_create("process");

	tcase_add_checked_fixture(process, set_up, tear_down);
	tcase_set_timeout(process, 60);
	suite_add_tcase(all, lines);
	suite_add_tcase(all, process);
	tcase_add_loop_test(lines, bytes_are_escaped, 0, sizeof(escapes) / sizeof(escapes[0]));
	tcase_add_test(lines, json_is_valid_for_any_bytes_and_within_its_bound);
	tcase_add_test(lines, text_has_time_level_role_event_and_fields);
	tcase_add_test(lines, json_has_the_same);
	tcase_add_test(lines, json_is_whole_however_long_its_values_are);
	tcase_add_test(lines, text_is_cut_at_its_bound);
	tcase_add_test(lines, a_journal_value_cannot_make_up_a_field);
	tcase_add_test(lines, a_journal_record_is_within_its_bound);
	tcase_add_test(lines, a_message_id_never_changes);
	tcase_add_test(lines, a_syslog_head_is_that_of_the_c_library);
	tcase_add_test(process, a_file_is_written_by_the_helper);
	tcase_add_test(process, more_than_the_burst_is_counted);
	tcase_add_test(process, a_journal_that_comes_late_is_told_how_many_are_lost);
	tcase_add_test(process, what_was_lost_before_a_change_of_target_is_said_behind_it);
	tcase_add_test(process, a_forked_child_touches_nothing_that_it_inherited);
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
