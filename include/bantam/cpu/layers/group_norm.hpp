// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/packet.hpp>
#include <bantam/layers/group_norm.hpp>

namespace bantam::cpu {

template <int Groups, Shape Input, class S>
struct Operation<GroupNorm<Groups>, Input, S> : OperationSizes {
    static constexpr Index channels = Input.channels;
    static constexpr Index partial_size = 2 * channels;
    static constexpr int per_group = static_cast<int>(channels / Groups);
    using Row = Eigen::Array<S, static_cast<int>(channels), 1>;
    using ConstRow = Eigen::Map<const Row>;

    /// Replaces each channel's sum over a sample's pixels by the mean of its group.
    static void average_groups(Row& sums) {
        for (int group = 0; group < Groups; ++group) {
            auto of_group = sums.template segment<per_group>(group * per_group);
            of_group.setConstant(of_group.sum() / S(pixel_count(Input) * per_group));
        }
    }

    /// Mean and 1 / √(variance + ε) of each channel's group in one sample.
    static void find_statistics(const S* sample, Row& mean, Row& inverse) {
        mean.setZero();
        for (Index pixel = 0; pixel < pixel_count(Input); ++pixel) mean += ConstRow(sample + pixel * channels);
        average_groups(mean);
        inverse.setZero();
        for (Index pixel = 0; pixel < pixel_count(Input); ++pixel)
            inverse += (ConstRow(sample + pixel * channels) - mean).square();
        average_groups(inverse);
        inverse = (inverse + S(GroupNorm<Groups>::epsilon)).sqrt().inverse();
    }

    static void forward(const Pass<S>& pass, const Weights<S>& weights, const S* input, S* output, S*) {
        const ConstRow weight(weights.parameters), bias(weights.parameters + channels);
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            Row mean, inverse;
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n) {
                const Index begin = n * element_count(Input);
                find_statistics(input + begin, mean, inverse);
                for (Index i = begin; i < begin + element_count(Input); i += channels)
                    Eigen::Map<Row>(output + i) = (ConstRow(input + i) - mean) * inverse * weight + bias;
            }
        });
    }

    static void backward(const Pass<S>& pass, const Weights<S>& weights, const S* input, const S*,
                         const S* output_gradient, S* input_gradient, S* parameter_gradient) {
        const ConstRow weight(weights.parameters);
        for_each_chunk(pass, [&](Chunk chunk, S*) {
            Eigen::Map<Row> weight_gradient(pass.partials + chunk.index * partial_size);
            Eigen::Map<Row> bias_gradient(pass.partials + chunk.index * partial_size + channels);
            weight_gradient.setZero();
            bias_gradient.setZero();
            Row mean, inverse, sum, slope;
            for (Index n = chunk.first; n < chunk.first + chunk.count; ++n) {
                const Index begin = n * element_count(Input), end = begin + element_count(Input);
                find_statistics(input + begin, mean, inverse);
                sum.setZero();
                slope.setZero();
                for (Index i = begin; i < end; i += channels) {
                    const ConstRow gradient(output_gradient + i);
                    sum += gradient;
                    slope += gradient * (ConstRow(input + i) - mean) * inverse;
                }
                weight_gradient += slope;
                bias_gradient += sum;
                if (!input_gradient) continue;
                sum *= weight;
                slope *= weight;
                average_groups(sum);
                average_groups(slope);
                for (Index i = begin; i < end; i += channels)
                    Eigen::Map<Row>(input_gradient + i) = (ConstRow(output_gradient + i) * weight - sum -
                                                           (ConstRow(input + i) - mean) * inverse * slope) *
                                                          inverse;
            }
        });
        add_gradient_partials(pass, partial_size, parameter_gradient);
    }
};

}  // namespace bantam::cpu
