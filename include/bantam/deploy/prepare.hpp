// SPDX-License-Identifier: MIT
// Runs on a PC: makes the weights of a deployed network from a trained one's tensors.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/deploy/calibration.hpp>
#include <bantam/deploy/classifier.hpp>
#include <bantam/deploy/pixel_scaling.hpp>
#include <bantam/exec/activation_functions.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bantam::deploy {
namespace detail {

/// Hands out a network's tensors in storage order.
struct TensorReader {
    const float* parameters;
    const float* statistics;

    const float* take_parameters(Index count) { return std::exchange(parameters, parameters + count); }
    const float* take_statistics(Index count) { return std::exchange(statistics, statistics + count); }
};

/// Where a stage's weights and constants are written.
template <class P>
struct WeightTarget {
    typename P::Weight* weights;
    typename P::Constant* constants;
};

/// What the stages of an int8 network learn of the maps, in the order in which an observer is told of them.
struct ScaleReader {
    std::span<const float> largest;
    std::size_t next = 0;

    double take_largest() { return next < largest.size() ? static_cast<double>(largest[next++]) : 0.0; }
};

/// The scale of a map of `Out`s whose largest magnitude is `largest`.
template <class Out>
double map_scale(double largest, Bound bound = Bound::none) {
    if constexpr (std::is_same_v<Out, Int8::Logit>) return 1.0 / Int8::logit_unit;
    if (bound == Bound::relu6) return 6.0 / 255;
    if (!(largest > 0)) largest = 1;
    return largest / (std::is_unsigned_v<Out> ? 255 : 127);
}

/// `value` as a factor of the fixed-point arithmetic, with 23 bits of precision.
inline std::int32_t factor_of(double value) {
    if (value == 0) return pack_factor(0, 1);
    int exponent = 0;
    auto mantissa = static_cast<std::int32_t>(std::lround(std::frexp(value, &exponent) * 4194304.0 * 2));
    if (mantissa == 8388608 || mantissa == -8388608) {
        mantissa /= 2;
        ++exponent;
    }
    int shift = 23 - exponent;
    for (; shift > 54 && mantissa != 0; --shift) mantissa /= 2;
    shift = std::min(shift, 54);
    if (shift < 1)
        throw Error{"a scale of " + std::to_string(value) +
                    " does not fit the fixed-point arithmetic; are the network's weights sound?"};
    return pack_factor(mantissa, shift);
}

/// The factor of a batch norm's channel in inference.
inline double norm_scale(double weight, double running_variance) {
    return weight / std::sqrt(running_variance + BatchNorm2d::epsilon);
}

/// The scale of the 8-bit weights of one output channel, whose bias counts in_scale · scale. The bias takes at most
/// half of the sum's range, also where the weights are as good as zero.
inline double weight_scale(std::span<const double> weights, double bias, double in_scale) {
    double largest = 0;
    for (const double weight : weights) largest = std::max(largest, std::abs(weight));
    const double scale = std::max(largest / 127, std::abs(bias) / (in_scale * 1073741824.0));
    return scale > 0 ? scale : 1;
}

/// A convolution's weights as [output][tap][input of the group] and its biases, with the batch norm folded in.
struct FoldedConv {
    std::vector<double> weights;
    std::vector<double> biases;
};

template <class Conv>
FoldedConv fold(TensorReader& tensors) {
    constexpr ConvSpec spec = Conv::spec;
    constexpr auto outputs = static_cast<std::size_t>(Conv::out_channels);
    constexpr auto length = static_cast<std::size_t>(Conv::length);
    FoldedConv folded{std::vector<double>(outputs * length, 1.0), std::vector<double>(outputs, 0.0)};
    const float* weights = tensors.take_parameters(Conv::weight_tensor);
    const float* biases = tensors.take_parameters(Conv::bias_tensor);
    for (int m = 0; m < Conv::out_channels; ++m) {
        double* row = folded.weights.data() + static_cast<std::size_t>(m) * length;
        if constexpr (spec.source != WeightSource::none)
            for (int ky = 0; ky < spec.kernel_height; ++ky)
                for (int kx = 0; kx < spec.kernel_width; ++kx)
                    for (int c = 0; c < Conv::inputs; ++c)
                        *row++ = static_cast<double>(weights[Conv::tensor_index(m, ky, kx, c)]);
        if constexpr (spec.bias) folded.biases[static_cast<std::size_t>(m)] = static_cast<double>(biases[m]);
    }
    if constexpr (spec.norm) {
        const float* norm = tensors.take_parameters(2 * Conv::out_channels);
        const float* running = tensors.take_statistics(2 * Conv::out_channels);
        for (std::size_t m = 0; m < outputs; ++m) {
            const double scale = norm_scale(static_cast<double>(norm[m]), static_cast<double>(running[outputs + m]));
            for (std::size_t k = 0; k < length; ++k) folded.weights[m * length + k] *= scale;
            folded.biases[m] =
                static_cast<double>(norm[outputs + m]) + (folded.biases[m] - static_cast<double>(running[m])) * scale;
        }
    }
    return folded;
}

/// Writes a stage's weights: `run(tensors, target)` in float; in int8 `run(tensors, target, scale of the input,
/// scales)`, which returns the scale of the output. `out_scale(scale of the input, scales)` finds that scale alone, for
/// a composite stage behind its paths.
template <class Stage>
struct PrepareStage;

template <class List>
struct PrepareChain;
template <class... Stages>
struct PrepareChain<StageList<Stages...>> {
    static void run(TensorReader& tensors, [[maybe_unused]] WeightTarget<Float32> target) {
        (step<Stages>(target, [&](auto at) { PrepareStage<Stages>::run(tensors, at); }), ...);
    }
    static double run(TensorReader& tensors, [[maybe_unused]] WeightTarget<Int8> target, double scale,
                      ScaleReader& scales) {
        (step<Stages>(target, [&](auto at) { scale = PrepareStage<Stages>::run(tensors, at, scale, scales); }), ...);
        return scale;
    }

private:
    template <class Stage, class Target, class Body>
    static void step(Target& target, Body&& body) {
        body(target);
        target.weights += Stage::weight_count;
        target.constants += Stage::constant_count;
    }
};

template <class Conv>
struct PrepareConv {
    static constexpr auto length = static_cast<std::size_t>(Conv::length);

