// SPDX-License-Identifier: Apache-2.0
/*
 * Who may read the scaler's HTTP port (docs/http-access.md): everybody; users of a web-config file;
 * who shows a token that the Kubernetes API knows and that may read what is asked for. /metrics
 * needs the right to "get" the path /metrics; the status API and the page show the namespaces whose
 * ScaledObjects the token may list. io thread.
 */
#pragma once

#include "net/http_server.h"
#include "net/tls.h"
#include "scaler/view.h"

struct io;
struct gate;
struct prom_writer;

// Reads http.webConfig. After io_cluster_start(). Errors name the file and the remedy.
int gate_open(struct io *io, struct err *e);
void gate_stop(struct io *io); // who waits for a password is answered; the loop must turn
void gate_free(struct io *io); // after the loop has turned
struct net_tls *gate_tls(const struct gate *g); // of the web-config; NULL: none
// 1 taken, 0 unchanged, negative: the version before stays. No web-config: 0.
int gate_reload(struct gate *g, struct err *e);
// May rights end while an answer goes on? (A feed is then ended now and then.)
bool gate_asks(const struct gate *g);

typedef void (*gate_handler)(struct http_request *r, struct io *io, const struct view *view);
// Calls `handle`, now or later, with what the client may see; or answers 401, 403, 503.
void gate_metrics(struct http_request *r, struct io *io, gate_handler handle);
void gate_status(struct http_request *r, struct io *io, gate_handler handle);

// Routes: the form that puts a token into a cookie, and takes it out.
void gate_login_form(struct http_request *r, void *ctx);
void gate_login(struct http_request *r, void *ctx);
void gate_logout(struct http_request *r, void *ctx);

void gate_families(const struct io *io, struct prom_writer *w); // of /metrics
