/* Emulates a wide area network link between two network interfaces: delay, jitter, loss, rate, queue, outages.
 *
 *   wan IF_A IF_B [delay_ms=20] [jitter_ms=0] [loss_pct=0] [rate_mbit=100] [queue_kb=500] [seed=1]
 *
 * The program copies Ethernet frames from one interface to the other, in both directions, each with its own queue.
 *   delay_ms   one way: a round trip takes twice as long
 *   jitter_ms  up to this much more, evenly distributed; frames overtake each other
 *   loss_pct   probability that a frame is dropped; ARP frames are spared
 *   rate_mbit  0: no limit. Counts the bytes of Ethernet frames, without preamble and checksum
 *   queue_kb   a frame that finds this many kilobytes waiting is dropped
 * SIGUSR1 cuts the link, and SIGUSR2 restores it. SIGHUP drops UDP until the next SIGHUP. SIGTERM prints the
 * counts to stderr and ends the program. hosts.ts compiles it and sets up two hosts around it. Linux, root.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { QUEUE_FRAMES = 1 << 16, FRAME_BYTES = 2048, BURST_FRAMES = 256 };

typedef struct { double due; int length; unsigned char bytes[FRAME_BYTES]; } Frame;
typedef struct { Frame **heap; int count; double line_free; long passed, lost, queue_dropped; } Way;

static volatile sig_atomic_t cut, no_udp, stop;

static void on_signal(int s) {
    if (s == SIGUSR1) cut = 1;
    else if (s == SIGUSR2) cut = 0;
    else if (s == SIGHUP) no_udp = !no_udp;
    else stop = 1;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static unsigned long long rng_state;

static double chance(void) { /* xorshift64*, in [0, 1) */
    rng_state ^= rng_state >> 12;
    rng_state ^= rng_state << 25;
    rng_state ^= rng_state >> 27;
    return (double)((rng_state * 2685821657736338717ULL) >> 11) / 9007199254740992.0;
}

static void push(Way *w, Frame *f) { /* a min-heap by due time */
    int i = w->count++;
    for (; i > 0 && w->heap[(i - 1) / 2]->due > f->due; i = (i - 1) / 2) w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = f;
}

static Frame *pop(Way *w) {
    Frame *top = w->heap[0], *last = w->heap[--w->count];
    int i = 0;
    for (int child; (child = 2 * i + 1) < w->count; i = child) {
        if (child + 1 < w->count && w->heap[child + 1]->due < w->heap[child]->due) child++;
        if (last->due <= w->heap[child]->due) break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

static int open_interface(const char *name) {
    int s = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    struct sockaddr_ll at = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(name)
    };
    if (s < 0 || at.sll_ifindex == 0 || bind(s, (struct sockaddr *)&at, sizeof at)) {
        perror(name);
        exit(1);
    }
    struct packet_mreq promiscuous = { .mr_ifindex = at.sll_ifindex, .mr_type = PACKET_MR_PROMISC };
    setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous);
    int bytes = 16 << 20;
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    return s;
}

static int is_udp(const unsigned char *bytes, int n) { /* over IPv4 or IPv6, without extension headers */
    if (n < 34) return 0;
    if (bytes[12] == 0x08 && bytes[13] == 0x00) return bytes[23] == 17;
    return bytes[12] == 0x86 && bytes[13] == 0xdd && bytes[20] == 17;
}

static double option(int argc, char **argv, const char *key, double fallback) {
    size_t n = strlen(key);
    for (int i = 3; i < argc; i++)
        if (!strncmp(argv[i], key, n) && argv[i][n] == '=') return atof(argv[i] + n + 1);
    return fallback;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: wan IF_A IF_B [delay_ms=20] [jitter_ms=0] [loss_pct=0] [rate_mbit=100] "
                        "[queue_kb=500] [seed=1]\n");
        return 2;
    }
    const double delay = option(argc, argv, "delay_ms", 20) / 1e3, jitter = option(argc, argv, "jitter_ms", 0) / 1e3;
    const double loss = option(argc, argv, "loss_pct", 0) / 100, rate = option(argc, argv, "rate_mbit", 100) * 1e6 / 8;
    const double queue_bytes = option(argc, argv, "queue_kb", 500) * 1e3;
    rng_state = 88172645463325252ULL ^ (unsigned long long)option(argc, argv, "seed", 1) * 2654435761ULL;
    struct sigaction act = { .sa_handler = on_signal };
    sigaction(SIGUSR1, &act, NULL);
    sigaction(SIGUSR2, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    setpriority(PRIO_PROCESS, 0, -15); /* a link does not wait for a processor; without the privilege, this one may */
    const int sockets[2] = { open_interface(argv[1]), open_interface(argv[2]) };
    Way ways[2] = { 0 };
    for (int i = 0; i < 2; i++) ways[i].heap = calloc(QUEUE_FRAMES, sizeof(Frame *));
    fprintf(stderr, "wan: up\n");

    while (!stop) {
        double wait = 0.05, t = now();
        for (int i = 0; i < 2; i++)
            if (ways[i].count && ways[i].heap[0]->due - t < wait) wait = ways[i].heap[0]->due - t;
        if (wait < 0) wait = 0;
        struct timespec ts = { .tv_sec = 0, .tv_nsec = (long)(wait * 1e9) };
        struct pollfd fds[2] = { { .fd = sockets[0], .events = POLLIN }, { .fd = sockets[1], .events = POLLIN } };
        if (ppoll(fds, 2, &ts, NULL) < 0) continue; /* interrupted by a signal: check stop */
        for (int i = 0; i < 2; i++) for (int burst = 0; (fds[i].revents & POLLIN) && burst < BURST_FRAMES; burst++) {
            unsigned char bytes[FRAME_BYTES];
            struct sockaddr_ll from;
            socklen_t from_length = sizeof from;
            const int n = (int)recvfrom(sockets[i], bytes, sizeof bytes, MSG_DONTWAIT,
                                        (struct sockaddr *)&from, &from_length);
            if (n <= 0) break;
            if (from.sll_pkttype == PACKET_OUTGOING) continue; /* sent by us */
            const int arp = n > 13 && bytes[12] == 0x08 && bytes[13] == 0x06;
            Way *w = &ways[i];
            t = now();
            if (cut || (no_udp && is_udp(bytes, n)) || (!arp && chance() < loss)) {
                w->lost++;
                continue;
            }
            if (w->line_free < t) w->line_free = t;
            if (w->count >= QUEUE_FRAMES - 1 || (rate > 0 && (w->line_free - t) * rate > queue_bytes)) {
                w->queue_dropped++;
                continue;
            }
            if (rate > 0) w->line_free += n / rate;
            Frame *f = malloc(sizeof *f);
            if (f == NULL) abort();
            f->due = w->line_free + delay + jitter * chance();
            f->length = n;
            memcpy(f->bytes, bytes, (size_t)n);
            push(w, f);
        }
        t = now();
        for (int i = 0; i < 2; i++) while (ways[i].count && ways[i].heap[0]->due <= t) {
            Frame *f = pop(&ways[i]);
            if (send(sockets[1 - i], f->bytes, (size_t)f->length, 0) > 0) ways[i].passed++;
            free(f);
        }
    }
    for (int i = 0; i < 2; i++)
        fprintf(stderr, "wan: %s: passed %ld, lost %ld, dropped by a full queue %ld\n", i ? "B to A" : "A to B",
                ways[i].passed, ways[i].lost, ways[i].queue_dropped);
    return 0;
}
