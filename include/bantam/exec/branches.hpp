// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/exec/operation.hpp>
#include <bantam/layers/branches.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace bantam::exec {

/// How branches run on any backend.
template <class Backend, class Layer, Shape Input, class S>
struct BranchesOperation;

template <class Backend, Fork Forking, Join Joining, class... Paths, Shape Input, class S>
struct BranchesOperation<Backend, Branches<Forking, Joining, Paths...>, Input, S> : OperationSizes {
    using Pass = typename Backend::template Pass<S>;
    using Layer = Branches<Forking, Joining, Paths...>;
    static constexpr std::size_t count = sizeof...(Paths);
    static constexpr Shape path_input = Layer::child_input(Input, 0);
    static constexpr Shape output_shape = Layer::output_shape(Input);
    template <class Path>
    using PathChain = typename Backend::template Chain<Path, path_input, S>;
    static constexpr bool splits = Forking == Fork::split;
    static constexpr std::array<Shape, count> shapes = Layer::branch_shapes(Input);

    static constexpr Index packed_size = (PathChain<Paths>::packed_size + ...);
    static constexpr Index scratch_size = std::max({PathChain<Paths>::scratch_size...});
    static constexpr Index partial_size = std::max({PathChain<Paths>::partial_size...});
    static constexpr Index sum_count = std::max({PathChain<Paths>::sum_count...});

    static constexpr Index largest_output = [] {
        Index largest = 0;
        for (Shape shape : shapes) largest = std::max(largest, element_count(shape));
        return align_up<S>(largest);
    }();
    // Workspace: every path's share of a split input and its chain's workspace, then one path's output,
    // and on the way back one path's output gradient (in the same place) and input gradient.
    static constexpr Index path_per_sample(Index chain) {
        return chain + (splits ? align_up<S>(element_count(path_input)) : 0);
    }
    static constexpr Index saved_per_sample(bool training) {
        return (path_per_sample(PathChain<Paths>::saved_per_sample(training)) + ...) + largest_output +
               (training ? align_up<S>(element_count(path_input)) : 0);
    }
    static constexpr Index saved_fixed(bool training) { return (PathChain<Paths>::saved_fixed(training) + ...); }

    /// Where the paths find their tensors and where their outputs lie in a concatenation.
    struct Offsets {
        std::array<Index, count> channel{}, trainable{}, non_trainable{}, packed{};
    };
    static constexpr Offsets offsets = [] {
        Offsets result, next;
        std::size_t i = 0;
        ((result.channel[i] = next.channel[0], next.channel[0] += shapes[i].channels,  //
          result.trainable[i] = next.trainable[0], next.trainable[0] += trainable_parameters<Part<Paths, path_input>>,
          result.non_trainable[i] = next.non_trainable[0],
          next.non_trainable[0] += non_trainable_parameters<Part<Paths, path_input>>, result.packed[i] = next.packed[0],
          next.packed[0] += PathChain<Paths>::packed_size, ++i),
         ...);
        return result;
    }();

    /// Where path `index`'s workspace begins; the common part begins where path `count` would.
    static Index workspace(const Pass& pass, std::size_t index) {
        Index offset = 0;
        std::size_t i = 0;
        ((offset += i++ < index ? path_per_sample(PathChain<Paths>::saved_per_sample(pass.training)) * pass.count +
                                      PathChain<Paths>::saved_fixed(pass.training)
                                : 0),
         ...);
        return offset;
    }

    static void prepare(const S* parameters, S* panels) {
        std::size_t i = 0;
        ((PathChain<Paths>::prepare(parameters + offsets.trainable[i], panels + offsets.packed[i]), ++i), ...);
    }
    static Weights<S> weights_at(const Weights<S>& weights, std::size_t i) {
        return {weights.parameters + offsets.trainable[i], weights.statistics + offsets.non_trainable[i],
                weights.packed + offsets.packed[i]};
    }
    static Pass pass_at(const Pass& pass, std::size_t i) {
        Pass own = pass;
        own.stream = pass.stream * 64 + i + 1;
        return own;
    }

    using Number = Compute<S>;
    static constexpr Number share = Joining == Join::mean ? Number(1.0 / static_cast<double>(count)) : Number(1);

    static void forward(const Pass& pass, const Weights<S>& weights, const S* input, S* output, S* saved) {
        S* path_output = saved + workspace(pass, count);
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (forward_path<PathChain<Paths>, Is>(pass, weights, input, path_output, output, saved), ...);
        }(std::index_sequence_for<Paths...>{});
    }

    template <class PathOp, std::size_t i>
    static void forward_path(const Pass& pass, const Weights<S>& weights, const S* input, S* path_output, S* output,
                             S* saved) {
        S* own_saved = saved + workspace(pass, i);
        const S* own_input = input;
        if constexpr (splits) {
            constexpr Index channels = path_input.channels;
            S* slice = own_saved;
            own_saved += path_per_sample(0) * pass.count;
            Backend::template copy_channels<channels>(
                pass, pixel_count(Input), input + static_cast<Index>(i) * channels, Input.channels, slice, channels);
            own_input = slice;
        }
        PathOp::forward(pass_at(pass, i), weights_at(weights, i), own_input, path_output, own_saved);
        if constexpr (Joining == Join::concatenate) {
            constexpr Index channels = shapes[i].channels;
            Backend::template copy_channels<channels>(pass, pixel_count(output_shape), path_output, channels,
                                                      output + offsets.channel[i], output_shape.channels);
        } else {
            Backend::accumulate(pass, i == 0, share, element_count(output_shape), path_output, output);
        }
    }

    static void backward(const Pass& pass, const Weights<S>& weights, const S* input, S* saved,
                         const S* output_gradient, S* input_gradient, Compute<S>* parameter_gradient) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (backward_path<PathChain<Paths>, Is>(pass, weights, input, saved, output_gradient, input_gradient,
                                                 parameter_gradient),
             ...);
        }(std::index_sequence_for<Paths...>{});
    }

    template <class PathOp, std::size_t i>
    static void backward_path(const Pass& pass, const Weights<S>& weights, const S* input, S* saved,
                              const S* output_gradient, S* input_gradient, Compute<S>* parameter_gradient) {
        S* path_output_gradient = saved + workspace(pass, count);
        S* path_input_gradient = path_output_gradient + largest_output * pass.count;
        S* own_saved = saved + workspace(pass, i);
        const S* own_input = splits ? own_saved : input;
        if constexpr (splits) own_saved += path_per_sample(0) * pass.count;
        if constexpr (Joining == Join::concatenate) {
            constexpr Index channels = shapes[i].channels;
            Backend::template copy_channels<channels>(pass, pixel_count(output_shape),
                                                      output_gradient + offsets.channel[i], output_shape.channels,
                                                      path_output_gradient, channels);
        } else {
            Backend::accumulate(pass, true, share, element_count(output_shape), output_gradient, path_output_gradient);
        }
        PathOp::backward(pass_at(pass, i), weights_at(weights, i), own_input, own_saved, path_output_gradient,
                         input_gradient ? path_input_gradient : nullptr, parameter_gradient + offsets.trainable[i]);
        if (!input_gradient) return;
        if constexpr (splits) {
            constexpr Index channels = path_input.channels;
            Backend::template copy_channels<channels>(pass, pixel_count(Input), path_input_gradient, channels,
                                                      input_gradient + static_cast<Index>(i) * channels,
                                                      Input.channels);
        } else {
            Backend::accumulate(pass, i == 0, Number(1), element_count(Input), path_input_gradient, input_gradient);
        }
    }
};

}  // namespace bantam::exec
