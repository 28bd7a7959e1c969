// A Tox client on the system's own toxcore, for tests. It reports what it does in lines on stdout.
//
//   native_client udp|tcp HOST PORT KEY [SECRET_KEY TOX_ID [HEX]]
//
// Joins through this bootstrap node, over UDP alone or through its TCP relay alone. With its own secret key
// and a Tox ID it sends a friend request; with HEX it sends these bytes as a lossless packet once the friend
// is online. Lines: "address HEX", "self none|tcp|udp", "friend none|tcp|udp", "lossless HEX",
// "error WORDS". Runs until it is killed.
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tox/tox.h>

static uint8_t hello[TOX_MAX_CUSTOM_PACKET_SIZE];
static size_t hello_length = 0;

static const char *path_name(Tox_Connection connection)
{
    return connection == TOX_CONNECTION_UDP ? "udp" : connection == TOX_CONNECTION_TCP ? "tcp" : "none";
}

static void say_hex(const char *name, const uint8_t *bytes, size_t length)
{
    printf("%s ", name);
    for (size_t i = 0; i < length; ++i) {
        printf("%02X", bytes[i]);
    }
    printf("\n");
}

static _Noreturn void fail(const char *words)
{
    printf("error %s\n", words);
    exit(1);
}

static size_t from_hex(const char *text, uint8_t *bytes, size_t size)
{
    const size_t length = strlen(text) / 2;
    if (length > size || strlen(text) % 2 != 0) {
        fail("hexadecimal bytes of the wrong length");
    }
    for (size_t i = 0; i < length; ++i) {
        unsigned int byte;
        if (sscanf(&text[2 * i], "%2x", &byte) != 1) {
            fail("not hexadecimal");
        }
        bytes[i] = (uint8_t)byte;
    }
    return length;
}

static void on_self(Tox *tox, Tox_Connection connection, void *unused)
{
    (void)tox;
    (void)unused;
    printf("self %s\n", path_name(connection));
}

static void on_friend(Tox *tox, uint32_t friend, Tox_Connection connection, void *unused)
{
    (void)unused;
    printf("friend %s\n", path_name(connection));
    if (connection != TOX_CONNECTION_NONE && hello_length > 0
            && !tox_friend_send_lossless_packet(tox, friend, hello, hello_length, NULL)) {
        printf("error the lossless packet was not sent\n");
    }
}

static void on_lossless(Tox *tox, uint32_t friend, const uint8_t *data, size_t length, void *unused)
{
    (void)tox;
    (void)friend;
    (void)unused;
    say_hex("lossless", data, length);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fail("usage: native_client udp|tcp HOST PORT KEY [SECRET_KEY TOX_ID [HEX]]");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *host = argv[2];
    const uint16_t port = (uint16_t)atoi(argv[3]);
    uint8_t key[TOX_PUBLIC_KEY_SIZE];
    from_hex(argv[4], key, sizeof key);

    struct Tox_Options *options = tox_options_new(NULL);
    tox_options_set_udp_enabled(options, strcmp(argv[1], "udp") == 0);
    tox_options_set_local_discovery_enabled(options, false);
    tox_options_set_ipv6_enabled(options, false);
    uint8_t secret_key[TOX_SECRET_KEY_SIZE];
    if (argc > 5) {
        if (from_hex(argv[5], secret_key, sizeof secret_key) != sizeof secret_key) {
            fail("a secret key has 64 digits");
        }
        tox_options_set_savedata_type(options, TOX_SAVEDATA_TYPE_SECRET_KEY);
        tox_options_set_savedata_data(options, secret_key, sizeof secret_key);
    }
    Tox *tox = tox_new(options, NULL);
    tox_options_free(options);
    if (tox == NULL) {
        fail("toxcore did not start");
    }
    tox_callback_self_connection_status(tox, on_self);
    tox_callback_friend_connection_status(tox, on_friend);
    tox_callback_friend_lossless_packet(tox, on_lossless);

    uint8_t address[TOX_ADDRESS_SIZE];
    tox_self_get_address(tox, address);
    say_hex("address", address, sizeof address);

    // Over UDP alone the relay stays unknown, so that it cannot be used.
    if (!tox_bootstrap(tox, host, port, key, NULL)
            || (strcmp(argv[1], "tcp") == 0 && !tox_add_tcp_relay(tox, host, port, key, NULL))) {
        fail("the bootstrap node was not taken");
    }
    if (argc > 6) {
        static const uint8_t words[] = "native client";
        if (from_hex(argv[6], address, sizeof address) != sizeof address) {
            fail("a Tox ID has 76 digits");
        }
        if (tox_friend_add(tox, address, words, sizeof words - 1, NULL) == UINT32_MAX) {
            fail("the friend was not added");
        }
    }
    if (argc > 7) {
        hello_length = from_hex(argv[7], hello, sizeof hello);
    }
    for (;;) {
        tox_iterate(tox, NULL);
        const struct timespec pause = {0, (long)tox_iteration_interval(tox) * 1000000L};
        nanosleep(&pause, NULL);
    }
}
