/* Friends whose address, or ours, has changed. */
#include "bridge.h"
#include "toxcore/DHT.h"
#include "toxcore/Messenger.h"
#include "toxcore/friend_connection.h"
#include "toxcore/ping.h"
#include "toxcore/tox_struct.h"

/*
 * Pings the friend's DHT address. When ours is new the friend sees the ping come from it, asks it back (patch 0004) and,
 * by the answer that only we can give, moves its packets there. False when no address of the friend's is known.
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
