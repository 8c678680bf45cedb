/* top.c - droverctl top: what happens now, again and again.
 *
 * On a terminal it draws on the alternate screen, which it gives back however it ends; else it prints one
 * table, or with --json an object in each interval. A daemon that does not answer is asked again, for it may
 * be in the middle of an upgrade. Fails when it is not there at the beginning. */
#include "top.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { INTERVAL_MS = 1000, LEAST_INTERVAL_MS = 100, ANSWER_MS = 2000 };

static uint64_t interval_ms = INTERVAL_MS;
static bool once;
static volatile sig_atomic_t ended;

/* ---- the command line ---------------------------------------------------------------------------------- */

const struct option top_options[] = {
	{ "interval", required_argument, NULL, 'I' },
	{ "once", no_argument, NULL, 'O' },
	{ NULL, 0, NULL, 0 },
};

bool top_option(int val, const char *value)
{
	if (val == 'O')
		return once = true;
	if (!ctl_parse_duration(value, &interval_ms) || interval_ms < LEAST_INTERVAL_MS ||
	    interval_ms > 3600 * 1000)
		return ctl_wrong("--interval: expected a duration from 100ms to 1h, not ", value), false;
	return true;
}

/* ---- the terminal -------------------------------------------------------------------------------------- */

struct terminal {
	bool drawn;                     /* on the alternate screen */
	bool keys;                      /* they come one by one */
	struct termios before;
};

static void on_end(int number)
{
	(void)number;
	ended = 1;
}

/* It only ends the wait: the size is asked for each time. */
static void on_resize(int number)
{
	(void)number;
}

static sigset_t caught;

static void catch_signals(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action = { .sa_handler = on_end };

	sigemptyset(&caught);
	sigaddset(&caught, SIGWINCH);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		sigaddset(&caught, ends[i]);
		sigaction(ends[i], &action, NULL);
	}
	action.sa_handler = on_resize;
	sigaction(SIGWINCH, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* As poll(2), and a signal that came just before ends it, too. */
static int wait_key(struct pollfd *keys, uint64_t ns)
{
	struct timespec patience = { (time_t)(ns / CLOCK_S), (long)(ns % CLOCK_S) };
	sigset_t before;
	int ready = -1;

	sigprocmask(SIG_BLOCK, &caught, &before);
	if (!ended)
		ready = ppoll(keys, 1, &patience, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return ready;
}

/* Without a key that stops the process: it would leave the terminal as it is. */
static void take_terminal(struct terminal *terminal)
{
	struct termios raw;

	if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &terminal->before) == 0) {
		raw = terminal->before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VSUSP] = _POSIX_VDISABLE;
		terminal->keys = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	}
	fputs("\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J", stdout);
	fflush(stdout);
	terminal->drawn = true;
}

static void give_terminal_back(struct terminal *terminal)
{
	if (!terminal->drawn)
		return;
	fputs("\x1b[?25h\x1b[?1049l", stdout);
	fflush(stdout);
	if (terminal->keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &terminal->before);
}

static void measure(struct top_screen *screen)
{
	struct winsize size;

	screen->columns = 80;
	screen->rows = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
		screen->columns = size.ws_col;
		screen->rows = size.ws_row;
	}
}

/* Over what was there: each line is cleared behind what is new, and all below. */
static void draw(struct top_look *view, uint64_t ns, struct top_screen *screen)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	measure(screen);
	if (out == NULL)
		return;
	top_table(out, view, ns, screen);
	if (fclose(out) == 0) {
		fputs("\x1b[H", stdout);
		for (size_t i = 0; i < len; i++)
			if (text[i] == '\n')
				fputs("\x1b[K\n", stdout);
			else
				putchar(text[i]);
		fputs("\x1b[J", stdout);
		fflush(stdout);
	}
	free(text);
}

/* ---- looking ------------------------------------------------------------------------------------------- */

/* False with `err` and errno. */
static bool look(const struct ctl *ctl, struct top_look *found, struct err *err)
{
	json_t *request = json_pack("{s:s, s:b}", "command", "status", "metrics", 1);
	json_t *answer = control_ask(ctl->socket, request, ANSWER_MS, err);
	json_t *status = json_object_get(answer, "status");

	if (answer == NULL)
		return false;
	json_incref(status);
	json_decref(answer);
	if (status == NULL || !top_look(found, status)) {
		errno = EPROTO;
		return err_set(err, "drover at %s does not tell its status", ctl->socket);
	}
	return true;
}

