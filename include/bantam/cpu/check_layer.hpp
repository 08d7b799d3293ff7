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

/// How `check_layer` looks at a layer.
struct LayerCheckOptions {
    Index count = 3;                ///< samples in the batch
    std::uint64_t seed = 1;         ///< of input, parameters and the functional
    double step = 1e-5;             ///< of the finite differences, both ways
    Index probes = 64;              ///< elements of each tensor that are moved; all where there are fewer
    double tolerance = 1e-6;        ///< of gradients in double, relative to the tensor's largest
    double float_tolerance = 1e-3;  ///< of float against double, likewise
};

/// What `check_layer` found. Errors are relative to the largest gradient of their tensor (or to 0.01
/// where that is less, since differences of a zero gradient are noise).
struct LayerCheck {
    bool ok = true;
    std::string message = "ok";     ///< the first thing found wrong, in one line
    double input_error = 0;         ///< worst of the input's gradient
    double parameter_error = 0;     ///< worst of all parameters' gradients
    std::string worst_parameter{};  ///< the tensor it is in; empty where there are no parameters
    double float_error = 0;         ///< worst of float against double: outputs and gradients

    void fail(const std::string& what) {
        if (ok) message = what;
        ok = false;
    }
};

namespace detail {

/// A buffer between two strips of a value that nobody else writes.
template <class S>
class GuardedBuffer {
public:
    GuardedBuffer(std::string_view name, Index size, S fill)
        : name_{name}, values_(static_cast<std::size_t>(size + 2 * strip), mark), size_{size} {
        std::fill(data(), data() + size, fill);
    }
    S* data() { return values_.data() + strip; }
    const S* data() const { return values_.data() + strip; }
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

    void check_strips(LayerCheck& report) const {
        for (Index i = 0; i < strip; ++i)
            if (data()[-1 - i] != mark || data()[size_ + i] != mark)
                return report.fail("wrote outside the " + std::to_string(size_) + " elements of " + name_);
    }
    void check_written(LayerCheck& report, const char* by) const {
        for (Index i = 0; i < size_; ++i)
            if (!std::isfinite(static_cast<double>(data()[i])))
                return report.fail(std::string(by) + " left element " + std::to_string(i) + " of " + name_ +
                                   " unwritten, or made it of memory never written");
    }

private:
    static constexpr Index strip = 64;
    static constexpr S mark = S(-12345.5);
    std::string name_;
    std::vector<S> values_;
    Index size_;
};

/// One layer with exactly the memory that it states, every scalar of it NaN before the pass.
template <class L, Shape Input, class S>
struct LayerRun {
    using Program = Chain<L, Input, S>;
    using Net = Part<L, Input>;
    static constexpr S unset = std::numeric_limits<S>::quiet_NaN();

    Index count;
    std::uint64_t seed;
    GuardedBuffer<S> input, output, output_gradient, input_gradient, parameters, parameter_gradient, statistics;

    LayerRun(Index samples, std::uint64_t pass_seed)
        : count{samples},
          seed{pass_seed},
          input{"the input", samples * element_count(Input), unset},
          output{"the output", samples * element_count(output_shape<Net>), unset},
          output_gradient{"the output's gradient", output.size(), unset},
          input_gradient{"the input's gradient", input.size(), unset},
          parameters{"the parameters", trainable_parameters<Net>, unset},
          parameter_gradient{"the parameters' gradient", trainable_parameters<Net>, unset},
          statistics{"the statistics", non_trainable_parameters<Net>, unset} {}

    enum class Mode { infer, forward, backward, backward_without_input };

