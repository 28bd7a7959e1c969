/* What tells one Tox session with a friend from every other. */
#include <string.h>

#include "bridge.h"
#include "toxcore/Messenger.h"
#include "toxcore/crypto_core.h"
#include "toxcore/friend_connection.h"
#include "toxcore/net_crypto.h"
#include "toxcore/tox_struct.h"

/* With its NUL, which separates it from the key. */
static const char LABEL[] = "tox-wasm-tunnel session";

/*
 * The binding of the session with a friend: SHA-256 of a label and the session's key, the same at both ends.
 * Staging, out: the 32 bytes. Returns false while there is no session.
 */
EXPORT(instance_session_binding) bool instance_session_binding(const Tox *tox, uint32_t friend_number)
{
    const Messenger *const m = tox->m;
    uint8_t text[sizeof LABEL + CRYPTO_SHARED_KEY_SIZE];
    if (friend_number >= m->numfriends || m->friendlist[friend_number].status == NOFRIEND) return false;
    const int connection = friend_connection_crypt_connection_id(m->fr_c, m->friendlist[friend_number].friendcon_id);
    memcpy(text, LABEL, sizeof LABEL);
    if (!crypto_connection_session_key(m->net_crypto, connection, text + sizeof LABEL)) return false;
    crypto_sha256(staging, text, sizeof text);
    crypto_memzero(text, sizeof text);
    return true;
}
