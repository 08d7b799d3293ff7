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
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 reports the undefined vectors inside its own functions.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif
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
template <class T>
inline constexpr std::uint8_t stored_flip = stored_offset<T> == 0 ? 0 : 0x80;

[[gnu::always_inline]] inline Lanes load(const void* from) {
    Lanes result;
    __builtin_memcpy(&result, from, sizeof result);
    return result;
}
[[gnu::always_inline]] inline void store(Lanes value, void* to) { __builtin_memcpy(to, &value, sizeof value); }

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
    typedef std::int32_t SignedLanes __attribute__((vector_size(4 * lanes)));
    const auto signed_weights = reinterpret_cast<SignedLanes>(weights);
    return sum + (inputs & 255) * reinterpret_cast<Lanes>((signed_weights << 24) >> 24) +
           (inputs >> 8 & 255) * reinterpret_cast<Lanes>((signed_weights << 16) >> 24) +
           (inputs >> 16 & 255) * reinterpret_cast<Lanes>((signed_weights << 8) >> 24) +
           (inputs >> 24) * reinterpret_cast<Lanes>(signed_weights >> 24);
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

/// What scale_to needs to be fast: no factor of a stage is 1/4 or more.
struct ChannelFactors {
    const std::int32_t* factors;
    bool below_quarter;
};

namespace detail {

/// scale_to of one sum after the other.
template <class Out, Words words>
void store_quad_one_by_one(const Lanes* sums, const std::int32_t* factors, std::uint8_t* to) {
    for (int pixel = 0; pixel < 4; ++pixel)
        for (int lane = 0; lane < lanes; ++lane)
            to[byte_in_quad(words, lane, pixel)] = static_cast<std::uint8_t>(
                static_cast<std::uint8_t>(scale_to<Out>(static_cast<std::int32_t>(sums[pixel][lane]), factors[lane])) ^
                stored_flip<Out>);
}

}  // namespace detail

/// Scales the sums of four neighboring pixels as `scale_to<Out>` does and writes the block's bytes.
template <class Out, Words words>
[[gnu::always_inline]] inline void store_quad(const Lanes (&sums)[4], ChannelFactors channels, std::uint8_t* to) {
#if defined(__AVX2__)
    // The upper word of sum · mantissa · 2⁸ is shifted to one bit more than the result. Saturated to 16 bits it
    // rounds as a product with 2¹⁴ does, in twice as many lanes.
    if (!channels.below_quarter) [[unlikely]]
        return detail::store_quad_one_by_one<Out, words>(sums, channels.factors, to);
    const Lanes factors = load(channels.factors);
    const Lanes mantissas = factors & ~std::uint32_t{0xff};
    const Lanes shifts = (factors & 0xff) - 25;
    // In each group of four lanes: four channels' pixels as a word each, or the other way around.
    constexpr char transposed[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    const __m128i order = _mm_loadu_si128(reinterpret_cast<const __m128i*>(transposed));
#if BANTAM_INT8_LANES == 16
    const auto scale = [&](Lanes sum) __attribute__((always_inline)) {
        const auto value = reinterpret_cast<__m512i>(sum);
        const auto factor = reinterpret_cast<__m512i>(mantissas);
        const __m512i even = _mm512_mul_epi32(value, factor);
        const __m512i odd =
            _mm512_mul_epi32(_mm512_shuffle_epi32(value, _MM_PERM_DDBB), _mm512_shuffle_epi32(factor, _MM_PERM_DDBB));
        return _mm512_srav_epi32(_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB),
                                 reinterpret_cast<__m512i>(shifts));
    };
    const __m512i half = _mm512_set1_epi16(1 << 14);
    const __m512i first = _mm512_mulhrs_epi16(_mm512_packs_epi32(scale(sums[0]), scale(sums[1])), half);
    const __m512i second = _mm512_mulhrs_epi16(_mm512_packs_epi32(scale(sums[2]), scale(sums[3])), half);
    __m512i bytes = std::is_unsigned_v<Out> ? _mm512_packus_epi16(first, second) : _mm512_packs_epi16(first, second);
    if constexpr (words == Words::pixels) bytes = _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(order));
    if constexpr (stored_flip<Out> != 0) bytes = _mm512_xor_si512(bytes, _mm512_set1_epi8(-128));
    _mm512_storeu_si512(to, bytes);
#else
    const auto scale = [&](Lanes sum) __attribute__((always_inline)) {
        const auto value = reinterpret_cast<__m256i>(sum);
        const auto factor = reinterpret_cast<__m256i>(mantissas);
        const __m256i even = _mm256_mul_epi32(value, factor);
        const __m256i odd = _mm256_mul_epi32(_mm256_shuffle_epi32(value, 0xf5), _mm256_shuffle_epi32(factor, 0xf5));
        return _mm256_srav_epi32(_mm256_blend_epi32(_mm256_shuffle_epi32(even, 0xf5), odd, 0xaa),
                                 reinterpret_cast<__m256i>(shifts));
    };
    const __m256i half = _mm256_set1_epi16(1 << 14);
    const __m256i first = _mm256_mulhrs_epi16(_mm256_packs_epi32(scale(sums[0]), scale(sums[1])), half);
    const __m256i second = _mm256_mulhrs_epi16(_mm256_packs_epi32(scale(sums[2]), scale(sums[3])), half);
    __m256i bytes = std::is_unsigned_v<Out> ? _mm256_packus_epi16(first, second) : _mm256_packs_epi16(first, second);
    if constexpr (words == Words::pixels) bytes = _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(order));
    if constexpr (stored_flip<Out> != 0) bytes = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
#endif
#else
    detail::store_quad_one_by_one<Out, words>(sums, channels.factors, to);
#endif
}

}  // namespace bantam::deploy::host
