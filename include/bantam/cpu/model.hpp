// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/chunk.hpp>
#include <bantam/base/communicator.hpp>
#include <bantam/base/division.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/overlapped_sums.hpp>
#include <bantam/base/parallel_for.hpp>
#include <bantam/base/picture_count.hpp>
#include <bantam/core/network.hpp>
#include <bantam/cpu/chain.hpp>
#include <bantam/cpu/runtime/buffer.hpp>
#include <bantam/cpu/runtime/pool.hpp>
#include <bantam/exec/initialize.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bantam::cpu {

/// A network with its parameters, statistics and memory. A batch is NHWC floats (or doubles) of `input_shape<Net>`; the
/// result is `output_shape<Net>` per sample. With `Fused` false every layer runs by itself, which gives the same
/// results more slowly. Passes throw Error on sizes that do not fit, and where the model has no weights yet.
template <class Net, class S = float, bool Fused = true>
class Model {
public:
    // A variable: clang would list how the concept was checked.
    static constexpr bool runs_a_network = NetworkType<Net>;
    static_assert(runs_a_network,
                  "a cpu::Model runs a network: write Network<Image<height, width, channels>, layers...>");

    using Scalar = S;
    using Program = Chain<typename Net::Layers, Net::input, S, Fused>;
    static constexpr Shape image = input_shape<Net>;
    static constexpr Index classes = class_count<Net>;
    static constexpr Index input_elements = element_count(input_shape<Net>);
    static constexpr Index output_elements = element_count(output_shape<Net>);

    explicit Model(int threads = 1)
        : parameters_(static_cast<std::size_t>(trainable_parameters<Net>)),
          statistics_(static_cast<std::size_t>(non_trainable_parameters<Net>)),
          threads_{std::max(1, threads)} {
        packed_.reserve(Program::packed_size);
    }

    /// Trainable parameters in the order of `tensor_table`. Once they were given out writable, every pass packs them
    /// anew for the kernels, since they may have changed; `update` and `set_weights` pack them once.
    std::span<S> parameters() {
        packed_by_pass_ = has_weights_ = true;
        return parameters_;
    }
    std::span<const S> parameters() const { return parameters_; }
    /// Running statistics in the order of `tensor_table`.
    std::span<S> statistics() { return statistics_; }
    std::span<const S> statistics() const { return statistics_; }
    /// Whether weights were given, or there are none to give.
    bool has_weights() const { return has_weights_; }
    int threads() const { return threads_; }
    /// Measures every stage of `forward` and `backward` with `profiler` from now on; null ends that.
    void set_profiler(StageProfiler* profiler) { profiler_ = profiler; }

    /// Computes a part of each batch of `forward` and `backward` from now on, beside the other ranks, which call them
    /// at the same time. `count` is then that of the whole batch; inputs, logits and their gradients are those of this
    /// rank's samples (`samples_of_rank`). Parameters' gradients and running statistics are those of the whole batch,
    /// with the bits of one process. Null ends that. With `norms_per_rank`, batch norms have the statistics of the
    /// rank's samples, and running statistics and the gradients of the norms' parameters are those of the rank.
    void set_communicator(Communicator* communicator, bool norms_per_rank = false) {
        communicator_ = communicator;
        norms_per_rank_ = norms_per_rank;
        gradient_sums_ =
            communicator && communicator->overlaps() ? std::make_unique<OverlappedSums<S>>(*communicator) : nullptr;
        if (gradient_sums_) gradient_sums_->reserve(trainable_parameters<Net>);
    }

    /// Fresh random weights; the same seed gives the same bits on every machine.
    void initialize(std::uint64_t seed, const InitializeOptions& options = {}) {
        update([&](std::span<S> parameters, std::span<S> statistics) {
            initialize_tensors<Net, S>(seed, parameters, statistics, options);
        });
    }

    /// Replaces the weights. Throws Error on sizes that are not those of the network.
    void set_weights(std::span<const S> parameters, std::span<const S> statistics) {
        bantam::detail::require_weights<Net>(parameters.size(), statistics.size());
        update([&](std::span<S> to_parameters, std::span<S> to_statistics) {
            std::ranges::copy(parameters, to_parameters.begin());
            std::ranges::copy(statistics, to_statistics.begin());
        });
    }

    /// Calls `change(parameters, statistics)`, which may write to both spans until it returns.
    template <class Change>
    void update(Change&& change) {
        change(std::span<S>{parameters_}, std::span<S>{statistics_});
        has_weights_ = true;
        Program::prepare(parameters_.data(), packed_.data());
    }

    /// Forward pass in training mode: batch statistics, dropout from `seed`, running statistics updated. Writes
    /// count × classes logits. The input must stay valid until `backward`.
    void forward(const S* input, Index count, std::uint64_t seed, S* logits) {
        const IndexRange own = communicator_ ? samples_of_rank(count, communicator_->rank()) : IndexRange{0, count};
        require_pass(input, own.count(), logits);
        if (packed_by_pass_) Program::prepare(parameters_.data(), packed_.data());
        pass_ = make_pass(workspace_, own.count(), true, threads_);
        pass_.communicator = communicator_;
        pass_.gradient_sums = gradient_sums_.get();
        pass_.samples_of_ranks = count;
        pass_.samples_before = own.begin;
        pass_.norms_per_rank = norms_per_rank_;
        pass_.seed = seed;
        pass_.profiler = profiler_;
        input_ = input;
        Program::forward(pass_, weights(packed_), input, logits, workspace_.saved.data());
    }

