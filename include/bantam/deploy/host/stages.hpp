// SPDX-License-Identifier: MIT
// How each stage of an int8 network runs on a PC: with a kernel of this folder, or as it is.
#pragma once

#include <bantam/base/division.hpp>
#include <bantam/base/index.hpp>
#include <bantam/deploy/host/dense_lines.hpp>
#include <bantam/deploy/host/depthwise_lines.hpp>
#include <bantam/deploy/host/lanes.hpp>
#include <bantam/deploy/host/map_layout.hpp>
#include <bantam/deploy/host/picture_lines.hpp>
#include <bantam/deploy/precision.hpp>
#include <bantam/deploy/stages/convolution.hpp>
#include <bantam/deploy/stages/pointwise.hpp>
#include <bantam/deploy/stages/pooling.hpp>
#include <bantam/deploy/whole_maps.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace bantam::deploy::host {

/// Bytes, rounded up to a cache line.
constexpr Index cache_lines(Index bytes) { return ceil_div(bytes, 64) * 64; }

/// The window of input lines that an output line reads.
struct LineWindow {
    int height;
    int stride;
    int padding;
    int dilation;
};

/// What every stage states:
/// - `input`: how it reads its input.
/// - `output(read_layout)`: how it writes its output if the stage behind reads `read_layout`.
/// - `window`, or `whole_map` where a step needs all lines; `lines_per_step`: output lines that are computed together.
/// - `packed_bytes` and `prepare(view, packed)`: weights as its kernel reads them, packed once.
/// - `scratch_bytes` and `run<To>(lines, count, out, view, packed, scratch)`: `count` output lines from `window.height`
///   input lines each, null or a line of zeros where those lie outside the map.
template <class S>
struct HostStage;

/// What runs on whole plain maps as `Classifier` runs it: a map is one step.
template <class S>
struct WholeMapStage {
    using In = typename S::In;
    using Out = typename S::Out;
    static constexpr MapLayout input{.shape = S::input};
    static constexpr LineWindow window{1, 1, 0, 1};
    static constexpr bool whole_map = true;
    static constexpr int lines_per_step = static_cast<int>(S::output.height);
    static constexpr Index packed_bytes = 0;
    static constexpr Index scratch_bytes = cache_lines(WholeStage<S>::scratch_bytes);
    static constexpr MapLayout output(MapLayout) { return {.shape = S::output}; }
    static void prepare(WeightView<Int8>, std::byte*) {}

    template <MapLayout>
    static void run(const std::uint8_t* const* lines, int, std::uint8_t* const* out, WeightView<Int8> view,
                    const std::byte*, std::byte* scratch) {
        NoObserver observer;
        WholeStage<S>::run(reinterpret_cast<const In*>(lines[0]), reinterpret_cast<Out*>(out[0]), view, scratch,
                           observer);
    }
};

/// What runs on plain lines as `LineClassifier` runs it.
template <class S>
struct PlainLineStage {
    using In = typename S::In;
    using Out = typename S::Out;
    static constexpr MapLayout input{.shape = S::input};
    static constexpr LineWindow window{S::kernel_height, S::stride, S::padding, S::dilation};
    static constexpr bool whole_map = false;
    static constexpr int lines_per_step = 1;
    static constexpr Index packed_bytes = 0;
    static constexpr Index scratch_bytes = cache_lines(S::line_scratch_bytes);
    static constexpr MapLayout output(MapLayout) { return {.shape = S::output}; }
    static void prepare(WeightView<Int8>, std::byte*) {}

    template <MapLayout>
    static void run(const std::uint8_t* const* lines, int, std::uint8_t* const* out, WeightView<Int8> view,
                    const std::byte*, std::byte* scratch) {
        const In* seen[S::kernel_height];
        for (int ky = 0; ky < S::kernel_height; ++ky) seen[ky] = reinterpret_cast<const In*>(lines[ky]);
        S::line(seen, reinterpret_cast<Out*>(out[0]), view, scratch);
    }
};

template <class S>
struct HostStage : std::conditional_t<LineStage<S>, PlainLineStage<S>, WholeMapStage<S>> {};

/// Biases and scales of a convolution for vectors of outputs.
template <class S>
struct PackedChannels {
    static constexpr int vectors = static_cast<int>(ceil_div(S::out_channels, lanes));
    static constexpr int channels = vectors * lanes;
    static constexpr Index bytes = cache_lines(12 * channels + 4);

    std::int32_t* biases;
    std::int32_t* factors;
    std::int32_t* scales;
    std::int32_t* fast;

