// SPDX-License-Identifier: MIT
// Line by line: a stage runs as soon as it has the input lines of its next step, and writes its output lines where the
// stage behind reads them. Few lines of each map exist at a time; they stay in the fastest caches.
#pragma once

#include <bantam/base/index.hpp>
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

namespace bantam::deploy::host {

template <class List>
struct Chain;

/// Stages one after the other on a plain map.
template <class... Stages>
struct Chain<StageList<Stages...>> {
    static constexpr std::size_t size = sizeof...(Stages);
    template <std::size_t I>
    using StageAt = std::tuple_element_t<I, std::tuple<Stages...>>;
    using In = typename StageAt<0>::In;
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
            return MapLayout{.shape = StageAt<I>::output};
    }();
    template <std::size_t I>
    static constexpr MapLayout write_layout = Host<I>::output(read_layout<I>);

    template <std::size_t I>
    static constexpr int height = static_cast<int>(StageAt<I>::input.height);

    /// The last input line that output line `y` of stage `I` reads, or the map's first or last one.
    template <std::size_t I>
    static constexpr int last_read(int y) {
        constexpr LineWindow window = Host<I>::window;
        if (Host<I>::whole_map) return height<I> - 1;
        return std::clamp(y * window.stride - window.padding + (window.height - 1) * window.dilation, 0, height<I> - 1);
    }

    /// Lines of stage `I`'s input that exist at one time: those of a step, and those that come with the last of them.
    template <std::size_t I>
    static constexpr int slots = [] {
        constexpr LineWindow window = Host<I>::window;
        int step_before = 1;
        if constexpr (I > 0) step_before = Host<I - 1>::lines_per_step;
        const int step =
            (Host<I>::lines_per_step - 1) * window.stride + (window.height - 1) * window.dilation + step_before;
        return Host<I>::whole_map ? height<I> : std::min(height<I>, step);
    }();
    /// Whether stage `I` takes its lines from where the caller has them.
    template <std::size_t I>
    static constexpr bool in_place =
        I == 0 && Host<I>::input.order == Order::plain && Host<I>::window.height == 1 && slots<I> == 1;
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

    /// Where the lines in front of each stage begin, and where the packed weights.
    struct Offsets {
        std::array<Index, size + 1> ring{}, packed{};
        Index converted = 0, scratch = 0;
    };
    static constexpr Offsets offsets = []<std::size_t... Is>(std::index_sequence<Is...>) {
        Offsets result;
        ((result.ring[Is + 1] = result.ring[Is] + ring_bytes<Is>,
          result.packed[Is + 1] = result.packed[Is] + Host<Is>::packed_bytes),
         ...);
        result.converted = result.ring[size];
        result.scratch = result.converted + std::max({converted_bytes<Is>...});
        return result;
    }(std::make_index_sequence<size>{});

    struct Pass {
        const std::uint8_t* map;
        std::uint8_t* out;
        WeightView<Int8> view;
        const std::byte* packed;
        std::uint8_t* memory;
        std::array<int, size> given{};  ///< output lines of each stage so far
    };

public:
    static constexpr Index memory_bytes = offsets.scratch + std::max({HostStage<Stages>::scratch_bytes...});

    /// Fills the lines in `memory` with the zeros beside the maps. Needed once.
    static void initialize(std::byte* memory) {
        [&]<std::size_t... Is>(std::index_sequence<Is...>) {
            (std::memset(memory + offsets.ring[Is], stored_flip<typename StageAt<Is>::In>,
                         static_cast<std::size_t>(ring_bytes<Is>)),
             ...);
        }(std::make_index_sequence<size>{});
    }

