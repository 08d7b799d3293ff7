// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/exec/random_stream.hpp>
#include <bantam/exec/workspace.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/foldable_add.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace bantam::exec {

/// Paths on the whole input or on slices of its channels; their outputs are concatenated, added or averaged.
template <class Backend, Fork Forking, Join Joining, class... Paths, Shape Input, class S>
struct Operation<Backend, Branches<Forking, Joining, Paths...>, Input, S> : OperationSizes {
    using Pass = typename Backend::template Pass<S>;
    using Weights = typename Backend::template Weights<S>;
    using Layer = Branches<Forking, Joining, Paths...>;
    static constexpr std::size_t count = sizeof...(Paths);
    static constexpr Shape path_input = Layer::child_input(Input, 0);
    static constexpr Shape output_shape = Layer::output_shape(Input);
    template <class Path>
    using PathChain = typename Backend::template Chain<Path, path_input, S>;
    static constexpr bool splits = Forking == Fork::split;
    static constexpr std::array<Shape, count> shapes = Layer::branch_shapes(Input);
    static constexpr Compute<S> factor =
        Joining == Join::mean ? Compute<S>(1.0 / static_cast<double>(count)) : Compute<S>(1);

    static constexpr Index packed_size = (PathChain<Paths>::packed_size + ...);
    static constexpr Index scratch_size = std::max({PathChain<Paths>::scratch_size...});
    static constexpr Index partial_size = std::max({PathChain<Paths>::partial_size...});
    static constexpr Index sum_count = std::max({PathChain<Paths>::sum_count...});
    static constexpr int stream_digits = step_digits(count - 1) + std::max({PathChain<Paths>::stream_digits...});
    static_assert(count <= max_children, "too many paths for distinct random streams");

    // Regions: every path's slice of a split input and what its chain saves, then one path's output, whose place the
    // gradient of the output takes in backward, and one path's input gradient.
    static constexpr std::size_t input_region(std::size_t i) { return 2 * i; }
    static constexpr std::size_t chain_region(std::size_t i) { return 2 * i + 1; }
    static constexpr std::size_t output_region = 2 * count;
    static constexpr std::size_t input_gradient_region = 2 * count + 1;

    static constexpr auto workspace = make_workspace<S>([](bool training) {
        std::array<RegionSize, 2 * count + 2> regions{};
        const std::array<RegionSize, count> saved{saved_size<PathChain<Paths>>(training)...};
        for (std::size_t i = 0; i < count; ++i) {
            if (splits) regions[2 * i].per_sample = element_count(path_input);
            regions[2 * i + 1] = saved[i];
            regions[2 * count] = regions[2 * count].max({element_count(shapes[i]), 0});
        }
        if (training) regions[2 * count + 1].per_sample = element_count(path_input);
        return regions;
    });
    static constexpr Index saved_per_sample(bool training) { return workspace.per_sample(training); }
    static constexpr Index saved_fixed(bool training) { return workspace.fixed(training); }

    static constexpr std::array<TensorOffsets, count> offsets = [] {
        std::array<TensorOffsets, count> result{};
        TensorOffsets next;
        std::size_t i = 0;
        ((result[i++] = next, next.trainable += trainable_parameters<Part<Paths, path_input>>,
          next.non_trainable += non_trainable_parameters<Part<Paths, path_input>>,
          next.packed += PathChain<Paths>::packed_size),
         ...);
        return result;
    }();
    /// The first channel of every path's output in a concatenation.
    static constexpr std::array<Index, count> first_channel = [] {
        std::array<Index, count> result{};
        for (std::size_t i = 1; i < count; ++i) result[i] = result[i - 1] + shapes[i - 1].channels;
        return result;
    }();

    static void prepare(const S* parameters, S* packed) {
        std::size_t i = 0;
        ((PathChain<Paths>::prepare(parameters + offsets[i].trainable, packed + offsets[i].packed), ++i), ...);
    }
    static Pass pass_at(const Pass& pass, std::size_t i) { return with_stream(pass, child_stream(pass.stream, i)); }