    explicit PackedChannels(std::byte* memory)
        : biases{reinterpret_cast<std::int32_t*>(memory)},
          factors{biases + channels},
          scales{factors + channels},
          fast{scales + channels} {}
    explicit PackedChannels(const std::byte* memory) : PackedChannels{const_cast<std::byte*>(memory)} {}

    ChannelScales from(int vector) const { return {factors + vector * lanes, scales + vector * lanes, *fast != 0}; }

    void prepare(WeightView<Int8> view) {
        *fast = 1;
        for (int m = 0; m < channels; ++m) {
            std::int32_t bias = 0, factor = pack_factor(0, 25), sum = 0, magnitude = 0;
            if (m < S::out_channels) {
                for (int k = 0; k < S::length; ++k) {
                    const int tap = k / S::inputs;
                    const int weight = view.weights[S::weight_index(m, tap / S::spec.kernel_width,
                                                                    tap % S::spec.kernel_width, k % S::inputs)];
                    sum += weight;
                    magnitude += weight < 0 ? -weight : weight;
                }
                bias = view.constants[2 * m];
                if (view.constants[2 * m + 1] >> 8 != 0) factor = view.constants[2 * m + 1];
            }
            // The inputs are stored with an offset.
            biases[m] = bias - stored_offset<typename S::In> * sum;
            factors[m] = factor;
            scales[m] = fast_scale(factor);
            const std::int64_t largest = std::int64_t{255} * magnitude + (bias < 0 ? -std::int64_t{bias} : bias);
            if (!scales_fast(largest, factor)) *fast = 0;
        }
    }
};

template <class T>
inline constexpr bool is_byte = sizeof(T) == 1;

template <ConvSpec S>
inline constexpr WindowStep window_step{S.kernel_width, S.stride.width, S.dilation.width, S.padding.width};

template <ConvSpec S, class In, class Out>
    requires(S.groups == 1 && S.output.width > 1 && is_byte<Out>)
struct HostStage<Convolution<S, Int8, In, Out>> {
    using Stage = Convolution<S, Int8, In, Out>;
    using Channels = PackedChannels<Stage>;
    static constexpr int vectors = Channels::vectors;
    static constexpr int panels = static_cast<int>(ceil_div(vectors, tile_vectors));
    static constexpr int words = static_cast<int>(ceil_div(Stage::in_channels, 4));
    static constexpr int rows = S.kernel_height;
    static constexpr DenseWindow dense_window{.step = window_step<S>, .block_channels = words == 1 ? 4 : lanes};
    static constexpr Index weight_bytes = Index{vectors} * rows * words * S.kernel_width * 4 * lanes;

    static constexpr MapLayout input =
        MapLayout{S.input, Order::pixel_words, dense_window.block_channels}.read_by(window_step<S>, S.output.width);
    static constexpr LineWindow window{rows, Stage::stride, Stage::padding, Stage::dilation};
    static constexpr bool whole_map = false;
    /// Lines of 64 pixels in all share the weights that the fastest cache holds.
    static constexpr int lines_per_step = static_cast<int>(std::clamp(64 / S.output.width, Index{1}, S.output.height));
    static constexpr Index packed_bytes = cache_lines(weight_bytes) + Channels::bytes;
    static constexpr Index scratch_bytes = 0;
    static constexpr MapLayout output(MapLayout read_layout) {
        if (read_layout.has_blocks_of_lanes()) return read_layout;
        return {S.output, Order::pixel_words};
    }

    /// The first vector of outputs of a panel.
    static constexpr int panel_begin(int panel) { return panel * vectors / panels; }

    static void prepare(WeightView<Int8> view, std::byte* packed) {
        auto* to = reinterpret_cast<std::int8_t*>(packed);
        for (int panel = 0; panel < panels; ++panel)
            for (int ky = 0; ky < rows; ++ky)
                for (int word = 0; word < words; ++word)
                    for (int kx = 0; kx < S.kernel_width; ++kx)
                        for (int m = panel_begin(panel) * lanes; m < panel_begin(panel + 1) * lanes; ++m)
                            for (int c = 4 * word; c < 4 * word + 4; ++c)
                                *to++ = m < Stage::out_channels && c < Stage::in_channels
                                            ? view.weights[Stage::weight_index(m, ky, kx, c)]
                                            : std::int8_t{0};
        Channels{packed + cache_lines(weight_bytes)}.prepare(view);
    }

