// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/base/random.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cpu/chain.hpp>
#include <bantam/cpu/runtime/operation.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace bantam::cpu {

/// Options of `check_layer`.
struct LayerCheckOptions {
    Index count = 3;                ///< samples in the batch
    std::uint64_t seed = 1;         ///< for input, parameters and the functional
    double step = 1e-5;             ///< of the central finite differences
    Index probes = 64;              ///< elements checked per tensor, at most
    double tolerance = 1e-6;        ///< for gradients in double, relative to the largest one of the tensor
    double float_tolerance = 1e-3;  ///< for float compared with double, also relative
};

/// The result of `check_layer`. Errors are relative to the largest gradient of their tensor, or to 0.01 if that
/// is less, since the finite differences of a zero gradient are noise.
struct LayerCheck {
    bool ok = true;
    std::string message = "ok";     ///< the first failure, in one line
    double input_error = 0;         ///< largest error of the input gradient
    double parameter_error = 0;     ///< largest error of the parameter gradients
    std::string worst_parameter{};  ///< the tensor with that error; empty without parameters
    double float_error = 0;         ///< largest difference between float and double, of outputs and gradients

    void fail(const std::string& what) {
        if (ok) message = what;
        ok = false;
    }
};

namespace detail {

/// A buffer between two guard zones, which must keep their value.
template <class S>
class GuardedBuffer {
public:
    GuardedBuffer(std::string_view name, Index size, S fill)
        : name_{name}, values_(static_cast<std::size_t>(size + 2 * guard_size), guard_value), size_{size} {
        std::fill(data(), data() + size, fill);
    }
    S* data() { return values_.data() + guard_size; }
    const S* data() const { return values_.data() + guard_size; }
    S& operator[](Index i) { return data()[i]; }
    S operator[](Index i) const { return data()[i]; }
    Index size() const { return size_; }
    void assign(const std::vector<double>& from) {
        std::transform(from.begin(), from.end(), data(), [](double value) { return static_cast<S>(value); });
    }
    void clear(S fill) { std::fill(data(), data() + size_, fill); }
    bool same_bits(const GuardedBuffer& other) const {
        return std::equal(data(), data() + size_, other.data(), other.data() + other.size());
    }

    void check_guards(LayerCheck& report) const {
        for (Index i = 0; i < guard_size; ++i)
            if (data()[-1 - i] != guard_value || data()[size_ + i] != guard_value)
                return report.fail("wrote outside the " + std::to_string(size_) + " elements of " + name_);
    }
    void check_written(LayerCheck& report, const char* by) const {
        for (Index i = 0; i < size_; ++i)
            if (!std::isfinite(static_cast<double>(data()[i])))
                return report.fail(std::string(by) + " left element " + std::to_string(i) + " of " + name_ +
                                   " unwritten, or computed it from memory that was not written");
    }

private:
    static constexpr Index guard_size = 64;
    static constexpr S guard_value = S(-12345.5);
    std::string name_;
    std::vector<S> values_;
    Index size_;
};

/// A layer with exactly the memory that it states, all NaN before a pass.
template <class L, Shape Input, class S>
struct LayerUnderTest {
    using Program = Chain<L, Input, S>;
    using Net = Part<L, Input>;
    static constexpr S unset = std::numeric_limits<S>::quiet_NaN();

    Index count;
    std::uint64_t seed;
    GuardedBuffer<S> input, output, output_gradient, input_gradient, parameters, parameter_gradient, statistics;

    LayerUnderTest(Index samples, std::uint64_t pass_seed)
        : count{samples},
          seed{pass_seed},
          input{"the input", samples * element_count(Input), unset},
          output{"the output", samples * element_count(output_shape<Net>), unset},
          output_gradient{"the output gradient", output.size(), unset},
          input_gradient{"the input gradient", input.size(), unset},
          parameters{"the parameters", trainable_parameters<Net>, unset},
          parameter_gradient{"the parameter gradient", trainable_parameters<Net>, unset},
          statistics{"the statistics", non_trainable_parameters<Net>, unset} {}

    enum class Mode { infer, forward, backward, backward_without_input };

