/* Pieces of files that the loop would have to wait for: a helper thread brings them. */
#ifndef SERVICE_FILES_READ_H
#define SERVICE_FILES_READ_H

#include "http/exchange.h"

#include "base/present.h"

/* What of it a helper thread has brought. */
struct files_piece {
	enum place place;               /* of the file; PLACE_UNKNOWN: nobody can say */
	off_t at;
	ssize_t got;                    /* fewer than were asked for: the file ends there; -1: see `error` */
	int error;
	bool stat_known;
	struct stat stat;               /* of the descriptor, afterwards */
	const char *bytes;              /* NULL: they are in the page cache */
};

/* Called on the loop, once; NULL: it did not come in time. The exchange still waits, and it is for `arrived`
 * to call exchange_resume. */
typedef void files_arrived(struct exchange *exchange, const struct files_piece *piece);

/* Has bytes of the exchange's file brought into the page cache. It has no other task. Where there is no place
 * for it the exchange is resumed a little later, to try again. */
void files_read_ahead(struct exchange *exchange, const struct stat *stat, off_t at, files_arrived *arrived);

/* The same with `len` bytes of a file whose descriptor is not for the loop to use, see files_far_hold. They
 * are the caller's to copy. */
void files_read_bytes(struct exchange *exchange, off_t at, size_t len, files_arrived *arrived);

/* The exchange's descriptor is of a file that is far away: from now on nobody but helper threads reads or
 * closes it. False when out of memory: it was closed. */
bool files_far_hold(struct exchange *exchange);

/* A descriptor of a far file, which nobody else has, is closed by a helper thread: close(2) asks, too. */
void files_far_close(struct engine *engine, int *fd);

#endif