    void run(Mode mode, int threads, LayerCheck& report) {
        const bool training = mode != Mode::infer;
        GuardedBuffer<S> packed{"the packed parameters (packed)", Program::packed_size, unset};
        GuardedBuffer<S> scratch{"the scratch of all threads (scratch)", Program::scratch_size * threads, unset};
        GuardedBuffer<S> partials{"the partial sums (partials)", Program::partial_size * chunk_count(count), unset};
        GuardedBuffer<double> sums{"the sums", Program::sum_count * chunk_count(count),
                                   std::numeric_limits<double>::quiet_NaN()};
        GuardedBuffer<S> saved{"what forward saves (saved_per_sample, saved_fixed)",
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
            Program::backward(pass, weights, input.data(), saved.data(), output_gradient.data(),
                              mode == Mode::backward ? input_gradient.data() : nullptr, parameter_gradient.data());
        }
        for (const auto* buffer : {&input, &output, &output_gradient, &input_gradient, &parameters, &parameter_gradient,
                                   &statistics, &packed, &scratch, &partials, &saved})
            buffer->check_strips(report);
        sums.check_strips(report);
    }
};

inline std::vector<double> random_numbers(std::uint64_t seed, std::uint64_t stream, Index size, double low,
                                          double high) {
    Random random{seed, stream};
    std::vector<double> numbers(static_cast<std::size_t>(size));
    for (double& number : numbers) number = random.uniform(low, high);
    return numbers;
}

/// The larger difference of [first, first + size) relative to the largest number there.
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

/// Tests `L` (a layer, block or sequence, of ours or of the user's) on `Input` without any reference:
/// - gradients of a random linear functional of the output, with respect to the input and to every
///   tensor, against central finite differences, in double and training mode;
/// - every buffer has exactly the size that the layer and its `cpu::Operation` state: nothing is written
///   outside, nothing is left unwritten, nothing is read that was not written, inputs stay as they are;
/// - the same bits for one thread and for three, and for parameters where nobody wants the input's gradient;
/// - inference of a batch gives the same bits as of its samples one by one;
/// - float agrees with double.
/// Functions with kinks pass unless an input falls within `step` of one; choose another seed then.
template <class L, Shape Input>
LayerCheck check_layer(const LayerCheckOptions& options = {}) {
    using Run = detail::LayerRun<L, Input, double>;
    using Mode = typename Run::Mode;
    using Net = Part<L, Input>;
    LayerCheck report;
    const std::uint64_t seed = options.seed;
    const Index count = options.count;

    Run run{count, seed};
    const auto inputs = detail::random_numbers(seed, 1, run.input.size(), -2, 2);
    const auto parameters = detail::random_numbers(seed, 2, run.parameters.size(), -1, 1);
    const auto statistics = detail::random_numbers(seed, 3, run.statistics.size(), 0.5, 1.5);
    const auto functional = detail::random_numbers(seed, 4, run.output.size(), -1, 1);
    const auto fill = [&](auto& target) {
        target.input.assign(inputs);
        target.parameters.assign(parameters);
        target.statistics.assign(statistics);
        target.output_gradient.assign(functional);
    };

    fill(run);
    run.run(Mode::backward, 1, report);
    run.output.check_written(report, "forward");
    run.input_gradient.check_written(report, "backward");
    run.parameter_gradient.check_written(report, "backward");
    run.statistics.check_written(report, "forward");
    {
        Run untouched{count, seed};
        fill(untouched);
        if (!run.input.same_bits(untouched.input)) report.fail("the layer changed its input");
        if (!run.parameters.same_bits(untouched.parameters)) report.fail("the layer changed its parameters");
        if (!run.output_gradient.same_bits(untouched.output_gradient))
            report.fail("backward changed the output's gradient");
    }
    if (!report.ok) return report;

    const auto value = [&] {
        run.statistics.assign(statistics);
        run.run(Mode::forward, 1, report);
        double sum = 0;
        for (Index i = 0; i < run.output.size(); ++i) sum += run.output[i] * functional[static_cast<std::size_t>(i)];
        return sum;
    };
    // Moves some of the elements [first, first + size) of `values` and compares with `gradient`.
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
    const auto judge = [&](const std::string& what, double error, double tolerance) {
        if (!(error <= tolerance))
            report.fail(what + " is off by " + std::to_string(error) + " of the largest, allowed is " +
                        std::to_string(tolerance));
    };
    report.input_error = worst_error(run.input, run.input_gradient, 0, run.input.size());
    judge("the gradient of the input", report.input_error, options.tolerance);
    for (const NamedTensor& tensor : tensor_table<Net>) {
        if (!tensor.tensor.trainable) continue;
        const double error =
            worst_error(run.parameters, run.parameter_gradient, tensor.offset, tensor.tensor.element_count());
        if (report.worst_parameter.empty() || !(error <= report.parameter_error)) {
            report.parameter_error = error;
            report.worst_parameter = std::string{tensor.name.view()};
        }
        judge("the gradient of " + std::string{tensor.name.view()}, error, options.tolerance);
    }

    {
        Run threads{count, seed};
        fill(threads);
        threads.run(Mode::backward, 3, report);
        value();
        if (!threads.output.same_bits(run.output)) report.fail("three threads give another output than one");
        if (!threads.input_gradient.same_bits(run.input_gradient) ||
            !threads.parameter_gradient.same_bits(run.parameter_gradient))
            report.fail("three threads give other gradients than one");
        fill(threads);
        threads.run(Mode::backward_without_input, 1, report);
        if (!threads.parameter_gradient.same_bits(run.parameter_gradient))
            report.fail("the parameters' gradient changes where nobody wants the input's");
    }

    {
        Run batch{count, seed};
        fill(batch);
        batch.run(Mode::infer, 1, report);
        batch.output.check_written(report, "inference");
        for (Index n = 0; n < count; ++n) {
            Run single{1, seed};
            single.parameters.assign(parameters);
            single.statistics.assign(statistics);
            std::copy_n(batch.input.data() + n * single.input.size(), single.input.size(), single.input.data());
            single.run(Mode::infer, 1, report);
            if (!std::equal(single.output.data(), single.output.data() + single.output.size(),
                            batch.output.data() + n * single.output.size()))
                report.fail("inference of sample " + std::to_string(n) + " depends on its neighbors");
        }
    }

    {
        detail::LayerRun<L, Input, float> narrow{count, seed};
        fill(narrow);
        narrow.run(detail::LayerRun<L, Input, float>::Mode::backward, 1, report);
        report.float_error =
            std::max(detail::relative_error(narrow.output, run.output, 0, run.output.size()),
                     detail::relative_error(narrow.input_gradient, run.input_gradient, 0, run.input_gradient.size()));
        for (const NamedTensor& tensor : tensor_table<Net>)
            if (tensor.tensor.trainable)
                report.float_error = std::max(report.float_error,
                                              detail::relative_error(narrow.parameter_gradient, run.parameter_gradient,
                                                                     tensor.offset, tensor.tensor.element_count()));
        judge("float against double", report.float_error, options.float_tolerance);
    }
    return report;
}

}  // namespace bantam::cpu
