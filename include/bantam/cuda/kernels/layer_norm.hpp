// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>
#include <bantam/layers/layer_norm.hpp>

#include <algorithm>
#include <bit>
#include <cmath>

namespace bantam::cuda {

// A row of channels belongs to a group of neighboring threads, which keep it in registers from the one time
// that it is read until it is written. Groups of at most a warp wait for nobody.

namespace detail {

/// Every thread gets the sums of what its group of `Width` neighbors holds, a power of two and a warp at most.
/// All threads of a block call it.
template <int Width, class Number, int Count, int Threads>
BANTAM_HOST_DEVICE void sum_in_warps([[maybe_unused]] PerThread<Values<Number, Count>, Threads>& own) {
#if defined(__CUDA_ARCH__)
    BANTAM_CUDA_UNROLL
    for (int distance = Width / 2; distance > 0; distance /= 2) {
        BANTAM_CUDA_UNROLL
        for (int v = 0; v < Count; ++v) own[0].values[v] += __shfl_xor_sync(0xffffffffU, own[0].values[v], distance);
    }
#elif !defined(__CUDACC__)
    for (int distance = Width / 2; distance > 0; distance /= 2)
        for (int thread = 0; thread < Threads; ++thread) {
            if ((thread & distance) != 0) continue;
            for (int v = 0; v < Count; ++v) {
                Number &low = own[thread].values[v], &high = own[thread + distance].values[v];
                low = high = low + high;
            }
        }
#endif
}

/// The same for groups of up to a whole block; `joined` is shared memory for `Count` numbers a warp.
template <int Width, class Block, class Number, int Count, int Threads>
BANTAM_HOST_DEVICE void sum_in_groups(const Block& block, PerThread<Values<Number, Count>, Threads>& own,
                                      [[maybe_unused]] Number* joined) {
    constexpr int warp = warp_threads, warps = Threads / warp;
    sum_in_warps<(Width < warp ? Width : warp)>(own);
    if constexpr (Width > warp) {
        block.for_each_thread([&](int thread) {
            if (thread % warp > 0) return;
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < Count; ++v) joined[v * warps + thread / warp] = own[thread].values[v];
        });
        block.for_each_thread([&](int thread) {
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < Count; ++v) {
                const Number* group = joined + v * warps + thread / Width * (Width / warp);
                Number sum{};
                BANTAM_CUDA_UNROLL
                for (int i = 0; i < Width / warp; ++i) sum += group[i];
                own[thread].values[v] = sum;
            }
        });
    }
}

/// How rows of `Channels` are shared out: to groups of `width` threads, each of which takes every `width`-th
/// channel, `held` in all.
template <Index Channels>
struct RowGroups {
    static constexpr int threads = row_threads;
    static constexpr int warps = threads / warp_threads;
    static constexpr int most_held = 16;
    static constexpr bool fit = Channels <= most_held * threads;
    static constexpr int channels = fit ? static_cast<int>(Channels) : 1;

    /// At most eight channels a thread where a block is wide enough. Of what is left the width with the fewest
    /// threads without a channel: a quarter of a warp at least, so that a group reads neighbors in memory.
    static constexpr int width = [] {
        if (channels < 8) return static_cast<int>(std::bit_floor(static_cast<unsigned>(channels)));
        if (channels > 8 * warp_threads)
            return std::min(threads, static_cast<int>(std::bit_ceil(static_cast<unsigned>(ceil_div(channels, 8)))));
        int best = warp_threads;
        for (const int narrower : {16, 8})
            if (channels <= 8 * narrower && ceil_div(channels, narrower) * narrower < ceil_div(channels, best) * best)
                best = narrower;
        return best;
    }();
    static constexpr int held = static_cast<int>(ceil_div(channels, width));
    static constexpr int groups = threads / width;

    /// As many rows a group at once as keep memory busy: they make a thread hold about `numbers`.
    static constexpr int rows_at_once(int numbers) { return std::max(1, numbers / held); }

    /// A thread's place: its group, which takes every `groups`-th row, and its first channel.
    struct Place {
        int group, channel;
        BANTAM_HOST_DEVICE explicit Place(int thread) : group{thread / width}, channel{thread % width} {}

        BANTAM_HOST_DEVICE bool has_row(int row, int left) const { return group + row * groups < left; }
        BANTAM_HOST_DEVICE bool has_channel(int k) const {
            return (k + 1) * width <= channels || channel + k * width < channels;
        }
        BANTAM_HOST_DEVICE int offset(int row, int k) const {
            return (group + row * groups) * channels + channel + k * width;
        }
    };