    /// Calls `body(output, index among the output's weights, index in the stage's)`.
    template <class Body>
    static void for_each_weight(Body&& body) {
        for (int m = 0; m < Conv::out_channels; ++m) {
            std::size_t k = 0;
            for (int ky = 0; ky < Conv::spec.kernel_height; ++ky)
                for (int kx = 0; kx < Conv::spec.kernel_width; ++kx)
                    for (int c = 0; c < Conv::inputs; ++c)
                        body(static_cast<std::size_t>(m), k++, Conv::weight_index(m, ky, kx, c));
        }
    }

    static void run(TensorReader& tensors, WeightTarget<Float32> target) {
        const FoldedConv folded = fold<Conv>(tensors);
        for_each_weight([&](std::size_t m, std::size_t k, Index at) {
            target.weights[at] = static_cast<float>(folded.weights[m * length + k]);
        });
        for (std::size_t m = 0; m < folded.biases.size(); ++m)
            target.constants[m] = static_cast<float>(folded.biases[m]);
    }

    static double run(TensorReader& tensors, WeightTarget<Int8> target, double in_scale, ScaleReader& scales) {
        const FoldedConv folded = fold<Conv>(tensors);
        const double scale = out_scale(in_scale, scales);
        std::vector<double> weight_scales(folded.biases.size());
        for (std::size_t m = 0; m < folded.biases.size(); ++m) {
            weight_scales[m] =
                weight_scale(std::span{folded.weights}.subspan(m * length, length), folded.biases[m], in_scale);
            target.constants[2 * m] =
                static_cast<std::int32_t>(std::lround(folded.biases[m] / (in_scale * weight_scales[m])));
            target.constants[2 * m + 1] = factor_of(in_scale * weight_scales[m] / scale);
        }
        for_each_weight([&](std::size_t m, std::size_t k, Index at) {
            target.weights[at] =
                static_cast<std::int8_t>(std::lround(folded.weights[m * length + k] / weight_scales[m]));
        });
        return scale;
    }
    static double out_scale(double, ScaleReader& scales) {
        return map_scale<typename Conv::Out>(scales.take_largest(), Conv::spec.bound);
    }
};

template <ConvSpec S, class P, class In, class Out>
struct PrepareStage<Convolution<S, P, In, Out>> : PrepareConv<Convolution<S, P, In, Out>> {};
template <ConvSpec S, class P, class In, class Out>
struct PrepareStage<Depthwise<S, P, In, Out>> : PrepareConv<Depthwise<S, P, In, Out>> {};

/// Stages without weights whose output has the input's scale.
struct PrepareNothing {
    static void run(TensorReader&, WeightTarget<Float32>) {}
    static double run(TensorReader&, WeightTarget<Int8>, double in_scale, ScaleReader& scales) {
        return out_scale(in_scale, scales);
    }
    static double out_scale(double in_scale, ScaleReader& scales) {
        scales.take_largest();
        return in_scale;
    }
};
template <PoolSpec S, class P, class T>
struct PrepareStage<MaxPool<S, P, T>> : PrepareNothing {};
template <Shape Input, class P, class T>
struct PrepareStage<FlattenMap<Input, P, T>> : PrepareNothing {};

template <PoolSpec S, class P, class T>
struct PrepareStage<AveragePool<S, P, T>> : PrepareNothing {
    using PrepareNothing::run;
    static double run(TensorReader& tensors, WeightTarget<Int8> target, double scale, ScaleReader& scales) {
        target.constants[0] = factor_of(AveragePool<S, P, T>::share);
        return PrepareNothing::run(tensors, target, scale, scales);
    }
};

template <Shape Input, class P, class T>
struct PrepareStage<GlobalPool<Input, P, T>> : PrepareNothing {
    using PrepareNothing::run;
    static double run(TensorReader&, WeightTarget<Int8> target, double in_scale, ScaleReader& scales) {
        const double scale = out_scale(in_scale, scales);
        target.constants[0] = factor_of(GlobalPool<Input, P, T>::share * in_scale / scale);
        return scale;
    }
    /// No mean is larger than the map's largest element.
    static double out_scale(double in_scale, ScaleReader& scales) {
        return std::min(in_scale, map_scale<T>(scales.take_largest()));
    }
};

template <class Act, Shape Input, class P, class In, class Out>
struct PrepareStage<Activate<Act, Input, P, In, Out>> {
    static void run(TensorReader&, WeightTarget<Float32>) {}
    static double run(TensorReader&, WeightTarget<Int8> target, double in_scale, ScaleReader& scales) {
        const double scale = out_scale(in_scale, scales);
        for (int byte = 0; byte < 256; ++byte) {
            const double value = static_cast<double>(exec::ActivationFunction<Act>::value(
                static_cast<float>(in_scale * static_cast<double>(static_cast<In>(byte)))));
            target.weights[byte] = static_cast<std::int8_t>(saturate<Out>(std::llround(value / scale)));
        }
        return scale;
    }
    static double out_scale(double, ScaleReader& scales) {
        constexpr bool below_one = std::is_same_v<Act, Sigmoid> || std::is_same_v<Act, HardSigmoid>;
        const double largest = scales.take_largest();
        return below_one ? 1.0 / 255 : map_scale<Out>(largest, bound_of<Act>);
    }
};

template <class Act, Shape Input, class P, class In, class Out>
struct PrepareStage<GateHalves<Act, Input, P, In, Out>> {
    static void run(TensorReader&, WeightTarget<Float32>) {}
    static double run(TensorReader&, WeightTarget<Int8> target, double in_scale, ScaleReader& scales) {
        const double scale = out_scale(in_scale, scales);
        double values[256];
        double largest = 0;
        for (int byte = 0; byte < 256; ++byte) {
            values[byte] = static_cast<double>(exec::ActivationFunction<Act>::value(
                static_cast<float>(in_scale * static_cast<double>(static_cast<In>(byte)))));
            largest = std::max(largest, std::abs(values[byte]));
        }
        const double step = largest > 0 ? largest / 32767 : 1;
        for (int byte = 0; byte < 256; ++byte)
            target.constants[1 + byte] = static_cast<std::int32_t>(std::lround(values[byte] / step));
        target.constants[0] = factor_of(step * in_scale / scale);
        return scale;
    }
    static double out_scale(double, ScaleReader& scales) { return map_scale<Out>(scales.take_largest()); }
};

template <Shape Input, class P, class In, class Out>
struct PrepareStage<NormalizePixels<Input, P, In, Out>> {
    static void run(TensorReader& tensors, WeightTarget<Float32> target) {
        const float* norm = tensors.take_parameters(2 * Input.channels);
        std::copy(norm, norm + 2 * Input.channels, target.constants);
    }
    static double run(TensorReader& tensors, WeightTarget<Int8> target, double in_scale, ScaleReader& scales) {
        constexpr auto channels = static_cast<std::size_t>(Input.channels);
        const std::span norm{tensors.take_parameters(2 * Input.channels), 2 * channels};
        const double scale = out_scale(in_scale, scales);
        // The variance of the elements is counted in in_scale² / channels².
        const double epsilon = LayerNorm::epsilon * std::pow(static_cast<double>(Input.channels) / in_scale, 2);
        const auto counted = static_cast<std::uint64_t>(std::llround(std::min(epsilon, std::ldexp(1.0, 60))));
        target.constants[0] = static_cast<std::int32_t>(static_cast<std::uint32_t>(counted));
        target.constants[1] = static_cast<std::int32_t>(counted >> 32);
        double largest = 0;
        for (const float weight : norm.first(channels))
            largest = std::max(largest, std::abs(static_cast<double>(weight)) / (scale * 65536));
        int exponent = 0;
        std::frexp(largest, &exponent);
        const int shift = std::clamp(24 - exponent, 16, 46);
        target.constants[2] = shift;
        for (std::size_t c = 0; c < channels; ++c) {
            const double multiplier = static_cast<double>(norm[c]) / (scale * 65536);
            target.constants[3 + c] = static_cast<std::int32_t>(std::llround(std::ldexp(multiplier, shift)));
            const double bias = std::clamp(static_cast<double>(norm[channels + c]) / scale, -32767.0, 32767.0);
            target.constants[3 + channels + c] = static_cast<std::int32_t>(std::llround(bias * 65536));
        }
        return scale;
    }
    static double out_scale(double, ScaleReader& scales) { return map_scale<Out>(scales.take_largest()); }
};

template <class Shuffle, Shape Input, class P, class T>
struct PrepareStage<ShuffleChannels<Shuffle, Input, P, T>> : PrepareNothing {};

template <Shape Input, class P, class In>
struct PrepareStage<ToLogits<Input, P, In>> {
    static double run(TensorReader&, WeightTarget<Int8> target, double in_scale, ScaleReader& scales) {
        target.constants[0] = factor_of(in_scale * Int8::logit_unit);
        return out_scale(in_scale, scales);
    }
    static double out_scale(double, ScaleReader&) { return 1.0 / Int8::logit_unit; }
};

template <JoinSpec S, class P, class In, class Out, class... Paths>
struct PrepareStage<JoinPaths<S, P, In, Out, Paths...>> {
    using Stage = JoinPaths<S, P, In, Out, Paths...>;

