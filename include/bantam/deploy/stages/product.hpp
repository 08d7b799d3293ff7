// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/deploy/precision.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace bantam::deploy {

/// Where output `output` of `outputs` finds its weight `k` of a product of `length`: blocks of outputs, in each of
/// them groups of `length_multiple` neighboring k, in each of them the block's outputs.
template <class P>
constexpr int product_weight_index(int output, int k, int outputs, int length) {
    const int block = output / P::output_block;
    const int begin = block * P::output_block;
    const int width = outputs - begin < P::output_block ? outputs - begin : P::output_block;
    constexpr int group = P::length_multiple;
    return begin * length + (k / group) * group * width + (output - begin) * group + k % group;
}

#if defined(__ARM_FEATURE_DSP)

// Arm's instructions on two numbers of 16 bits in a word.

inline std::uint32_t load_word(const void* from) {
    std::uint32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return word;
}
/// Bytes 0 and 2 of a word.
template <class T>
std::uint32_t even_bytes(std::uint32_t word) {
    std::uint32_t pair;
    if constexpr (std::is_unsigned_v<T>)
        asm("uxtb16 %0, %1" : "=r"(pair) : "r"(word));
    else
        asm("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    return pair;
}
/// Bytes 1 and 3 of a word.
template <class T>
std::uint32_t odd_bytes(std::uint32_t word) {
    std::uint32_t pair;
    if constexpr (std::is_unsigned_v<T>)
        asm("uxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    else
        asm("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    return pair;
}
/// sum + low · low + high · high
inline std::int32_t add_products(std::uint32_t a, std::uint32_t b, std::int32_t sum) {
    asm("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}
inline std::int32_t add_low_product(std::uint32_t a, std::uint32_t b, std::int32_t sum) {
    asm("smlabb %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}
inline std::int32_t add_high_product(std::uint32_t a, std::uint32_t b, std::int32_t sum) {
    asm("smlatt %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

#endif

/// body(0), …, body(Count − 1), each with a constant index.
template <int Count, class Body>
[[gnu::always_inline]] inline void unroll(Body&& body) {
    [&]<int... Is>(std::integer_sequence<int, Is...>) __attribute__((always_inline)) {
        (body(std::integral_constant<int, Is>{}), ...);
    }(std::make_integer_sequence<int, Count>{});
}

// A few numbers in one register, for processors that have such registers. GCC and Clang compile them without a header.
typedef float FloatVector __attribute__((vector_size(32)));
typedef std::int8_t ByteVector __attribute__((vector_size(16)));
typedef short ShortVector __attribute__((vector_size(32)));
typedef int IntVector __attribute__((vector_size(32)));
typedef long long LongVector __attribute__((vector_size(32)));
typedef std::int8_t HalfByteVector __attribute__((vector_size(8)));
typedef short HalfShortVector __attribute__((vector_size(16)));
typedef int HalfIntVector __attribute__((vector_size(16)));
typedef long long HalfLongVector __attribute__((vector_size(16)));

template <class V>
[[gnu::always_inline]] inline V load_vector(const void* from) {
    V vector;
    __builtin_memcpy(&vector, from, sizeof vector);
    return vector;
}

/// Where element `k` of a patch lies. Arm's products take two elements of a word at a time, and a word of weights gives
/// its bytes 0 and 2, then 1 and 3.
template <class P>
constexpr int patch_index(int k) {
#if defined(__ARM_FEATURE_DSP)
    if constexpr (std::is_same_v<P, Int8>) return (k & ~3) | (k & 1) << 1 | (k & 2) >> 1;
#endif
    return k;
}

/// Copies `count` elements to a patch from its element `k` on; null stands for zeros.
template <class P, class In>
inline void fill_patch(const In* from, int count, typename P::Patch* patch, int k) {
    if (from == nullptr) {
        for (const int end = k + count; k < end; ++k) patch[patch_index<P>(k)] = 0;
        return;
    }
#if defined(__ARM_FEATURE_DSP)
    if constexpr (std::is_same_v<P, Int8>) {
        if (k % 4 == 0)
            for (; count >= 4; count -= 4, from += 4, k += 4) {
                const std::uint32_t word = load_word(from);
                const std::uint32_t pairs[2] = {even_bytes<In>(word), odd_bytes<In>(word)};
                __builtin_memcpy(__builtin_assume_aligned(patch + k, 4), pairs, sizeof pairs);
            }
    }
#endif
    for (int i = 0; i < count; ++i) patch[patch_index<P>(k + i)] = from[i];
}

/// totals[pixel][output] = Σ patch[k] · weights[k, output] for `Outputs` outputs of a block whose words of weights lie
/// `step` elements apart.
template <class P, int Pixels, int Outputs>
[[gnu::always_inline]] inline void multiply_block(
    const typename P::Patch* const* patches, const typename P::Weight* weights, int step, int length,
    typename P::Sum (&totals)[std::size_t{Pixels}][std::size_t{Outputs}]) {
    using Sum = typename P::Sum;
    constexpr int group = P::length_multiple;
    const typename P::Patch* in[std::size_t{Pixels}];
    unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) { in[pixel] = patches[pixel]; });
    unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
        unroll<Outputs>([&](auto output) __attribute__((always_inline)) { totals[pixel][output] = 0; });
    });
#if defined(__SSE2__) || defined(__ARM_NEON)
    if constexpr (std::is_same_v<P, Float32> && Outputs == 8) {
        FloatVector sums[std::size_t{Pixels}] = {};
        for (int k = 0; k < length; ++k, weights += step) {
            FloatVector row;  // copied here: without AVX a function cannot return it in one way for all compilers
            __builtin_memcpy(&row, weights, sizeof row);
            unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) { sums[pixel] += in[pixel][k] * row; });
        }
        __builtin_memcpy(totals, sums, sizeof sums);
        return;
    }
#endif
#if defined(__AVX2__)
    if constexpr (std::is_same_v<P, Int8> && Outputs == 4) {
        // Sums of two neighboring products: two lanes per output.
        IntVector sums[std::size_t{Pixels}] = {};
        for (int k = 0; k < length; k += group, weights += step) {
            const ShortVector row = __builtin_convertvector(load_vector<ByteVector>(weights), ShortVector);
            unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
                const auto four = load_vector<long long>(in[pixel] + k);
                const auto repeated = reinterpret_cast<ShortVector>(LongVector{four, four, four, four});
                sums[pixel] += reinterpret_cast<IntVector>(__builtin_ia32_pmaddwd256(row, repeated));
            });
        }
        unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
            unroll<Outputs>([&](auto output) __attribute__((always_inline)) {
                totals[pixel][output] = sums[pixel][2 * output] + sums[pixel][2 * output + 1];
            });
        });
        return;
    }
