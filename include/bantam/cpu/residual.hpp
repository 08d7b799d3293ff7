// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/network.hpp>
#include <bantam/cpu/block.hpp>
#include <bantam/cpu/chain.hpp>
#include <bantam/cpu/copy.hpp>
#include <bantam/layers/residual.hpp>

#include <algorithm>
#include <type_traits>

namespace bantam::cpu {

/// to[row, c] += from[row, c] · scale[c] for a chunk's rows; without scales where `scale` is null.
template <std::int64_t Channels, class S>
void add_scaled(std::int64_t rows, const S* from, const S* scale, S* to) {
    for (std::int64_t row = 0; row < rows; ++row)
        for_each_block<S, Channels>([&]<int Width>(std::int64_t c) {
            const std::int64_t i = row * Channels + c;
            Block<S, Width> value = load_block<S, Width>(from + i);
            if (scale) value *= load_block<S, Width>(scale + c);
            store_block<S, Width>(to + i, load_block<S, Width>(to + i) + value);
        });
}

template <class Body, class Shortcut, Scale Scaled, Shape Input, class S>
struct Operation<ResidualBlock<Body, Shortcut, Scaled>, Input, S> : OperationSizes {
    using BodyChain = Chain<Body, Input, S>;
    static constexpr bool plain = std::is_same_v<Shortcut, Identity>;
    using ShortcutChain = Chain<Shortcut, Input, S>;
    using Layer = ResidualBlock<Body, Shortcut, Scaled>;
    static constexpr Shape output_shape = Layer::output_shape(Input);
    static constexpr std::int64_t in = element_count(Input);
    static constexpr std::int64_t out = element_count(output_shape);
    static constexpr std::int64_t channels = output_shape.channels;
    static constexpr std::int64_t body_trainable = trainable_parameters<Part<Body, Input>>;
    static constexpr std::int64_t body_statistics = non_trainable_parameters<Part<Body, Input>>;
    static constexpr std::int64_t shortcut_trainable = trainable_parameters<Part<Shortcut, Input>>;

    static constexpr std::int64_t packed = BodyChain::packed + ShortcutChain::packed;
    static constexpr std::int64_t scratch = std::max(BodyChain::scratch, ShortcutChain::scratch);
    static constexpr std::int64_t partials =
        std::max({BodyChain::partials, ShortcutChain::partials, Scaled == Scale::none ? 0 : channels});
    static constexpr std::int64_t sums = std::max(BodyChain::sums, ShortcutChain::sums);

    // Workspace: the body's, the shortcut's, then one output kept for the scale's gradient or to be
    // added, then a gradient on its way.
    static constexpr bool keeps_output = !plain || Scaled == Scale::body;
    static constexpr std::int64_t saved_per_sample(bool training) {
        return BodyChain::saved_per_sample(training) + ShortcutChain::saved_per_sample(training) +
               (keeps_output ? out : 0) + (training ? std::max(in, out) : 0);
    }
    static constexpr std::int64_t saved_fixed(bool training) {
        return BodyChain::saved_fixed(training) + ShortcutChain::saved_fixed(training);
    }

    struct Parts {
        S* body;
        S* shortcut;
        S* kept;
        S* gradient;
    };
    static Parts parts(const Pass<S>& pass, S* saved) {
        Parts result{};
        result.body = saved;
        result.shortcut = result.body + BodyChain::saved_per_sample(pass.training) * pass.count +
                          BodyChain::saved_fixed(pass.training);
        result.kept = result.shortcut + ShortcutChain::saved_per_sample(pass.training) * pass.count +
                      ShortcutChain::saved_fixed(pass.training);
        result.gradient = result.kept + (keeps_output ? out * pass.count : 0);
        return result;
    }
    static Pass<S> shortcut_pass(const Pass<S>& pass) {
        Pass<S> own = pass;
        own.stream = pass.stream * 64 + 63;
        return own;
    }
    static Weights<S> shortcut_weights(const Weights<S>& weights) {
        return {weights.parameters + body_trainable, weights.statistics + body_statistics,
                weights.packed + BodyChain::packed};
    }
    static const S* scale_of(const Weights<S>& weights) {
        return weights.parameters + body_trainable + shortcut_trainable;
    }

    static void prepare(const S* parameters, S* panels) {
        BodyChain::prepare(parameters, panels);
        ShortcutChain::prepare(parameters + body_trainable, panels + BodyChain::packed);
    }

    /// to += from (· scale) over the batch.
    static void add(const Pass<S>& pass, const S* from, const S* scale, S* to) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            add_scaled<channels>(chunk.count * pixel_count(output_shape), from + chunk.first * out, scale,
                                 to + chunk.first * out);
        });
    }
    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        const Parts at = parts(pass, saved);
        if constexpr (Scaled == Scale::body) {
            BodyChain::forward(pass, weights, input, at.kept, at.body);
            std::copy(input, input + pass.count * in, output);
            add(pass, at.kept, scale_of(weights), output);
        } else {
            BodyChain::forward(pass, weights, input, output, at.body);
            const S* shortcut = input;
            if constexpr (!plain) {
                ShortcutChain::forward(shortcut_pass(pass), shortcut_weights(weights), input, at.kept, at.shortcut);
                shortcut = at.kept;
            }
            add(pass, shortcut, Scaled == Scale::shortcut ? scale_of(weights) : nullptr, output);
        }
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        const Parts at = parts(pass, saved);
        const S* body_gradient = output_gradient;
        if constexpr (Scaled == Scale::body) {
            std::fill(at.gradient, at.gradient + pass.count * out, S{0});
            add(pass, output_gradient, scale_of(weights), at.gradient);
            body_gradient = at.gradient;
        }
        BodyChain::backward(pass, weights, input, at.body, body_gradient, input_gradient, parameter_gradient);
        if constexpr (Scaled != Scale::none)
            scale_gradient(pass, output_gradient, Scaled == Scale::body ? at.kept : input,
                           parameter_gradient + body_trainable + shortcut_trainable);
        if constexpr (plain) {
            if (input_gradient)
                add(pass, output_gradient, Scaled == Scale::shortcut ? scale_of(weights) : nullptr, input_gradient);
        } else {
            ShortcutChain::backward(shortcut_pass(pass), shortcut_weights(weights), input, at.shortcut,
                                    output_gradient, input_gradient ? at.gradient : nullptr,
                                    parameter_gradient + body_trainable);
            if (!input_gradient) return;
            for_each_chunk(pass, [&](Chunk chunk, S*) {
                add_scaled<Input.channels, S>(chunk.count * pixel_count(Input), at.gradient + chunk.first * in,
                                              nullptr, input_gradient + chunk.first * in);
            });
        }
    }

    /// gradient[c] = Σ over samples and positions of output_gradient · scaled.
    static void scale_gradient(const Pass<S>& pass, const S* output_gradient, const S* scaled, S* gradient) {
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            const std::int64_t begin = chunk.first * pixel_count(output_shape);
            const std::int64_t end = begin + chunk.count * pixel_count(output_shape);
            for_each_block<S, channels>([&]<int Width>(std::int64_t c) {
                Block<S, Width> sum = Block<S, Width>::Zero();
                for (std::int64_t row = begin; row < end; ++row)
                    sum += load_block<S, Width>(output_gradient + row * channels + c) *
                           load_block<S, Width>(scaled + row * channels + c);
                store_block<S, Width>(pass.partials + chunk.index * partials + c, sum);
            });
        });
        add_partials(pass, pass.partials, partials, channels, gradient);
    }
};

}  // namespace bantam::cpu
