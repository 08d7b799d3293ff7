// SPDX-License-Identifier: MIT
// The vector operations of int8 inference on a PC, for AVX-512 with VNNI and VBMI, AVX2 with or without VNNI, and in
// plain C++, with Arm's dot product where there is one. All give the same bits.
#pragma once

#include <bantam/deploy/precision.hpp>

#include <cstddef>
#include <cstdint>
#include <type_traits>

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VBMI__) && defined(__AVX512VBMI2__)
#define BANTAM_INT8_LANES 16
#include <immintrin.h>
#elif defined(__AVX2__)
#define BANTAM_INT8_LANES 8
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#define BANTAM_INT8_LANES 4
#include <arm_neon.h>
#else
#define BANTAM_INT8_LANES 4
#endif

namespace bantam::deploy::host {

/// Output channels that are computed side by side. Blocks of maps have as many channels.
inline constexpr int lanes = BANTAM_INT8_LANES;

/// A word of 32 bits per lane: a sum, which wraps around, or four bytes.
typedef std::uint32_t Lanes __attribute__((vector_size(4 * lanes)));
typedef std::int32_t SignedLanes __attribute__((vector_size(4 * lanes)));

/// How the words of a map's block are made of its bytes.
enum class Words { pixels, channels };

/// What is added to an element so that the processor's dot product takes it: x86 multiplies unsigned by signed bytes,
/// Arm signed ones. Maps hold the elements with it added, which is an exclusive or with `stored_flip`.
template <class T>
inline constexpr int stored_offset =
#if defined(__ARM_FEATURE_DOTPROD)
    std::is_unsigned_v<T> ? -128 : 0;
#else
    std::is_unsigned_v<T> ? 0 : 128;
#endif
/// A byte of a map as the dot product takes it.
#if defined(__ARM_FEATURE_DOTPROD)
using StoredByte = std::int8_t;
#else
using StoredByte = std::uint8_t;
#endif
template <class T>
inline constexpr std::uint8_t stored_flip = stored_offset<T> == 0 ? 0 : 0x80;

[[gnu::always_inline]] inline Lanes load(const void* from) {
    Lanes result;
    __builtin_memcpy(&result, from, sizeof result);
    return result;
}
[[gnu::always_inline]] inline void store(Lanes value, void* to) { __builtin_memcpy(to, &value, sizeof value); }

/// A vector for several products. GCC would otherwise read it from memory for each of them.
[[gnu::always_inline]] inline Lanes load_once(const void* from) {
    Lanes result = load(from);
#if defined(__AVX2__)
    asm("" : "+v"(result));
#endif
    return result;
}

/// The word at `from` in every lane.
[[gnu::always_inline]] inline Lanes repeat(const void* from) {
    std::uint32_t word;
    __builtin_memcpy(&word, from, sizeof word);
    return Lanes{} + word;
}

/// sum + Σ input · weight over the four bytes of each lane.
[[gnu::always_inline]] inline Lanes dot(Lanes sum, Lanes inputs, Lanes weights) {
#if BANTAM_INT8_LANES == 16
    return reinterpret_cast<Lanes>(_mm512_dpbusd_epi32(
        reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(inputs), reinterpret_cast<__m512i>(weights)));
#elif defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return reinterpret_cast<Lanes>(_mm256_dpbusd_epi32(
        reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(inputs), reinterpret_cast<__m256i>(weights)));
#elif defined(__AVXVNNI__)
    return reinterpret_cast<Lanes>(_mm256_dpbusd_avx_epi32(
        reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(inputs), reinterpret_cast<__m256i>(weights)));
#elif defined(__AVX2__)
    // Products of neighboring bytes would saturate in 16 bits: first the even bytes, then the odd ones.
    const __m256i low_bytes = _mm256_set1_epi16(255);
    const auto x = reinterpret_cast<__m256i>(inputs);
    const auto w = reinterpret_cast<__m256i>(weights);
    const __m256i even =
        _mm256_madd_epi16(_mm256_and_si256(x, low_bytes), _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), _mm256_srai_epi16(w, 8));
    return sum + reinterpret_cast<Lanes>(_mm256_add_epi32(even, odd));
#elif defined(__ARM_FEATURE_DOTPROD)
    return reinterpret_cast<Lanes>(vdotq_s32(reinterpret_cast<int32x4_t>(sum), reinterpret_cast<int8x16_t>(inputs),
                                             reinterpret_cast<int8x16_t>(weights)));
