/*
 * The machine that toxcore and libsodium see: clocks, randomness and sockets. The host provides all of them.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "bridge.h"
#include "toxcore/os_network.h"
#include "toxcore/os_random.h"

#include <sodium.h>

/* memory.ts reads and writes IP_Port in place. */
_Static_assert(offsetof(IP_Port, ip.family.value) == 0, "memory.ts: FAMILY_OFFSET");
_Static_assert(sizeof(((IP_Port *)0)->ip.family.value) == 1, "memory.ts: the family is a byte");
_Static_assert(offsetof(IP_Port, ip.ip.v4.uint8) == 8, "memory.ts: IP_OFFSET");
_Static_assert(offsetof(IP_Port, ip.ip.v6.uint8) == 8, "memory.ts: IP_OFFSET");
_Static_assert(offsetof(IP_Port, port) == 24, "memory.ts: PORT_OFFSET");
_Static_assert(sizeof(void *) == 4, "the host passes pointers as 32 bits");

/* -- clocks -- */

uint64_t host_monotonic(void *unused) { return (uint64_t)host_monotonic_ms(); }

/* The C library's time() would need WASI. toxcore calls this once per instance. */
time_t time(time_t *out)
{
    const time_t now = (time_t)(host_wall_ms() / 1000.0);
    if (out != NULL) {
        *out = now;
    }
    return now;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    const double ms = clock == CLOCK_REALTIME ? host_wall_ms() : host_monotonic_ms();
    out->tv_sec = (time_t)(ms / 1000.0);
    out->tv_nsec = (long)((ms - (double)out->tv_sec * 1000.0) * 1e6);
    return 0;
}

/* -- randomness -- */

static uint32_t random_word(void)
{
    uint32_t word;
    host_random(&word, sizeof(word));
    return word;
}

/* A uniform number below `upper`. Words that would favour low numbers are drawn again. */
static uint32_t random_below(uint32_t upper)
{
    if (upper < 2) {
        return 0;
    }
    const uint32_t skip = -upper % upper; /* 2^32 mod upper */
    uint32_t word;
    do {
        word = random_word();
    } while (word < skip);
    return word % upper;
}

static void rng_fill(void *self, uint8_t *bytes, uint32_t length) { host_random(bytes, length); }
static uint32_t rng_below(void *self, uint32_t upper) { return random_below(upper); }

static const Random_Funcs rng_funcs = {rng_fill, rng_below};
const Random host_rng = {&rng_funcs, NULL};

/* Replaces toxcore's os_random.c. */
const Random *os_random(void) { return &host_rng; }

/* These replace libsodium's randombytes.c. */
void randombytes(unsigned char *const buffer, const unsigned long long length) { host_random(buffer, (uint32_t)length); }
void randombytes_buf(void *const buffer, const size_t length) { host_random(buffer, length); }
uint32_t randombytes_random(void) { return random_word(); }
uint32_t randombytes_uniform(const uint32_t upper) { return random_below(upper); }

/* Every engine that runs this module has SIMD128, to which the SSE2 code is compiled. */
int sodium_runtime_has_sse2(void) { return 1; }
void sodium_misuse(void) { panic("libsodium was called wrongly"); }

/* -- sockets -- */

/* Returns the result of a call. If the call failed, sets the errno that toxcore then reads. */
static int or_errno(int result, int error)
{
    if (result < 0) {
        errno = error;
    }
    return result;
}

static Socket socket_or_errno(int native, int error) { return net_socket_from_native(or_errno(native, error)); }

static Socket net_open(void *obj, int domain, int type, int protocol)
{
    return socket_or_errno(host_socket(domain, type), EMFILE);
}

static int net_bind(void *obj, Socket sock, const IP_Port *address)
{
    return or_errno(host_bind(net_socket_to_native(sock), address), EADDRINUSE);
}

static int net_listen_on(void *obj, Socket sock, int backlog)
{
    return or_errno(host_listen(net_socket_to_native(sock), backlog), EADDRINUSE);
}

static Socket net_take(void *obj, Socket sock)
{
    return socket_or_errno(host_accept(net_socket_to_native(sock)), EWOULDBLOCK);
}

/* net_connect() accepts EINPROGRESS for a connection in progress. A refused connection looks like silence. */
static int net_connect_to(void *obj, Socket sock, const IP_Port *address)
{
    return or_errno(host_connect(net_socket_to_native(sock), address), EINPROGRESS);
}

static int net_recvbuf(void *obj, Socket sock) { return host_recv_buffered(net_socket_to_native(sock)); }

static int net_take_bytes(void *obj, Socket sock, uint8_t *into, size_t length)
{
    return or_errno(host_recv(net_socket_to_native(sock), into, length), EWOULDBLOCK);
}

static int net_recvfrom(void *obj, Socket sock, uint8_t *into, size_t length, IP_Port *from)
{
    return or_errno(host_recv_from(net_socket_to_native(sock), into, length, from), EWOULDBLOCK);
}

static int net_give_bytes(void *obj, Socket sock, const uint8_t *bytes, size_t length)
{
    return or_errno(host_send(net_socket_to_native(sock), bytes, length), EWOULDBLOCK);
}

static int net_sendto(void *obj, Socket sock, const uint8_t *bytes, size_t length, const IP_Port *to)
{
    return or_errno(host_send_to(net_socket_to_native(sock), bytes, length, to), EWOULDBLOCK);
}

static int net_close(void *obj, Socket sock) { return host_close(net_socket_to_native(sock)); }

/* The host's sockets are all non-blocking and dual-stack, and the host chooses their buffer sizes. */
static int net_nonblock(void *obj, Socket sock, bool nonblock) { return 0; }
static int net_setopt(void *obj, Socket sock, int level, int name, const void *value, size_t length) { return 0; }
static int net_getopt(void *obj, Socket sock, int level, int name, void *value, size_t *length)
{
    memset(value, 0, *length);
    return 0;
}

/* The host resolves names; only addresses arrive here. */
static int net_resolve(void *obj, const Memory *mem, const char *name, int family, int protocol, IP_Port **addresses)
{
    return 0;
}
static int net_free_addresses(void *obj, const Memory *mem, IP_Port *addresses) { return 0; }

static const Network_Funcs network_funcs = {
    .close = net_close,
    .accept = net_take,
    .bind = net_bind,
    .listen = net_listen_on,
    .connect = net_connect_to,
    .recvbuf = net_recvbuf,
    .recv = net_take_bytes,
    .recvfrom = net_recvfrom,
    .send = net_give_bytes,
    .sendto = net_sendto,
    .socket = net_open,
    .socket_nonblock = net_nonblock,
    .getsockopt = net_getopt,
    .setsockopt = net_setopt,
    .getaddrinfo = net_resolve,
    .freeaddrinfo = net_free_addresses,
};
const Network host_network = {&network_funcs, NULL};

/*
 * Replaces the function in toxcore's os_network.c, which build.sh renames. So nothing refers to POSIX
 * sockets.
 */
const Network *os_network(void) { return &host_network; }
