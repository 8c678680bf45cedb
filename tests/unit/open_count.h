/* How many descriptors a test has open: none may be left behind, none may be closed twice. */
#ifndef UNIT_OPEN_COUNT_H
#define UNIT_OPEN_COUNT_H

#include <fcntl.h>

static inline unsigned open_count(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

#endif
