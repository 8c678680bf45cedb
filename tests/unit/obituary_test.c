/* obituary_test.c - what is read from an epitaph, whatever is in it. */
#include "master/obituary.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#define NOW_NS (100 * CLOCK_S)

static struct epitaph epitaph;
static struct obituary obituary;

static void begin(void)
{
	epitaph = (struct epitaph){ 0 };
}

static void read_it(bool waits)
{
	obituary_read(&epitaph, waits, NOW_NS, &obituary);
}

static void serve(const char *head)
{
	union peer peer = { .v4 = { .sin_family = AF_INET, .sin_port = htons(4711) } };
	size_t len = strnlen(head, sizeof(epitaph.request));

	inet_pton(AF_INET, "192.0.2.7", &peer.v4.sin_addr);
	epitaph_client(&epitaph, &peer, NOW_NS - CLOCK_S);
	epitaph_request_begin(&epitaph, NOW_NS - 250 * CLOCK_MS);
	memcpy(epitaph.request, head, len);
	epitaph_request_end(&epitaph, len);
	epitaph_phase(&epitaph, PHASE_SERVICE);
}

/* ---- what is true ------------------------------------------------------------------------------------ */

START_TEST(who_asked_for_what_is_read)
{
	serve("GET /a?b=c HTTP/1.1\r\nHost: secret\r\n\r\n");
	read_it(false);
	ck_assert_str_eq(obituary.phase, "service");
	ck_assert_str_eq(obituary.client, "192.0.2.7:4711");
	ck_assert_str_eq(obituary.request, "GET /a?b=c HTTP/1.1");
	ck_assert_uint_eq(obituary.request_ms, 250);
	ck_assert_ptr_null(obituary.signal);
}
END_TEST

START_TEST(a_fresh_one_is_starting_and_knows_nobody)
{
	read_it(true);
	ck_assert_str_eq(obituary.phase, "starting");
	ck_assert_str_eq(obituary.client, "");
	ck_assert_str_eq(obituary.request, "");
}
END_TEST

START_TEST(one_that_waits_with_a_request_in_hand_says_both)
{
	serve("GET /slow HTTP/1.1\r\n");
	epitaph_leave(&epitaph, true);
	read_it(true);
	ck_assert_str_eq(obituary.phase, "waiting");
	ck_assert_str_eq(obituary.request, "GET /slow HTTP/1.1");
}
END_TEST

START_TEST(one_that_waits_and_owes_nothing_knows_nobody)
{
	serve("GET /fast HTTP/1.1\r\n");
	epitaph_leave(&epitaph, false);
	read_it(true);
	ck_assert_str_eq(obituary.phase, "waiting");
	ck_assert_str_eq(obituary.client, "");
	ck_assert_str_eq(obituary.request, "");
}
END_TEST

START_TEST(what_is_no_connections_work_is_nobodys)
{
	static const enum epitaph_phase phases[] = { PHASE_LOOP, PHASE_ACCEPTING, PHASE_ADOPTING,
						     PHASE_HANDING, PHASE_TAKING };

	serve("GET /slow HTTP/1.1\r\n");
	epitaph_leave(&epitaph, true);
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		epitaph_phase(&epitaph, phases[i]);
		read_it(false);
		ck_assert_str_eq(obituary.client, "");
		ck_assert_str_eq(obituary.request, "");
	}
}
END_TEST

START_TEST(another_client_is_not_said_to_have_asked_that)
{
	union peer other = { .v6 = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback } };

	serve("GET /theirs HTTP/1.1\r\n");
	epitaph_client(&epitaph, &other, NOW_NS);
	read_it(false);
	ck_assert_str_eq(obituary.client, "[::1]:0");
	ck_assert_str_eq(obituary.request, "");
}
END_TEST

START_TEST(a_long_request_line_is_cut)
{
	char line[3 * EPITAPH_REQUEST_BYTES];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	serve(line);
	read_it(false);
	ck_assert_uint_eq(strlen(obituary.request), EPITAPH_REQUEST_BYTES);
}
END_TEST

START_TEST(no_byte_of_a_request_leaves_its_line)
{
	serve("GET /\x1b[2J\xff\" \\x\nforged HTTP/1.1\r\n");
	read_it(false);
	ck_assert_str_eq(obituary.request, "GET /\\x1b[2J\\xff\" \\x");
}
END_TEST

START_TEST(a_crash_says_its_signal_address_and_stack)
{
	epitaph.signal = SIGSEGV;
	epitaph.code = 1;
	epitaph.address = 0x1230;
	strcpy(epitaph.stack, "drover+0x1 libc.so.6+0x2");
	epitaph.stack_bytes = 10;
	read_it(false);
	ck_assert_str_eq(obituary.signal, "SEGV");
	ck_assert_str_eq(obituary.address, "0x1230");
	ck_assert_str_eq(obituary.stack, "drover+0x1");
	ck_assert_uint_eq(obituary.sender, 0);
}
END_TEST

