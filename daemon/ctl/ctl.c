/* ctl.c - what the commands of droverctl share: asking the daemon, showing what it says.  Every failure is
 * said on stderr and becomes an exit status. */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *ctl_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

long long ctl_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

bool ctl_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

const char *ctl_duration(long long ms, char text[DURATION_BYTES])
{
	static const struct {
		long long ms;
		const char *name;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "min" }, { 1000, "s" }, { 1, "ms" } };
	const size_t last = sizeof(units) / sizeof(units[0]) - 1;
	size_t i = 0;

	while (i < last && ms < 2 * units[i].ms)
		i++;
	snprintf(text, DURATION_BYTES, "%lld %s", ms / units[i].ms, units[i].name);
	return text;
}

const char *ctl_bytes(uint64_t bytes, char text[CTL_BYTES_BYTES])
{
	static const char units[] = " kMGTPE";
	double shown = (double)bytes;
	size_t unit = 0;

	for (; shown >= 999.5; unit++)
		shown /= 1000;
	if (unit == 0)
		snprintf(text, CTL_BYTES_BYTES, "%.0f", shown);
	else
		snprintf(text, CTL_BYTES_BYTES, shown < 99.95 ? "%.1f%c" : "%.0f%c", shown, units[unit]);
	return text;
}

/* Where the digits end; NULL: there are none, or it is too large. */
static const char *read_digits(const char *text, uint64_t most, uint64_t *number)
{
	uint64_t read = 0;

	if (*text < '0' || *text > '9')
		return NULL;
	for (; *text >= '0' && *text <= '9'; text++) {
		read = 10 * read + (uint64_t)(*text - '0');
		if (read > most)
			return NULL;
	}
	*number = read;
	return text;
}

bool ctl_parse_number(const char *text, uint64_t most, uint64_t *number)
{
	uint64_t read = 0;
	const char *end = read_digits(text, most, &read);

	if (end == NULL || *end != '\0')
		return false;
	*number = read;
	return true;
}

bool ctl_parse_duration(const char *text, uint64_t *ms)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = { { "", 1000 }, { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "min", 60000 },
		      { "h", 3600000 }, { "d", 86400000 } };
	uint64_t number = 0;
	const char *unit = read_digits(text, 1000000, &number);

	for (size_t i = 0; unit != NULL && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(units[i].name, unit) == 0) {
			*ms = number * units[i].ms;
			return true;
		}
	}
	return false;
}

int ctl_wrong(const char *what, const char *which)
{
	fprintf(stderr, "droverctl: %s%s\n", what, which);
	fputs("droverctl --help lists what there is; see also droverctl(8)\n", stderr);
	return STATUS_USAGE;
}

void ctl_show_text(const json_t *answer)
{
	fprintf(ctl_true(answer, "ok") ? stdout : stderr, "%s\n", ctl_text(answer, "text"));
}

json_t *ctl_dump(json_t *answer)
{
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
	return answer;
}

int ctl_refuse(const struct ctl *ctl, const char *text)
{
	json_t *answer = json_pack("{s:b, s:s}", "ok", 0, "text", text);
	int status = ctl_show(ctl, answer, NULL);

	json_decref(answer);
	return status;
}

int ctl_show(const struct ctl *ctl, const json_t *answer, void (*show)(const json_t *answer))
{
	bool good = ctl_true(answer, "ok");

	if (ctl->json) {
		ctl_dump((json_t *)(uintptr_t)answer);
	} else if (good && show != NULL) {
		show(answer);
	} else {
		ctl_show_text(answer);
	}
	return good ? STATUS_GOOD : STATUS_REFUSED;
}

int ctl_unreachable(const struct err *err)
{
	const char *hint = "";

	if (errno == ENOENT || errno == ECONNREFUSED)
		hint = " (no drover is running there; --socket and --instance name another one)";
	if (errno == EACCES)
		hint = " (it answers root and the user that drover was started as)";
	fprintf(stderr, "droverctl: %s%s\n", err->text, hint);
	return STATUS_UNREACHABLE;
}

int ctl_run(const struct ctl *ctl, json_t *request, void (*show)(const json_t *answer))
{
	struct err err;
	json_t *answer = control_ask(ctl->socket, request, 0, &err);
	int status = answer != NULL ? ctl_show(ctl, answer, show) : ctl_unreachable(&err);

	json_decref(answer);
	return status;
}
