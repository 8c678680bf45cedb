/* auth_test.c - credentials, files of users, what is remembered; and who waits for which hash. */
#include "fake_server.h"

#include "base/clock.h"
#include "http/auth.h"
#include "http/verified.h"

#include <crypt.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- credentials ------------------------ */

#define LONG_10 "0123456789"
#define LONG_250 LONG_50 LONG_50 LONG_50 LONG_50 LONG_50
#define LONG_50 LONG_10 LONG_10 LONG_10 LONG_10 LONG_10

static const struct {
	const char *value, *user, *password;    /* NULL: refused */
} values[] = {
	{ "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame" },     /* RFC 7617, 2 */
	{ "Basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3" },    /* RFC 7617, 2.1 */
	{ "basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3" },
	{ "BASIC   dGVzdDoxMjPCow==", "test", "123\xc2\xa3" },
	{ "Basic YTpiOmM=", "a", "b:c" },
	{ "Basic Og==", "", "" },
	{ "Basic YTo=", "a", "" },
	{ "Basic OmI=", "", "b" },
	{ "", NULL, NULL },
	{ "Basic", NULL, NULL },
	{ "Basic ", NULL, NULL },
	{ "Basic\tYTpi", NULL, NULL },
	{ "BasicYTpi", NULL, NULL },
	{ "Basi YTpi", NULL, NULL },
	{ "Bearer YTpi", NULL, NULL },
	{ "Basic YTpi YTpi", NULL, NULL },
	{ "Basic YTpi, Basic YTpi", NULL, NULL },
	{ "Basic YWI=", NULL, NULL },           /* no colon */
	{ "Basic YTo", NULL, NULL },            /* not padded */
	{ "Basic YTo==", NULL, NULL },
	{ "Basic YTp=", NULL, NULL },           /* bits behind the end */
	{ "Basic YTpi=", NULL, NULL },
	{ "Basic =YTpi", NULL, NULL },
	{ "Basic YTp_", NULL, NULL },           /* the other alphabet */
	{ "Basic YTpi\r\n", NULL, NULL },
	{ "Basic YTpiAA==", NULL, NULL },       /* "a:b\0" */
	{ "Basic AGE6Yg==", NULL, NULL },       /* "\0a:b" */
	{ "Basic YTpiCg==", NULL, NULL },       /* "a:b\n" */
	{ "Basic YTp/", NULL, NULL },           /* "a:\x7f" */
	{ "Basic CTpi", NULL, NULL },           /* "\t:b" */
};

START_TEST(a_value_is_read_or_refused)
{
	struct credentials credentials;
	bool good = credentials_parse(str_of(values[_i].value), &credentials);

	ck_assert_int_eq(good, values[_i].user != NULL);
	ck_assert_str_eq(credentials.user, good ? values[_i].user : "");
	ck_assert_str_eq(credentials.password, good ? values[_i].password : "");
}
END_TEST

START_TEST(base64_has_64_digits)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char value[] = "Basic YTpi?GJi";
	struct credentials credentials;
	unsigned good = 0;

	for (unsigned byte = 0; byte < 256; byte++) {
		value[10] = (char)byte;
		if (!credentials_parse((struct str){ value, sizeof(value) - 1 }, &credentials))
			continue;
		ck_assert_ptr_nonnull(memchr(digits, (int)byte, 64));
		good++;
	}
	ck_assert_uint_eq(good, 64 - 8);        /* without those that make a control character */
}
END_TEST

static char *base64(const char *text, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i += 3) {
		unsigned bits = 0;

		for (size_t j = 0; j < 3; j++)
			bits = bits << 8 | (i + j < len ? (unsigned char)text[i + j] : 0);
		for (int shift = 18; shift >= 0; shift -= 6)
			*out++ = digits[bits >> shift & 63];
		for (size_t j = len; j < i + 3; j++)
			out[(int)(len - j) - 1] = '=';
	}
	*out = '\0';
	return out;
}

static bool parses(const char *text)
{
	struct credentials credentials;
	char value[2048] = "Basic ";

	base64(text, value + strlen(value));
	return credentials_parse(str_of(value), &credentials);
}

