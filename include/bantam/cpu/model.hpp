// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cpu/chain.hpp>
#include <bantam/cpu/runtime/buffer.hpp>
#include <bantam/exec/initialize.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace bantam::cpu {

/// A network with its parameters, statistics and memory. A batch is NHWC floats (or doubles) of `input_shape<Net>`; the
/// result is `output_shape<Net>` per sample. With `Fused` false every layer runs by itself, which gives the same
/// results more slowly.
template <class Net, class S = float, bool Fused = true>
class Model {
public:
    using Scalar = S;
    using Program = Chain<typename Net::Layers, Net::input, S, Fused>;
    static constexpr Index input_elements = element_count(input_shape<Net>);
    static constexpr Index output_elements = element_count(output_shape<Net>);

    explicit Model(int threads = 1)
        : parameters_(static_cast<std::size_t>(trainable_parameters<Net>)),
          statistics_(static_cast<std::size_t>(non_trainable_parameters<Net>)),
          threads_{std::max(1, threads)} {
        packed_.reserve(Program::packed_size);
    }

    /// Trainable parameters in the order of `tensor_table`. After writing here call `prepare()`.
    std::span<S> parameters() { return parameters_; }
    std::span<const S> parameters() const { return parameters_; }
    /// Running statistics in the order of `tensor_table`.
    std::span<S> statistics() { return statistics_; }
    std::span<const S> statistics() const { return statistics_; }
    int threads() const { return threads_; }
    /// Measures every stage of `forward` and `backward` with `profiler` from now on; null ends that.
    void set_profiler(StageProfiler* profiler) { profiler_ = profiler; }

    /// Fresh random weights; the same seed gives the same bits on every machine.
    void initialize(std::uint64_t seed) {
        initialize_tensors<Net, S>(seed, parameters_, statistics_);
        prepare();
    }

    /// Packs the parameters for the kernels.
    void prepare() { Program::prepare(parameters_.data(), packed_.data()); }

    /// Forward pass in training mode: batch statistics, dropout from `seed`, running statistics updated. Writes
    /// count × classes logits. The input must stay valid until `backward`.
    void forward(const S* input, Index count, std::uint64_t seed, S* logits) {
        pass_ = make_pass(workspace_, count, true, threads_);
        pass_.seed = seed;
        pass_.profiler = profiler_;
        input_ = input;
        Program::forward(pass_, weights(), input, logits, workspace_.saved.data());
    }

    /// Backward pass of the last `forward`: writes dL/dparameters, and dL/dinput unless it is null.
    void backward(const S* logits_gradient, S* parameter_gradient, S* input_gradient = nullptr) {
        Program::backward(pass_, weights(), input_, workspace_.saved.data(), logits_gradient, input_gradient,
                          parameter_gradient);
    }

    /// Forward pass in inference mode: running statistics, no dropout. Each thread takes a few samples through the
    /// whole network while they are in its cache.
    void infer(const S* input, Index count, S* logits) {
        constexpr Index group = 4;
        const Index groups = (count + group - 1) / group;
        inference_.resize(static_cast<std::size_t>(threads_));
        // Allocates before the threads start.
        for (Workspace& workspace : inference_) make_pass(workspace, std::min(group, count), false, 1);
        detail::parallel_for(groups, threads_, [&](Index index, int thread) {
            const Index first = index * group;
            Workspace& workspace = inference_[static_cast<std::size_t>(thread)];
            const Pass<S> pass = make_pass(workspace, std::min(group, count - first), false, 1);
            Program::forward(pass, weights(), input + first * input_elements, logits + first * output_elements,
                             workspace.saved.data());
        });
    }

private:
    struct Workspace {
        Buffer<S> saved, scratch, partials;
        Buffer<double> sums;
    };

    /// A pass over `count` samples in `workspace`, which grows as needed.
    static Pass<S> make_pass(Workspace& workspace, Index count, bool training, int threads) {
        workspace.saved.reserve(Program::saved_per_sample(training) * count + Program::saved_fixed(training));
        workspace.scratch.reserve(Program::scratch_size * threads);
        if (training) {
            workspace.partials.reserve(Program::partial_size * chunk_count(count));
            workspace.sums.reserve(Program::sum_count * chunk_count(count));
        }
        Pass<S> pass;
        pass.count = count;
        pass.threads = threads;
        pass.training = training;
        pass.scratch = workspace.scratch.data();
        pass.scratch_stride = Program::scratch_size;
        pass.partials = workspace.partials.data();
        pass.sums = workspace.sums.data();
        return pass;
    }

    Weights<S> weights() { return {parameters_.data(), statistics_.data(), packed_.data()}; }

    std::vector<S> parameters_, statistics_;
    Buffer<S> packed_;
    Workspace workspace_;
    std::vector<Workspace> inference_;
    Pass<S> pass_;
    const S* input_ = nullptr;
    StageProfiler* profiler_ = nullptr;
    int threads_;
};

}  // namespace bantam::cpu