    template <MapLayout To>
    static void run(const std::uint8_t* const* lines, int count, std::uint8_t* const* out, WeightView<Int8>,
                    const std::byte* packed, std::byte*) {
        const Channels channels{packed + cache_lines(weight_bytes)};
        const std::uint8_t* seen[std::size_t{lines_per_step * rows}];
        for (int i = 0; i < count * rows; ++i) seen[i] = lines[i] + input.begin();
        const auto* weights = reinterpret_cast<const std::int8_t*>(packed);
        for (int panel = 0; panel < panels; ++panel) {
            const int first = panel_begin(panel);
            const int width = panel_begin(panel + 1) - first;
            for (int i = 0; i < count; ++i) {
                const DenseLine line{.lines = seen + i * rows,
                                     .kernel_height = rows,
                                     .input_words = words,
                                     .input_block_bytes = input.block_bytes(),
                                     .out = out[i] + To.begin() + first * To.block_bytes(),
                                     .output_block_bytes = To.block_bytes(),
                                     .output_quads = To.quads()};
                const auto convolve = [&]<int Vectors>() {
                    convolve_line<dense_window, Vectors, Out, words_of(To.order)>(
                        line, weights, channels.biases + first * lanes, channels.from(first));
                };
                constexpr int narrow = vectors / panels;
                if constexpr (vectors % panels == 0)
                    convolve.template operator()<narrow>();
                else if (width == narrow)
                    convolve.template operator()<narrow>();
                else
                    convolve.template operator()<narrow + 1>();
            }
            weights += Index{width} * rows * words * S.kernel_width * 4 * lanes;
        }
        for (int i = 0; i < count; ++i) clear_outside<Out, To>(out[i]);
    }
};

template <ConvSpec S, class In, class Out>
    requires(S.output.width > 1 && is_byte<Out>)
struct HostStage<Depthwise<S, Int8, In, Out>> {
    using Stage = Depthwise<S, Int8, In, Out>;
    using Channels = PackedChannels<Stage>;
    static constexpr bool shifted = S.kernel_height == 3 && S.kernel_width == 3 && S.padding.width == 1 &&
                                    S.dilation.width == 1 && S.stride.width <= 2;
    using Columns =
        std::conditional_t<shifted, ShiftedColumns<shifted ? S.stride.width : 1>, PlacedColumns<window_step<S>>>;
    static constexpr int rows = S.kernel_height;
    static constexpr int vectors = Channels::vectors;
    static constexpr Index weight_bytes = Index{vectors} * rows * Columns::row_vectors * 4 * lanes;

    static constexpr MapLayout input = MapLayout{S.input, Order::channel_words}.read_by(window_step<S>, S.output.width);
    static constexpr LineWindow window{rows, Stage::stride, Stage::padding, Stage::dilation};
    static constexpr bool whole_map = false;
    static constexpr int lines_per_step = 1;
    static constexpr Index packed_bytes = cache_lines(weight_bytes) + Channels::bytes;
    static constexpr Index scratch_bytes = 0;
    static constexpr MapLayout output(MapLayout read_layout) {
        if (read_layout.has_blocks_of_lanes()) return read_layout;
        return {S.output, Order::pixel_words};
    }

    static void prepare(WeightView<Int8> view, std::byte* packed) {
        auto* to = reinterpret_cast<std::int8_t*>(packed);
        for (int block = 0; block < vectors; ++block)
            for (int ky = 0; ky < rows; ++ky)
                for (int vector = 0; vector < Columns::row_vectors; ++vector)
                    for (int m = block * lanes; m < (block + 1) * lanes; ++m)
                        for (int byte = 0; byte < 4; ++byte) {
                            const int kx = Columns::column(vector, byte);
                            *to++ = m < Stage::out_channels && kx >= 0 && kx < S.kernel_width
                                        ? view.weights[Stage::weight_index(m, ky, kx, 0)]
                                        : std::int8_t{0};
                        }
        Channels{packed + cache_lines(weight_bytes)}.prepare(view);
    }

    template <MapLayout To>
    static void run(const std::uint8_t* const* lines, int, std::uint8_t* const* out, WeightView<Int8>,
                    const std::byte* packed, std::byte*) {
        const Channels channels{packed + cache_lines(weight_bytes)};
        const std::uint8_t* seen[std::size_t{rows}];
        for (int ky = 0; ky < rows; ++ky) seen[ky] = lines[ky] + input.begin();
        const DepthwiseLine line{.lines = seen,
                                 .kernel_height = rows,
                                 .blocks = vectors,
                                 .input_block_bytes = input.block_bytes(),
                                 .out = out[0] + To.begin(),
                                 .output_block_bytes = To.block_bytes(),
                                 .output_quads = To.quads()};
        Columns::template convolve<Out, words_of(To.order)>(line, reinterpret_cast<const std::int8_t*>(packed),
                                                            channels.biases, channels.from(0));
        clear_outside<Out, To>(out[0]);
    }
};

