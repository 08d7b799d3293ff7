// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cuda/chain.hpp>
#include <bantam/cuda/runtime/device_communicator.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/rank_sums.hpp>
#include <bantam/exec/initialize.hpp>
#include <bantam/exec/workspace.hpp>
#include <bantam/train/layer_tensors.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace bantam::cuda {

/// A network with its parameters, statistics and memory on a GPU, as `cpu::Model` is on the CPU. Pointers in the
/// arguments of passes point to the device's memory and are multiples of 16 bytes, as CUDA allocates it. Maps between
/// the layers are stored as `S`. Where that is Bfloat16, all arguments are float: weights, statistics and their
/// gradients are never rounded; the input, logits and their gradients are rounded inside.
template <class Net, class S = float, bool Fused = true>
class Model {
public:
    using Scalar = S;
    using ComputeType = Compute<S>;
    using Program = Chain<typename Net::Layers, Net::input, S, Fused>;
    static constexpr Shape image = input_shape<Net>;
    static constexpr Index classes = class_count<Net>;
    static constexpr Index input_elements = element_count(input_shape<Net>);
    static constexpr Index output_elements = element_count(output_shape<Net>);

    /// Models that share an execution run their work in the order of the calls.
    explicit Model(std::shared_ptr<const Execution> execution = std::make_shared<Execution>())
        : execution_{std::move(execution)} {
        parameters_.reserve(trainable_parameters<Net>);
        statistics_.reserve(non_trainable_parameters<Net>);
    }

    const Execution& execution() const { return *execution_; }
    /// Trainable parameters and running statistics, each in the order of `tensor_table`.
    ComputeType* parameters() {
        has_weights_ = true;
        return parameters_.data();
    }
    ComputeType* statistics() { return statistics_.data(); }

    /// Copies on the host.
    std::vector<ComputeType> read_parameters() const { return read(parameters_, trainable_parameters<Net>); }
    std::vector<ComputeType> read_statistics() const { return read(statistics_, non_trainable_parameters<Net>); }

    /// Copies weights to the device. Throws Error on sizes that are not those of the network.
    void set_weights(std::span<const ComputeType> parameters, std::span<const ComputeType> statistics) {
        bantam::detail::require_weights<Net>(parameters.size(), statistics.size());
        copy_to_device(*execution_, parameters.data(), trainable_parameters<Net>, parameters_.data());
        copy_to_device(*execution_, statistics.data(), non_trainable_parameters<Net>, statistics_.data());
        has_weights_ = true;
    }

    /// Fresh random weights, with the same bits as `cpu::Model` for the same seed.
    void initialize(std::uint64_t seed, const InitializeOptions& options = {}) {
        std::vector<ComputeType> parameters(static_cast<std::size_t>(trainable_parameters<Net>));
        std::vector<ComputeType> statistics(static_cast<std::size_t>(non_trainable_parameters<Net>));
        initialize_tensors<Net, ComputeType>(seed, parameters, statistics, options);
        set_weights({parameters.data(), parameters.size()}, {statistics.data(), statistics.size()});
    }

    /// Computes a part of each batch of `forward` and `backward` from now on, beside the other ranks, which call them
    /// at the same time. `count` is then that of the whole batch; inputs, logits and their gradients are those of this
    /// rank's samples (`samples_of_rank`). Parameters' gradients and running statistics are those of the whole batch,
    /// with the same bits for any number of ranks. Null ends that.
    void set_communicator(DeviceCommunicator* communicator) {
        ranks_.reset();
        ++moves_;
        if (!communicator) return;
        std::vector<std::uint8_t> of_norms;
        for (const auto& [trained, statistics] : layer_tensors(tensor_table<Net>))
            of_norms.insert(of_norms.end(), static_cast<std::size_t>(trained), statistics > 0);
        ranks_ = std::make_unique<RankSums<S>>(*execution_, *communicator, of_norms, adds_gradients);
    }

