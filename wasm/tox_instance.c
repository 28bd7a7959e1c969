/* One Tox instance: identity, friends, packets. Bytes pass through the staging buffer. */
#include <string.h>

#include "bridge.h"
#include "knocks.h"
#include "toxcore/Messenger.h"
#include "toxcore/friend_requests.h"
#include "toxcore/os_memory.h"
#include "toxcore/tox.h"
#include "toxcore/tox_options.h"
#include "toxcore/tox_private.h"
#include "toxcore/tox_struct.h"

static uint32_t id_of(void *user_data) { return (uint32_t)(uintptr_t)user_data; }

static void on_log(Tox *tox, Tox_Log_Level level, const char *file, uint32_t line, const char *function,
                   const char *message, void *id)
{
    host_on_log(id_of(id), level, function, message);
}

static void on_self_path(Tox *tox, Tox_Connection connection, void *id) { host_on_self_path(id_of(id), connection); }

/*
 * toxcore reports only the first request of a sender until it has forgotten that one. A request with a ticket
 * that was not valid at that moment, or one that was lost in a flood, would then keep its sender out.
 */
static void on_friend_request(Tox *tox, const uint8_t *public_key, const uint8_t *message, size_t length, void *id)
{
    remove_request_received(tox->m->fr, public_key);
    host_on_friend_request(id_of(id), public_key, message, length);
}

static void on_friend_path(Tox *tox, uint32_t friend_number, Tox_Connection connection, void *id)
{
    host_on_friend_path(id_of(id), friend_number, connection);
}

static void on_lossless(Tox *tox, uint32_t friend_number, const uint8_t *packet, size_t length, void *id)
{
    host_on_lossless(id_of(id), friend_number, packet, length);
}

static void on_lossy(Tox *tox, uint32_t friend_number, const uint8_t *packet, size_t length, void *id)
{
    host_on_lossy(id_of(id), friend_number, packet, length);
}

/*
 * Creates an instance. Returns it, or minus a Tox_Err_New. Staging: secret key (32), used with
 * FLAG_SECRET_KEY; nospam (4), used with FLAG_NOSPAM. Nothing else carries over from an earlier run, so no
 * friend does.
 */
EXPORT(instance_create) intptr_t instance_create(uint32_t id, uint32_t flags, uint32_t udp_port)
{
    const uint8_t *const nospam = staging + TOX_SECRET_KEY_SIZE;
    const Tox_System machine = {host_monotonic, NULL, &host_rng, &host_network, os_memory()};
    const Tox_Options_Testing testing = {&machine};
    Tox_Err_New error = TOX_ERR_NEW_MALLOC;
    Tox_Options *options = tox_options_new(NULL);
    if (options == NULL) {
        return -TOX_ERR_NEW_MALLOC;
    }
    tox_options_set_udp_enabled(options, (flags & FLAG_UDP) != 0);
    tox_options_set_ipv6_enabled(options, (flags & FLAG_IPV6) != 0);
    tox_options_set_local_discovery_enabled(options, (flags & FLAG_LAN_DISCOVERY) != 0);
    tox_options_set_start_port(options, udp_port);
    tox_options_set_end_port(options, udp_port);
    tox_options_set_experimental_disable_dns(options, true);
    tox_options_set_log_callback(options, on_log);
    tox_options_set_log_user_data(options, (void *)(uintptr_t)id);
    if ((flags & FLAG_SECRET_KEY) != 0) {
        tox_options_set_savedata_type(options, TOX_SAVEDATA_TYPE_SECRET_KEY);
        tox_options_set_savedata_data(options, staging, TOX_SECRET_KEY_SIZE);
    }
    Tox *tox = tox_new_testing(options, &error, &testing, NULL);
    tox_options_free(options);
    if (tox == NULL) {
        return -(intptr_t)error;
    }
    if (!knocks_start(tox, id)) {
        tox_kill(tox);
        return -TOX_ERR_NEW_MALLOC;
    }
    if ((flags & FLAG_NOSPAM) != 0) {
        tox_self_set_nospam(tox, (uint32_t)nospam[0] << 24 | nospam[1] << 16 | nospam[2] << 8 | nospam[3]);
    }
    tox_callback_self_connection_status(tox, on_self_path);
    tox_callback_friend_request(tox, on_friend_request);
    tox_callback_friend_connection_status(tox, on_friend_path);
    tox_callback_friend_lossless_packet(tox, on_lossless);
    tox_callback_friend_lossy_packet(tox, on_lossy);
    return (intptr_t)tox;
}

EXPORT(instance_kill) void instance_kill(Tox *tox)
{
    tox_kill(tox);
    knocks_stop(tox);
}

EXPORT(instance_iterate) void instance_iterate(Tox *tox, uint32_t id) { tox_iterate(tox, (void *)(uintptr_t)id); }

EXPORT(instance_poll) void instance_poll(Tox *tox, uint32_t id) { tox_poll(tox, (void *)(uintptr_t)id); }

EXPORT(instance_interval_ms) uint32_t instance_interval_ms(const Tox *tox) { return tox_iteration_interval(tox); }

/* Writes to staging: address (38), public key (32), secret key (32), DHT id (32). */
EXPORT(instance_identity) void instance_identity(const Tox *tox)
{
    uint8_t *out = staging;
    tox_self_get_address(tox, out);
    tox_self_get_public_key(tox, out += TOX_ADDRESS_SIZE);
    tox_self_get_secret_key(tox, out += TOX_PUBLIC_KEY_SIZE);
    tox_self_get_dht_id(tox, out + TOX_SECRET_KEY_SIZE);
}

