/*
 * A stranger that floods a UDP port of the loopback: flood PORT KIND SIZE PER_SECOND SECONDS [SOURCES].
 * Every datagram has the first byte KIND and a fresh random key. With SOURCES it takes turns between that many
 * addresses from 127.1.0.1 on. With port 0 it floods a socket of its own that nobody reads, which shows what the flood
 * itself takes from the machine. Prints the datagrams sent and the seconds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, MAX_SIZE = 1400, MAX_SOURCES = 256 };

static uint64_t state;

/* xorshift64, with Marsaglia's triple 13, 7, 17. */
static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

int main(int count, char **words)
{
    if (count < 6) {
        fprintf(stderr, "usage: flood PORT KIND SIZE PER_SECOND SECONDS [SOURCES]\n");
        return 2;
    }
    const int kind = atoi(words[2]);
    const int size = atoi(words[3]) < MAX_SIZE ? atoi(words[3]) : MAX_SIZE;
    const double per_second = atof(words[4]);
    const double seconds = atof(words[5]);
    int sources = count > 6 ? atoi(words[6]) : 0;
    if (sources > MAX_SOURCES) sources = MAX_SOURCES;
    state = 88172645463325252ULL ^ (uint64_t)getpid() ^ (uint64_t)(now() * 1e9);

    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (to.sin_port == 0) {
        socklen_t length = sizeof(to);
        const int sink = socket(AF_INET, SOCK_DGRAM, 0);
        if (bind(sink, (struct sockaddr *)&to, length) != 0 ||
            getsockname(sink, (struct sockaddr *)&to, &length) != 0) {
            perror("flood");
            return 1;
        }
    }
    int sockets[MAX_SOURCES];
    for (int i = 0; i < (sources > 0 ? sources : 1); ++i) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(sources > 0 ? 0x7f010001u + (uint32_t)i : INADDR_LOOPBACK);
        sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
        if (bind(sockets[i], (struct sockaddr *)&from, sizeof(from)) != 0 ||
            connect(sockets[i], (struct sockaddr *)&to, sizeof(to)) != 0) {
            perror("flood");
            return 1;
        }
    }

    static uint8_t packets[BATCH][MAX_SIZE + 8];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH];
    memset(messages, 0, sizeof(messages));
    for (int i = 0; i < BATCH; ++i) {
        parts[i] = (struct iovec){packets[i], (size_t)size};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    const double begun = now();
    unsigned long sent = 0;
    int turn = 0;
    for (double t = 0; t < seconds; t = now() - begun) {
        while (sent < t * per_second) {
            for (int i = 0; i < BATCH; ++i) {
                for (int at = 0; at < size; at += 8) {
                    const uint64_t word = next_random();
                    memcpy(packets[i] + at, &word, 8);
                }
                packets[i][0] = (uint8_t)kind;
            }
            sendmmsg(sockets[turn], messages, BATCH, 0);
            turn = sources > 0 ? (turn + 1) % sources : 0;
            sent += BATCH;
        }
        usleep(300);
    }
    printf("sent %lu in %.2f\n", sent, now() - begun);
    return 0;
}
