/* listener.c - opening listening sockets, and letting them go.  Called by the master only; fails by returning
 * false or -1. */
#include "listener.h"

#include "holder.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { TCP_FLAGS_AT = 13, TCP_FLAG_SYN = 0x02, TCP_FLAG_ACK = 0x10 };   /* RFC 9293, 3.1 */

/* ---- opening ----------------------------------------------------------------------------------------- */

static const char *path_of(const struct addr *addr)
{
	return ((const struct sockaddr_un *)(const void *)&addr->storage)->sun_path;
}

static bool set_option(int fd, int level, int option, int value, struct err *err)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) < 0)
		return err_sys(err, errno, "setsockopt %d/%d", level, option);
	return true;
}

/* What must be set before bind(2). */
static bool set_tcp_options(int fd, int family, const struct listener_options *options, struct err *err)
{
	bool is_v6 = family == AF_INET6;

	if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, err))
		return false;
	if (is_v6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options->v6only, err))
		return false;
	/* an IPv6 socket can take IPv4 connections, but is bound by IPv6's rules alone */
	if (options->freebind &&
	    !set_option(fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, is_v6 ? IPV6_FREEBIND : IP_FREEBIND, 1, err))
		return err_add(err, "freebind");
	if (options->device[0] != '\0' && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options->device,
						     (socklen_t)strlen(options->device)) < 0)
		return err_sys(err, errno, "device \"%s\"", options->device);
	return true;
}

static int open_socket(const struct addr *addr, const struct listener_options *options, struct err *err)
{
	int family = addr->storage.ss_family;
	int fd AUTO_CLOSE = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(err, errno, "socket"), -1;
	if (family != AF_UNIX && !set_tcp_options(fd, family, options, err))
		return -1;
	return fd_take(&fd);
}

static bool bind_socket(int fd, const struct addr *addr, struct err *err)
{
	char holder[HOLDER_TEXT_BYTES];
	int error;

	if (bind(fd, (const struct sockaddr *)&addr->storage, addr->len) == 0)
		return true;
	error = errno;
	if (error != EADDRINUSE)
		return err_sys(err, error, "bind");
	holder_describe(addr, holder);
	return err_set(err, "bind: %s (%s)", strerror(error), holder);
}

/* A path is busy when somebody accepts there, or when it is something else than a socket. */
static bool probe_path(const struct addr *addr, struct err *err)
{
	int fd AUTO_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char holder[HOLDER_TEXT_BYTES];
	struct stat info;

	if (fd < 0)
		return err_sys(err, errno, "socket");
	if (lstat(path_of(addr), &info) < 0)
		return errno == ENOENT || err_sys(err, errno, "%s", addr->text);
	if (!S_ISSOCK(info.st_mode))
		return err_set(err, "%s: the path exists and is no socket", addr->text);
	if (connect(fd, (const struct sockaddr *)&addr->storage, addr->len) == 0 || errno == EAGAIN) {
		holder_describe(addr, holder);
		return err_set(err, "%s: another program listens there (%s)", addr->text, holder);
	}
	return errno == ECONNREFUSED || err_sys(err, errno, "connect to %s", addr->text);
}

bool listener_probe(const struct addr *addr, const struct listener_options *options, struct err *err)
{
	int fd AUTO_CLOSE = -1;

	if (addr_is_unix(addr))
		return probe_path(addr, err);
	fd = open_socket(addr, options, err);
	return fd >= 0 && bind_socket(fd, addr, err);
}

bool listener_identify(const struct addr *addr, struct listener_path *path, struct err *err)
{
	struct stat info;

	*path = (struct listener_path){ 0 };
	if (!addr_is_unix(addr))
		return true;
	if (lstat(path_of(addr), &info) < 0)
		return err_sys(err, errno, "%s", addr->text);
	*path = (struct listener_path){ info.st_dev, info.st_ino, info.st_uid, info.st_gid };
	return true;
}

static pid_t who_listens(int fd)
{
	struct ucred listener = { 0 };
	socklen_t len = sizeof(listener);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &len) == 0 ? listener.pid : 0;
}

bool listener_is_elsewhere(int fd, const struct addr *addr)
{
	int probe AUTO_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (probe < 0)
		return false;
	if (connect(probe, (const struct sockaddr *)&addr->storage, addr->len) < 0)
		return errno == ECONNREFUSED || errno == ENOENT;
	return who_listens(probe) != who_listens(fd);
}

bool listener_may_bind(const struct addr *addr, const struct listener_options *options, struct err *err)
{
	char directory[sizeof(addr->text)];

	if (!listener_probe(addr, options, err))
		return false;
	if (!addr_is_unix(addr))
		return true;
	snprintf(directory, sizeof(directory), "%s", path_of(addr));
	strrchr(directory, '/')[1] = '\0';      /* addr_parse takes absolute paths only */
	return faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0 ||
	       err_sys(err, errno, "make a socket in %s", directory);
}

