/* control_config.c - the configuration that runs, for droverctl config, settings and get: with what was
 * set while it runs, and where each value is from.  Called by control.c; what is too long for an answer is
 * refused with what to do instead. */
#include "client.h"
#include "master.h"

#include "config/canonical.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The rest of the answer, and what JSON puts in front of quotes and tabs, has to fit, too. */
enum { CONFIG_ANSWER_BYTES = CONTROL_ANSWER_BYTES - 64 * 1024 };

static json_t *setting_json(const struct config *config, const struct setting *row)
{
	void *instance = (void *)(uintptr_t)config;
	const char *origin = config_origin(config, row->name);
	json_t *object = json_pack("{s:s}", "name", row->name);
	struct arena arena = { 0 };
	const char *text = setting_text(row, instance, &arena);

	json_object_set_new(object, "value", text != NULL ? client_text(text) : json_null());
	json_object_set_new(object, "origin", origin[0] != '\0' ? client_text(origin) : json_null());
	arena_free(&arena);
	return object;
}

static json_t *settings_json(const struct config *config)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < config_schema.count; i++)
		if (config_schema.settings[i].type != SETTING_LIST)
			json_array_append_new(all, setting_json(config, &config_schema.settings[i]));
	return all;
}

/* The canonical text that it is made of: what will not fit is not even begun. */
static bool is_long(int text)
{
	struct stat info;

	return text >= 0 && fstat(text, &info) == 0 && info.st_size > CONFIG_ANSWER_BYTES;
}

/* NULL: out of memory, or too long. */
static json_t *text_json(const struct generation *generation, bool *too_long)
{
	unsigned redacted;
	size_t len;
	char *text = canonical_show(generation, &len, &redacted), *dumped;
	json_t *json = text != NULL ? client_text(text) : NULL;

	free(text);
	dumped = json != NULL ? json_dumps(json, JSON_ENCODE_ANY) : NULL;
	*too_long = dumped != NULL && strlen(dumped) > CONFIG_ANSWER_BYTES;
	free(dumped);
	if (!*too_long)
		return json;
	json_decref(json);
	return NULL;
}

/* The file that drover was started with; NULL: it has none. */
static json_t *file_json(const struct master *master)
{
	const struct config_input *input = &master->setup->input;
	char here[PATH_MAX], path[2 * PATH_MAX];

	if (input->text != NULL)
		return json_null();
	if (input->path[0] == '/' || getcwd(here, sizeof(here)) == NULL)
		return client_text(input->path);
	snprintf(path, sizeof(path), "%s/%s", here, input->path);
	return client_text(path);
}

void command_config(struct client *client, const json_t *request)
{
	const struct master *master = client_master(client);
	const struct generation *current = master->current.generation;
	bool all = !json_is_true(json_object_get(request, "settings"));
	bool too_long = is_long(master->current.text);
	json_t *body = NULL;

	if (current != NULL && !(all && too_long))
		body = all ? text_json(current, &too_long) : settings_json(current->config);
	if (body != NULL)
		client_reply(client,
			     json_pack("{s:b, s:I, s:o, s:o, s:o}", "ok", 1, "generation",
				       (json_int_t)current->number, "file", file_json(master), "overrides",
				       tuning_json(master), all ? "text" : "settings", body));
	else
		client_reply_text(client, false, too_long
			? "the configuration is too long for an answer; drover -T prints what the files say"
			: current == NULL ? "no configuration is served yet" : "out of memory");
}
