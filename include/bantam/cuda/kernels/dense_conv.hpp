// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/align.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/kernels/epilogue.hpp>
#include <bantam/cuda/kernels/implicit_gemm.hpp>
#include <bantam/cuda/kernels/weight_gradient.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/exec/concepts.hpp>
#include <bantam/layers/conv_geometry.hpp>

namespace bantam::cuda {

/// A dense convolution as implicit GEMM. The columns of the im2col operand are ordered by tap, then by channel, so that
/// adjacent columns are adjacent in memory.
template <class Conv, Shape Input, class S>
struct DenseKernel {
    using ComputeType = Compute<S>;
    static constexpr Shape input = Input, output = Conv::output_shape(Input);
    static constexpr bool bias = Conv::bias;
    using Geometry = ConvGeometry<Input, typename Conv::Window>;
    static constexpr int groups = Conv::groups;
    static constexpr int in = static_cast<int>(Input.channels) / groups;  // per group
    static constexpr int out = Conv::out_channels / groups;               // per group
    static constexpr int taps = static_cast<int>(Geometry::taps), window = taps * in;
    static constexpr Index weight_count = Index{groups} * out * window;

    static constexpr Index scratch_size = weight_count;  // the weights in the order of the im2col operand
    static constexpr Index partial_size = weight_gradient_partial_size(out, groups, window);

    enum class Order { by_output, by_tap };  // [group][out][tap][channel] or [group][tap][out][channel]

    /// The index in PyTorch's layout [group][out][channel][tap] of element i in `From`.
    template <Order From>
    struct InTensor {
        BANTAM_HOST_DEVICE Index operator()(Index i) const {
            const Index group = i / (out * window), in_group = i % (out * window), c = i % in;
            const bool by_output = From == Order::by_output;
            const Index tap = by_output ? in_group % window / in : in_group / (out * in);
            const Index o = by_output ? in_group / window : in_group / in % out;
            return ((group * out + o) * in + c) * taps + tap;
        }
    };
    /// From PyTorch's layout to `Target`.
    template <Order Target>
    struct Reorder {
        const ComputeType* from;
        S* to;
        BANTAM_HOST_DEVICE void operator()(Index i) const { to[i] = S(from[InTensor<Target>{}(i)]); }
    };
    /// The reordered weights, in scratch.
    template <Order Target>
    static const S* reorder_weights(const Pass<S>& pass, const ComputeType* weights) {
        for_each_index(pass, weight_count, Reorder<Target>{weights, pass.scratch});
        return pass.scratch;
    }

    template <exec::ColumnSource Source, exec::ColumnEpilogue Epilogue>
    static Index forward(const Pass<S>& pass, const ComputeType* weights, const Source& source,
                         const Epilogue& epilogue) {
        require_countable(pass.count * pixel_count(Input));
        const S* reordered = reorder_weights<Order::by_output>(pass, weights);
        return implicit_gemm<out, groups>(pass, pass.count * pixel_count(output),
                                          Im2colOperand<Source, Geometry, false, in>{source},
                                          WeightOperand<S, true>{reordered, window, Index{out} * window}, epilogue);
    }

    template <exec::ColumnSource Gradient, exec::ColumnSource Source, exec::ColumnEpilogue Epilogue>
    static Index backward(const Pass<S>& pass, const ComputeType* weights, const Gradient& output_gradient,
                          const Source& source, const Epilogue& epilogue, ComputeType* weight_gradient_to) {
        weight_gradient(pass, output_gradient, source, weight_gradient_to);
        if constexpr (is_null_sink<Epilogue>)
            return 0;
        else
            return input_gradient(pass, weights, output_gradient, epilogue);
    }

    template <exec::ColumnSource Gradient, exec::ColumnSource Source>
    static void weight_gradient(const Pass<S>& pass, const Gradient& output_gradient, const Source& source,
                                ComputeType* to) {
        require_countable(pass.count * pixel_count(Input));
        weight_gradient_gemm<out, groups>(pass, pass.count * pixel_count(output), output_gradient,
                                          Im2colOperand<Source, Geometry, false, in>{source}, to,
                                          InTensor<Order::by_output>{});
    }

    template <exec::ColumnSource Gradient, exec::ColumnEpilogue Epilogue>
    static Index input_gradient(const Pass<S>& pass, const ComputeType* weights, const Gradient& output_gradient,
                                const Epilogue& epilogue) {
        require_countable(pass.count * pixel_count(Input));
        const S* reordered = reorder_weights<Order::by_tap>(pass, weights);
        return implicit_gemm<in, groups>(pass, pass.count * pixel_count(Input),
                                         Im2colOperand<Gradient, Geometry, true, out>{output_gradient},
                                         WeightOperand<S, false>{reordered, in, Index{out} * window}, epilogue);
    }
};

}  // namespace bantam::cuda
