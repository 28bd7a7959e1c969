/*
 * Knocks: packets to a peer at the place where it was last reached, without any search. A knock says who we are and
 * under which DHT key we are reached now, and repeats our friend request if there is one. The place is a guess:
 * only the peer can read the knock, and connections authenticate both ends as always.
 *
 * A knock is a DHT request (NET_PACKET_CRYPTO) to the peer's DHT key:
 *
 *   our public key (32), nonce (24), box for the peer's public key:
 *     milliseconds since 1970 (8), our DHT key (32), then nospam (4) and message if it is a friend request
 */
#include <stdlib.h>
#include <string.h>

#include "bridge.h"
#include "knocks.h"
#include "toxcore/DHT.h"
#include "toxcore/Messenger.h"
#include "toxcore/TCP_connection.h"
#include "toxcore/crypto_core.h"
#include "toxcore/friend_connection.h"
#include "toxcore/friend_requests.h"
#include "toxcore/mono_time.h"
#include "toxcore/net_crypto.h"
#include "toxcore/network.h"
#include "toxcore/tox_struct.h"

#define KEY CRYPTO_PUBLIC_KEY_SIZE
/* The id of a knock among DHT requests. toxcore uses 32, 156 and 254. */
#define PACKET_KNOCK 158
#define HEAD_SIZE (sizeof(uint64_t) + KEY)
#define ENVELOPE_SIZE (KEY + CRYPTO_NONCE_SIZE + CRYPTO_MAC_SIZE)
#define NOSPAM_SIZE sizeof(uint32_t)
#define MAX_KNOCK (MAX_CRYPTO_REQUEST_SIZE - 2 * KEY - CRYPTO_NONCE_SIZE - CRYPTO_MAC_SIZE - 2)

/* Peers whose last knock is kept, for the case that they become friends, and against replays. */
#define MAX_GUESTS 64
/* How long an address from a knock is used, in ms. */
#define GUEST_MS 10000

#define ADDRESS_SIZE 19
#define RELAY_SIZE (ADDRESS_SIZE + KEY)
#define MAX_ADDRESSES 2
#define MAX_RELAYS 4

typedef struct Guest {
    uint8_t public_key[KEY];
    uint8_t dht_key[KEY];
    IP_Port address; /* unspecified when the knock came over a relay */
    Node_format relay;
    bool has_relay;
    bool is_friend;
    uint64_t stamp;
    uint64_t heard_ms;
} Guest;

struct Knocks {
    Tox *tox;
    uint32_t id;
    Guest guests[MAX_GUESTS];
    Knocks *next;
};

static Knocks *all;

static Knocks *knocks_of(const Tox *tox)
{
    Knocks *knocks = all;
    while (knocks != NULL && knocks->tox != tox) knocks = knocks->next;
    return knocks;
}

static Guest *guest_of(Knocks *knocks, const uint8_t *public_key)
{
    for (uint32_t i = 0; i < MAX_GUESTS; ++i) {
        Guest *const guest = &knocks->guests[i];
        if (guest->heard_ms != 0 && pk_equal(guest->public_key, public_key)) return guest;
    }
    return NULL;
}

static bool goes_before(const Guest *guest, const Guest *other)
{
    if (guest->is_friend != other->is_friend) return other->is_friend;
    return guest->heard_ms < other->heard_ms;
}

/* The entry of this guest: a new one replaces the one that was silent longest, and friends last. */
static Guest *entry_for(Knocks *knocks, const uint8_t *public_key)
{
    Guest *entry = guest_of(knocks, public_key);
    if (entry != NULL) return entry;
    entry = &knocks->guests[0];
    for (uint32_t i = 1; i < MAX_GUESTS; ++i) {
        if (goes_before(&knocks->guests[i], entry)) entry = &knocks->guests[i];
    }
    memset(entry, 0, sizeof *entry);
    memcpy(entry->public_key, public_key, KEY);
    return entry;
}

static void try_guest(const Knocks *knocks, int friendcon, const Guest *guest, void *user_data)
{
    Friend_Connections *const fr_c = knocks->tox->m->fr_c;
    const bool direct = !net_family_is_unspec(guest->address.ip.family);
    friend_con_try(fr_c, friendcon, guest->dht_key, direct ? &guest->address : NULL, user_data);
    if (guest->has_relay) friend_con_try_relay(fr_c, friendcon, &guest->relay.ip_port, guest->relay.public_key);
}

/* The friend with this key; NULL when there is none. */
static const Friend *friend_with(const Messenger *m, const uint8_t *public_key)
{
    for (uint32_t i = 0; i < m->numfriends; ++i) {
        const Friend *const f = &m->friendlist[i];
        if (f->status != NOFRIEND && pk_equal(f->real_pk, public_key)) return f;
    }
    return NULL;
}

