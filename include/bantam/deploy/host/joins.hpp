// SPDX-License-Identifier: MIT
// Residual blocks and branches: each path is a chain of its own. A line of the input goes into every path, and what all
// of them have given is joined immediately.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/deploy/host/lanes.hpp>
#include <bantam/deploy/host/map_layout.hpp>
#include <bantam/deploy/host/stages.hpp>
#include <bantam/deploy/host/sum_lines.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/deploy/stages/join.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <utility>

namespace bantam::deploy::host {

template <class List, class T, MapLayout From, MapLayout To>
struct Chain;

template <JoinSpec S, class In, class Out, class... Paths>
struct HostStage<JoinPaths<S, Int8, In, Out, Paths...>> {
    using Stage = JoinPaths<S, Int8, In, Out, Paths...>;
    static constexpr std::size_t count = sizeof...(Paths);
    template <std::size_t I>
    using PathAt = std::tuple_element_t<I, std::tuple<Paths...>>;
    using Indices = std::index_sequence_for<Paths...>;
    static constexpr int height = static_cast<int>(S.input.height);
    static constexpr bool splits = S.fork == Fork::split;
    /// Whether the join is a sum of bytes.
    static constexpr bool adds_bytes =
        S.join != Join::concatenate && is_byte<Out> && (is_byte<typename Paths::Out> && ...);

private:
    /// Whether a path gives the join's input as it is.
    template <std::size_t I>
    static constexpr bool passes = PathAt<I>::Stages::size == 0 && !splits;
    static constexpr bool any_passes = ((Paths::Stages::size == 0) || ...) && !splits;

    /// The input as the first path with stages reads it, if that is in blocks of lanes and the join can take it so.
    static constexpr MapLayout preferred = [] {
        MapLayout result{.shape = S.input};
        const auto consider = [&]<class First, class... Others>(StageList<First, Others...>) {
            if (result.order == Order::plain && HostStage<First>::input.has_blocks_of_lanes())
                result = HostStage<First>::input;
        };
        const auto consider_path = [&]<class Path>(std::type_identity<Path>) {
            if constexpr (Path::Stages::size > 0) consider(typename Path::Stages{});
        };
        if (!splits && (!any_passes || adds_bytes)) (consider_path(std::type_identity<Paths>{}), ...);
        return result;
    }();

public:
    static constexpr MapLayout input = preferred;
    static constexpr LineWindow window{1, 1, 0, 1};
    static constexpr bool whole_map = false;
    static constexpr int lines_per_step = 1;
    static constexpr Index scratch_bytes = 0;

    /// Whether lines are added in blocks.
    static constexpr bool in_blocks = adds_bytes && preferred.has_blocks_of_lanes();
    static constexpr MapLayout output(MapLayout read_layout) {
        if (!in_blocks) return {.shape = S.output};
        return read_layout.has_blocks_of_lanes() ? read_layout : MapLayout{S.output, preferred.order};
    }

private:
    /// How a path's lines lie when they are joined.
    template <std::size_t I>
    static constexpr MapLayout joined_layout = passes<I>   ? preferred
                                               : in_blocks ? MapLayout{S.output, preferred.order}
                                                           : MapLayout{.shape = PathAt<I>::output};
    template <std::size_t I>
    using PathChain = Chain<typename PathAt<I>::Stages, In, splits ? MapLayout{.shape = PathAt<I>::input} : preferred,
                            joined_layout<I>>;

    template <std::size_t I>
    static constexpr int path_lines_out(int lines) {
        if constexpr (passes<I>)
            return lines;
        else
            return PathChain<I>::lines_out(lines);
    }
    static constexpr auto all_lines_out = []<std::size_t... Is>(std::index_sequence<Is...>) {
        std::array<int, static_cast<std::size_t>(height) + 1> result{};
        for (int lines = 0; lines <= height; ++lines)
            result[static_cast<std::size_t>(lines)] = std::min({path_lines_out<Is>(lines)...});
        return result;
    }(Indices{});

public:
    static constexpr int lines_out(int lines) { return all_lines_out[static_cast<std::size_t>(lines)]; }

