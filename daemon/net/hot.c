/* hot.c - the memory of the hot lines.  Called by the master, once; workers inherit the mapping. */
#include "hot.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/mman.h>

struct hot *hot_map(int fd, struct err *err)
{
	struct hot *hot = mmap(NULL, sizeof(*hot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (hot == MAP_FAILED)
		return err_sys(err, errno, "map the hot lines"), NULL;
	return hot;
}

struct hot *hot_create(int *fd, struct err *err)
{
	int memory AUTO_CLOSE = fd_memory("drover-hot", sizeof(struct hot));
	struct hot *hot;

	if (memory < 0)
		return err_sys(err, errno, "memory for the hot lines"), NULL;
	hot = hot_map(memory, err);
	if (hot == NULL)
		return NULL;
	hot->version = HOT_VERSION;
	*fd = fd_take(&memory);
	return hot;
}

void hot_unmap(struct hot *hot)
{
	if (hot != NULL)
		munmap(hot, sizeof(*hot));
}
