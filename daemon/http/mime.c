/* mime.c - media types by file name extension, from a built-in table and that of a generation.
 *
 * Pure; called by the file service when it opens a file, and by route.c when a generation is prepared, which
 * fails when out of memory only.  What is unknown is a row of bytes. */
#include "mime.h"

#include "base/names.h"

#include <stdlib.h>

/* Sorted by extension, each of which is there once. */
struct mime_table {
	size_t count;
	unsigned dots;                  /* the most that an extension has in it */
	struct mime_row *rows;
};

/* Only text/ carries a charset: JSON has none (RFC 8259, 11), and XML and SVG say theirs in the document,
 * which a parameter here would override. */
const struct mime_row mime_rows[] = {
	{ "3gp", "video/3gpp" },
	{ "7z", "application/x-7z-compressed" },
	{ "aac", "audio/aac" },
	{ "ai", "application/postscript" },
	{ "aif", "audio/aiff" },
	{ "aiff", "audio/aiff" },
	{ "apk", "application/vnd.android.package-archive" },
	{ "apng", "image/apng" },
	{ "asc", "text/plain; charset=utf-8" },
	{ "asf", "video/x-ms-asf" },
	{ "atom", "application/atom+xml" },
	{ "avi", "video/x-msvideo" },
	{ "avif", "image/avif" },
	{ "bin", "application/octet-stream" },
	{ "bmp", "image/bmp" },
	{ "bz2", "application/x-bzip2" },
	{ "cjs", "text/javascript; charset=utf-8" },
	{ "conf", "text/plain; charset=utf-8" },
	{ "crt", "application/x-x509-ca-cert" },
	{ "css", "text/css; charset=utf-8" },
	{ "csv", "text/csv; charset=utf-8" },
	{ "cur", "image/vnd.microsoft.icon" },
	{ "deb", "application/vnd.debian.binary-package" },
	{ "diff", "text/x-diff; charset=utf-8" },
	{ "doc", "application/msword" },
	{ "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
	{ "dtd", "application/xml-dtd" },
	{ "dvi", "application/x-dvi" },
	{ "eml", "message/rfc822" },
	{ "eot", "application/vnd.ms-fontobject" },
	{ "eps", "application/postscript" },
	{ "epub", "application/epub+zip" },
	{ "flac", "audio/flac" },
	{ "flv", "video/x-flv" },
	{ "geojson", "application/geo+json" },
	{ "gif", "image/gif" },
	{ "glb", "model/gltf-binary" },
	{ "gltf", "model/gltf+json" },
	{ "gpx", "application/gpx+xml" },
	{ "gz", "application/gzip" },
	{ "heic", "image/heic" },
	{ "heif", "image/heif" },
	{ "htm", "text/html; charset=utf-8" },
	{ "html", "text/html; charset=utf-8" },
	{ "ico", "image/vnd.microsoft.icon" },
	{ "ics", "text/calendar; charset=utf-8" },
	{ "ini", "text/plain; charset=utf-8" },
	{ "jar", "application/java-archive" },
	{ "jfif", "image/jpeg" },
	{ "jnlp", "application/x-java-jnlp-file" },
	{ "jpeg", "image/jpeg" },
	{ "jpg", "image/jpeg" },
	{ "js", "text/javascript; charset=utf-8" },
	{ "json", "application/json" },
	{ "jsonl", "application/jsonl" },
	{ "jsonld", "application/ld+json" },
	{ "jxl", "image/jxl" },
	{ "kml", "application/vnd.google-earth.kml+xml" },
	{ "log", "text/plain; charset=utf-8" },
	{ "m3u8", "application/vnd.apple.mpegurl" },
	{ "m4a", "audio/mp4" },
	{ "m4b", "audio/mp4" },
	{ "m4s", "video/iso.segment" },
	{ "m4v", "video/mp4" },
	{ "map", "application/json" },
	{ "markdown", "text/markdown; charset=utf-8" },
	{ "md", "text/markdown; charset=utf-8" },
	{ "mid", "audio/midi" },
	{ "midi", "audio/midi" },
	{ "mjs", "text/javascript; charset=utf-8" },
	{ "mka", "audio/matroska" },
	{ "mkv", "video/matroska" },
	{ "mml", "application/mathml+xml" },
	{ "mov", "video/quicktime" },
	{ "mp3", "audio/mpeg" },
	{ "mp4", "video/mp4" },
	{ "mpd", "application/dash+xml" },
	{ "mpeg", "video/mpeg" },
	{ "mpg", "video/mpeg" },
	{ "msg", "application/vnd.ms-outlook" },
	{ "ndjson", "application/x-ndjson" },
	{ "odp", "application/vnd.oasis.opendocument.presentation" },
	{ "ods", "application/vnd.oasis.opendocument.spreadsheet" },
	{ "odt", "application/vnd.oasis.opendocument.text" },
	{ "oga", "audio/ogg" },
	{ "ogg", "audio/ogg" },
	{ "ogv", "video/ogg" },
	{ "ogx", "application/ogg" },
	{ "opus", "audio/ogg" },
	{ "otf", "font/otf" },
	{ "patch", "text/x-diff; charset=utf-8" },
	{ "pdf", "application/pdf" },
	{ "pem", "application/x-pem-file" },
	{ "png", "image/png" },
	{ "ppt", "application/vnd.ms-powerpoint" },
	{ "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation" },
	{ "ps", "application/postscript" },
	{ "qt", "video/quicktime" },
	{ "rar", "application/vnd.rar" },
	{ "rdf", "application/rdf+xml" },
	{ "rss", "application/rss+xml" },
	{ "rtf", "application/rtf" },
	{ "sh", "application/x-sh" },
	{ "shtml", "text/html; charset=utf-8" },
	{ "svg", "image/svg+xml" },
	{ "tar", "application/x-tar" },
	{ "text", "text/plain; charset=utf-8" },
	{ "tgz", "application/gzip" },
	{ "tif", "image/tiff" },
	{ "tiff", "image/tiff" },
	{ "toml", "application/toml" },
	{ "torrent", "application/x-bittorrent" },
	{ "ts", "video/mp2t" },
	{ "tsv", "text/tab-separated-values; charset=utf-8" },
	{ "ttf", "font/ttf" },
	{ "ttl", "text/turtle; charset=utf-8" },
	{ "txt", "text/plain; charset=utf-8" },
	{ "vcf", "text/vcard; charset=utf-8" },
	{ "vtt", "text/vtt; charset=utf-8" },
	{ "wasm", "application/wasm" },
	{ "wav", "audio/wav" },
	{ "weba", "audio/webm" },
	{ "webm", "video/webm" },
	{ "webmanifest", "application/manifest+json" },
	{ "webp", "image/webp" },
	{ "wgsl", "text/wgsl; charset=utf-8" },
	{ "wma", "audio/x-ms-wma" },
	{ "wmv", "video/x-ms-wmv" },
	{ "woff", "font/woff" },
	{ "woff2", "font/woff2" },
	{ "xhtml", "application/xhtml+xml" },
	{ "xls", "application/vnd.ms-excel" },
	{ "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
	{ "xml", "application/xml" },
	{ "xpi", "application/x-xpinstall" },
	{ "xsd", "application/xml" },
	{ "xsl", "application/xslt+xml" },
	{ "xslt", "application/xslt+xml" },
	{ "xz", "application/x-xz" },
	{ "yaml", "application/yaml" },
	{ "yml", "application/yaml" },
	{ "zip", "application/zip" },
	{ "zst", "application/zstd" },
	{ NULL, NULL },
};

enum { ROWS = sizeof(mime_rows) / sizeof(mime_rows[0]) - 1 };

/* What is behind the dot of the last segment that has `dots` more behind it; absent when there is none. */
static struct str extension_of(struct str file_name, unsigned dots)
{
	for (size_t i = file_name.len; i > 0 && file_name.at[i - 1] != '/'; i--)
		if (file_name.at[i - 1] == '.' && dots-- == 0)
			return (struct str){ file_name.at + i, file_name.len - i };
	return (struct str){ NULL, 0 };
}

static int compare(const void *key, const void *element)
{
	const struct str *extension = key;
	const struct mime_row *row = element;

	for (size_t i = 0; i < extension->len; i++) {
		int difference = (unsigned char)str_lower(extension->at[i]) -
				 (unsigned char)row->extension[i];

		if (difference != 0)
			return difference;
		if (row->extension[i] == '\0')  /* a NUL in the name: do not read past the row's text */
			return 1;
	}
	return row->extension[extension->len] == '\0' ? 0 : -1;
}

static const struct mime_row *find(const struct mime_row *rows, size_t count, struct str extension)
{
	return bsearch(&extension, rows, count, sizeof(*rows), compare);
}

/* The longest extension of the name that the table has: "cwl.json" before "json". */
static const struct mime_row *find_longest(const struct mime_table *table, struct str file_name)
{
	const struct mime_row *row = NULL;

	for (unsigned dots = table->dots + 1; dots > 0 && row == NULL; dots--)
		row = find(table->rows, table->count, extension_of(file_name, dots - 1));
	return row;
}

struct str mime_type(const struct mime_table *table, struct str file_name)
{
	const struct mime_row *row = table != NULL ? find_longest(table, file_name) : NULL;

	if (row == NULL)
		row = find(mime_rows, ROWS, extension_of(file_name, 0));
	return str_of(row != NULL ? row->type : "application/octet-stream");
}

/* ---- the table of a generation ----------------------------------------------------------------------- */

static int by_extension(const void *a, const void *b)
{
	return strcmp(((const struct mime_row *)a)->extension, ((const struct mime_row *)b)->extension);
}

static const char *lower_copy(const char *text, struct arena *arena)
{
	char *copy = arena_copy(arena, str_of(text));

	for (char *c = copy; c != NULL && *c != '\0'; c++)
		*c = str_lower(*c);
	return copy;
}

/* The type as it is sent: text says its charset. */
static const char *type_to_send(const char *type, struct arena *arena)
{
	bool is_text = str_has_prefix_nocase(str_of(type), str_of("text/"));

	if (!is_text || strcasestr(type, "charset=") != NULL)
		return arena_copy(arena, str_of(type));
	return arena_printf(arena, "%s; charset=utf-8", type);
}

/* A table that is being built. */
struct build {
	struct mime_table *table;
	struct names known;             /* of equal extensions the first counts */
	struct arena *arena;
};

/* False when out of memory. */
static bool add_row(struct build *build, const char *extension, const char *type)
{
	struct mime_row row = { lower_copy(extension, build->arena), type };
	enum names_result result = NAMES_NO_MEMORY;
	unsigned dots = 0;

	if (row.extension != NULL)
		result = names_add(&build->known, str_of(row.extension));
	if (result == NAMES_NEW)
		build->table->rows[build->table->count++] = row;
	for (const char *c = extension; *c != '\0'; c++)
		dots += *c == '.';
	if (dots > build->table->dots)
		build->table->dots = dots;
	return result != NAMES_NO_MEMORY;
}

static bool add_rows(struct build *build, const struct mime_config *config)
{
	const char *type = type_to_send(config->type, build->arena);
	bool good = type != NULL;

	for (unsigned i = 0; good && i < config->extensions.count; i++)
		good = add_row(build, config->extensions.at[i], type);
	return good;
}

static bool add_all(struct build *build, const struct config *config)
{
	size_t room = 1;
	bool good = true;

	for (unsigned i = 0; i < config->mime_types.count; i++)
		room += config_mime(config, i)->extensions.count;
	build->table->rows = arena_alloc(build->arena, room * sizeof(*build->table->rows));
	if (build->table->rows == NULL)
		return false;
	for (unsigned i = 0; good && i < config->mime_types.count; i++)
		good = add_rows(build, config_mime(config, i));
	return good;
}

bool mime_prepare(struct generation *generation, struct err *err)
{
	struct build build = { .arena = &generation->arena };
	bool good = false;

	if (generation->config->mime_types.count == 0)
		return true;
	build.table = arena_alloc(build.arena, sizeof(*build.table));
	if (build.table != NULL)
		good = add_all(&build, generation->config);
	names_free(&build.known);
	if (!good)
		return err_set(err, "media types: out of memory");
	qsort(build.table->rows, build.table->count, sizeof(*build.table->rows), by_extension);
	generation->types = build.table;
	return true;
}

#define FAMILY(text, compressed) { { text, sizeof(text) - 1 }, compressed }

/* A type, or the beginning of some, without parameters. */
static const struct {
	struct str begins;
	bool compressed;
} families[] = {
	FAMILY("image/svg", false),
	FAMILY("image/bmp", false),
	FAMILY("image/x-ms-bmp", false),
	FAMILY("image/vnd.microsoft.icon", false),
	FAMILY("image/x-icon", false),
	FAMILY("image/tiff", false),
	FAMILY("image/", true),
	FAMILY("video/", true),
	FAMILY("audio/wav", false),
	FAMILY("audio/x-wav", false),
	FAMILY("audio/midi", false),
	FAMILY("audio/", true),
	FAMILY("font/woff", true),
	FAMILY("application/gzip", true),
	FAMILY("application/x-gzip", true),
	FAMILY("application/zip", true),
	FAMILY("application/zstd", true),
	FAMILY("application/x-bzip", true),
	FAMILY("application/x-xz", true),
	FAMILY("application/x-7z-compressed", true),
	FAMILY("application/vnd.rar", true),
	FAMILY("application/x-rar", true),
	FAMILY("application/java-archive", true),
	FAMILY("application/vnd.android.package-archive", true),
	FAMILY("application/vnd.debian.binary-package", true),
	FAMILY("application/vnd.openxmlformats-", true),
	FAMILY("application/vnd.oasis.opendocument.", true),
	FAMILY("application/ogg", true),
};

#undef FAMILY

bool mime_is_compressed(struct str type)
{
	static const char zip[] = "+zip";
	size_t len = sizeof(zip) - 1;

	if (str_has_prefix(type, str_of("text/")))      /* most of what is asked for */
		return false;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		if (str_has_prefix(type, families[i].begins))
			return families[i].compressed;
	return type.len > len && memcmp(type.at + type.len - len, zip, len) == 0;
}