struct session {
	struct terminal terminal;
	struct top_screen screen;
	struct top_look last;           /* sums */
	struct top_look view;           /* the difference that is shown */
	uint64_t view_ns;
	char trouble[ERR_TEXT_BYTES];
};

/* What was shown last stays when there is nothing new. */
static void look_again(const struct ctl *ctl, struct session *session)
{
	struct top_look now, sums;
	struct err err;

	session->screen.trouble = NULL;
	if (!look(ctl, &now, &err)) {
		snprintf(session->trouble, sizeof(session->trouble), "%s", err.text);
		session->screen.trouble = session->trouble;
		return;
	}
	if (!top_look(&sums, json_incref(now.status)))
		return top_forget(&now);
	top_between(&now, &session->last);
	session->view_ns = now.at_ns > session->last.at_ns ? now.at_ns - session->last.at_ns
							   : interval_ms * CLOCK_MS;
	top_forget(&session->last);
	top_forget(&session->view);
	session->last = sums;
	session->view = now;
}

static void show(const struct ctl *ctl, struct session *session)
{
	json_t *object;

	if (session->terminal.drawn) {
		draw(&session->view, session->view_ns, &session->screen);
		return;
	}
	if (session->screen.trouble != NULL)
		fprintf(stderr, "droverctl: %s\n", session->screen.trouble);
	else if (ctl->json) {
		object = top_json(&session->view, session->view_ns);
		json_dumpf(object, stdout, JSON_COMPACT);
		json_decref(object);
		putchar('\n');
	} else {
		top_table(stdout, &session->view, session->view_ns, &session->screen);
	}
	if (fflush(stdout) != 0)        /* nobody reads it any more */
		ended = 1;
}

/* ---- waiting ------------------------------------------------------------------------------------------- */

static void take_keys(struct top_screen *screen)
{
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n == 0)                     /* the terminal is gone */
		ended = 1;
	for (ssize_t i = 0; i < n; i++) {
		if (keys[i] == 'q' || keys[i] == 'Q')
			ended = 1;
		else if (keys[i] == 's')
			screen->sort = (screen->sort + 1) % TOP_SORTS;
		else if (keys[i] == 'r')
			screen->reverse = !screen->reverse;
	}
}

/* Until the interval is over; what is there is drawn anew whenever somebody presses a key or changes the
 * size. */
static void wait_for_more(const struct ctl *ctl, struct session *session)
{
	uint64_t until_ns = clock_now_ns() + interval_ms * CLOCK_MS, now_ns;
	struct pollfd keys = { .fd = session->terminal.keys ? STDIN_FILENO : -1, .events = POLLIN };

	while (!ended && (now_ns = clock_now_ns()) < until_ns) {
		int ready = wait_key(&keys, until_ns - now_ns);

		if (ready > 0)
			take_keys(&session->screen);
		if (ready != 0 && !ended && session->terminal.drawn)
			show(ctl, session);
	}
}

static void go_on(const struct ctl *ctl, struct session *session, bool first_only)
{
	/* the first difference is there soon, the others after an interval each */
	uint64_t wanted_ms = interval_ms;

	if (session->terminal.drawn) {
		interval_ms = LEAST_INTERVAL_MS;
		show(ctl, session);
	}
	do {
		wait_for_more(ctl, session);
		interval_ms = wanted_ms;
		if (ended)
			break;
		look_again(ctl, session);
		show(ctl, session);
	} while (!first_only && !ended);
}

int top_run(struct ctl *ctl)
{
	const char *no_color = getenv("NO_COLOR"), *kind = getenv("TERM");
	bool on_terminal = !once && !ctl->json && isatty(STDOUT_FILENO) && kind != NULL &&
			   strcmp(kind, "dumb") != 0;
	bool first_only = once || (!ctl->json && !on_terminal);
	struct session session = { 0 };
	struct err err;
	bool good;

	if (!look(ctl, &session.last, &err))
		return ctl_unreachable(&err);
	session.screen.color = on_terminal && (no_color == NULL || no_color[0] == '\0');
	good = top_look(&session.view, json_incref(session.last.status));
	catch_signals();
	if (on_terminal)
		take_terminal(&session.terminal);
	top_between(&session.view, &session.last);
	if (good)
		go_on(ctl, &session, first_only);
	give_terminal_back(&session.terminal);
	top_forget(&session.last);
	top_forget(&session.view);
	return session.screen.trouble != NULL && first_only ? STATUS_UNREACHABLE : STATUS_GOOD;
}
