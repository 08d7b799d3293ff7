// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/deploy/host/lanes.hpp>

#include <cstdint>

namespace bantam::deploy::host {

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
    /// Where a line has the element of one byte of channel `c` at pixel `x`.
    constexpr int offset(int x, int c) const {
        if (order == Order::plain) return x * static_cast<int>(shape.channels) + c;
        return c / block_channels * block_bytes() + begin() + x / 4 * quad_bytes() +
               byte_in_quad(words_of(order), c % block_channels, x % 4);
    }
};

/// Copies a line of `T`s, elements of one byte, from one layout to the other.
template <class T, MapLayout From, MapLayout To>
void copy_line(const std::uint8_t* from, std::uint8_t* to) {
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