static bool attach(int fd, const struct sock_filter *filter, size_t len, struct err *err)
{
	const struct sock_fprog program = {
		.len = (unsigned short)len,
		.filter = (struct sock_filter *)(uintptr_t)filter,
	};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return err_sys(err, errno, "attach a filter");
	return true;
}

/* Workers have it before it listens, and sendto(2) with MSG_FASTOPEN would connect it, which Landlock does
 * not see: no answer to its SYN comes in. What a client sends does, for the filter goes after listen(2)
 * only. A kernel may refuse filters to who is not root: it is one guard of several, and serving goes on. */
static void drop_answers(int fd)
{
	struct err refused;
	static const struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_AT),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TCP_FLAG_SYN | TCP_FLAG_ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TCP_FLAG_SYN | TCP_FLAG_ACK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};

	attach(fd, filter, sizeof(filter) / sizeof(filter[0]), &refused);
}

int listener_bind(const struct addr *addr, const struct listener_options *options, struct listener_path *path,
		  struct err *err)
{
	int fd AUTO_CLOSE = open_socket(addr, options, err);

	if (fd < 0)
		return -1;
	if (addr_is_unix(addr)) {
		if (!probe_path(addr, err))
			return -1;
		unlink(path_of(addr));  /* the probe found it stale, or there is none */
	} else if (!set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1, err)) {
		return -1;
	} else {
		drop_answers(fd);
	}
	if (!bind_socket(fd, addr, err) || !listener_identify(addr, path, err))
		return -1;
	return fd_take(&fd);
}

/* ---- listening --------------------------------------------------------------------------------------- */

static bool is_ours(const struct addr *addr, const struct listener_path *path, struct stat *info)
{
	return lstat(path_of(addr), info) == 0 && info->st_dev == path->device && info->st_ino == path->inode;
}

/* Who may write to the path may connect. A path that another program has since made its own is left alone. */
static bool set_rights(const struct addr *addr, const struct listener_path *path,
		       const struct listener_options *options, struct err *err)
{
	uid_t owner = options->owner != LISTENER_AS_CREATED ? options->owner : path->owner;
	gid_t group = options->group != LISTENER_AS_CREATED ? options->group : path->group;
	struct stat info;

	if (options->path_is_given || !is_ours(addr, path, &info))
		return true;
	if ((info.st_uid != owner || info.st_gid != group) && lchown(path_of(addr), owner, group) < 0)
		return err_sys(err, errno, "change the owner of %s to %u:%u", addr->text, owner, group);
	if ((info.st_mode & 07777) != options->mode && chmod(path_of(addr), options->mode) < 0)
		return err_sys(err, errno, "chmod %s", addr->text);
	return true;
}

static bool is_listening(int fd)
{
	socklen_t len = sizeof(int);
	int listens = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens != 0;
}

/* Accepted sockets would inherit the filter. */
static bool detach(int fd, struct err *err)
{
	int ignored = 0;

	return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &ignored, sizeof(ignored)) == 0 ||
	       errno == ENOENT || err_sys(err, errno, "detach a filter");
}

bool listener_start(int fd, const struct addr *addr, const struct listener_path *path,
		    const struct listener_options *options, struct err *err)
{
	bool listened = is_listening(fd);

	if (addr_is_unix(addr) && !set_rights(addr, path, options, err))
		return false;
	if (listen(fd, (int)options->backlog) < 0)
		return err_sys(err, errno, "listen on %s", addr->text);
	if (addr_is_unix(addr))
		return true;
	/* accepted sockets inherit it: the end of an answer never waits for an acknowledgement (tcp(7)) */
	if ((!listened && !detach(fd, err)) || !set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, err) ||
	    !set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, options->defer_accept, err))
		return err_add(err, "%s", addr->text);
	return true;
}

/* ---- letting go -------------------------------------------------------------------------------------- */

/* A filter that drops all would drop the last packet of handshakes under way too, and leave clients that
 * believe that they are connected to nobody. */
bool listener_refuse_new(int fd, struct err *err)
{
	static const struct sock_filter drop_syn[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_AT),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TCP_FLAG_SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};

	return attach(fd, drop_syn, sizeof(drop_syn) / sizeof(drop_syn[0]), err);
}

void listener_shut(int fd)
{
	shutdown(fd, SHUT_RD);
}

struct listener_queue listener_queue(int fd)
{
	struct listener_queue queue = { 0 };
	uint32_t memory[SK_MEMINFO_VARS] = { 0 };
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	/* of a listening socket it is the length of its queue (tcp_get_info in the kernel) */
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
		queue.waiting = info.tcpi_unacked;
	len = sizeof(memory);
	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &len) == 0)
		queue.dropped = memory[SK_MEMINFO_DROPS];
	return queue;
}

void listener_unlink(const struct addr *addr, const struct listener_path *path)
{
	struct stat info;

	if (addr_is_unix(addr) && is_ours(addr, path, &info))
		unlink(path_of(addr));
}