    /// Allocates memory for batches of `count`; returns whether memory has moved. Passes call it themselves, but must
    /// not while they are recorded. Throws Error if the device's memory is too small.
    bool reserve(Index count, bool training) {
        if (count < 0) throw Error("a pass over " + std::to_string(count) + " samples is not possible");
        try {
            const Index own = training && ranks_ ? most_samples_of_rank(count, ranks_->rank().count) : count;
            bool moved = saved_.reserve(saved_size(own, training));
            moved |= scratch_.reserve(Program::scratch_size);
            moved |= partials_.reserve(Program::partial_size * max_slices);
            moved |= sums_.reserve(Program::sum_count * max_slices);
            if (ranks_ && training)
                moved |= ranks_->reserve(
                    count, Program::sum_count,
                    adds_gradients ? Program::partial_size * max_slices * Index{sizeof(ComputeType)} : 0);
            moves_ += moved;
            return moved;
        } catch (const std::bad_alloc&) {
            throw out_of_memory(count, training);
        }
    }
    /// How often memory has moved. Recorded passes stay valid while this does not change.
    Index moves() const { return moves_; }

    /// Forward pass in training mode: batch statistics, dropout from `*seed` on the device, running statistics updated.
    /// The input must stay valid until `backward`.
    void forward(const ComputeType* input, Index count, const std::uint64_t* seed, ComputeType* logits) {
        reserve(count, true);
        pass_ = make_pass(ranks_ ? samples_of_rank(count, ranks_->rank()).count() : count, true);
        pass_.samples_of_ranks = count;
        pass_.seed = seed;
        input_ = run_forward(pass_, input, logits);
    }

    /// Backward pass of the last `forward`: writes dL/dparameters, and dL/dinput unless it is null. Throws Error where
    /// there was none.
    void backward(const ComputeType* logits_gradient, ComputeType* parameter_gradient,
                  ComputeType* input_gradient = nullptr) {
        if (!input_) throw Error("backward: there was no forward pass; call forward first");
        ComputeType* const gradient_of_chunks = ranks_ ? ranks_->gradients() : nullptr;
        run_backward(logits_gradient, gradient_of_chunks ? gradient_of_chunks : parameter_gradient, input_gradient);
        if (gradient_of_chunks) ranks_->add_gradients(*execution_, pass_.batch(), parameter_gradient);
    }

    /// Forward pass in inference mode: running statistics, no dropout. Ranks do it alone, each with its samples.
    void infer(const ComputeType* input, Index count, ComputeType* logits) {
        reserve(count, false);
        run_forward(make_pass(count, false), input, logits);
    }

private:
    static constexpr bool rounds = !std::is_same_v<S, ComputeType>;
    /// Whether the backward pass adds gradients of the same weights, as that of a Repeat does.
    static constexpr bool adds_gradients = parameter_count_per_run<Net> != parameter_count<Net>;

    void run_backward(const ComputeType* logits_gradient, ComputeType* parameter_gradient,
                      ComputeType* input_gradient) {
        if constexpr (rounds) {
            S* rounded = region(rounded_logits_gradient, pass_);
            S* to = input_gradient ? region(rounded_input_gradient, pass_) : nullptr;
            convert(pass_.count * output_elements, logits_gradient, rounded);
            Program::backward(pass_, weights(), input_, saved_.data(), rounded, to, parameter_gradient);
            if (to) convert(pass_.count * input_elements, to, input_gradient);
        } else {
            Program::backward(pass_, weights(), input_, saved_.data(), logits_gradient, input_gradient,
                              parameter_gradient);
        }
    }

