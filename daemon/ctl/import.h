/* `droverctl import`: what reads an nginx configuration, and what makes one of drover of it.
 *
 * Reading gives a tree of directives; translating walks it, writes settings and leaves a note for each
 * directive that has no counterpart. All memory is the arena's; without memory the program ends. */
#ifndef CTL_IMPORT_H
#define CTL_IMPORT_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A directive, or a block of them; `root` of all has no name. */
struct directive {
	const char *name, *file;
	unsigned line;
	const char **args;              /* NULL at the end */
	unsigned arg_count;
	bool block;
	bool was_regex;                 /* import_simple.c made a path of its expression */
	struct directive *parent, *children, *last_child, *next;
	uint64_t names;                 /* a bit for the name of each in it, by its hash */
	struct directive_notes *notes;  /* what was said of it, and of those in it */
};

/* Why a directive is not in the output as it is. */
enum note_kind {
	NOTE_MISSING,                   /* drover has nothing for it, or it was not understood */
	NOTE_DIFFERS,                   /* there is something, that is a little different */
	NOTE_UNNEEDED,                  /* drover does it anyway, or has no need of it */
	NOTE_KINDS
};

struct note {
	enum note_kind kind;
	const struct directive *at;
	const char *text;
	bool written;                   /* as a comment */
	unsigned number;
	struct note *next, *next_of, *next_in;
};

/* All are in the order of their numbers: `of` the directive by next_of, `in` it by next_in. */
struct directive_notes {
	struct note *of, *last_of, *in, *last_in;
};

struct texts {
	const char **at;
	unsigned count, room;
	unsigned *places;               /* a hash table of them, twice as large as `room`: 1 is the first */
};

/* Who gets to a server at all: its addresses say so. */
enum reach { REACH_MACHINE, REACH_PRIVATE, REACH_ALL };

struct import {
	struct arena arena;
	const char *prefix;             /* of relative roots (nginx -p) */
	const char *directory;          /* of the configuration: of relative files of users */
	unsigned port;                  /* servers at this one only; 0: all */
	struct directive root;
	struct note *notes, *last_note;
	unsigned note_count, counts[NOTE_KINDS];
	enum reach reach;               /* the widest of all servers */
	/* while translating */
	struct texts hosts;              /* of all sites so far, in lower case */
	const char *host;               /* what $host means just now; NULL: nothing */
};

/* ---- import.c: memory and notes ---- */