#else
    const auto signed_weights = reinterpret_cast<SignedLanes>(weights);
    return sum + (inputs & 255) * reinterpret_cast<Lanes>((signed_weights << 24) >> 24) +
           (inputs >> 8 & 255) * reinterpret_cast<Lanes>((signed_weights << 16) >> 24) +
           (inputs >> 16 & 255) * reinterpret_cast<Lanes>((signed_weights << 8) >> 24) +
           (inputs >> 24) * reinterpret_cast<Lanes>(signed_weights >> 24);
#endif
}

/// Every lane divided by 2^shift and rounded down.
[[gnu::always_inline]] inline Lanes shift_right(Lanes value, int shift) {
    return reinterpret_cast<Lanes>(reinterpret_cast<SignedLanes>(value) >> shift);
}

/// sum + Σ input · weight over the two numbers of 16 bits of each lane; both have a sign.
[[gnu::always_inline]] inline Lanes dot_pairs(Lanes sum, Lanes inputs, Lanes weights) {
#if BANTAM_INT8_LANES == 16
    return reinterpret_cast<Lanes>(_mm512_dpwssd_epi32(
        reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(inputs), reinterpret_cast<__m512i>(weights)));
#elif defined(__AVX2__)
    return sum + reinterpret_cast<Lanes>(
                     _mm256_madd_epi16(reinterpret_cast<__m256i>(inputs), reinterpret_cast<__m256i>(weights)));
#else
    return sum + shift_right(inputs << 16, 16) * shift_right(weights << 16, 16) +
           shift_right(inputs, 16) * shift_right(weights, 16);
#endif
}

/// Lane 4g + i of `pairs[j]` takes byte 16g + 4j + i of `first`, and that of `second` 16 bits above it.
[[gnu::always_inline]] inline void interleave(Lanes first, Lanes second, Lanes (&pairs)[4]) {
#if BANTAM_INT8_LANES == 16
    const __m512i zero = _mm512_setzero_si512();
    const auto a = reinterpret_cast<__m512i>(first), b = reinterpret_cast<__m512i>(second);
    const __m512i low = _mm512_unpacklo_epi8(a, b), high = _mm512_unpackhi_epi8(a, b);
    pairs[0] = reinterpret_cast<Lanes>(_mm512_unpacklo_epi8(low, zero));
    pairs[1] = reinterpret_cast<Lanes>(_mm512_unpackhi_epi8(low, zero));
    pairs[2] = reinterpret_cast<Lanes>(_mm512_unpacklo_epi8(high, zero));
    pairs[3] = reinterpret_cast<Lanes>(_mm512_unpackhi_epi8(high, zero));
#elif defined(__AVX2__)
    const __m256i zero = _mm256_setzero_si256();
    const auto a = reinterpret_cast<__m256i>(first), b = reinterpret_cast<__m256i>(second);
    const __m256i low = _mm256_unpacklo_epi8(a, b), high = _mm256_unpackhi_epi8(a, b);
    pairs[0] = reinterpret_cast<Lanes>(_mm256_unpacklo_epi8(low, zero));
    pairs[1] = reinterpret_cast<Lanes>(_mm256_unpackhi_epi8(low, zero));
    pairs[2] = reinterpret_cast<Lanes>(_mm256_unpacklo_epi8(high, zero));
    pairs[3] = reinterpret_cast<Lanes>(_mm256_unpackhi_epi8(high, zero));
#else
    const auto* a = reinterpret_cast<const StoredByte*>(&first);
    const auto* b = reinterpret_cast<const StoredByte*>(&second);
    for (int j = 0; j < 4; ++j)
        for (int lane = 0; lane < lanes; ++lane) {
            const int byte = lane / 4 * 16 + 4 * j + lane % 4;
            pairs[j][lane] = (static_cast<std::uint32_t>(a[byte]) & 0xffff) | static_cast<std::uint32_t>(b[byte]) << 16;
        }
#endif
}

/// The last byte of each word of `before`, then the first three of `word`'s.
[[gnu::always_inline]] inline Lanes shift_in_before(Lanes before, Lanes word) {
#if BANTAM_INT8_LANES == 16
    return reinterpret_cast<Lanes>(
        _mm512_shldi_epi32(reinterpret_cast<__m512i>(word), reinterpret_cast<__m512i>(before), 8));
#else
    return word << 8 | before >> 24;
#endif
}
/// The last three bytes of each word of `word`, then the first one of `behind`'s.
[[gnu::always_inline]] inline Lanes shift_in_behind(Lanes word, Lanes behind) {
#if BANTAM_INT8_LANES == 16
    return reinterpret_cast<Lanes>(
        _mm512_shrdi_epi32(reinterpret_cast<__m512i>(word), reinterpret_cast<__m512i>(behind), 8));
#else
    return word >> 8 | behind << 24;
#endif
}

