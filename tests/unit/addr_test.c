/* addr_test.c - addresses and networks, text to bytes and back. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct addr parsed(const char *text)
{
	struct addr addr;
	struct err err;

	ck_assert_msg(addr_parse(text, &addr, &err), "%s: %s", text, err.text);
	return addr;
}

static struct sockaddr_storage peer(const char *host)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *v4 = (void *)&storage;
	struct sockaddr_in6 *v6 = (void *)&storage;

	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
	} else {
		memset(&storage, 0, sizeof(storage));
		ck_assert_int_eq(inet_pton(AF_INET6, host, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
	}
	return storage;
}

static const char *const spellings[][2] = {
	{ "127.0.0.1:80", "127.0.0.1:80" },
	{ "0.0.0.0:65535", "0.0.0.0:65535" },
	{ "127.0.0.1:0080", "127.0.0.1:80" },
	{ "[::]:80", "[::]:80" },
	{ "*:80", "[::]:80" },
	{ "[0:0::0:1]:443", "[::1]:443" },
	{ "[2001:DB8::A]:1", "[2001:db8::a]:1" },
	{ "[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.1]:80" },
	{ "unix:/run/x.sock", "unix:/run/x.sock" },
	{ "unix:/a:80", "unix:/a:80" },
};

START_TEST(an_address_has_one_canonical_text)
{
	struct addr addr = parsed(spellings[_i][0]);

	ck_assert_str_eq(addr.text, spellings[_i][1]);
}
END_TEST

START_TEST(the_canonical_text_is_read_as_the_same_address)
{
	struct addr addr = parsed(spellings[_i][0]), again = parsed(addr.text);

	ck_assert_str_eq(addr.text, again.text);
	ck_assert_uint_eq(addr.len, again.len);
	ck_assert_mem_eq(&addr.storage, &again.storage, addr.len);
}
END_TEST

static const char *const no_addresses[] = {
	"",
	":",
	":80",
	"80",
	"127.0.0.1",
	"127.0.0.1:",
	"127.0.0.1:0",
	"127.0.0.1:65536",
	"127.0.0.1:-1",
	"127.0.0.1:http",
	"127.0.0.1:80 ",
	" 127.0.0.1:80",
	"127.0.0.256:80",
	"127.1:80",
	"localhost:80",
	"::1:80",
	"[::1]",
	"[::1:80",
	"::1]:80",
	"[]:80",
	"[::g]:80",
	"[::1%lo]:80",
	"**:80",
	"unix:",
	"unix:x",
	"unix:./x",
	"127.0.0.1:99999999999999999999",
	"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80",
};

START_TEST(what_is_no_address_is_refused_and_changes_nothing)
{
	struct addr addr = { .len = 4711 };
	struct err err = { "" };

	ck_assert_msg(!addr_parse(no_addresses[_i], &addr, &err), "\"%s\" is taken", no_addresses[_i]);
	ck_assert_uint_eq(addr.len, 4711);
	ck_assert_ptr_nonnull(strstr(err.text, "allowed are"));
}
END_TEST

START_TEST(a_unix_path_of_107_bytes_fits_and_one_more_does_not)
{
	char text[5 + 108 + 1] = "unix:/";
	struct addr addr;
	struct err err;

	memset(text + 6, 'x', 107);
	ck_assert(!addr_parse(text, &addr, &err));
	ck_assert_ptr_nonnull(strstr(err.text, "107"));
	text[5 + 107] = '\0';
	ck_assert(addr_parse(text, &addr, &err));
	ck_assert_str_eq(addr.text, text);
}
END_TEST

START_TEST(an_unnamed_unix_peer_is_described_as_unix)
{
	struct sockaddr_storage storage = { .ss_family = AF_UNIX };
	struct addr addr;

	addr_describe(&storage, sizeof(sa_family_t), &addr);
	ck_assert_str_eq(addr.text, "unix:");
}
END_TEST

static const struct {
	const char *a, *b;
	bool overlap;
} pairs[] = {
	{ "127.0.0.1:80", "127.0.0.1:80", true },
	{ "127.0.0.1:80", "127.0.0.1:81", false },
	{ "127.0.0.1:80", "127.0.0.2:80", false },
	{ "0.0.0.0:80", "127.0.0.1:80", true },
	{ "0.0.0.0:80", "127.0.0.1:81", false },
	{ "[::]:80", "127.0.0.1:80", true },
	{ "[::]:80", "[::1]:80", true },
	{ "[::]:80", "0.0.0.0:80", true },
	{ "[::1]:80", "127.0.0.1:80", false },
	{ "*:80", "[::]:80", true },
	{ "unix:/a", "unix:/a", true },
	{ "unix:/a", "unix:/b", false },
	{ "unix:/a", "[::]:80", false },
};

START_TEST(two_addresses_stand_in_each_others_way_or_not)
{
	struct addr a = parsed(pairs[_i].a), b = parsed(pairs[_i].b);

	ck_assert_int_eq(addr_overlap(&a, &b), pairs[_i].overlap);
	ck_assert_int_eq(addr_overlap(&b, &a), pairs[_i].overlap);
}
END_TEST

static const struct {
	const char *network, *peer;
	bool inside;
} networks[] = {
	{ "10.0.0.0/8", "10.255.255.255", true },
	{ "10.0.0.0/8", "11.0.0.0", false },
	{ "127.0.0.1", "127.0.0.1", true },
	{ "127.0.0.1", "127.0.0.2", false },
	{ "::ffff:10.0.0.0/104", "10.255.255.255", true },
	{ "::ffff:10.0.0.0/104", "11.0.0.0", false },
	{ "192.168.4.0/22", "192.168.7.255", true },
	{ "192.168.4.0/22", "192.168.8.0", false },
	{ "128.0.0.0/1", "200.0.0.1", true },
	{ "128.0.0.0/1", "127.0.0.1", false },
	{ "0.0.0.0/0", "1.2.3.4", true },
	{ "0.0.0.0/0", "::1", false },
	{ "::/0", "::1", true },
	{ "::/0", "1.2.3.4", false },
	{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
	{ "10.0.0.0/8", "::ffff:11.1.2.3", false },
	{ "::/0", "::ffff:10.1.2.3", false },
	{ "2001:db8::/33", "2001:db8:7fff::1", true },
	{ "2001:db8::/33", "2001:db8:8000::1", false },
	{ "::1", "::1", true },
	{ "::1", "::2", false },
};

START_TEST(a_peer_is_in_a_network_or_not)
{
	struct sockaddr_storage storage = peer(networks[_i].peer);
	struct cidr cidr;
	struct err err;

	ck_assert_msg(cidr_parse(networks[_i].network, &cidr, &err), "%s", err.text);
	ck_assert_int_eq(cidr_contains(&cidr, &storage), networks[_i].inside);
}
END_TEST

START_TEST(a_unix_peer_is_in_no_network)
{
	struct sockaddr_storage storage = { .ss_family = AF_UNIX };
	struct cidr cidr;
	struct err err;

	ck_assert(cidr_parse("0.0.0.0/0", &cidr, &err));
	ck_assert(!cidr_contains(&cidr, &storage));
}
END_TEST

static const char *const no_networks[] = {
	"",
	"/8",
	"10.0.0.0/",
	"10.0.0.0/33",
	"10.0.0.0/-1",
	"10.0.0.0/8 ",
	"10.0.0.1/8",
	"10.0.0.0/8/8",
	"::/129",
	"::1/64",
	"example.org",
	"10.0.0",
	"[::1]",
	"128.0.0.0/0",
	"10.0.0.0/99999999999999999999",
	"0000000000000000000000000000000000000000000000",
};

START_TEST(what_is_no_network_is_refused_and_changes_nothing)
{
	struct cidr cidr = { .bits = 4711 };
	struct err err;

	ck_assert_msg(!cidr_parse(no_networks[_i], &cidr, &err), "\"%s\" is taken", no_networks[_i]);
	ck_assert_uint_eq(cidr.bits, 4711);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("addr");
	TCase *tests = tcase_create("addr");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tests);
	tcase_set_timeout(tests, 60);
	tcase_add_loop_test(tests, an_address_has_one_canonical_text, 0,
			    sizeof(spellings) / sizeof(spellings[0]));
	tcase_add_loop_test(tests, the_canonical_text_is_read_as_the_same_address, 0,
			    sizeof(spellings) / sizeof(spellings[0]));
	tcase_add_loop_test(tests, what_is_no_address_is_refused_and_changes_nothing, 0,
			    sizeof(no_addresses) / sizeof(no_addresses[0]));
	tcase_add_test(tests, a_unix_path_of_107_bytes_fits_and_one_more_does_not);
	tcase_add_test(tests, an_unnamed_unix_peer_is_described_as_unix);
	tcase_add_loop_test(tests, two_addresses_stand_in_each_others_way_or_not, 0,
			    sizeof(pairs) / sizeof(pairs[0]));
	tcase_add_loop_test(tests, a_peer_is_in_a_network_or_not, 0,
			    sizeof(networks) / sizeof(networks[0]));
	tcase_add_test(tests, a_unix_peer_is_in_no_network);
	tcase_add_loop_test(tests, what_is_no_network_is_refused_and_changes_nothing, 0,
			    sizeof(no_networks) / sizeof(no_networks[0]));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