#elif defined(__SSE2__) || defined(__wasm_simd128__)
    if constexpr (std::is_same_v<P, Int8> && Outputs == 4) {
        // The same with two registers for the four outputs.
        const auto add_pairs = [](HalfShortVector a, HalfShortVector b) __attribute__((always_inline)) {
#if defined(__wasm_simd128__)
            return reinterpret_cast<HalfIntVector>(__builtin_wasm_dot_s_i32x4_i16x8(a, b));
#else
            return reinterpret_cast<HalfIntVector>(__builtin_ia32_pmaddwd128(a, b));
#endif
        };
        HalfIntVector sums[std::size_t{Pixels}][2] = {};
        for (int k = 0; k < length; k += group, weights += step) {
            const auto first = __builtin_convertvector(load_vector<HalfByteVector>(weights), HalfShortVector);
            const auto second = __builtin_convertvector(load_vector<HalfByteVector>(weights + 8), HalfShortVector);
            unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
                const auto four = load_vector<long long>(in[pixel] + k);
                const auto repeated = reinterpret_cast<HalfShortVector>(HalfLongVector{four, four});
                sums[pixel][0] += add_pairs(first, repeated);
                sums[pixel][1] += add_pairs(second, repeated);
            });
        }
        unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
            unroll<Outputs>([&](auto output) __attribute__((always_inline)) {
                totals[pixel][output] =
                    sums[pixel][output / 2][2 * (output % 2)] + sums[pixel][output / 2][2 * (output % 2) + 1];
            });
        });
        return;
    }
