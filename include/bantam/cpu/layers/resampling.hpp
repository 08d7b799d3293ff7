// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/layers/resampling.hpp>

#include <array>
#include <cstddef>

namespace bantam::cpu {

/// The weights of an axis that are not 0, output by output.
template <class Axis, class S>
struct AxisWeights {
    struct Weight {
        Index input = 0;
        S value{};
    };
    std::array<Index, static_cast<std::size_t>(Axis::outputs) + 1> first{};  ///< of each output's weights
    std::array<Weight, static_cast<std::size_t>(Axis::outputs* Axis::most_inputs)> weights{};

    constexpr AxisWeights() {
        Index count = 0;
        for (Index output = 0; output < Axis::outputs; ++output) {
            first[static_cast<std::size_t>(output)] = count;
            Index input = Axis::first_input(output);
            for (Index tap = 0; tap < Axis::most_inputs && input < Axis::inputs; ++tap, ++input)
                if (const S value = Axis::template weight<S>(output, input); value != S{0})
                    weights[static_cast<std::size_t>(count++)] = {input, value};
        }
        first.back() = count;
    }

    /// Calls `body(input, weight)` for each input of an output.
    template <class Body>
    void for_each(Index output, const Body& body) const {
        const Index end = first[static_cast<std::size_t>(output) + 1];
        for (Index i = first[static_cast<std::size_t>(output)]; i < end; ++i)
            body(weights[static_cast<std::size_t>(i)].input, weights[static_cast<std::size_t>(i)].value);
    }
};

/// to[row][column] = Σ weight(row, y) · weight(column, x) · from[y][x] of each sample.
template <class Rows, class Columns, Index Channels, class S>
void resample(const Pass<S>& pass, const S* from, S* to) {
    static constexpr AxisWeights<Rows, S> rows{};
    static constexpr AxisWeights<Columns, S> columns{};
    for_each_chunk(pass, [&](Chunk chunk, S*) {
        for (Index n = chunk.first; n < chunk.first + chunk.count; ++n)
            for (Index row = 0; row < Rows::outputs; ++row)
                for (Index column = 0; column < Columns::outputs; ++column) {
                    S* const pixel = to + ((n * Rows::outputs + row) * Columns::outputs + column) * Channels;
                    for_each_packet<S, Channels>([&]<int Width>(Index c) {
                        Packet<S, Width> sum = Packet<S, Width>::Zero();
                        rows.for_each(row, [&](Index y, S of_row) {
                            const S* const line = from + (n * Rows::inputs + y) * Columns::inputs * Channels + c;
                            columns.for_each(column, [&](Index x, S of_column) {
                                sum += of_row * of_column * load_packet<S, Width>(line + x * Channels);
                            });
                        });
                        store_packet<S, Width>(pixel + c, sum);
                    });
                }
    });
}

template <ResamplingLayer L, Shape Input, class S>
struct Operation<L, Input, S> : OperationSizes {
    using Rows = typename L::template Rows<Input.height>;
    using Columns = typename L::template Columns<Input.width>;

    static void forward(const Pass<S>& pass, const Weights<S>&, const S* input, S* output, S*) {
        resample<Rows, Columns, Input.channels>(pass, input, output);
    }
    static void backward(const Pass<S>& pass, const Weights<S>&, const S*, const S*, const S* output_gradient,
                         S* input_gradient, S*) {
        if (input_gradient)
            resample<TransposedAxis<Rows>, TransposedAxis<Columns>, Input.channels>(pass, output_gradient,
                                                                                    input_gradient);
    }
};

}  // namespace bantam::cpu
