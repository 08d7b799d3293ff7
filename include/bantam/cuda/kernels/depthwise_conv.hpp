// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/kernels/depthwise_tiled.hpp>
#include <bantam/cuda/kernels/depthwise_tiles.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/concepts.hpp>
#include <bantam/layers/conv_geometry.hpp>

namespace bantam::cuda {

/// A depthwise convolution: tiled, or with one thread per channel and slice of the rows where tiles do not fit or do
/// not pay.
template <class Conv, Shape Input, class S>
struct DepthwiseKernel {
    using ComputeType = Compute<S>;
    static constexpr Shape input = Input, output = Conv::output_shape(Input);
    static constexpr bool bias = Conv::bias;
    static constexpr Index channels = Input.channels;
    using Geometry = ConvGeometry<Input, typename Conv::Window>;
    static constexpr int taps = Geometry::taps;
    static constexpr Index weight_count = channels * taps;
    static constexpr Index scratch_size = 0;
    static constexpr Index partial_size = weight_count;

    template <class Source, class Epilogue>
    using TiledForward = DepthwiseForwardTiled<ForwardTaps<typename Conv::Window>, Input, output, Source, Epilogue>;
    template <class Gradient, class Source, class Epilogue>
    using TiledBackward =
        DepthwiseBackwardTiled<BackwardTaps<typename Conv::Window>, output, Input, Gradient, Source, Epilogue>;

    template <exec::ColumnSource Source, exec::ColumnEpilogue Epilogue>
    static Index forward(const Pass<S>& pass, const ComputeType* weights, const Source& source,
                         const Epilogue& epilogue) {
        using Kernel = TiledForward<Source, Epilogue>;
        if constexpr (Kernel::fit) {
            const auto slices = TileSlices<typename Kernel::Tiles>::of(pass, Epilogue::sum_count > 0);
            run_blocks(pass, slices.blocks(), Kernel{source, epilogue, weights, slices, pass.sums});
            return slices.count();
        } else {
            return forward_by_channel(pass, weights, source, epilogue);
        }
    }

    template <exec::ColumnSource Gradient, exec::ColumnSource Source, exec::ColumnEpilogue Epilogue>
    static Index backward(const Pass<S>& pass, const ComputeType* weights, const Gradient& output_gradient,
                          const Source& source, const Epilogue& epilogue, ComputeType* weight_gradient) {
        using Kernel = TiledBackward<Gradient, Source, Epilogue>;
        if constexpr (Kernel::fit) {
            const auto slices = TileSlices<typename Kernel::Tiles>::of(pass, true);
            run_blocks(pass, slices.blocks(),
                       Kernel{output_gradient, source, epilogue, weights, slices, pass.partials, pass.sums});
            sum_slices(pass, slices.count(), weight_count, pass.partials, weight_gradient);
            return slices.count();
        } else {
            return backward_by_channel(pass, weights, output_gradient, source, epilogue, weight_gradient);
        }
    }

    // ---------------------------------------------------- one thread per channel and slice of the rows

    template <class Source, class Epilogue>
    struct ForwardByChannel {
        Source source;
        Epilogue epilogue;
        const ComputeType* weights;
        BatchSlices slices;
        double* sums;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const Index slice = i / channels;
            const int c = static_cast<int>(i % channels);
            const auto from = source.template columns<1>(c);
            const auto to = epilogue.template columns<1>(c);
            ComputeType sums_of_slice[sum_array_size<Epilogue>] = {};
            const IndexRange rows = slices[slice];
            for (Index row = rows.begin; row < rows.end; ++row) {
                ComputeType sum{}, value;
                for (Index tap = 0; tap < taps; ++tap)
                    if (const Index pixel = Geometry::input_pixel(row, tap); pixel >= 0) {
                        from.load(pixel, &value);
                        sum += value * weights[c * taps + tap];
                    }
                to.store(row, &sum, sums_of_slice);
            }
            for (int v = 0; v < Epilogue::sum_count; ++v)
                sums[(slice * Epilogue::sum_count + v) * channels + c] = static_cast<double>(sums_of_slice[v]);
        }
    };

    template <class Gradient, class Source, class Epilogue>
    struct BackwardByChannel {
        Gradient output_gradient;
        Source source;
        Epilogue epilogue;
        const ComputeType* weights;
        BatchSlices slices;  // of the input
        ComputeType* partials;
        double* sums;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const Index slice = i / channels;
            const int c = static_cast<int>(i % channels);
            const auto gradient_column = output_gradient.template columns<1>(c);
            const auto input_column = source.template columns<1>(c);
            const auto to = epilogue_columns<1>(epilogue, c);
            ComputeType* weight_gradients = partials + i * taps;
            for (int tap = 0; tap < taps; ++tap) weight_gradients[tap] = ComputeType(0);
            ComputeType sums_of_slice[sum_array_size<Epilogue>] = {};
            const IndexRange rows = slices[slice];
            for (Index row = rows.begin; row < rows.end; ++row) {
                ComputeType sum{}, input_value, gradient;
                input_column.load(row, &input_value);
                for (Index tap = 0; tap < taps; ++tap)
                    if (const Index pixel = Geometry::output_pixel(row, tap); pixel >= 0) {
                        gradient_column.load(pixel, &gradient);
                        sum += gradient * weights[c * taps + tap];
                        weight_gradients[tap] += gradient * input_value;
                    }
                to.store(row, &sum, sums_of_slice);
            }
            for (int v = 0; v < Epilogue::sum_count; ++v)
                sums[(slice * Epilogue::sum_count + v) * channels + c] = static_cast<double>(sums_of_slice[v]);
        }
    };

    template <class Source, class Epilogue>
    static Index forward_by_channel(const Pass<S>& pass, const ComputeType* weights, const Source& source,
                                    const Epilogue& epilogue) {
        const BatchSlices slices = BatchSlices::of(pass.part(), pixel_count(output));
        for_each_index(pass, slices.count() * channels,
                       ForwardByChannel<Source, Epilogue>{source, epilogue, weights, slices, pass.sums});
        return slices.count();
    }
    template <class Gradient, class Source, class Epilogue>
    static Index backward_by_channel(const Pass<S>& pass, const ComputeType* weights, const Gradient& output_gradient,
                                     const Source& source, const Epilogue& epilogue, ComputeType* weight_gradient) {
        const BatchSlices slices = BatchSlices::of(pass.part(), pixel_count(Input));
        for_each_index(pass, slices.count() * channels,
                       BackwardByChannel<Gradient, Source, Epilogue>{output_gradient, source, epilogue, weights, slices,
                                                                     pass.partials, pass.sums});
        sum_slices(pass, slices.count(), weight_count, pass.partials, weight_gradient);
        return slices.count();
    }
};

}  // namespace bantam::cuda
