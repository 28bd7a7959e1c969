/*
 * A bootstrap node, which has no friends: DHT, onion, onion announcements, forwarding, DHT announcements, and
 * a TCP relay. It stores no group announcements (see vendor/toxcore/patches).
 */
#include <string.h>

#include "bridge.h"
#include "toxcore/DHT.h"
#include "toxcore/LAN_discovery.h"
#include "toxcore/TCP_server.h"
#include "toxcore/announce.h"
#include "toxcore/crypto_core.h"
#include "toxcore/forwarding.h"
#include "toxcore/logger.h"
#include "toxcore/mono_time.h"
#include "toxcore/network.h"
#include "toxcore/onion.h"
#include "toxcore/onion_announce.h"
#include "toxcore/os_memory.h"
#include "toxcore/tox.h"

typedef struct Node {
    uint32_t id;
    uint32_t flags;
    uint16_t udp_port;
    uint64_t lan_sent_s;
    Logger *log;
    Mono_Time *time;
    Networking_Core *net;
    DHT *dht;
    Forwarding *forwarding;
    Announcements *announcements;
    Onion *onion;
    Onion_Announce *onion_announce;
    TCP_Server *relay;
    Broadcast_Info *broadcast;
} Node;

static void on_log(void *node, Logger_Level level, const char *file, uint32_t line, const char *function,
                   const char *message, void *unused)
{
    host_on_log(((const Node *)node)->id, level, function, message);
}

/*
 * The answer to a bootstrap info request: id byte, version (4 bytes, big endian), message of the day. A
 * request has 78 bytes, so that no answer is longer than its request. Source: other/bootstrap_node_packets.c
 * of toxcore.
 */
#define INFO_REQUEST_LENGTH 78
static const char info_message[] = "tox-wasm-tunnel";

static int on_info_request(void *node, const IP_Port *source, const uint8_t *packet, uint16_t length, void *unused)
{
    uint8_t answer[1 + 4 + sizeof(info_message)] = {BOOTSTRAP_INFO_PACKET_ID};
    _Static_assert(sizeof(answer) <= INFO_REQUEST_LENGTH, "an answer must not amplify");
    if (length != INFO_REQUEST_LENGTH) {
        return 1;
    }
    net_pack_u32(answer + 1, TOX_VERSION_MAJOR * 1000000 + TOX_VERSION_MINOR * 1000 + TOX_VERSION_PATCH);
    memcpy(answer + 5, info_message, sizeof(info_message));
    const Net_Packet out = {answer, sizeof(answer)};
    return net_send_packet(((const Node *)node)->net, source, out) == sizeof(answer) ? 0 : 1;
}

EXPORT(node_kill) void node_kill(Node *node)
{
    const Memory *const mem = os_memory();
    lan_discovery_kill(node->broadcast);
    kill_tcp_server(node->relay);
    kill_onion_announce(node->onion_announce);
    kill_onion(node->onion);
    kill_announcements(node->announcements);
    kill_forwarding(node->forwarding);
    kill_dht(node->dht);
    kill_networking(node->net);
    mono_time_free(mem, node->time);
    logger_kill(node->log);
    mem_delete(mem, node);
}

/*
 * Creates the parts of a node. Returns false when one of them cannot be created, and leaves that part null.
 */