/* 0 without UDP. */
EXPORT(instance_udp_port) uint32_t instance_udp_port(const Tox *tox) { return tox_self_get_udp_port(tox, NULL); }

/* Staging: key (32), then a numeric address that ends with NUL. */
EXPORT(instance_bootstrap) bool instance_bootstrap(Tox *tox, uint32_t port)
{
    return tox_bootstrap(tox, (const char *)staging + TOX_PUBLIC_KEY_SIZE, port, staging, NULL);
}

/* Staging: as for instance_bootstrap. */
EXPORT(instance_add_relay) bool instance_add_relay(Tox *tox, uint32_t port)
{
    return tox_add_tcp_relay(tox, (const char *)staging + TOX_PUBLIC_KEY_SIZE, port, staging, NULL);
}

static int32_t friend_or_error(uint32_t friend_number, Tox_Err_Friend_Add error)
{
    return error == TOX_ERR_FRIEND_ADD_OK ? (int32_t)friend_number : -(int32_t)error;
}

/* Returns the friend's number, or minus a Tox_Err_Friend_Add. Staging: address (38), then the message. */
EXPORT(instance_add_friend) int32_t instance_add_friend(Tox *tox, uint32_t message_length)
{
    Tox_Err_Friend_Add error;
    const uint32_t number = tox_friend_add(tox, staging, staging + TOX_ADDRESS_SIZE, message_length, &error);
    return friend_or_error(number, error);
}

/* Like instance_add_friend, but without a request. Staging: public key (32). */
EXPORT(instance_accept_friend) int32_t instance_accept_friend(Tox *tox)
{
    Tox_Err_Friend_Add error;
    const uint32_t number = tox_friend_add_norequest(tox, staging, &error);
    if (error == TOX_ERR_FRIEND_ADD_OK) knocks_friend_added(tox, staging);
    return friend_or_error(number, error);
}

/* Returns the friend's number, or -1. Staging: public key (32). */
EXPORT(instance_find_friend) int32_t instance_find_friend(const Tox *tox)
{
    Tox_Err_Friend_By_Public_Key error;
    const uint32_t number = tox_friend_by_public_key(tox, staging, &error);
    return error == TOX_ERR_FRIEND_BY_PUBLIC_KEY_OK ? (int32_t)number : -1;
}

/*
 * Sends the request of instance_add_friend again, as if the friend had never answered it. The friend may have
 * restarted, and a restart forgets friends. toxcore itself never sends a request again to a friend that has
 * been online. Returns false when the friend is online, does not exist, or was not added with a request.
 */
EXPORT(instance_ask_again) bool instance_ask_again(Tox *tox, uint32_t friend_number)
{
    Messenger *const m = tox->m;
    if (friend_number >= m->numfriends) return false;
    Friend *const f = &m->friendlist[friend_number];
    if (f->status != FRIEND_CONFIRMED || f->info_size == 0) return false;
    f->friendrequest_timeout = FRIENDREQUEST_TIMEOUT;
    f->status = FRIEND_ADDED;
    return true;
}

/*
 * Sets the request that instance_ask_again sends to a friend that was accepted, and has never been sent one. Its
 * program may restart without us among its friends. Returns false when there is no such friend, or the message is
 * too long. Staging: address (38), then the message.
 */
EXPORT(instance_set_request) bool instance_set_request(Tox *tox, uint32_t friend_number, uint32_t message_length)
{
    Messenger *const m = tox->m;
    if (friend_number >= m->numfriends || m->friendlist[friend_number].status == NOFRIEND) return false;
    Friend *const f = &m->friendlist[friend_number];
    if (message_length == 0 || message_length > sizeof f->info) return false;
    memcpy(f->info, staging + TOX_ADDRESS_SIZE, message_length);
    f->info_size = message_length;
    memcpy(&f->friendrequest_nospam, staging + TOX_PUBLIC_KEY_SIZE, sizeof f->friendrequest_nospam);
    (void)instance_ask_again(tox, friend_number);
    return true;
}

EXPORT(instance_delete_friend) bool instance_delete_friend(Tox *tox, uint32_t friend_number)
{
    return tox_friend_delete(tox, friend_number, NULL);
}

/* Returns a Tox_Connection; TOX_CONNECTION_NONE for a friend that does not exist. */
EXPORT(instance_friend_path) int instance_friend_path(const Tox *tox, uint32_t friend_number)
{
    return tox_friend_get_connection_status(tox, friend_number, NULL);
}

/* Returns a Tox_Err_Friend_Custom_Packet. Staging: the packet, which starts with its id byte. */
EXPORT(instance_send_lossless) int instance_send_lossless(Tox *tox, uint32_t friend_number, uint32_t length)
{
    Tox_Err_Friend_Custom_Packet error;
    tox_friend_send_lossless_packet(tox, friend_number, staging, length, &error);
    return error;
}

/* Returns a Tox_Err_Friend_Custom_Packet. Staging: the packet, which starts with its id byte. */
EXPORT(instance_send_lossy) int instance_send_lossy(Tox *tox, uint32_t friend_number, uint32_t length)
{
    Tox_Err_Friend_Custom_Packet error;
    tox_friend_send_lossy_packet(tox, friend_number, staging, length, &error);
    return error;
}