    /// to[row][k] = what lies at the place in the first `left` rows of a map, and zeros outside.
    template <int Rows, class S>
    BANTAM_HOST_DEVICE static void load(const S* map, int left, const Place& at, Compute<S>* to) {
        BANTAM_CUDA_UNROLL
        for (int row = 0; row < Rows; ++row) {
            BANTAM_CUDA_UNROLL
            for (int k = 0; k < held; ++k)
                to[row * held + k] =
                    at.has_row(row, left) && at.has_channel(k) ? Compute<S>(map[at.offset(row, k)]) : Compute<S>(0);
        }
    }
};

/// 1 / √x
template <class Number>
BANTAM_HOST_DEVICE Number inverse_root(Number x) {
#ifdef __CUDA_ARCH__
    return rsqrt(x);
#else
    return Number(1) / std::sqrt(x);
#endif
}

/// y = (x − mean) / √(variance + ε) · weight + bias. Statistics [row][mean, 1 / √(variance + ε)] are kept where
/// there is a place for them.
template <Index Channels, class S>
struct LayerNormForward {
    using Number = Compute<S>;
    using Groups = RowGroups<Channels>;
    using Place = typename Groups::Place;
    static constexpr int threads = Groups::threads;
    static constexpr int channels = Groups::channels, held = Groups::held;
    static constexpr int at_once = Groups::rows_at_once(12);
    static constexpr int rows_per_block = Groups::groups * at_once;
    struct Shared {
        Number joined[at_once * Groups::warps];
    };

    const S* input;
    const Number* parameters;
    S* output;
    Number* statistics;
    Index rows;

    Index blocks() const { return ceil_div(rows, rows_per_block); }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        constexpr Number share = Number(1) / Number(channels);
        const Index first = block.index() * rows_per_block;
        const int left = static_cast<int>(rows - first < rows_per_block ? rows - first : rows_per_block);
        auto x = block.template per_thread<Values<Number, at_once * held>>();
        auto means = block.template per_thread<Values<Number, at_once>>();
        auto variances = block.template per_thread<Values<Number, at_once>>();
        block.for_each_thread_alone([&](int thread) {
            Number* own = x[thread].values;
            Groups::template load<at_once>(input + first * channels, left, Place{thread}, own);
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < at_once; ++row) {
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < held; ++k) means[thread].values[row] += own[row * held + k];
            }
        });
        sum_in_groups<Groups::width>(block, means, shared.joined);
        block.for_each_thread_alone([&](int thread) {
            const Place at{thread};
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < at_once; ++row) {
                means[thread].values[row] *= share;
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < held; ++k) {
                    Number& value = x[thread].values[row * held + k];
                    value -= means[thread].values[row];
                    if (at.has_channel(k)) variances[thread].values[row] += value * value;
                }
            }
        });
        sum_in_groups<Groups::width>(block, variances, shared.joined);
        block.for_each_thread_alone([&](int thread) {
            const Place at{thread};
            // Before anything is written, behind which loads would have to wait.
            Number weights[held], biases[held], inverses[at_once];
            Groups::template load<1>(parameters, 1, Place{at.channel}, weights);
            Groups::template load<1>(parameters + channels, 1, Place{at.channel}, biases);
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < at_once; ++row) {
                inverses[row] = inverse_root(variances[thread].values[row] * share + Number(LayerNorm::epsilon));
                if (!statistics || at.channel > 0 || !at.has_row(row, left)) continue;
                Number* to = statistics + 2 * (first + at.group + row * Groups::groups);
                to[0] = means[thread].values[row];
                to[1] = inverses[row];
            }
            S* to = output + first * channels;
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < at_once; ++row) {
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < held; ++k) {
                    if (!at.has_row(row, left) || !at.has_channel(k)) continue;
                    const Number normalized = x[thread].values[row * held + k] * inverses[row];
                    to[at.offset(row, k)] = S(normalized * weights[k] + biases[k]);
                }
            }
        });
    }
};

/// dL/dx where it is wanted, and partials[part][weight, bias][channel] = what the part's rows add to the gradients
/// of weight and bias: sums in registers over the rows of a group, then in double over the groups.
template <Index Channels, class S>
struct LayerNormBackward {
    using Number = Compute<S>;
    using Groups = RowGroups<Channels>;
    using Place = typename Groups::Place;
    static constexpr int threads = Groups::threads;
    static constexpr int channels = Groups::channels, held = Groups::held;
    static constexpr int at_once = Groups::rows_at_once(16);
    static constexpr int rows_a_turn = Groups::groups * at_once;
    struct Shared {
        Number joined[2 * at_once * Groups::warps];
        double totals[2 * threads];
    };

    const S *input, *output_gradient;
    const Number *parameters, *statistics;
    S* input_gradient;
    double* partials;
    Index rows, rows_per_slice;