    static void forward(const Pass& pass, const Weights& weights, const S* input, S* output, S* saved) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (forward_path<PathChain<Paths>, Is>(pass, weights, input, output, saved), ...);
        }(std::index_sequence_for<Paths...>{});
    }

    template <class PathOp, std::size_t i>
    static void forward_path(const Pass& pass, const Weights& weights, const S* input, S* output, S* saved) {
        S* path_output = workspace.at(output_region, pass, saved);
        const S* slice = input;
        if constexpr (splits) {
            constexpr Index channels = path_input.channels;
            S* copy = workspace.at(input_region(i), pass, saved);
            Backend::template copy_channels<channels>(
                pass, pixel_count(Input), input + static_cast<Index>(i) * channels, Input.channels, copy, channels);
            slice = copy;
        }
        PathOp::forward(pass_at(pass, i), weights.at(offsets[i]), slice, path_output,
                        workspace.at(chain_region(i), pass, saved));
        if constexpr (Joining == Join::concatenate) {
            constexpr Index channels = shapes[i].channels;
            Backend::template copy_channels<channels>(pass, pixel_count(output_shape), path_output, channels,
                                                      output + first_channel[i], output_shape.channels);
        } else {
            Backend::accumulate(pass, i == 0, factor, element_count(output_shape), path_output, output);
        }
    }

    template <class InputGradient>
    static void backward(const Pass& pass, const Weights& weights, const S* input, S* saved, const S* output_gradient,
                         InputGradient input_gradient, Compute<S>* parameter_gradient) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (backward_path<PathChain<Paths>, Is>(pass, weights, input, saved, output_gradient, input_gradient,
                                                 parameter_gradient),
             ...);
        }(std::index_sequence_for<Paths...>{});
    }

    template <class PathOp, std::size_t i, class InputGradient>
    static void backward_path(const Pass& pass, const Weights& weights, const S* input, S* saved,
                              const S* output_gradient, InputGradient input_gradient, Compute<S>* parameter_gradient) {
        S* path_output_gradient = workspace.at(output_region, pass, saved);
        S* path_input_gradient = workspace.at(input_gradient_region, pass, saved);
        const S* slice = splits ? workspace.at(input_region(i), pass, saved) : input;
        if constexpr (Joining == Join::concatenate) {
            constexpr Index channels = shapes[i].channels;
            Backend::template copy_channels<channels>(pass, pixel_count(output_shape),
                                                      output_gradient + first_channel[i], output_shape.channels,
                                                      path_output_gradient, channels);
        } else {
            Backend::accumulate(pass, true, factor, element_count(output_shape), output_gradient, path_output_gradient);
        }
        PathOp::backward(pass_at(pass, i), weights.at(offsets[i]), slice, workspace.at(chain_region(i), pass, saved),
                         path_output_gradient, inner_gradient(input_gradient, path_input_gradient),
                         parameter_gradient + offsets[i].trainable);
        if constexpr (!std::is_null_pointer_v<InputGradient>) {
            if (!input_gradient) return;
            if constexpr (splits) {
                constexpr Index channels = path_input.channels;
                Backend::template copy_channels<channels>(pass, pixel_count(Input), path_input_gradient, channels,
                                                          input_gradient + static_cast<Index>(i) * channels,
                                                          Input.channels);
            } else {
                Backend::accumulate(pass, i == 0, Compute<S>(1), element_count(Input), path_input_gradient,
                                    input_gradient);
            }
        }
    }
};

/// In training, paths that are folded later are paths as others.
template <class Backend, class... Paths, Shape Input, class S>
struct Operation<Backend, FoldableAdd<Paths...>, Input, S> : Operation<Backend, Add<Paths...>, Input, S> {};

}  // namespace bantam::exec
