/* check.c - asking a running drover for its verdict, for `drover -t` and `droverctl check`.
 *
 * Fails by returning NULL with errno and a text. */
#include "check.h"

#include "control.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

enum {
	ALIVE_MS = 5000,                /* a master that does not tell its status by then is hung */
	/* its turn may come behind a reload: 10 s for a checker, timeouts.prepare for workers, twice */
	VERDICT_MS = 120 * 1000,
};

static json_t *request(const char *file)
{
	char here[PATH_MAX];

	if (file == NULL)
		return json_pack("{s:s}", "command", "check");
	if (file[0] == '/')
		return json_pack("{s:s, s:s}", "command", "check", "config", file);
	/* with its symlinks: relative paths in the file depend on where it seems to be */
	if (getcwd(here, sizeof(here)) == NULL)
		return NULL;
	return json_pack("{s:s, s:s++}", "command", "check", "config", here, "/", file);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

/* An older daemon does not know the command. */
static json_t *understood(json_t *answer, const char *socket, struct err *err)
{
	if (answer == NULL || json_object_get(answer, "wrong") != NULL)
		return answer;
	err_set(err, "drover at %s cannot answer: %s", socket, text_of(answer, "text"));
	json_decref(answer);
	errno = EPROTO;
	return NULL;
}

json_t *check_ask(const char *socket, const char *file, struct err *err)
{
	json_t *alive = control_ask(socket, json_pack("{s:s}", "command", "status"), ALIVE_MS, err);
	json_t *question;

	if (alive == NULL)
		return NULL;
	json_decref(alive);
	question = request(file);
	if (question == NULL) {
		errno = EILSEQ;
		return err_set(err, "the path cannot be told to drover: it is no UTF-8"), NULL;
	}
	return understood(control_ask(socket, question, VERDICT_MS, err), socket, err);
}

void check_line(FILE *out, const char *place, const char *severity, const char *text, const char *remedy,
		const char *id)
{
	fprintf(out, "%s%s%s: %s%s%s [%s]\n", place, place[0] != '\0' ? ": " : "", severity, text,
		remedy[0] != '\0' ? "; " : "", remedy, id);
}

static void show_findings(const json_t *answer)
{
	const json_t *finding;
	size_t index;

	json_array_foreach(json_object_get(answer, "findings"), index, finding)
		check_line(stderr, text_of(finding, "place"), text_of(finding, "severity"),
			   text_of(finding, "text"), text_of(finding, "remedy"), text_of(finding, "id"));
}

enum check_result check_show(const json_t *answer, const char *socket)
{
	bool good = json_is_true(json_object_get(answer, "ok"));
	const char *text = text_of(answer, "text");
	static const char step[] = "would fail at check: ";

	show_findings(answer);
	if (!good && json_is_true(json_object_get(answer, "wrong"))) {  /* lines with a place of their own */
		if (strncmp(text, step, sizeof(step) - 1) == 0)
			text += sizeof(step) - 1;
		fprintf(stderr, "%s\n", text);
		return CHECK_WRONG;
	}
	fprintf(good ? stdout : stderr, "drover (pid %lld, generation %lld) at %s: %s%s\n",
		json_integer_value(json_object_get(answer, "pid")),
		json_integer_value(json_object_get(answer, "generation")), socket,
		strncmp(text, "would", 5) == 0 ? "a reload " : "", text);       /* else it is refused */
	return good ? CHECK_GOOD : CHECK_WOULD_FAIL;
}
