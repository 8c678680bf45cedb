/* pack.c - makes the status page one document, as source for the daemon: `pack page.html page.css page.js`.
 *
 * A program of the build. The document is in two pieces, because the daemon puts numbers between them; the
 * header lines that go with it allow exactly this style and this script, by their hashes. Fails when a file
 * cannot be read or a marker is not there once. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 256 * 1024, HASH_TEXT_BYTES = 64 };

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "pack: %s: %s\n", what, why);
	exit(1);
}

/* Without what indents lines, which only people need. */
static char *read_file(const char *path)
{
	char *text = malloc(MOST_BYTES), *line = malloc(MOST_BYTES);
	FILE *file = fopen(path, "r");
	size_t len = 0;

	if (text == NULL || line == NULL || file == NULL)
		fail(path, "cannot be read");
	while (fgets(line, MOST_BYTES, file) != NULL) {
		const char *from = line + strspn(line, "\t");

		if (strncmp(from, "// ", 3) == 0)
			continue;
		if (len + strlen(from) + 1 > MOST_BYTES)
			fail(path, "too long");
		memcpy(text + len, from, strlen(from));
		len += strlen(from);
	}
	text[len] = '\0';
	fclose(file);
	free(line);
	return text;
}

/* Ends the text at the marker and returns what is behind it. */
static char *cut(char *text, const char *marker)
{
	char *at = strstr(text, marker), *behind;

	if (at == NULL)
		fail(marker, "not in the page");
	behind = at + strlen(marker);
	if (strstr(behind, marker) != NULL)
		fail(marker, "twice in the page");
	*at = '\0';
	return behind;
}

static void put_text(const char *text)
{
	putchar('"');
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == '\n')
			printf("\\n\"\n\t\"");
		else if (*c == '"' || *c == '\\')
			printf("\\%c", *c);
		else if ((unsigned char)*c >= 0x80)
			printf("\\%03o", (unsigned char)*c);
		else
			putchar(*c);
	}
	printf("\"\n\t");
}

static void hash_of(const char *text, char hash[HASH_TEXT_BYTES])
{
	unsigned char bytes[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(bytes, (const unsigned char *)text, strlen(text));
	sodium_bin2base64(hash, HASH_TEXT_BYTES, bytes, sizeof(bytes), sodium_base64_VARIANT_ORIGINAL);
}

static void put_fields(const char *style, const char *script)
{
	char of_style[HASH_TEXT_BYTES], of_script[HASH_TEXT_BYTES];

	hash_of(style, of_style);
	hash_of(script, of_script);
	printf("const char status_page_fields[] =\n"
	       "\t\"Cache-Control: no-store\\r\\n\"\n"
	       "\t\"Content-Security-Policy: default-src 'none'; script-src 'sha256-%s';\"\n"
	       "\t\" style-src 'sha256-%s'; connect-src 'self'; img-src data:; base-uri 'none';\"\n"
	       "\t\" form-action 'none'; frame-ancestors 'none'\\r\\n\"\n"
	       "\t\"X-Content-Type-Options: nosniff\\r\\n\"\n"
	       "\t\"Referrer-Policy: no-referrer\\r\\n\"\n"
	       "\t\"Cross-Origin-Opener-Policy: same-origin\\r\\n\"\n"
	       "\t\"Cross-Origin-Resource-Policy: same-origin\\r\\n\";\n",
	       of_script, of_style);
}

int main(int argc, char **argv)
{
	char *page, *style, *script, *behind_style, *now, *behind_now;

	if (argc != 4)
		fail("usage", "pack page.html page.css page.js");
	page = read_file(argv[1]);
	style = read_file(argv[2]);
	script = read_file(argv[3]);
	behind_style = cut(page, "@STYLE@");
	now = cut(behind_style, "@NOW@");
	behind_now = cut(now, "@SCRIPT@");
	printf("/* made by service/page/pack.c */\n#include \"service/status_page.h\"\n\n");
	printf("const char status_page_head[] =\n\t");
	put_text(page);
	put_text(style);
	put_text(behind_style);
	printf(";\n\nconst char status_page_tail[] =\n\t");
	put_text(now);
	put_text(script);
	put_text(behind_now);
	printf(";\n\n");
	put_fields(style, script);
	if (fflush(stdout) != 0 || ferror(stdout))
		fail("standard output", "cannot be written");
	free(page);
	free(style);
	free(script);
	return 0;
}
