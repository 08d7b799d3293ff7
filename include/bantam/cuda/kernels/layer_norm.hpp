// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/division.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/kernels/row_reduction.hpp>
#include <bantam/cuda/runtime/operation.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>

#include <algorithm>
#include <bit>
#include <cmath>

namespace bantam::cuda {

// A group of neighboring threads normalizes a row of channels: they load it into registers once and keep it there until
// the result is stored. Groups of at most a warp need no barrier.

namespace detail {

/// values = Σ over the thread's group of `Width` neighbors, a power of two up to a warp. All threads of a block call
/// it.
template <int Width, class ComputeType, int Count, int Threads>
BANTAM_HOST_DEVICE void sum_in_warps([[maybe_unused]] PerThread<Values<ComputeType, Count>, Threads>& values) {
#if defined(__CUDA_ARCH__)
    BANTAM_CUDA_UNROLL
    for (int distance = Width / 2; distance > 0; distance /= 2) {
        BANTAM_CUDA_UNROLL
        for (int v = 0; v < Count; ++v)
            values[0].values[v] += __shfl_xor_sync(0xffffffffU, values[0].values[v], distance);
    }
#elif !defined(__CUDACC__)
    for (int distance = Width / 2; distance > 0; distance /= 2)
        for (int thread = 0; thread < Threads; ++thread) {
            if ((thread & distance) != 0) continue;
            for (int v = 0; v < Count; ++v) {
                ComputeType &low = values[thread].values[v], &high = values[thread + distance].values[v];
                low = high = low + high;
            }
        }
#endif
}

/// The same for groups of up to a whole thread block; `warp_sums` is shared memory for `Count` values per warp.
template <int Width, class Block, class ComputeType, int Count, int Threads>
BANTAM_HOST_DEVICE void sum_in_groups(const Block& block, PerThread<Values<ComputeType, Count>, Threads>& values,
                                      [[maybe_unused]] ComputeType* warp_sums) {
    constexpr int warp = warp_threads, warps = Threads / warp;
    sum_in_warps<(Width < warp ? Width : warp)>(values);
    if constexpr (Width > warp) {
        block.for_each_thread([&](int thread) {
            if (thread % warp > 0) return;
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < Count; ++v) warp_sums[v * warps + thread / warp] = values[thread].values[v];
        });
        block.for_each_thread([&](int thread) {
            BANTAM_CUDA_UNROLL
            for (int v = 0; v < Count; ++v) {
                const ComputeType* group = warp_sums + v * warps + thread / Width * (Width / warp);
                ComputeType sum{};
                BANTAM_CUDA_UNROLL
                for (int i = 0; i < Width / warp; ++i) sum += group[i];
                values[thread].values[v] = sum;
            }
        });
    }
}

/// How rows of `Channels` are assigned to groups of `width` threads: each thread takes every `width`-th channel,
/// `channels_per_thread` in total.
template <Index Channels>
struct RowGroups {
    static constexpr int threads = block_threads;
    static constexpr int warps = threads / warp_threads;
    static constexpr int max_channels_per_thread = 16;
    static constexpr bool fit = Channels <= max_channels_per_thread * threads;
    static constexpr int channels = fit ? static_cast<int>(Channels) : 1;

    /// At most eight channels per thread, if a thread block is wide enough. Among the widths that allow it, the one
    /// that leaves the fewest threads without a channel; at least a quarter of a warp, so that loads coalesce.
    static constexpr int width = [] {
        if (channels < 8) return static_cast<int>(std::bit_floor(static_cast<unsigned>(channels)));
        if (channels > 8 * warp_threads)
            return std::min(threads, static_cast<int>(std::bit_ceil(static_cast<unsigned>(ceil_div(channels, 8)))));
        int best = warp_threads;
        for (const int candidate : {16, 8})
            if (channels <= 8 * candidate &&
                ceil_div(channels, candidate) * candidate < ceil_div(channels, best) * best)
                best = candidate;
        return best;
    }();
    static constexpr int channels_per_thread = static_cast<int>(ceil_div(channels, width));
    static constexpr int groups = threads / width;

