/* What the instance needs of knocks.c. */
#ifndef KNOCKS_H
#define KNOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "toxcore/tox.h"

typedef struct Knocks Knocks;

/* Answers knocks from now on. Returns false without memory. */
bool knocks_start(Tox *tox, uint32_t id);
void knocks_stop(const Tox *tox);

/* Tries to reach a new friend at the place from which it has just knocked. */
void knocks_friend_added(const Tox *tox, const uint8_t *public_key);

#endif /* KNOCKS_H */
