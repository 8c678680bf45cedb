/* credentials.c - reading `Authorization: Basic ...`.  Called by auth.c.  Pure; fails by returning false.
 *
 * The base64 is libsodium's: it takes the same time whatever the bytes, which are a secret. */
#include "credentials.h"

#include <sodium.h>

enum { DECODED_BYTES = CREDENTIALS_USER_BYTES + CREDENTIALS_PASSWORD_BYTES };

static const struct str scheme = { "Basic", 5 };

void credentials_wipe(struct credentials *credentials)
{
	sodium_memzero(credentials, sizeof(*credentials));
}

/* What is behind "Basic" and at least one space (RFC 9110, 11.4); absent when it is another scheme. */
static struct str after_scheme(struct str value)
{
	size_t at = scheme.len;

	if (value.len <= at || !str_equal_nocase((struct str){ value.at, at }, scheme) || value.at[at] != ' ')
		return (struct str){ 0 };
	while (at < value.len && value.at[at] == ' ')
		at++;
	return (struct str){ value.at + at, value.len - at };
}

/* libsodium 1.0.18 takes every byte above 0x7f for a "/". */
static bool is_ascii(struct str text)
{
	unsigned char all = 0;

	for (size_t i = 0; i < text.len; i++)
		all |= (unsigned char)text.at[i];
	return all < 0x80;
}

/* RFC 7617, 2: "The user-id and password MUST NOT contain any control characters". */
static bool has_control(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f)
			return true;
	return false;
}

/* The first colon ends the user: a password may have further ones. */
static bool split(struct str text, struct credentials *credentials)
{
	const char *colon = text.len > 0 ? memchr(text.at, ':', text.len) : NULL;
	size_t user, password;

	if (colon == NULL || has_control(text))
		return false;
	user = (size_t)(colon - text.at);
	password = text.len - user - 1;
	if (user >= sizeof(credentials->user) || password >= sizeof(credentials->password))
		return false;
	memcpy(credentials->user, text.at, user);
	memcpy(credentials->password, colon + 1, password);
	return true;
}

bool credentials_parse(struct str value, struct credentials *credentials)
{
	struct str encoded = after_scheme(value);
	char decoded[DECODED_BYTES];
	size_t len = 0;
	bool good;

	credentials_wipe(credentials);  /* terminates both, too */
	good = encoded.len > 0 && is_ascii(encoded) &&
	       sodium_base642bin((unsigned char *)decoded, sizeof(decoded), encoded.at, encoded.len, NULL,
				 &len, NULL, sodium_base64_VARIANT_ORIGINAL) == 0 &&
	       split((struct str){ decoded, len }, credentials);
	sodium_memzero(decoded, sizeof(decoded));
	return good;
}