    /// Rows that a group loads at a time, so that a thread has about `values` in flight.
    static constexpr int unroll_for(int values) { return std::max(1, values / channels_per_thread); }

    /// A thread's group, which takes every `groups`-th row, and its first channel.
    struct ThreadPosition {
        int group, channel;
        BANTAM_HOST_DEVICE explicit ThreadPosition(int thread) : group{thread / width}, channel{thread % width} {}

        BANTAM_HOST_DEVICE bool has_row(int row, int rows) const { return group + row * groups < rows; }
        BANTAM_HOST_DEVICE bool has_channel(int k) const {
            return (k + 1) * width <= channels || channel + k * width < channels;
        }
        BANTAM_HOST_DEVICE int offset(int row, int k) const {
            return (group + row * groups) * channels + channel + k * width;
        }
    };

    /// to[row][k] = the thread's channels in its first `Rows` rows of a map of `rows` rows, zero outside.
    template <int Rows, class S>
    BANTAM_HOST_DEVICE static void load(const S* map, int rows, const ThreadPosition& at, Compute<S>* to) {
        BANTAM_CUDA_UNROLL
        for (int row = 0; row < Rows; ++row) {
            BANTAM_CUDA_UNROLL
            for (int k = 0; k < channels_per_thread; ++k)
                to[row * channels_per_thread + k] =
                    at.has_row(row, rows) && at.has_channel(k) ? Compute<S>(map[at.offset(row, k)]) : Compute<S>(0);
        }
    }
};

/// 1 / √x
template <class T>
BANTAM_HOST_DEVICE T inverse_root(T x) {
#ifdef __CUDA_ARCH__
    return rsqrt(x);
#else
    return T(1) / std::sqrt(x);
#endif
}

/// y = (x − mean) / √(variance + ε) · weight + bias. Stores the statistics [row][mean, 1 / √(variance + ε)] unless
/// `statistics` is null. `Norm` states ε as `epsilon`.
template <class Norm, Index Channels, class S>
struct LayerNormForward {
    using ComputeType = Compute<S>;
    using Groups = RowGroups<Channels>;
    using ThreadPosition = typename Groups::ThreadPosition;
    static constexpr int threads = Groups::threads;
    static constexpr int channels = Groups::channels, channels_per_thread = Groups::channels_per_thread;
    static constexpr int unroll = Groups::unroll_for(12);
    static constexpr int rows_per_block = Groups::groups * unroll;
    struct Shared {
        ComputeType warp_sums[unroll * Groups::warps];
    };

    const S* input;
    const ComputeType* parameters;
    S* output;
    ComputeType* statistics;
    Index rows;