START_TEST(both_parts_have_a_bound)
{
	char password[600] = "a:";

	memset(password + 2, 'x', 511);
	ck_assert(parses(password));
	strcat(password, "x");
	ck_assert(!parses(password));
	ck_assert(parses(LONG_250 "12345:x"));
	ck_assert(!parses(LONG_250 "123456:x"));
}
END_TEST

START_TEST(what_was_wiped_is_gone)
{
	struct credentials credentials, zero;

	memset(&zero, 0, sizeof(zero));
	ck_assert(credentials_parse(str_of("Basic dGVzdDoxMjPCow=="), &credentials));
	credentials_wipe(&credentials);
	ck_assert_mem_eq(&credentials, &zero, sizeof(zero));
}
END_TEST

/* ---- lines ------------------------ */

#define BCRYPT "$2y$05$/vBcjcQ0iB.esp3mrXBole2J.B/DdfhXaNo/FKJzISWAcDzErPu42"
#define YESCRYPT "$y$j9T$x6mmRp5TMxfM9KMpCzIrC/$pMbiKRLIABk.Wn2ziqz6LrpCvu24L2C5iVRyStpeku8"
#define SHA512 \
	"$6$yRtJ51PL5emiqdNY$9CRiDOSRQ4RUXuX6jqad1nItOmcGVsz3SLxQJUoug6Bo.I4OtkXjTcxPWG3LFbEMx6AOmcDRHYlQO." \
	"l93rtHs."
#define SHA256 "$5$fubjsmeQRc5HdSNv$Evf0zNo3ozRA9yVs4ArqrKeA24vz9ug6a3S1QB4OUBA"
#define MD5 "$1$EXt4RRSd$l0HJGMmxnNi54dsqK3e450"

static const struct {
	const char *text, *user, *hash, *error;
} lines[] = {
	{ "bob:" BCRYPT, "bob", BCRYPT, NULL },
	{ "bob:" YESCRYPT "\r", "bob", YESCRYPT, NULL },
	{ "bob:" SHA512 ":a comment: more", "bob", SHA512, NULL },
	{ "b b\xc3\xbc:" SHA256, "b b\xc3\xbc", SHA256, NULL },
	{ "bob:" MD5, "bob", MD5, NULL },
	{ "bob:*", "bob", "*", NULL },
	{ "bob:!" MD5, "bob", "!" MD5, NULL },
	{ "", NULL, NULL, NULL },
	{ "  \t", NULL, NULL, NULL },
	{ "\r", NULL, NULL, NULL },
	{ "# bob", NULL, NULL, NULL },
	{ "#bob:x", NULL, NULL, NULL },
	{ "bob", NULL, NULL, "no colon; a line is user:hash" },
	{ ":" MD5, NULL, NULL, "no user in front of the colon" },
	{ "b\tob:" MD5, NULL, NULL, "a control character in the user's name" },
	{ "bob:", NULL, NULL, "no hash; who shall not log in has \"*\"" },
	{ "bob::" MD5, NULL, NULL, "no hash; who shall not log in has \"*\"" },
	{ "bob:secret", NULL, NULL, "no hash that crypt(3) takes; `mkpasswd` and `htpasswd -B` make some" },
	{ "bob:$apr1$o1pRa5lh$v4EBTiLrAmzxlJtvDsqQ91", NULL, NULL,
	  "no hash that crypt(3) takes; `mkpasswd` and `htpasswd -B` make some" },
	{ "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", NULL, NULL,
	  "no hash that crypt(3) takes; `mkpasswd` and `htpasswd -B` make some" },
	{ "bob:rl.3StKT.4T8M", NULL, NULL,
	  "no hash that crypt(3) takes; `mkpasswd` and `htpasswd -B` make some" },
	{ "bob: " MD5, NULL, NULL, "no hash that crypt(3) takes; `mkpasswd` and `htpasswd -B` make some" },
	{ "bob:" MD5 " ", NULL, NULL, "no hash that crypt(3) takes; `mkpasswd` and `htpasswd -B` make some" },
	{ "bob:" MD5 "x", NULL, NULL, "the hash is not whole" },
	{ "bob:$6$yRtJ51PL5emiqdNY$9CRiDOSRQ4RUXuX6jqad1nItO", NULL, NULL, "the hash is not whole" },
	{ "bob:$2y$05$/vBcjcQ0iB.esp3mrXBole", NULL, NULL, "the hash is not whole" },
};