    void execute(Mode mode, int threads, LayerCheck& report) {
        const bool training = mode != Mode::infer;
        GuardedBuffer<S> packed{"the packed parameters (packed_size)", Program::packed_size, unset};
        GuardedBuffer<S> scratch{"the scratch of all threads (scratch_size)", Program::scratch_size * threads, unset};
        GuardedBuffer<S> partials{"the partial sums (partial_size)", Program::partial_size * chunk_count(count), unset};
        GuardedBuffer<double> sums{"the sums (sum_count)", Program::sum_count * chunk_count(count),
                                   std::numeric_limits<double>::quiet_NaN()};
        GuardedBuffer<S> saved{"the saved values (saved_per_sample, saved_fixed)",
                               Program::saved_per_sample(training) * count + Program::saved_fixed(training), unset};
        Pass<S> pass;
        pass.count = count;
        pass.threads = threads;
        pass.training = training;
        pass.seed = seed;
        pass.scratch = scratch.data();
        pass.scratch_stride = Program::scratch_size;
        pass.partials = partials.data();
        pass.sums = sums.data();
        const Weights<S> weights{parameters.data(), statistics.data(), packed.data()};
        Program::prepare(parameters.data(), packed.data());
        output.clear(unset);
        Program::forward(pass, weights, input.data(), output.data(), saved.data());
        if (mode == Mode::backward || mode == Mode::backward_without_input) {
            input_gradient.clear(unset);
            parameter_gradient.clear(unset);
            const auto backward = [&](auto to) {
                Program::backward(pass, weights, input.data(), saved.data(), output_gradient.data(), to,
                                  parameter_gradient.data());
            };
            if (mode == Mode::backward)
                backward(input_gradient.data());
            else
                backward(nullptr);
        }
        for (const auto* buffer : {&input, &output, &output_gradient, &input_gradient, &parameters, &parameter_gradient,
                                   &statistics, &packed, &scratch, &partials, &saved})
            buffer->check_guards(report);
        sums.check_guards(report);
    }
};

inline std::vector<double> random_numbers(std::uint64_t seed, std::uint64_t stream, Index size, double low,
                                          double high) {
    Random random{seed, stream};
    std::vector<double> numbers(static_cast<std::size_t>(size));
    for (double& number : numbers) number = random.uniform(low, high);
    return numbers;
}

/// The largest difference in [first, first + size), relative to the largest expected value there.
template <class A, class B>
double relative_error(const A& found, const B& expected, Index first, Index size) {
    double largest = 0.01;
    double error = 0;
    for (Index i = first; i < first + size; ++i) {
        const auto a = static_cast<double>(found[i]);
        const auto b = static_cast<double>(expected[i]);
        largest = std::max(largest, std::abs(b));
        if (!(std::abs(a - b) <= error)) error = std::abs(a - b);
    }
    return error / largest;
}

}  // namespace detail