    /// Whole turns a part, of which there are no more than `max_slices`.
    static LayerNormBackward of(Index rows, const S* input, const S* output_gradient, const Number* parameters,
                                const Number* statistics, S* input_gradient, double* partials) {
        const Index turns = std::max<Index>(1, ceil_div(ceil_div(rows, rows_a_turn), max_slices));
        return {input, output_gradient, parameters, statistics, input_gradient, partials, rows, turns * rows_a_turn};
    }
    Index parts() const { return ceil_div(rows, rows_per_slice); }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const Index begin = block.index() * rows_per_slice;
        const Index end = begin + rows_per_slice < rows ? begin + rows_per_slice : rows;
        auto weights = block.template per_thread<Values<Number, held>>();
        auto weight_sums = block.template per_thread<Values<Number, held>>();
        auto bias_sums = block.template per_thread<Values<Number, held>>();
        auto turn = block.template per_thread<Turn>();
        auto sums = block.template per_thread<Values<Number, 2 * at_once>>();
        block.for_each_thread_alone([&](int thread) {
            Groups::template load<1>(parameters, 1, Place{Place{thread}.channel}, weights[thread].values);
        });
        for (Index first = begin; first < end; first += rows_a_turn) {
            const int left = static_cast<int>(end - first < rows_a_turn ? end - first : rows_a_turn);
            block.for_each_thread_alone([&](int thread) {
                turn[thread].load(*this, first, left, Place{thread});
                turn[thread].add(weights[thread].values, weight_sums[thread].values, bias_sums[thread].values,
                                 sums[thread].values);
            });
            if (!input_gradient) continue;
            sum_in_groups<Groups::width>(block, sums, shared.joined);
            block.for_each_thread_alone([&](int thread) {
                turn[thread].write(weights[thread].values, sums[thread].values, left, Place{thread},
                                   input_gradient + first * channels);
            });
        }
        BANTAM_CUDA_UNROLL
        for (int k = 0; k < held; ++k) {
            block.for_each_thread([&](int thread) {
                shared.totals[thread] = static_cast<double>(weight_sums[thread].values[k]);
                shared.totals[threads + thread] = static_cast<double>(bias_sums[thread].values[k]);
            });
            join_lanes<2>(block, Groups::width, Groups::groups, shared.totals);
            block.for_each_thread([&](int thread) {
                const Place at{thread};
                if (at.group > 0 || !at.has_channel(k)) return;
                double* to = partials + block.index() * 2 * channels + at.channel + k * Groups::width;
                to[0] = shared.totals[thread];
                to[channels] = shared.totals[threads + thread];
            });
        }
    }

private:
    /// What a thread holds of the rows of one turn.
    struct Turn {
        Number normalized[at_once * held], gradient[at_once * held], inverses[at_once];

        BANTAM_HOST_DEVICE void load(const LayerNormBackward& from, Index first, int left, const Place& at) {
            Groups::template load<at_once>(from.input + first * channels, left, at, normalized);
            Groups::template load<at_once>(from.output_gradient + first * channels, left, at, gradient);
            Number means[at_once];
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < at_once; ++row) {
                const Number* own = from.statistics + 2 * (first + at.group + row * Groups::groups);
                means[row] = at.has_row(row, left) ? own[0] : Number(0);
                inverses[row] = at.has_row(row, left) ? own[1] : Number(0);
            }
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < at_once; ++row) {
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < held; ++k)
                    normalized[row * held + k] = (normalized[row * held + k] - means[row]) * inverses[row];
            }
        }
        /// Adds to the sums over rows; sums over channels go to `sums`. Without a channel there is no gradient.
        BANTAM_HOST_DEVICE void add(const Number* weights, Number* weight_sums, Number* bias_sums, Number* sums) const {
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < at_once; ++row) {
                Number sum{}, slope{};
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < held; ++k) {
                    const Number here = gradient[row * held + k], value = normalized[row * held + k];
                    weight_sums[k] += here * value;
                    bias_sums[k] += here;
                    sum += here * weights[k];
                    slope += here * weights[k] * value;
                }
                sums[2 * row] = sum;
                sums[2 * row + 1] = slope;
            }
        }
        BANTAM_HOST_DEVICE void write(const Number* weights, const Number* sums, int left, const Place& at,
                                      S* to) const {
            constexpr Number share = Number(1) / Number(channels);
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < at_once; ++row) {
                const Number mean = sums[2 * row] * share, slope = sums[2 * row + 1] * share;
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < held; ++k) {
                    if (!at.has_row(row, left) || !at.has_channel(k)) continue;
                    const int i = row * held + k;
                    const Number centerd = gradient[i] * weights[k] - mean - normalized[i] * slope;
                    to[at.offset(row, k)] = S(centerd * inverses[row]);
                }
            }
        }
    };
};

}  // namespace detail

}  // namespace bantam::cuda