START_TEST(a_line_says_who_or_what_is_wrong)
{
	struct user_line line = { 0 };
	struct err err = { "" };
	bool good = user_line_parse(str_of(lines[_i].text), &line, &err);

	ck_assert_str_eq(err.text, lines[_i].error != NULL ? lines[_i].error : "");
	ck_assert_int_eq(good, lines[_i].error == NULL);
	ck_assert_int_eq(line.user.at != NULL, lines[_i].user != NULL);
	if (lines[_i].user != NULL) {
		ck_assert(str_equal(line.user, str_of(lines[_i].user)));
		ck_assert(str_equal(line.hash, str_of(lines[_i].hash)));
	}
}
END_TEST

/* ---- files ------------------------ */

static char path[64];

static void write_users(const char *text, size_t len)
{
	FILE *file = fopen(path, "we");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(text, 1, len, file), len);
	ck_assert_int_eq(fclose(file), 0);
}

static void users(const char *text)
{
	write_users(text, strlen(text));
}

static void make_path(void)
{
	snprintf(path, sizeof(path), "/tmp/drover-users-%d", getpid());
}

static void remove_path(void)
{
	unlink(path);
	rmdir(path);
}

static struct user_lookup look_up(const char *user, uint64_t seed)
{
	struct user_lookup lookup = { .user = user, .seed = seed };
	struct err err = { "" };

	if (!user_file_find(path, &lookup, &err))
		ck_abort_msg("%s", err.text);
	return lookup;
}

START_TEST(a_user_has_the_hash_of_its_line)
{
	users("# who\n\nbob:" MD5 "\nann:" SHA256 ":x\neve:*\njim:" BCRYPT);
	ck_assert(look_up("bob", 1).known);
	ck_assert_str_eq(look_up("bob", 1).hash, MD5);
	ck_assert_str_eq(look_up("ann", 2).hash, SHA256);
	ck_assert_str_eq(look_up("jim", 3).hash, BCRYPT);
	ck_assert(look_up("jim", 3).steady);
}
END_TEST

START_TEST(a_stranger_gets_the_same_hash_of_somebody_each_time)
{
	unsigned counts[3] = { 0 };

	users("bob:" MD5 "\nann:" SHA256 "\neve:*\njim:" BCRYPT "\n");
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct user_lookup lookup = look_up("eve", seed);

		ck_assert(!lookup.known);
		ck_assert_str_eq(lookup.hash, look_up("nobody", seed).hash);
		counts[strcmp(lookup.hash, MD5) == 0 ? 0 : strcmp(lookup.hash, SHA256) == 0 ? 1 : 2]++;
	}
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_gt(counts[i], 50);
}
END_TEST

START_TEST(a_file_of_nobody_has_no_hash)
{
	users("");
	ck_assert_str_eq(look_up("bob", 1).hash, "");
	users("bob:!\n# bob:" MD5);
	ck_assert_str_eq(look_up("bob", 1).hash, "");
	ck_assert(!look_up("bob", 1).known);
}
END_TEST

START_TEST(a_user_is_found_wherever_a_piece_ends)
{
	char *text = calloc(1, 64 * 1024);
	size_t len = 0;

	while (len < 40000)
		len += (size_t)sprintf(text + len, "%s#%.*s\nu%zu:" MD5 "\n", len % 7 == 0 ? "\n" : "",
				       (int)(len % 1000), LONG_250 LONG_250 LONG_250 LONG_250, len);
	users(text);
	free(text);
	ck_assert(look_up("u0", 1).known);
	for (unsigned i = 1; i < 1000; i++) {
		char name[16];
		struct err err;

		snprintf(name, sizeof(name), "u%u", i);
		ck_assert(!look_up(name, 1).known || strcmp(look_up(name, 1).hash, MD5) == 0);
		ck_assert(user_file_check(path, &err));
	}
}
END_TEST