    static void run(TensorReader& tensors, WeightTarget<Float32> target) {
        (path<Paths>(target, [&](auto at) { PrepareChain<typename Paths::Stages>::run(tensors, at); }), ...);
        const float* scale = tensors.take_parameters(Stage::scale_count);
        std::copy(scale, scale + Stage::scale_count, target.constants);
    }

    static double run(TensorReader& tensors, WeightTarget<Int8> target, double in_scale, ScaleReader& scales) {
        std::vector<double> path_scales;
        (path<Paths>(target,
                     [&](auto at) {
                         path_scales.push_back(
                             PrepareChain<typename Paths::Stages>::run(tensors, at, in_scale, scales));
                     }),
         ...);
        const float* learned = tensors.take_parameters(Stage::scale_count);
        const double scale = out_scale(in_scale, scales);
        std::int32_t* constants = target.constants;
        if constexpr (S.join == Join::concatenate) {
            for (const double path_scale : path_scales) *constants++ = factor_of(path_scale / scale);
        } else {
            const double share = S.join == Join::mean ? 1.0 / static_cast<double>(path_scales.size()) : 1.0;
            std::vector<double> multipliers;
            for (const double path_scale : path_scales) multipliers.push_back(share * path_scale / scale);
            if constexpr (S.scaled_path >= 0)
                for (int c = 0; c < Stage::channels; ++c)
                    multipliers.push_back(multipliers[static_cast<std::size_t>(S.scaled_path)] *
                                          static_cast<double>(learned[c]));
            double largest = 0;
            for (const double multiplier : multipliers) largest = std::max(largest, std::abs(multiplier));
            int exponent = 0;
            std::frexp(largest, &exponent);
            const int shift = std::clamp(24 - exponent, 1, 60);
            *constants++ = shift;
            for (const double multiplier : multipliers)
                *constants++ = static_cast<std::int32_t>(std::llround(std::ldexp(multiplier, shift)));
        }
        return scale;
    }
    static double out_scale(double, ScaleReader& scales) { return map_scale<Out>(scales.take_largest(), S.bound); }

private:
    template <class Path, class Target, class Body>
    static void path(Target& target, Body&& body) {
        body(target);
        target.weights += StageSizes<typename Path::Stages>::weight_count;
        target.constants += StageSizes<typename Path::Stages>::constant_count;
    }
};

template <Shape Input, class P, class In, class Out, class GateElement, class Body>
struct PrepareStage<GateChannels<Input, P, In, Out, GateElement, Body>> {
    static void run(TensorReader& tensors, WeightTarget<Float32> target) { PrepareChain<Body>::run(tensors, target); }
    static double run(TensorReader& tensors, WeightTarget<Int8> target, double in_scale, ScaleReader& scales) {
        const double gate_scale = PrepareChain<Body>::run(tensors, target, in_scale, scales);
        const double scale = out_scale(in_scale, scales);
        target.constants[StageSizes<Body>::constant_count] = factor_of(in_scale * gate_scale / scale);
        return scale;
    }
    static double out_scale(double, ScaleReader& scales) { return map_scale<Out>(scales.take_largest()); }
};

/// Color c of a byte p is p · factor + summand in float. Further channels repeat the three colors' coefficients.
template <Shape Input>
struct PixelCoefficients {
    double factor[static_cast<std::size_t>(Input.channels)];
    double summand[static_cast<std::size_t>(Input.channels)];

