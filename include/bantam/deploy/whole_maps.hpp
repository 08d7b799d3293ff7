// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/deploy/map_memory.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/deploy/stages/join.hpp>
#include <bantam/deploy/stages/pointwise.hpp>
#include <bantam/deploy/stages/pooling.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

// Layer by layer: each stage reads a whole map and writes a whole map.

namespace bantam::deploy {

/// Is told of no map. An observer is called with every stage's output, in a fixed order.
struct NoObserver {
    template <class T>
    void operator()(const T*, Index) {}
};

/// A stage that makes an output line of the input lines which it sees.
template <class S>
concept LineStage = requires { S::kernel_height; };

/// How a stage runs on whole maps: `scratch_bytes` and `run(input, output, weights, scratch, observer)`.
template <class S>
struct WholeStage;

/// Stages one after the other on whole maps. Maps between them take turns at the two ends of the scratch memory.
template <class List, class T>
struct WholeChain;

template <class T>
struct WholeChain<StageList<>, T> {
    static constexpr Index scratch_bytes = 0;
};

template <class T, class... Stages>
struct WholeChain<StageList<Stages...>, T> {
    static constexpr std::size_t size = sizeof...(Stages);
    using Sizes = StageSizes<StageList<Stages...>>;
    template <std::size_t I>
    using StageAt = std::tuple_element_t<I, std::tuple<Stages...>>;
    using Out = typename StageAt<size - 1>::Out;
    using Precision = typename StageAt<0>::Precision;

    /// Bytes of the map in front of each stage and of the last one's output; the ends are the caller's.
    static constexpr std::array<Index, size + 1> maps = [] {
        std::array<Index, size + 1> bytes{0, map_bytes<typename Stages::Out>(Stages::output)...};
        bytes[size] = 0;
        return bytes;
    }();
    static constexpr std::array<Index, size> stage_scratch{WholeStage<Stages>::scratch_bytes...};
    static constexpr Index scratch_bytes = [] {
        Index largest = 0;
        for (std::size_t i = 0; i < size; ++i) largest = std::max(largest, maps[i] + maps[i + 1] + stage_scratch[i]);
        return largest;
    }();
    static constexpr Index begin(std::size_t map) { return map % 2 == 1 ? 0 : scratch_bytes - maps[map]; }

    template <std::size_t I = 0, class Observer>
    static void run(const T* input, Out* output, WeightView<Precision> view, std::byte* scratch, Observer& observer) {
        using Stage = StageAt<I>;
        const typename Stage::In* from = nullptr;
        typename Stage::Out* to = nullptr;
        if constexpr (I == 0)
            from = input;
        else
            from = map_at<const typename Stage::In>(scratch + begin(I));
        if constexpr (I + 1 == size)
            to = output;
        else
            to = map_at<typename Stage::Out>(scratch + begin(I + 1));
        WholeStage<Stage>::run(from, to, view.at(Sizes::offsets[I][0], Sizes::offsets[I][1]),
                               scratch + (I % 2 == 1 ? maps[I] : maps[I + 1]), observer);
        if constexpr (I + 1 < size) run<I + 1>(input, output, view, scratch, observer);
    }
};

template <LineStage S>
struct WholeStage<S> {
    static constexpr Index scratch_bytes = (S::line_scratch_bytes + 7) / 8 * 8;

    template <class Observer>
    static void run(const typename S::In* input, typename S::Out* output, WeightView<typename S::Precision> view,
                    std::byte* scratch, Observer& observer) {
        constexpr int height = static_cast<int>(S::input.height);
        constexpr int in_line = static_cast<int>(S::input.width * S::input.channels);
        constexpr int out_line = static_cast<int>(S::output.width * S::output.channels);
        for (int y = 0; y < static_cast<int>(S::output.height); ++y) {
            const typename S::In* lines[S::kernel_height];
            for (int ky = 0; ky < S::kernel_height; ++ky) {
                const int in_y = y * S::stride - S::padding + ky * S::dilation;
                lines[ky] = in_y < 0 || in_y >= height ? nullptr : input + in_y * in_line;
            }
            S::line(lines, output + y * out_line, view, scratch);
        }
        observer(output, element_count(S::output));
    }
};

template <Shape Input, class P, class T>
struct WholeStage<GlobalPool<Input, P, T>> {
    using Pool = GlobalPool<Input, P, T>;
    static constexpr Index scratch_bytes = map_bytes<typename P::Sum>(Pool::output);

    template <class Observer>
    static void run(const T* input, T* output, WeightView<P> view, std::byte* scratch, Observer& observer) {
        auto* sums = map_at<typename P::Sum>(scratch);
        Pool::start(sums);
        for (Index y = 0; y < Input.height; ++y) Pool::add_line(input + y * Input.width * Input.channels, sums);
        Pool::finish(sums, output, view);
        observer(output, Input.channels);
    }
};

template <Shape Input, class P, class T>
struct WholeStage<FlattenMap<Input, P, T>> {
    static constexpr Index scratch_bytes = 0;

