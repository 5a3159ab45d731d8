// Half precision (IEEE binary16) as the device converts it: to nearest even, a NaN to 0x7fff.
#pragma once

#include <cstdint>
#include <cstring>

struct __half {
    uint16_t bits;
};

namespace host {
inline uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
inline float float_of(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
}  // namespace host

inline float __half2float(__half half) {
    uint32_t sign = uint32_t(half.bits & 0x8000) << 16, exponent = half.bits >> 10 & 31, fraction = half.bits & 1023;
    if (exponent == 31) {
        return host::float_of(sign | 0x7f80'0000 | fraction << 13);
    }
    if (exponent == 0) {
        // Steps of 2^-24.
        float small = float(fraction) * 0x1p-24f;
        return sign ? -small : small;
    }
    return host::float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

inline __half __float2half_rn(float value) {
    uint32_t bits = host::bits_of(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fff'ffff;
    if (size > 0x7f80'0000) {
        return {0x7fff};
    }
    // From halfway between the largest half, 65504, and the next one that there is no room for.
    if (size >= 0x477f'f000) {
        return {uint16_t(sign | 0x7c00)};
    }
    // Below 2^-14 halves are steps of 2^-24, and adding 2^-1 leaves just that many bits, rounded to nearest even.
    if (size < 0x3880'0000) {
        return {uint16_t(sign | (host::bits_of(host::float_of(size) + 0.5f) - host::bits_of(0.5f)))};
    }
    uint32_t odd = size >> 13 & 1;
    return {uint16_t(sign | (size - 0x3800'0000 + 0xfff + odd) >> 13)};
}
