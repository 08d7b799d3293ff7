// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/deploy/host/lanes.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bantam::deploy::host {

/// How a window moves along a line.
struct WindowStep {
    int kernel_width;
    int stride;
    int dilation;
    int padding;

    /// The pixel that column `kx` reads for output pixel `x`.
    constexpr int pixel(int x, int kx) const { return x * stride + kx * dilation - padding; }
};

/// The quad of a pixel, which may lie before the first one.
constexpr int quad_of(int x) { return (x < 0 ? x - 3 : x) / 4; }

/// How the elements of a line lie. `plain`: [pixel][channel], as the stages of bantam/deploy/stages/ read them. The
/// others have blocks of channels, in them quads of four neighboring pixels, and words of 32 bits that a dot product
/// takes: `pixel_words` hold four channels of a pixel, `channel_words` four pixels of a channel.
enum class Order { plain, pixel_words, channel_words };

constexpr Words words_of(Order order) { return order == Order::channel_words ? Words::pixels : Words::channels; }

/// A map's lines in memory. Lines that are not plain have `left` and `right` quads more beside them, which hold zeros.
struct MapLayout {
    Shape shape;
    Order order = Order::plain;
    int block_channels = lanes;
    int left = 0;
    int right = 0;

    friend constexpr bool operator==(const MapLayout&, const MapLayout&) = default;

    /// The layout of a line with as many quads beside it as windows read for `output_width` pixels, four at a time.
    constexpr MapLayout read_by(WindowStep step, Index output_width) const {
        MapLayout layout = *this;
        layout.left = -quad_of(step.pixel(0, 0));
        const int last = static_cast<int>((output_width + 3) / 4 * 4) - 1;
        layout.right = quad_of(step.pixel(last, step.kernel_width - 1)) + 1 - quads();
        layout.right = layout.right < 0 ? 0 : layout.right;
        return layout;
    }

    constexpr int quads() const { return static_cast<int>((shape.width + 3) / 4); }
    constexpr int quad_bytes() const { return 4 * block_channels; }
    constexpr int blocks() const { return static_cast<int>((shape.channels + block_channels - 1) / block_channels); }
    constexpr int block_bytes() const { return (left + quads() + right) * quad_bytes(); }
    /// Where the first quad of a line begins.
    constexpr int begin() const { return left * quad_bytes(); }
    constexpr Index line_bytes(Index element_bytes) const {
        if (order == Order::plain) return shape.width * shape.channels * element_bytes;
        return Index{blocks()} * block_bytes();
    }
    /// Whether a quad is what the vector operations take.
    constexpr bool has_blocks_of_lanes() const { return order != Order::plain && block_channels == lanes; }
    constexpr int quad_at(int block, int quad) const { return block * block_bytes() + begin() + quad * quad_bytes(); }
    /// Where a line has the element of one byte of channel `c` at pixel `x`.
    constexpr int offset(int x, int c) const {
        if (order == Order::plain) return x * static_cast<int>(shape.channels) + c;
        return c / block_channels * block_bytes() + begin() + x / 4 * quad_bytes() +
               byte_in_quad(words_of(order), c % block_channels, x % 4);
    }
};

/// Copies a line of `T`s from one layout to the other; elements have one byte where one of the two is not plain.
template <class T, MapLayout From, MapLayout To>
void copy_line(const std::uint8_t* from, std::uint8_t* to) {
    if constexpr (From == To) {
        std::memcpy(to, from, static_cast<std::size_t>(From.line_bytes(sizeof(T))));
        return;
    }
    if constexpr (From.has_blocks_of_lanes() && To.has_blocks_of_lanes()) {
        for (int block = 0; block < From.blocks(); ++block)
            for (int quad = 0; quad < From.quads(); ++quad)
                copy_quad<From.order != To.order>(from + From.quad_at(block, quad), to + To.quad_at(block, quad));
        return;
    }
    constexpr std::uint8_t flip =
        (From.order == Order::plain) == (To.order == Order::plain) ? std::uint8_t{0} : stored_flip<T>;
    for (int x = 0; x < static_cast<int>(From.shape.width); ++x)
        for (int c = 0; c < static_cast<int>(From.shape.channels); ++c)
            to[To.offset(x, c)] = static_cast<std::uint8_t>(from[From.offset(x, c)] ^ flip);
}

/// Writes zeros to the pixels of the last quad that lie outside the map.
template <class T, MapLayout Layout>
void clear_outside(std::uint8_t* line) {
    for (int x = static_cast<int>(Layout.shape.width); x < 4 * Layout.quads(); ++x)
        for (int c = 0; c < Layout.blocks() * Layout.block_channels; ++c) line[Layout.offset(x, c)] = stored_flip<T>;
}

}  // namespace bantam::deploy::host
