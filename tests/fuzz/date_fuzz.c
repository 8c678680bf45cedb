/* date_fuzz.c - HTTP dates: what is read is written again the same way.
 *
 * Input: a date's text; its first eight bytes are also taken for a time. */
#include "fuzz.h"

#include "http/date.h"

static const time_t now = 1764072000;   /* in 2025 */
static const time_t first_second = -62135596800, last_second = 253402300799;

static void check_text(struct str text)
{
	char written[DATE_BYTES];
	time_t when, again;

	if (!date_parse(text, now, &when))
		return;
	FUZZ_CHECK(when >= first_second && when <= last_second + 1);   /* + 1: a leap second */
	if (when > last_second)
		return;
	date_format(when, written);
	FUZZ_CHECK(date_parse(str_of(written), now, &again) && again == when);
	if (text.len == DATE_BYTES - 1 && text.at[3] == ',' && memmem(text.at, text.len, ":60 ", 4) == NULL)
		FUZZ_CHECK(memcmp(text.at, written, text.len) == 0);
}

static void check_time(time_t when)
{
	time_t clamped = when < first_second ? first_second : when > last_second ? last_second : when, again;
	char written[DATE_BYTES];

	date_format(when, written);
	FUZZ_CHECK(strlen(written) == DATE_BYTES - 1);
	FUZZ_CHECK(date_parse(str_of(written), now, &again) && again == clamped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	time_t when = 0;

	check_text((struct str){ (const char *)data, size });
	memcpy(&when, data, size < sizeof(when) ? size : sizeof(when));
	check_time(when);
	check_time(when % (last_second / 2));   /* mostly inside of the years that there are */
	return 0;
}
