/* inherit_fuzz.c - what systemd passes, by any names: sockets that are none, names of the FD store that
 * drover never gave, ones that are there twice.  Each descriptor is claimed once, or closed; a unit's never
 * counts as stored.
 *
 * Input: a byte for each descriptor, what it is, and its name up to a newline. */
#include "fuzz.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PASSED_AT = 500, PASSED_MAX = 8 };

static int fuzz_listen_fds(int unset, char ***names);

/* The reader as it is; the test's are the function of systemd's library that reads the environment, and the
 * place of the descriptors. */
#include <systemd/sd-daemon.h>
#undef SD_LISTEN_FDS_START
#define SD_LISTEN_FDS_START PASSED_AT
#define sd_listen_fds_with_names fuzz_listen_fds
#define inherit_take fuzz_inherit_take
#define inherit_check fuzz_inherit_check
#define inherit_has fuzz_inherit_has
#define inherit_claim fuzz_inherit_claim
#define inherit_free fuzz_inherit_free
#define inherit_return fuzz_inherit_return
#define inherit_explain fuzz_inherit_explain
#define inherit_drop_stale fuzz_inherit_drop_stale
#define inherit_say_surplus fuzz_inherit_say_surplus
#define inherit_close fuzz_inherit_close
#include "master/inherit.c"

static char *passed[PASSED_MAX];
static unsigned passed_count;

static int fuzz_listen_fds(int unset, char ***names)
{
	(void)unset;
	*names = calloc(PASSED_MAX + 1, sizeof(**names));
	FUZZ_CHECK(*names != NULL);
	memcpy(*names, passed, passed_count * sizeof(passed[0]));
	return (int)passed_count;
}

/* A listening socket of IPv4 or IPv6 at any port, one that does not listen, a unix socket without a path, no
 * socket. */
static int open_one(unsigned kind, struct sockaddr_storage *address, socklen_t *len)
{
	static const int families[] = { AF_INET, AF_INET6, AF_INET, AF_UNIX, AF_UNSPEC };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int family = families[kind], fd = family != AF_UNSPEC ? socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)
							      : open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (family == AF_INET)
		(void)bind(fd, (struct sockaddr *)&v4, sizeof(v4));
	if (family == AF_INET6)
		(void)bind(fd, (struct sockaddr *)&v6, sizeof(v6));
	if (kind != 2 && family != AF_UNSPEC)
		listen(fd, 1);
	*len = sizeof(*address);
	if (family == AF_UNSPEC || getsockname(fd, (struct sockaddr *)address, len) < 0)
		*len = 0;
	return fd;
}

/* Is in its place afterwards; the last good one's address is that of the first listen entry. */
static void pass_one(struct input *input, struct addr *last)
{
	unsigned kind = input_byte(input) % 5;
	struct sockaddr_storage storage;
	socklen_t len;
	int fd = open_one(kind, &storage, &len), at = PASSED_AT + (int)passed_count;

	FUZZ_CHECK(fd >= 0 && dup3(fd, at, O_CLOEXEC) == at);
	close(fd);
	passed[passed_count++] = fuzz_copy(input_until(input, '\n'));
	if (len > 0 && kind < 2)
		addr_describe(&storage, len, last);
}

static unsigned count_stored(const struct master *master)
{
	unsigned count = 0;

	FOR_EACH_INHERITED(master, one)
	{
		FUZZ_CHECK((one->keeper == KEEPER_STORE) == (strncmp(one->name, NOTIFY_STORED, 7) == 0));
		FUZZ_CHECK(one->keeper != KEEPER_STORE || notify_stored_place(one->name) < HOT_SLOTS);
		count += one->keeper == KEEPER_STORE;
	}
	return count;
}

static void use(struct master *master, struct config *config, const struct addr *addr)
{
	struct inherited *one;
	struct err err = { "" };
	unsigned place = 0;

	if (!fuzz_inherit_check(master, config, &err))
		FUZZ_CHECK(err.text[0] != '\0');
	fuzz_inherit_explain(master, addr, &err);
	fuzz_inherit_drop_stale(master, config);
	FOR_EACH_INHERITED(master, left)
		FUZZ_CHECK(left->keeper != KEEPER_STORE || left->flaw == NULL);
	while ((one = fuzz_inherit_claim(master, addr)) != NULL) {
		FUZZ_CHECK(one->flaw == NULL && place_of(one) >= place);
		place = place_of(one);
		fuzz_inherit_free(one);
	}
	FUZZ_CHECK(!fuzz_inherit_has(master, addr));
	fuzz_inherit_say_surplus(master);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct master master = { 0 };
	struct addr addr = { .text = "127.0.0.1:1" };
	struct listen_config entry = { .address = addr.text, .name = "web" };
	struct config config = { .listen = { .at = (void *[]){ &entry }, .count = 1 } };
	unsigned open_before = fuzz_open_count();
	struct err err;

	passed_count = 0;
	list_init(&master.inherited);
	list_init(&master.listeners);
	while (input.len > 0 && passed_count < PASSED_MAX)
		pass_one(&input, &addr);
	FUZZ_CHECK(fuzz_inherit_take(&master, &err));
	FUZZ_CHECK(count_stored(&master) == master.store_used);
	use(&master, &config, &addr);
	fuzz_inherit_close(&master);
	FUZZ_CHECK(fuzz_open_count() == open_before);
	return 0;
}