static const struct {
	const char *text, *error;       /* behind the path */
} bad[] = {
	{ "bob:" MD5 "\n\nann\n", ":3: no colon; a line is user:hash" },
	{ "bob:" MD5 "\r\nann:x\r\n",
	  ":2: no hash that crypt(3) takes; `mkpasswd` and `htpasswd -B` make some" },
	{ "ann:" MD5 "\nb:*\nann:" MD5 "\n", ":3: the user is there already" },
	{ "#" LONG_250 LONG_250 LONG_250 LONG_250 LONG_50 "\n", ":1: longer than 1024 bytes" },
};

static const char *error_of_check(void)
{
	static struct err err;

	err.text[0] = '\0';
	if (user_file_check(path, &err))
		return "";
	ck_assert_msg(strncmp(err.text, path, strlen(path)) == 0, "%s", err.text);
	return err.text + strlen(path);
}

START_TEST(a_file_that_is_wrong_is_refused_with_the_line)
{
	users(bad[_i].text);
	ck_assert_str_eq(error_of_check(), bad[_i].error);
}
END_TEST

START_TEST(a_line_of_the_longest_length_is_read)
{
	char text[2048];

	memset(text, '#', sizeof(text));
	text[1024] = '\n';
	write_users(text, 1025);
	ck_assert_str_eq(error_of_check(), "");
	write_users(text, 1024);
	ck_assert_str_eq(error_of_check(), "");
	text[1024] = '#';
	write_users(text, 1025);
	ck_assert_str_eq(error_of_check(), ":1: longer than 1024 bytes");
}
END_TEST

START_TEST(what_is_no_file_is_refused)
{
	ck_assert_str_eq(error_of_check(), ": No such file or directory");
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_str_eq(error_of_check(), ": no regular file");
	ck_assert_int_eq(rmdir(path), 0);
	ck_assert_int_eq(mkfifo(path, 0644), 0);
	ck_assert_str_eq(error_of_check(), ": no regular file");
	unlink(path);
	users("");
	ck_assert_int_eq(truncate(path, USER_FILE_BYTES + 1), 0);
	ck_assert_str_eq(error_of_check(), ": larger than 4 MiB");
}
END_TEST

START_TEST(a_young_file_is_not_settled)
{
	struct file_mark mark = { .changed_s = 1000, .changed_ns = 999999999 };

	ck_assert(!user_file_settled(&mark, 999));
	ck_assert(!user_file_settled(&mark, 1001));
	ck_assert(user_file_settled(&mark, 1002));
}
END_TEST

/* ---- what is remembered ------------------------ */

static struct proof proof_of(const char *file, uint64_t state, const char *user, const char *password)
{
	struct file_mark mark = { .changed_ns = state };
	struct credentials credentials = { 0 };
	struct proof proof;

	strcpy(credentials.user, user);
	strcpy(credentials.password, password);
	verified_proof(file, &mark, &credentials, &proof);
	return proof;
}

START_TEST(a_proof_is_of_all_that_went_into_it)
{
	static const struct {
		const char *file;
		uint64_t state;
		const char *user, *password;
	} others[] = {
		{ "/g", 1, "bob", "secret" }, { "/f", 2, "bob", "secret" },  { "/f", 1, "bobs", "ecret" },
		{ "/f", 1, "bob", "secret2" }, { "/fbob", 1, "", "secret" }, { "/f", 1, "bobsecret", "" },
	};
	struct proof one = proof_of("/f", 1, "bob", "secret"), again = proof_of("/f", 1, "bob", "secret");

	ck_assert(verified_same(&one, &again));
	verified_add(&one);
	ck_assert(verified_has(&again));
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct proof other =
			proof_of(others[i].file, others[i].state, others[i].user, others[i].password);

		ck_assert(!verified_same(&one, &other));
		ck_assert(!verified_has(&other));
	}
}
END_TEST

START_TEST(a_proof_of_zeros_is_not_what_a_free_place_has)
{
	struct proof zeros = { { 0 } };

	ck_assert(!verified_has(&zeros));
	verified_add(&zeros);
	ck_assert(verified_has(&zeros));
}
END_TEST

