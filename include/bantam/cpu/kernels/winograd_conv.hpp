// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/division.hpp>
#include <bantam/base/index.hpp>
#include <bantam/core/shape.hpp>
#include <bantam/cpu/kernels/dense_conv.hpp>
#include <bantam/cpu/kernels/epilogue.hpp>
#include <bantam/cpu/kernels/gemm.hpp>
#include <bantam/cpu/kernels/source.hpp>
#include <bantam/cpu/runtime/operation.hpp>
#include <bantam/cpu/runtime/simd.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

namespace bantam::cpu {

/// The transforms of F(4×4, 3×3): a tile of 4×4 outputs follows from a patch of 6×6 inputs by 36 products in place of
/// 144 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). Each transform is linear and works
/// along one axis; applied along both, output = Aᵀ · (G · weights · Gᵀ ∘ Bᵀ · patch · B) · A.
namespace winograd {

inline constexpr int tile = 4;
inline constexpr int patch = 6;
inline constexpr int kernel_size = 3;
inline constexpr int positions = patch * patch;

/// G · w
template <class V>
[[gnu::always_inline]] inline std::array<V, patch> weights_along_axis(const std::array<V, kernel_size>& w) {
    const V sum = (w[0] + w[2]) / 6, near = w[0] / 24 + w[2] / 6, middle = w[1] / 6;
    return {w[0] / 4, -sum - middle, middle - sum, near + middle / 2, near - middle / 2, w[2]};
}

/// Bᵀ · x
template <class V>
[[gnu::always_inline]] inline std::array<V, patch> input_along_axis(const std::array<V, patch>& x) {
    const V even = x[4] - 4 * x[2], odd = x[3] - 4 * x[1];
    const V wide_even = x[4] - x[2], wide_odd = 2 * (x[3] - x[1]);
    return {4 * x[0] - 5 * x[2] + x[4], even + odd,           even - odd,
            wide_even + wide_odd,       wide_even - wide_odd, 4 * x[1] - 5 * x[3] + x[5]};
}

/// Aᵀ · y
template <class V>
[[gnu::always_inline]] inline std::array<V, tile> output_along_axis(const std::array<V, patch>& y) {
    const V sum = y[1] + y[2], difference = y[1] - y[2];
    const V wide_sum = y[3] + y[4], wide_difference = y[3] - y[4];
    return {y[0] + sum + wide_sum, difference + 2 * wide_difference, sum + 4 * wide_sum,
            difference + 8 * wide_difference + y[5]};
}

/// Applies `along_axis` to the columns and then to the rows of a From × From matrix: `put(i, element)` takes the
/// elements of the To × To result, both counted row by row.
template <std::size_t From, std::size_t To, class S, class AlongAxis, class Fetch, class Put>
[[gnu::always_inline]] inline void transform(AlongAxis&& along_axis, Fetch&& fetch, Put&& put) {
    std::array<std::array<Vector<S>, From>, To> half;
    BANTAM_UNROLL(6)
    for (std::size_t x = 0; x < From; ++x) {
        std::array<Vector<S>, From> column;
        BANTAM_UNROLL(6)
        for (std::size_t y = 0; y < From; ++y) column[y] = fetch(static_cast<Index>(y * From + x));
        const auto transformed = along_axis(column);
        BANTAM_UNROLL(6)
        for (std::size_t y = 0; y < To; ++y) half[y][x] = transformed[y];
    }
    BANTAM_UNROLL(6)
    for (std::size_t y = 0; y < To; ++y) {
        const auto row = along_axis(half[y]);
        BANTAM_UNROLL(6)
        for (std::size_t x = 0; x < To; ++x) put(static_cast<Index>(y * To + x), row[x]);
    }
}

// The three functions below are compiled once for all convolutions, as channels and strides are arguments.

/// G · w · Gᵀ for the vector of output channels of which `weights` has [tap][vector]; positions are `stride` apart.
template <class S>
void transform_weights(const S* weights, Index stride, S* to) {
    transform<kernel_size, patch, S>([](const auto& w) { return weights_along_axis(w); },
                                     [&](Index tap) { return load(weights + tap * lanes<S>); },
                                     [&](Index i, const Vector<S>& value) { store(to + i * stride, value); });
}

/// Bᵀ · x · B for the channels of a patch, given by its pixels; positions are `stride` apart.
template <class S>
void transform_patch(const std::array<const S*, positions>& pixels, Index channels, Index stride, S* to) {
    for_each_vector<S>(channels, [&](Index c, auto fetch, auto put) {
        transform<patch, patch, S>([](const auto& x) { return input_along_axis(x); },
                                   [&](Index i) { return fetch(pixels[static_cast<std::size_t>(i)] + c); },
                                   [&](Index i, const Vector<S>& value) { put(to + i * stride + c, value); });
    });
}

/// epilogue(Aᵀ · y · A) for the channels of a tile, of which `lines` × `columns` outputs are stored, in lines
/// `line_stride` apart. Positions of `products` are `stride` apart.
template <class S, RegisterEpilogue<S> Epilogue>
void transform_products(const S* products, Index channels, Index stride, S* to, Index line_stride, Index lines,
                        Index columns, const Epilogue& epilogue) {
    for_each_vector<S>(channels, [&](Index c, auto fetch, auto put) {
        const auto epilogue_columns = epilogue.columns(c, fetch);
        transform<patch, tile, S>([](const auto& y) { return output_along_axis(y); },
                                  [&](Index i) { return fetch(products + i * stride + c); },
                                  [&](Index i, const Vector<S>& value) {
                                      if (i / tile < lines && i % tile < columns)
                                          put(to + i / tile * line_stride + i % tile * channels + c,
                                              epilogue_columns(value));
                                  });
    });
}

/// Tiles that cover a map.
constexpr Index tile_count(Shape map) { return ceil_div(map.height, Index{tile}) * ceil_div(map.width, Index{tile}); }

}  // namespace winograd

/// Whether inference of `Conv` by `WinogradKernel` is faster than by `DenseKernel`: where the channels fill a vector
/// and the tiles do not reach far beyond the map. Measured on Zen 4: from 1.2 times as fast on maps of 5×5 to 3 times
/// with 64 channels on maps that tiles cover exactly.
template <class Conv, Shape Input>
constexpr bool winograd_is_faster() {
    if (Conv::kernel_size != winograd::kernel_size || Conv::stride != 1 || Conv::dilation != 1 || Conv::groups != 1)
        return false;
    constexpr Shape output = Conv::output_shape(Input);
    constexpr Index products = winograd::tile_count(output) * winograd::positions;
    return Input.channels >= 16 && output.channels >= 16 &&
           3 * products <= 2 * pixel_count(output) * Conv::Window::taps;
}

/// A 3×3 convolution of stride 1 whose inference uses F(4×4, 3×3): the transformed patches of a block of tiles are
/// multiplied by the transformed weights, one matrix product per position of a patch. Training is that of DenseKernel.
template <class Conv, Shape Input, class S>
struct WinogradKernel : DenseKernel<Conv, Input, S> {
    using Direct = DenseKernel<Conv, Input, S>;
    using Geometry = typename Direct::Geometry;
    using Direct::in, Direct::out, Direct::input, Direct::output, Direct::weight_count;
    static_assert(Conv::kernel_size == winograd::kernel_size && Conv::stride == 1 && Conv::dilation == 1 &&
                  Conv::groups == 1);

