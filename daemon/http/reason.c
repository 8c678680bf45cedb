/* reason.c - the table of statuses.  Pure; called by whoever renders a head or a page. */
#include "reason.h"

#include <stddef.h>

static const struct reason {
	unsigned status;
	const char *phrase, *hint;
} reasons[] = {
	{ 200, "OK", "" },
	{ 201, "Created", "" },
	{ 202, "Accepted", "" },
	{ 203, "Non-Authoritative Information", "" },
	{ 204, "No Content", "" },
	{ 205, "Reset Content", "" },
	{ 206, "Partial Content", "" },
	{ 300, "Multiple Choices", "" },
	{ 301, "Moved Permanently", "This has another address now." },
	{ 302, "Found", "This is at another address for now." },
	{ 303, "See Other", "The answer is at another address." },
	{ 304, "Not Modified", "" },
	{ 307, "Temporary Redirect", "This is at another address for now." },
	{ 308, "Permanent Redirect", "This has another address now." },
	{ 400, "Bad Request", "The request could not be understood." },
	{ 401, "Unauthorized", "This is for those who have a name and a password." },
	{ 402, "Payment Required", "" },
	{ 403, "Forbidden", "You are not allowed to see this." },
	{ 404, "Not Found", "There is nothing at this address." },
	{ 405, "Method Not Allowed", "What was asked for cannot be done with this address." },
	{ 406, "Not Acceptable", "This is not available in a form that the request accepts." },
	{ 407, "Proxy Authentication Required", "" },
	{ 408, "Request Timeout", "The request took too long to arrive." },
	{ 409, "Conflict", "" },
	{ 410, "Gone", "There is nothing at this address any more." },
	{ 411, "Length Required", "" },
	{ 412, "Precondition Failed", "What is here is not what the request expects." },
	{ 413, "Content Too Large", "The request is larger than this server accepts." },
	{ 414, "URI Too Long", "The address is longer than this server accepts." },
	{ 415, "Unsupported Media Type", "" },
	{ 416, "Range Not Satisfiable", "This does not have the part that was asked for." },
	{ 417, "Expectation Failed", "The request expects what this server does not do." },
	{ 421, "Misdirected Request", "This is available over a secure connection only." },
	{ 422, "Unprocessable Content", "" },
	{ 423, "Locked", "" },
	{ 424, "Failed Dependency", "" },
	{ 425, "Too Early", "" },
	{ 426, "Upgrade Required", "" },
	{ 428, "Precondition Required", "" },
	{ 429, "Too Many Requests", "Please wait a little and try again." },
	{ 431, "Request Header Fields Too Large",
	  "The request's header is larger than this server accepts." },
	{ 451, "Unavailable For Legal Reasons", "" },
	{ 500, "Internal Server Error", "The server could not answer; its operator can find out why." },
	{ 501, "Not Implemented", "This server does not know how to do that." },
	{ 502, "Bad Gateway", "" },
	{ 503, "Service Unavailable", "The server cannot answer now. Please try again later." },
	{ 504, "Gateway Timeout", "" },
	{ 505, "HTTP Version Not Supported", "This server speaks HTTP/1.1." },
	{ 507, "Insufficient Storage", "" },
	{ 511, "Network Authentication Required", "" },
};

static const struct reason *reason_of(unsigned status)
{
	static const struct reason unknown = { 0, "Unknown", "" };

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return &reasons[i];
	return &unknown;
}

const char *reason_phrase(unsigned status)
{
	return reason_of(status)->phrase;
}

const char *reason_hint(unsigned status)
{
	return reason_of(status)->hint;
}