#endif
    const typename P::Patch* const end = in[0] + length;
    do {
#if defined(__ARM_FEATURE_DSP)
        if constexpr (std::is_same_v<P, Int8>) {
            std::uint32_t pairs[std::size_t{Pixels}][2];
            unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
                __builtin_memcpy(pairs[pixel], __builtin_assume_aligned(in[pixel], 4), sizeof pairs[pixel]);
                in[pixel] += group;
            });
            unroll<Outputs>([&](auto output) __attribute__((always_inline)) {
                const std::uint32_t word = load_word(weights + group * output);
                const std::uint32_t even = even_bytes<std::int8_t>(word);
                unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
                    totals[pixel][output] = add_products(pairs[pixel][0], even, totals[pixel][output]);
                });
                const std::uint32_t odd = odd_bytes<std::int8_t>(word);
                unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
                    totals[pixel][output] = add_products(pairs[pixel][1], odd, totals[pixel][output]);
                });
            });
            weights += step;
            continue;
        }
#endif
        unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
            unroll<group>([&](auto i) __attribute__((always_inline)) {
                const Sum factor = in[pixel][i];
                unroll<Outputs>([&](auto output) __attribute__((always_inline)) {
                    totals[pixel][output] += factor * static_cast<Sum>(weights[output * group + i]);
                });
            });
            in[pixel] += group;
        });
        weights += step;
    } while (in[0] != end);
}

#if defined(__SSE2__) || defined(__ARM_NEON)
/// ChannelEpilogue<Float32>::store of eight sums.
template <Bound bound>
[[gnu::always_inline]] inline void store_vector(const float* sums, const float* biases, float* out) {
    FloatVector values, bias;
    __builtin_memcpy(&values, sums, sizeof values);
    __builtin_memcpy(&bias, biases, sizeof bias);
    values += bias;
    const FloatVector zero = {}, six = zero + 6.0F;
    if constexpr (bound != Bound::none) values = values < zero ? zero : values;
    if constexpr (bound == Bound::relu6) values = values > six ? six : values;
    __builtin_memcpy(out, &values, sizeof values);
}

#endif

// Two blocks of outputs at a time, where a FloatVector is a register; of smaller registers g++ keeps the sums in
// memory.
#if defined(__AVX__)
/// Pixels whose sums for two blocks of outputs stay in registers.
template <int Pixels>
inline constexpr int pixels_per_pass =
#if defined(__AVX512VL__)
    Pixels;
#else
    Pixels < 4 ? Pixels : 4;
#endif

/// Adds `count` products per pixel and output for two neighboring blocks of outputs whose weights lie `next_block`
/// elements apart: an element of a patch is read once for both.
template <int Pixels>
[[gnu::always_inline]] inline void accumulate_products(const float* const (&patches)[std::size_t{Pixels}],
                                                       const float* weights, int next_block, int count,
                                                       FloatVector (&sums)[std::size_t{Pixels}][2]) {
    for (int k = 0; k < count; ++k, weights += Float32::output_block) {
        FloatVector rows[2];
        __builtin_memcpy(&rows[0], weights, sizeof rows[0]);
        __builtin_memcpy(&rows[1], weights + next_block, sizeof rows[1]);
        unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
            const float factor = patches[pixel][k];
            sums[pixel][0] += factor * rows[0];
            sums[pixel][1] += factor * rows[1];
        });
    }
}