START_TEST(what_was_not_used_for_the_longest_time_gives_way)
{
	struct proof proofs[VERIFIED_WAYS + 1] = { 0 };

	for (unsigned i = 0; i < VERIFIED_WAYS; i++) {
		proofs[i].bytes[5] = (unsigned char)i;
		verified_add(&proofs[i]);
		verified_add(&proofs[i]);       /* a second time takes no second place */
	}
	ck_assert(verified_has(&proofs[0]));    /* now the second one is the oldest */
	proofs[VERIFIED_WAYS].bytes[5] = VERIFIED_WAYS;
	verified_add(&proofs[VERIFIED_WAYS]);
	for (unsigned i = 0; i <= VERIFIED_WAYS; i++)
		ck_assert_int_eq(verified_has(&proofs[i]), i != 1);
}
END_TEST

START_TEST(a_user_has_one_seed)
{
	ck_assert_uint_eq(verified_seed("bob"), verified_seed("bob"));
	ck_assert_uint_ne(verified_seed("bob"), verified_seed("ann"));
}
END_TEST

/* ---- requests ------------------------ */

static struct fake_server server;
static struct fake_client clients[4];
static struct offload offload;
static struct auth auth = { path, "x", { "WWW-Authenticate: Basic realm=\"x\", charset=\"UTF-8\"\r\n", 53 } };
static sem_t gate;

static void set_up(void)
{
	struct route *route;

	make_path();
	fake_server_open(&server, &protocol_http1);
	route = (struct route *)route_find(route_site(server.engine.generation, str_of("")),
					   str_of("/hello"));
	route->auth = &auth;
	offload_init(&offload, &server.loop, 8);
	server.engine.offload = &offload;
	sem_init(&gate, 0, 0);
}

static void tear_down(void)
{
	ck_assert_uint_eq(offload_close(&offload, clock_now_ns() + 10 * CLOCK_S), 0);
	fake_server_close(&server);
	remove_path();
}

/* A user with the cheapest hash that there is. */
static const char *line_of(const char *user, const char *password)
{
	static char line[512];
	struct crypt_data data = { 0 };

	snprintf(line, sizeof(line), "%s:%s\n", user, crypt_r(password, "$1$saltsalt$", &data));
	return line;
}

static void connect_as(unsigned client, const char *credentials)
{
	char request[1024] = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Basic ";

	base64(credentials, request + strlen(request));
	strcat(request, "\r\n\r\n");
	fake_connect(&server, &clients[client], request);
}

static bool was_answered(unsigned client, const char *status)
{
	char line[32];

	snprintf(line, sizeof(line), "HTTP/1.1 %s ", status);
	return fake_until_eof(&clients[client]) && strncmp(clients[client].text, line, strlen(line)) == 0;
}

START_TEST(the_right_password_is_let_in)
{
	users(line_of("bob", "a:b"));
	connect_as(0, "bob:a:b");
	ck_assert(was_answered(0, "200"));
	ck_assert_ptr_nonnull(strstr(clients[0].text, "\r\n\r\nhello\n"));
	ck_assert_uint_eq(server.counters[COUNT_AUTH_HASHES], 1);
	ck_assert_uint_eq(server.counters[COUNT_AUTH_FAILED], 0);
}
END_TEST

/* On a machine that stands still for a second the file may be old enough: then once more. */
START_TEST(what_was_right_by_a_young_file_is_not_remembered)
{
	bool was_young = false;
	uint64_t before = 0;

	for (unsigned first = 0; first < 4 && !was_young; first += 2) {
		time_t written = clock_wall().tv_sec;

		users(line_of("bob", "b"));
		before = server.counters[COUNT_AUTH_HASHES];
		for (unsigned i = first; i < first + 2; i++) {
			connect_as(i, "bob:b");
			ck_assert(was_answered(i, "200"));
		}
		was_young = clock_wall().tv_sec - written < 2;
	}
	ck_assert(!was_young || server.counters[COUNT_AUTH_HASHES] == before + 2);
}
END_TEST