    /// Input lines before line `y` that are still needed when it comes.
    static constexpr int lines_kept = [] {
        int most = 0;
        if (any_passes)
            for (int y = 0; y < height; ++y) most = std::max(most, y - lines_out(y));
        return most;
    }();

private:
    /// Lines of a path that are stored until the other paths have given theirs.
    template <std::size_t I>
    static constexpr int slots = [] {
        int most = 0;
        if (!passes<I>)
            for (int y = 0; y < height; ++y) most = std::max(most, path_lines_out<I>(y + 1) - lines_out(y));
        return most;
    }();
    template <std::size_t I>
    static constexpr Index path_line_bytes = joined_layout<I>.line_bytes(sizeof(typename PathAt<I>::Out));

    /// Where each path's stored lines begin, and its chain's memory and packed weights.
    struct Offsets {
        std::array<Index, count + 1> lines{}, memory{}, packed{};
        Index split = 0;
    };
    static constexpr Offsets offsets = []<std::size_t... Is>(std::index_sequence<Is...>) {
        Offsets result;
        ((result.lines[Is + 1] = result.lines[Is] + cache_lines(slots<Is> * path_line_bytes<Is>)), ...);
        result.memory[0] = result.lines[count];
        ((result.memory[Is + 1] = result.memory[Is] + PathChain<Is>::memory_bytes,
          result.packed[Is + 1] = result.packed[Is] + PathChain<Is>::packed_bytes),
         ...);
        result.split = result.memory[count];
        return result;
    }(Indices{});

    using Sum = LineSum<static_cast<int>(count)>;

    static constexpr WeightView<Int8> path_view(WeightView<Int8> view, std::size_t path) {
        return view.at(Stage::offsets.weight[path], Stage::offsets.constant[path]);
    }

public:
    static constexpr Index packed_bytes = offsets.packed[count] + (in_blocks ? cache_lines(sizeof(Sum)) : 0);
    static constexpr Index memory_bytes =
        offsets.split +
        (splits ? cache_lines(PathAt<0>::input.width * PathAt<0>::input.channels * static_cast<Index>(sizeof(In))) : 0);

    /// How far each path has come with a picture.
    template <class>
    struct StateOf;
    template <std::size_t... Is>
    struct StateOf<std::index_sequence<Is...>> {
        using Type = std::tuple<typename PathChain<Is>::State...>;
    };
    using State = typename StateOf<Indices>::Type;

    static void prepare(WeightView<Int8> view, std::byte* packed) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (PathChain<Is>::prepare(path_view(view, Is), packed + offsets.packed[Is]), ...);
        }(Indices{});
        if constexpr (in_blocks) {
            const std::int32_t* constants = view.constants + Stage::paths_constants;
            std::array<std::int32_t, count> multipliers;
            std::copy(constants + 1, constants + 1 + count, multipliers.begin());
            Sum sum = Sum::of(constants[0], multipliers, {stored_offset<typename Paths::Out>...});
            if (S.scaled_path >= 0) sum.exact = false;
            *reinterpret_cast<Sum*>(packed + offsets.packed[count]) = sum;
        }
    }

    static void initialize(std::byte* memory) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (PathChain<Is>::initialize(memory + offsets.memory[Is]), ...);
        }(Indices{});
    }

    /// Line `y` of the input is there: `lines(y)` gives it, and the `lines_kept` lines before it. Calls `write(line,
    /// compute)` for each line that can be joined, in order; `compute(out)` writes it to `out`, as `To` says.
    template <MapLayout To, class Lines, class Write>
    static void take(int y, const Lines& lines, WeightView<Int8> view, const std::byte* packed, std::uint8_t* memory,
                     State& state, const Write& write) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (take_path<Is>(y, lines(y), view, packed, memory, std::get<Is>(state)), ...);
            const int end = lines_out(y + 1);
            for (int line = lines_out(y); line < end; ++line)
                write(line, [&](std::uint8_t* out) {
                    const std::array<const std::uint8_t*, count> from{path_line<Is>(line, lines, memory)...};
                    join<To>(from, view, packed, out, Indices{});
                });
        }(Indices{});
    }

