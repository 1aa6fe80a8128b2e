/* Sec-WebSocket-Accept (RFC 6455, 4.2.2): the SHA-1 (RFC 3174) of the key and a fixed text, in base 64. */
#include "loadgen.h"

#include <stdio.h>
#include <string.h>

static uint32_t left(uint32_t value, int by) {
    return value << by | value >> (32 - by);
}

static void block(uint32_t state[5], const unsigned char *bytes) {
    uint32_t words[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int t = 0; t < 16; t++, bytes += 4)
        words[t] = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
    for (int t = 16; t < 80; t++) words[t] = left(words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16], 1);
    for (int t = 0; t < 80; t++) {
        uint32_t mixed = t < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                         : t < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                         : t < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                                  : (b ^ c ^ d) + 0xca62c1d6;
        uint32_t next = left(a, 5) + mixed + e + words[t];
        e = d;
        d = c;
        c = left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* `accept` has room for 29 characters; `key` has at most 63. */
void websocket_accept(const char *key, char *accept) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char text[128] = {0}, hash[21] = {0};
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t size = (size_t)snprintf((char *)text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    size_t blocks = (size + 9 + 63) / 64;
    text[size] = 0x80;
    for (int i = 0; i < 8; i++) text[blocks * 64 - 1 - (size_t)i] = (unsigned char)((uint64_t)size * 8 >> (8 * i));
    for (size_t i = 0; i < blocks; i++) block(state, text + i * 64);
    for (int i = 0; i < 20; i++) hash[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
    for (int i = 0; i < 7; i++) {
        uint32_t three = (uint32_t)hash[i * 3] << 16 | (uint32_t)hash[i * 3 + 1] << 8 | hash[i * 3 + 2];
        for (int j = 0; j < 4; j++) *accept++ = digits[three >> (18 - 6 * j) & 63];
    }
    accept[-1] = '=';
    *accept = 0;
}
