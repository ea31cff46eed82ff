/*
 * huffman.h - the static Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), both ways, without I/O.
 */
#pragma once

#include "core/base.h"

/* Encoded length of s in bytes, padding included. */
size_t huff_encoded_bytes(struct str s);
/* Writes exactly huff_encoded_bytes(s) bytes. */
void huff_encode(struct str s, uint8_t *out);
/* No string of n bytes decodes to more than this. */
static inline size_t huff_decoded_max(size_t n)
{
	return n * 8 / 5;
}
/*
 * Decodes n bytes into out (huff_decoded_max(n) bytes of room). Returns bytes written, or -1 when the
 * string holds EOS, or is padded with more than 7 bits or with anything but EOS's first bits.
 */
ssize_t huff_decode(const uint8_t *p, size_t n, char *out) MUST_USE;