    explicit PixelCoefficients(const PixelScaling& scaling) {
        for (std::size_t c = 0; c < static_cast<std::size_t>(Input.channels); ++c) {
            const std::size_t color = c % 3;
            factor[c] = 1.0 / (255.0 * static_cast<double>(scaling.deviation[color]));
            summand[c] = -static_cast<double>(scaling.mean[color]) / static_cast<double>(scaling.deviation[color]);
        }
    }

    /// The scale of the picture in int8, which holds every byte's value.
    double out_scale(ScaleReader& scales) const {
        scales.take_largest();
        double largest = 0;
        for (std::size_t c = 0; c < static_cast<std::size_t>(Input.channels); ++c)
            largest = std::max({largest, std::abs(summand[c]), std::abs(255 * factor[c] + summand[c])});
        return largest / 127;
    }
};

template <Shape Input, class P>
void prepare_pixels(const PixelScaling& scaling, WeightTarget<P>& target, double& scale, ScaleReader& scales) {
    const PixelCoefficients<Input> pixels{scaling};
    scale = 1;
    if constexpr (std::is_same_v<P, Int8>) scale = pixels.out_scale(scales);
    for (std::size_t c = 0; c < static_cast<std::size_t>(Input.channels); ++c)
        for (const double value : {pixels.factor[c], pixels.summand[c]}) {
            if constexpr (std::is_same_v<P, Int8>)
                *target.constants++ = static_cast<std::int32_t>(std::lround(value / scale * 65536));
            else
                *target.constants++ = static_cast<float>(value);
        }
}

template <class Stages>
struct AfterPixels;
template <class First, class... Rest>
struct AfterPixels<StageList<First, Rest...>> {
    using type = StageList<Rest...>;
};

template <class Net>
void check_tensors(std::span<const float> parameters, std::span<const float> statistics) {
    if (static_cast<Index>(parameters.size()) != trainable_parameters<Net> ||
        static_cast<Index>(statistics.size()) != non_trainable_parameters<Net>)
        throw Error{"the network has " + std::to_string(trainable_parameters<Net>) + " parameters and " +
                    std::to_string(non_trainable_parameters<Net>) + " statistics, given are " +
                    std::to_string(parameters.size()) + " and " + std::to_string(statistics.size()) +
                    "; are they another network's?"};
    // What follows divides by the root of a variance and rounds: it must not meet other numbers.
    for (const NamedTensor& entry : tensor_table<Net>) {
        const bool variance = entry.name.view().ends_with("running_var");
        const std::span<const float> values = (entry.tensor.trainable ? parameters : statistics)
                                                  .subspan(static_cast<std::size_t>(entry.offset),
                                                           static_cast<std::size_t>(entry.tensor.element_count()));
        for (const float value : values)
            if (!std::isfinite(value) || (variance && value < 0))
                throw Error{"the network's tensor '" + std::string{entry.name.view()} + "' holds " +
                            std::to_string(value) + (variance ? ", which is no variance" : ", which is not finite") +
                            "; take an earlier checkpoint"};
    }
}

template <class Net>
void check_ranges(std::span<const float> largest) {
    if (largest.size() != map_count<Net>)
        throw Error{"the network has " + std::to_string(map_count<Net>) + " maps, given are the ranges of " +
                    std::to_string(largest.size()) + "; are they another network's?"};
    for (const float range : largest)
        if (!std::isfinite(range) || range < 0)
            throw Error{"the range of a map is " + std::to_string(range) +
                        ", expected a finite magnitude; are the network's weights sound?"};
}

/// The weights in float, unless they left its range when a norm was folded into them.
inline void check_folded(const auto& values) {
    for (const float value : values)
        if (!std::isfinite(value))
            throw Error{
                "a weight leaves the range of float when the batch norm behind it is folded into it; are the "
                "network's weights sound?"};
}

}  // namespace detail

