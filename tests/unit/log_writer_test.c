/* log_writer_test.c - lines on their way to files that are full, pipes that nobody reads, sockets that are
 * gone.
 *
 * A full disk is RLIMIT_FSIZE: a write that crosses it is cut, the next one fails (setrlimit(2)). */
#include "base/log_writer.h"

#include "base/clock.h"
#include "base/fd.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

enum {
	PIPE_BYTES = 4096,
	MANY = 60000,
	TEXT_BYTES = 8 << 20,
	FULL_BYTES = 1 << 20,           /* far above what check itself writes */
};

static struct loop loop;
static struct offload offload;
static struct log_writers writers;
static struct log_writer *writer;
static uint64_t lost, said, failures;
static int failed_with;
static char dir[] = "/tmp/drover-log-XXXXXX", path[64], text[TEXT_BYTES];

static uint64_t soon(void)
{
	return clock_now_ns() + 20 * CLOCK_S;
}

static void put(const char *line)
{
	size_t len = strlen(line);
	char *out = log_writer_room(writer, len);

	if (out == NULL)
		return;
	memcpy(out, line, len);
	log_writer_put(writer, len);
}

static void say_lost(struct log_owner *owner, struct log_writer *from, uint64_t lines)
{
	char line[64];

	(void)owner;
	ck_assert_ptr_eq(from, writer);
	said += lines;
	snprintf(line, sizeof(line), "lost %llu\n", (unsigned long long)lines);
	put(line);
}

static void say_failed(struct log_owner *owner, int error)
{
	(void)owner;
	failures++;
	failed_with = error;
}

static struct log_owner owner = { say_lost, say_failed, &lost, 0, 0 };

static void set_up(void)
{
	struct err err;

	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	ck_assert(loop_open(&loop, &err));
	offload_init(&offload, &loop, 32);
	log_writers_init(&writers, &loop, &offload);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
}

static void tear_down(void)
{
	uint64_t deadline_ns = soon();
	char other[80];

	log_writers_close(&writers, deadline_ns);
	ck_assert_uint_eq(offload_close(&offload, deadline_ns), 0);
	loop_close(&loop);
	snprintf(other, sizeof(other), "%s.new", path);
	unlink(path);
	unlink(other);
	rmdir(dir);
}

static void open_writer(enum log_kind kind, int fd, const char *socket)
{
	writer = log_writer_open(&writers, &(struct log_target){ kind, fd, socket }, &owner);
	ck_assert_ptr_nonnull(writer);
}

static int open_file(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static const char *content(const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

/* ---- the loop, as far as it takes -------------------------------------------------------------------- */

static bool (*condition)(void);

static void look(struct turn_end *hook)
{
	(void)hook;
	if (condition())
		loop_stop(&loop);
}

static void give_up(struct timer *timer, uint64_t now_ns)
{
	(void)timer;
	(void)now_ns;
	ck_abort_msg("nothing happened for 20 seconds; the log is \"%.2000s\"", content(path));
}

static void run_until(bool (*holds)(void))
{
	static struct turn_end hook = { .run = look };
	static struct timer guard = { .fire = give_up };
	struct err err;

	if (!list_linked(&hook.link))
		loop_at_turn_end(&loop, &hook);
	condition = holds;
	loop.stopped = holds();
	loop.now_ns = clock_now_ns();
	loop_timer(&loop, &guard, 20 * CLOCK_S);
	ck_assert(loop_run(&loop, &err));
	timer_cancel(&guard);
}

static bool is_quiet(void)
{
	return offload.count == 0;
}

static bool has_failed(void)
{
	return failures > 0;
}

static const char *wanted;

static bool has_wanted(void)
{
	return strstr(content(path), wanted) != NULL;
}

static void wait_for(const char *line)
{
	wanted = line;
	run_until(has_wanted);
}

/* ---- files ------------------------------------------------------------------------------------------- */

START_TEST(lines_are_written_in_their_order)
{
	char line[64];
	const char *at;

	open_writer(LOG_STREAM, open_file(path), NULL);
	for (unsigned i = 0; i < MANY; i++) {           /* several times the ring */
		snprintf(line, sizeof(line), "line %u, some bytes to fill the ring\n", i);
		put(line);
		if (i % 1000 == 999)
			run_until(is_quiet);
	}
	run_until(is_quiet);
	ck_assert_uint_eq(lost, 0);
	at = content(path);
	for (unsigned i = 0; i < MANY; i++, at = strchr(at, '\n') + 1)
		ck_assert_uint_eq(strtoul(at + 5, NULL, 10), i);
	ck_assert_str_eq(at, "");
}
END_TEST

START_TEST(lines_wait_for_company_as_long_as_the_owner_says)
{
	struct log_owner slow = owner;

	slow.delay_ns = 20 * CLOCK_MS;
	writer = log_writer_open(&writers, &(struct log_target){ LOG_STREAM, open_file(path), NULL }, &slow);
	put("one\n");
	ck_assert_uint_eq(offload.count, 0);
	put("two\n");
	wait_for("one\ntwo\n");
}
END_TEST

static void limit_file(rlim_t bytes)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);   /* the soft one: it can be lifted again */
}

