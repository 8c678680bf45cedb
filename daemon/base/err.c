/* err.c - error texts that grow context.  Called from everywhere; allocates nothing and cannot fail. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool err_set(struct err *err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return false;
}

bool err_sys(struct err *err, int error, const char *format, ...)
{
	char doing[ERR_TEXT_BYTES / 2];
	va_list args;

	va_start(args, format);
	vsnprintf(doing, sizeof(doing), format, args);
	va_end(args);
	return err_set(err, "%s: %s", doing, strerror(error));
}

bool err_add(struct err *err, const char *format, ...)
{
	char doing[ERR_TEXT_BYTES / 2];
	struct err old = *err;          /* a copy: the text is written from itself */
	va_list args;

	va_start(args, format);
	vsnprintf(doing, sizeof(doing), format, args);
	va_end(args);
	return err_set(err, "%s: %s", doing, old.text);
}