template <int Pixels, Bound bound>
[[gnu::always_inline]] inline void store_two_blocks(const FloatVector (&sums)[std::size_t{Pixels}][2],
                                                    const float* biases, float* out, int out_step) {
    constexpr int block = Float32::output_block;
    unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
        unroll<2>([&](auto i) __attribute__((always_inline)) {
            float stored[std::size_t{block}];
            __builtin_memcpy(stored, &sums[pixel][i], sizeof stored);
            store_vector<bound>(stored, biases + i * block, out + pixel * out_step + i * block);
        });
    });
}

/// Products of neighboring pixels' windows with the weights of `count` outputs, a multiple of two blocks. A window has
/// `rows` rows of `row_length` elements, null where they are zeros; the next pixel's lie `pixel_step` elements behind.
template <int Pixels, Bound bound>
[[gnu::noinline]] void multiply_windows(const float* const* windows, int rows, int row_length, int pixel_step,
                                        const float* weights, int count, const float* biases, float* out) {
    constexpr int block = Float32::output_block;
    constexpr int pixels = pixels_per_pass<Pixels>;
    const int length = rows * row_length;
    for (int output = 0; output < count; output += 2 * block, weights += 2 * block * length)
        for (int first = 0; first < Pixels; first += pixels) {
            FloatVector sums[std::size_t{pixels}][2] = {};
            for (int row = 0; row < rows; ++row) {
                if (windows[row] == nullptr) continue;
                const float* in[std::size_t{pixels}];
                unroll<pixels>([&](auto pixel) __attribute__((always_inline)) {
                    in[pixel] = windows[row] + (first + pixel) * pixel_step;
                });
                accumulate_products<pixels>(in, weights + row * row_length * block, block * length, row_length, sums);
            }
            store_two_blocks<pixels, bound>(sums, biases + output, out + first * count + output, count);
        }
}
#endif

/// Outputs of a block that a step computes: as many as there are registers for their sums.
template <class P>
inline constexpr int outputs_per_step =
#if defined(__ARM_FEATURE_DSP)
    std::is_same_v<P, Int8> ? 2 :
#endif
                            P::output_block;

/// Products of `Pixels` patches of `length` with the weights of `count` outputs, of which the last
/// block has `Rest`, to `out`, `out_step` elements per pixel. Not inlined: one copy serves every stage.
template <class P, int Pixels, int Rest, Bound bound, class Out>
[[gnu::noinline]] void multiply(const typename P::Patch* const* patches, const typename P::Weight* weights, int length,
                                int count, const typename P::Constant* constants, Out* out, int out_step) {
    constexpr int block = P::output_block;
    constexpr int group = P::length_multiple;
    const auto step = [&]<int Width, int Outputs>(int output, int within) __attribute__((always_inline)) {
        typename P::Sum totals[std::size_t{Pixels}][std::size_t{Outputs}];
        multiply_block<P, Pixels, Outputs>(patches, weights + within * group, Width * group, length, totals);
#if defined(__SSE2__) || defined(__ARM_NEON)
        if constexpr (std::is_same_v<P, Float32> && Outputs == 8) {
            unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
                store_vector<bound>(totals[pixel], constants + within, out + pixel * out_step + output + within);
            });
            return;
        }
#endif
        unroll<Outputs>([&](auto i) __attribute__((always_inline)) {
            unroll<Pixels>([&](auto pixel) __attribute__((always_inline)) {
                out[pixel * out_step + output + within + i] = ChannelEpilogue<P>::template store<Out, bound>(
                    totals[pixel][i], constants + (within + i) * ChannelEpilogue<P>::constants_per_channel);
            });
        });
    };
    const auto whole_block = [&]<int Width>(int output) __attribute__((always_inline)) {
        constexpr int step_outputs = Width < outputs_per_step<P> ? Width : outputs_per_step<P>;
        for (int within = 0; within + step_outputs <= Width; within += step_outputs)
            step.template operator()<Width, step_outputs>(output, within);
        if constexpr (Width % step_outputs != 0)
            step.template operator()<Width, Width % step_outputs>(output, Width - Width % step_outputs);
    };
    int output = 0;
