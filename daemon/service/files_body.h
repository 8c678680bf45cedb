/* The bytes of a file's answer, and whether they are still those that the head speaks of. */
#ifndef SERVICE_FILES_BODY_H
#define SERVICE_FILES_BODY_H

#include "files_answer.h"

#include "http/multipart.h"
#include "http/range.h"

enum { FILES_BODY_SMALL_BYTES = 31 * 1024 };    /* a buffer of 32 KiB, with the head */

/* DONE: the response has its body.  CHANGED: the file was written to meanwhile; nothing has happened, and
 * file->stat is of now.  COLD: it is not in memory; nothing has happened.  FAILED: it cannot be read, or out
 * of memory. */
enum files_body { FILES_BODY_DONE, FILES_BODY_CHANGED, FILES_BODY_COLD, FILES_BODY_FAILED };

/* Reads one range of up to FILES_BODY_SMALL_BYTES into the exchange's buffer, if it is in memory. */
enum files_body files_body_small(struct exchange *exchange, struct file *file, struct range range);

/* One range that is sent from the file, which is taken over; what of it is not in memory is brought by a
 * helper thread when it is due.  `copied`: what is sent must not change even
 * behind our back, as pages of the file do that are on their way to the client. */
enum files_body files_body_large(struct exchange *exchange, struct file *file, struct range range,
				 bool copied);

/* Several ranges; the file is taken over. */
enum files_body files_body_parts(struct exchange *exchange, struct file *file, const struct ranges *ranges,
				 const struct multipart *multipart);

/* What is left of an answer that one of the latter two began in another worker; see service.thaw. */
bool files_body_thaw(struct exchange *exchange, struct record *record);

#endif
