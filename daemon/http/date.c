/* date.c - HTTP dates to text and back.
 *
 * Pure: no time zone, no locale, no clock (gmtime_r takes a lock and may read a zone file, strptime follows
 * the locale and takes what the grammar does not allow).  Called by whoever writes or compares a date field.
 * Formatting cannot fail; a text that is no valid date is refused, never corrected. */
#include "date.h"

enum {
	DAY_SECONDS = 24 * 60 * 60,
	DAYS_TO_1970 = 719468,          /* from 0000-03-01: a year begun in March ends with its leap day */
	DAYS_OF_400_YEARS = 146097,
	YEARS_AHEAD = 50,               /* RFC 9110, 5.6.7: a two-digit year further ahead is a past one */
};

static const time_t first_second = -62135596800;        /* 0001-01-01 00:00:00 */
static const time_t last_second = 253402300799;         /* 9999-12-31 23:59:59 */

/* A date taken apart; the month and the weekday (Sunday) count from 0, the day of the month from 1. */
struct moment {
	int weekday, year, month, day, hour, minute, second;
};

static const char *const short_days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const long_days[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday",
					 "Saturday" };
static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
				      "Nov", "Dec" };

/* Days since 1970-01-01, for the years from 0 on. */
static int64_t days_of(const struct moment *moment)
{
	int year = moment->month < 2 ? moment->year - 1 : moment->year;
	int month = (moment->month + 10) % 12;          /* March is 0 */
	int day_of_year = (153 * month + 2) / 5 + moment->day - 1;

	return (int64_t)365 * year + year / 4 - year / 100 + year / 400 + day_of_year - DAYS_TO_1970;
}

static int weekday_of(int64_t days)
{
	return (int)((days % 7 + 7 + 4) % 7);           /* 1970-01-01 was a Thursday */
}

static time_t seconds_of(const struct moment *moment)
{
	return days_of(moment) * DAY_SECONDS + moment->hour * 3600 + moment->minute * 60 + moment->second;
}

static struct moment moment_of(time_t when)
{
	time_t clamped = when < first_second ? first_second : when > last_second ? last_second : when;
	int64_t since_1 = clamped - first_second;       /* not negative, so that / and % round down */
	int64_t days = since_1 / DAY_SECONDS + first_second / DAY_SECONDS;
	int64_t march_days = days + DAYS_TO_1970;
	int in_day = (int)(since_1 % DAY_SECONDS);
	int in_era = (int)(march_days % DAYS_OF_400_YEARS);
	int year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int in_year = in_era - (365 * year + year / 4 - year / 100);
	int month = (5 * in_year + 2) / 153;            /* March is 0 */
	int full_year = year + 400 * (int)(march_days / DAYS_OF_400_YEARS);

	return (struct moment){
		.weekday = weekday_of(days),
		.year = month < 10 ? full_year : full_year + 1,
		.month = (month + 2) % 12,
		.day = in_year - (153 * month + 2) / 5 + 1,
		.hour = in_day / 3600, .minute = in_day / 60 % 60, .second = in_day % 60,
	};
}

static void put_number(char *at, size_t digits, int number)
{
	while (digits-- > 0) {
		at[digits] = (char)('0' + number % 10);
		number /= 10;
	}
}

void date_format(time_t when, char text[DATE_BYTES])
{
	struct moment moment = moment_of(when);

	memcpy(text, "Ddd, dd Mmm yyyy hh:mm:ss GMT", DATE_BYTES);
	memcpy(text, short_days[moment.weekday], 3);
	put_number(text + 5, 2, moment.day);
	memcpy(text + 8, months[moment.month], 3);
	put_number(text + 12, 4, moment.year);
	put_number(text + 17, 2, moment.hour);
	put_number(text + 20, 2, moment.minute);
	put_number(text + 23, 2, moment.second);
}

/* What a letter behind "%" in a form stands for: a number of so many digits, or one of so many names. */
struct item {
	char letter;
	bool padded;                    /* a space may stand for the first digit */
	size_t digits;
	const char *const *names;
	size_t name_count;
	size_t offset;                  /* of its int in struct moment */
};