/// The weights of `Net` in float from its flat buffers (those of `cpu::Model`, or what `read_network` fills).
template <class Net>
std::unique_ptr<Weights<Net, Float32>> prepare_float32(std::span<const float> parameters,
                                                       std::span<const float> statistics,
                                                       const PixelScaling& scaling = {}) {
    detail::check_tensors<Net>(parameters, statistics);
    auto weights = std::make_unique<Weights<Net, Float32>>();
    detail::TensorReader tensors{parameters.data(), statistics.data()};
    detail::WeightTarget<Float32> target{weights->weights, weights->constants};
    detail::ScaleReader none{};
    double scale = 1;
    detail::prepare_pixels<input_shape<Net>>(scaling, target, scale, none);
    detail::PrepareChain<typename detail::AfterPixels<StagesOf<Net, Float32>>::type>::run(tensors, target);
    detail::check_folded(weights->weights);
    detail::check_folded(weights->constants);
    return weights;
}

/// The weights of `Net` in int8. `largest` is the largest magnitude that each map's scale holds, as a calibration or a
/// training for int8 gives it; larger elements saturate. Throws Error where it belongs to another network.
template <class Net>
std::unique_ptr<Weights<Net, Int8>> prepare_int8(std::span<const float> parameters, std::span<const float> statistics,
                                                 std::span<const float> largest, const PixelScaling& scaling = {}) {
    detail::check_tensors<Net>(parameters, statistics);
    detail::check_ranges<Net>(largest);
    auto weights = std::make_unique<Weights<Net, Int8>>();
    detail::TensorReader tensors{parameters.data(), statistics.data()};
    detail::WeightTarget<Int8> target{weights->weights, weights->constants};
    detail::ScaleReader scales{largest};
    double scale = 1;
    detail::prepare_pixels<input_shape<Net>>(scaling, target, scale, scales);
    detail::PrepareChain<typename detail::AfterPixels<StagesOf<Net, Int8>>::type>::run(tensors, target, scale, scales);
    return weights;
}

/// The same. `calibration` has seen training pictures with the same weights; of every map the share `kept` of its
/// elements lies within its scale.
template <class Net>
std::unique_ptr<Weights<Net, Int8>> prepare_int8(std::span<const float> parameters, std::span<const float> statistics,
                                                 const Calibration<Net>& calibration, const PixelScaling& scaling = {},
                                                 double kept = 1) {
    return prepare_int8<Net>(parameters, statistics, calibration.largest(kept), scaling);
}

}  // namespace bantam::deploy
