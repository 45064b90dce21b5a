/* A cheap OpenAI-compatible upstream: a benchmark shall measure the proxy and not what is behind it.
 *
 * One thread, epoll, answers made once at the start, loopback only. A call costs it about 6 microseconds.
 *   GET .../models             a list with one model
 *   GET anything else          {"status":"ok"}
 *   POST .../chat/completions  one kilobyte of JSON with its usage; with "stream": true a stream of events: the role,
 *                              N tokens, the end, the usage, [DONE]
 * A stream is written at once, unless the request's body holds one of these words (in "user", which proxies pass on):
 *   mock-events                one write an event, without a pause
 *   mock-slow                  one write an event, one every 5 ms
 *
 * mock_upstream [-p PORT] [-n TOKENS] [-d MS between events] [-c: one write an event]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAXC 8192
#define IBUF (256 * 1024)

typedef struct conn {
    int fd;
    size_t in_len, in_cap;
    char *in;
    /* what is being written */
    const char *out; size_t out_len, out_off;
    /* a stream with pauses */
    int ev_idx;            /* the next event; -1: none */
    uint64_t due_us;       /* when it is to go out */
    int delay_ms;
    int close_after;
    struct conn *next, *prev; int in_list;
} conn;

static int nchunks = 50, delay_ms = 0, per_event = 0, port = 9100;
static char *json_resp; static size_t json_len;
static char *models_resp; static size_t models_len;
static char *ok_resp; static size_t ok_len;
static char *sse_head; static size_t sse_head_len;
static char **ev; static size_t *ev_len; static int nev;
static char *sse_all; static size_t sse_all_len;
static conn *conns[MAXC * 2];
static conn *paced;            /* those with an event to come */
static int ep;
static unsigned long long n_req, n_stream, n_conn;

static uint64_t now_us(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000; }

