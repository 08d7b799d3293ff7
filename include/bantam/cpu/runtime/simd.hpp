// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX__) && !defined(__CUDACC__)
#define BANTAM_MASKED_VECTORS
#include <immintrin.h>
#elif defined(__SSE2__) && !defined(__CUDACC__)
#include <emmintrin.h>
#endif

// Unrolls a short loop, so that the arrays it indexes stay in registers. nvcc's front end does not know
// the pragma.
#ifdef __CUDACC__
#define BANTAM_UNROLL(count)
#else
#define BANTAM_PRAGMA(text) _Pragma(#text)
#define BANTAM_UNROLL(count) BANTAM_PRAGMA(GCC unroll count)
#endif

namespace bantam::cpu {

// The vector extensions of the compiler: their values stay in registers, which is not certain for small
// fixed-size arrays of a matrix library.
#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
#else
inline constexpr int vector_bytes = 16;
#endif

/// Scalars in one vector register.
template <class S>
inline constexpr int lanes = vector_bytes / static_cast<int>(sizeof(S));

template <class S>
struct VectorOf {
    typedef S type __attribute__((vector_size(vector_bytes)));
};
template <class S>
using Vector = typename VectorOf<S>::type;

template <class S>
inline Vector<S> load(const S* from) {
    Vector<S> vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
}

template <class S>
inline void store(S* to, const Vector<S>& vector) {
    std::memcpy(to, &vector, sizeof vector);
}

#ifdef BANTAM_MASKED_VECTORS
// Masked instructions: a partial memcpy that is read back as a whole vector stalls on store forwarding.
namespace detail {

/// All bits in the first `count` lanes.
template <class S>
inline auto lane_mask(Index count) {
    using Integer = std::conditional_t<sizeof(S) == 4, std::int32_t, std::int64_t>;
#ifdef __AVX512F__
    static_cast<void>(sizeof(Integer));
    return static_cast<std::conditional_t<sizeof(S) == 4, __mmask16, __mmask8>>((1U << count) - 1U);
#else
    static constexpr Integer ends[] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ends + 8 - count));
#endif
}

}  // namespace detail
#endif

/// Loads the first `count` lanes; the others are zero.
template <class S>
inline Vector<S> load_n(const S* from, Index count) {
#if defined(BANTAM_MASKED_VECTORS) && defined(__AVX512F__)
    if constexpr (std::is_same_v<S, float>)
        return _mm512_maskz_loadu_ps(detail::lane_mask<S>(count), from);
    else
        return _mm512_maskz_loadu_pd(detail::lane_mask<S>(count), from);
#elif defined(BANTAM_MASKED_VECTORS)
    if constexpr (std::is_same_v<S, float>)
        return _mm256_maskload_ps(from, detail::lane_mask<S>(count));
    else
        return _mm256_maskload_pd(from, detail::lane_mask<S>(count));
#else
    Vector<S> vector{};
    std::memcpy(&vector, from, static_cast<std::size_t>(count) * sizeof(S));
    return vector;
#endif
}

/// Stores the first `count` lanes only.
template <class S>
inline void store_n(S* to, const Vector<S>& vector, Index count) {
#if defined(BANTAM_MASKED_VECTORS) && defined(__AVX512F__)
    if constexpr (std::is_same_v<S, float>)
        _mm512_mask_storeu_ps(to, detail::lane_mask<S>(count), vector);
    else
        _mm512_mask_storeu_pd(to, detail::lane_mask<S>(count), vector);
#elif defined(BANTAM_MASKED_VECTORS)
    if constexpr (std::is_same_v<S, float>)
        _mm256_maskstore_ps(to, detail::lane_mask<S>(count), vector);
    else
        _mm256_maskstore_pd(to, detail::lane_mask<S>(count), vector);
#else
    std::memcpy(to, &vector, static_cast<std::size_t>(count) * sizeof(S));
#endif
}

template <class S>
inline Vector<S> broadcast(S scalar) {
    return scalar - Vector<S>{};
}

// Compilers turn `limit > x ? limit : x` into a comparison and a selection; the intrinsic is one instruction and
// returns its second operand where one is NaN. The masked forms avoid a g++ 12 warning about an uninitialized value.

/// The larger one in each lane; NaN where x is.
template <class S>
inline Vector<S> max(const Vector<S>& x, const Vector<S>& limit) {
#if defined(BANTAM_MASKED_VECTORS) && defined(__AVX512F__)
    if constexpr (std::is_same_v<S, float>)
        return _mm512_maskz_max_ps(0xffff, limit, x);
    else
        return _mm512_maskz_max_pd(0xff, limit, x);
#elif defined(BANTAM_MASKED_VECTORS)
    if constexpr (std::is_same_v<S, float>)
        return _mm256_max_ps(limit, x);
    else
        return _mm256_max_pd(limit, x);
#elif defined(__SSE2__) && !defined(__CUDACC__)
    if constexpr (std::is_same_v<S, float>)
        return _mm_max_ps(limit, x);
    else
        return _mm_max_pd(limit, x);
#else
    return limit > x ? limit : x;
#endif
}

/// The smaller one in each lane; NaN where x is.
template <class S>
inline Vector<S> min(const Vector<S>& x, const Vector<S>& limit) {
#if defined(BANTAM_MASKED_VECTORS) && defined(__AVX512F__)
    if constexpr (std::is_same_v<S, float>)
        return _mm512_maskz_min_ps(0xffff, limit, x);
    else
        return _mm512_maskz_min_pd(0xff, limit, x);
#elif defined(BANTAM_MASKED_VECTORS)
    if constexpr (std::is_same_v<S, float>)
        return _mm256_min_ps(limit, x);
    else
        return _mm256_min_pd(limit, x);
#elif defined(__SSE2__) && !defined(__CUDACC__)
    if constexpr (std::is_same_v<S, float>)
        return _mm_min_ps(limit, x);
    else
        return _mm_min_pd(limit, x);
#else
    return limit < x ? limit : x;
#endif
}

/// Calls `body(first, load, store)` for each vector of `count` contiguous scalars. For a shorter vector at
/// the end, `load` and `store` access only the remaining scalars.
template <class S, class Body>
inline void for_each_vector(Index count, Body&& body) {
    Index first = 0;
    for (; first + lanes<S> <= count; first += lanes<S>)
        body(
            first, [](const S* from) { return load(from); }, [](S* to, const Vector<S>& vector) { store(to, vector); });
    if (const Index rest = count - first; rest > 0)
        body(
            first, [rest](const S* from) { return load_n(from, rest); },
            [rest](S* to, const Vector<S>& vector) { store_n(to, vector, rest); });
}

/// The same for a count known at compile time.
template <class S, Index Count, class Body>
inline void for_each_vector(Body&& body) {
    constexpr Index whole = Count / lanes<S> * lanes<S>;
    constexpr Index rest = Count - whole;
    for (Index first = 0; first < whole; first += lanes<S>)
        body(
            first, [](const S* from) { return load(from); }, [](S* to, const Vector<S>& vector) { store(to, vector); });
    if constexpr (rest > 0)
        body(
            whole, [](const S* from) { return load_n(from, rest); },
            [](S* to, const Vector<S>& vector) { std::memcpy(to, &vector, rest * sizeof(S)); });
}

}  // namespace bantam::cpu