/* A file of FULL_BYTES; what is behind them counts. */
static int open_large(void)
{
	int fd = open_file(path);

	ck_assert_int_eq(ftruncate(fd, FULL_BYTES - 1), 0);
	ck_assert_int_eq(write(fd, "\n", 1), 1);
	return fd;
}

static const char *behind(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = pread(fd, text, sizeof(text) - 1, FULL_BYTES);

	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

static bool has_wanted_behind(void)
{
	return strstr(behind(), wanted) != NULL;
}

static void wait_behind(const char *line)
{
	wanted = line;
	run_until(has_wanted_behind);
}

/* "0123456789\n" was cut in the middle; the disk is full. */
static void tear_line(void)
{
	open_writer(LOG_STREAM, open_large(), NULL);
	limit_file(FULL_BYTES + 5);
	put("0123456789\n");
	run_until(has_failed);
	ck_assert_str_eq(behind(), "01234");
	ck_assert_int_eq(failed_with, EFBIG);
}

START_TEST(a_line_that_was_torn_is_written_again_when_there_is_room)
{
	tear_line();
	put("next\n");
	limit_file(RLIM_INFINITY);
	wait_behind("next");
	ck_assert_str_eq(behind(), "01234\n0123456789\nnext\n");
	ck_assert_uint_eq(lost, 0);
}
END_TEST

START_TEST(so_it_is_in_a_file_that_cannot_be_read)
{
	int readable = open_large();

	open_writer(LOG_STREAM, open(path, O_WRONLY | O_APPEND | O_CLOEXEC), NULL);
	limit_file(FULL_BYTES + 10);
	put("one\ntwo\nthree\n");
	run_until(has_failed);
	limit_file(RLIM_INFINITY);
	wait_behind("three\n");
	close(readable);
	ck_assert_str_eq(behind(), "one\ntwo\nth\nthree\n");
	ck_assert_uint_eq(lost, 0);
}
END_TEST

/* Whatever another process does with the half in the meantime. */
START_TEST(a_line_that_was_torn_never_glues_to_that_of_another_process)
{
	static const struct {
		const char *theirs, *all;
	} cases[] = {
		{ "other\n", "01234other\n0123456789\nnext\n" },
		{ "\n", "01234\n0123456789\nnext\n" },
		{ "\noth", "01234\noth\n0123456789\nnext\n" },
	};
	int other = open_file(path);

	tear_line();
	limit_file(RLIM_INFINITY);
	ck_assert_int_gt(write(other, cases[_i].theirs, strlen(cases[_i].theirs)), 0);
	put("next\n");
	wait_behind("next");
	close(other);
	ck_assert_str_eq(behind(), cases[_i].all);
	ck_assert_uint_eq(lost, 0);
}
END_TEST

START_TEST(what_another_process_tore_is_ended_first)
{
	int other = open_file(path);

	ck_assert_int_eq(write(other, "torn", 4), 4);
	close(other);
	open_writer(LOG_STREAM, open_file(path), NULL);
	put("next\n");
	wait_for("next");
	ck_assert_str_eq(content(path), "torn\nnext\n");
}
END_TEST

START_TEST(a_failure_is_said_once_and_a_gap_when_it_is_over)
{
	char line[1024];

	memset(line, 'x', sizeof(line) - 2);
	strcpy(line + sizeof(line) - 2, "\n");
	open_writer(LOG_STREAM, open_large(), NULL);
	limit_file(FULL_BYTES);
	for (unsigned i = 0; i < 4000; i++)
		put(line);
	run_until(has_failed);
	ck_assert_uint_gt(lost, 2800);          /* a ring has 1 MiB */
	limit_file(RLIM_INFINITY);
	wait_behind("lost");
	ck_assert_uint_eq(said, lost);
	ck_assert_uint_eq(failures, 1);
	put("next\n");
	wait_behind("next");
}
END_TEST

START_TEST(a_writer_that_is_retired_still_writes_what_it_has)
{
	char other[80];

	snprintf(other, sizeof(other), "%s.new", path);
	open_writer(LOG_STREAM, open_file(path), NULL);
	put("old\n");
	log_writer_retire(writer);
	open_writer(LOG_STREAM, open_file(other), NULL);
	put("new\n");
	run_until(is_quiet);
	ck_assert_str_eq(content(path), "old\n");
	ck_assert_str_eq(content(other), "new\n");
	ck_assert_ptr_eq(writers.all.next, writers.all.prev);   /* one is left */
}
END_TEST

/* ---- pipes ------------------------------------------------------------------------------------------- */

static int reader;

/* A pipe of one page that nobody reads, in blocking mode, as a supervisor's is. */
static void open_pipe(void)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	ck_assert_int_ge(fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES), 0);
	reader = ends[0];
	open_writer(LOG_STREAM, ends[1], NULL);
}

