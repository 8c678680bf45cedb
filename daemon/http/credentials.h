/* Credentials of the scheme Basic (RFC 7617), as a client sent them. */
#ifndef HTTP_CREDENTIALS_H
#define HTTP_CREDENTIALS_H

#include "base/str.h"

enum {
	CREDENTIALS_USER_BYTES = 256,   /* with the NUL */
	CREDENTIALS_PASSWORD_BYTES = 512,       /* the same; crypt(3) takes no more */
};

/* Both are terminated and have no control characters in them; either may be empty. */
struct credentials {
	char user[CREDENTIALS_USER_BYTES];
	char password[CREDENTIALS_PASSWORD_BYTES];
};

/* Reads the value of an Authorization field. False, and `credentials` is wiped, when it is of another scheme,
 * no strict base64 (RFC 4648, 4: padded, nothing else in between), without a colon, has a control character,
 * or is too long. Whoever has no more use for what was read calls credentials_wipe. */
bool credentials_parse(struct str value, struct credentials *credentials);

/* Leaves nothing of them in memory. */
void credentials_wipe(struct credentials *credentials);

#endif
