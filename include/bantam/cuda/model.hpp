// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cuda/chain.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/exec/initialize.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bantam::cuda {

/// A network with its numbers on a GPU: what `cpu::Model` is on the CPU. Every pointer that passes take
/// is one to the device's memory, and begins at a multiple of 16 bytes, as memory from CUDA does. `S` is
/// what activations are kept in between the layers. Where that is Bfloat16, all that goes in and out is
/// float: weights, statistics and their gradients are never rounded, the input, logits and their
/// gradients are rounded inside.
template <class Net, class S = float>
class Model {
public:
    using Scalar = S;
    using Number = Compute<S>;
    using Program = Chain<typename Net::Layers, Net::input, S>;
    static constexpr Index input_elements = element_count(input_shape<Net>);
    static constexpr Index output_elements = element_count(output_shape<Net>);

    /// Models that share an execution do their work in the order in which it was asked for.
    explicit Model(std::shared_ptr<const Execution> execution = std::make_shared<Execution>())
        : execution_{std::move(execution)} {
        parameters_.reserve(trainable_parameters<Net>);
        statistics_.reserve(non_trainable_parameters<Net>);
    }

    const Execution& execution() const { return *execution_; }
    /// Trainable parameters in the order of `tensor_table`, and running statistics likewise.
    Number* parameters() { return parameters_.data(); }
    Number* statistics() { return statistics_.data(); }

    /// The host's copy of both.
    std::vector<Number> read_parameters() const { return read(parameters_, trainable_parameters<Net>); }
    std::vector<Number> read_statistics() const { return read(statistics_, non_trainable_parameters<Net>); }
    void write_parameters(const Number* from) {
        copy_to_device(*execution_, from, trainable_parameters<Net>, parameters_.data());
    }
    void write_statistics(const Number* from) {
        copy_to_device(*execution_, from, non_trainable_parameters<Net>, statistics_.data());
    }

    /// Fresh random weights: the bits that `cpu::Model` gets of the same seed.
    void initialize(std::uint64_t seed) {
        std::vector<Number> parameters(static_cast<std::size_t>(trainable_parameters<Net>));
        std::vector<Number> statistics(static_cast<std::size_t>(non_trainable_parameters<Net>));
        initialize_tensors<Net, Number>(seed, parameters, statistics);
        write_parameters(parameters.data());
        write_statistics(statistics.data());
    }

    /// Memory for batches of `count`; true where what there was has moved. Passes ask for it themselves, but
    /// not while they are being recorded. Throws Error where the device's memory is too small.
    bool reserve(Index count, bool training) {
        try {
            bool moved = saved_.reserve(saved_size(count, training));
            moved |= scratch_.reserve(Program::scratch_size);
            moved |= partials_.reserve(Program::partial_size * max_slices);
            moved |= sums_.reserve(Program::sum_count * max_slices);
            moves_ += moved;
            return moved;
        } catch (const std::bad_alloc&) {
            throw out_of_memory(count, training);
        }
    }
    /// How often the memory of passes has moved: recorded passes hold while this stays.
    Index moves() const { return moves_; }

    /// Forward pass in training mode: batch statistics, dropout drawn from `*seed` on the device, running
    /// statistics moved. The input must stay until `backward`.
    void forward(const Number* input, Index count, const std::uint64_t* seed, Number* logits) {
        pass_ = prepared(count, true);
        pass_.seed = seed;
        input_ = run(pass_, input, logits);
    }

    /// Backward pass of the batch that `forward` saw: writes dL/dparameters, and dL/dinput where asked.
    void backward(const Number* logits_gradient, Number* parameter_gradient, Number* input_gradient = nullptr) {
        if constexpr (rounds) {
            const Edges at = edges(pass_);
            convert(pass_.count * output_elements, logits_gradient, at.logits_gradient);
            Program::backward(pass_, weights(), input_, saved_.data(), at.logits_gradient,
                              input_gradient ? at.input_gradient : nullptr, parameter_gradient);
            if (input_gradient) convert(pass_.count * input_elements, at.input_gradient, input_gradient);
        } else {
            Program::backward(pass_, weights(), input_, saved_.data(), logits_gradient, input_gradient,
                              parameter_gradient);
        }
    }

