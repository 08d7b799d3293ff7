// SPDX-License-Identifier: MIT
// Line by line: a stage runs as soon as it has the input lines of its next step, and writes its output lines where the
// stage behind reads them. Few lines of each map exist at a time; they stay in the fastest caches.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/deploy/host/joins.hpp>
#include <bantam/deploy/host/map_layout.hpp>
#include <bantam/deploy/host/stages.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/deploy/stages/join.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>

namespace bantam::deploy::host {

/// What a chain works with.
struct ChainMemory {
    WeightView<Int8> view;
    const std::byte* packed;
    std::uint8_t* memory;
    std::uint8_t* out;  ///< the last stage's line y goes to slot y % out_slots
    int out_slots;
};

/// Whether a stage is made of chains, one per path.
template <class S>
inline constexpr bool is_join = false;
template <JoinSpec S, class P, class In, class Out, class... Paths>
inline constexpr bool is_join<JoinPaths<S, P, In, Out, Paths...>> = true;

/// No stage: lines are copied.
template <class T, MapLayout From, MapLayout To>
struct Chain<StageList<>, T, From, To> {
    struct State {};
    static constexpr Index packed_bytes = 0;
    static constexpr Index memory_bytes = 0;
    static constexpr int lines_out(int lines) { return lines; }
    static void prepare(WeightView<Int8>, std::byte*) {}
    static void initialize(std::byte*) {}
    static void take(const std::uint8_t* line, int y, const ChainMemory& memory, State&) {
        copy_line<T, From, To>(line, memory.out + y % memory.out_slots * To.line_bytes(sizeof(T)));
    }
};

/// Stages one after the other on a map of `T`s, whose lines are given as `From` says. The last stage's are written as
/// `To` says.
template <class T, MapLayout From, MapLayout To, class... Stages>
struct Chain<StageList<Stages...>, T, From, To> {
    static constexpr std::size_t size = sizeof...(Stages);
    template <std::size_t I>
    using StageAt = std::tuple_element_t<I, std::tuple<Stages...>>;
    using Out = typename StageAt<size - 1>::Out;

    static constexpr Index packed_bytes = (HostStage<Stages>::packed_bytes + ...);

    /// Packs the weights once; `packed` is aligned to a cache line, like all memory here.
    static void prepare(WeightView<Int8> view, std::byte* packed) {
        ((HostStage<Stages>::prepare(view, packed), view = view.at(Stages::weight_count, Stages::constant_count),
          packed += HostStage<Stages>::packed_bytes),
         ...);
    }

private:
    template <std::size_t I>
    using Host = HostStage<StageAt<I>>;

    /// How the lines behind stage `I` are read, and how the stage writes them.
    template <std::size_t I>
    static constexpr MapLayout read_layout = [] {
        if constexpr (I + 1 < size)
            return Host<I + 1>::input;
        else
            return To;
    }();
    template <std::size_t I>
    static constexpr MapLayout write_layout = Host<I>::output(read_layout<I>);

    template <std::size_t I>
    static constexpr int height = static_cast<int>(StageAt<I>::input.height);
    template <std::size_t I>
    static constexpr int out_height = static_cast<int>(StageAt<I>::output.height);

    /// The last input line that output line `y` of stage `I` reads, or the map's first or last one.
    template <std::size_t I>
    static constexpr int last_read(int y) {
        constexpr LineWindow window = Host<I>::window;
        if (Host<I>::whole_map) return height<I> - 1;
        return std::clamp(y * window.stride - window.padding + (window.height - 1) * window.dilation, 0, height<I> - 1);
    }

    /// Lines that stage `I` has given when it has taken `lines`.
    template <std::size_t I>
    static constexpr int stage_lines_out(int lines) {
        if constexpr (is_join<StageAt<I>>) {
            return Host<I>::lines_out(lines);
        } else {
            int given = 0;
            while (given < out_height<I> && last_read<I>(given + step_lines<I>(given) - 1) < lines)
                given += step_lines<I>(given);
            return given;
        }
    }
    /// Lines of the step of stage `I` that begins with line `first`.
    template <std::size_t I>
    static constexpr int step_lines(int first) {
        return std::min(Host<I>::lines_per_step, out_height<I> - first);
    }