    Index blocks() const { return ceil_div(rows, rows_per_block); }

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        constexpr ComputeType inverse_count = ComputeType(1) / ComputeType(channels);
        const Index first = block.index() * rows_per_block;
        const int rows_left = static_cast<int>(rows - first < rows_per_block ? rows - first : rows_per_block);
        auto x = block.template per_thread<Values<ComputeType, unroll * channels_per_thread>>();
        auto means = block.template per_thread<Values<ComputeType, unroll>>();
        auto variances = block.template per_thread<Values<ComputeType, unroll>>();
        block.for_each_thread_nosync([&](int thread) {
            Groups::template load<unroll>(input + first * channels, rows_left, ThreadPosition{thread},
                                          x[thread].values);
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < unroll; ++row) {
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < channels_per_thread; ++k)
                    means[thread].values[row] += x[thread].values[row * channels_per_thread + k];
            }
        });
        sum_in_groups<Groups::width>(block, means, shared.warp_sums);
        block.for_each_thread_nosync([&](int thread) {
            const ThreadPosition at{thread};
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < unroll; ++row) {
                means[thread].values[row] *= inverse_count;
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < channels_per_thread; ++k) {
                    ComputeType& value = x[thread].values[row * channels_per_thread + k];
                    value -= means[thread].values[row];
                    if (at.has_channel(k)) variances[thread].values[row] += value * value;
                }
            }
        });
        sum_in_groups<Groups::width>(block, variances, shared.warp_sums);
        block.for_each_thread_nosync([&](int thread) {
            const ThreadPosition at{thread};
            // Loaded before the first store, since the compiler must not move loads across it.
            ComputeType weights[channels_per_thread], biases[channels_per_thread], inverses[unroll];
            Groups::template load<1>(parameters, 1, ThreadPosition{at.channel}, weights);
            Groups::template load<1>(parameters + channels, 1, ThreadPosition{at.channel}, biases);
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < unroll; ++row) {
                inverses[row] =
                    inverse_root(variances[thread].values[row] * inverse_count + ComputeType(Norm::epsilon));
                if (!statistics || at.channel > 0 || !at.has_row(row, rows_left)) continue;
                ComputeType* to = statistics + 2 * (first + at.group + row * Groups::groups);
                to[0] = means[thread].values[row];
                to[1] = inverses[row];
            }
            S* to = output + first * channels;
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < unroll; ++row) {
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < channels_per_thread; ++k) {
                    if (!at.has_row(row, rows_left) || !at.has_channel(k)) continue;
                    const ComputeType normalized = x[thread].values[row * channels_per_thread + k] * inverses[row];
                    to[at.offset(row, k)] = S(normalized * weights[k] + biases[k]);
                }
            }
        });
    }
};

/// dL/dx unless `input_gradient` is null, and partials[slice][weight, bias][channel], the gradients of weight and bias
/// over the slice's rows: summed in registers over the rows of a group, then in double over the groups.
template <Index Channels, class S>
struct LayerNormBackward {
    using ComputeType = Compute<S>;
    using Groups = RowGroups<Channels>;
    using ThreadPosition = typename Groups::ThreadPosition;
    static constexpr int threads = Groups::threads;
    static constexpr int channels = Groups::channels, channels_per_thread = Groups::channels_per_thread;
    static constexpr int unroll = Groups::unroll_for(16);
    static constexpr int rows_per_step = Groups::groups * unroll;
    struct Shared {
        ComputeType warp_sums[2 * unroll * Groups::warps];
        double totals[2 * threads];
    };

    const S *input, *output_gradient;
    const ComputeType *parameters, *statistics;
    S* input_gradient;
    double* partials;
    BatchSlices slices;  // of multiples of `rows_per_step`

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const IndexRange rows = slices[block.index()];
        const Index begin = rows.begin, end = rows.end;
        auto weights = block.template per_thread<Values<ComputeType, channels_per_thread>>();
        auto weight_sums = block.template per_thread<Values<ComputeType, channels_per_thread>>();
        auto bias_sums = block.template per_thread<Values<ComputeType, channels_per_thread>>();
        auto step = block.template per_thread<Step>();
        auto sums = block.template per_thread<Values<ComputeType, 2 * unroll>>();
        block.for_each_thread_nosync([&](int thread) {
            Groups::template load<1>(parameters, 1, ThreadPosition{ThreadPosition{thread}.channel},
                                     weights[thread].values);
        });
        for (Index first = begin; first < end; first += rows_per_step) {
            const int rows_left = static_cast<int>(end - first < rows_per_step ? end - first : rows_per_step);
            block.for_each_thread_nosync([&](int thread) {
                step[thread].load(*this, first, rows_left, ThreadPosition{thread});
                step[thread].add(weights[thread].values, weight_sums[thread].values, bias_sums[thread].values,
                                 sums[thread].values);
            });
            if (!input_gradient) continue;
            sum_in_groups<Groups::width>(block, sums, shared.warp_sums);
            block.for_each_thread_nosync([&](int thread) {
                step[thread].store(weights[thread].values, sums[thread].values, rows_left, ThreadPosition{thread},
                                   input_gradient + first * channels);
            });
        }
        BANTAM_CUDA_UNROLL
        for (int k = 0; k < channels_per_thread; ++k) {
            block.for_each_thread([&](int thread) {
                shared.totals[thread] = static_cast<double>(weight_sums[thread].values[k]);
                shared.totals[threads + thread] = static_cast<double>(bias_sums[thread].values[k]);
            });
            reduce_thread_rows<2>(block, Groups::width, Groups::groups, shared.totals);
            block.for_each_thread([&](int thread) {
                const ThreadPosition at{thread};
                if (at.group > 0 || !at.has_channel(k)) return;
                double* to = partials + block.index() * 2 * channels + at.channel + k * Groups::width;
                to[0] = shared.totals[thread];
                to[channels] = shared.totals[threads + thread];
            });
        }
    }

