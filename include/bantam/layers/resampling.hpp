// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/layer.hpp>
#include <bantam/core/shape.hpp>

#include <string_view>
#include <type_traits>

namespace bantam {

/// A layer whose output pixels are fixed weighted sums of input pixels, the same for all channels, and rows by columns.
/// It has two axes, `Rows<height>` and `Columns<width>`, each with
///
///   inputs, outputs             extents
///   first_input(output)         the first input that has a weight in an output
///   most_inputs                 how many neighboring inputs have one, at most
///   first_output(input), most_outputs   the same of the outputs that an input has a weight in
///   weight<S>(output, input)    0 where the input has none
struct Resampling : Layer {};

template <class L>
concept ResamplingLayer = std::is_base_of_v<Resampling, L>;

/// An axis from its outputs to its inputs, as the gradient goes.
template <class Axis>
struct TransposedAxis {
    static constexpr Index inputs = Axis::outputs, outputs = Axis::inputs;
    static constexpr Index most_inputs = Axis::most_outputs;

    BANTAM_HOST_DEVICE static constexpr Index first_input(Index output) { return Axis::first_output(output); }
    template <class S>
    BANTAM_HOST_DEVICE static constexpr S weight(Index output, Index input) {
        return Axis::template weight<S>(input, output);
    }
};

/// Each input is repeated `Factor` times.
template <Index Inputs, int Factor>
struct NearestAxis {
    static constexpr Index inputs = Inputs, outputs = Inputs * Factor;
    static constexpr Index most_inputs = 1, most_outputs = Factor;

    BANTAM_HOST_DEVICE static constexpr Index first_input(Index output) { return output / Factor; }
    BANTAM_HOST_DEVICE static constexpr Index first_output(Index input) { return input * Factor; }
    template <class S>
    BANTAM_HOST_DEVICE static constexpr S weight(Index output, Index input) {
        return S(output / Factor == input);
    }
};

/// Linear between the centers of the inputs, and constant outside of the first and the last.
template <Index Inputs, int Factor>
struct LinearAxis {
    static constexpr Index inputs = Inputs, outputs = Inputs * Factor;
    static constexpr Index most_inputs = 2, most_outputs = 2 * Factor;

    BANTAM_HOST_DEVICE static constexpr Index first_input(Index output) { return position(output) / (2 * Factor); }
    BANTAM_HOST_DEVICE static constexpr Index first_output(Index input) {
        const Index first = input * Factor - (Factor + 1) / 2;
        return first < 0 ? 0 : first;
    }
    template <class S>
    BANTAM_HOST_DEVICE static constexpr S weight(Index output, Index input) {
        const Index lower = first_input(output), upper = lower + 1 < Inputs ? lower + 1 : Inputs - 1;
        const S of_upper = S(position(output) % (2 * Factor)) / S(2 * Factor);
        return (input == lower ? S(1) - of_upper : S(0)) + (input == upper ? of_upper : S(0));
    }

private:
    /// (output + ½) / Factor − ½ in units of 1 / (2 · Factor), at least 0.
    BANTAM_HOST_DEVICE static constexpr Index position(Index output) {
        const Index at = 2 * output + 1 - Factor;
        return at < 0 ? 0 : at;
    }
};

/// Means of `Outputs` ranges that cover the inputs, from ⌊o · Inputs / Outputs⌋ to ⌈(o + 1) · Inputs / Outputs⌉.
template <Index Inputs, Index Outputs>
struct AdaptiveMeanAxis {
    static constexpr Index inputs = Inputs, outputs = Outputs;

    BANTAM_HOST_DEVICE static constexpr Index first_input(Index output) { return output * Inputs / Outputs; }
    BANTAM_HOST_DEVICE static constexpr Index end_input(Index output) {
        return ceil_div((output + 1) * Inputs, Outputs);
    }
    BANTAM_HOST_DEVICE static constexpr Index first_output(Index input) { return input * Outputs / Inputs; }
    template <class S>
    BANTAM_HOST_DEVICE static constexpr S weight(Index output, Index input) {
        const Index first = first_input(output), end = end_input(output);
        return input >= first && input < end ? S(1) / S(end - first) : S(0);
    }

    static constexpr Index most_inputs = [] {
        Index most = 0;
        for (Index output = 0; output < Outputs; ++output) {
            const Index count = end_input(output) - first_input(output);
            most = most < count ? count : most;
        }
        return most;
    }();
    static constexpr Index most_outputs = [] {
        Index most = 0;
        for (Index input = 0; input < Inputs; ++input) {
            Index end = first_output(input);
            while (end < Outputs && first_input(end) <= input) ++end;
            most = most < end - first_output(input) ? end - first_output(input) : most;
        }
        return most;
    }();
};

/// Every `Stride`-th value of the inputs under a binomial filter of `KernelSize` taps, mirrored at the ends.
template <Index Inputs, int KernelSize, int Stride>
struct BlurAxis {
    static constexpr Index padding = (KernelSize - 1) / 2;
    static constexpr Index inputs = Inputs, outputs = (Inputs - 1) / Stride + 1;
    static constexpr Index most_inputs = KernelSize, most_outputs = (KernelSize - 1) / Stride + 1;