    /// Forward pass in inference mode: running statistics, no dropout.
    void infer(const Number* input, Index count, Number* logits) { run(prepared(count, false), input, logits); }

private:
    static constexpr bool rounds = !std::is_same_v<S, Number>;

    // What the operations save, and behind it what is rounded of a batch.
    static Index saved_size(Index count, bool training) {
        return saved_by_operations(count, training) +
               (rounds ? (training ? 2 : 1) * (edge(count, input_elements) + edge(count, output_elements)) : 0);
    }
    static Index saved_by_operations(Index count, bool training) {
        return Program::saved_per_sample(training) * count + Program::saved_fixed(training);
    }

    static Index edge(Index count, Index elements) { return exec::align_up<S>(count * elements); }

    /// A batch as `S`: the last two in training only.
    struct Edges {
        S *input, *logits, *logits_gradient, *input_gradient;
    };
    Edges edges(const Pass<S>& pass) {
        S* input = saved_.data() + saved_by_operations(pass.count, pass.training);
        S* logits = input + edge(pass.count, input_elements);
        S* logits_gradient = logits + edge(pass.count, output_elements);
        return {input, logits, logits_gradient, logits_gradient + edge(pass.count, output_elements)};
    }
    template <class From, class To>
    void convert(Index size, const From* from, To* to) {
        for_each_index(*execution_, size, Convert<From, To>{from, to});
    }

    /// Writes the logits; gives the input that the first layer saw.
    const S* run(const Pass<S>& pass, const Number* input, Number* logits) {
        if constexpr (rounds) {
            const Edges at = edges(pass);
            convert(pass.count * input_elements, input, at.input);
            Program::forward(pass, weights(), at.input, at.logits, saved_.data());
            convert(pass.count * output_elements, at.logits, logits);
            return at.input;
        } else {
            Program::forward(pass, weights(), input, logits, saved_.data());
            return input;
        }
    }

    Pass<S> prepared(Index count, bool training) {
        reserve(count, training);
        Pass<S> pass;
        pass.count = count;
        pass.training = training;
        pass.scratch = scratch_.data();
        pass.partials = partials_.data();
        pass.sums = sums_.data();
        pass.execution = execution_.get();
        return pass;
    }

    static Error out_of_memory(Index count, [[maybe_unused]] bool training) {
        std::string fits;
#ifdef __CUDACC__
        static_cast<void>(cudaGetLastError());
        std::size_t free = 0, total = 0;
        BANTAM_CUDA_CHECK(cudaMemGetInfo(&free, &total));
        const Index fixed = (saved_size(0, training) + Program::scratch_size) * static_cast<Index>(sizeof(S)) +
                            Program::partial_size * max_slices * static_cast<Index>(sizeof(Number)) +
                            Program::sum_count * max_slices * static_cast<Index>(sizeof(double));
        const Index per_sample = (saved_size(1, training) - saved_size(0, training)) * static_cast<Index>(sizeof(S));
        const Index most = (static_cast<Index>(free) - fixed) / (per_sample > 0 ? per_sample : 1);
        fits = most > 0 ? "; a batch of about " + std::to_string(most) + " fits" : "; not even one sample fits";
#endif
        return Error("the device's memory is too small for a batch of " + std::to_string(count) + fits);
    }

    Weights<S> weights() { return {parameters_.data(), statistics_.data(), nullptr}; }

    std::vector<Number> read(const DeviceBuffer<Number>& from, Index count) const {
        std::vector<Number> values(static_cast<std::size_t>(count));
        copy_to_host(*execution_, from.data(), count, values.data());
        return values;
    }

    std::shared_ptr<const Execution> execution_;
    DeviceBuffer<Number> parameters_, statistics_, partials_;
    DeviceBuffer<S> saved_, scratch_;
    DeviceBuffer<double> sums_;
    Pass<S> pass_;
    const S* input_ = nullptr;
    Index moves_ = 0;
};

}  // namespace bantam::cuda