    /// Backward pass of the last `forward`: writes dL/dparameters. Throws Error where there was none.
    void backward(const S* logits_gradient, S* parameter_gradient) {
        run_backward(logits_gradient, parameter_gradient, nullptr);
    }
    /// The same, and writes dL/dinput unless it is null.
    void backward(const S* logits_gradient, S* parameter_gradient, S* input_gradient) {
        if (!input_gradient) return backward(logits_gradient, parameter_gradient);
        run_backward(logits_gradient, parameter_gradient, input_gradient);
    }

    /// Forward pass in inference mode: running statistics, no dropout. Each thread takes a few samples through the
    /// whole network while they are in its cache. Several threads may call it at the same time.
    void infer(const S* input, Index count, S* logits) const {
        require_pass(input, count, logits);
        const Index group = inference_group(count);
        const Index groups = ceil_div(count, group);
        const auto memory = inference_.borrow();
        memory->workspaces.resize(static_cast<std::size_t>(threads_));
        // Allocates before the threads start.
        for (Workspace& workspace : memory->workspaces) make_pass(workspace, std::min(group, count), false, 1);
        if (packed_by_pass_) {
            memory->packed.reserve(Program::packed_size);
            Program::prepare(parameters_.data(), memory->packed.data());
        }
        const Weights<S> with = weights(packed_by_pass_ ? memory->packed : packed_);
        parallel_for(groups, threads_, [&](Index index, int thread) {
            const Index first = index * group;
            Workspace& workspace = memory->workspaces[static_cast<std::size_t>(thread)];
            const Pass<S> pass = make_pass(workspace, std::min(group, count - first), false, 1);
            Program::forward(pass, with, input + first * input_elements, logits + first * output_elements,
                             workspace.saved.data());
        });
    }

    /// The logits [count][classes] of pictures [count][H][W][C].
    std::vector<S> infer(std::span<const S> pixels) const {
        const Index count = picture_count(pixels.size(), image.height, image.width, image.channels);
        std::vector<S> logits(static_cast<std::size_t>(count * output_elements));
        infer(pixels.data(), count, logits.data());
        return logits;
    }

private:
    struct Workspace {
        Buffer<S> saved, scratch, partials;
        Buffer<double> sums;
    };
    /// What one call of `infer` writes to.
    struct InferenceMemory {
        std::vector<Workspace> workspaces;  // by thread
        Buffer<S> packed;
    };

    /// A pass over `count` samples in `workspace`, which grows as needed.
    static Pass<S> make_pass(Workspace& workspace, Index count, bool training, int threads) {
        workspace.saved.reserve(Program::saved_per_sample(training) * count + Program::saved_fixed(training));
        workspace.scratch.reserve(Program::scratch_size * threads);
        if (training) {
            // A rank without samples has no chunk, and the sums of the others.
            const Index chunks = std::max(Index{1}, chunk_count(count));
            workspace.partials.reserve(Program::partial_size * chunks);
            workspace.sums.reserve(Program::sum_count * chunks);
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

    template <class InputGradient>
    void run_backward(const S* logits_gradient, S* parameter_gradient, InputGradient input_gradient) {
        if (!input_ && pass_.batch() == 0) throw_error("backward: there was no forward pass; call forward first");
        if ((!logits_gradient && pass_.batch() > 0) || (!parameter_gradient && trainable_parameters<Net> > 0))
            throw_error("backward: the gradients of logits and parameters are null; give memory for both");
        Program::backward(pass_, weights(packed_), input_, workspace_.saved.data(), logits_gradient, input_gradient,
                          parameter_gradient);
        if (pass_.gradient_sums) pass_.gradient_sums->complete();
    }

    /// Samples that one thread takes at a time, at least 1. More of them share weights that do not fit into the cache.
    Index inference_group(Index count) const {
        constexpr Index limit = Program::packed_size < (Index{1} << 20) ? 4 : 16;
        const Index groups = ceil_div(ceil_div(count, limit), threads_) * threads_;
        return std::max(Index{1}, ceil_div(count, std::max(Index{1}, groups)));
    }

    void require_pass(const S* input, Index count, const S* logits) const {
        if (!has_weights_) bantam::detail::throw_no_weights();
        if (count < 0 || (count > 0 && (!input || !logits)))
            throw_error("a pass over " + std::to_string(count) + " samples needs their pixels and memory for logits");
    }

    /// Only passes in training mode write to the statistics.
    Weights<S> weights(const Buffer<S>& packed) const {
        return {parameters_.data(), const_cast<S*>(statistics_.data()), packed.data()};
    }

    std::vector<S> parameters_, statistics_;
    Buffer<S> packed_;
    bool packed_by_pass_ = false;
    bool has_weights_ = trainable_parameters<Net> == 0;
    Workspace workspace_;
    Pool<InferenceMemory> inference_;
    Pass<S> pass_;
    const S* input_ = nullptr;
    StageProfiler* profiler_ = nullptr;
    Communicator* communicator_ = nullptr;
    std::unique_ptr<OverlappedSums<S>> gradient_sums_;  // null where the communicator can only block
    bool norms_per_rank_ = false;
    int threads_;
};

}  // namespace bantam::cpu