    BANTAM_HOST_DEVICE static constexpr Index first_input(Index output) {
        const Index first = output * Stride - padding;
        return first < 0 ? 0 : first;
    }
    BANTAM_HOST_DEVICE static constexpr Index first_output(Index input) {
        return input < padding ? 0 : ceil_div(input - padding, Index{Stride});
    }
    template <class S>
    BANTAM_HOST_DEVICE static constexpr S weight(Index output, Index input) {
        Index binomial = 1, sum = 0;
        for (Index tap = 0; tap < KernelSize; ++tap) {
            Index at = output * Stride - padding + tap;
            if (at < 0) at = -at;
            if (at >= Inputs) at = 2 * (Inputs - 1) - at;
            if (at == input) sum += binomial;
            binomial = binomial * (KernelSize - 1 - tap) / (tap + 1);
        }
        return S(sum) / S(Index{1} << (KernelSize - 1));
    }
};

enum class Interpolation { nearest, bilinear };

/// Height and width times `Factor`, as `nn.Upsample` of PyTorch with corners not aligned.
template <int Factor, Interpolation Between = Interpolation::nearest>
struct Upsample : Resampling {
    static constexpr std::string_view name = "Upsample";
    static constexpr int factor = Factor;
    static constexpr Interpolation interpolation = Between;

    template <Index Inputs>
    using Rows =
        std::conditional_t<Between == Interpolation::nearest, NearestAxis<Inputs, Factor>, LinearAxis<Inputs, Factor>>;
    template <Index Inputs>
    using Columns = Rows<Inputs>;

    static constexpr std::string_view argument_error() { return Factor > 0 ? "" : "its factor is at least 1"; }
    static constexpr Shape output_shape(Shape input) {
        return {input.height * Factor, input.width * Factor, input.channels};
    }
    static constexpr Index multiply_adds(Shape input) {
        return Between == Interpolation::nearest ? 0 : 4 * element_count(output_shape(input));
    }
};

/// Means of Height × Width boxes that cover the map: output H×W whatever the input's extents.
template <int Height, int Width = Height>
struct AdaptiveAvgPool2d : Resampling {
    static constexpr std::string_view name = "AdaptiveAvgPool2d";

    template <Index Inputs>
    using Rows = AdaptiveMeanAxis<Inputs, Height>;
    template <Index Inputs>
    using Columns = AdaptiveMeanAxis<Inputs, Width>;

    static constexpr std::string_view argument_error() {
        return Height > 0 && Width > 0 ? "" : "its output has at least one row and one column";
    }
    static constexpr Shape output_shape(Shape input) { return {Height, Width, input.channels}; }
};

/// A binomial filter before every `Stride`-th pixel is kept, so that the output hardly changes when the input moves by
/// a pixel (Zhang, "Making convolutional networks shift-invariant again", 2019). Put it behind a stride of 1 in place
/// of a stride. H×W becomes ⌈H / Stride⌉ × ⌈W / Stride⌉.
template <int KernelSize = 3, int Stride = 2>
struct BlurPool2d : Resampling {
    static constexpr std::string_view name = "BlurPool2d";
    static constexpr int kernel_size = KernelSize;
    static constexpr int stride = Stride;

    template <Index Inputs>
    using Rows = BlurAxis<Inputs, KernelSize, Stride>;
    template <Index Inputs>
    using Columns = Rows<Inputs>;

    static constexpr std::string_view argument_error() {
        if (KernelSize < 1 || KernelSize % 2 == 0 || KernelSize > 15) return "its kernel size is odd, from 1 to 15";
        return Stride > 0 ? "" : "its stride is at least 1";
    }
    static constexpr Shape output_shape(Shape input) {
        return {(input.height - 1) / Stride + 1, (input.width - 1) / Stride + 1, input.channels};
    }
    static constexpr Misfit misfit(Shape input) {
        constexpr Index smallest = (KernelSize + 1) / 2;
        const auto fitting = [](Index extent) { return extent < smallest ? smallest : extent; };
        const Shape needed{fitting(input.height), fitting(input.width), input.channels};
        return input == needed ? Misfit{} : Misfit{Reason::kernel_larger_than_image, input, needed};
    }
    static constexpr Index multiply_adds(Shape input) {
        return KernelSize * KernelSize * element_count(output_shape(input));
    }
};

}  // namespace bantam