/* Writes a knock to `packet`. Returns its length, or -1. */
static int make_knock(const Messenger *m, const uint8_t *public_key, const uint8_t *dht_key, const Friend *f, uint8_t *packet)
{
    uint8_t plain[MAX_KNOCK];
    uint8_t data[MAX_KNOCK];
    uint32_t size = HEAD_SIZE;
    net_pack_u64(plain, mono_time_get_ms(m->mono_time));
    memcpy(plain + sizeof(uint64_t), dht_get_self_public_key(m->dht), KEY);
    if (f != NULL && f->info_size > 0 && HEAD_SIZE + NOSPAM_SIZE + f->info_size + ENVELOPE_SIZE <= MAX_KNOCK) {
        memcpy(plain + size, &f->friendrequest_nospam, NOSPAM_SIZE);
        memcpy(plain + size + NOSPAM_SIZE, f->info, f->info_size);
        size += NOSPAM_SIZE + f->info_size;
    }
    memcpy(data, nc_get_self_public_key(m->net_crypto), KEY);
    random_nonce(&host_rng, data + KEY);
    if (encrypt_data(m->mem, public_key, nc_get_self_secret_key(m->net_crypto), data + KEY, plain, size,
                     data + KEY + CRYPTO_NONCE_SIZE) == -1) {
        return -1;
    }
    return create_request(m->mem, &host_rng, dht_get_self_public_key(m->dht), dht_get_self_secret_key(m->dht), packet,
                          dht_key, data, size + ENVELOPE_SIZE, PACKET_KNOCK);
}

static bool is_reached_at(const Messenger *m, int friendcon, const uint8_t *dht_key)
{
    uint8_t known[KEY];
    return get_friendcon_public_keys(NULL, known, m->fr_c, friendcon) == 0 && pk_equal(known, dht_key);
}

/* Whether the peer was heard at an address of its own lately, or found there by the search. */
static bool is_direct(const Messenger *m, int friendcon)
{
    bool direct = false;
    crypto_connection_status(m->net_crypto, friend_connection_crypt_connection_id(m->fr_c, friendcon), &direct, NULL);
    return direct;
}

/* Tells a guest our friend request, where it knocked: it may have restarted, and a restart forgets friends. */
static void answer(const Messenger *m, const Friend *f, const Guest *guest)
{
    uint8_t packet[MAX_CRYPTO_REQUEST_SIZE];
    const int length = make_knock(m, f->real_pk, guest->dht_key, f, packet);
    if (length == -1) return;
    if (guest->has_relay) {
        tcp_send_oob_packet_using_relay(nc_get_tcp_c(m->net_crypto), guest->relay.public_key, guest->dht_key, packet, length);
    } else {
        sendpacket(m->net, &guest->address, packet, length);
    }
}

/* A knock arrived, from an address or over a relay; the other is NULL. `data` is what DHT requests carry. */
static void on_knock(Knocks *knocks, const IP_Port *address, const Node_format *relay, const uint8_t *dht_key,
                    const uint8_t *data, uint32_t length, void *user_data)
{
    const Messenger *const m = knocks->tox->m;
    uint8_t plain[MAX_CRYPTO_REQUEST_SIZE];
    if (length < ENVELOPE_SIZE + HEAD_SIZE || length > MAX_CRYPTO_REQUEST_SIZE) return;
    const uint8_t *const public_key = data;
    const int32_t size = decrypt_data(m->mem, public_key, nc_get_self_secret_key(m->net_crypto), data + KEY,
                                      data + KEY + CRYPTO_NONCE_SIZE, length - KEY - CRYPTO_NONCE_SIZE, plain);
    if (size != (int32_t)(length - ENVELOPE_SIZE)) return;
    if (!pk_equal(dht_key, plain + sizeof(uint64_t))) return;

    const uint32_t request = size - HEAD_SIZE;
    const uint32_t nospam = get_nospam(m->fr);
    const bool asks = request > NOSPAM_SIZE && memcmp(plain + HEAD_SIZE, &nospam, NOSPAM_SIZE) == 0;
    const int friendcon = getfriend_conn_id_pk(m->fr_c, public_key);
    // A stranger who wants nothing would only take an entry from others.
    if (friendcon == -1 && !asks) return;

    uint64_t stamp;
    net_unpack_u64(plain, &stamp);
    Guest *const guest = entry_for(knocks, public_key);
    const bool connected = friend_con_connected(m->fr_c, friendcon) == FRIENDCONN_STATUS_CONNECTED;
    /* Otherwise an old knock, sent again by anyone, could end a connection. */
    if (connected && stamp <= guest->stamp) return;

    guest->is_friend = friendcon != -1;
    // Never back, or an old knock that comes while the friend is away would open the way for others.
    if (stamp > guest->stamp) guest->stamp = stamp;
    guest->heard_ms = mono_time_get_ms(m->mono_time);
    memcpy(guest->dht_key, dht_key, KEY);
    memset(&guest->address, 0, sizeof guest->address);
    if (address != NULL) guest->address = *address;
    guest->has_relay = relay != NULL;
    if (relay != NULL) guest->relay = *relay;
    const Friend *const f = friend_with(m, public_key);
    if (friendcon != -1 && !(connected && is_reached_at(m, friendcon, dht_key))) {
        try_guest(knocks, friendcon, guest, user_data);
        // Two ends that both ask would answer each other without end.
        if (f != NULL && f->info_size > 0 && request == 0) answer(m, f, guest);
    }
    // As in toxcore, a friend's request is not reported again.
    if (asks && f == NULL) {
        host_on_friend_request(knocks->id, public_key, plain + HEAD_SIZE + NOSPAM_SIZE, request - NOSPAM_SIZE);
    }
}

