// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/exec/random_stream.hpp>
#include <bantam/exec/workspace.hpp>
#include <bantam/layers/residual.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

namespace bantam::exec {

/// output = body(input) + shortcut(input), where one of the two may be scaled per channel.
template <class Backend, class Body, class Shortcut, Scale Scaled, Shape Input, class S>
struct Operation<Backend, ResidualBlock<Body, Shortcut, Scaled>, Input, S> : OperationSizes {
    using Pass = typename Backend::template Pass<S>;
    using Weights = typename Backend::template Weights<S>;
    using BodyChain = typename Backend::template Chain<Body, Input, S>;
    using ShortcutChain = typename Backend::template Chain<Shortcut, Input, S>;
    using Layer = ResidualBlock<Body, Shortcut, Scaled>;
    static constexpr bool identity_shortcut = std::is_same_v<Shortcut, Identity>;
    static constexpr Shape output_shape = Layer::output_shape(Input);
    static constexpr Index channels = output_shape.channels;
    static constexpr TensorOffsets shortcut_tensors{
        trainable_parameters<Part<Body, Input>>, non_trainable_parameters<Part<Body, Input>>, BodyChain::packed_size};
    static constexpr Index scale_offset = shortcut_tensors.trainable + trainable_parameters<Part<Shortcut, Input>>;

    static constexpr Index packed_size = BodyChain::packed_size + ShortcutChain::packed_size;
    static constexpr Index scratch_size = std::max(BodyChain::scratch_size, ShortcutChain::scratch_size);
    static constexpr Index partial_size =
        std::max({BodyChain::partial_size, ShortcutChain::partial_size, Scaled == Scale::none ? 0 : channels});
    static constexpr Index sum_count = std::max(BodyChain::sum_count, ShortcutChain::sum_count);
    static constexpr int stream_digits = std::max(BodyChain::stream_digits, 1 + ShortcutChain::stream_digits);

    // `path_output` is the output of the body for the gradient of its scale, or that of the shortcut.
    enum Region : std::size_t { body, shortcut, path_output, gradient, region_count };
    static constexpr auto workspace = make_workspace<S>([](bool training) {
        constexpr Index in = element_count(Input), out = element_count(output_shape);
        std::array<RegionSize, region_count> regions{};
        regions[body] = saved_size<BodyChain>(training);
        regions[shortcut] = saved_size<ShortcutChain>(training);
        if (!identity_shortcut || Scaled == Scale::body) regions[path_output].per_sample = out;
        if (training) regions[gradient].per_sample = std::max(in, out);
        return regions;
    });
    static constexpr Index saved_per_sample(bool training) { return workspace.per_sample(training); }
    static constexpr Index saved_fixed(bool training) { return workspace.fixed(training); }

    static Pass shortcut_pass(const Pass& pass) { return with_stream(pass, shortcut_stream(pass.stream)); }
    static const Compute<S>* scale_of(const Weights& weights) { return weights.parameters + scale_offset; }

    static void prepare(const S* parameters, S* packed) {
        BodyChain::prepare(parameters, packed);
        ShortcutChain::prepare(parameters + shortcut_tensors.trainable, packed + shortcut_tensors.packed);
    }

    /// to = base + from · scale over the batch; `base` and `scale` may be null.
    static void add(const Pass& pass, const S* base, const S* from, const Compute<S>* scale, S* to) {
        Backend::template add_scaled<channels>(pass, pixel_count(output_shape), base, from, scale, to);
    }

    static void forward(const Pass& pass, const Weights& weights, const S* input, S* output, S* saved) {
        S* path = workspace.at(path_output, pass, saved);
        S* body_saved = workspace.at(body, pass, saved);
        if constexpr (Scaled == Scale::body) {
            BodyChain::forward(pass, weights, input, path, body_saved);
            add(pass, input, path, scale_of(weights), output);
        } else {
            BodyChain::forward(pass, weights, input, output, body_saved);
            const S* added = input;
            if constexpr (!identity_shortcut) {
                ShortcutChain::forward(shortcut_pass(pass), weights.at(shortcut_tensors), input, path,
                                       workspace.at(shortcut, pass, saved));
                added = path;
            }
            add(pass, output, added, Scaled == Scale::shortcut ? scale_of(weights) : nullptr, output);
        }
    }

    template <class InputGradient>
    static void backward(const Pass& pass, const Weights& weights, const S* input, S* saved, const S* output_gradient,
                         InputGradient input_gradient, Compute<S>* parameter_gradient) {
        S* path_gradient = workspace.at(gradient, pass, saved);
        const S* body_gradient = output_gradient;
        if constexpr (Scaled == Scale::body) {
            add(pass, nullptr, output_gradient, scale_of(weights), path_gradient);
            body_gradient = path_gradient;
        }
        BodyChain::backward(pass, weights, input, workspace.at(body, pass, saved), body_gradient, input_gradient,
                            parameter_gradient);
        if constexpr (Scaled != Scale::none)
            Backend::template sum_of_products<channels>(
                pass, pixel_count(output_shape), output_gradient,
                Scaled == Scale::body ? workspace.at(path_output, pass, saved) : input,
                parameter_gradient + scale_offset);
        if constexpr (identity_shortcut) {
            if constexpr (!std::is_null_pointer_v<InputGradient>)
                if (input_gradient)
                    add(pass, input_gradient, output_gradient, Scaled == Scale::shortcut ? scale_of(weights) : nullptr,
                        input_gradient);
        } else {
            ShortcutChain::backward(shortcut_pass(pass), weights.at(shortcut_tensors), input,
                                    workspace.at(shortcut, pass, saved), output_gradient,
                                    inner_gradient(input_gradient, path_gradient),
                                    parameter_gradient + shortcut_tensors.trainable);
            if constexpr (!std::is_null_pointer_v<InputGradient>)
                if (input_gradient)
                    Backend::template add_scaled<Input.channels, S>(pass, pixel_count(Input), input_gradient,
                                                                    path_gradient, nullptr, input_gradient);
        }
    }
};

}  // namespace bantam::exec