static size_t text_len;

/* Takes what is there. */
static void drain_pipe(void)
{
	struct pollfd ready = { .fd = reader, .events = POLLIN };

	while (poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0) {
		ssize_t len = read(reader, text + text_len, sizeof(text) - text_len - 1);

		ck_assert_int_gt(len, 0);
		text_len += (size_t)len;
	}
	text[text_len] = '\0';
}

static void put_numbered(unsigned number)
{
	char line[128];

	snprintf(line, sizeof(line), "line %u %.*s\n", number, (int)(number % 90),
		 "..............................................................................................");
	put(line);
}

/* Every line is there, or in the gap that the notice in its place says. */
static void check_numbers(unsigned count)
{
	unsigned next = 0, number;

	for (const char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
		ck_assert_ptr_nonnull(strchr(at, '\n'));
		number = (unsigned)strtoul(at + 5, NULL, 10);
		if (strncmp(at, "lost ", 5) == 0) {
			next += number;
			continue;
		}
		ck_assert_int_eq(strncmp(at, "line ", 5), 0);
		ck_assert_uint_eq(number, next);
		next++;
	}
	ck_assert_uint_eq(next, count);
}

static bool pipe_has_end(void)
{
	drain_pipe();
	return strstr(text, wanted) != NULL;
}

static bool every_gap_is_said(void)
{
	drain_pipe();
	return said == lost;
}

START_TEST(a_pipe_that_nobody_reads_costs_lines_and_nothing_else)
{
	open_pipe();
	for (unsigned i = 0; i < MANY; i++)
		put_numbered(i);
	run_until(is_quiet);
	ck_assert_uint_gt(lost, 0);
	wanted = "lost ";
	run_until(pipe_has_end);
	ck_assert_uint_eq(said, lost);
	check_numbers(MANY);
	ck_assert_uint_eq(failures, 0);
	close(reader);
}
END_TEST

