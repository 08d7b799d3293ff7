// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/diagnostics.hpp>
#include <bantam/core/layer_mistakes.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/core/visit.hpp>
#include <bantam/deploy/map_memory.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/deploy/stages/join.hpp>
#include <bantam/deploy/stages/pointwise.hpp>
#include <bantam/deploy/stages/pooling.hpp>
#include <bantam/deploy/whole_maps.hpp>
#include <bantam/layers/squeeze_excite.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

// Line by line: each stage takes one line of its input at a time, keeps the few lines that its next outputs see, and
// hands a line on as soon as it can. The same functions compute a line as on whole maps, so that results are equal to
// the bit.

namespace bantam::deploy {

/// The two line buffers that all stages share, and what a stage needs while it computes a line. A stage reads a line
/// from one buffer (or from other memory), writes to the other, and must have saved what it still
/// needs before it hands its line on.
struct LineBuffers {
    std::byte* line[2];
    std::byte* scratch;

    template <class T>
    T* at(int index) const {
        return map_at<T>(line[index]);
    }
};

namespace detail {

template <class S>
struct StageOfWholeMaps {
    static constexpr bantam::detail::Sentence sentence = [] {
        bantam::detail::Sentence text;
        const std::string_view name = bantam::detail::type_name<S>();
        text.append("stage ").append(name.substr(0, name.find('<')));
        return text.append(
            " needs its whole input before its first output and cannot run line by line: use "
            "deploy::Classifier, or DeviceMaps::whole in a Budget");
    }();
    using Facts = compile_error<std::type_identity<S>{}>;
};

struct FindChannelGate {
    bool found = false;

    template <class L, Shape>
    constexpr void operator()(const bantam::detail::Path&) {
        found = found || L::name == ChannelGate<>::name;
    }
};

}  // namespace detail

/// Whether `Net` runs line by line: a channel gate needs its whole input first.
template <class Net>
inline constexpr bool runs_line_by_line = [] {
    detail::FindChannelGate find;
    bantam::detail::walk<typename Net::Layers, Net::input>(find, {});
    return !find.found;
}();

/// A stage between lines: `push(line, weights, buffers, free, next)` takes one line and calls `next(line, free)` for
/// every line that it gives; `free` is the buffer that may be written. After a map's last line, or `restart()`, it
/// starts again.
template <class S>
struct LineStageState : bantam::detail::Refusal<detail::StageOfWholeMaps<S>> {
    static constexpr Index buffer_bytes = 0;
    static constexpr Index scratch_bytes = 0;
    static constexpr int lines_out(int count) { return count; }
};

/// Stages one after the other. `lines_out(n)` is the number of lines given after `n` lines were taken.
template <class List>
class LineChain;

template <class T>
constexpr Index line_bytes(Shape shape) {
    return map_bytes<T>({1, shape.width, shape.channels});
}

template <class... Stages>
class LineChain<StageList<Stages...>> {
public:
    static_assert((sizeof(LineStageState<Stages>) + ... + 1) > 0);
    static constexpr std::size_t size = sizeof...(Stages);
    static constexpr Index buffer_bytes = std::max({Index{0}, LineStageState<Stages>::buffer_bytes...});
    static constexpr Index scratch_bytes = std::max({Index{0}, LineStageState<Stages>::scratch_bytes...});
    static constexpr int lines_out(int count) {
        ((count = LineStageState<Stages>::lines_out(count)), ...);
        return count;
    }

    template <std::size_t I = 0, class T, class P, class Next>
    void push(const T* line, WeightView<P> view, const LineBuffers& buffers, int free, Next& next) {
        if constexpr (I == size) {
            next(line, free);
        } else {
            constexpr auto offset = StageSizes<StageList<Stages...>>::offsets[I];
            auto following = [&](const auto* output, int output_free) {
                push<I + 1>(output, view, buffers, output_free, next);
            };
            std::get<I>(states_).push(line, view.at(offset[0], offset[1]), buffers, free, following);
        }
    }