    static constexpr Index position_panels = packed_panel_size<S>(in, out);
    static constexpr Index packed_size = Direct::packed_size + winograd::positions * position_panels;

    static void prepare(const S* parameters, S* packed) {
        Direct::prepare(parameters, packed);
        packed += Direct::packed_size;
        for_each_panel<S>(out, [&]<int Vectors>(Index o0, Index width) {
            constexpr Index columns = Vectors * lanes<S>;
            for (Index c = 0; c < in; ++c)
                for (Index v = 0; v < columns; v += lanes<S>) {
                    alignas(vector_bytes) S vectors[Direct::taps * lanes<S>]{};
                    const Index filled = std::min<Index>(lanes<S>, width - v);
                    for (Index o = 0; o < filled; ++o)
                        for (Index tap = 0; tap < Direct::taps; ++tap)
                            vectors[tap * lanes<S> + o] = parameters[((o0 + v + o) * in + c) * Direct::taps + tap];
                    winograd::transform_weights(vectors, position_panels, packed + o0 * in + c * columns + v);
                }
        });
    }

    /// The output as rows on demand, see conv_operation.hpp. It is computed in bands of whole samples.
    template <RowSource Source>
    class ConvSource {
        static constexpr Index tile_columns = ceil_div(output.width, Index{winograd::tile});
        static constexpr Index sample_tiles = winograd::tile_count(output);
        // Enough rows for matrix products, of few enough bytes for the second-level cache.
        static constexpr Index block_tiles = 24;
        static constexpr Index band_samples = ceil_div(block_tiles, sample_tiles);
        static constexpr Index input_rows = pixel_count(input);
        static constexpr Index output_rows = pixel_count(output);
        static constexpr Index patches_size = winograd::positions * block_tiles * in;
        static constexpr Index products_size = winograd::positions * block_tiles * out;
        static constexpr Index input_size = band_samples * input_rows * in;
        static constexpr Index output_size = band_samples * output_rows * out;

