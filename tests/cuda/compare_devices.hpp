// SPDX-License-Identifier: MIT
#pragma once

#include "cpu/compare_models.hpp"

#include <bantam/cuda/model.hpp>

/// All that a model on the device computes of one batch.
template <class Model, class S>
Everything<S> run_batch(Model& model, const std::vector<S>& batch, const std::vector<S>& logits_gradient) {
    const std::int64_t count = std::ssize(batch) / Model::input_elements;
    const bantam::cuda::Execution& execution = model.execution();
    const auto on_device = [&](const std::vector<S>& values) {
        bantam::cuda::DeviceBuffer<S> buffer;
        buffer.reserve(std::ssize(values));
        bantam::cuda::copy_to_device(execution, values.data(), std::ssize(values), buffer.data());
        return buffer;
    };
    const auto on_host = [&](const bantam::cuda::DeviceBuffer<S>& buffer) {
        std::vector<S> values(static_cast<std::size_t>(buffer.size()));
        bantam::cuda::copy_to_host(execution, buffer.data(), buffer.size(), values.data());
        return values;
    };
    // Whatever is not written stays as far off as can be.
    const auto unset = [&](std::int64_t size) {
        return on_device(std::vector<S>(static_cast<std::size_t>(size), std::numeric_limits<S>::quiet_NaN()));
    };
    const auto input = on_device(batch);
    const auto output_gradient = on_device(logits_gradient);
    auto output = unset(count * Model::output_elements);
    auto inferred = unset(count * Model::output_elements);
    auto parameter_gradient = unset(std::ssize(model.read_parameters()));
    auto input_gradient = unset(count * Model::input_elements);
    bantam::cuda::DeviceBuffer<std::uint64_t> seed;
    seed.reserve(1);
    const std::uint64_t chosen = 77;
    bantam::cuda::copy_to_device(execution, &chosen, 1, seed.data());
    model.forward(input.data(), count, seed.data(), output.data());
    model.backward(output_gradient.data(), parameter_gradient.data(), input_gradient.data());
    model.infer(input.data(), count, inferred.data());
    return {on_host(output), on_host(parameter_gradient), on_host(input_gradient), model.read_statistics(),
            on_host(inferred)};
}

/// Gives a model on the device the weights that `run` gives one on the CPU.
template <class Model>
void set_weights(Model& model) {
    model.initialize(11);
    auto parameters = model.read_parameters();
    auto statistics = model.read_statistics();
    unsettle(std::span{parameters}, 1);
    unsettle(std::span{statistics}, 2);
    model.set_weights(parameters, statistics);
}

/// What `run` computes on the CPU, computed on the device with activations of type `Activation`.
template <class Net, class Activation>
auto run_on_device(std::int64_t count) {
    using S = bantam::Compute<Activation>;
    bantam::cuda::Model<Net, Activation> model;
    set_weights(model);
    return run_batch(model, numbers<S>(count * model.input_elements, 1), numbers<S>(count * model.output_elements, 2));
}

/// The device gives what the CPU gives, layer by layer, and the same bits each time.
template <class Net>
void devices_agree(std::initializer_list<std::int64_t> counts = {1, 3, 18}) {
    for (const std::int64_t count : counts) BOOST_TEST_CONTEXT("batch of " << count) {
            const Everything<double> expected = run<Net, double, false>(count, 1);
            const Everything<double> found = run_on_device<Net, double>(count);
            agree(found, expected, 1e-10);
            BOOST_TEST((found == run_on_device<Net, double>(count)), "a second run gives other bits");
            agree(run_on_device<Net, float>(count), expected, 1e-4);
        }
}
