/* Listening sockets: how they are opened, whom they are named after, and how they are let go. */
#include "net/listener.h"

#include "base/clock.h"
#include "base/fd.h"

#include <check.h>
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { DEADLINE_MS = 10000 };

static char directory[64], path[80];
static struct addr tcp, local;          /* an address on which nobody listens; a path below the directory */
static struct listener_path no_path, its_path;
static struct err err;

static struct listener_options options(void)
{
	return (struct listener_options){
		.backlog = 16,
		.mode = 0666,
		.owner = LISTENER_AS_CREATED,
		.group = LISTENER_AS_CREATED,
	};
}

static void set_up(void)
{
	struct sockaddr_storage storage;
	socklen_t len = sizeof(storage);
	char text[96];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(directory, "/tmp/drover-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/socket", directory);
	snprintf(text, sizeof(text), "unix:%s", path);
	ck_assert(addr_parse(text, &local, &err));
	ck_assert(addr_parse("127.0.0.1:1", &tcp, &err));
	((struct sockaddr_in *)(void *)&tcp.storage)->sin_port = 0;
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&tcp.storage, tcp.len), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&storage, &len), 0);
	addr_describe(&storage, len, &tcp);
	close(fd);
}

static void tear_down(void)
{
	unlink(path);
	rmdir(directory);
}

static int open_with(const struct addr *addr, struct listener_options with, struct listener_path *where)
{
	int fd = listener_bind(addr, &with, where, &err);

	ck_assert_msg(fd >= 0, "%s", err.text);
	ck_assert_msg(listener_start(fd, addr, where, &with, &err), "%s", err.text);
	return fd;
}

static int open_tcp(void)
{
	return open_with(&tcp, options(), &no_path);
}

static int open_local(struct listener_options with)
{
	return open_with(&local, with, &its_path);
}