    /// Lines of stage `I`'s input that exist at one time: those of a step, and those that come with the last of them.
    template <std::size_t I>
    static constexpr int slots = [] {
        constexpr LineWindow window = Host<I>::window;
        int step_before = 1;
        if constexpr (I > 0) step_before = Host<I - 1>::lines_per_step;
        if constexpr (is_join<StageAt<I>>) return std::min(height<I>, Host<I>::lines_kept + step_before);
        const int step =
            (Host<I>::lines_per_step - 1) * window.stride + (window.height - 1) * window.dilation + step_before;
        return Host<I>::whole_map ? height<I> : std::min(height<I>, step);
    }();
    /// Whether stage `I` takes its lines from where the caller has them.
    template <std::size_t I>
    static constexpr bool in_place = I == 0 && Host<I>::input == From && Host<I>::window.height == 1 &&
                                     Host<I>::window.padding == 0 && slots<I> == 1;
    template <std::size_t I>
    static constexpr Index line_bytes = [] {
        const Index bytes = Host<I>::input.line_bytes(sizeof(typename StageAt<I>::In));
        return Host<I>::input.order == Order::plain ? bytes : cache_lines(bytes);
    }();
    /// Bytes of the lines in front of stage `I`, with one of zeros where a window leaves the map.
    template <std::size_t I>
    static constexpr Index ring_bytes =
        in_place<I> ? 0 : cache_lines(line_bytes<I> * (slots<I> + (Host<I>::input.order == Order::plain ? 0 : 1)));
    template <std::size_t I>
    static constexpr Index converted_bytes =
        write_layout<I> == read_layout<I>
            ? 0
            : cache_lines(Host<I>::lines_per_step * write_layout<I>.line_bytes(sizeof(typename StageAt<I>::Out)));

    template <std::size_t I>
    static constexpr Index stage_memory_bytes = [] {
        if constexpr (is_join<StageAt<I>>)
            return Host<I>::memory_bytes;
        else
            return Index{0};
    }();

    /// Where the lines in front of each stage begin, its own memory, and its packed weights.
    struct Offsets {
        std::array<Index, size + 1> ring{}, memory{}, packed{};
        Index converted = 0, scratch = 0;
    };
    static constexpr Offsets offsets = []<std::size_t... Is>(std::index_sequence<Is...>) {
        Offsets result;
        ((result.ring[Is + 1] = result.ring[Is] + ring_bytes<Is>,
          result.packed[Is + 1] = result.packed[Is] + Host<Is>::packed_bytes),
         ...);
        result.memory[0] = result.ring[size];
        ((result.memory[Is + 1] = result.memory[Is] + stage_memory_bytes<Is>), ...);
        result.converted = result.memory[size];
        result.scratch = result.converted + std::max({converted_bytes<Is>...});
        return result;
    }(std::make_index_sequence<size>{});

    /// Output lines of a stage so far, or how far a join's paths have come.
    template <class Stage>
    struct StageState {
        int given = 0;
    };
    template <class Stage>
        requires is_join<Stage>
    struct StageState<Stage> {
        typename HostStage<Stage>::State paths;
    };

public:
    static constexpr Index memory_bytes = offsets.scratch + std::max({HostStage<Stages>::scratch_bytes...});

    /// Fills the lines in `memory` with the zeros beside the maps. Needed once.
    static void initialize(std::byte* memory) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (std::memset(memory + offsets.ring[Is], stored_flip<typename StageAt<Is>::In>,
                         static_cast<std::size_t>(ring_bytes<Is>)),
             ...);
            (initialize_stage<Is>(memory), ...);
        }(std::make_index_sequence<size>{});
    }

    /// Lines given when `lines` have been taken.
    static constexpr int lines_out(int lines) {
        return [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            ((lines = stage_lines_out<Is>(lines)), ...);
            return lines;
        }(std::make_index_sequence<size>{});
    }

    /// How far the stages have come with a picture.
    using State = std::tuple<StageState<Stages>...>;

    /// Takes line `y` and writes the lines that it completes.
    static void take(const std::uint8_t* line, int y, const ChainMemory& memory, State& state) {
        const Pass pass{memory, line, state};
        if constexpr (!in_place<0>) copy_line<T, From, Host<0>::input>(line, ring_line<0>(pass, y));
        run_from<0>(pass, y);
    }

