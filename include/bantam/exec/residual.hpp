// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/layers/residual.hpp>

#include <algorithm>
#include <type_traits>

namespace bantam::exec {

/// How a residual block runs on any backend.
template <class Backend, class Layer, Shape Input, class S>
struct ResidualOperation;

template <class Backend, class Body, class Shortcut, Scale Scaled, Shape Input, class S>
struct ResidualOperation<Backend, ResidualBlock<Body, Shortcut, Scaled>, Input, S> : OperationSizes {
    using Pass = typename Backend::template Pass<S>;
    using BodyChain = typename Backend::template Chain<Body, Input, S>;
    static constexpr bool plain = std::is_same_v<Shortcut, Identity>;
    using ShortcutChain = typename Backend::template Chain<Shortcut, Input, S>;
    using Layer = ResidualBlock<Body, Shortcut, Scaled>;
    static constexpr Shape output_shape = Layer::output_shape(Input);
    static constexpr Index in = element_count(Input);
    static constexpr Index out = element_count(output_shape);
    static constexpr Index channels = output_shape.channels;
    static constexpr Index body_trainable = trainable_parameters<Part<Body, Input>>;
    static constexpr Index body_statistics = non_trainable_parameters<Part<Body, Input>>;
    static constexpr Index shortcut_trainable = trainable_parameters<Part<Shortcut, Input>>;

    static constexpr Index packed_size = BodyChain::packed_size + ShortcutChain::packed_size;
    static constexpr Index scratch_size = std::max(BodyChain::scratch_size, ShortcutChain::scratch_size);
    static constexpr Index partial_size =
        std::max({BodyChain::partial_size, ShortcutChain::partial_size, Scaled == Scale::none ? 0 : channels});
    static constexpr Index sum_count = std::max(BodyChain::sum_count, ShortcutChain::sum_count);

    // Workspace: the body's, the shortcut's, then one output kept for the scale's gradient or to be
    // added, then a gradient on its way.
    static constexpr Index kept_per_sample = !plain || Scaled == Scale::body ? align_up<S>(out) : 0;
    static constexpr Index saved_per_sample(bool training) {
        return BodyChain::saved_per_sample(training) + ShortcutChain::saved_per_sample(training) + kept_per_sample +
               (training ? align_up<S>(std::max(in, out)) : 0);
    }
    static constexpr Index saved_fixed(bool training) {
        return BodyChain::saved_fixed(training) + ShortcutChain::saved_fixed(training);
    }

    struct Parts {
        S* body;
        S* shortcut;
        S* kept;
        S* gradient;
    };
    static Parts parts(const Pass& pass, S* saved) {
        Parts result{};
        result.body = saved;
        result.shortcut = result.body + BodyChain::saved_per_sample(pass.training) * pass.count +
                          BodyChain::saved_fixed(pass.training);
        result.kept = result.shortcut + ShortcutChain::saved_per_sample(pass.training) * pass.count +
                      ShortcutChain::saved_fixed(pass.training);
        result.gradient = result.kept + kept_per_sample * pass.count;
        return result;
    }
    static Pass shortcut_pass(const Pass& pass) {
        Pass own = pass;
        own.stream = pass.stream * 64 + 63;
        return own;
    }
    static Weights<S> shortcut_weights(const Weights<S>& weights) {
        return {weights.parameters + body_trainable, weights.statistics + body_statistics,
                weights.packed + BodyChain::packed_size};
    }
    static const Compute<S>* scale_of(const Weights<S>& weights) {
        return weights.parameters + body_trainable + shortcut_trainable;
    }

    static void prepare(const S* parameters, S* panels) {
        BodyChain::prepare(parameters, panels);
        ShortcutChain::prepare(parameters + body_trainable, panels + BodyChain::packed_size);
    }

    /// to = base + from · scale over the batch; `base` and `scale` may be null.
    static void add(const Pass& pass, const S* base, const S* from, const Compute<S>* scale, S* to) {
        Backend::template add_scaled<channels>(pass, pixel_count(output_shape), base, from, scale, to);
    }

    static void forward(const Pass& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        const Parts at = parts(pass, saved);
        if constexpr (Scaled == Scale::body) {
            BodyChain::forward(pass, weights, input, at.kept, at.body);
            add(pass, input, at.kept, scale_of(weights), output);
        } else {
            BodyChain::forward(pass, weights, input, output, at.body);
            const S* shortcut = input;
            if constexpr (!plain) {
                ShortcutChain::forward(shortcut_pass(pass), shortcut_weights(weights), input, at.kept, at.shortcut);
                shortcut = at.kept;
            }
            add(pass, output, shortcut, Scaled == Scale::shortcut ? scale_of(weights) : nullptr, output);
        }
    }

    static void backward(const Pass& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, Compute<S>* parameter_gradient) {
        const Parts at = parts(pass, saved);
        const S* body_gradient = output_gradient;
        if constexpr (Scaled == Scale::body) {
            add(pass, nullptr, output_gradient, scale_of(weights), at.gradient);
            body_gradient = at.gradient;
        }
        BodyChain::backward(pass, weights, input, at.body, body_gradient, input_gradient, parameter_gradient);
        if constexpr (Scaled != Scale::none)
            Backend::template sum_of_products<channels>(pass, pixel_count(output_shape), output_gradient,
                                                        Scaled == Scale::body ? at.kept : input,
                                                        parameter_gradient + body_trainable + shortcut_trainable);
        if constexpr (plain) {
            if (input_gradient)
                add(pass, input_gradient, output_gradient, Scaled == Scale::shortcut ? scale_of(weights) : nullptr,
                    input_gradient);
        } else {
            ShortcutChain::backward(shortcut_pass(pass), shortcut_weights(weights), input, at.shortcut, output_gradient,
                                    input_gradient ? at.gradient : nullptr, parameter_gradient + body_trainable);
            if (input_gradient)
                Backend::template add_scaled<Input.channels, S>(pass, pixel_count(Input), input_gradient, at.gradient,
                                                                nullptr, input_gradient);
        }
    }
};

}  // namespace bantam::exec
