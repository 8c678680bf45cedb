/* The bytes of a file's answer, and whether they are still those that the head speaks of. */
#ifndef SERVICE_FILES_BODY_H
#define SERVICE_FILES_BODY_H

#include "files_answer.h"

#include "http/multipart.h"
#include "http/range.h"

enum { FILES_BODY_SMALL_BYTES = 31 * 1024 };    /* a buffer of 32 KiB, with the head */

/* DONE: the response has its body.  CHANGED: the file was written to meanwhile; nothing has happened, and
 * file->stat is of now.  UNSETTLED: perhaps it is written to just now; the same.  FAILED: it cannot be read,
 * or out of memory. */
enum files_body { FILES_BODY_DONE, FILES_BODY_CHANGED, FILES_BODY_UNSETTLED, FILES_BODY_FAILED };

/* SENT: by the kernel, straight from the file.  COPIED: read first, so that what is on its way does not
 * change when the file does, as its pages would.  DOUBTED: the same, but somebody was writing to it when the
 * head was made: it will not be completed. */
enum files_care { FILES_CARE_SENT, FILES_CARE_COPIED, FILES_CARE_DOUBTED };

/* Reads one range of up to FILES_BODY_SMALL_BYTES into the exchange's buffer; `twice`: it counts only when it
 * is the same both times. */
enum files_body files_body_small(struct exchange *exchange, struct file *file, struct range range,
				 bool twice);

/* One range that is sent from the file, which is taken over. */
enum files_body files_body_large(struct exchange *exchange, struct file *file, struct range range,
				 enum files_care care);

/* Several ranges; the file is taken over. */
enum files_body files_body_parts(struct exchange *exchange, struct file *file, const struct ranges *ranges,
				 const struct multipart *multipart, enum files_care care);

#endif