static int client_of(const struct addr *addr)
{
	return socket(addr->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* 0, or the errno of a connect that does not wait. */
static int connect_to(int fd, const struct addr *addr)
{
	return connect(fd, (const struct sockaddr *)&addr->storage, addr->len) == 0 ? 0 : errno;
}

/* ---- opening ------------------------ */

START_TEST(who_holds_a_tcp_address_is_named)
{
	struct listener_options with = options();
	char holder[64];
	int fd = open_tcp();

	snprintf(holder, sizeof(holder), "bind: Address already in use (held by pid %d, ", (int)getpid());
	ck_assert(!listener_probe(&tcp, &with, &err));
	ck_assert_ptr_nonnull(strstr(err.text, holder));
	close(fd);
}
END_TEST

START_TEST(who_holds_the_wildcard_is_named)
{
	struct listener_options with = options();
	struct addr all = tcp;
	char text[64];
	int fd;

	snprintf(text, sizeof(text), "[::]:%u",
		 ntohs(((struct sockaddr_in *)(void *)&tcp.storage)->sin_port));
	ck_assert(addr_parse(text, &all, &err));
	fd = open_with(&all, with, &no_path);
	ck_assert(!listener_probe(&tcp, &with, &err));
	ck_assert_msg(strstr(err.text, "(held by pid ") != NULL, "%s", err.text);
	close(fd);
}
END_TEST

START_TEST(who_holds_a_unix_address_is_named)
{
	struct listener_options with = options();
	char holder[64];
	int fd = open_local(with);

	snprintf(holder, sizeof(holder), "another program listens there (held by pid %d, ", (int)getpid());
	ck_assert(!listener_probe(&local, &with, &err));
	ck_assert_ptr_nonnull(strstr(err.text, holder));
	close(fd);
}
END_TEST

START_TEST(an_address_that_is_bound_but_not_listened_on_is_held_by_somebody)
{
	struct listener_options with = options();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(bind(fd, (struct sockaddr *)&tcp.storage, tcp.len), 0);
	ck_assert(!listener_probe(&tcp, &with, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "(held by another program)"));
	close(fd);
}
END_TEST

START_TEST(a_stale_path_is_taken_over)
{
	struct listener_options with = options();
	int fd = open_local(with);

	close(fd);
	ck_assert(listener_probe(&local, &with, &err));
	fd = open_local(with);
	ck_assert_int_eq(connect_to(client_of(&local), &local), 0);
	close(fd);
}
END_TEST

START_TEST(an_address_that_is_not_here_is_bound_with_freebind_only)
{
	struct listener_options with = options();
	static const char *const texts[] = { "192.0.2.1:80", "[2001:db8::1]:80" };      /* for documents only */
	struct addr elsewhere;
	int fd;

	ck_assert(addr_parse(texts[_i], &elsewhere, &err));
	ck_assert_int_lt(listener_bind(&elsewhere, &with, &no_path, &err), 0);
	with.freebind = true;
	fd = open_with(&elsewhere, with, &no_path);
	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

START_TEST(a_socket_is_bound_to_its_device)
{
	struct listener_options with = options();
	char name[32] = "";
	socklen_t len = sizeof(name);
	int fd;

	strcpy(with.device, "lo");
	fd = open_with(&tcp, with, &no_path);
	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len), 0);
	ck_assert_str_eq(name, "lo");
	close(fd);
}
END_TEST

START_TEST(a_device_that_does_not_exist_is_an_error)
{
	struct listener_options with = options();

	strcpy(with.device, "no-such-device");
	ck_assert_int_lt(listener_bind(&tcp, &with, &no_path, &err), 0);
	ck_assert_str_eq(err.text, "device \"no-such-device\": No such device");
}
END_TEST

/* ---- the path of a unix socket ------------------------ */

static struct stat look(void)
{
	struct stat info = { 0 };

	stat(path, &info);
	return info;
}

START_TEST(permissions_change_while_it_listens)
{
	struct listener_options with = options();
	int fd;

	with.mode = 0600;
	fd = open_local(with);
	ck_assert_uint_eq(look().st_mode & 07777, 0600);
	with.mode = 0660;
	ck_assert(listener_start(fd, &local, &its_path, &with, &err));
	ck_assert_uint_eq(look().st_mode & 07777, 0660);
	close(fd);
}
END_TEST

START_TEST(a_group_is_set_and_taken_back)
{
	struct listener_options with = options();
	unsigned before;
	int fd = open_local(with);

	before = look().st_gid;
	with.group = 65534;
	if (geteuid() != 0) {           /* who is not root can give it to no group of others */
		ck_assert(!listener_start(fd, &local, &its_path, &with, &err));
		close(fd);
		return;
	}
	ck_assert(listener_start(fd, &local, &its_path, &with, &err));
	ck_assert_uint_eq(look().st_gid, 65534);
	with.group = LISTENER_AS_CREATED;
	ck_assert(listener_start(fd, &local, &its_path, &with, &err));
	ck_assert_uint_eq(look().st_gid, before);
	close(fd);
}
END_TEST

START_TEST(a_path_is_removed_with_its_socket)
{
	int fd = open_local(options());

	close(fd);
	listener_unlink(&local, &its_path);
	ck_assert_int_lt(access(path, F_OK), 0);
}
END_TEST

START_TEST(a_path_that_another_program_made_its_own_is_left_alone)
{
	struct listener_options with = options();
	struct listener_path other;
	int fd = open_local(with), theirs;

	rename(path, "/tmp/drover-unit-moved"); /* so that its inode is not used again */
	with.mode = 0600;
	theirs = open_with(&local, with, &other);
	with.mode = 0666;
	ck_assert(listener_start(fd, &local, &its_path, &with, &err));
	ck_assert_uint_eq(look().st_mode & 07777, 0600);
	listener_unlink(&local, &its_path);
	ck_assert_int_eq(access(path, F_OK), 0);
	unlink("/tmp/drover-unit-moved");
	close(fd);
	close(theirs);
}
END_TEST

/* ---- letting go ------------------------ */

static bool becomes(int fd, short events, int within_ms)
{
	struct pollfd one = { fd, events, 0 };

	return poll(&one, 1, within_ms) == 1;
}

/* Another address of this machine. */
static int bind_elsewhere(struct addr *elsewhere)
{
	struct listener_options with = options();
	int fd;

	ck_assert(addr_parse("127.0.0.2:1", elsewhere, &err));
	((struct sockaddr_in *)(void *)&elsewhere->storage)->sin_port = 0;
	fd = listener_bind(elsewhere, &with, &no_path, &err);
	ck_assert_msg(fd >= 0, "%s", err.text);
	return fd;
}

static void take_filter_off(int fd)
{
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int)), 0);
}

/* 1: without the filter it would. */
START_TEST(by_a_socket_that_does_not_listen_yet_nobody_connects)
{
	struct addr elsewhere;
	int fd = bind_elsewhere(&elsewhere), other = open_tcp();

	if (_i == 1)
		take_filter_off(fd);
	ck_assert_int_eq(connect_to(fd, &tcp), EINPROGRESS);
	ck_assert_int_eq(becomes(fd, POLLOUT, 50), _i == 1);
	ck_assert_int_eq(listener_start(fd, &elsewhere, &no_path, &(struct listener_options){ .backlog = 1 },
					&err), false);
	close(fd);
	close(other);
}
END_TEST

START_TEST(by_a_socket_that_was_let_go_nobody_connects)
{
	struct addr elsewhere;
	struct listener_options with = options();
	int fd = bind_elsewhere(&elsewhere), other = open_tcp();

	ck_assert(listener_start(fd, &elsewhere, &no_path, &with, &err));
	ck_assert(listener_refuse_new(fd, &err));
	shutdown(fd, SHUT_RDWR);
	if (_i == 1)
		take_filter_off(fd);
	ck_assert_int_eq(connect_to(fd, &tcp), EINPROGRESS);
	ck_assert_int_eq(becomes(fd, POLLOUT, 50), _i == 1);
	close(fd);
	close(other);
}
END_TEST

START_TEST(a_socket_that_listens_has_no_filter)
{
	int fd = open_tcp();
	socklen_t count = 0;

	ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &count), 0);
	ck_assert_uint_eq(count, 0);
	close(fd);
}
END_TEST