    // What the operations save, and the rounded arguments of the passes.
    enum Region : std::size_t {
        operations,
        rounded_input,
        rounded_logits,
        rounded_logits_gradient,
        rounded_input_gradient,
        region_count
    };
    static constexpr auto workspace = exec::make_workspace<S>([](bool training) {
        std::array<exec::RegionSize, region_count> regions{};
        regions[operations] = exec::saved_size<Program>(training);
        if (rounds) {
            regions[rounded_input].per_sample = input_elements;
            regions[rounded_logits].per_sample = output_elements;
        }
        if (rounds && training) {
            regions[rounded_logits_gradient].per_sample = output_elements;
            regions[rounded_input_gradient].per_sample = input_elements;
        }
        return regions;
    });
    static Index saved_size(Index count, bool training) {
        return workspace.per_sample(training) * count + workspace.fixed(training);
    }
    S* region(Region at, const Pass<S>& pass) { return workspace.at(at, pass, saved_.data()); }

    template <class From, class To>
    void convert(Index size, const From* from, To* to) {
        for_each_index(*execution_, size, Convert<From, To>{from, to});
    }

    /// Writes the logits; returns the input of the first layer.
    const S* run_forward(const Pass<S>& pass, const ComputeType* input, ComputeType* logits) {
        if (!has_weights_) bantam::detail::throw_no_weights();
        if (pass.count > 0 && (!input || !logits))
            throw Error("a pass over " + std::to_string(pass.count) +
                        " samples needs their pixels and memory for logits");
        if constexpr (rounds) {
            S* from = region(rounded_input, pass);
            S* to = region(rounded_logits, pass);
            convert(pass.count * input_elements, input, from);
            Program::forward(pass, weights(), from, to, saved_.data());
            convert(pass.count * output_elements, to, logits);
            return from;
        } else {
            Program::forward(pass, weights(), input, logits, saved_.data());
            return input;
        }
    }

    Pass<S> make_pass(Index count, bool training) {
        Pass<S> pass;
        pass.count = count;
        pass.training = training;
        pass.scratch = scratch_.data();
        pass.partials = partials_.data();
        pass.sums = sums_.data();
        pass.execution = execution_.get();
        pass.ranks = ranks_.get();
        return pass;
    }

    static Error out_of_memory(Index count, [[maybe_unused]] bool training) {
        std::string fits;
#ifdef __CUDACC__
        static_cast<void>(cudaGetLastError());
        std::size_t free = 0, total = 0;
        BANTAM_CUDA_CHECK(cudaMemGetInfo(&free, &total));
        const Index fixed = (saved_size(0, training) + Program::scratch_size) * static_cast<Index>(sizeof(S)) +
                            Program::partial_size * max_slices * static_cast<Index>(sizeof(ComputeType)) +
                            Program::sum_count * max_slices * static_cast<Index>(sizeof(double));
        const Index per_sample = (saved_size(1, training) - saved_size(0, training)) * static_cast<Index>(sizeof(S));
        const Index most = (static_cast<Index>(free) - fixed) / (per_sample > 0 ? per_sample : 1);
        fits = most > 0 ? "; a batch of about " + std::to_string(most) + " fits" : "; not even one sample fits";
#endif
        return Error("the device's memory is too small for a batch of " + std::to_string(count) + fits);
    }

    Weights<S> weights() { return {parameters_.data(), statistics_.data()}; }

    std::vector<ComputeType> read(const DeviceBuffer<ComputeType>& from, Index count) const {
        std::vector<ComputeType> values(static_cast<std::size_t>(count));
        copy_to_host(*execution_, from.data(), count, values.data());
        return values;
    }

    std::shared_ptr<const Execution> execution_;
    DeviceBuffer<ComputeType> parameters_, statistics_, partials_;
    DeviceBuffer<S> saved_, scratch_;
    DeviceBuffer<double> sums_;
    std::unique_ptr<RankSums<S>> ranks_;  // null where this process computes whole batches
    Pass<S> pass_;
    const S* input_ = nullptr;
    Index moves_ = 0;
    bool has_weights_ = trainable_parameters<Net> == 0;
};

}  // namespace bantam::cuda
