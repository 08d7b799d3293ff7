// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/cuda/hooked_operation.hpp>
#include <bantam/cuda/pointwise.hpp>
#include <bantam/cuda/row_product.hpp>
#include <bantam/cuda/weight_product.hpp>
#include <bantam/cuda/windows.hpp>
#include <bantam/layers/conv2d.hpp>

#include <cstdint>

namespace bantam::cuda {

/// A convolution as products whose left factor is read through windows, which are never stored. A window's elements go
/// by tap and then by channel, so that neighbours in memory are neighbours in the window.
template <class Conv, Shape Input, class S>
struct DenseKernel {
    using Number = Arithmetic<S>;
    static constexpr Shape input = Input, output = Conv::output_shape(Input);
    static constexpr bool bias = Conv::bias;
    using Around = Windows<Input, output, Conv::kernel, Conv::stride, Conv::padding, Conv::dilation>;
    static constexpr int groups = Conv::groups;
    static constexpr int in = static_cast<int>(Input.channels) / groups;  // a group
    static constexpr int out = Conv::out_channels / groups;               // a group
    static constexpr int taps = static_cast<int>(Around::taps), window = taps * in;
    static constexpr std::int64_t weight_count = std::int64_t{groups} * out * window;

    // Scratch: the weight's gradient and the weights, in the order of windows.
    static constexpr std::int64_t gradient_scratch =
        device::whole_numbers<S>(device::scalars_a_number<S> * weight_count);
    static constexpr std::int64_t scratch = gradient_scratch + weight_count;
    static constexpr std::int64_t partials = weight_partials(out, groups, window);

    enum class Order { by_output, by_tap };  // [group][out][tap][channel] or [group][tap][out][channel]

    /// From [group][out][channel][tap], or back.
    template <Order To_, bool Back, class From, class To>
    struct Reorder {
        const From* from;
        To* to;
        BANTAM_HOST_DEVICE void operator()(std::int64_t i) const {
            const std::int64_t group = i / (out * window), in_group = i % (out * window), c = i % in;
            const bool by_output = To_ == Order::by_output;
            const std::int64_t tap = by_output ? in_group % window / in : in_group / (out * in);
            const std::int64_t o = by_output ? in_group / window : in_group / in % out;
            const std::int64_t theirs = ((group * out + o) * in + c) * taps + tap;
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
    static std::int64_t forward(const Pass<S>& pass, const Number* weights, const Source& source, const Sink& sink) {
        require_countable(pass.count * pixel_count(Input));
        const S* ordered = order<Order::by_output>(pass, weights);
        return multiply_rows<out, groups>(pass, pass.count * pixel_count(output),
                                          InWindows<Source, Around, false, in>{source},
                                          RightFactor<S, true>{ordered, window, std::int64_t{out} * window}, sink);
    }

    template <class Gradient, class Source, class Sink>
    static std::int64_t backward(const Pass<S>& pass, const Number* weights, const Gradient& output_gradient,
                                 const Source& source, const Sink& sink, Number* weight_gradient) {
        require_countable(pass.count * pixel_count(Input));
        auto* ordered_gradient = reinterpret_cast<Number*>(pass.scratch);
        multiply_weights<out, groups>(pass, pass.count * pixel_count(output), output_gradient,
                                      InWindows<Source, Around, false, in>{source}, ordered_gradient);
        for_each_index(pass, weight_count,
                       Reorder<Order::by_output, true, Number, Number>{ordered_gradient, weight_gradient});
        if constexpr (takes_nothing<Sink>) {
            return 0;
        } else {
            const S* ordered = order<Order::by_tap>(pass, weights);
            return multiply_rows<in, groups>(pass, pass.count * pixel_count(Input),
                                             InWindows<Gradient, Around, true, out>{output_gradient},
                                             RightFactor<S, false>{ordered, in, std::int64_t{out} * window}, sink);
        }
    }
};

template <int Out, int Kernel, int Stride, ConvOptions Options, Shape Input, class S>
struct Operation<Conv2d<Out, Kernel, Stride, Options>, Input, S>
    : HookedOperation<DenseKernel<Conv2d<Out, Kernel, Stride, Options>, Input, S>, S> {};

template <int Out, ConvOptions Options, Shape Input, class S>
    requires(Options.groups == 1 && Options.padding <= 0)
struct Operation<Conv2d<Out, 1, 1, Options>, Input, S>
    : PointwiseOperation<Input, Out, Options.bias, S> {};

}  // namespace bantam::cuda
