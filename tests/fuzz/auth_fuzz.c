/* auth_fuzz.c - the value of an Authorization field, and lines of a file of users.
 *
 * Input: the first byte says which of the two; a value is taken as it is, a file is cut into lines. What is
 * read can be written again the same way. */
#include "fuzz.h"

#include "http/credentials.h"
#include "http/user_file.h"

#include <sodium.h>

static bool has_control(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f)
			return true;
	return false;
}

/* Strict base64 has one spelling: it must be the one that came. */
static void check_spelling(struct str value, const struct credentials *credentials)
{
	char text[sizeof(credentials->user) + sizeof(credentials->password)];
	char encoded[sodium_base64_ENCODED_LEN(sizeof(text), sodium_base64_VARIANT_ORIGINAL)];
	int len = snprintf(text, sizeof(text), "%s:%s", credentials->user, credentials->password);

	FUZZ_CHECK(memchr(credentials->user, ':', sizeof(credentials->user)) == NULL);
	FUZZ_CHECK(!has_control((struct str){ text, (size_t)len }));
	sodium_bin2base64(encoded, sizeof(encoded), (const unsigned char *)text, (size_t)len,
			  sodium_base64_VARIANT_ORIGINAL);
	FUZZ_CHECK(value.len > strlen(encoded) + 5 &&
		   str_equal_nocase((struct str){ value.at, 5 }, str_of("basic")));
	FUZZ_CHECK(memcmp(value.at + value.len - strlen(encoded), encoded, strlen(encoded)) == 0);
	FUZZ_CHECK(value.at[value.len - strlen(encoded) - 1] == ' ');
}

static void check_value(struct str value)
{
	static const struct credentials wiped;
	struct credentials credentials;

	if (credentials_parse(value, &credentials))
		check_spelling(value, &credentials);
	else
		FUZZ_CHECK(memcmp(&credentials, &wiped, sizeof(wiped)) == 0);
}

static void check_line(struct str text)
{
	struct user_line line = { 0 };
	struct err err = { "" };

	if (!user_line_parse(text, &line, &err)) {
		FUZZ_CHECK(err.text[0] != '\0' && line.user.at == NULL);
		return;
	}
	if (line.user.at == NULL)
		return;
	FUZZ_CHECK(line.user.at == text.at && line.user.at[line.user.len] == ':');
	FUZZ_CHECK(line.user.len > 0 && line.user.len < CREDENTIALS_USER_BYTES && !has_control(line.user));
	FUZZ_CHECK(line.hash.at == line.user.at + line.user.len + 1);
	FUZZ_CHECK(line.hash.len > 0 && line.hash.at + line.hash.len <= text.at + text.len);
	FUZZ_CHECK(strchr("*!$", line.hash.at[0]) != NULL);
	FUZZ_CHECK(line.hash.at[0] != '$' || line.hash.len < USER_FILE_HASH_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	bool is_value = input_byte(&input) == 'v';

	if (is_value)
		check_value(input_take(&input, input.len));
	while (!is_value && input.len > 0)
		check_line(input_until(&input, '\n'));
	return 0;
}