static int on_udp(void *object, const IP_Port *source, const uint8_t *dht_key, const uint8_t *data, uint16_t length,
                  void *user_data)
{
    on_knock(object, source, NULL, dht_key, data, length, user_data);
    return 0;
}

static void on_relayed(void *object, uint32_t relay_number, const uint8_t *packet, uint16_t length, void *user_data)
{
    Knocks *const knocks = object;
    const DHT *const dht = knocks->tox->m->dht;
    uint8_t dht_key[KEY];
    uint8_t data[MAX_CRYPTO_REQUEST_SIZE];
    uint8_t kind;
    Node_format relay;
    if (length > MAX_CRYPTO_REQUEST_SIZE) return;
    const int size = handle_request(knocks->tox->m->mem, dht_get_self_public_key(dht), dht_get_self_secret_key(dht),
                                    dht_key, data, &kind, packet, length);
    if (size <= 0 || kind != PACKET_KNOCK) return;
    if (!tcp_copy_relay(nc_get_tcp_c(knocks->tox->m->net_crypto), relay_number, &relay)) return;
    on_knock(knocks, NULL, &relay, dht_key, data, size, user_data);
}

bool knocks_start(Tox *tox, uint32_t id)
{
    Knocks *const knocks = calloc(1, sizeof *knocks);
    if (knocks == NULL) return false;
    knocks->tox = tox;
    knocks->id = id;
    knocks->next = all;
    all = knocks;
    cryptopacket_registerhandler(tox->m->dht, PACKET_KNOCK, on_udp, knocks);
    nc_relay_request_callback(tox->m->net_crypto, on_relayed, knocks);
    return true;
}

void knocks_stop(const Tox *tox)
{
    for (Knocks **at = &all; *at != NULL; at = &(*at)->next) {
        Knocks *const knocks = *at;
        if (knocks->tox != tox) continue;
        *at = knocks->next;
        free(knocks);
        return;
    }
}

void knocks_friend_added(const Tox *tox, const uint8_t *public_key)
{
    Knocks *const knocks = knocks_of(tox);
    Guest *const guest = knocks == NULL ? NULL : guest_of(knocks, public_key);
    if (guest == NULL) return;
    guest->is_friend = true;
    if (guest->heard_ms + GUEST_MS < mono_time_get_ms(tox->m->mono_time)) return;
    try_guest(knocks, getfriend_conn_id_pk(tox->m->fr_c, public_key), guest, NULL);
}

static const uint8_t *take_address(const uint8_t *in, IP_Port *address)
{
    memset(address, 0, sizeof *address);
    const bool is_ipv4 = in[0] == 4;
    address->ip.family = is_ipv4 ? net_family_ipv4() : net_family_ipv6();
    memcpy(is_ipv4 ? (void *)&address->ip.ip.v4 : (void *)&address->ip.ip.v6, in + 1, is_ipv4 ? 4 : 16);
    memcpy(&address->port, in + 17, 2);
    return in + ADDRESS_SIZE;
}

/*
 * Knocks at a peer where it was last reached. If it is a friend that is offline and whose DHT key is not known, the
 * connection is tried there too. Returns how many packets left: 0 for a friend that is online. Staging: public key (32),
 * DHT key (32), number of addresses, number of relays, addresses (19 each), relays (address and key, 51 each).
 */