    static void run(const In* map, Out* out, WeightView<Int8> view, const std::byte* packed, std::byte* memory) {
        Pass pass{reinterpret_cast<const std::uint8_t*>(map),
                  reinterpret_cast<std::uint8_t*>(out),
                  view,
                  packed,
                  reinterpret_cast<std::uint8_t*>(memory),
                  {}};
        constexpr MapLayout given{.shape = StageAt<0>::input};
        for (int y = 0; y < height<0>; ++y) {
            if constexpr (!in_place<0>) copy<In, given, Host<0>::input>(map_line(pass, y), ring_line<0>(pass, y));
            take<0>(pass, y);
        }
    }

private:
    static const std::uint8_t* map_line(const Pass& pass, int y) {
        return pass.map + y * StageAt<0>::input.width * StageAt<0>::input.channels * static_cast<Index>(sizeof(In));
    }
    template <std::size_t I>
    static std::uint8_t* ring_line(const Pass& pass, int y) {
        return pass.memory + offsets.ring[I] + y % slots<I> * line_bytes<I>;
    }
    template <std::size_t I>
    static const std::uint8_t* outside(const Pass& pass) {
        if constexpr (Host<I>::input.order == Order::plain)
            return nullptr;
        else
            return pass.memory + offsets.ring[I] + slots<I> * line_bytes<I>;
    }
    /// Where line `y` of stage `I`'s output belongs.
    template <std::size_t I>
    static std::uint8_t* out_line(const Pass& pass, int y) {
        if constexpr (I + 1 < size)
            return ring_line<I + 1>(pass, y);
        else
            return pass.out + y * read_layout<I>.line_bytes(sizeof(Out));
    }

    template <class T, MapLayout From, MapLayout To>
    static void copy(const std::uint8_t* from, std::uint8_t* to) {
        if constexpr (From == To)
            std::memcpy(to, from, static_cast<std::size_t>(From.line_bytes(sizeof(T))));
        else
            copy_line<T, From, To>(from, to);
    }

    /// Line `y` of stage `I`'s input is there.
    template <std::size_t I>
    static void take(Pass& pass, int y) {
        if constexpr (I < size) {
            constexpr int out_height = static_cast<int>(StageAt<I>::output.height);
            constexpr int step = Host<I>::lines_per_step;
            int& given = pass.given[I];
            while (given < out_height) {
                const int first = given;
                const int count = std::min(step, out_height - first);
                if (last_read<I>(first + count - 1) > y) return;
                run_step<I>(pass, first, count);
                given += count;
                for (int i = 0; i < count; ++i) take<I + 1>(pass, first + i);
            }
        }
    }

    template <std::size_t I>
    static void run_step(Pass& pass, int first, int count) {
        constexpr LineWindow window = Host<I>::window;
        constexpr int step = Host<I>::lines_per_step;
        const std::uint8_t* lines[std::size_t{step * window.height}]{};
        std::uint8_t* out[std::size_t{step}]{};
        for (int i = 0; i < count; ++i) {
            for (int ky = 0; ky < window.height; ++ky) {
                const int y = (first + i) * window.stride - window.padding + ky * window.dilation;
                const std::uint8_t*& line = lines[i * window.height + ky];
                if (y < 0 || y >= height<I>)
                    line = outside<I>(pass);
                else if constexpr (in_place<I>)
                    line = map_line(pass, y);
                else
                    line = ring_line<I>(pass, y);
            }
            if constexpr (write_layout<I> == read_layout<I>)
                out[i] = out_line<I>(pass, first + i);
            else
                out[i] =
                    pass.memory + offsets.converted + i * write_layout<I>.line_bytes(sizeof(typename StageAt<I>::Out));
        }
        constexpr auto at = StageSizes<StageList<Stages...>>::offsets[I];
        Host<I>::template run<write_layout<I>>(lines, count, out, pass.view.at(at[0], at[1]),
                                               pass.packed + offsets.packed[I],
                                               reinterpret_cast<std::byte*>(pass.memory + offsets.scratch));
        if constexpr (write_layout<I> != read_layout<I>)
            for (int i = 0; i < count; ++i)
                copy<typename StageAt<I>::Out, write_layout<I>, read_layout<I>>(out[i], out_line<I>(pass, first + i));
    }
};

}  // namespace bantam::deploy::host
