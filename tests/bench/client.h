/* What the clients of this folder share. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum {
	SOURCES = 64,                   /* addresses: each has 28,000 ports */
	NS_PER_US = 1000,
	NS_PER_MS = 1000000,
	NS_PER_S = 1000000000,
};

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* Where all connections shall come from; 0: from many. */
static in_addr_t only_source;

/* Connections that were used once leave their port in TIME_WAIT, so they take turns with their source. */
static inline void choose_source(int fd)
{
	static unsigned turn;
	struct sockaddr_in source = { .sin_family = AF_INET };
	int on = 1;

	source.sin_addr.s_addr =
		only_source != 0 ? only_source : htonl(0x7f000001 + ((turn++ % SOURCES) << 8));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0)
		err(1, "bind");
}

/* Of an option. */
static inline unsigned number(const char *text, unsigned min, unsigned max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < min || value > max)
		errx(1, "\"%s\" is no number from %u to %u", text, min, max);
	return (unsigned)value;
}

#endif
