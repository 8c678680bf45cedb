/* media_fuzz.c - a file like /etc/mime.types: what is taken from it could be in an answer's head, every type
 * is found under its extension, and what is refused has its place.
 *
 * Input: the file. */
#include "fuzz.h"

#include "config/media.h"
#include "http/mime.h"

/* The type that the file gives to the extension, by looking from its beginning. */
static const char *type_by_rule(const struct config *config, const char *extension)
{
	for (unsigned i = 0; i < config->mime_types.count; i++) {
		const struct mime_config *entry = config_mime(config, i);

		for (unsigned j = 0; j < entry->extensions.count; j++)
			if (str_equal_nocase(str_of(entry->extensions.at[j]), str_of(extension)))
				return entry->type;
	}
	return NULL;
}

static void check_entry(const struct generation *generation, const struct mime_config *entry)
{
	struct err err;

	FUZZ_CHECK(media_check_type(entry->type, &err) && entry->extensions.count > 0);
	for (unsigned i = 0; i < entry->extensions.count; i++) {
		const char *extension = entry->extensions.at[i];
		char name[MEDIA_EXTENSION_BYTES + 8];
		struct str type;

		FUZZ_CHECK(media_check_extension(extension, &err));
		FUZZ_CHECK(type_by_rule(generation->config, extension) == entry->type);
		snprintf(name, sizeof(name), "name.%s", extension);
		type = mime_type(generation->types, str_of(name));
		FUZZ_CHECK(str_has_prefix(type, str_of(entry->type)));
	}
}

static bool has_place(const char *text)
{
	char *end = NULL;

	return text != NULL && strncmp(text, "file:", 5) == 0 && strtoul(text + 5, &end, 10) > 0 &&
	       strncmp(end, ":1: ", 4) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct schema *const no_services[] = { NULL };
	struct generation *generation = generation_new(1, no_services);
	struct config *config = setting_instance(&config_schema, &generation->arena);
	struct problems problems = { 0 };
	struct str text = { (const char *)data, size };
	struct err err;

	generation->config = config;
	if (media_parse("file", text, config, &generation->arena, &problems)) {
		FUZZ_CHECK(problems.count == 0 && mime_prepare(generation, &err));
		for (unsigned i = 0; i < config->mime_types.count; i++)
			check_entry(generation, config_mime(config, i));
	} else {
		FUZZ_CHECK(problems.count > 0 && has_place(problems.text) && config->mime_types.count == 0);
	}
	problems_release(&problems);
	generation_unpin(generation);
	return 0;
}