START_TEST(a_random_reader_sees_every_line_or_how_many_are_missing)
{
	unsigned state = 7 + (unsigned)_i, put_count = 0;
	char last[32];

	open_pipe();
	while (put_count < MANY) {
		unsigned burst;

		state = state * 1664525 + 1013904223;
		burst = state >> 22;
		for (unsigned i = 0; i < burst; i++)
			put_numbered(put_count++);
		if (state >> 8 & 1)
			run_until(is_quiet);
		if (state >> 9 & 1)
			drain_pipe();
	}
	run_until(every_gap_is_said);   /* so there is room for a last line */
	snprintf(last, sizeof(last), "line %u ", put_count);
	put_numbered(put_count++);
	wanted = last;
	run_until(pipe_has_end);
	check_numbers(put_count);
	close(reader);
}
END_TEST

START_TEST(a_close_waits_for_a_slow_reader)
{
	int status;
	pid_t pid;

	open_pipe();
	for (unsigned i = 0; i < 1000; i++)
		put_numbered(i);
	pid = fork();
	if (pid == 0) {                 /* reads to the end, and counts */
		ssize_t len = 1, sum = 0;

		log_writers_forget(&writers);
		offload_forget(&offload);
		fd_close_others((int[]){ reader }, 1);  /* the thread may just have had one more */
		for (; len > 0; sum += len > 0 ? len : 0)
			len = read(reader, text, 512);
		_exit(sum > 50000 ? 0 : 1);
	}
	log_writers_close(&writers, soon());
	ck_assert_uint_eq(lost, 0);
	close(reader);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_close_does_not_wait_for_a_reader_that_does_not_come)
{
	uint64_t begin = clock_now_ns();

	open_pipe();
	for (unsigned i = 0; i < 1000; i++)
		put_numbered(i);
	log_writers_close(&writers, begin + 100 * CLOCK_MS);
	ck_assert_uint_lt(clock_now_ns() - begin, 10 * CLOCK_S);
	drain_pipe();
	ck_assert_uint_gt(lost, 900);
	ck_assert_uint_lt(lost, 1000);
	close(reader);
}
END_TEST

START_TEST(a_reader_that_is_gone_is_a_failure)
{
	open_pipe();
	close(reader);
	put("line\n");
	run_until(has_failed);
	ck_assert_int_eq(failed_with, EPIPE);
}
END_TEST

static unsigned count_writers(void)
{
	unsigned count = 0;

	for (const struct list *link = writers.all.next; link != &writers.all; link = link->next)
		count++;
	return count;
}

START_TEST(retired_writers_do_not_pile_up)
{
	for (unsigned i = 0; i < 50; i++) {
		open_pipe();            /* its other end stays open, and full */
		for (unsigned j = 0; j < 200; j++)
			put_numbered(j);
		run_until(is_quiet);
		log_writer_retire(writer);
	}
	ck_assert_uint_lt(count_writers(), 12);
	ck_assert_uint_gt(lost, 0);
	log_writers_close(&writers, clock_now_ns());
}
END_TEST

static sem_t gate;

static void hold_thread(struct offload_job *job)
{
	(void)job;
	sem_wait(&gate);
}

static void held_done(struct offload_job *job)
{
	(void)job;
}

static bool one_writer_is_left(void)
{
	return count_writers() == 1;
}

/* Reloads in a row while the disk hangs: what is kept is bounded, each line is written or counted. */
START_TEST(nor_do_they_while_the_thread_hangs)
{
	struct offload_job held = { .work = hold_thread, .done = held_done };
	unsigned lines = 0;

	sem_init(&gate, 0, 0);
	ck_assert(offload_submit(&offload, &held));
	for (unsigned i = 0; i < 50; i++) {
		open_writer(LOG_STREAM, open_file(path), NULL);
		put("line\n");
		log_writer_retire(writer);
	}
	ck_assert_uint_lt(count_writers(), 12);
	ck_assert_uint_gt(lost, 30);
	open_writer(LOG_STREAM, open_file(path), NULL);
	sem_post(&gate);
	run_until(one_writer_is_left);
	for (const char *at = content(path); *at != '\0'; at = strchr(at, '\n') + 1)
		lines++;
	ck_assert_uint_eq(lines + lost, 50);
}
END_TEST

/* ---- datagrams --------------------------------------------------------------------------------------- */

