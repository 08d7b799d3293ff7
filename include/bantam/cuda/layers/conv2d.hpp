// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/conv_operation.hpp>
#include <bantam/cuda/kernels/implicit_gemm.hpp>
#include <bantam/cuda/kernels/pointwise_conv.hpp>
#include <bantam/cuda/kernels/weight_gradient.hpp>
#include <bantam/layers/conv2d.hpp>

namespace bantam::cuda {

/// A convolution as products whose left factor is read through windows, which are never stored. A window's elements go
/// by tap and then by channel, so that neighbors in memory are neighbors in the window.
template <class Conv, Shape Input, class S>
struct DenseKernel {
    using Number = Compute<S>;
    static constexpr Shape input = Input, output = Conv::output_shape(Input);
    static constexpr bool bias = Conv::bias;
    using Geometry = ConvGeometry<Input, Conv::kernel_size, Conv::stride, Conv::padding, Conv::dilation>;
    static constexpr int groups = Conv::groups;
    static constexpr int in = static_cast<int>(Input.channels) / groups;  // a group
    static constexpr int out = Conv::out_channels / groups;               // a group
    static constexpr int taps = static_cast<int>(Geometry::taps), window = taps * in;
    static constexpr Index weight_count = Index{groups} * out * window;

    // Scratch: the weight's gradient and the weights, in the order of windows.
    static constexpr Index gradient_scratch = exec::align_up<S>(exec::storage_per_compute<S> * weight_count);
    static constexpr Index scratch_size = gradient_scratch + weight_count;
    static constexpr Index partial_size = weight_partials(out, groups, window);

    enum class Order { by_output, by_tap };  // [group][out][tap][channel] or [group][tap][out][channel]

    /// From [group][out][channel][tap], or back.
    template <Order To_, bool Back, class From, class To>
    struct Reorder {
        const From* from;
        To* to;
        BANTAM_HOST_DEVICE void operator()(Index i) const {
            const Index group = i / (out * window), in_group = i % (out * window), c = i % in;
            const bool by_output = To_ == Order::by_output;
            const Index tap = by_output ? in_group % window / in : in_group / (out * in);
            const Index o = by_output ? in_group / window : in_group / in % out;
            const Index theirs = ((group * out + o) * in + c) * taps + tap;
            to[Back ? theirs : i] = To(from[Back ? i : theirs]);
        }
    };
    /// The weights in another order, in scratch.
    template <Order To>
    static const S* order(const Pass<S>& pass, const Number* weights) {
        S* ordered = pass.scratch + gradient_scratch;
        for_each_index(pass, weight_count, Reorder<To, false, Number, S>{weights, ordered});
        return ordered;
    }

    template <class Source, class Sink>
    static Index forward(const Pass<S>& pass, const Number* weights, const Source& source, const Sink& sink) {
        require_countable(pass.count * pixel_count(Input));
        const S* ordered = order<Order::by_output>(pass, weights);
        return implicit_gemm<out, groups>(pass, pass.count * pixel_count(output),
                                          Im2colOperand<Source, Geometry, false, in>{source},
                                          WeightOperand<S, true>{ordered, window, Index{out} * window}, sink);
    }

    template <class Gradient, class Source, class Sink>
    static Index backward(const Pass<S>& pass, const Number* weights, const Gradient& output_gradient,
                          const Source& source, const Sink& sink, Number* weight_gradient) {
        require_countable(pass.count * pixel_count(Input));
        auto* ordered_gradient = reinterpret_cast<Number*>(pass.scratch);
        weight_gradient_gemm<out, groups>(pass, pass.count * pixel_count(output), output_gradient,
                                          Im2colOperand<Source, Geometry, false, in>{source}, ordered_gradient);
        for_each_index(pass, weight_count,
                       Reorder<Order::by_output, true, Number, Number>{ordered_gradient, weight_gradient});
        if constexpr (is_null_sink<Sink>) {
            return 0;
        } else {
            const S* ordered = order<Order::by_tap>(pass, weights);
            return implicit_gemm<in, groups>(pass, pass.count * pixel_count(Input),
                                             Im2colOperand<Gradient, Geometry, true, out>{output_gradient},
                                             WeightOperand<S, false>{ordered, in, Index{out} * window}, sink);
        }
    }
};

template <int Out, int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<Conv2d<Out, Kernel, Stride, Options>, Input, S>
    : ConvOperation<DenseKernel<Conv2d<Out, Kernel, Stride, Options>, Input, S>, S> {};

template <int Out, ConvOptions Options, Shape Input, class S>
    requires(Options.groups == 1 && Options.padding <= 0)
struct Operation<Conv2d<Out, 1, 1, Options>, Input, S> : PointwiseOperation<Input, Out, Options.bias, S> {};

}  // namespace bantam::cuda