EXPORT(instance_knock) uint32_t instance_knock(Tox *tox)
{
    const Messenger *const m = tox->m;
    uint8_t public_key[KEY];
    uint8_t dht_key[KEY];
    IP_Port addresses[MAX_ADDRESSES];
    Node_format relays[MAX_RELAYS];
    memcpy(public_key, staging, KEY);
    memcpy(dht_key, staging + KEY, KEY);
    const uint8_t *in = staging + 2 * KEY;
    const uint32_t address_count = in[0] < MAX_ADDRESSES ? in[0] : MAX_ADDRESSES;
    const uint32_t relay_count = in[1] < MAX_RELAYS ? in[1] : MAX_RELAYS;
    in += 2;
    for (uint32_t i = 0; i < address_count; ++i) in = take_address(in, &addresses[i]);
    for (uint32_t i = 0; i < relay_count; ++i) {
        in = take_address(in, &relays[i].ip_port);
        memcpy(relays[i].public_key, in, KEY);
        in += KEY;
    }

    const int friendcon = getfriend_conn_id_pk(m->fr_c, public_key);
    if (friend_con_connected(m->fr_c, friendcon) == FRIENDCONN_STATUS_CONNECTED) return 0;
    if (friendcon != -1) {
        uint8_t known[KEY];
        const uint8_t none[KEY] = {0};
        get_friendcon_public_keys(NULL, known, m->fr_c, friendcon);
        /* What the search has found is newer than our guess. */
        if (pk_equal(known, none) || pk_equal(known, dht_key)) {
            /* A handshake under way would fail: what comes from an address that net_crypto does not expect is dropped. */
            const uint32_t tried = is_direct(m, friendcon) ? 0 : address_count;
            if (tried == 0) friend_con_try(m->fr_c, friendcon, dht_key, NULL, NULL);
            for (uint32_t i = 0; i < tried; ++i) friend_con_try(m->fr_c, friendcon, dht_key, &addresses[i], NULL);
            for (uint32_t i = 0; i < relay_count; ++i) {
                friend_con_try_relay(m->fr_c, friendcon, &relays[i].ip_port, relays[i].public_key);
            }
        }
    }

    uint8_t packet[MAX_CRYPTO_REQUEST_SIZE];
    const int length = make_knock(m, public_key, dht_key, friend_with(m, public_key), packet);
    uint32_t sent = 0;
    if (length == -1) return 0;
    for (uint32_t i = 0; i < address_count; ++i) sent += sendpacket(m->net, &addresses[i], packet, length) == length;
    for (uint32_t i = 0; i < relay_count; ++i) {
        sent += tcp_send_oob_packet_using_relay(nc_get_tcp_c(m->net_crypto), relays[i].public_key, dht_key, packet, length) == 0;
    }
    return sent;
}

static uint8_t *put_address(uint8_t *out, const IP_Port *address)
{
    memset(out, 0, ADDRESS_SIZE);
    const bool is_ipv4 = net_family_is_ipv4(address->ip.family) || net_family_is_tcp_ipv4(address->ip.family);
    out[0] = is_ipv4 ? 4 : 6;
    memcpy(out + 1, is_ipv4 ? (const void *)&address->ip.ip.v4 : (const void *)&address->ip.ip.v6, is_ipv4 ? 4 : 16);
    memcpy(out + 17, &address->port, 2);
    return out + ADDRESS_SIZE;
}

/*
 * Writes to staging where a friend is reached, as instance_knock reads it. Returns false when the friend is not
 * online.
 */
EXPORT(instance_friend_place) bool instance_friend_place(const Tox *tox, uint32_t friend_number)
{
    const Messenger *const m = tox->m;
    if (friend_number >= m->numfriends || m->friendlist[friend_number].status != FRIEND_ONLINE) return false;
    const int friendcon = m->friendlist[friend_number].friendcon_id;
    const int connection = friend_connection_crypt_connection_id(m->fr_c, friendcon);
    uint8_t *const counts = staging + 2 * KEY;
    uint8_t *out = counts + 2;
    memset(counts, 0, 2);
    if (get_friendcon_public_keys(staging, staging + KEY, m->fr_c, friendcon) != 0) return false;

    IP_Port address;
    bool direct = false;
    crypto_connection_status(m->net_crypto, connection, &direct, NULL);
    if (dht_getfriendip(m->dht, staging + KEY, &address) != 1) {
        address = *friend_conn_get_dht_ip_port(get_conn(m->fr_c, friendcon));
    }
    if (direct && (net_family_is_ipv4(address.ip.family) || net_family_is_ipv6(address.ip.family))) {
        out = put_address(out, &address);
        ++counts[0];
    }
    Node_format relays[MAX_RELAYS];
    const uint32_t count = nc_copy_relays_of(m->net_crypto, connection, relays, MAX_RELAYS);
    for (uint32_t i = 0; i < count; ++i) {
        out = put_address(out, &relays[i].ip_port);
        memcpy(out, relays[i].public_key, KEY);
        out += KEY;
    }
    counts[1] = count;
    return true;
}
