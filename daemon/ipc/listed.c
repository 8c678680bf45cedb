/* listed.c - files of records of connections. Called by the master and droverctl; fails by returning false or
 * -1. */
#include "listed.h"

#include "base/fd.h"

#include <fcntl.h>
#include <sys/mman.h>

size_t listed_bytes(unsigned records)
{
	return sizeof(struct listed_head) + records * sizeof(struct listed);
}

int listed_open(unsigned records)
{
	int fd AUTO_CLOSE = memfd_create("drover-list", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)listed_bytes(records)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -1;
	return fd_take(&fd);
}

bool listed_read_head(int fd, unsigned most, struct listed_head *head)
{
	struct listed_head found;

	if (pread(fd, &found, sizeof(found), 0) != (ssize_t)sizeof(found) ||
	    found.version != LISTED_VERSION || found.record_bytes != sizeof(struct listed) ||
	    found.count > most)
		return false;
	*head = found;
	return true;
}

/* A text fills its place to the last byte when it was cut: that byte is given up. */
bool listed_read(int fd, unsigned index, struct listed *record)
{
	if (pread(fd, record, sizeof(*record), (off_t)listed_bytes(index)) != (ssize_t)sizeof(*record))
		return false;
	record->client[LISTED_CLIENT_BYTES - 1] = '\0';
	record->peer[LISTED_CLIENT_BYTES - 1] = '\0';
	record->host[LISTED_HOST_BYTES - 1] = '\0';
	record->request[LISTED_REQUEST_BYTES - 1] = '\0';
	return true;
}
