/*
 * cert.h - a certificate made on the spot, signed by its own key, for `gatehouse proxy`.
 *
 * For trying out and for development: clients are to be told to trust just this file. Knows OpenSSL and two
 * files; not what they are for.
 */
#pragma once

#include "core/base.h"

/*
 * Makes sure that dir (an existing directory of ours) holds NAME.crt and NAME.key for a host of that name,
 * and for localhost, 127.0.0.1 and ::1. A pair that is there and good for another week is kept. Returns NULL,
 * or what could not be done; errno may say why.
 */
const char *cert_make(const char *dir, const char *name) MUST_USE;