private:
    template <std::size_t I>
    static void initialize_stage(std::byte* memory) {
        if constexpr (is_join<StageAt<I>>) Host<I>::initialize(memory + offsets.memory[I]);
    }

    struct Pass {
        const ChainMemory& chain;
        const std::uint8_t* line;
        State& state;
    };

    template <std::size_t I>
    static std::uint8_t* ring_line(const Pass& pass, int y) {
        return pass.chain.memory + offsets.ring[I] + y % slots<I> * line_bytes<I>;
    }
    template <std::size_t I>
    static const std::uint8_t* outside(const Pass& pass) {
        if constexpr (Host<I>::input.order == Order::plain)
            return nullptr;
        else
            return pass.chain.memory + offsets.ring[I] + slots<I> * line_bytes<I>;
    }
    /// Where line `y` of stage `I`'s output belongs.
    template <std::size_t I>
    static std::uint8_t* out_line(const Pass& pass, int y) {
        if constexpr (I + 1 < size)
            return ring_line<I + 1>(pass, y);
        else
            return pass.chain.out + y % pass.chain.out_slots * To.line_bytes(sizeof(Out));
    }

    /// Line `y` of stage `I`'s input.
    template <std::size_t I>
    static const std::uint8_t* in_line(const Pass& pass, int y) {
        if constexpr (in_place<I>)
            return pass.line;
        else
            return ring_line<I>(pass, y);
    }

    /// Where stage `I` writes line `y`, the `i`-th of a step.
    template <std::size_t I>
    static std::uint8_t* written_line(const Pass& pass, int y, int i) {
        if constexpr (write_layout<I> == read_layout<I>)
            return out_line<I>(pass, y);
        else
            return pass.chain.memory + offsets.converted +
                   i * write_layout<I>.line_bytes(sizeof(typename StageAt<I>::Out));
    }
    template <std::size_t I>
    static void convert(const Pass& pass, int y, int i) {
        if constexpr (write_layout<I> != read_layout<I>)
            copy_line<typename StageAt<I>::Out, write_layout<I>, read_layout<I>>(written_line<I>(pass, y, i),
                                                                                 out_line<I>(pass, y));
    }

    /// Line `y` of stage `I`'s input is there.
    template <std::size_t I>
    static void run_from(const Pass& pass, int y) {
        if constexpr (I < size) {
            constexpr auto at = StageSizes<StageList<Stages...>>::offsets[I];
            const WeightView<Int8> view = pass.chain.view.at(at[0], at[1]);
            const std::byte* packed = pass.chain.packed + offsets.packed[I];
            if constexpr (is_join<StageAt<I>>) {
                Host<I>::template take<write_layout<I>>(
                    y, [&](int line) { return in_line<I>(pass, line); }, view, packed,
                    pass.chain.memory + offsets.memory[I], std::get<I>(pass.state).paths,
                    [&](int line, const auto& compute) {
                        compute(written_line<I>(pass, line, 0));
                        convert<I>(pass, line, 0);
                        run_from<I + 1>(pass, line);
                    });
            } else {
                int& given = std::get<I>(pass.state).given;
                while (given < out_height<I>) {
                    const int first = given;
                    const int count = step_lines<I>(first);
                    if (last_read<I>(first + count - 1) > y) return;
                    run_step<I>(pass, view, packed, first, count);
                    given += count;
                    for (int i = 0; i < count; ++i) run_from<I + 1>(pass, first + i);
                }
            }
        }
    }

    template <std::size_t I>
    static void run_step(const Pass& pass, WeightView<Int8> view, const std::byte* packed, int first, int count) {
        constexpr LineWindow window = Host<I>::window;
        constexpr int step = Host<I>::lines_per_step;
        const std::uint8_t* lines[std::size_t{step * window.height}]{};
        std::uint8_t* out[std::size_t{step}]{};
        for (int i = 0; i < count; ++i) {
            for (int ky = 0; ky < window.height; ++ky) {
                const int y = (first + i) * window.stride - window.padding + ky * window.dilation;
                lines[i * window.height + ky] = y < 0 || y >= height<I> ? outside<I>(pass) : in_line<I>(pass, y);
            }
            out[i] = written_line<I>(pass, first + i, i);
        }
        Host<I>::template run<write_layout<I>>(lines, count, out, view, packed,
                                               reinterpret_cast<std::byte*>(pass.chain.memory + offsets.scratch));
        for (int i = 0; i < count; ++i) convert<I>(pass, first + i, i);
    }
};

}  // namespace bantam::deploy::host