START_TEST(who_comes_after_the_filter_waits_and_is_refused_at_the_close)
{
	int fd = open_tcp(), late = client_of(&tcp);
	socklen_t len = sizeof(int);
	int error = 0;

	ck_assert(listener_refuse_new(fd, &err));
	ck_assert_int_eq(connect_to(late, &tcp), EINPROGRESS);
	ck_assert(!becomes(late, POLLOUT, 50));
	close(fd);
	ck_assert(becomes(late, POLLOUT, DEADLINE_MS)); /* it tries again a second later */
	getsockopt(late, SOL_SOCKET, SO_ERROR, &error, &len);
	ck_assert_int_eq(error, ECONNREFUSED);
	close(late);
}
END_TEST

START_TEST(who_came_before_the_filter_is_accepted)
{
	int fd = open_tcp(), early = client_of(&tcp), accepted;

	connect_to(early, &tcp);
	ck_assert(listener_refuse_new(fd, &err));
	ck_assert_uint_eq(listener_queue(fd).waiting, 1);
	accepted = accept(fd, NULL, NULL);
	ck_assert_int_ge(accepted, 0);
	ck_assert_int_eq(send(early, "x", 1, MSG_NOSIGNAL), 1);
	ck_assert(becomes(accepted, POLLIN, DEADLINE_MS));
	ck_assert_uint_eq(listener_queue(fd).waiting, 0);
	close(accepted);
	close(early);
	close(fd);
}
END_TEST

/* The client sees the second SYN-ACK only, which comes a second after the first. */
START_TEST(a_handshake_under_way_is_completed_behind_the_filter)
{
	static struct sock_filter drop_all[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog program = { 1, drop_all };
	int fd = open_tcp(), half = client_of(&tcp), none = 0;

	setsockopt(half, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	ck_assert_int_eq(connect_to(half, &tcp), EINPROGRESS);
	ck_assert(listener_refuse_new(fd, &err));
	setsockopt(half, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
	ck_assert(becomes(fd, POLLIN, DEADLINE_MS));
	ck_assert_int_ge(accept(fd, NULL, NULL), 0);
	ck_assert(becomes(half, POLLOUT, DEADLINE_MS));
	close(half);
	close(fd);
}
END_TEST

START_TEST(a_unix_socket_that_was_shut_refuses_but_keeps_its_queue)
{
	int fd = open_local(options()), early = client_of(&local), late = client_of(&local);

	ck_assert_int_eq(connect_to(early, &local), 0);
	listener_shut(fd);
	ck_assert_int_eq(connect_to(late, &local), ECONNREFUSED);
	ck_assert_int_ge(accept(fd, NULL, NULL), 0);
	ck_assert_int_lt(accept(fd, NULL, NULL), 0);
	close(early);
	close(late);
	close(fd);
}
END_TEST

START_TEST(what_the_kernel_drops_is_counted)
{
	struct listener_options with = options();
	int fd, clients[16];

	with.backlog = 1;
	fd = open_with(&tcp, with, &no_path);
	for (int i = 0; i < 16; i++) {
		clients[i] = client_of(&tcp);
		connect_to(clients[i], &tcp);
	}
	ck_assert_uint_gt(listener_queue(fd).dropped, 0);
	for (int i = 0; i < 16; i++)
		close(clients[i]);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("listener");
	TCase *tests = tcase_create("listener");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_add_checked_fixture(tests, set_up, tear_down);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, who_holds_a_tcp_address_is_named);
	tcase_add_test(tests, who_holds_the_wildcard_is_named);
	tcase_add_test(tests, who_holds_a_unix_address_is_named);
	tcase_add_test(tests, an_address_that_is_bound_but_not_listened_on_is_held_by_somebody);
	tcase_add_test(tests, a_stale_path_is_taken_over);
	tcase_add_loop_test(tests, an_address_that_is_not_here_is_bound_with_freebind_only, 0, 2);
	tcase_add_test(tests, a_socket_is_bound_to_its_device);
	tcase_add_test(tests, a_device_that_does_not_exist_is_an_error);
	tcase_add_test(tests, permissions_change_while_it_listens);
	tcase_add_test(tests, a_group_is_set_and_taken_back);
	tcase_add_test(tests, a_path_is_removed_with_its_socket);
	tcase_add_test(tests, a_path_that_another_program_made_its_own_is_left_alone);
	tcase_add_loop_test(tests, by_a_socket_that_does_not_listen_yet_nobody_connects, 0, 2);
	tcase_add_loop_test(tests, by_a_socket_that_was_let_go_nobody_connects, 0, 2);
	tcase_add_test(tests, a_socket_that_listens_has_no_filter);
	tcase_add_test(tests, who_comes_after_the_filter_waits_and_is_refused_at_the_close);
	tcase_add_test(tests, who_came_before_the_filter_is_accepted);
	tcase_add_test(tests, a_handshake_under_way_is_completed_behind_the_filter);
	tcase_add_test(tests, a_unix_socket_that_was_shut_refuses_but_keeps_its_queue);
	tcase_add_test(tests, what_the_kernel_drops_is_counted);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
