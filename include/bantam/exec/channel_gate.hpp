// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/layers/squeeze_excite.hpp>

namespace bantam::exec {

/// How a channel gate runs on any backend.
template <class Backend, class Layer, Shape Input, class S>
struct ChannelGateOperation;

template <class Backend, class... Ls, Shape Input, class S>
struct ChannelGateOperation<Backend, ChannelGate<Ls...>, Input, S> : OperationSizes {
    using Pass = typename Backend::template Pass<S>;
    using Body = typename Backend::template Chain<Sequence<Ls...>, Input, S>;
    static constexpr Index channels = Input.channels;
    static constexpr Index elements = element_count(Input);
    static constexpr Index packed_size = Body::packed_size;
    static constexpr Index scratch_size = Body::scratch_size;
    static constexpr Index partial_size = Body::partial_size;
    static constexpr Index sum_count = Body::sum_count;

    // Workspace: the gate, its gradient, the gradient that comes back through the body, the body's own.
    static constexpr Index own_per_sample(bool training) {
        return align_up<S>(channels + (training ? channels + elements : 0));
    }
    static constexpr Index saved_per_sample(bool training) {
        return own_per_sample(training) + Body::saved_per_sample(training);
    }
    static constexpr Index saved_fixed(bool training) { return Body::saved_fixed(training); }

    static S* body_saved(const Pass& pass, S* saved) { return saved + own_per_sample(pass.training) * pass.count; }

    static void prepare(const S* parameters, S* panels) { Body::prepare(parameters, panels); }

    static void forward(const Pass& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        S* gate = saved;
        Body::forward(pass, weights, input, gate, body_saved(pass, saved));
        Backend::template multiply_gate<Input, S>(pass, input, gate, nullptr, output);
    }

    static void backward(const Pass& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, Compute<S>* parameter_gradient) {
        const S* gate = saved;
        S* gate_gradient = saved + channels * pass.count;
        S* body_gradient = gate_gradient + channels * pass.count;
        Backend::template gate_gradient<Input, S>(pass, output_gradient, input, gate_gradient);
        Body::backward(pass, weights, input, body_saved(pass, saved), gate_gradient,
                       input_gradient ? body_gradient : nullptr, parameter_gradient);
        if (input_gradient)
            Backend::template multiply_gate<Input, S>(pass, output_gradient, gate, body_gradient, input_gradient);
    }
};

}  // namespace bantam::exec