    template <class Observer>
    static void run(const T* input, T* output, WeightView<P>, std::byte*, Observer& observer) {
        std::copy(input, input + element_count(Input), output);
        observer(output, element_count(Input));
    }
};

template <JoinSpec S, class P, class In, class Out, class... Paths>
struct WholeStage<JoinPaths<S, P, In, Out, Paths...>> {
    using Join = JoinPaths<S, P, In, Out, Paths...>;
    static constexpr bool splits = S.fork == Fork::split;
    template <class Path>
    using Chain = WholeChain<typename Path::Stages, In>;
    /// Whether a path gives the join's input as it is.
    template <class Path>
    static constexpr bool passes = Path::Stages::size == 0 && !splits;

    // Scratch: every path's output, a path's share of a split input, then what its stages need. The first path's
    // output may be the join's.
    template <class Path>
    static constexpr Index output_bytes = passes<Path> ? 0 : map_bytes<typename Path::Out>(Path::output);
    using FirstPath = std::tuple_element_t<0, std::tuple<Paths...>>;
    static constexpr bool first_in_place =
        S.join != bantam::Join::concatenate && !passes<FirstPath> && sizeof(typename FirstPath::Out) == sizeof(Out);
    static constexpr std::array<Index, sizeof...(Paths)> output_at = [] {
        std::array<Index, sizeof...(Paths)> result{};
        Index at = 0;
        std::size_t i = 0;
        ((result[i] = at, at += i == 0 && first_in_place ? 0 : output_bytes<Paths>, ++i), ...);
        return result;
    }();
    static constexpr Index outputs_bytes = (output_bytes<Paths> + ...) - (first_in_place ? output_bytes<FirstPath> : 0);
    static constexpr Index share_bytes = splits ? map_bytes<In>(FirstPath::input) : 0;
    static constexpr Index scratch_bytes = outputs_bytes + share_bytes + std::max({Chain<Paths>::scratch_bytes...});

    template <class Observer>
    static void run(const In* input, Out* output, WeightView<P> view, std::byte* scratch, Observer& observer) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            const std::tuple<const typename Paths::Out*...> results{
                path<Paths, Is>(input, output, view, scratch, observer)...};
            Join::combine(std::get<Is>(results)..., static_cast<int>(pixel_count(S.output)), output, view);
        }(std::index_sequence_for<Paths...>{});
        observer(output, element_count(S.output));
    }

private:
    template <class Path, std::size_t I, class Observer>
    static const typename Path::Out* path(const In* input, Out* output, WeightView<P> view, std::byte* scratch,
                                          Observer& observer) {
        if constexpr (passes<Path>) {
            return input;
        } else {
            using Result = typename Path::Out;
            Result* result =
                I == 0 && first_in_place ? reinterpret_cast<Result*>(output) : map_at<Result>(scratch + output_at[I]);
            const In* from = input;
            if constexpr (splits) {
                constexpr Index channels = Path::input.channels;
                In* share =
                    Path::Stages::size == 0 ? reinterpret_cast<In*>(result) : map_at<In>(scratch + outputs_bytes);
                for (Index pixel = 0; pixel < pixel_count(S.input); ++pixel)
                    for (Index c = 0; c < channels; ++c)
                        share[pixel * channels + c] =
                            input[pixel * S.input.channels + static_cast<Index>(I) * channels + c];
                from = share;
            }
            if constexpr (Path::Stages::size > 0)
                Chain<Path>::run(from, result, view.at(Join::offsets.weight[I], Join::offsets.constant[I]),
                                 scratch + outputs_bytes + share_bytes, observer);
            return result;
        }
    }
};

template <Shape Input, class P, class In, class Out, class GateElement, class Body>
struct WholeStage<GateChannels<Input, P, In, Out, GateElement, Body>> {
    using Gate = GateChannels<Input, P, In, Out, GateElement, Body>;
    using Chain = WholeChain<Body, In>;
    static constexpr Index gate_bytes = map_bytes<GateElement>(Shape{1, 1, Input.channels});
    static constexpr Index scratch_bytes = gate_bytes + Chain::scratch_bytes;

    template <class Observer>
    static void run(const In* input, Out* output, WeightView<P> view, std::byte* scratch, Observer& observer) {
        auto* gate = map_at<GateElement>(scratch);
        Chain::run(input, gate, view, scratch + gate_bytes, observer);
        Gate::combine(input, gate, output, view);
        observer(output, element_count(Input));
    }
};

}  // namespace bantam::deploy