    /// The next line is a map's first, whatever was taken before.
    void restart() {
        std::apply([](auto&... states) { (states.restart(), ...); }, states_);
    }

private:
    std::tuple<LineStageState<Stages>...> states_;
};

template <LineStage S>
struct LineStageState<S> {
    using In = typename S::In;
    using Out = typename S::Out;
    static constexpr int height = static_cast<int>(S::input.height);
    static constexpr int out_height = static_cast<int>(S::output.height);
    static constexpr int in_line = static_cast<int>(S::input.width * S::input.channels);
    static constexpr int kept_lines = S::dilation * (S::kernel_height - 1);
    static constexpr Index buffer_bytes = line_bytes<Out>(S::output);
    static constexpr Index scratch_bytes = S::line_scratch_bytes;

    /// The last input line that output line `y` sees, or the map's first or last one where that lies outside.
    static constexpr int last_seen(int y) { return std::clamp(y * S::stride - S::padding + kept_lines, 0, height - 1); }
    static constexpr int lines_out(int count) {
        int lines = 0;
        while (lines < out_height && last_seen(lines) < count) ++lines;
        return lines;
    }

    template <class Next>
    void push(const In* line, WeightView<typename S::Precision> view, const LineBuffers& buffers, int free,
              Next& next) {
        const int current = taken_++;
        bool saved = false;
        while (given_ < out_height && last_seen(given_) <= current) {
            const In* lines[S::kernel_height];
            for (int ky = 0; ky < S::kernel_height; ++ky) {
                const int in_y = given_ * S::stride - S::padding + ky * S::dilation;
                lines[ky] = in_y < 0 || in_y >= height ? nullptr : in_y == current && !saved ? line : kept(in_y);
            }
            Out* output = buffers.at<Out>(free);
            compute(lines, output, view, buffers.scratch);
            if (!saved) save(line, current);
            saved = true;
            ++given_;
            next(output, 1 - free);
        }
        if (!saved) save(line, current);
        if (taken_ == height) restart();
    }
    void restart() { taken_ = given_ = 0; }

private:
    static constexpr int slots = kept_lines > 0 ? kept_lines : 1;

    /// Not inlined: what a stage needs on the stack for a line is not there while the following stages run.
    [[gnu::noinline]] static void compute(const In* const* lines, Out* output, WeightView<typename S::Precision> view,
                                          std::byte* scratch) {
        S::line(lines, output, view, scratch);
    }

    In* kept(int y) { return kept_ + y % slots * in_line; }
    void save(const In* line, int y) {
        if constexpr (kept_lines > 0) std::copy(line, line + in_line, kept(y));
    }

    In kept_[static_cast<std::size_t>(kept_lines > 0 ? kept_lines * in_line : 1)];
    int taken_ = 0;
    int given_ = 0;
};

template <Shape Input, class P, class T>
struct LineStageState<GlobalPool<Input, P, T>> {
    using Pool = GlobalPool<Input, P, T>;
    static constexpr Index buffer_bytes = line_bytes<T>(Pool::output);
    static constexpr Index scratch_bytes = 0;
    static constexpr int lines_out(int count) { return count == Input.height ? 1 : 0; }

    template <class Next>
    void push(const T* line, WeightView<P> view, const LineBuffers& buffers, int free, Next& next) {
        if (taken_ == 0) Pool::start(sums_);
        Pool::add_line(line, sums_);
        if (++taken_ < static_cast<int>(Input.height)) return;
        taken_ = 0;
        Pool::finish(sums_, buffers.at<T>(free), view);
        next(buffers.at<const T>(free), 1 - free);
    }
    void restart() { taken_ = 0; }

private:
    typename P::Sum sums_[static_cast<std::size_t>(Input.channels)];
    int taken_ = 0;
};

template <Shape Input, class P, class T>
struct LineStageState<FlattenMap<Input, P, T>> {
    static constexpr Index buffer_bytes = 0;
    static constexpr Index scratch_bytes = 0;
    static constexpr int lines_out(int count) { return count == Input.height ? 1 : 0; }

