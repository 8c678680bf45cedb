/* error_page.c - the body of an error.
 *
 * Called by exchange_error, the check by route.c. A page of the site is opened at each error, so that the
 * operator can change it, and sent as any file; if it cannot be opened, our own takes its place and the log
 * says why. */
#include "error_page.h"

#include "mime.h"
#include "reason.h"

#include "base/clock.h"
#include "base/escape.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/put.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define COMPLAINT_NS (10 * CLOCK_S)

static int open_regular(const char *path, struct stat *stat)
{
	int fd AUTO_CLOSE = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, stat) < 0)
		return -1;
	if (S_ISREG(stat->st_mode))
		return fd_take(&fd);
	errno = S_ISDIR(stat->st_mode) ? EISDIR : EINVAL;
	return -1;
}

/* Clients can make errors as fast as they like, and the log has other things to say. */
static void complain_rarely(const char *path, int error)
{
	static uint64_t next_ns;
	uint64_t now_ns = clock_now_ns();

	if (now_ns < next_ns)
		return;
	next_ns = now_ns + COMPLAINT_NS;
	log_event(LEVEL_WARNING, "error_page_failed", log_text("file", path),
		  log_text("error", strerror(error)));
}

/* One that is missing may come with the next deployment. */
bool error_page_check(const char *path, const char *place, struct err *err)
{
	struct stat stat;
	int fd AUTO_CLOSE = open_regular(path, &stat);

	if (fd < 0 && errno != ENOENT)
		return err_sys(err, errno, "%s", path);
	if (fd < 0)
		log_event(LEVEL_WARNING, "error_page_failed", log_text("file", path),
			  log_text("error", strerror(errno)), log_text("place", place));
	return true;
}

static const struct error_page *find_page(const struct site *site, unsigned status)
{
	for (unsigned i = 0; site != NULL && i < site->page_count; i++)
		if (site->pages[i].first <= status && status <= site->pages[i].last)
			return &site->pages[i];
	return NULL;
}

bool error_page_is_file(const struct site *site, unsigned status)
{
	return find_page(site, status) != NULL;
}

static bool fill_from_file(struct exchange *exchange, const struct error_page *page)
{
	struct response *response = &exchange->response;
	struct stat stat;
	int fd = open_regular(page->file, &stat);

	if (fd < 0) {
		complain_rarely(page->file, errno);
		return false;
	}
	response->content_type = mime_type(exchange->generation->types, str_of(page->file));
	response->length_known = true;
	response->length = (uint64_t)stat.st_size;
	if (stat.st_size == 0)
		return fd_close(&fd), true;
	response->body = BODY_FILE;
	response->file_fd = fd;
	return true;
}

/* In a buffer, so that it goes out together with the head; absent when there is none. */
static struct str join(struct exchange *exchange, const struct str *pieces, size_t count)
{
	char *text, *end;
	size_t len = 0;

	for (size_t i = 0; i < count; i++)
		len += pieces[i].len;
	text = end = exchange_buffer(exchange, len);
	for (size_t i = 0; text != NULL && i < count; i++)
		end = put(end, pieces[i]);
	return (struct str){ text, text != NULL ? len : 0 };
}

/* Clients that guess at names get little else, so it is joined, not formatted. Out of memory: the status says
 * it all. */
static void fill_with_text(struct exchange *exchange, const char *link)
{
	struct response *response = &exchange->response;
	const char digits[] = { (char)('0' + response->status / 100),
				(char)('0' + response->status / 10 % 10), (char)('0' + response->status % 10),
				' ' };
	struct str status = { digits, sizeof(digits) }, phrase = str_of(reason_phrase(response->status));
	struct str hint = str_of(reason_hint(response->status));
	bool says = hint.len > 0 || link[0] != '\0';
	const struct str pieces[] = {
		str_of("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
		       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		       "<meta name=\"color-scheme\" content=\"light dark\">\n<title>"),
		status,
		phrase,
		str_of("</title>\n<style>body { max-width: 36em; margin: 15vh auto; padding: 0 1em; "
		       "font: 1.1em/1.5 sans-serif }</style>\n<h1>"),
		status,
		phrase,
		str_of(says ? "</h1>\n<p>" : "</h1>\n"),
		hint,
		str_of(link),
		str_of(says ? "</p>\n" : ""),
	};

	response->content_type = str_of("text/html; charset=utf-8");
	response->body = BODY_MEMORY;
	response->memory = join(exchange, pieces, sizeof(pieces) / sizeof(pieces[0]));
	response->length_known = true;
	response->length = response->memory.len;
}

static void begin(struct exchange *exchange, unsigned status)
{
	exchange_drop_body(exchange);
	exchange->response = (struct response){ .status = status, .is_error = status >= 400, .file_fd = -1 };
}

void error_page_fill(struct exchange *exchange, const struct site *site, unsigned status)
{
	const struct error_page *page = find_page(site, status);

	begin(exchange, status);
	if (page == NULL || !fill_from_file(exchange, page))
		fill_with_text(exchange, "");
}

static const char *link_to(struct str location, struct arena *arena)
{
	static const char before[] = " <a href=\"", behind[] = "\">Here</a>";
	char *link = arena_alloc(arena, sizeof(before) + location.len * ESCAPE_HTML_MOST + sizeof(behind));

	if (link == NULL)
		return "";
	strcpy(escape_html(stpcpy(link, before), location), behind);    /* counted above */
	return link;
}

void error_page_redirect(struct exchange *exchange, unsigned status, const char *location)
{
	begin(exchange, status);
	exchange->response.location = str_of(location);
	fill_with_text(exchange, link_to(str_of(location), &exchange->arena));
}
