// SPDX-License-Identifier: MIT
#pragma once

#include "../cpu/compare_models.hpp"

#include <bantam/cuda/model.hpp>

/// What `run` computes on the CPU, computed on the device.
template <class Net, class S>
Everything<S> run_on_device(std::int64_t count) {
    bantam::cuda::Model<Net, S> model;
    model.initialise(11);
    std::vector<S> parameters = model.read_parameters();
    std::vector<S> statistics = model.read_statistics();
    unsettle<S>(parameters, 1);
    unsettle<S>(statistics, 2);
    model.write_parameters(parameters.data());
    model.write_statistics(statistics.data());

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
    const auto input = on_device(numbers<S>(count * model.input_elements, 1));
    const auto output_gradient = on_device(numbers<S>(count * model.output_elements, 2));
    auto output = unset(count * model.output_elements);
    auto inferred = unset(count * model.output_elements);
    auto parameter_gradient = unset(bantam::trainable_parameters<Net>);
    auto input_gradient = unset(count * model.input_elements);
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

/// The device gives what the CPU gives, layer by layer, and the same bits each time.
template <class Net>
void devices_agree(std::initializer_list<std::int64_t> counts = {1, 3, 18}) {
    for (const std::int64_t count : counts)
        BOOST_TEST_CONTEXT("batch of " << count) {
            const Everything<double> twice = run_on_device<Net, double>(count);
            agree(twice, run<Net, double, false>(count, 1), 1e-10);
            BOOST_TEST((twice == run_on_device<Net, double>(count)), "a second run gives other bits");
            agree(run_on_device<Net, float>(count), run<Net, float, false>(count, 1), 1e-4);
        }
}
