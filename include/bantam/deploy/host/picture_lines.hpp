// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/deploy/host/lanes.hpp>

#include <cstddef>
#include <cstdint>

namespace bantam::deploy::host {

/// What every byte of a picture becomes, by color.
struct PixelTable {
    alignas(64) std::uint8_t values[4][256];
};

/// A line of a picture of `Colors` colors as words of a pixel's colors and zeros, in quads of 16 bytes.
template <int Colors>
void convert_picture_line(const std::uint8_t* picture, int width, const PixelTable& table, std::uint8_t* out) {
    int x = 0;
#if BANTAM_INT8_LANES == 16
    // 16 pixels: their bytes spread over the words, then looked up once per color.
    alignas(64) std::uint8_t spread[64];
    for (int i = 0; i < 64; ++i) spread[i] = static_cast<std::uint8_t>(i / 4 * Colors + i % 4);
    const __m512i order = _mm512_load_si512(spread);
    __m512i parts[std::size_t{Colors}][4];
    for (int color = 0; color < Colors; ++color)
        for (int i = 0; i < 4; ++i) parts[color][i] = _mm512_load_si512(table.values[color] + 64 * i);
    constexpr __mmask64 loaded = ~std::uint64_t{0} >> (64 - 16 * Colors);
    constexpr __mmask64 first_bytes = 0x1111111111111111;
    for (; x + 16 <= width; x += 16) {
        const __m512i bytes =
            _mm512_maskz_permutexvar_epi8(~__mmask64{0}, order, _mm512_maskz_loadu_epi8(loaded, picture + x * Colors));
        const __mmask64 upper = _mm512_movepi8_mask(bytes);
        __m512i result = _mm512_set1_epi8(static_cast<char>(table.values[3][0]));
        for (int color = 0; color < Colors; ++color) {
            const __mmask64 here = first_bytes << color;
            result = _mm512_mask_mov_epi8(result, here & ~upper,
                                          _mm512_permutex2var_epi8(parts[color][0], bytes, parts[color][1]));
            result = _mm512_mask_mov_epi8(result, here & upper,
                                          _mm512_permutex2var_epi8(parts[color][2], bytes, parts[color][3]));
        }
        _mm512_storeu_si512(out + x * 4, result);
    }
#endif
    for (; x < width; ++x)
        for (int color = 0; color < 4; ++color)
            out[x * 4 + color] = color < Colors ? table.values[color][picture[x * Colors + color]] : table.values[3][0];
}

}  // namespace bantam::deploy::host
