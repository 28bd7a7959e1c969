/* How DHT nodes see our address: after any NAT. */
#include <string.h>

#include "bridge.h"
#include "toxcore/DHT.h"
#include "toxcore/Messenger.h"
#include "toxcore/mono_time.h"
#include "toxcore/network.h"
#include "toxcore/tox_struct.h"

/* Most nodes to report. Also the most nodes to ask, among those that have not reported our address. */
#define MAX_SEEN 16
#define MAX_ASKED 8
/* Family (4 or 6), 16 bytes of address, port in big endian. */
#define ADDRESS_SIZE 19

static uint8_t *put_address(uint8_t *out, const IP_Port *address)
{
    memset(out, 0, ADDRESS_SIZE);
    const bool is_ipv4 = net_family_is_ipv4(address->ip.family);
    out[0] = is_ipv4 ? 4 : 6;
    memcpy(out + 1, is_ipv4 ? (const void *)&address->ip.ip.v4 : (const void *)&address->ip.ip.v6, is_ipv4 ? 4 : 16);
    memcpy(out + 17, &address->port, 2);
    return out + ADDRESS_SIZE;
}

/*
 * Writes pairs of addresses to staging: that of a DHT node, and ours as the node has recently seen it
 * according to its DHT answers. Returns the number of pairs. Nodes that have not reported our address are
 * asked for nodes close to us, that is, for ourselves.
 */
EXPORT(instance_seen_addresses) uint32_t instance_seen_addresses(Tox *tox)
{
    _Static_assert(MAX_SEEN * 2 * ADDRESS_SIZE <= STAGING_SIZE, "they must fit");
    DHT *const dht = tox->m->dht;
    uint8_t *out = staging;
    uint32_t seen = 0;
    uint32_t asked = 0;
    for (uint32_t i = 0; i < LCLIENT_LIST && seen < MAX_SEEN; ++i) {
        const Client_data *const client = dht_get_close_client(dht, i);
        const IPPTsPng *const ways[] = {&client->assoc4, &client->assoc6};
        for (uint32_t way = 0; way < 2 && seen < MAX_SEEN; ++way) {
            const IPPTsPng *const at = ways[way];
            if (!ipport_isset(&at->ip_port) || mono_time_is_timeout(tox->m->mono_time, at->timestamp, BAD_NODE_TIMEOUT)) {
                continue;
            }
            const bool told = at->ret_ip_self && ipport_isset(&at->ret_ip_port) &&
                              !mono_time_is_timeout(tox->m->mono_time, at->ret_timestamp, BAD_NODE_TIMEOUT);
            if (told) {
                out = put_address(put_address(out, &at->ip_port), &at->ret_ip_port);
                ++seen;
            } else if (asked < MAX_ASKED) {
                dht_send_nodes_request(dht, &at->ip_port, client->public_key, dht_get_self_public_key(dht));
                ++asked;
            }
        }
    }
    return seen;
}
