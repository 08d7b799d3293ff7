// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/kernels/epilogue.hpp>
#include <bantam/cpu/kernels/norm_coefficients.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/exec/activation_functions.hpp>

#include <cstddef>
#include <tuple>

namespace bantam::cpu {

/// What one stage of convolution, norm and activation reads in inference.
template <class S>
struct StageTensors {
    Weights<S> weights;
    NormCoefficients<S> norm;
};

/// The output of the first `Count` of several neighboring `Stages` (exec::ConvNormAct) in inference, as a source.
/// No norm depends on the batch in inference, so each stage reads its input from the stage before it: lines of
/// maps pass from the first layer to the last while they are in the cache, and no map is stored whole.
template <class S, std::size_t Count, class... Stages>
class StreamedConvBlocks {
    using Stage = std::tuple_element_t<Count - 1, std::tuple<Stages...>>;
    using Previous = StreamedConvBlocks<S, Count - 1, Stages...>;
    using Conv = typename Operation<typename Stage::ConvType, Stage::input, S>::template ConvSource<Previous>;
    static constexpr Index conv_memory_size = (Conv::memory_size + 15) / 16 * 16;

public:
    using Scalar = S;
    static constexpr Index channels = Stage::output.channels;
    /// Scalars of memory for the lines of all convolutions.
    static constexpr Index memory_size = Previous::memory_size + conv_memory_size;

    /// `tensors` of all stages must outlive this source.
    StreamedConvBlocks(const S* input, const StageTensors<S>* tensors, Chunk chunk, S* memory)
        : previous_{input, tensors, chunk, memory + conv_memory_size},
          conv_{previous_, tensors[Count - 1].weights, chunk, memory},
          norm_{tensors[Count - 1].norm} {}
    StreamedConvBlocks(const StreamedConvBlocks&) = delete;
    StreamedConvBlocks& operator=(const StreamedConvBlocks&) = delete;

    /// Whole lines of the map, in ascending order.
    const S* rows(Index first, Index count, S* to) const {
        using Act = typename Stage::ActType;
        if constexpr (exec::ActivationFunction<Act>::cheap) {
            conv_.rows(first, count, to, NormActEpilogue<Act, S>{norm_.scale, norm_.shift});
            return to;
        } else {
            conv_.rows(first, count, to, IdentityEpilogue<S>{});
            return NormActSource<Act, channels, S>{to, norm_}.rows(0, count, to);
        }
    }

private:
    Previous previous_;
    Conv conv_;
    const NormCoefficients<S>& norm_;
};

template <class S, class First, class... Rest>
class StreamedConvBlocks<S, 0, First, Rest...> : public MemorySource<First::input.channels, S> {
public:
    static constexpr Index memory_size = 0;
    StreamedConvBlocks(const S* input, const StageTensors<S>*, Chunk, S*)
        : MemorySource<First::input.channels, S>{input} {}
};

}  // namespace bantam::cpu