START_TEST(a_signal_that_was_sent_has_a_sender_and_no_address)
{
	epitaph.signal = SIGABRT;
	epitaph.address = 4711;
	read_it(false);
	ck_assert_str_eq(obituary.address, "");
	ck_assert_uint_eq(obituary.sender, 4711);
}
END_TEST

START_TEST(a_helper_threads_crash_is_nobodys)
{
	serve("GET /innocent HTTP/1.1\r\n");
	epitaph.signal = SIGSEGV;
	epitaph.elsewhere = 1;
	read_it(false);
	ck_assert_str_eq(obituary.phase, "helper");
	ck_assert_str_eq(obituary.client, "");
	ck_assert_str_eq(obituary.request, "");
}
END_TEST

/* ---- what is not ------------------------------------------------------------------------------------- */

START_TEST(lengths_that_cannot_be_are_bounded)
{
	memset(&epitaph, 'A', sizeof(epitaph));
	epitaph.phase = PHASE_SENDING;
	epitaph.elsewhere = 0;
	epitaph.request_bytes = epitaph.stack_bytes = UINT32_MAX;
	read_it(false);
	ck_assert_uint_eq(strlen(obituary.request), EPITAPH_REQUEST_BYTES);
	ck_assert_uint_eq(strlen(obituary.stack), EPITAPH_STACK_BYTES);
	ck_assert_uint_eq(strlen(obituary.broken), EPITAPH_BROKEN_BYTES);
}
END_TEST

START_TEST(a_phase_that_cannot_be_has_a_name)
{
	epitaph.phase = UINT32_MAX;
	read_it(false);
	ck_assert_str_eq(obituary.phase, "unknown");
}
END_TEST

START_TEST(a_family_that_cannot_be_is_nobody)
{
	serve("GET / HTTP/1.1\r\n");
	memset(epitaph.client, 0xee, sizeof(epitaph.client));
	read_it(false);
	ck_assert_str_eq(obituary.client, "");
}
END_TEST

START_TEST(a_time_that_cannot_be_is_none)
{
	serve("GET / HTTP/1.1\r\n");
	epitaph.begun_ns = UINT64_MAX;
	read_it(false);
	ck_assert_uint_eq(obituary.request_ms, 0);
}
END_TEST

START_TEST(a_signal_that_cannot_be_has_a_name)
{
	epitaph.signal = UINT32_MAX;
	read_it(false);
	ck_assert_str_eq(obituary.signal, "unknown");
}
END_TEST

START_TEST(fields_are_what_is_known_and_never_too_many)
{
	struct log_field fields[OBITUARY_FIELDS + 1] = { [OBITUARY_FIELDS] = log_number("mark", 1) };

	read_it(true);
	ck_assert_uint_eq(obituary_fields(&obituary, fields, 0), 1);
	ck_assert_ptr_null(fields[1].key);
	serve("GET / HTTP/1.1\r\n");
	epitaph.signal = SIGABRT;
	epitaph.address = 4711;
	strcpy(epitaph.broken, "x.c:1: y");
	strcpy(epitaph.stack, "drover+0x1");
	epitaph.stack_bytes = 10;
	read_it(false);
	strcpy(obituary.address, "0x0");        /* one more than can be */
	ck_assert_uint_lt(obituary_fields(&obituary, fields, 0), OBITUARY_FIELDS);
	ck_assert_str_eq(fields[OBITUARY_FIELDS].key, "mark");
}
END_TEST

int main(void)
{
	TCase *truth = tcase_create("truth"), *lies = tcase_create("lies");
	Suite *suite = suite_create("obituary");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(truth, begin, NULL);
	tcase_add_test(truth, who_asked_for_what_is_read);
	tcase_add_test(truth, a_fresh_one_is_starting_and_knows_nobody);
	tcase_add_test(truth, one_that_waits_with_a_request_in_hand_says_both);
	tcase_add_test(truth, one_that_waits_and_owes_nothing_knows_nobody);
	tcase_add_test(truth, what_is_no_connections_work_is_nobodys);
	tcase_add_test(truth, another_client_is_not_said_to_have_asked_that);
	tcase_add_test(truth, a_long_request_line_is_cut);
	tcase_add_test(truth, no_byte_of_a_request_leaves_its_line);
	tcase_add_test(truth, a_crash_says_its_signal_address_and_stack);
	tcase_add_test(truth, a_signal_that_was_sent_has_a_sender_and_no_address);
	tcase_add_test(truth, a_helper_threads_crash_is_nobodys);
	suite_add_tcase(suite, truth);
	tcase_add_checked_fixture(lies, begin, NULL);
	tcase_add_test(lies, lengths_that_cannot_be_are_bounded);
	tcase_add_test(lies, a_phase_that_cannot_be_has_a_name);
	tcase_add_test(lies, a_family_that_cannot_be_is_nobody);
	tcase_add_test(lies, a_time_that_cannot_be_is_none);
	tcase_add_test(lies, a_signal_that_cannot_be_has_a_name);
	tcase_add_test(lies, fields_are_what_is_known_and_never_too_many);
	suite_add_tcase(suite, lies);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
