/* Paths to friends: changed addresses, and relays as a fallback. */
#include <string.h>

#include "bridge.h"
#include "toxcore/DHT.h"
#include "toxcore/Messenger.h"
#include "toxcore/friend_connection.h"
#include "toxcore/net_crypto.h"
#include "toxcore/network.h"
#include "toxcore/ping.h"
#include "toxcore/tox_struct.h"

/*
 * Pings the friend's DHT address. If our address is new, the friend sees the ping arrive from it and asks
 * there who we are (patch 0004). Only we can answer, and after that the friend sends its packets there.
 * Returns false when no address of the friend is known.
 */
EXPORT(instance_seek_friend) bool instance_seek_friend(Tox *tox, uint32_t friend_number)
{
    const Messenger *const m = tox->m;
    uint8_t key[CRYPTO_PUBLIC_KEY_SIZE];
    IP_Port address;
    if (friend_number >= m->numfriends || m->friendlist[friend_number].status == NOFRIEND) return false;
    if (get_friendcon_public_keys(NULL, key, m->fr_c, m->friendlist[friend_number].friendcon_id) != 0) return false;
    if (dht_getfriendip(m->dht, key, &address) != 1) return false;
    ping_send_request(dht_get_ping(m->dht), &address, key);
    return true;
}

/*
 * Adds a relay for the connection to this friend, who must add the same one. toxcore tells a friend only
 * about relays that it is connected to at that moment. With UDP there are none, so nothing could take over
 * when UDP fails. The relay sleeps, unconnected, while the friend is reached directly. Staging: as for
 * instance_bootstrap. Returns false when the friend is offline.
 */
EXPORT(instance_add_friend_relay) bool instance_add_friend_relay(Tox *tox, uint32_t friend_number, uint32_t port)
{
    const Messenger *const m = tox->m;
    IP_Port relay;
    memset(&relay, 0, sizeof relay);
    if (friend_number >= m->numfriends || m->friendlist[friend_number].status != FRIEND_ONLINE) return false;
    if (!addr_parse_ip((const char *)staging + TOX_PUBLIC_KEY_SIZE, &relay.ip)) return false;
    relay.port = net_htons(port);
    const int connection = friend_connection_crypt_connection_id(m->fr_c, m->friendlist[friend_number].friendcon_id);
    return add_tcp_relay_peer(m->net_crypto, connection, &relay, staging) == 0;
}
