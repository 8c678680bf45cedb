/* Media types as an operator writes them: in the configuration, or in a file like /etc/mime.types. */
#ifndef CONFIG_MEDIA_H
#define CONFIG_MEDIA_H

#include "config.h"
#include "problems.h"

enum {
	MEDIA_TYPE_BYTES = 255,         /* it goes into the head of answers */
	MEDIA_EXTENSION_BYTES = 63,
	MEDIA_FILE_BYTES = 1024 * 1024,
	MEDIA_MOST = 4096,              /* extensions in a file: a table of them is built in one step */
};

/* "type/subtype", with parameters or not (RFC 9110, 8.3.1); on false `err` says what it is not. */
bool media_check_type(const char *text, struct err *err);

/* What may stand behind a dot of a file's name, up to its end. */
bool media_check_extension(const char *text, struct err *err);

/* Appends the types of `text`, which is what `path` holds, to config->mime_types, with their places as
 * origins: a type a line, behind it its extensions, "#" begins a comment. An extension that has a type
 * already keeps it. False: problems were added, and config is as it was. Pure. */
bool media_parse(const char *path, struct str text, struct config *config, struct arena *arena,
		 struct problems *problems);

/* The same for the file that config->mime_file names; there may be none. In the checker and for `-t` only: it
 * reads a file. */
bool media_read(struct config *config, struct arena *arena, struct problems *problems);

#endif
