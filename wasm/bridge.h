/*
 * What the parts of the bridge share: imports from the host, exports to it, and the staging buffer. Host
 * functions never block and never throw through C: the host keeps a JavaScript exception until the outermost
 * call into wasm has returned.
 */
#ifndef BRIDGE_H
#define BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "toxcore/mem.h"
#include "toxcore/net.h"
#include "toxcore/rng.h"

#define IMPORT(name) __attribute__((import_module("host"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

/* Clocks, randomness, and the end of the module. */
IMPORT(monotonic_ms) double host_monotonic_ms(void);
IMPORT(wall_ms) double host_wall_ms(void);
IMPORT(random) void host_random(void *bytes, uint32_t length);
/* Never returns: the host throws, and never uses this memory again. */
IMPORT(panic) _Noreturn void host_panic(const char *message, uint32_t length);

/* Sockets. Addresses are IP_Port structs in place. See the Network interface in src/worker/net/network.ts. */
IMPORT(socket) int host_socket(int family, int type);
IMPORT(bind) int host_bind(int socket, const IP_Port *address);
IMPORT(listen) int host_listen(int socket, int backlog);
IMPORT(accept) int host_accept(int socket);
IMPORT(connect) int host_connect(int socket, const IP_Port *address);
IMPORT(recv_buffered) int host_recv_buffered(int socket);
IMPORT(recv) int host_recv(int socket, uint8_t *into, uint32_t length);
IMPORT(recv_from) int host_recv_from(int socket, uint8_t *into, uint32_t length, IP_Port *from);
IMPORT(send) int host_send(int socket, const uint8_t *bytes, uint32_t length);
IMPORT(send_to) int host_send_to(int socket, const uint8_t *bytes, uint32_t length, const IP_Port *to);
IMPORT(close) int host_close(int socket);

/* Events of the instance that was created with this id. */
IMPORT(on_log) void host_on_log(uint32_t id, int level, const char *function, const char *message);
IMPORT(on_self_path) void host_on_self_path(uint32_t id, int connection);
IMPORT(on_friend_request)
void host_on_friend_request(uint32_t id, const uint8_t *public_key, const uint8_t *message, uint32_t length);
IMPORT(on_friend_path) void host_on_friend_path(uint32_t id, uint32_t friend_number, int connection);
IMPORT(on_lossless) void host_on_lossless(uint32_t id, uint32_t friend_number, const uint8_t *packet, uint32_t length);
IMPORT(on_lossy) void host_on_lossy(uint32_t id, uint32_t friend_number, const uint8_t *packet, uint32_t length);

/* toxcore's vtables over those imports. */
extern const Network host_network;
extern const Random host_rng;
uint64_t host_monotonic(void *unused);

_Noreturn void panic(const char *message);

/* Buffer for the input and output of a call. It serves one call at a time. */
#define STAGING_SIZE 4096
extern uint8_t staging[STAGING_SIZE];

/* Flags of instance_create and node_create. constants.ts repeats them. */
#define FLAG_UDP 1
#define FLAG_IPV6 2
#define FLAG_LAN_DISCOVERY 4
#define FLAG_SECRET_KEY 8
#define FLAG_NOSPAM 16

#endif /* BRIDGE_H */