    template <class Next>
    void push(const T* line, WeightView<P>, const LineBuffers&, int free, Next& next) {
        constexpr int length = static_cast<int>(Input.width * Input.channels);
        std::copy(line, line + length, map_ + taken_ * length);
        if (++taken_ < static_cast<int>(Input.height)) return;
        taken_ = 0;
        next(static_cast<const T*>(map_), free);
    }
    void restart() { taken_ = 0; }

private:
    T map_[static_cast<std::size_t>(element_count(Input))];
    int taken_ = 0;
};

/// Paths are joined as soon as each has given the line. The slowest path comes last; the others' lines wait for it.
template <JoinSpec S, class P, class In, class Out, class... Paths>
struct LineStageState<JoinPaths<S, P, In, Out, Paths...>> {
    using Join = JoinPaths<S, P, In, Out, Paths...>;
    template <std::size_t I>
    using PathAt = std::tuple_element_t<I, std::tuple<Paths...>>;
    static constexpr std::size_t count = sizeof...(Paths);
    static constexpr int height = static_cast<int>(S.input.height);
    static constexpr bool splits = S.fork == Fork::split;
    static constexpr int in_line = static_cast<int>(S.input.width * S.input.channels);

    static constexpr std::array<int, count> path_lines_out(int lines) {
        return {LineChain<typename Paths::Stages>::lines_out(lines)...};
    }
    static constexpr int lines_out(int lines) {
        const auto paths = path_lines_out(lines);
        return *std::min_element(paths.begin(), paths.end());
    }
    static constexpr Index buffer_bytes =
        std::max({line_bytes<Out>(S.output), LineChain<typename Paths::Stages>::buffer_bytes...});
    static constexpr Index scratch_bytes = std::max({LineChain<typename Paths::Stages>::scratch_bytes...});

    /// A path that is never ahead of another, or the number of paths: its lines need not wait.
    static constexpr std::size_t slowest = [] {
        for (std::size_t path = 0; path < count; ++path) {
            bool last = true;
            for (int lines = 0; lines <= height; ++lines)
                last = last && path_lines_out(lines)[path] == lines_out(lines);
            if (last) return path;
        }
        return count;
    }();
    /// Lines of each path that wait at one time.
    static constexpr std::array<int, count> waiting = [] {
        std::array<int, count> result{};
        for (int lines = 1; lines <= height; ++lines)
            for (std::size_t path = 0; path < count; ++path)
                if (path != slowest)
                    result[path] = std::max(result[path], path_lines_out(lines)[path] - lines_out(lines - 1));
        return result;
    }();
    /// A path that gives the input as it is and whose lines wait: the other paths read the newest of them.
    static constexpr std::size_t passing = [] {
        std::size_t result = count, path = 0;
        ((result = result == count && Paths::Stages::size == 0 && !splits && path != slowest ? path : result, ++path),
         ...);
        return result;
    }();

    template <class Next>
    void push(const In* line, WeightView<P> view, const LineBuffers& buffers, int free, Next& next) {
        if constexpr (passing < count)
            line = take(std::integral_constant<std::size_t, passing>{}, line);
        else if constexpr (count > 1)
            line = hold(line);
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (push_waiting<Is>(line, view, buffers, free), ...);
        }(std::index_sequence_for<Paths...>{});
        if constexpr (slowest < count) {
            using Path = PathAt<slowest>;
            auto joined = [&](const typename Path::Out* output, int output_free) {
                join(output, view, buffers, output_free, next);
            };
            std::get<slowest>(chains_).push(share<slowest>(line), path_view<slowest>(view), buffers, free, joined);
        } else {
            while (given_ < *std::min_element(taken_.begin(), taken_.end()))
                join(static_cast<const void*>(nullptr), view, buffers, free, next);
        }
        if (++lines_ == height) start_again();
    }
    void restart() {
        start_again();
        std::apply([](auto&... chains) { (chains.restart(), ...); }, chains_);
    }

private:
    void start_again() {
        lines_ = given_ = 0;
        taken_.fill(0);
    }