/// Where a block has byte (channel, pixel) of its `lanes` channels and four neighboring pixels.
constexpr int byte_in_quad(Words words, int channel, int pixel) {
    const int group = channel / 4 * 16;
    return words == Words::channels ? group + pixel * 4 + channel % 4 : group + channel % 4 * 4 + pixel;
}

/// How the sums of a vector's output channels become elements: by the factors of scale_to, or where `fast`, with the
/// same bits, by `scales`.
struct ChannelScales {
    const std::int32_t* factors;
    const std::int32_t* scales;
    bool fast;

    ChannelScales at(int channel) const { return {factors + channel, scales + channel, fast}; }
};

/// The scale of a factor.
constexpr std::int32_t fast_scale(std::int32_t factor) {
#if BANTAM_INT8_LANES == 16
    // Exact: a float's mantissa has as many bits.
    float scale = static_cast<float>(factor >> 8);
    for (int i = factor & 0xff; i > 0; --i) scale /= 2;
    return __builtin_bit_cast(std::int32_t, scale);
#else
    return factor;
#endif
}

/// Whether sums of at most `largest` in magnitude may be scaled by the scale of `factor`.
constexpr bool scales_fast([[maybe_unused]] std::int64_t largest, std::int32_t factor) {
    const int shift = factor & 0xff;
#if BANTAM_INT8_LANES == 16
    return largest <= (std::int64_t{1} << 24) && (shift >= 24 || factor >> 8 == 0);
#else
    return shift >= 25;
#endif
}

namespace detail {

#if defined(__AVX2__)
/// Bytes of 4×4 with rows and columns exchanged.
[[gnu::always_inline]] inline __m128i transposed_bytes() {
    constexpr char order[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(order));
}
#endif

/// scale_to of one sum after the other.
template <class Out, Words words>
void store_quad_one_by_one(const Lanes* sums, const std::int32_t* factors, std::uint8_t* to) {
    for (int pixel = 0; pixel < 4; ++pixel)
        for (int lane = 0; lane < lanes; ++lane)
            to[byte_in_quad(words, lane, pixel)] = static_cast<std::uint8_t>(
                static_cast<std::uint8_t>(scale_to<Out>(static_cast<std::int32_t>(sums[pixel][lane]), factors[lane])) ^
                stored_flip<Out>);
}

#if BANTAM_INT8_LANES == 16
/// Saturates numbers of 16 bits, those of lane 4g + i in group g of 128 bits, to elements.
template <class Out, bool transposed>
[[gnu::always_inline]] inline void store_narrow(__m512i first, __m512i second, std::uint8_t* to) {
    __m512i bytes = std::is_unsigned_v<Out> ? _mm512_packus_epi16(first, second) : _mm512_packs_epi16(first, second);
    if constexpr (transposed)
        bytes = _mm512_shuffle_epi8(bytes, _mm512_maskz_broadcast_i32x4(0xffff, transposed_bytes()));
    if constexpr (stored_flip<Out> != 0) bytes = _mm512_xor_si512(bytes, _mm512_set1_epi8(-128));
    _mm512_storeu_si512(to, bytes);
}
#elif BANTAM_INT8_LANES == 8
template <class Out, bool transposed>
[[gnu::always_inline]] inline void store_narrow(__m256i first, __m256i second, std::uint8_t* to) {
    __m256i bytes = std::is_unsigned_v<Out> ? _mm256_packus_epi16(first, second) : _mm256_packs_epi16(first, second);
    if constexpr (transposed) bytes = _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(transposed_bytes()));
    if constexpr (stored_flip<Out> != 0) bytes = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
}
#endif

}  // namespace detail

/// Saturates lane 4g + i of `values[j]` and writes it as byte 16g + 4j + i, or 16g + 4i + j where `transposed`.
template <class Out, bool transposed>
[[gnu::always_inline]] inline void store_elements(const Lanes (&values)[4], std::uint8_t* to) {
#if BANTAM_INT8_LANES == 16
    const auto narrow = [&](int i) __attribute__((always_inline)) {
        return _mm512_packs_epi32(reinterpret_cast<__m512i>(values[i]), reinterpret_cast<__m512i>(values[i + 1]));
    };
    detail::store_narrow<Out, transposed>(narrow(0), narrow(2), to);
#elif BANTAM_INT8_LANES == 8
    const auto narrow = [&](int i) __attribute__((always_inline)) {
        return _mm256_packs_epi32(reinterpret_cast<__m256i>(values[i]), reinterpret_cast<__m256i>(values[i + 1]));
    };
    detail::store_narrow<Out, transposed>(narrow(0), narrow(2), to);
#else
    for (int j = 0; j < 4; ++j)
        for (int lane = 0; lane < lanes; ++lane)
            to[lane / 4 * 16 + (transposed ? lane % 4 * 4 + j : 4 * j + lane % 4)] = static_cast<std::uint8_t>(
                static_cast<std::uint8_t>(saturate<Out>(static_cast<std::int32_t>(values[j][lane]))) ^
                stored_flip<Out>);
#endif
}