#if defined(__AVX__)
    if constexpr (std::is_same_v<P, Float32>)
        for (; output + 2 * block <= count; output += 2 * block, weights += 2 * block * length, constants += 2 * block)
            for (int first = 0; first < Pixels; first += pixels_per_pass<Pixels>) {
                constexpr int pixels = pixels_per_pass<Pixels>;
                FloatVector sums[std::size_t{pixels}][2] = {};
                const float* in[std::size_t{pixels}];
                unroll<pixels>([&](auto pixel) __attribute__((always_inline)) { in[pixel] = patches[first + pixel]; });
                accumulate_products<pixels>(in, weights, block * length, length, sums);
                store_two_blocks<pixels, bound>(sums, constants, out + first * out_step + output, out_step);
            }
#endif
    for (; output + block <= count;
         output += block, weights += block * length, constants += block * ChannelEpilogue<P>::constants_per_channel)
        whole_block.template operator()<block>(output);
    if constexpr (Rest > 0) whole_block.template operator()<Rest>(output);
}

/// Sums of `Count` neighboring channels over the taps of one pixel, each channel with its own weights.
template <class P, int Count, class In>
inline void multiply_channels(const In* const* inputs, const typename P::Weight* const* weights, int taps, int channel,
                              typename P::Sum (&sums)[std::size_t{Count}]) {
    using Sum = typename P::Sum;
#if defined(__ARM_FEATURE_DSP)
    if constexpr (std::is_same_v<P, Int8> && Count == 4) {
        std::int32_t totals[4] = {};
        for (int tap = 0; tap < taps; ++tap) {
            const std::uint32_t word = load_word(inputs[tap] + channel);
            const std::uint32_t weight_word = load_word(weights[tap] + channel);
            const std::uint32_t even = even_bytes<In>(word), odd = odd_bytes<In>(word);
            const std::uint32_t even_weights = even_bytes<std::int8_t>(weight_word);
            const std::uint32_t odd_weights = odd_bytes<std::int8_t>(weight_word);
            totals[0] = add_low_product(even, even_weights, totals[0]);
            totals[1] = add_low_product(odd, odd_weights, totals[1]);
            totals[2] = add_high_product(even, even_weights, totals[2]);
            totals[3] = add_high_product(odd, odd_weights, totals[3]);
        }
        unroll<4>([&](auto i) __attribute__((always_inline)) { sums[i] = totals[i]; });
        return;
    }
#endif
#if defined(__SSE2__) || defined(__ARM_NEON)
    if constexpr (std::is_same_v<P, Float32> && Count % 8 == 0) {
        FloatVector totals[std::size_t{Count / 8}] = {};
        for (int tap = 0; tap < taps; ++tap)
            unroll<Count / 8>([&](auto i) __attribute__((always_inline)) {
                FloatVector input, weight;
                __builtin_memcpy(&input, inputs[tap] + channel + 8 * i, sizeof input);
                __builtin_memcpy(&weight, weights[tap] + channel + 8 * i, sizeof weight);
                totals[i] += input * weight;
            });
        __builtin_memcpy(sums, totals, sizeof totals);
        return;
    }
#endif
    unroll<Count>([&](auto i) __attribute__((always_inline)) { sums[i] = 0; });
    for (int tap = 0; tap < taps; ++tap)
        unroll<Count>([&](auto i) __attribute__((always_inline)) {
            sums[i] += static_cast<Sum>(inputs[tap][channel + i]) * static_cast<Sum>(weights[tap][channel + i]);
        });
}

}  // namespace bantam::deploy
