/* Connections, listed for people: droverctl asks the master, which makes a memfd for each worker and sends it
 * with LIST; the worker writes a head and records into it and says LISTED; the master passes the memfds on to
 * droverctl and never reads them, because what clients sent is in there. Who reads one takes nothing in it
 * for granted: it is read by pread(2), so that nothing happens to the reader when it is cut meanwhile, and
 * its length is sealed, so that a worker fills no more memory than it was given. */
#ifndef IPC_LISTED_H
#define IPC_LISTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LISTED_VERSION = 1,             /* of the note, the head and the records */
	LISTED_MOST = 4096,             /* records of a worker */
	LISTED_CLIENT_BYTES = 64,
	LISTED_HOST_BYTES = 64,
	LISTED_REQUEST_BYTES = 128,
};

/* By what the wanted ones are the greatest. */
enum listed_sort { LISTED_BY_AGE, LISTED_BY_BYTES, LISTED_SORTS };

/* Which connections are wanted. */
struct list_note {
	uint32_t version;
	uint32_t limit;                 /* so many records, at most LISTED_MOST */
	uint32_t states;                /* a bit for each enum count_state */
	uint32_t sort;                  /* enum listed_sort */
	uint64_t older_ns;
	uint32_t family, bits;          /* of the network that the client is in; family 0: in any */
	uint8_t network[16];
};

struct listed_head {
	uint32_t version, record_bytes;
	uint32_t count;                 /* of the records behind it */
	uint32_t matched;               /* of all that were wanted: there may have been more than the limit */
	uint64_t open;                  /* of all there are */
};

/* One connection. Texts end before the first zero byte, or fill their place. */
struct listed {
	uint64_t since_ns;              /* CLOCK_MONOTONIC: it was accepted, or its last answer ended */
	uint64_t begun_ns;              /* a request on it began; 0: none is under way */
	uint64_t bytes_out, bytes_in;   /* in all, as far as the kernel tells */
	uint64_t answer_bytes;          /* sent of the answer under way */
	uint32_t served;                /* requests before this one */
	uint32_t state;                 /* enum count_state */
	char client[LISTED_CLIENT_BYTES];
	char peer[LISTED_CLIENT_BYTES]; /* who is connected, if that is somebody else; "": it is not */
	char host[LISTED_HOST_BYTES];
	char request[LISTED_REQUEST_BYTES];
};

/* How long a file has to be for so many records. */
size_t listed_bytes(unsigned records);

/* A memfd for so many records, which cannot get any longer or shorter; -1 with errno. */
int listed_open(unsigned records);

/* Reads a head that makes sense: false for any other. It has no more records than `most`. */
bool listed_read_head(int fd, unsigned most, struct listed_head *head);

/* Reads record number `index`. Every text of it is terminated; what is in them is a client's. */
bool listed_read(int fd, unsigned index, struct listed *record);

#endif