void *import_alloc(struct import *import, size_t bytes);
const char *import_printf(struct import *import, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void texts_add(struct import *import, struct texts *list, const char *text);
bool texts_has(const struct texts *list, const char *text);
const char *import_lower(struct import *import, const char *text);

/* A stream into memory; and the end of one: its text, kept in the arena, becomes an element of the list. */
FILE *import_stream(char **text, size_t *len);
void import_keep(struct import *import, FILE *out, char **text, struct texts *list);

/* For a new directive. */
struct directive_notes *import_no_notes(struct import *import);

/* Remembers that; the same of the same place once. */
void import_note(struct import *import, enum note_kind kind, const struct directive *at, const char *format,
		 ...) __attribute__((format(printf, 4, 5)));

/* ---- import_read.c ---- */

/* Reads the file and what it includes into import->root. False: `err` says what is wrong where. */
bool import_read(struct import *import, const char *path, struct err *err);

/* ---- import_table.c ---- */

enum verdict {
	TRANSLATED,                     /* some code looks for it; that says what it cannot */
	UNNEEDED,
	MISSING,
};

struct row {
	const char *name;
	enum verdict verdict;
	const char *setting;            /* of drover, that comes nearest; "": none */
	const char *text;               /* why there is none, or what to do instead; "": nothing to say */
};

/* All that are known, sorted by name; a row without a name is behind the last. */
extern const struct row import_rows[];

const struct row *import_row(const char *name);

/* Notes for the directives of a block that nobody translates. Blocks in it are left to who knows them. */
void import_judge(struct import *import, const struct directive *block);

/* ---- import_find.c: nginx's rules of inheritance ---- */

/* The name's bit. */
uint64_t name_bit(const char *name);

/* The first directive of that name in the block itself. */
const struct directive *find_own(const struct directive *block, const char *name);

/* The next one of the same name, in the same block. */
const struct directive *find_next(const struct directive *directive);

/* The first of that name in the block, or in the nearest one around it that has any: what counts there. */
const struct directive *find_effective(const struct directive *block, const char *name);

/* The first rule of who may, "allow" or "deny", in the block that has any: they make one list, in order. */
const struct directive *find_rule(const struct directive *block);

/* The first of that name anywhere below. */
const struct directive *find_below(const struct directive *block, const char *name);

bool is_named(const struct directive *directive, const char *name);
const char *arg(const struct directive *directive, unsigned index);     /* "" when there is none */
bool is_on(const struct directive *directive);
bool has_variable(const char *text);

/* The location of a server (or in another one) that a path belongs to, as drover chooses; NULL: none. */
const struct directive *find_location(const struct directive *block, const char *path);

/* Is it one that drover can tell by the path: `path` is that; not regular expressions, not names. */
bool location_path(const struct directive *location, const char **path, bool *exact);

/* Has the block a location of its own for all below that path? */
bool has_location(const struct directive *block, const char *path);

/* ---- import_write.c ---- */

/* "text", quoted as the syntax wants it. */
void write_quoted(FILE *out, const char *text);
void write_strings(FILE *out, const struct texts *list);

/* Texts with a comma and a line's end between them. */
void write_blocks(FILE *out, const struct texts *blocks);

/* One `name = "text";` behind `indent`; the other one with a list. */
void write_setting(FILE *out, const char *indent, const char *name, const char *text);
void write_list(FILE *out, const char *indent, const char *name, const struct texts *list);

/* The same within a line. */
void write_setting_within(FILE *out, const char *name, const char *text);

/* The notes about a block's directives as comments; all that are not written yet. */
void write_notes(FILE *out, const char *indent, const struct directive *block);
void write_other_notes(FILE *out, struct import *import);

/* No control characters, and short enough to be a setting. */
bool is_writable(const char *text);

/* A duration or a size of nginx as drover has it, within the bounds (in ms, in bytes); NULL: not
 * understood. What was out of bounds is brought into them, and noted. */
const char *import_duration(struct import *import, const struct directive *at, const char *text,
			    const unsigned long long bounds[2]);
const char *import_size(struct import *import, const struct directive *at, const char *text,
			const unsigned long long bounds[2]);

/* ---- the translation, by part of the output ---- */

/* import_global.c: everything but listen and sites. */
void import_global(struct import *import, FILE *out);

/* import_logs.c: logs, and media types. */
void import_logs(struct import *import, FILE *out);
void import_types(struct import *import, FILE *out);

/* import_listen.c: the addresses. */
void import_listen(struct import *import, FILE *out);

/* The address of a listen directive as drover has it, or NULL. */
const char *listen_address(struct import *import, const struct directive *listen);
bool listens_here(const struct import *import, const struct directive *server);

/* Of its addresses the widest, as far as they count. */
enum reach listen_reach(struct import *import, const struct directive *server);

/* Networks of set_real_ip_from. */
void import_proxies(struct import *import, struct texts *proxies);

/* import_site.c: the sites. False: there is no server. */
bool import_sites(struct import *import, FILE *out);

/* import_pages.c: a server's pages for errors. */
void import_pages(struct import *import, FILE *out, const struct directive *server);

/* import_route.c: a location, or what a server does without one (then `block` is the server). The fields of
 * answers are the route's own `with_headers`, else its site's. */
void import_route(struct import *import, struct texts *routes, const struct directive *block,
		  bool with_headers);
void route_begin(FILE *out, const char *match, bool exact);

/* Is there no route of that match yet? It is one from now on. False: noted. */
bool route_is_new(struct import *import, struct texts *matches, const struct directive *at, const char *match,
		  bool exact);

/* import_headers.c: fields, how long answers may be kept, and who may, as they count in the block. */
void import_headers(struct import *import, FILE *out, const char *indent, const struct directive *block);
void import_cache(struct import *import, FILE *out, const char *indent, const struct directive *block);

/* False: nobody may. */
bool import_access(struct import *import, FILE *out, const char *indent, const struct directive *block);

/* import_guard.c: what keeps clients out by ways that drover has not. */

/* Has it rules of its own for who may come in? Not those around it. */
bool is_guarded(const struct directive *location);

/* Has it rules, of its own or from around it, that not all beside it have, or does it go to a program? */
bool guards_more(const struct directive *location);

/* A location by an expression, what it stands for is guarded or run, and dotfiles it is not about alone. */
bool is_guarding_regex(const struct directive *location);

/* Names that begin with a dot, and nothing else. */
bool is_of_dotfiles(const char *regex);

/* "/a/" of "^/a/(b|c)": the directory that all of it is in; "/" or "": anywhere. */
const char *regex_directory(struct import *import, const char *regex);

/* What may keep clients from the route of that match, and cannot be said of it in drover; NULL: nothing. */
const struct directive *find_guard(struct import *import, const struct directive *block, const char *match);

/* import_route.c: does a program answer, and no file? */
bool has_pass(const struct directive *block);

/* import_simple.c: locations by expressions that are no more than a path's beginning become such. */
void import_simplify(struct import *import, struct directive *block);

/* import_kinds.c: is it a location for files of some endings that says how long they may be kept? Their media
 * types; and what is noted of it. */
bool kinds_of(struct import *import, const struct directive *location, struct texts *types);
void kinds_note(struct import *import, const struct directive *location);

/* import_return.c: `return`, and rewrites that are one. */

/* Writes the service for a return (or rewrite) directive in a route for `match`. False: not possible; it was
 * noted. */
bool import_return(struct import *import, FILE *out, const struct directive *directive, const char *match);

/* Is the rewrite all that becomes of its path? `match` and `exact` say of which, `to` where it is sent, and
 * `rest` whether what is behind goes along. */
struct rewrite {
	const char *match, *to;
	bool exact, rest;
	unsigned status;
};

bool rewrite_parse(struct import *import, const struct directive *directive, struct rewrite *rewrite);
void rewrite_write(FILE *out, const struct rewrite *rewrite);

/* import_files.c: the files service of a block whose match is `match`. False: not possible; it was noted. */
bool import_files(struct import *import, FILE *out, const struct directive *block, const char *match);

/* Where a path is in the file system: by the root that counts there; NULL: cannot be known. */
const char *import_path(struct import *import, const struct directive *block, const char *path);

/* import.c: the whole of it, into a text that the caller frees; NULL: there is no server in it. */
char *import_translate(struct import *import);

void import_release(struct import *import);

#endif