static int bind_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int receiver;

static bool has_datagram(void)
{
	return recv(receiver, text, sizeof(text), MSG_PEEK) >= 0;
}

/* Receives one, waiting for it. */
static const char *receive(int fd)
{
	ssize_t len;

	receiver = fd;
	run_until(has_datagram);
	len = recv(fd, text, sizeof(text) - 1, 0);
	ck_assert_int_ge(len, 0);
	text[len] = '\0';
	return text;
}

START_TEST(each_record_is_a_datagram)
{
	int fd = bind_socket();

	open_writer(LOG_SYSLOG, -1, path);
	put("one\ntwo");
	put("three");
	run_until(is_quiet);
	ck_assert_str_eq(receive(fd), "one\ntwo");
	ck_assert_str_eq(receive(fd), "three");
	close(fd);
}
END_TEST

START_TEST(a_reader_that_comes_late_or_comes_back_misses_nothing)
{
	int fd;

	open_writer(LOG_JOURNAL, -1, path);
	put("early");
	run_until(has_failed);
	ck_assert_int_eq(failed_with, ENOENT);
	fd = bind_socket();
	ck_assert_str_eq(receive(fd), "early");
	close(fd);
	unlink(path);
	fd = bind_socket();
	put("again");
	ck_assert_str_eq(receive(fd), "again");
	ck_assert_uint_eq(lost, 0);
	close(fd);
}
END_TEST

START_TEST(a_record_that_is_too_long_for_a_datagram_is_lost_and_counted)
{
	int fd = bind_socket();
	static char line[220 * 1024];

	memset(line, 'x', sizeof(line) - 1);
	open_writer(LOG_SYSLOG, -1, path);
	put(line);
	put("short");
	run_until(is_quiet);
	ck_assert_str_eq(receive(fd), "short");
	ck_assert_uint_eq(lost, 1);
	close(fd);
}
END_TEST

START_TEST(a_slow_reader_gets_all_that_the_ring_has)
{
	int fd = bind_socket();
	unsigned sent = 0;

	open_writer(LOG_SYSLOG, -1, path);
	for (; sent < 500; sent++)      /* more than a socket's queue (net.unix.max_dgram_qlen) */
		put_numbered(sent);
	run_until(is_quiet);
	for (unsigned received = 0; received < sent; received++)
		ck_assert_uint_eq(strtoul(receive(fd) + 5, NULL, 10), received);
	ck_assert_uint_eq(lost, 0);
	close(fd);
}
END_TEST

static Suite *suite(void)
{
	const TTest *const tests[] = {
		lines_are_written_in_their_order,
		lines_wait_for_company_as_long_as_the_owner_says,
		a_line_that_was_torn_is_written_again_when_there_is_room,
		so_it_is_in_a_file_that_cannot_be_read,
		what_another_process_tore_is_ended_first,
		a_failure_is_said_once_and_a_gap_when_it_is_over,
		a_writer_that_is_retired_still_writes_what_it_has,
		a_pipe_that_nobody_reads_costs_lines_and_nothing_else,
		a_close_waits_for_a_slow_reader,
		a_close_does_not_wait_for_a_reader_that_does_not_come,
		a_reader_that_is_gone_is_a_failure,
		retired_writers_do_not_pile_up,
		nor_do_they_while_the_thread_hangs,
		each_record_is_a_datagram,
		a_reader_that_comes_late_or_comes_back_misses_nothing,
		a_record_that_is_too_long_for_a_datagram_is_lost_and_counted,
		a_slow_reader_gets_all_that_the_ring_has,
	};
	Suite *all = suite_create("log_writer");
	TCase *writing = tcase_create("writing");

	tcase_add_checked_fixture(writing, set_up, tear_down);
	tcase_set_timeout(writing, 60);
	suite_add_tcase(all, writing);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(writing, tests[i]);
	tcase_add_loop_test(writing, a_line_that_was_torn_never_glues_to_that_of_another_process, 0, 3);
	tcase_add_loop_test(writing, a_random_reader_sees_every_line_or_how_many_are_missing, 0, 4);
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
