/* slow.c - rings of slow requests. Called by workers, the master and droverctl; fails by returning false, or
 * leaving out an entry that is being written. */
#include "slow.h"

#include <string.h>
#include <unistd.h>

void slow_put(struct slow_ring *ring, const struct slow_entry *entry)
{
	uint64_t number = __atomic_add_fetch(&ring->last, 1, __ATOMIC_RELAXED);
	struct slow_entry *place = &ring->at[number % SLOW_ENTRIES];

	__atomic_store_n(&place->number, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy((char *)place + sizeof(place->number), (const char *)entry + sizeof(entry->number),
	       sizeof(*entry) - sizeof(entry->number));
	__atomic_store_n(&place->number, number, __ATOMIC_RELEASE);
}

/* Its number is the same before and after it was copied. */
static bool copy(const struct slow_entry *place, struct slow_entry *entry)
{
	uint64_t number = __atomic_load_n(&place->number, __ATOMIC_ACQUIRE);

	if (number == 0)
		return false;
	memcpy(entry, place, sizeof(*entry));
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return __atomic_load_n(&place->number, __ATOMIC_RELAXED) == number;
}

size_t slow_read(const struct slow_ring *ring, uint32_t slot, struct slow_entry entries[SLOW_ENTRIES])
{
	size_t count = 0;

	if (__atomic_load_n(&ring->last, __ATOMIC_RELAXED) == 0)
		return 0;
	for (unsigned i = 0; i < SLOW_ENTRIES; i++)
		if (copy(&ring->at[i], &entries[count]))
			entries[count++].slot = slot;
	return count;
}

bool slow_head_of(int fd, struct slow_head *head)
{
	struct slow_head found;

	if (pread(fd, &found, sizeof(found), 0) != (ssize_t)sizeof(found) || found.version != SLOW_VERSION ||
	    found.entry_bytes != sizeof(struct slow_entry) || found.count > SLOW_SLOTS * SLOW_ENTRIES)
		return false;
	*head = found;
	return true;
}

bool slow_entry_at(int fd, const struct slow_head *head, unsigned index, struct slow_entry *entry)
{
	off_t at = (off_t)(sizeof(*head) + (size_t)index * sizeof(*entry));

	if (index >= head->count || pread(fd, entry, sizeof(*entry), at) != (ssize_t)sizeof(*entry))
		return false;
	entry->client[SLOW_CLIENT_BYTES - 1] = '\0';
	entry->host[SLOW_HOST_BYTES - 1] = '\0';
	entry->request[SLOW_REQUEST_BYTES - 1] = '\0';
	return true;
}
