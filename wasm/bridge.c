/* The module itself: start, end, staging buffer, and the numbers that TypeScript repeats. */
#include "bridge.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "toxcore/net_crypto.h"
#include "toxcore/network.h"
#include "toxcore/onion_announce.h"
#include "toxcore/tox.h"

#include <sodium.h>

uint8_t staging[STAGING_SIZE];

EXPORT(bridge_staging) uint8_t *bridge_staging(void) { return staging; }

extern int _crypto_stream_salsa20_pick_best_implementation(void);

/* Call this once, before anything else. It replaces sodium_init(), which would pull in all of libsodium. */
EXPORT(bridge_init) void bridge_init(void) { _crypto_stream_salsa20_pick_best_implementation(); }

/* Bytes that are allocated now. The memory itself never shrinks. Takes a step for each allocation. */
EXPORT(bridge_allocated_bytes) uint32_t bridge_allocated_bytes(void) { return (uint32_t)mallinfo().uordblks; }

_Noreturn void panic(const char *message)
{
    host_panic(message, strlen(message));
    __builtin_trap();
}

/*
 * toxcore's asserts stay enabled. A failed assert ends the module, which must not continue with corrupt
 * memory.
 */
_Noreturn void __assert_fail(const char *expression, const char *file, int line, const char *function)
{
    snprintf((char *)staging, sizeof(staging), "%s:%d %s: assertion '%s' failed", file, line, function, expression);
    panic((const char *)staging);
}

/*
 * Encrypts the content of the staging buffer: key (32), nonce (24), then `length` bytes. The result, 16 bytes
 * longer, replaces these bytes. The contract test compares it with another build of libsodium.
 */
EXPORT(bridge_seal) int bridge_seal(uint32_t length)
{
    static uint8_t plain[STAGING_SIZE], sealed[STAGING_SIZE];
    if (length > STAGING_SIZE - 128) {
        return -1;
    }
    memset(plain, 0, crypto_box_ZEROBYTES);
    memcpy(plain + crypto_box_ZEROBYTES, staging + 56, length);
    const int result = crypto_box_afternm(sealed, plain, length + crypto_box_ZEROBYTES, staging + 32, staging);
    memcpy(staging + 56, sealed + crypto_box_BOXZEROBYTES, length + crypto_box_MACBYTES);
    return result;
}

#define NUMBER(name) {#name, name}
static const struct {
    const char *name;
    int32_t value;
} constants[] = {
    NUMBER(TOX_VERSION_MAJOR),
    NUMBER(TOX_VERSION_MINOR),
    NUMBER(TOX_VERSION_PATCH),
    NUMBER(TOX_PUBLIC_KEY_SIZE),
    NUMBER(TOX_SECRET_KEY_SIZE),
    NUMBER(TOX_ADDRESS_SIZE),
    NUMBER(TOX_NOSPAM_SIZE),
    NUMBER(TOX_MAX_FRIEND_REQUEST_LENGTH),
    NUMBER(TOX_MAX_CUSTOM_PACKET_SIZE),
    NUMBER(TOX_CONNECTION_NONE),
    NUMBER(TOX_CONNECTION_TCP),
    NUMBER(TOX_CONNECTION_UDP),
    NUMBER(TOX_ERR_NEW_NULL),
    NUMBER(TOX_ERR_NEW_MALLOC),
    NUMBER(TOX_ERR_NEW_PORT_ALLOC),
    NUMBER(TOX_ERR_NEW_LOAD_BAD_FORMAT),
    NUMBER(TOX_ERR_FRIEND_ADD_NULL),
    NUMBER(TOX_ERR_FRIEND_ADD_TOO_LONG),
    NUMBER(TOX_ERR_FRIEND_ADD_NO_MESSAGE),
    NUMBER(TOX_ERR_FRIEND_ADD_OWN_KEY),
    NUMBER(TOX_ERR_FRIEND_ADD_ALREADY_SENT),
    NUMBER(TOX_ERR_FRIEND_ADD_BAD_CHECKSUM),
    NUMBER(TOX_ERR_FRIEND_ADD_SET_NEW_NOSPAM),
    NUMBER(TOX_ERR_FRIEND_ADD_MALLOC),
    NUMBER(TOX_ERR_FRIEND_CUSTOM_PACKET_OK),
    NUMBER(TOX_ERR_FRIEND_CUSTOM_PACKET_NULL),
    NUMBER(TOX_ERR_FRIEND_CUSTOM_PACKET_FRIEND_NOT_FOUND),
    NUMBER(TOX_ERR_FRIEND_CUSTOM_PACKET_FRIEND_NOT_CONNECTED),
    NUMBER(TOX_ERR_FRIEND_CUSTOM_PACKET_INVALID),
    NUMBER(TOX_ERR_FRIEND_CUSTOM_PACKET_EMPTY),
    NUMBER(TOX_ERR_FRIEND_CUSTOM_PACKET_TOO_LONG),
    NUMBER(TOX_ERR_FRIEND_CUSTOM_PACKET_SENDQ),
    NUMBER(TOX_LOG_LEVEL_TRACE),
    NUMBER(TOX_LOG_LEVEL_DEBUG),
    NUMBER(TOX_LOG_LEVEL_INFO),
    NUMBER(TOX_LOG_LEVEL_WARNING),
    NUMBER(TOX_LOG_LEVEL_ERROR),
    NUMBER(PACKET_ID_RANGE_LOSSLESS_CUSTOM_START),
    NUMBER(PACKET_ID_RANGE_LOSSLESS_CUSTOM_END),
    NUMBER(PACKET_ID_RANGE_LOSSY_CUSTOM_START),
    NUMBER(PACKET_ID_RANGE_LOSSY_CUSTOM_END),
    NUMBER(TOX_AF_INET),
    NUMBER(TOX_AF_INET6),
    NUMBER(TOX_SOCK_STREAM),
    NUMBER(TOX_SOCK_DGRAM),
    NUMBER(MAX_UDP_PACKET_SIZE),
    NUMBER(ONION_ANNOUNCE_REQUEST_MIN_SIZE),
    NUMBER(ONION_MAX_EXTRA_DATA_SIZE),
    NUMBER(ONION_RETURN_3),
    NUMBER(STAGING_SIZE),
    NUMBER(FLAG_UDP),
    NUMBER(FLAG_IPV6),
    NUMBER(FLAG_LAN_DISCOVERY),
    NUMBER(FLAG_SECRET_KEY),
    NUMBER(FLAG_NOSPAM),
};
#define CONSTANT_COUNT (sizeof(constants) / sizeof(constants[0]))

/* Returns the name of the number at `index`, which ends with NUL; null after the last one. */
EXPORT(bridge_constant_name) const char *bridge_constant_name(uint32_t index)
{
    return index < CONSTANT_COUNT ? constants[index].name : NULL;
}

EXPORT(bridge_constant_value) int32_t bridge_constant_value(uint32_t index)
{
    return index < CONSTANT_COUNT ? constants[index].value : 0;
}