static const char *const wrong[] = { "bob:a", "bob:", "bo:a:b", ":", "bob2:a:b", "eve:*", "eve:" };

START_TEST(anything_else_gets_401_and_costs_the_same_hash)
{
	char text[512];

	snprintf(text, sizeof(text), "%seve:*\n", line_of("bob", "a:b"));
	users(text);
	connect_as(0, wrong[_i]);
	ck_assert(was_answered(0, "401"));
	ck_assert_ptr_nonnull(strstr(clients[0].text, "\r\nWWW-Authenticate: Basic realm=\"x\""));
	ck_assert_uint_eq(server.counters[COUNT_AUTH_HASHES], 1);
	ck_assert_uint_eq(server.counters[COUNT_AUTH_FAILED], 1);
}
END_TEST

/* ---- what stays in memory ------------------------ */

#ifndef __SANITIZE_ADDRESS__    /* whose shadow would be searched too, for hours */

static char password[33];       /* every byte of it is one higher: this is no copy */

static bool is_password(const char *at)
{
	size_t len = 0;

	while (len < sizeof(password) - 1 && at[len] == password[len] - 1)
		len++;
	return len == sizeof(password) - 1;
}

/* How often it is found in what this process can write to. */
static unsigned copies_in_memory(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], rights[8];
	unsigned count = 0;
	size_t from, to;

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps) != NULL) {
		/* NOLINTNEXTLINE(cert-err34-c): the kernel's own */
		if (sscanf(line, "%zx-%zx %7s", &from, &to, rights) != 3 || strncmp(rights, "rw", 2) != 0)
			continue;
		for (const char *at = (const char *)from; at + sizeof(password) <= (const char *)to; at++)
			count += *at == password[0] - 1 && is_password(at);
	}
	fclose(maps);
	return count;
}

/* Makes one and asks with it; only the server may have kept it. */
static void ask_with_password(bool right)
{
	char text[64] = "bob:";

	for (size_t i = 0; i < sizeof(password) - 1; i++)
		text[4 + i] = (char)('a' + (i * 7 + 3) % 23);
	for (size_t i = 0; i < sizeof(password) - 1; i++)
		password[i] = (char)(text[4 + i] + 1);
	ck_assert_uint_gt(copies_in_memory(), 0);       /* it would be found */
	users(line_of("bob", right ? text + 4 : "other"));
	connect_as(0, text);
	explicit_bzero(text, sizeof(text));
	ck_assert(was_answered(0, right ? "200" : "401"));
}

START_TEST(no_password_stays_in_memory)
{
	ask_with_password(_i == 0);
	ck_assert_uint_eq(copies_in_memory(), 0);
}
END_TEST

#endif

static const struct {
	const char *field, *status;
} fields[] = {
	{ "", "401" },
	{ "Authorization: Bearer x\r\n", "401" },
	{ "Authorization: Basic x\r\n", "401" },
	{ "Authorization: Basic YTpi\r\nAuthorization: Basic YTpi\r\n", "400" },
};

START_TEST(no_credentials_cost_no_hash)
{
	char request[256];

	users("");
	snprintf(request, sizeof(request), "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%s\r\n",
		 fields[_i].field);
	fake_connect(&server, &clients[0], request);
	ck_assert(was_answered(0, fields[_i].status));
	ck_assert_uint_eq(server.counters[COUNT_AUTH_HASHES], 0);
}
END_TEST

START_TEST(a_file_that_is_gone_or_wrong_gets_500)
{
	connect_as(0, "bob:b");
	ck_assert(was_answered(0, "500"));
	users("bob\n");
	connect_as(1, "bob:b");
	ck_assert(was_answered(1, "500"));
}
END_TEST

/* The helper thread is at this until the gate opens. */
static void wait_at_gate(struct offload_job *job)
{
	(void)job;
	while (sem_wait(&gate) < 0)
		;
}

static void ignore(struct offload_job *job)
{
	(void)job;
}

static struct offload_job blocker = { .work = wait_at_gate, .done = ignore };

static bool all_wait(void *what)
{
	return server.counters[COUNT_REQUESTS] == *(uint64_t *)what;
}