/// Copies a quad, from words of one kind to those of the other where `transposed`.
template <bool transposed>
[[gnu::always_inline]] inline void copy_quad(const std::uint8_t* from, std::uint8_t* to) {
    if constexpr (!transposed) {
        store(load(from), to);
    } else {
#if BANTAM_INT8_LANES == 16
        _mm512_storeu_si512(to, _mm512_shuffle_epi8(_mm512_loadu_si512(from),
                                                    _mm512_maskz_broadcast_i32x4(0xffff, detail::transposed_bytes())));
#elif BANTAM_INT8_LANES == 8
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                            _mm256_shuffle_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
                                                _mm256_broadcastsi128_si256(detail::transposed_bytes())));
#else
        for (int i = 0; i < 4; ++i)
            for (int j = 0; j < 4; ++j) to[4 * i + j] = from[4 * j + i];
#endif
    }
}

/// Scales the sums of four neighboring pixels as `scale_to<Out>` does and writes the block's bytes.
template <class Out, Words words>
[[gnu::always_inline]] inline void store_quad(const Lanes (&sums)[4], ChannelScales channels, std::uint8_t* to) {
#if defined(__AVX2__)
    if (!channels.fast) [[unlikely]] {
        // A copy, so that the sums need no memory elsewhere.
        const Lanes stored[4] = {sums[0], sums[1], sums[2], sums[3]};
        return detail::store_quad_one_by_one<Out, words>(stored, channels.factors, to);
    }
#endif
#if BANTAM_INT8_LANES == 16
    // sum · factor + 1/2 rounded down to a float, then to an integer: no float lies between an integer and the values
    // that are to be rounded down to it, so that the result is exact.
    const __m512 factor = _mm512_loadu_ps(channels.scales);
    const auto scale = [&](Lanes sum) __attribute__((always_inline)) {
        // The masked forms, since GCC 12 takes the others for uninitialized.
        constexpr int down = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
        // No constant, of which GCC 12 warns without optimization.
        __mmask16 all = 0xffff;
        const __m512 value = _mm512_maskz_cvtepi32_ps(all, reinterpret_cast<__m512i>(sum));
        return reinterpret_cast<Lanes>(_mm512_maskz_cvt_roundps_epi32(
            all, _mm512_fmadd_round_ps(value, factor, _mm512_set1_ps(0.5F), down), down));
    };
    store_elements<Out, words == Words::pixels>({scale(sums[0]), scale(sums[1]), scale(sums[2]), scale(sums[3])}, to);
#elif BANTAM_INT8_LANES == 8
    // The upper word of sum · mantissa · 2⁸ is shifted to one bit more than the result. Saturated to 16 bits it
    // rounds as a product with 2¹⁴ does, in twice as many lanes.
    const Lanes factors = load(channels.scales);
    const auto factor = reinterpret_cast<__m256i>(factors & ~std::uint32_t{0xff});
    const auto shifts = reinterpret_cast<__m256i>((factors & 0xff) - 25);
    const auto scale = [&](Lanes sum) __attribute__((always_inline)) {
        const auto value = reinterpret_cast<__m256i>(sum);
        const __m256i even = _mm256_mul_epi32(value, factor);
        const __m256i odd = _mm256_mul_epi32(_mm256_shuffle_epi32(value, 0xf5), _mm256_shuffle_epi32(factor, 0xf5));
        return _mm256_srav_epi32(_mm256_blend_epi32(_mm256_shuffle_epi32(even, 0xf5), odd, 0xaa), shifts);
    };
    const __m256i half = _mm256_set1_epi16(1 << 14);
    const __m256i first = _mm256_mulhrs_epi16(_mm256_packs_epi32(scale(sums[0]), scale(sums[1])), half);
    const __m256i second = _mm256_mulhrs_epi16(_mm256_packs_epi32(scale(sums[2]), scale(sums[3])), half);
    detail::store_narrow<Out, words == Words::pixels>(first, second, to);
#else
    detail::store_quad_one_by_one<Out, words>(sums, channels.factors, to);
#endif
}

}  // namespace bantam::deploy::host