static char *http_json(const char *body, size_t *len) {
    char *r; int n = asprintf(&r, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_mock\r\nopenai-processing-ms: 1\r\ncontent-length: %zu\r\n\r\n%s", strlen(body), body);
    *len = n; return r;
}
static void add_ev(const char *data) {
    size_t dl = strlen(data) + 8; /* with "data: " and an empty line */
    ev = realloc(ev, (nev + 1) * sizeof *ev); ev_len = realloc(ev_len, (nev + 1) * sizeof *ev_len);
    int n = asprintf(&ev[nev], "%zx\r\ndata: %s\n\n\r\n", dl, data);
    ev_len[nev++] = n;
}
static void build(void) {
    const char *content = "The quick brown fox jumps over the lazy dog while the proxy counts each token it forwards. "
        "A durable ledger reserves the worst case before the call and settles the true cost after it. "
        "This answer is text of a fixed length so that every run moves the same number of bytes over loopback. "
        "It mentions \\\"quotes\\\", a newline\\nand some unicode: caf\\u00e9, na\\u00efve, \\u2713. "
        "Padding follows to reach about one kilobyte of JSON in the body of this response from the mock upstream server, "
        "which is the size of a short chat answer with usage attached.";
    char *b; 
    if (asprintf(&b, "{\"id\":\"chatcmpl-mock0000000000000000000001\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"gpt-4o-mini\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":412,\"completion_tokens\":128,\"total_tokens\":540,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0}},\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\"}", content) < 0) exit(1);
    json_resp = http_json(b, &json_len); free(b);
    models_resp = http_json("{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o-mini\",\"object\":\"model\",\"created\":1760000000,\"owned_by\":\"mock\"}]}", &models_len);
    ok_resp = http_json("{\"status\":\"ok\"}", &ok_len);
    sse_head = strdup("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-request-id: req_mock\r\ntransfer-encoding: chunked\r\n\r\n");
    sse_head_len = strlen(sse_head);
#define PRE "{\"id\":\"chatcmpl-mock0000000000000000000001\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"gpt-4o-mini\",\"system_fingerprint\":\"fp_mock\","
    char buf[1024];
    add_ev(PRE "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}");
    for (int i = 0; i < nchunks; i++) {
        snprintf(buf, sizeof buf, PRE "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" token%d\"},\"logprobs\":null,\"finish_reason\":null}]}", i);
        add_ev(buf);
    }
    add_ev(PRE "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}");
    add_ev(PRE "\"choices\":[],\"usage\":{\"prompt_tokens\":412,\"completion_tokens\":50,\"total_tokens\":462}}");
    add_ev("[DONE]");
    /* the last event ends the body */
    char *last; int n = asprintf(&last, "%s0\r\n\r\n", ev[nev - 1]); ev[nev - 1] = last; ev_len[nev - 1] = n;
    sse_all_len = sse_head_len; for (int i = 0; i < nev; i++) sse_all_len += ev_len[i];
    sse_all = malloc(sse_all_len + 1); char *p = sse_all;
    memcpy(p, sse_head, sse_head_len); p += sse_head_len;
    for (int i = 0; i < nev; i++) { memcpy(p, ev[i], ev_len[i]); p += ev_len[i]; }
}
static void paced_add(conn *c) { if (c->in_list) return; c->in_list = 1; c->prev = NULL; c->next = paced; if (paced) paced->prev = c; paced = c; }
static void paced_del(conn *c) { if (!c->in_list) return; c->in_list = 0; if (c->prev) c->prev->next = c->next; else paced = c->next; if (c->next) c->next->prev = c->prev; c->next = c->prev = NULL; }
static void cclose(conn *c) { paced_del(c); epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL); close(c->fd); conns[c->fd] = NULL; free(c->in); free(c); }
static int flush_out(conn *c) { /* 1: all is out, 0: not yet, -1: broken */
    while (c->out_off < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
        if (n < 0) { if (errno == EAGAIN) { struct epoll_event e = { .events = EPOLLIN | EPOLLOUT, .data.fd = c->fd }; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e); return 0; } return -1; }
        c->out_off += n;
    }
    if (c->out) { c->out = NULL; c->out_len = c->out_off = 0; }
    return 1;
}
static int put(conn *c, const char *d, size_t n) { c->out = d; c->out_len = n; c->out_off = 0; return flush_out(c); }
static int stream_step(conn *c) { /* write what is due */
    for (;;) {
        if (c->ev_idx < 0) return 1;
        if (c->delay_ms && now_us() < c->due_us) { paced_add(c); return 1; }
        int i = c->ev_idx++;
        if (c->ev_idx >= nev) { c->ev_idx = -1; paced_del(c); }
        else c->due_us += (uint64_t)c->delay_ms * 1000;
        int r = put(c, ev[i], ev_len[i]);
        if (r <= 0) return r;
    }
}
static int handle(conn *c, char *head, size_t hlen, char *body, size_t blen) {
    n_req++;
    if (!strncmp(head, "GET ", 4)) {
        char *sp = memchr(head + 4, ' ', hlen - 4); size_t pl = sp ? (size_t)(sp - head - 4) : 0;
        if (pl >= 7 && !strncmp(sp - 7, "/models", 7)) return put(c, models_resp, models_len);
        return put(c, ok_resp, ok_len);
    }
    char *s = memmem(body, blen, "\"stream\"", 8); int st = 0;
    if (s) { s += 8; while (*s == ' ' || *s == ':') s++; st = !strncmp(s, "true", 4); }
    if (!st) return put(c, json_resp, json_len);
    n_stream++;
    int d = delay_ms, pe = per_event;
    if (memmem(body, blen, "mock-slow", 9)) d = 5; else if (memmem(body, blen, "mock-events", 11)) pe = 1;
    if (!d && !pe) return put(c, sse_all, sse_all_len);
    c->delay_ms = d; c->ev_idx = 0;
    static uint32_t rnd = 12345; rnd = rnd * 1664525u + 1013904223u; /* not all streams in step */
    c->due_us = now_us() + (uint64_t)d * 1000 + (d ? (rnd >> 8) % (d * 1000) : 0);
    int r = put(c, sse_head, sse_head_len); if (r <= 0) return r;
    return stream_step(c);
}
static int process(conn *c) {
    while (c->in_len && !c->out && c->ev_idx < 0) {
        c->in[c->in_len] = 0;
        char *e = memmem(c->in, c->in_len, "\r\n\r\n", 4); if (!e) return 0;
        size_t hlen = e + 4 - c->in, need = hlen; char *body = c->in + hlen; size_t blen = 0;
        char save = *body; *body = 0; /* the headers as a string */
        char *cl = strcasestr(c->in, "\r\ncontent-length:"), *te = strcasestr(c->in, "\r\ntransfer-encoding: chunked");
        if (strcasestr(c->in, "\r\nconnection: close")) c->close_after = 1;
        *body = save;
        if (cl) { blen = strtoul(cl + 17, NULL, 10); need += blen; }
        else if (te) { /* a body in chunks: wait for its last */
            char *t = memmem(body, c->in_len - hlen, "0\r\n\r\n", 5); if (!t) return 0;
            blen = t + 5 - body; need += blen;
        }
        if (c->in_len < need) return 0;
        char sv = c->in[need]; c->in[need] = 0;
        int r = handle(c, c->in, hlen, body, blen);
        c->in[need] = sv;
        memmove(c->in, c->in + need, c->in_len - need); c->in_len -= need;
        if (r < 0) return -1;
        if (c->close_after && r > 0 && c->ev_idx < 0) return -1;
    }
    return 0;
}
static volatile sig_atomic_t stop; static void onsig(int s) { (void)s; stop = 1; }
int main(int argc, char **argv) {
    int o; while ((o = getopt(argc, argv, "p:n:d:c")) != -1) { if (o == 'p') port = atoi(optarg); else if (o == 'n') nchunks = atoi(optarg); else if (o == 'd') delay_ms = atoi(optarg); else if (o == 'c') per_event = 1; else return 2; }
    signal(SIGPIPE, SIG_IGN); signal(SIGTERM, onsig); signal(SIGINT, onsig);
    build();
    int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1; setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (bind(ls, (void *)&a, sizeof a) || listen(ls, 4096)) { perror("bind"); return 1; }
    ep = epoll_create1(0); struct epoll_event e = { .events = EPOLLIN, .data.fd = ls }; epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
    fprintf(stderr, "mock upstream 127.0.0.1:%d json=%zuB sse=%zuB events=%d delay=%dms per_event=%d\n", port, json_len, sse_all_len, nev, delay_ms, per_event);
    struct epoll_event evs[512];
    while (!stop) {
        int to = 1000;
        if (paced) { uint64_t n = now_us(), m = UINT64_MAX; for (conn *c = paced; c; c = c->next) if (c->due_us < m) m = c->due_us; to = m <= n ? 0 : (int)((m - n + 999) / 1000); }
        int n = epoll_wait(ep, evs, 512, to);
        for (int i = 0; i < n; i++) {
            int fd = evs[i].data.fd;
            if (fd == ls) {
                for (;;) { int cf = accept4(ls, NULL, NULL, SOCK_NONBLOCK); if (cf < 0) break;
                    if (cf >= MAXC * 2) { close(cf); continue; }
                    setsockopt(cf, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    conn *c = calloc(1, sizeof *c); c->fd = cf; c->ev_idx = -1; c->in_cap = 16384; c->in = malloc(c->in_cap + 1); conns[cf] = c; n_conn++;
                    struct epoll_event ce = { .events = EPOLLIN, .data.fd = cf }; epoll_ctl(ep, EPOLL_CTL_ADD, cf, &ce); }
                continue;
            }
            conn *c = conns[fd]; if (!c) continue;
            if (evs[i].events & EPOLLOUT) {
                struct epoll_event ce = { .events = EPOLLIN, .data.fd = fd }; epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ce);
                int r = flush_out(c); if (r > 0 && c->ev_idx >= 0) r = stream_step(c);
                if (r < 0 || (r > 0 && process(c) < 0)) { cclose(c); continue; }
            }
            if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                if (c->in_cap - c->in_len < 4096) { c->in_cap *= 2; c->in = realloc(c->in, c->in_cap + 1); if (c->in_cap > 16 * IBUF) { cclose(c); continue; } }
                ssize_t k = recv(fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
                if (k == 0 || (k < 0 && errno != EAGAIN)) { cclose(c); continue; }
                if (k > 0) { c->in_len += k; if (process(c) < 0) { cclose(c); continue; } }
            }
        }
        if (paced) { uint64_t t = now_us(); for (conn *c = paced, *nx; c; c = nx) { nx = c->next; if (c->due_us <= t && !c->out) { int r = stream_step(c); if (r > 0 && c->ev_idx < 0) r = process(c) < 0 ? -1 : 1; if (r < 0) cclose(c); } } }
    }
    fprintf(stderr, "mock upstream: conns=%llu requests=%llu streams=%llu\n", n_conn, n_req, n_stream);
    return 0;
}
