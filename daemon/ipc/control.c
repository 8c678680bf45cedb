/* control.c - what the daemon and droverctl share of the control protocol. Fails by returning false or -1. */
#include "control.h"

#include "base/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

bool control_default_path(char path[CONTROL_PATH_BYTES])
{
	const char *runtime = getenv("RUNTIME_DIRECTORY"), *home = getenv("XDG_RUNTIME_DIR");
	int len;

	if (runtime != NULL && runtime[0] == '/')       /* several directories are separated by colons */
		len = snprintf(path, CONTROL_PATH_BYTES, "%.*s/control.sock", (int)strcspn(runtime, ":"),
			       runtime);
	else if (geteuid() == 0)
		len = snprintf(path, CONTROL_PATH_BYTES, "/run/drover/control.sock");
	else if (home != NULL && home[0] == '/')
		len = snprintf(path, CONTROL_PATH_BYTES, "%s/drover/control.sock", home);
	else
		return false;
	return len < CONTROL_PATH_BYTES;
}

int control_connect(const char *path, struct err *err)
{
	int fd AUTO_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, "%s: longer than the path of a unix socket may be", path), -1;
	strcpy(addr.sun_path, path);    /* its length was just checked */
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return err_sys(err, errno, "connect to %s", path), -1;
	return fd_take(&fd);
}