static void until_requests(uint64_t count)
{
	ck_assert(fake_until(&server, all_wait, &count));
}

START_TEST(requests_with_the_same_credentials_wait_for_one_hash)
{
	users(line_of("bob", "b"));
	ck_assert(offload_submit(&offload, &blocker));
	for (unsigned i = 0; i < 3; i++)
		connect_as(i, "bob:b");
	connect_as(3, "bob:c");
	until_requests(4);
	sem_post(&gate);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(was_answered(i, "200"));
	ck_assert(was_answered(3, "401"));
	ck_assert_uint_eq(server.counters[COUNT_AUTH_HASHES], 2);
}
END_TEST

START_TEST(what_nobody_waits_for_any_more_is_not_computed)
{
	users(line_of("bob", "b"));
	ck_assert(offload_submit(&offload, &blocker));
	connect_as(0, "bob:1");
	connect_as(1, "bob:2");         /* behind the first one */
	connect_as(2, "bob:3");
	until_requests(3);
	fake_hang_up(&clients[1]);
	connect_as(3, "bob:b");
	until_requests(4);
	sem_post(&gate);
	ck_assert(was_answered(0, "401"));
	ck_assert(was_answered(2, "401"));
	ck_assert(was_answered(3, "200"));
	ck_assert_uint_eq(server.counters[COUNT_AUTH_HASHES], 3);
}
END_TEST

START_TEST(who_leaves_while_it_is_computed_leaves_nothing)
{
	users(line_of("bob", "b"));
	ck_assert(offload_submit(&offload, &blocker));
	connect_as(0, "bob:b");
	until_requests(1);
	fake_hang_up(&clients[0]);
	connect_as(1, "ann:b");
	until_requests(2);
	sem_post(&gate);
	ck_assert(was_answered(1, "401"));
	ck_assert_uint_eq(server.counters[COUNT_AUTH_HASHES], 2);
}
END_TEST

START_TEST(a_client_does_not_wait_for_ever)
{
	users(line_of("bob", "b"));
	ck_assert(offload_submit(&offload, &blocker));
	connect_as(0, "bob:1");
	connect_as(1, "bob:2");
	until_requests(2);
	timers_run(&server.loop.timers, server.loop.now_ns + 29 * CLOCK_S);
	ck_assert_uint_eq(server.counters[COUNT_TASKS_REFUSED], 0);
	timers_run(&server.loop.timers, server.loop.now_ns + 31 * CLOCK_S);
	ck_assert(was_answered(0, "503"));
	ck_assert(was_answered(1, "503"));
	ck_assert_uint_eq(server.counters[COUNT_TASKS_REFUSED], 2);
	connect_as(2, "bob:b");
	until_requests(3);
	sem_post(&gate);
	ck_assert(was_answered(2, "200"));
	ck_assert_uint_eq(server.counters[COUNT_AUTH_HASHES], 2);
}
END_TEST

START_TEST(without_a_helper_thread_the_answer_is_503)
{
	users(line_of("bob", "b"));
	server.engine.offload = NULL;
	connect_as(0, "bob:b");
	ck_assert(was_answered(0, "503"));
	ck_assert_ptr_nonnull(strstr(clients[0].text, "\r\nRetry-After: "));
}
END_TEST

