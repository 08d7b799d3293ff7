// SPDX-License-Identifier: MIT
#pragma once

#include "bantam/base/random.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#endif
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace bantam_test {

using Bytes = std::vector<std::uint8_t>;

/// A smooth picture [height][width][channels] that differs from seed to seed.
inline Bytes smooth_pixels(int height, int width, int channels, std::uint64_t seed = 0) {
    bantam::Random random{seed, 99};
    const double slope_x = random.uniform(0.5, 3);
    const double slope_y = random.uniform(0.5, 3);
    Bytes pixels;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int channel = 0; channel < channels; ++channel)
                pixels.push_back(
                    static_cast<std::uint8_t>(static_cast<int>(slope_x * x + slope_y * y + 40 * channel) % 200 + 20));
    return pixels;
}

inline void append_bytes(void* target, void* data, int size) {
    auto& bytes = *static_cast<Bytes*>(target);
    const auto* first = static_cast<const std::uint8_t*>(data);
    bytes.insert(bytes.end(), first, first + size);
}

inline Bytes png_of(const Bytes& pixels, int height, int width, int channels) {
    Bytes bytes;
    stbi_write_png_to_func(append_bytes, &bytes, width, height, channels, pixels.data(), width * channels);
    return bytes;
}

inline Bytes jpeg_of(const Bytes& pixels, int height, int width, int channels) {
    Bytes bytes;
    stbi_write_jpg_to_func(append_bytes, &bytes, width, height, channels, pixels.data(), 95);
    return bytes;
}

inline Bytes bmp_of(const Bytes& pixels, int height, int width, int channels) {
    Bytes bytes;
    stbi_write_bmp_to_func(append_bytes, &bytes, width, height, channels, pixels.data());
    return bytes;
}

inline Bytes first_bytes(Bytes bytes, std::size_t count) {
    bytes.resize(count);
    return bytes;
}

/// The position of a JPEG's start-of-frame marker.
inline std::size_t frame_of(const Bytes& jpeg) {
    for (std::size_t position = 2; position + 1 < jpeg.size();
         position += 2U + (std::size_t{jpeg[position + 2]} << 8 | jpeg[position + 3]))
        if (jpeg[position + 1] >= 0xc0 && jpeg[position + 1] <= 0xc2) return position;
    return 0;
}

}  // namespace bantam_test