    template <std::size_t I>
    static constexpr int path_line = static_cast<int>(PathAt<I>::output.width * PathAt<I>::output.channels);

    template <class Path, int Lines>
    struct Queue {
        typename Path::Out lines[static_cast<std::size_t>(Lines * Path::output.width * Path::output.channels)];
    };
    template <class Path>
    struct Queue<Path, 0> {};

    template <std::size_t... Is>
    static auto queues_of(std::index_sequence<Is...>) -> std::tuple<Queue<PathAt<Is>, waiting[Is]>...>;

    /// Puts a path's line among those that wait.
    template <std::size_t I>
    const typename PathAt<I>::Out* take(std::integral_constant<std::size_t, I>, const typename PathAt<I>::Out* line) {
        auto* to = std::get<I>(queues_).lines + taken_[I]++ % waiting[I] * path_line<I>;
        std::copy(line, line + path_line<I>, to);
        return to;
    }

    template <std::size_t I>
    void push_waiting(const In* line, WeightView<P> view, const LineBuffers& buffers, int free) {
        if constexpr (I != slowest && I != passing) {
            auto wait = [&](const typename PathAt<I>::Out* output, int) {
                take(std::integral_constant<std::size_t, I>{}, output);
            };
            std::get<I>(chains_).push(share<I>(line), path_view<I>(view), buffers, free, wait);
        }
    }

    template <std::size_t I, class Line>
    const typename PathAt<I>::Out* line_of(const Line* slowest_line) {
        if constexpr (I == slowest)
            return slowest_line;
        else
            return std::get<I>(queues_).lines + given_ % waiting[I] * path_line<I>;
    }

    template <class Line, class Next>
    void join(const Line* slowest_line, WeightView<P> view, const LineBuffers& buffers, int free, Next& next) {
        Out* output = buffers.at<Out>(free);
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            Join::combine(line_of<Is>(slowest_line)..., static_cast<int>(S.output.width), output, view);
        }(std::index_sequence_for<Paths...>{});
        ++given_;
        next(static_cast<const Out*>(output), 1 - free);
    }

    /// Saves the input for the paths; a split one path by path.
    const In* hold(const In* line) {
        if constexpr (splits) {
            constexpr int channels = static_cast<int>(PathAt<0>::input.channels);
            for (int path = 0; path < static_cast<int>(count); ++path)
                for (int x = 0; x < static_cast<int>(S.input.width); ++x)
                    for (int c = 0; c < channels; ++c)
                        held_[(path * static_cast<int>(S.input.width) + x) * channels + c] =
                            line[x * static_cast<int>(S.input.channels) + path * channels + c];
        } else {
            std::copy(line, line + in_line, held_);
        }
        return held_;
    }
    template <std::size_t I>
    static const In* share(const In* line) {
        return splits ? line + static_cast<int>(I) * in_line / static_cast<int>(count) : line;
    }
    template <std::size_t I>
    static WeightView<P> path_view(WeightView<P> view) {
        return view.at(Join::offsets.weight[I], Join::offsets.constant[I]);
    }

    std::tuple<LineChain<typename Paths::Stages>...> chains_;
    decltype(queues_of(std::index_sequence_for<Paths...>{})) queues_;
    In held_[static_cast<std::size_t>(passing < count || count == 1 ? 1 : in_line)];
    std::array<int, count> taken_{};
    int given_ = 0;
    int lines_ = 0;
};

}  // namespace bantam::deploy
