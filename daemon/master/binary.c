/* binary.c - the program that this process is.
 *
 * Called by master.c at the start and by upgrade.c.  Fails with `err`: then there is no upgrade, but the
 * service goes on. */
#include "binary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>

/* As it was called: a symlink that is led to another version keeps its name, which /proc/self/exe does not
 * know (getauxval(3)). */
bool binary_find(struct binary *binary, struct err *err)
{
	const char *called = (const char *)getauxval(AT_EXECFN);
	char here[PATH_MAX] = "";
	int len;

	if (called == NULL)
		return err_set(err, "the kernel does not say which file was executed");
	if (called[0] != '/' && getcwd(here, sizeof(here)) == NULL)
		return err_sys(err, errno, "the current directory, for %s", called);
	len = snprintf(binary->path, sizeof(binary->path), "%s%s%s", here, here[0] != '\0' ? "/" : "",
		       called);
	if (len < (int)sizeof(binary->path))
		return true;
	binary->path[0] = '\0';
	return err_set(err, "the path of the binary is too long");
}

int binary_open(struct err *err)
{
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);

	if (fd < 0)
		err_sys(err, errno, "keep this binary open");
	return fd;
}
