// SPDX-License-Identifier: Apache-2.0
/* Raw mode and frames; see the header. */
#include "tools/top_term.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"

#define ENTER "\033[?1049h\033[?25l\033[?7l\033[2J" // alternate screen, no cursor, no wrapping
#define LEAVE "\033[0m\033[?7h\033[?25h\033[?1049l"

static struct {
    int input; // a description of its own: made non-blocking, while the shell shares the other
    bool open;
    volatile sig_atomic_t entered;
    struct termios before;
} term;

static int write_all(const char *p, size_t n) {
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return ERR_IO;
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

void top_term_leave(void) { // async-signal-safe
    if (!term.entered)
        return;
    term.entered = 0;
    (void)write_all(LEAVE, sizeof(LEAVE) - 1);
    (void)tcsetattr(term.input, TCSAFLUSH, &term.before);
}

void top_term_enter(void) {
    struct termios raw = term.before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); // signals stay: ^C, ^Z
    raw.c_iflag &= ~(tcflag_t)(IXON);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    term.entered = 1;
    (void)tcsetattr(term.input, TCSAFLUSH, &raw);
    (void)write_all(ENTER, sizeof(ENTER) - 1);
}

static void on_crash(int number) {
    top_term_leave();
    (void)raise(number); // SA_RESETHAND: now it kills
}

int top_term_open(int *ret_input, struct err *e) {
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGQUIT};
    term.input = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (term.input < 0 || tcgetattr(term.input, &term.before) < 0) {
        if (term.input >= 0)
            close(term.input);
        return err_set(e, ERR_IO,
                       "there is no terminal to read keys from; --once shows the state once");
    }
    for (size_t i = 0; i < COUNT_OF(crashes); i++) {
        struct sigaction a = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND};
        (void)sigaction(crashes[i], &a, NULL);
    }
    term.open = true;
    *ret_input = term.input;
    return 0;
}

void top_term_close(void) {
    top_term_leave();
    if (term.open)
        close(term.input);
    term.open = false;
}

void top_term_size(unsigned *ret_width, unsigned *ret_height) {
    struct winsize w = {0};
    *ret_width = 80;
    *ret_height = 24;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 && w.ws_row > 0) {
        *ret_width = w.ws_col;
        *ret_height = w.ws_row;
    }
}

int top_term_draw(const struct buf *frame) {
    CLEANUP_BUF struct buf out;
    buf_init(&out, 2 * frame->len + 64);
    struct str rest = buf_str(frame);
    (void)buf_addc(&out, "\033[H");
    // Erased before it is written: behind a line that fills the last column, that would go.
    while (rest.n > 0) {
        struct str line = str_cut(&rest, '\n');
        (void)buf_addc(&out, rest.n > 0 ? "\033[K" : "\033[J");
        (void)buf_add_str(&out, line);
        (void)buf_addc(&out, rest.n > 0 ? "\r\n" : "");
    }
    return out.err < 0 ? out.err : write_all(out.p, out.len);
}

bool top_term_utf8(void) {
    const char *set = getenv("LC_ALL");
    if (set == NULL || set[0] == '\0')
        set = getenv("LC_CTYPE");
    if (set == NULL || set[0] == '\0')
        set = getenv("LANG");
    return set != NULL && (strcasestr(set, "utf-8") != NULL || strcasestr(set, "utf8") != NULL);
}

bool top_term_capable(void) {
    const char *kind = getenv("TERM");
    return isatty(STDOUT_FILENO) && kind != NULL && kind[0] != '\0' && strcmp(kind, "dumb") != 0;
}