/// Checks `L`, a layer, block or sequence of Bantam or of the user, on `Input` without a reference:
/// - the gradients of a random linear functional of the output with respect to the input and to every tensor equal
///   central finite differences, in double and training mode;
/// - every buffer has exactly the size that the layer and its `cpu::Operation` state: no write outside, no element
///   left unwritten, no read of unwritten memory; inputs are not changed;
/// - one thread and three give the same bits, and so do the parameter gradients without an input gradient;
/// - inference of a batch gives the same bits as inference of each sample;
/// - float agrees with double.
/// A function with kinks passes unless an input is within `step` of one; then choose another seed.
template <class L, Shape Input>
LayerCheck check_layer(const LayerCheckOptions& options = {}) {
    using Tested = detail::LayerUnderTest<L, Input, double>;
    using Mode = typename Tested::Mode;
    using Net = Part<L, Input>;
    LayerCheck report;
    const std::uint64_t seed = options.seed;
    const Index count = options.count;

    Tested layer{count, seed};
    const auto inputs = detail::random_numbers(seed, 1, layer.input.size(), -2, 2);
    const auto parameters = detail::random_numbers(seed, 2, layer.parameters.size(), -1, 1);
    const auto statistics = detail::random_numbers(seed, 3, layer.statistics.size(), 0.5, 1.5);
    const auto functional = detail::random_numbers(seed, 4, layer.output.size(), -1, 1);
    const auto fill = [&](auto& target) {
        target.input.assign(inputs);
        target.parameters.assign(parameters);
        target.statistics.assign(statistics);
        target.output_gradient.assign(functional);
    };

    fill(layer);
    layer.execute(Mode::backward, 1, report);
    layer.output.check_written(report, "forward");
    layer.input_gradient.check_written(report, "backward");
    layer.parameter_gradient.check_written(report, "backward");
    layer.statistics.check_written(report, "forward");
    {
        Tested untouched{count, seed};
        fill(untouched);
        if (!layer.input.same_bits(untouched.input)) report.fail("the layer changed its input");
        if (!layer.parameters.same_bits(untouched.parameters)) report.fail("the layer changed its parameters");
        if (!layer.output_gradient.same_bits(untouched.output_gradient))
            report.fail("backward changed the output gradient");
    }
    if (!report.ok) return report;

    const auto value = [&] {
        layer.statistics.assign(statistics);
        layer.execute(Mode::forward, 1, report);
        double sum = 0;
        for (Index i = 0; i < layer.output.size(); ++i)
            sum += layer.output[i] * functional[static_cast<std::size_t>(i)];
        return sum;
    };
    // Compares `gradient` with finite differences for some of the elements [first, first + size) of `values`.
    const auto worst_error = [&](detail::GuardedBuffer<double>& values, const detail::GuardedBuffer<double>& gradient,
                                 Index first, Index size) {
        const Index probes = std::min(size, options.probes);
        double error = 0;
        double largest = 0.01;
        for (Index probe = 0; probe < probes; ++probe) {
            const Index i = first + probe * size / probes;
            const double before = values[i];
            values[i] = before + options.step;
            const double above = value();
            values[i] = before - options.step;
            const double below = value();
            values[i] = before;
            const double slope = (above - below) / (2 * options.step);
            largest = std::max({largest, std::abs(slope), std::abs(gradient[i])});
            if (!(std::abs(slope - gradient[i]) <= error)) error = std::abs(slope - gradient[i]);
        }
        return error / largest;
    };
    const auto check_error = [&](const std::string& what, double error, double tolerance) {
        if (!(error <= tolerance))
            report.fail(what + " is off by " + std::to_string(error) + " of the largest, allowed is " +
                        std::to_string(tolerance));
    };
    report.input_error = worst_error(layer.input, layer.input_gradient, 0, layer.input.size());
    check_error("the gradient of the input", report.input_error, options.tolerance);
    for (const NamedTensor& tensor : tensor_table<Net>) {
        if (!tensor.tensor.trainable) continue;
        const double error =
            worst_error(layer.parameters, layer.parameter_gradient, tensor.offset, tensor.tensor.element_count());
        if (report.worst_parameter.empty() || !(error <= report.parameter_error)) {
            report.parameter_error = error;
            report.worst_parameter = std::string{tensor.name.view()};
        }
        check_error("the gradient of " + std::string{tensor.name.view()}, error, options.tolerance);
    }

    {
        Tested threaded{count, seed};
        fill(threaded);
        threaded.execute(Mode::backward, 3, report);
        value();
        if (!threaded.output.same_bits(layer.output)) report.fail("the output depends on the number of threads");
        if (!threaded.input_gradient.same_bits(layer.input_gradient) ||
            !threaded.parameter_gradient.same_bits(layer.parameter_gradient))
            report.fail("the gradients depend on the number of threads");
        fill(threaded);
        threaded.execute(Mode::backward_without_input, 1, report);
        if (!threaded.parameter_gradient.same_bits(layer.parameter_gradient))
            report.fail("the parameter gradient changes when no input gradient is computed");
    }

    {
        Tested batch{count, seed};
        fill(batch);
        batch.execute(Mode::infer, 1, report);
        batch.output.check_written(report, "inference");
        for (Index n = 0; n < count; ++n) {
            Tested single{1, seed};
            single.parameters.assign(parameters);
            single.statistics.assign(statistics);
            std::copy_n(batch.input.data() + n * single.input.size(), single.input.size(), single.input.data());
            single.execute(Mode::infer, 1, report);
            if (!std::equal(single.output.data(), single.output.data() + single.output.size(),
                            batch.output.data() + n * single.output.size()))
                report.fail("inference of sample " + std::to_string(n) + " depends on the other samples of the batch");
        }
    }

    {
        detail::LayerUnderTest<L, Input, float> in_float{count, seed};
        fill(in_float);
        in_float.execute(detail::LayerUnderTest<L, Input, float>::Mode::backward, 1, report);
        report.float_error = std::max(
            detail::relative_error(in_float.output, layer.output, 0, layer.output.size()),
            detail::relative_error(in_float.input_gradient, layer.input_gradient, 0, layer.input_gradient.size()));
        for (const NamedTensor& tensor : tensor_table<Net>)
            if (tensor.tensor.trainable)
                report.float_error = std::max(
                    report.float_error, detail::relative_error(in_float.parameter_gradient, layer.parameter_gradient,
                                                               tensor.offset, tensor.tensor.element_count()));
        check_error("float compared with double", report.float_error, options.float_tolerance);
    }
    return report;
}

}  // namespace bantam::cpu
