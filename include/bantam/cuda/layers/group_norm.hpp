// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/align.hpp>
#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/split_index.hpp>
#include <bantam/cuda/kernels/batch_sums.hpp>
#include <bantam/cuda/kernels/layer_norm.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>
#include <bantam/layers/group_norm.hpp>

namespace bantam::cuda {

namespace detail {

/// The scalars of one group of one sample, which a thread block works on.
template <int Groups, Shape Input, class S>
struct NormGroup {
    using ComputeType = Compute<S>;
    static constexpr Index channels = Input.channels;
    static constexpr Index per_group = channels / Groups;
    static constexpr Index pixels = pixel_count(Input);
    static constexpr Index size = pixels * per_group;
    static constexpr int threads = block_threads;
    static constexpr auto inverse_size = ComputeType(1.0 / static_cast<double>(size));
    struct Shared {
        ComputeType warp_sums[2 * threads / warp_threads];
    };

    Index index;  ///< sample · Groups + group

    /// Calls `body(element, channel)` for each of a thread's scalars.
    template <class Body>
    BANTAM_HOST_DEVICE void for_each(int thread, const Body& body) const {
        const SplitIndex<Groups> at{index};
        for (Index i = thread; i < size; i += threads) {
            const SplitIndex<per_group> in_group{i};
            const Index channel = at.rest * per_group + in_group.rest;
            body((at.whole * pixels + in_group.whole) * channels + channel, channel);
        }
    }
};

/// y = (x − mean) / √(variance + ε) · weight + bias. Stores the statistics [sample][group][mean, 1 / √(variance + ε)]
/// unless `statistics` is null.
template <int Groups, Shape Input, class S>
struct GroupNormForward {
    using Group = NormGroup<Groups, Input, S>;
    using ComputeType = Compute<S>;
    using Shared = typename Group::Shared;
    static constexpr int threads = Group::threads;

    const S* input;
    const ComputeType* parameters;
    S* output;
    ComputeType* statistics;

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const Group group{block.index()};
        auto means = block.template per_thread<Values<ComputeType, 1>>();
        auto variances = block.template per_thread<Values<ComputeType, 1>>();
        block.for_each_thread_nosync([&](int thread) {
            group.for_each(thread, [&](Index i, Index) { means[thread].values[0] += ComputeType(input[i]); });
        });
        sum_in_groups<threads>(block, means, shared.warp_sums);
        block.for_each_thread_nosync([&](int thread) {
            const ComputeType mean = means[thread].values[0] * Group::inverse_size;
            group.for_each(thread, [&](Index i, Index) {
                const ComputeType distance = ComputeType(input[i]) - mean;
                variances[thread].values[0] += distance * distance;
            });
        });
        sum_in_groups<threads>(block, variances, shared.warp_sums);
        block.for_each_thread_nosync([&](int thread) {
            const ComputeType mean = means[thread].values[0] * Group::inverse_size;
            const ComputeType inverse = inverse_root(variances[thread].values[0] * Group::inverse_size +
                                                     ComputeType(GroupNorm<Groups>::epsilon));
            if (statistics && thread == 0) {
                statistics[2 * group.index] = mean;
                statistics[2 * group.index + 1] = inverse;
            }
            group.for_each(thread, [&](Index i, Index c) {
                const ComputeType normalized = (ComputeType(input[i]) - mean) * inverse;
                output[i] = S(normalized * parameters[c] + parameters[Group::channels + c]);
            });
        });
    }
};

/// dL/dx
template <int Groups, Shape Input, class S>
struct GroupNormBackward {
    using Group = NormGroup<Groups, Input, S>;
    using ComputeType = Compute<S>;
    using Shared = typename Group::Shared;
    static constexpr int threads = Group::threads;

    const S *input, *output_gradient;
    const ComputeType *weight, *statistics;
    S* input_gradient;

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const Group group{block.index()};
        const ComputeType mean = statistics[2 * group.index], inverse = statistics[2 * group.index + 1];
        auto sums = block.template per_thread<Values<ComputeType, 2>>();
        block.for_each_thread_nosync([&](int thread) {
            group.for_each(thread, [&](Index i, Index c) {
                const ComputeType gradient = ComputeType(output_gradient[i]) * weight[c];
                sums[thread].values[0] += gradient;
                sums[thread].values[1] += gradient * (ComputeType(input[i]) - mean) * inverse;
            });
        });
        sum_in_groups<threads>(block, sums, shared.warp_sums);
        block.for_each_thread_nosync([&](int thread) {
            const ComputeType average = sums[thread].values[0] * Group::inverse_size;
            const ComputeType slope = sums[thread].values[1] * Group::inverse_size;
            group.for_each(thread, [&](Index i, Index c) {
                const ComputeType gradient = ComputeType(output_gradient[i]) * weight[c];
                const ComputeType normalized = (ComputeType(input[i]) - mean) * inverse;
                input_gradient[i] = S((gradient - average - normalized * slope) * inverse);
            });
        });
    }
};

}  // namespace detail

template <int Groups, Shape Input, class S>
struct Operation<GroupNorm<Groups>, Input, S> : OperationSizes {
    using ComputeType = Compute<S>;
    static constexpr Index channels = Input.channels;
    static constexpr Index sum_count = 2 * channels;

    /// Mean and 1 / √(variance + ε) of each group.
    static constexpr Index saved_per_sample(bool training) {
        return training ? 2 * storage_per_compute<S> * Groups : 0;
    }

    /// The terms of the gradients of weight and bias.
    struct ParameterTerm {
        const S *input, *output_gradient;
        const ComputeType* statistics;
        BANTAM_HOST_DEVICE Values<ComputeType, 2> operator()(Index pixel, Index c) const {
            const Index i = pixel * channels + c;
            const Index group = SplitIndex<pixel_count(Input)>{pixel}.whole * Groups + c / (channels / Groups);
            const ComputeType gradient = output_gradient[i];
            return {{gradient * (ComputeType(input[i]) - statistics[2 * group]) * statistics[2 * group + 1], gradient}};
        }
    };

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        auto* statistics = pass.training ? reinterpret_cast<ComputeType*>(saved) : nullptr;
        run_blocks(pass, pass.count * Groups,
                   detail::GroupNormForward<Groups, Input, S>{input, weights.parameters, output, statistics});
    }
    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S* saved,
                         const S* output_gradient, S* input_gradient, ComputeType* parameter_gradient) {
        const auto* statistics = reinterpret_cast<const ComputeType*>(saved);
        sum_over_rows(pass, pass.count * pixel_count(Input), channels,
                      ParameterTerm{input, output_gradient, statistics}, pass.sums, parameter_gradient);
        if (input_gradient)
            run_blocks(pass, pass.count * Groups,
                       detail::GroupNormBackward<Groups, Input, S>{input, output_gradient, weights.parameters,
                                                                   statistics, input_gradient});
    }
};

}  // namespace bantam::cuda