static bool fill(Node *node, const Memory *mem, uint16_t tcp_port)
{
    node->log = logger_new(mem);
    if (node->log == NULL) {
        return false;
    }
    logger_callback_log(node->log, on_log, node, NULL);
    node->time = mono_time_new(mem, host_monotonic, NULL);
    if (node->time == NULL) {
        return false;
    }
    IP any;
    ip_init(&any, (node->flags & FLAG_IPV6) != 0);
    node->net = new_networking_ex(node->log, mem, &host_network, &any, node->udp_port, node->udp_port, NULL);
    if (node->net == NULL) {
        return false;
    }
    const bool lan = (node->flags & FLAG_LAN_DISCOVERY) != 0;
    node->dht = new_dht(node->log, mem, &host_rng, &host_network, node->time, node->net, true, lan);
    if (node->dht == NULL) {
        return false;
    }
    if ((node->flags & FLAG_SECRET_KEY) != 0) {
        /* First, because the other parts copy the keys. */
        uint8_t public_key[CRYPTO_PUBLIC_KEY_SIZE];
        crypto_derive_public_key(public_key, staging);
        dht_set_self_public_key(node->dht, public_key);
        dht_set_self_secret_key(node->dht, staging);
    }
    node->forwarding = new_forwarding(node->log, mem, &host_rng, node->time, node->dht, node->net);
    if (node->forwarding == NULL) {
        return false;
    }
    node->announcements =
        new_announcements(node->log, mem, &host_rng, node->time, node->forwarding, node->dht, node->net);
    node->onion = new_onion(node->log, mem, node->time, &host_rng, node->dht, node->net);
    node->onion_announce = new_onion_announce(node->log, mem, &host_rng, node->time, node->dht, node->net);
    if (node->announcements == NULL || node->onion == NULL || node->onion_announce == NULL) {
        return false;
    }
    networking_registerhandler(node->net, BOOTSTRAP_INFO_PACKET_ID, on_info_request, node);
    if (lan) {
        node->broadcast = lan_discovery_init(mem, &host_network);
    }
    if (tcp_port == 0) {
        return true;
    }
    node->relay = new_tcp_server(node->log, mem, &host_rng, &host_network, (node->flags & FLAG_IPV6) != 0, 1, &tcp_port,
                                 dht_get_self_secret_key(node->dht), node->onion, node->forwarding);
    return node->relay != NULL;
}

/*
 * Creates a node. Returns it, or minus a Tox_Err_New. Staging: DHT secret key (32), used with
 * FLAG_SECRET_KEY.
 */
EXPORT(node_create) intptr_t node_create(uint32_t id, uint32_t flags, uint32_t udp_port, uint32_t tcp_port)
{
    const Memory *const mem = os_memory();
    Node *node = (Node *)mem_alloc(mem, sizeof(Node));
    if (node == NULL) {
        return -TOX_ERR_NEW_MALLOC;
    }
    node->id = id;
    node->flags = flags;
    node->udp_port = (uint16_t)udp_port;
    if (fill(node, mem, (uint16_t)tcp_port)) {
        return (intptr_t)node;
    }
    const bool no_port = node->net == NULL ? node->time != NULL : node->onion_announce != NULL;
    node_kill(node);
    return no_port ? -TOX_ERR_NEW_PORT_ALLOC : -TOX_ERR_NEW_MALLOC;
}

static void say_hello_to_lan(Node *node)
{
    if (node->broadcast == NULL || !mono_time_is_timeout(node->time, node->lan_sent_s, LAN_DISCOVERY_INTERVAL)) {
        return;
    }
    const uint8_t *const key = dht_get_self_public_key(node->dht);
    /* Other nodes listen on the default port, or on one that they were given, which is often ours. */
    lan_discovery_send(node->net, node->broadcast, key, net_htons(TOX_PORT_DEFAULT));
    if (node->udp_port != TOX_PORT_DEFAULT) {
        lan_discovery_send(node->net, node->broadcast, key, net_htons(node->udp_port));
    }
    node->lan_sent_s = mono_time_get(node->time);
}

EXPORT(node_iterate) void node_iterate(Node *node)
{
    mono_time_update(node->time);
    networking_poll(node->net, NULL);
    do_dht(node->dht);
    say_hello_to_lan(node);
    if (node->relay != NULL) {
        do_tcp_server(node->relay, node->time);
    }
}

EXPORT(node_poll) void node_poll(Node *node)
{
    mono_time_update(node->time);
    networking_poll(node->net, NULL);
}

/* Writes to staging: public key (32), secret key (32). */
EXPORT(node_identity) void node_identity(const Node *node)
{
    memcpy(staging, dht_get_self_public_key(node->dht), CRYPTO_PUBLIC_KEY_SIZE);
    memcpy(staging + CRYPTO_PUBLIC_KEY_SIZE, dht_get_self_secret_key(node->dht), CRYPTO_SECRET_KEY_SIZE);
}

EXPORT(node_is_connected) bool node_is_connected(const Node *node) { return dht_isconnected(node->dht); }

/* Staging: key (32), then a numeric address that ends with NUL. */
EXPORT(node_bootstrap) bool node_bootstrap(Node *node, uint32_t port)
{
    IP_Port at;
    ipport_reset(&at);
    at.port = net_htons((uint16_t)port);
    return addr_parse_ip((const char *)staging + CRYPTO_PUBLIC_KEY_SIZE, &at.ip) &&
           ((node->flags & FLAG_IPV6) != 0 || net_family_is_ipv4(at.ip.family)) &&
           dht_bootstrap(node->dht, &at, staging);
}