private:
    /// What a thread holds of the rows of one step.
    struct Step {
        ComputeType normalized[unroll * channels_per_thread], gradient[unroll * channels_per_thread], inverses[unroll];

        BANTAM_HOST_DEVICE void load(const LayerNormBackward& from, Index first, int rows_left,
                                     const ThreadPosition& at) {
            Groups::template load<unroll>(from.input + first * channels, rows_left, at, normalized);
            Groups::template load<unroll>(from.output_gradient + first * channels, rows_left, at, gradient);
            ComputeType means[unroll];
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < unroll; ++row) {
                const ComputeType* of_row = from.statistics + 2 * (first + at.group + row * Groups::groups);
                means[row] = at.has_row(row, rows_left) ? of_row[0] : ComputeType(0);
                inverses[row] = at.has_row(row, rows_left) ? of_row[1] : ComputeType(0);
            }
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < unroll; ++row) {
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < channels_per_thread; ++k)
                    normalized[row * channels_per_thread + k] =
                        (normalized[row * channels_per_thread + k] - means[row]) * inverses[row];
            }
        }
        /// Adds to the sums over rows, and stores Σ and dot product over the thread's channels in `sums`. The gradient
        /// of channels outside is zero.
        BANTAM_HOST_DEVICE void add(const ComputeType* weights, ComputeType* weight_sums, ComputeType* bias_sums,
                                    ComputeType* sums) const {
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < unroll; ++row) {
                ComputeType sum{}, dot{};
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < channels_per_thread; ++k) {
                    const ComputeType g = gradient[row * channels_per_thread + k],
                                      value = normalized[row * channels_per_thread + k];
                    weight_sums[k] += g * value;
                    bias_sums[k] += g;
                    sum += g * weights[k];
                    dot += g * weights[k] * value;
                }
                sums[2 * row] = sum;
                sums[2 * row + 1] = dot;
            }
        }
        BANTAM_HOST_DEVICE void store(const ComputeType* weights, const ComputeType* sums, int rows_left,
                                      const ThreadPosition& at, S* to) const {
            constexpr ComputeType inverse_count = ComputeType(1) / ComputeType(channels);
            BANTAM_CUDA_UNROLL
            for (int row = 0; row < unroll; ++row) {
                const ComputeType mean = sums[2 * row] * inverse_count, mean_dot = sums[2 * row + 1] * inverse_count;
                BANTAM_CUDA_UNROLL
                for (int k = 0; k < channels_per_thread; ++k) {
                    if (!at.has_row(row, rows_left) || !at.has_channel(k)) continue;
                    const int i = row * channels_per_thread + k;
                    const ComputeType centered = gradient[i] * weights[k] - mean - normalized[i] * mean_dot;
                    to[at.offset(row, k)] = S(centered * inverses[row]);
                }
            }
        }
    };
};

}  // namespace detail

}  // namespace bantam::cuda
