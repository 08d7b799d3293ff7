// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/kernels/conv_operation.hpp>
#include <bantam/cpu/kernels/line_buffer.hpp>
#include <bantam/cpu/layers/activations.hpp>
#include <bantam/cpu/layers/conv2d.hpp>
#include <bantam/cpu/layers/depthwise_conv2d.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>

#include <cstddef>
#include <tuple>

namespace bantam::cpu {

/// A map stored in front of its norm and activation, which are applied where it is read.
template <class Act, Index Channels, class S>
struct NormActSource {
    const S* raw;
    const S* scale;
    const S* shift;

    const S* rows(Index first, Index count, S* to) const {
        for_each_group<S, Channels>([&]<int Width, int Blocks>(Index c) {
            const auto scale_here = load_group<S, Width, Blocks>(scale + c);
            const auto shift_here = load_group<S, Width, Blocks>(shift + c);
            const S* from = raw + first * Channels + c;
            for (Index row = 0; row < count; ++row) {
                BANTAM_UNROLL(4)
                for (std::size_t i = 0; i < Blocks; ++i) {
                    const Index at = row * Channels + static_cast<Index>(i) * Width;
                    store_packet<S, Width>(to + c + at,
                                           ActivationArithmetic<Act>::value(Packet<S, Width>(
                                               load_packet<S, Width>(from + at) * scale_here[i] + shift_here[i])));
                }
            }
        });
        return to;
    }
    template <int Width>
    Packet<S, Width> normalized(Index row, Index c) const {
        return load_packet<S, Width>(raw + row * Channels + c) * load_packet<S, Width>(scale + c) +
               load_packet<S, Width>(shift + c);
    }
    template <int Width>
    Packet<S, Width> value(Index row, Index c) const {
        return ActivationArithmetic<Act>::value(normalized<Width>(row, c));
    }
    template <int Width>
    Packet<S, Width> slope(Index row, Index c) const {
        return ActivationArithmetic<Act>::derivative(normalized<Width>(row, c));
    }
};

/// Norm and activation as a finish (matrix_product.hpp).
template <class Act, class S>
struct NormAct {
    const S* scale;
    const S* shift;
    NormAct from(Index channel) const { return {scale + channel, shift + channel}; }
    template <class Fetch>
    auto at(Index channel, Fetch&& fetch) const {
        return [own_scale = fetch(scale + channel), own_shift = fetch(shift + channel)](const Vector<S>& sum) {
            return Vector<S>(ActivationArithmetic<Act>::value(Vector<S>(sum * own_scale + own_shift)));
        };
    }
};

namespace detail {

template <class Conv, Shape Input, class Source, class S>
struct StreamOf {
    using type = typename Operation<Conv, Input, S>::template Stream<Source>;
};
template <int Out, ConvOptions Options, Shape Input, class Source, class S>
    requires(Options.groups == 1 && Options.padding <= 0)
struct StreamOf<Conv2d<Out, 1, 1, Options>, Input, Source, S> {
    using type = typename Operation<Conv2d<Out, 1, 1, Options>, Input, S>::template Stream<Source, Input.width>;
};

}  // namespace detail

/// What a stage of convolution, norm and activation needs in inference: its weights, and the scale and
/// shift that its norm amounts to.
template <class S>
struct StreamTensors {
    Weights<S> weights;
    const S* scale;
    const S* shift;
};

/// Rows behind the first `Count` stages of a run in inference, where no norm waits for the whole batch:
/// each stage is a stream on the one before it, so that lines of maps pass from the first layer to the
/// last while they are in the cache, and none is stored whole.
template <class S, std::size_t Count, class... Stages>
class StreamedConvBlocks {
    using Stage = std::tuple_element_t<Count - 1, std::tuple<Stages...>>;
    using Before = StreamedConvBlocks<S, Count - 1, Stages...>;
    using Stream = typename detail::StreamOf<typename Stage::ConvType, Stage::input, Before, S>::type;
    static constexpr Index own_memory = (Stream::memory + 15) / 16 * 16;

public:
    /// Scalars of memory that the streams take.
    static constexpr Index memory = Before::memory + own_memory;

    /// `tensors` are those of the stages and must live as long as the rows.
    StreamedConvBlocks(const S* input, const StreamTensors<S>* tensors, Chunk chunk, S* memory_here)
        : before_{input, tensors, chunk, memory_here + own_memory},
          stream_{before_, tensors[Count - 1].weights, chunk, memory_here},
          tensors_{tensors[Count - 1]} {}
    StreamedConvBlocks(const StreamedConvBlocks&) = delete;
    StreamedConvBlocks& operator=(const StreamedConvBlocks&) = delete;

    /// Whole lines, in ascending order.
    const S* rows(Index first, Index count, S* to) const {
        using Act = typename Stage::ActType;
        if constexpr (takes_few_instructions<Act>) {
            stream_.rows(first, count, to, NormAct<Act, S>{tensors_.scale, tensors_.shift});
            return to;
        } else {
            stream_.rows(first, count, to, IdentityEpilogue<S>{});
            return NormActSource<Act, Stage::output.channels, S>{to, tensors_.scale, tensors_.shift}.rows(0, count, to);
        }
    }

private:
    Before before_;
    Stream stream_;
    const StreamTensors<S>& tensors_;
};

template <class S, class First, class... Rest>
class StreamedConvBlocks<S, 0, First, Rest...> : public MemorySource<First::input.channels, S> {
public:
    static constexpr Index memory = 0;
    StreamedConvBlocks(const S* input, const StreamTensors<S>*, Chunk, S*)
        : MemorySource<First::input.channels, S>{input} {}
};

}  // namespace bantam::cpu
