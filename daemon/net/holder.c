/* holder.c - from an address to the process that listens there: /proc/net has the socket's inode,
 * /proc/PID/fd who has it open (proc(5)).
 *
 * Called by listener.c in the master, hence bounded. What cannot be read is not there: other users'
 * processes, or all of them under ProcSubset= and ProtectProc=. */
#include "holder.h"

#include "base/clock.h"

#include <dirent.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Of processor time, so that on a busy machine the answer is the same, only later. */
#define LOOK_NS (200 * CLOCK_MS)

enum { STATE_LISTEN = 0x0a, ACCEPTS_CONNECTIONS = 0x10000 };    /* TCP_LISTEN, __SO_ACCEPTCON */

static uint64_t used_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (uint64_t)used.tv_sec * CLOCK_S + (uint64_t)used.tv_nsec;
}

struct sought {
	const struct addr *addr;
	unsigned long inode;            /* 0: not found yet */
	unsigned user;                  /* of a TCP socket */
	uint64_t until_ns;
};

/* ---- the socket -------------------------------------------------------------------------------------- */

/* The address as /proc/net/tcp and tcp6 write it: words of 32 bits, as they lie in memory, in hexadecimal. */
static bool read_address(const char *hex, unsigned port, struct sockaddr_storage *storage)
{
	struct sockaddr_in *v4 = (void *)storage;
	struct sockaddr_in6 *v6 = (void *)storage;
	size_t words = strlen(hex) / 8;
	uint32_t bytes[4] = { 0 };

	for (size_t i = 0; i < words && i < 4; i++)
		/* NOLINTNEXTLINE(cert-err34-c): eight digits cannot be out of range */
		if (sscanf(hex + 8 * i, "%8x", &bytes[i]) != 1)
			return false;
	memset(storage, 0, sizeof(*storage));
	storage->ss_family = words == 1 ? AF_INET : AF_INET6;
	if (words == 1) {
		v4->sin_port = htons((uint16_t)port);
		v4->sin_addr.s_addr = bytes[0];
	} else {
		v6->sin6_port = htons((uint16_t)port);
		memcpy(&v6->sin6_addr, bytes, sizeof(bytes));
	}
	return words == 1 || words == 4;
}

/* False when no more need be read: sockets that listen come first, and there may be many thousands of
 * others. */
static bool look_at_tcp(struct sought *sought, const char *line)
{
	struct sockaddr_storage storage;
	struct addr found;
	char hex[33];
	unsigned port, state, user;
	unsigned long inode;

	/* NOLINTNEXTLINE(cert-err34-c): the kernel's numbers, which are in range */
	if (sscanf(line, " %*u: %32[0-9A-F]:%x %*32[0-9A-F]:%*x %x %*s %*s %*s %u %*u %lu", hex, &port,
		   &state, &user, &inode) != 5)
		return true;            /* the heading */
	if (state != STATE_LISTEN || !read_address(hex, port, &storage))
		return false;
	addr_describe(&storage, sizeof(storage), &found);
	if (!addr_overlap(&found, sought->addr))
		return true;
	sought->inode = inode;
	sought->user = user;
	return false;
}

static bool look_at_unix(struct sought *sought, const char *line)
{
	const char *path = sought->addr->text + strlen("unix:");
	unsigned flags;
	unsigned long inode;
	int at = 0;

	/* NOLINTNEXTLINE(cert-err34-c): the same */
	if (sscanf(line, "%*[^:]: %*x %*x %x %*x %*x %lu %n", &flags, &inode, &at) != 2 || at == 0 ||
	    (flags & ACCEPTS_CONNECTIONS) == 0)
		return true;
	if (strncmp(line + at, path, strlen(path)) == 0 && line[(size_t)at + strlen(path)] == '\n')
		sought->inode = inode;
	return sought->inode == 0;
}

static void look_through(struct sought *sought, const char *table,
			 bool (*look_at)(struct sought *sought, const char *line))
{
	FILE *file = fopen(table, "re");
	char line[512];

	while (file != NULL && sought->inode == 0 && used_ns() < sought->until_ns &&
	       fgets(line, sizeof(line), file) != NULL && look_at(sought, line))
		;
	if (file != NULL)
		fclose(file);
}

/* ---- the process ------------------------------------------------------------------------------------- */

static bool has_open(const struct sought *sought, const char *process)
{
	char path[64], link[64], target[64];
	const struct dirent *entry;
	bool found = false;
	ssize_t len;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", process);
	snprintf(target, sizeof(target), "socket:[%lu]", sought->inode);
	directory = opendir(path);
	while (directory != NULL && !found && (entry = readdir(directory)) != NULL &&
	       used_ns() < sought->until_ns) {
		len = readlinkat(dirfd(directory), entry->d_name, link, sizeof(link) - 1);
		link[len > 0 ? len : 0] = '\0';
		found = strcmp(link, target) == 0;
	}
	if (directory != NULL)
		closedir(directory);
	return found;
}

static void name_process(const char *process, char text[HOLDER_TEXT_BYTES])
{
	char path[64], name[64] = "?";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", process);
	file = fopen(path, "re");
	if (file != NULL && fgets(name, sizeof(name), file) != NULL)
		name[strcspn(name, "\n")] = '\0';
	if (file != NULL)
		fclose(file);
	snprintf(text, HOLDER_TEXT_BYTES, "held by pid %.16s, %s", process, name);
}

static bool find_process(const struct sought *sought, char text[HOLDER_TEXT_BYTES])
{
	DIR *directory = opendir("/proc");
	const struct dirent *entry;
	bool found = false;

	while (directory != NULL && !found && (entry = readdir(directory)) != NULL &&
	       used_ns() < sought->until_ns) {
		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		found = has_open(sought, entry->d_name);
		if (found)
			name_process(entry->d_name, text);
	}
	if (directory != NULL)
		closedir(directory);
	return found;
}

void holder_describe(const struct addr *addr, char text[HOLDER_TEXT_BYTES])
{
	struct sought sought = { .addr = addr, .until_ns = used_ns() + LOOK_NS };

	if (addr_is_unix(addr)) {
		look_through(&sought, "/proc/self/net/unix", look_at_unix);
	} else {
		look_through(&sought, "/proc/self/net/tcp", look_at_tcp);
		look_through(&sought, "/proc/self/net/tcp6", look_at_tcp);
	}
	if (sought.inode != 0 && find_process(&sought, text))
		return;
	if (sought.inode != 0 && !addr_is_unix(addr))
		snprintf(text, HOLDER_TEXT_BYTES,
			 "held by user %u, in a process that cannot be seen from here", sought.user);
	else
		snprintf(text, HOLDER_TEXT_BYTES, "held by another program");
}
