// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/exec/workspace.hpp>
#include <bantam/layers/squeeze_excite.hpp>

#include <array>
#include <cstddef>

namespace bantam::exec {

/// output = input · gate(input), one gate per sample and channel.
template <class Backend, class... Ls, Shape Input, class S>
struct Operation<Backend, ChannelGate<Ls...>, Input, S> : OperationSizes {
    using Pass = typename Backend::template Pass<S>;
    using Weights = typename Backend::template Weights<S>;
    using Body = typename Backend::template Chain<Sequence<Ls...>, Input, S>;
    static constexpr Index packed_size = Body::packed_size;
    static constexpr Index scratch_size = Body::scratch_size;
    static constexpr Index partial_size = Body::partial_size;
    static constexpr Index sum_count = Body::sum_count;
    static constexpr int stream_digits = Body::stream_digits;

    // `body_gradient` is the gradient of the input through the body.
    enum Region : std::size_t { gate, gate_gradient, body_gradient, body, region_count };
    static constexpr auto workspace = make_workspace<S>([](bool training) {
        std::array<RegionSize, region_count> regions{};
        regions[gate].per_sample = Input.channels;
        if (training) {
            regions[gate_gradient].per_sample = Input.channels;
            regions[body_gradient].per_sample = element_count(Input);
        }
        regions[body] = saved_size<Body>(training);
        return regions;
    });
    static constexpr Index saved_per_sample(bool training) { return workspace.per_sample(training); }
    static constexpr Index saved_fixed(bool training) { return workspace.fixed(training); }

    static void prepare(const S* parameters, S* packed) { Body::prepare(parameters, packed); }

    static void forward(const Pass& pass, const Weights& weights, const S* input, S* output, S* saved) {
        S* gates = workspace.at(gate, pass, saved);
        Body::forward(pass, weights, input, gates, workspace.at(body, pass, saved));
        Backend::template multiply_gate<Input, S>(pass, input, gates, nullptr, output);
    }

    template <class InputGradient>
    static void backward(const Pass& pass, const Weights& weights, const S* input, S* saved, const S* output_gradient,
                         InputGradient input_gradient, Compute<S>* parameter_gradient) {
        S* gates_gradient = workspace.at(gate_gradient, pass, saved);
        const auto through_body = inner_gradient(input_gradient, workspace.at(body_gradient, pass, saved));
        Backend::template gate_gradient<Input, S>(pass, output_gradient, input, gates_gradient);
        Body::backward(pass, weights, input, workspace.at(body, pass, saved), gates_gradient, through_body,
                       parameter_gradient);
        if constexpr (!std::is_null_pointer_v<InputGradient>)
            if (input_gradient)
                Backend::template multiply_gate<Input, S>(pass, output_gradient, workspace.at(gate, pass, saved),
                                                          through_body, input_gradient);
    }
};

}  // namespace bantam::exec