static const struct item items[] = {
	{ 'a', false, 0, short_days, 7, offsetof(struct moment, weekday) },
	{ 'A', false, 0, long_days, 7, offsetof(struct moment, weekday) },
	{ 'b', false, 0, months, 12, offsetof(struct moment, month) },
	{ 'd', false, 2, NULL, 0, offsetof(struct moment, day) },
	{ 'e', true, 2, NULL, 0, offsetof(struct moment, day) },
	{ 'H', false, 2, NULL, 0, offsetof(struct moment, hour) },
	{ 'M', false, 2, NULL, 0, offsetof(struct moment, minute) },
	{ 'S', false, 2, NULL, 0, offsetof(struct moment, second) },
	{ 'y', false, 2, NULL, 0, offsetof(struct moment, year) },
	{ 'Y', false, 4, NULL, 0, offsetof(struct moment, year) },
	{ 0 },
};

static bool take_name(const struct item *item, struct str *text, int *value)
{
	for (size_t i = 0; i < item->name_count; i++) {
		struct str name = str_of(item->names[i]);

		if (str_has_prefix(*text, name)) {
			str_take(text, name.len);
			*value = (int)i;
			return true;
		}
	}
	return false;
}

static bool take_number(const struct item *item, struct str *text, int *value)
{
	size_t digits = item->digits;
	uint64_t number;

	if (item->padded && text->len > 0 && text->at[0] == ' ') {
		str_take(text, 1);
		digits--;
	}
	if (text->len < digits || !str_to_u64((struct str){ text->at, digits }, &number))
		return false;
	str_take(text, digits);
	*value = (int)number;
	return true;
}

static bool take_item(char letter, struct str *text, struct moment *moment)
{
	const struct item *item = items;
	int *value;

	while (item->letter != letter && item->letter != 0)
		item++;
	value = (int *)(void *)((char *)moment + item->offset);
	return item->names != NULL ? take_name(item, text, value) : take_number(item, text, value);
}

/* True when all of `text` has this form; anything but "%" and its letter stands for itself. */
static bool has_form(const char *form, struct str text, struct moment *moment)
{
	for (; *form != '\0'; form++) {
		if (*form == '%') {
			if (!take_item(*++form, &text, moment))
				return false;
		} else if (text.len > 0 && text.at[0] == *form) {
			str_take(&text, 1);
		} else {
			return false;
		}
	}
	return text.len == 0;
}

/* Puts the century in front of a two-digit year. */
static void complete_year(struct moment *moment, time_t now)
{
	struct moment horizon = moment_of(now);

	moment->year += horizon.year / 100 * 100;
	horizon.year += YEARS_AHEAD;
	if (seconds_of(moment) > seconds_of(&horizon))
		moment->year -= 100;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month] + (leap && month == 1 ? 1 : 0);
}

/* The grammar's time ends at 23:59:60, the leap second; in Unix time that is the next day's first second. */
static bool is_time(const struct moment *moment)
{
	if (moment->second == 60)
		return moment->hour == 23 && moment->minute == 59;
	return moment->hour < 24 && moment->minute < 60 && moment->second < 60;
}

static bool is_valid(const struct moment *moment)
{
	return moment->year >= 1 && moment->day >= 1 &&
	       moment->day <= days_in_month(moment->year, moment->month) && is_time(moment) &&
	       moment->weekday == weekday_of(days_of(moment));
}

bool date_parse(struct str text, time_t now, time_t *when)
{
	struct moment moment = { 0 };

	if (has_form("%A, %d-%b-%y %H:%M:%S GMT", text, &moment))
		complete_year(&moment, now);
	else if (!has_form("%a, %d %b %Y %H:%M:%S GMT", text, &moment) &&
		 !has_form("%a %b %e %H:%M:%S %Y", text, &moment))
		return false;
	if (!is_valid(&moment))
		return false;
	*when = seconds_of(&moment);
	return true;
}
