/* What needs all fields of a request: whom it is for, where its body ends, and what becomes of the connection
 * (RFC 9112, 3.2, 6 and 9.3; RFC 9110, 10.1.1). */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include "request.h"

/* Fills in what request.h says that fields decide; 0, or what refuses the request (400, 501),
 * see parse_refusal. */
unsigned fields_check(struct request *request, const char *head);

#endif
