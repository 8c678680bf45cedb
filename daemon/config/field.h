/* Header fields as an operator writes them: "Name: value" (RFC 9110, 5.1 and 5.5). */
#ifndef CONFIG_FIELD_H
#define CONFIG_FIELD_H

#include "base/err.h"
#include "base/str.h"

enum { FIELD_MOST_BYTES = 8 * 1024 };   /* of all that rules put into one answer */

/* Takes "Name: value" apart, or "Name" alone (then the value is absent); the value has no white space around
 * it. */
void field_split(const char *text, struct str *name, struct str *value);

/* What headers.set, headers.add and headers.remove may have: a token, for the first two with a value without
 * control characters; nothing that drover has to say itself. */
bool field_check_set(const char *text, struct err *err);
bool field_check_add(const char *text, struct err *err);
bool field_check_remove(const char *text, struct err *err);

/* Whether the value of such a field is a secret, by its name: a password, a session, a key. */
bool field_is_secret(struct str name);

/* A value alone, which is not empty. */
bool field_check_value(const char *text, struct err *err);

#endif