    public:
        static constexpr Index memory_size = patches_size + products_size + in + input_size + output_size;
        ConvSource(const Source& source, const Weights<S>& weights, Chunk chunk, S* memory)
            : source_{source},
              weights_{weights},
              samples_end_{chunk.first + chunk.count},
              patches_{memory},
              products_{patches_ + patches_size},
              zeros_{products_ + products_size},
              input_{zeros_ + in},
              output_{input_ + input_size},
              band_{chunk.first},
              band_end_{chunk.first} {
            std::fill_n(zeros_, in, S{0});
        }

        template <RegisterEpilogue<S> Epilogue>
        void rows(Index first, Index count, S* to, const Epilogue& epilogue) const {
            const Index end = first + count;
            while (first < end) {
                const bool next_band = first == band_end_ * output_rows;
                if (next_band) {
                    band_ = band_end_;
                    band_end_ = std::min(band_ + band_samples, samples_end_);
                }
                const Index rows = std::min(end, band_end_ * output_rows) - first;
                // A band of which all rows are wanted now needs no buffer.
                if (rows == (band_end_ - band_) * output_rows) {
                    compute_band(to, epilogue);
                } else {
                    if (next_band) compute_band(output_, epilogue);
                    std::copy_n(output_ + (first - band_ * output_rows) * out, rows * out, to);
                }
                first += rows;
                to += rows * out;
            }
        }

    private:
        template <RegisterEpilogue<S> Epilogue>
        void compute_band(S* to, const Epilogue& epilogue) const {
            const Index samples = band_end_ - band_;
            const S* x = source_.rows(band_ * input_rows, samples * input_rows, input_);
            const auto conv_epilogue = bias_epilogue<Conv::bias>(weights_.parameters + weight_count, epilogue);
            const Index tiles = samples * sample_tiles;
            for (Index first = 0; first < tiles; first += block_tiles) {
                const Index count = std::min(block_tiles, tiles - first);
                for (Index i = 0; i < count; ++i) transform_patch(x, first + i, patches_ + i * in);
                for (Index position = 0; position < winograd::positions; ++position) multiply_position(position, count);
                for (Index i = 0; i < count; ++i) transform_products(products_ + i * out, first + i, to, conv_epilogue);
            }
        }

        /// A panel of weights stays in the cache while all tiles of the block are multiplied by it.
        void multiply_position(Index position, Index tiles) const {
            const S* a = patches_ + position * block_tiles * in;
            const S* b = weights_.packed + Direct::packed_size + position * position_panels;
            S* c = products_ + position * block_tiles * out;
            for_each_panel<S>(out, [&]<int>(Index o0, Index width) {
                multiply<false>(tiles, width, in, a, in, b + o0 * in, c + o0, out);
            });
        }

        /// The first output of a tile; samples are counted from the first of the band.
        struct TileOrigin {
            Index sample, y, x;
            explicit TileOrigin(Index tile)
                : sample{tile / sample_tiles},
                  y{tile % sample_tiles / tile_columns * winograd::tile},
                  x{tile % tile_columns * winograd::tile} {}
        };

        /// Bᵀ · patch · B of a tile, with zeros in the padding and beyond the map.
        void transform_patch(const S* x, Index tile, S* to) const {
            const TileOrigin origin{tile};
            std::array<const S*, winograd::positions> pixels;
            for (Index i = 0; i < winograd::positions; ++i) {
                const Index in_y = origin.y - Geometry::Rows::padding + i / winograd::patch;
                const Index in_x = origin.x - Geometry::Columns::padding + i % winograd::patch;
                const bool inside = Geometry::row_inside(in_y) && Geometry::column_inside(in_x);
                pixels[static_cast<std::size_t>(i)] =
                    inside ? x + (origin.sample * input_rows + in_y * input.width + in_x) * in : zeros_;
            }
            winograd::transform_patch(pixels, in, block_tiles * in, to);
        }

        /// The outputs of a tile that lie on the map: epilogue(Aᵀ · products · A).
        template <RegisterEpilogue<S> Epilogue>
        void transform_products(const S* from, Index tile, S* to, const Epilogue& epilogue) const {
            const TileOrigin origin{tile};
            to += (origin.sample * output_rows + origin.y * output.width + origin.x) * out;
            winograd::transform_products(from, out, block_tiles * out, to, output.width * out, output.height - origin.y,
                                         output.width - origin.x, epilogue);
        }

        const Source& source_;
        const Weights<S>& weights_;
        Index samples_end_;
        S *patches_, *products_, *zeros_, *input_, *output_;
        mutable Index band_, band_end_;  // the samples computed last
    };
};

}  // namespace bantam::cpu
