/* listener.c - opening listening sockets.  Called by the master only; fails by returning false or -1. */
#include "listener.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

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

static int open_socket(const struct addr *addr, bool v6only, bool reuse_port, struct err *err)
{
	int family = addr->storage.ss_family;
	int fd AUTO_CLOSE = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(err, errno, "socket"), -1;
	if (family == AF_UNIX)
		return fd_take(&fd);
	if (!set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, err))
		return -1;
	if (reuse_port && !set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1, err))
		return -1;
	if (family == AF_INET6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6only, err))
		return -1;
	return fd_take(&fd);
}

/* A path is busy when somebody accepts there, or when it is something else than a socket. */
static bool probe_path(const struct addr *addr, struct err *err)
{
	int fd AUTO_CLOSE = open_socket(addr, false, false, err);
	struct stat info;

	if (fd < 0)
		return false;
	if (lstat(path_of(addr), &info) < 0)
		return errno == ENOENT || err_sys(err, errno, "%s", addr->text);
	if (!S_ISSOCK(info.st_mode))
		return err_set(err, "%s: the path exists and is no socket", addr->text);
	if (connect(fd, (const struct sockaddr *)&addr->storage, addr->len) == 0 || errno == EAGAIN)
		return err_set(err, "%s: another program listens there", addr->text);
	return errno == ECONNREFUSED || err_sys(err, errno, "connect to %s", addr->text);
}

bool listener_probe(const struct addr *addr, bool v6only, struct err *err)
{
	int fd AUTO_CLOSE = -1;

	if (addr_is_unix(addr))
		return probe_path(addr, err);
	fd = open_socket(addr, v6only, false, err);
	if (fd < 0)
		return err_add(err, "%s", addr->text);
	if (bind(fd, (const struct sockaddr *)&addr->storage, addr->len) < 0)
		return err_sys(err, errno, "bind %s", addr->text);
	return true;
}

bool listener_may_bind(const struct addr *addr, bool v6only, struct err *err)
{
	char directory[sizeof(addr->text)];

	if (!listener_probe(addr, v6only, err))
		return false;
	if (!addr_is_unix(addr))
		return true;
	snprintf(directory, sizeof(directory), "%s", path_of(addr));
	strrchr(directory, '/')[1] = '\0';      /* addr_parse takes absolute paths only */
	return faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0 ||
	       err_sys(err, errno, "make a socket in %s", directory);
}

int listener_bind(const struct addr *addr, bool v6only, struct err *err)
{
	int fd AUTO_CLOSE = open_socket(addr, v6only, true, err);

	if (fd < 0)
		return err_add(err, "%s", addr->text), -1;
	if (addr_is_unix(addr)) {
		if (!probe_path(addr, err))
			return -1;
		unlink(path_of(addr));  /* the probe found it stale, or there is none */
	}
	if (bind(fd, (const struct sockaddr *)&addr->storage, addr->len) < 0)
		return err_sys(err, errno, "bind %s", addr->text), -1;
	return fd_take(&fd);
}

bool listener_start(int fd, const struct addr *addr, const struct listener_options *options, struct err *err)
{
	/* whoever may reach the directory may connect, as with a TCP port; restrict the directory */
	if (addr_is_unix(addr) && chmod(path_of(addr), options->mode) < 0)
		return err_sys(err, errno, "chmod %s", addr->text);
	if (listen(fd, (int)options->backlog) < 0)
		return err_sys(err, errno, "listen on %s", addr->text);
	if (addr_is_unix(addr))
		return true;
	/* accepted sockets inherit it: the end of an answer never waits for an acknowledgement (tcp(7)) */
	if (!set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, err) ||
	    !set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, options->defer_accept, err))
		return err_add(err, "%s", addr->text);
	return true;
}

void listener_unlink(const struct addr *addr)
{
	if (addr_is_unix(addr))
		unlink(path_of(addr));
}