/// Bytes of a picture as words of a pixel's colors.
template <Shape Input>
    requires(Input.channels <= 4)
struct HostStage<PixelInput<Input, Int8>> : PlainLineStage<PixelInput<Input, Int8>> {
    using Plain = PlainLineStage<PixelInput<Input, Int8>>;
    static constexpr int colors = static_cast<int>(Input.channels);
    static constexpr Index packed_bytes = sizeof(PixelTable);
    static constexpr MapLayout output(MapLayout read_layout) {
        if (read_layout.order == Order::pixel_words && read_layout.block_channels == 4) return read_layout;
        return {.shape = Input};
    }

    /// The table is the stage's own output for a line of all bytes.
    static void prepare(WeightView<Int8> view, std::byte* packed) {
        auto& table = *reinterpret_cast<PixelTable*>(packed);
        std::uint8_t bytes[std::size_t{256 * colors}];
        std::int8_t values[std::size_t{256 * colors}];
        for (int i = 0; i < 256 * colors; ++i) bytes[i] = static_cast<std::uint8_t>(i / colors);
        const std::uint8_t* line = bytes;
        PixelInput<Shape{1, 256, Input.channels}, Int8>::line(&line, values, view, nullptr);
        for (int color = 0; color < 4; ++color)
            for (int byte = 0; byte < 256; ++byte)
                table.values[color][byte] = static_cast<std::uint8_t>(
                    (color < colors ? static_cast<std::uint8_t>(values[byte * colors + color]) : 0) ^
                    stored_flip<std::int8_t>);
        for (std::uint8_t& value : table.values[3])
            if (colors < 4) value = stored_flip<std::int8_t>;
    }

    template <MapLayout To>
    static void run(const std::uint8_t* const* lines, int count, std::uint8_t* const* out, WeightView<Int8> view,
                    const std::byte* packed, std::byte* scratch) {
        if constexpr (To.order == Order::plain) {
            Plain::template run<To>(lines, count, out, view, packed, scratch);
        } else {
            convert_picture_line<colors>(lines[0], static_cast<int>(Input.width),
                                         *reinterpret_cast<const PixelTable*>(packed), out[0] + To.begin());
            clear_outside<std::int8_t, To>(out[0]);
        }
    }
};

/// Sums of four pixels at a time.
template <Shape Input, class T>
    requires(is_byte<T>)
struct HostStage<GlobalPool<Input, Int8, T>> {
    using Pool = GlobalPool<Input, Int8, T>;
    static constexpr MapLayout input{Input, Order::channel_words};
    static constexpr LineWindow window{static_cast<int>(Input.height), 1, 0, 1};
    static constexpr bool whole_map = false;
    static constexpr int lines_per_step = 1;
    static constexpr Index packed_bytes = 0;
    static constexpr Index scratch_bytes = cache_lines(4 * input.blocks() * lanes);
    static constexpr MapLayout output(MapLayout) { return {.shape = Pool::output}; }
    static void prepare(WeightView<Int8>, std::byte*) {}

    template <MapLayout>
    static void run(const std::uint8_t* const* lines, int, std::uint8_t* const* out, WeightView<Int8> view,
                    const std::byte*, std::byte* scratch) {
        auto* sums = reinterpret_cast<std::int32_t*>(scratch);
        const Lanes ones = Lanes{} + 0x01010101;
        constexpr std::uint32_t offset =
            static_cast<std::uint32_t>(stored_offset<T> * 4 * input.quads()) * static_cast<std::uint32_t>(Input.height);
        for (int block = 0; block < input.blocks(); ++block) {
            Lanes sum = Lanes{} - offset;
            for (int y = 0; y < static_cast<int>(Input.height); ++y)
                for (int quad = 0; quad < input.quads(); ++quad)
                    sum = dot(sum, load(lines[y] + block * input.block_bytes() + quad * input.quad_bytes()), ones);
            store(sum, sums + block * lanes);
        }
        Pool::finish(sums, reinterpret_cast<T*>(out[0]), view);
    }
};

}  // namespace bantam::deploy::host
