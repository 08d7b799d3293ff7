// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/kernels/norm_coefficients.hpp>
#include <bantam/cpu/runtime/math.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/exec/activation_functions.hpp>
#include <bantam/exec/concepts.hpp>

#include <cstddef>
#include <type_traits>

namespace bantam::cpu {

// A source is where a kernel reads a map from: the load transform (exec/concepts.hpp). It computes rows on
// demand, while they are in the cache, so that a norm or an activation in front of the kernel needs no map of its
// own in memory.
//
// A row is one position of the batch with all its `channels`; rows are counted over all samples.
// `source.rows(first, count, scratch)` returns rows [first, first + count), contiguous. They are in `scratch`,
// memory of count · channels scalars that the caller provides, or wherever the source has them already. A
// kernel reads rows in ascending order.
//
// A convolution is a source as well, see `ConvSource` in conv_operation.hpp.
using exec::RowSource;

/// x: rows in memory.
template <Index Channels, class S>
struct MemorySource {
    using Scalar = S;
    static constexpr Index channels = Channels;

    const S* values;

    const S* rows(Index first, Index, S*) const { return values + first * Channels; }
};

/// In place of a layer's input in backward where the gradient of its weights is not needed.
struct NullSource {};

/// act(scale · z + shift): the output of norm and activation, computed from the norm's input z.
template <class Act, Index Channels, class S>
struct NormActSource {
    using Scalar = S;
    static constexpr Index channels = Channels;

    const S* z;
    NormCoefficients<S> norm;

    const S* rows(Index first, Index count, S* to) const {
        for_each_packet_group<S, Channels>([&]<int Width, int Packets>(Index c) {
            const auto scale = load_packets<S, Width, Packets>(norm.scale + c);
            const auto shift = load_packets<S, Width, Packets>(norm.shift + c);
            const S* from = z + first * Channels + c;
            for (Index row = 0; row < count; ++row) {
                BANTAM_UNROLL(4)
                for (std::size_t i = 0; i < Packets; ++i) {
                    const Index offset = row * Channels + static_cast<Index>(i) * Width;
                    store_packet<S, Width>(to + c + offset,
                                           exec::ActivationFunction<Act>::value(Packet<S, Width>(
                                               load_packet<S, Width>(from + offset) * scale[i] + shift[i])));
                }
            }
        });
        return to;
    }

    /// act(scale · z + shift) for `Width` channels of a row.
    template <int Width>
    Packet<S, Width> value(Index row, Index c) const {
        return exec::ActivationFunction<Act>::value(normalized<Width>(row, c));
    }
    /// act'(scale · z + shift) for `Width` channels of a row.
    template <int Width>
    Packet<S, Width> derivative(Index row, Index c) const {
        return exec::ActivationFunction<Act>::derivative(normalized<Width>(row, c));
    }

private:
    template <int Width>
    Packet<S, Width> normalized(Index row, Index c) const {
        return load_packet<S, Width>(z + row * Channels + c) * load_packet<S, Width>(norm.scale + c) +
               load_packet<S, Width>(norm.shift + c);
    }
};

/// dL/dz = scale · g + slope · z + offset, where g = dL/d(norm's output) = gradient · act'(scale · z + shift).
/// `gradient` has one row for `Pixels` rows of z, each of which gets 1 / Pixels of it, as behind a global average.
template <class Act, Index Channels, class S, Index Pixels = 1>
struct NormBackwardSource {
    using Scalar = S;
    static constexpr Index channels = Channels;

    const S *gradient, *z;
    NormCoefficients<S> norm;

    const S* rows(Index first, Index count, S* to) const {
        for_each_packet_group<S, Channels>([&]<int Width, int Packets>(Index c) {
            const auto scale = load_packets<S, Width, Packets>(norm.scale + c);
            const auto slope = load_packets<S, Width, Packets>(norm.slope + c);
            const auto offset = load_packets<S, Width, Packets>(norm.offset + c);
            const NormBackwardSource source = *this;  // a local copy: stores cannot change its pointers
            const S* from = z + first * Channels + c;
            for (Index row = 0; row < count; ++row) {
                BANTAM_UNROLL(4)
                for (std::size_t i = 0; i < Packets; ++i) {
                    const Index column = static_cast<Index>(i) * Width;
                    const Index at = row * Channels + column;
                    store_packet<S, Width>(to + c + at,
                                           source.template norm_gradient<Width>(first + row, c + column) * scale[i] +
                                               (load_packet<S, Width>(from + at) * slope[i] + offset[i]));
                }
            }
        });
        return to;
    }

    /// g for `Width` channels of a row.
    template <int Width>
    Packet<S, Width> norm_gradient(Index row, Index c) const {
        const S* from = gradient + row / Pixels * Channels + c;
        const NormActSource<Act, Channels, S> output{z, norm};
        if constexpr (Pixels > 1)
            return load_packet<S, Width>(from) * S(1.0 / static_cast<double>(Pixels)) *
                   output.template derivative<Width>(row, c);
        else if constexpr (std::is_same_v<Act, Identity>)
            return load_packet<S, Width>(from);
        else
            return load_packet<S, Width>(from) * output.template derivative<Width>(row, c);
    }
};

}  // namespace bantam::cpu