START_TEST(the_route_behind_another_match_is_open)
{
	fake_connect(&server, &clients[0], "GET /later HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	ck_assert(was_answered(0, "200"));
}
END_TEST

/* ---- settings ------------------------ */

static const struct auth *prepare(const struct route_config *route, const struct site_config *site)
{
	static struct arena arena;
	const struct auth *made = NULL;
	struct err err = { "" };

	if (!auth_prepare(route, site, &arena, &made, &err))
		ck_abort_msg("%s", err.text);
	return made;
}

START_TEST(a_route_goes_before_its_site)
{
	struct route_config route = { 0 };
	struct site_config site = { 0 };

	ck_assert_ptr_null(prepare(&route, &site));
	users("");
	site.auth_file = path;
	ck_assert_str_eq(prepare(&route, &site)->challenge.at,
			 "WWW-Authenticate: Basic realm=\"restricted\", charset=\"UTF-8\"\r\n");
	site.auth_realm = "s\"\\";
	ck_assert_str_eq(prepare(&route, &site)->challenge.at,
			 "WWW-Authenticate: Basic realm=\"s\\\"\\\\\", charset=\"UTF-8\"\r\n");
	route.auth_realm = "r";
	ck_assert_str_eq(prepare(&route, &site)->realm, "r");
	route.auth_file = "off";
	ck_assert_ptr_null(prepare(&route, &site));
}
END_TEST

START_TEST(a_file_that_is_missing_is_refused_at_prepare)
{
	struct route_config route = { .auth_file = "/nonexistent" };
	struct site_config site = { 0 };
	struct arena arena = { 0 };
	const struct auth *made = NULL;
	struct err err;

	ck_assert(!auth_prepare(&route, &site, &arena, &made, &err));
	ck_assert_str_eq(err.text, "auth.file: /nonexistent: No such file or directory");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auth");
	TCase *pure = tcase_create("pure"), *files = tcase_create("files"),
	      *requests = tcase_create("requests");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, pure);
	tcase_add_loop_test(pure, a_value_is_read_or_refused, 0, sizeof(values) / sizeof(values[0]));
	tcase_add_test(pure, base64_has_64_digits);
	tcase_add_test(pure, both_parts_have_a_bound);
	tcase_add_test(pure, what_was_wiped_is_gone);
	tcase_add_loop_test(pure, a_line_says_who_or_what_is_wrong, 0, sizeof(lines) / sizeof(lines[0]));
	tcase_add_test(pure, a_young_file_is_not_settled);
	tcase_add_test(pure, a_proof_is_of_all_that_went_into_it);
	tcase_add_test(pure, a_proof_of_zeros_is_not_what_a_free_place_has);
	tcase_add_test(pure, what_was_not_used_for_the_longest_time_gives_way);
	tcase_add_test(pure, a_user_has_one_seed);
	suite_add_tcase(suite, files);
	tcase_add_checked_fixture(files, make_path, remove_path);
	tcase_set_timeout(files, 60);
	tcase_add_test(files, a_user_has_the_hash_of_its_line);
	tcase_add_test(files, a_stranger_gets_the_same_hash_of_somebody_each_time);
	tcase_add_test(files, a_file_of_nobody_has_no_hash);
	tcase_add_test(files, a_user_is_found_wherever_a_piece_ends);
	tcase_add_loop_test(files, a_file_that_is_wrong_is_refused_with_the_line, 0,
			    sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(files, a_line_of_the_longest_length_is_read);
	tcase_add_test(files, what_is_no_file_is_refused);
	tcase_add_test(files, a_route_goes_before_its_site);
	tcase_add_test(files, a_file_that_is_missing_is_refused_at_prepare);
	suite_add_tcase(suite, requests);
	tcase_add_checked_fixture(requests, set_up, tear_down);
	tcase_set_timeout(requests, 60);
	tcase_add_test(requests, the_right_password_is_let_in);
	tcase_add_test(requests, what_was_right_by_a_young_file_is_not_remembered);
	tcase_add_loop_test(requests, anything_else_gets_401_and_costs_the_same_hash, 0,
			    sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_loop_test(requests, no_credentials_cost_no_hash, 0, sizeof(fields) / sizeof(fields[0]));
#ifndef __SANITIZE_ADDRESS__
	tcase_add_loop_test(requests, no_password_stays_in_memory, 0, 2);
#endif
	tcase_add_test(requests, a_file_that_is_gone_or_wrong_gets_500);
	tcase_add_test(requests, requests_with_the_same_credentials_wait_for_one_hash);
	tcase_add_test(requests, what_nobody_waits_for_any_more_is_not_computed);
	tcase_add_test(requests, who_leaves_while_it_is_computed_leaves_nothing);
	tcase_add_test(requests, a_client_does_not_wait_for_ever);
	tcase_add_test(requests, without_a_helper_thread_the_answer_is_503);
	tcase_add_test(requests, the_route_behind_another_match_is_open);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
