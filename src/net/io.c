// SPDX-License-Identifier: Apache-2.0
/*
 * Reads and writes of one socket. OpenSSL's own socket BIO writes with write(2), which raises
 * SIGPIPE when the peer has gone; the BIO here sends with MSG_NOSIGNAL, so that no program that
 * uses a stream needs to touch its signal dispositions.
 */
#include "net/io.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <sys/socket.h>

#include "net/tls.h"
#include "net/tls_peer.h"

static bool would_block(int errnum) {
    return errnum == EAGAIN || errnum == EWOULDBLOCK || errnum == EINTR;
}

static int bio_write(BIO *b, const char *p, int n) {
    struct net_io *io = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    ssize_t r = send(io->fd, p, (size_t)n, MSG_NOSIGNAL);
    if (r < 0 && would_block(errno))
        BIO_set_retry_write(b);
    return (int)r;
}

static int bio_read(BIO *b, char *p, int n) {
    struct net_io *io = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    ssize_t r = recv(io->fd, p, (size_t)n, 0);
    if (r < 0 && would_block(errno))
        BIO_set_retry_read(b);
    if (r == 0)
        io->eof = true;
    return (int)r;
}

static long bio_ctrl(BIO *b, int cmd, long number, void *p) {
    struct net_io *io = BIO_get_data(b);
    switch (cmd) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return io->eof;
    default:
        return 0;
    }
}

static int bio_create(BIO *b) {
    BIO_set_init(b, 1);
    return 1;
}

static BIO_METHOD *bio_method;

static void bio_method_make(void) {
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "net_io");
    if (m && BIO_meth_set_write(m, bio_write) && BIO_meth_set_read(m, bio_read) &&
        BIO_meth_set_ctrl(m, bio_ctrl) && BIO_meth_set_create(m, bio_create))
        bio_method = m;
    else
        BIO_meth_free(m);
}

int net_io_start_tls(struct net_io *io, SSL *ssl, struct err *e) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, bio_method_make);
    BIO *bio = bio_method ? BIO_new(bio_method) : NULL;
    if (!bio) {
        SSL_free(ssl);
        return err_set(e, ERR_NOMEM, "no memory for a TLS connection");
    }
    BIO_set_data(bio, io);
    SSL_set_bio(ssl, bio, bio);
    io->ssl = ssl;
    return 0;
}

// What went wrong in a handshake, in the words of the one who has to mend it.
static int handshake_failed(SSL *ssl, struct err *e) {
    if (tls_peer_refused(ssl, e))
        return ERR_AUTH;
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
    switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:
        ERR_clear_error();
        return err_set(e, ERR_PROTO, "TLS: the peer does not speak TLS (plain text came)");
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        ERR_clear_error();
        return err_set(e, ERR_AUTH, "TLS: the peer shows no certificate (mutual TLS needs one)");
    default:
        // Reasons from 1000 on are alerts that the peer sent: it refuses us.
        return net_tls_error(e, reason > SSL_AD_REASON_OFFSET ? ERR_AUTH : ERR_PROTO,
                             "TLS handshake");
    }
}

int net_io_handshake(struct net_io *io, struct err *e) {
    ERR_clear_error();
    errno = 0;
    int r = SSL_do_handshake(io->ssl);
    int errnum = errno;
    io->read_waits_write = false;
    if (r == 1)
        return 0;
    switch (SSL_get_error(io->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return ERR_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        io->read_waits_write = true;
        return ERR_AGAIN;
    case SSL_ERROR_SSL:
        return handshake_failed(io->ssl, e);
    case SSL_ERROR_SYSCALL:
        if (errnum != 0)
            return err_errno(e, errnum, "TLS handshake");
        break;
    default:
        break;
    }
    return err_set(e, ERR_CLOSED, "the peer closed the connection in the TLS handshake");
}

static ssize_t tls_read_failed(struct net_io *io, int r, int errnum, struct err *e) {
    switch (SSL_get_error(io->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return ERR_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        io->read_waits_write = true;
        return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return errnum == 0 ? 0 : err_errno(e, errnum, "reading");
    default: {
        unsigned long code = ERR_peek_error();
        bool alert = ERR_GET_LIB(code) == ERR_LIB_SSL &&
                     ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET;
        // With TLS 1.3 the peer's verdict on our certificate comes after the handshake.
        return net_tls_error(e, alert ? ERR_AUTH : ERR_PROTO, "TLS");
    }
    }
}

static ssize_t tls_read(struct net_io *io, char *p, size_t cap, struct err *e) {
    size_t got = 0;
    if (io->failed)
        return err_set(e, io->failed, "TLS: a damaged record or an alert ended the connection");
    io->read_waits_write = false;
    while (got < cap) { // a call returns one record at most
        ERR_clear_error();
        errno = 0;
        int r = SSL_read(io->ssl, p + got, (int)(cap - got));
        if (r <= 0) {
            ssize_t code = tls_read_failed(io, r, errno, got ? NULL : e);
            if (got == 0)
                return code;
            io->read_end = code != ERR_AGAIN;
            if (code < 0 && code != ERR_AGAIN)
                io->failed = (int)code; // told by the next call; OpenSSL would not repeat it
            return (ssize_t)got;
        }
        got += (size_t)r;
    }
    return (ssize_t)got;
}

ssize_t net_io_read(struct net_io *io, void *p, size_t cap, struct err *e) {
    if (io->ssl)
        return tls_read(io, p, cap, e);
    ssize_t n = recv(io->fd, p, cap, 0);
    if (n >= 0)
        return n;
    return would_block(errno) ? ERR_AGAIN : err_errno(e, errno, "reading");
}

static ssize_t write_failed(int errnum, struct err *e) {
    if (errnum == EPIPE || errnum == ECONNRESET || errnum == 0)
        return err_set(e, ERR_CLOSED, "the peer has closed the connection");
    return err_errno(e, errnum, "writing");
}

static ssize_t tls_write(struct net_io *io, const void *p, size_t n, struct err *e) {
    ERR_clear_error();
    errno = 0;
    io->write_waits_read = false;
    int r = SSL_write(io->ssl, p, n > INT32_MAX ? INT32_MAX : (int)n);
    int errnum = errno;
    if (r > 0)
        return r;
    switch (SSL_get_error(io->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        io->write_waits_read = true;
        return ERR_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        return ERR_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return write_failed(0, e);
    case SSL_ERROR_SYSCALL:
        return write_failed(errnum, e);
    default:
        return net_tls_error(e, ERR_PROTO, "TLS");
    }
}

ssize_t net_io_write(struct net_io *io, const void *p, size_t n, struct err *e) {
    assert(n > 0);
    if (io->ssl)
        return tls_write(io, p, n, e);
    ssize_t r = send(io->fd, p, n, MSG_NOSIGNAL);
    if (r >= 0)
        return r;
    return would_block(errno) ? ERR_AGAIN : write_failed(errno, e);
}

void net_io_shutdown(struct net_io *io) {
    if (io->ssl) {
        ERR_clear_error();
        (void)SSL_shutdown(io->ssl); // one try: the peer that does not read loses nothing by it
        SSL_free(io->ssl);
        io->ssl = NULL;
        ERR_clear_error();
    }
    (void)shutdown(io->fd, SHUT_WR);
}