private:
    template <std::size_t I>
    static void take_path(int y, const std::uint8_t* line, WeightView<Int8> view, const std::byte* packed,
                          std::uint8_t* memory, typename PathChain<I>::State& state) {
        if constexpr (!passes<I>) {
            if constexpr (splits) line = copy_split<I>(line, memory + offsets.split);
            PathChain<I>::take(line, y,
                               {.view = path_view(view, I),
                                .packed = packed + offsets.packed[I],
                                .memory = memory + offsets.memory[I],
                                .out = memory + offsets.lines[I],
                                .out_slots = slots<I>},
                               state);
        }
    }

    /// A path's channels of a plain line.
    template <std::size_t I>
    static const std::uint8_t* copy_split(const std::uint8_t* line, std::uint8_t* to) {
        constexpr auto bytes = static_cast<Index>(sizeof(In));
        constexpr Index split_bytes = PathAt<I>::input.channels * bytes;
        for (Index x = 0; x < S.input.width; ++x)
            std::copy_n(line + x * S.input.channels * bytes + static_cast<Index>(I) * split_bytes, split_bytes,
                        to + x * split_bytes);
        return to;
    }

    template <std::size_t I, class Lines>
    static const std::uint8_t* path_line(int y, const Lines& lines, std::uint8_t* memory) {
        if constexpr (passes<I>)
            return lines(y);
        else
            return memory + offsets.lines[I] + y % slots<I> * path_line_bytes<I>;
    }

    template <MapLayout To, std::size_t... Is>
    static void join(const std::array<const std::uint8_t*, count>& from, WeightView<Int8> view, const std::byte* packed,
                     std::uint8_t* out, std::index_sequence<Is...>) {
        if constexpr (!in_blocks) {
            Stage::combine(reinterpret_cast<const typename Paths::Out*>(from[Is])..., static_cast<int>(S.output.width),
                           reinterpret_cast<Out*>(out), view);
        } else {
            const Sum& sum = *reinterpret_cast<const Sum*>(packed + offsets.packed[count]);
            if (sum.exact)
                add_lines<static_cast<int>(count), Out, preferred.order != To.order>(
                    sum, {from[Is] + joined_layout<Is>.begin()...}, {joined_layout<Is>.block_bytes()...}, To.blocks(),
                    To.quads(), out + To.begin(), To.block_bytes());
            else
                join_one_by_one<To>(from, view, out, std::index_sequence<Is...>{});
            clear_outside<Out, To>(out);
        }
    }

    template <MapLayout To, std::size_t... Is>
    static void join_one_by_one(const std::array<const std::uint8_t*, count>& from, WeightView<Int8> view,
                                std::uint8_t* out, std::index_sequence<Is...>) {
        constexpr int channels = Stage::channels;
        std::tuple<std::array<typename Paths::Out, std::size_t{channels}>...> pixel;
        std::array<Out, std::size_t{channels}> joined;
        for (int x = 0; x < static_cast<int>(S.output.width); ++x) {
            for (int c = 0; c < channels; ++c)
                ((std::get<Is>(pixel)[static_cast<std::size_t>(c)] = static_cast<typename Paths::Out>(
                      from[Is][joined_layout<Is>.offset(x, c)] ^ stored_flip<typename Paths::Out>)),
                 ...);
            Stage::combine(std::get<Is>(pixel).data()..., 1, joined.data(), view);
            for (int c = 0; c < channels; ++c)
                out[To.offset(x, c)] = static_cast<std::uint8_t>(
                    static_cast<std::uint8_t>(joined[static_cast<std::size_t>(c)]) ^ stored_flip<Out>);
        }
    }
};

}  // namespace bantam::deploy::host
