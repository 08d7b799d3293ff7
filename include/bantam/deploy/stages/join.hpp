// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/layers/branches.hpp>
#include <bantam/layers/residual.hpp>

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace bantam::deploy {

/// Stages one after the other.
template <class... Stages>
struct StageList {
    static constexpr std::size_t size = sizeof...(Stages);
};

/// One path of a join: what it sees, its stages, what it gives.
template <Shape Input, class InType, Shape Output, class OutType, class List>
struct StagePath {
    using In = InType;
    using Out = OutType;
    using Stages = List;
    static constexpr Shape input = Input;
    static constexpr Shape output = Output;
};

struct JoinSpec {
    Shape input;
    Shape output;
    Fork fork;
    Join join;
    /// Index of the path that a learned scale per channel multiplies, or -1.
    int scaled_path;
    Bound bound;
};

template <class List>
struct StageSizes;
template <class... Stages>
struct StageSizes<StageList<Stages...>> {
    static constexpr Index weight_count = (Index{0} + ... + Stages::weight_count);
    static constexpr Index constant_count = (Index{0} + ... + Stages::constant_count);
    static constexpr Index trainable = (Index{0} + ... + Stages::trainable);
    static constexpr Index statistics = (Index{0} + ... + Stages::statistics);
    /// Where each stage's weights and constants begin.
    static constexpr auto offsets = [] {
        std::array<std::array<Index, 2>, sizeof...(Stages) + 1> result{};
        std::size_t i = 0;
        ((result[i + 1] = {result[i][0] + Stages::weight_count, result[i][1] + Stages::constant_count}, ++i), ...);
        return result;
    }();
};

/// Paths from one input whose outputs become one: residual blocks, branches, ensembles. Weights and constants are
/// those of the paths, then the join's own constants.
///
/// float: the learned scale per channel where there is one.
/// int8, side by side: a factor per path. int8, sum or mean: a shift, a multiplier per path, and per channel for a
/// path with a learned scale; output = ⌊Σ element · multiplier / 2^shift + 1/2⌋.
template <JoinSpec S, class P, class InType, class OutType, class... Paths>
struct JoinPaths {
    using In = InType;
    using Out = OutType;
    using Precision = P;
    using PathList = StageList<Paths...>;
    static constexpr JoinSpec spec = S;
    static constexpr Shape input = S.input;
    static constexpr Shape output = S.output;
    static constexpr std::size_t path_count = sizeof...(Paths);
    static constexpr int channels = static_cast<int>(S.output.channels);
    static constexpr bool integer = std::is_same_v<P, Int8>;
    static constexpr Index scale_count = S.scaled_path >= 0 ? channels : 0;
    static constexpr Index own_constants =
        integer ? (S.join == Join::concatenate ? path_count : 1 + path_count + scale_count) : scale_count;
    static constexpr Index paths_weights = (StageSizes<typename Paths::Stages>::weight_count + ...);
    static constexpr Index paths_constants = (StageSizes<typename Paths::Stages>::constant_count + ...);
    static constexpr Index weight_count = paths_weights;
    static constexpr Index constant_count = paths_constants + own_constants;
    static constexpr Index trainable = (StageSizes<typename Paths::Stages>::trainable + ...) + scale_count;
    static constexpr Index statistics = (StageSizes<typename Paths::Stages>::statistics + ...);

    /// Where each path's weights and constants begin, and its channels in a concatenation.
    struct Offsets {
        std::array<Index, path_count> weight{}, constant{};
        std::array<int, path_count> channel{};
    };
    static constexpr Offsets offsets = [] {
        Offsets result;
        Index weight = 0, constant = 0;
        int channel = 0;
        std::size_t i = 0;
        ((result.weight[i] = weight, weight += StageSizes<typename Paths::Stages>::weight_count,
          result.constant[i] = constant, constant += StageSizes<typename Paths::Stages>::constant_count,
          result.channel[i] = channel, channel += static_cast<int>(Paths::output.channels), ++i),
         ...);
        return result;
    }();

    /// Joins `pixels` pixels of every path's output; `out` may be a path's memory where a pixel has as many bytes.
    static void combine(const typename Paths::Out*... from, int pixels, Out* out, WeightView<P> view) {
        const typename P::Constant* constants = view.constants + paths_constants;
        if constexpr (S.join == Join::concatenate) {
            std::size_t path = 0;
            (put_beside(from, static_cast<int>(Paths::output.channels), path, pixels, out, constants, path), ...);
        } else {
            for (int pixel = 0; pixel < pixels; ++pixel)
                for (int c = 0; c < channels; ++c) {
                    const int i = pixel * channels + c;
                    int path = 0;
                    if constexpr (integer) {
                        const int shift = constants[0];
                        std::int64_t sum = std::int64_t{1} << (shift - 1);
                        ((sum += std::int64_t{from[i]} * multiplier(constants, path, c), ++path), ...);
                        out[i] = saturate<Out>(sum >> shift);
                    } else {
                        float sum = 0;
                        ((sum += path == S.scaled_path ? from[i] * constants[c] : from[i], ++path), ...);
                        if constexpr (S.join == Join::mean) sum *= 1.0F / static_cast<float>(path_count);
                        out[i] = limit(sum, S.bound);
                    }
                }
        }
    }

private:
    static std::int32_t multiplier(const std::int32_t* constants, int path, int channel) {
        if (path == S.scaled_path) return constants[1 + static_cast<int>(path_count) + channel];
        return constants[1 + path];
    }

    template <class T>
    static void put_beside(const T* from, int path_channels, std::size_t& path, int pixels, Out* out,
                           const typename P::Constant* constants, std::size_t at) {
        for (int pixel = 0; pixel < pixels; ++pixel)
            for (int c = 0; c < path_channels; ++c) {
                const T value = from[pixel * path_channels + c];
                Out& to = out[pixel * channels + offsets.channel[at] + c];
                if constexpr (integer)
                    to = saturate<Out>(scale_by(value, constants[at]));
                else
                    to = value;
            }
        ++path;
    }
};

/// x · body(x), where the body gives one pixel. int8: the constant behind the body's is the factor.
template <Shape Input, class P, class InType, class OutType, class BodyOut, class Body>
struct GateChannels {
    using In = InType;
    using Out = OutType;
    using Precision = P;
    using BodyStages = Body;
    using GateElement = BodyOut;
    static constexpr Shape input = Input;
    static constexpr Shape output = Input;
    static constexpr int channels = static_cast<int>(Input.channels);
    static constexpr Index weight_count = StageSizes<Body>::weight_count;
    static constexpr Index body_constants = StageSizes<Body>::constant_count;
    static constexpr Index constant_count = body_constants + (std::is_same_v<P, Int8> ? 1 : 0);
    static constexpr Index trainable = StageSizes<Body>::trainable;
    static constexpr Index statistics = StageSizes<Body>::statistics;

    static void combine(const In* from, const BodyOut* gate, Out* out, WeightView<P> view) {
        for (int pixel = 0; pixel < static_cast<int>(pixel_count(Input)); ++pixel)
            for (int c = 0; c < channels; ++c) {
                const int i = pixel * channels + c;
                if constexpr (std::is_same_v<P, Int8>)
                    out[i] = saturate<Out>(scale_by(std::int64_t{from[i]} * gate[c], view.constants[body_constants]));
                else
                    out[i] = from[i] * gate[c];
            }
    }
};

}  // namespace bantam::deploy
