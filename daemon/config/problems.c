/* problems.c - lines that say what is wrong.  Called wherever a configuration is looked at; what does not
 * fit, or finds no memory, is only counted. */
#include "problems.h"

#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAST_LINE_BYTES = 64 };          /* kept free for how many are missing */

/* `line` with its end; false when it does not fit. */
static bool append(struct problems *problems, const char *line, size_t len)
{
	char *grown;

	if (problems->len + len > PROBLEMS_MAX_BYTES)
		return false;
	grown = realloc(problems->text, problems->len + len + 1);
	if (grown == NULL)
		return false;
	problems->text = grown;
	memcpy(grown + problems->len, line, len);
	problems->len += len;
	grown[problems->len] = '\0';
	return true;
}

void problems_blank(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

void problems_add(struct problems *problems, const char *format, ...)
{
	char line[2048];
	va_list args;
	int len;

	problems->count++;
	va_start(args, format);
	len = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (len < 0 || problems->kept == PROBLEMS_MAX_LINES)
		return;
	if ((size_t)len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	problems_blank(line);
	line[len] = '\n';
	if (problems->len + (size_t)len + 1 + LAST_LINE_BYTES <= PROBLEMS_MAX_BYTES &&
	    append(problems, line, (size_t)len + 1))
		problems->kept++;
}

void problems_release(struct problems *problems)
{
	free(problems->text);
	*problems = (struct problems){ 0 };
}

/* ---- order ------------------------------------------------------------------------------------------- */

struct problem {
	struct str line;                /* with its end */
	struct str file;                /* all of it when it has no place */
	unsigned long row, column;
	size_t file_rank, index;
};

/* "FILE:ROW:COLUMN: ..."; a file's name may have colons itself. */
static void find_place(struct problem *problem)
{
	for (size_t i = 0; i < problem->line.len; i++) {
		int end = 0;

		if (problem->line.at[i] != ':')
			continue;
		/* NOLINTNEXTLINE(cert-err34-c): nine digits fit */
		sscanf(problem->line.at + i, ":%9lu:%9lu:%n", &problem->row, &problem->column, &end);
		if (end == 0)           /* not all of it was there */
			continue;
		problem->file = (struct str){ problem->line.at, i };
		return;
	}
	problem->file = problem->line;
	problem->row = problem->column = 0;
}

static size_t rank_of(const struct problem *problems, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (str_equal(problems[i].file, problems[index].file))
			return problems[i].file_rank;
	return index;
}

static int compare_numbers(size_t a, size_t b)
{
	return (a > b) - (a < b);
}

static int by_place(const void *one, const void *other)
{
	const struct problem *a = one, *b = other;

	if (a->file_rank != b->file_rank)
		return compare_numbers(a->file_rank, b->file_rank);
	if (a->row != b->row)
		return compare_numbers(a->row, b->row);
	if (a->column != b->column)
		return compare_numbers(a->column, b->column);
	return compare_numbers(a->index, b->index);
}

static size_t split(const char *text, struct problem found[PROBLEMS_MAX_LINES])
{
	size_t count = 0;

	for (const char *end = strchr(text, '\n'); end != NULL && count < PROBLEMS_MAX_LINES;
	     text = end + 1, end = strchr(text, '\n')) {
		found[count] = (struct problem){ .line = { text, (size_t)(end + 1 - text) }, .index = count };
		find_place(&found[count]);
		found[count].file_rank = rank_of(found, count);
		count++;
	}
	return count;
}

static void sort(struct problems *problems)
{
	struct problem found[PROBLEMS_MAX_LINES];
	size_t count = split(problems->text, found), len = 0;
	char *sorted = malloc(problems->len + 1);

	if (sorted == NULL)             /* in disorder, but all there */
		return;
	qsort(found, count, sizeof(found[0]), by_place);
	for (size_t i = 0; i < count; i++) {
		memcpy(sorted + len, found[i].line.at, found[i].line.len);
		len += found[i].line.len;
	}
	memcpy(problems->text, sorted, len);
	free(sorted);
}

void problems_finish(struct problems *problems)
{
	char line[LAST_LINE_BYTES];

	if (problems->text == NULL)
		return;
	sort(problems);
	if (problems->count > problems->kept) {
		snprintf(line, sizeof(line), "... and %u more\n", problems->count - problems->kept);
		append(problems, line, strlen(line));
	}
}
