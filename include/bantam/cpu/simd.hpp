// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>

// Tells the compiler to write a short loop out, so that its arrays live in registers. nvcc's front end
// does not know the pragma.
#ifdef __CUDACC__
#define BANTAM_UNROLL(count)
#else
#define BANTAM_PRAGMA(text) _Pragma(#text)
#define BANTAM_UNROLL(count) BANTAM_PRAGMA(GCC unroll count)
#endif

namespace bantam::cpu {

// The compiler's own vector types stay in registers where small fixed-size arrays of a matrix library
// may not, and cost nothing to include.
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

/// The first `count` lanes; the others are zero.
template <class S>
inline Vector<S> load_some(const S* from, std::int64_t count) {
    Vector<S> vector{};
    std::memcpy(&vector, from, static_cast<std::size_t>(count) * sizeof(S));
    return vector;
}

/// The first `count` lanes only.
template <class S>
inline void store_some(S* to, const Vector<S>& vector, std::int64_t count) {
    std::memcpy(to, &vector, static_cast<std::size_t>(count) * sizeof(S));
}

template <class S>
inline Vector<S> broadcast(S scalar) {
    return scalar - Vector<S>{};
}

/// Calls `body(first, load, store)` for each vector of a run of `count` scalars; the last one may be
/// shorter, and the two functions then touch only what belongs to the run.
template <class S, class Body>
inline void for_each_vector(std::int64_t count, Body&& body) {
    std::int64_t first = 0;
    for (; first + lanes<S> <= count; first += lanes<S>)
        body(
            first, [](const S* from) { return load(from); },
            [](S* to, const Vector<S>& vector) { store(to, vector); });
    if (const std::int64_t rest = count - first; rest > 0)
        body(
            first, [rest](const S* from) { return load_some(from, rest); },
            [rest](S* to, const Vector<S>& vector) { store_some(to, vector, rest); });
}

/// The same for a number of scalars known at compile time: the shorter end costs no call.
template <class S, std::int64_t Count, class Body>
inline void for_each_vector(Body&& body) {
    constexpr std::int64_t whole = Count / lanes<S> * lanes<S>;
    constexpr std::int64_t rest = Count - whole;
    for (std::int64_t first = 0; first < whole; first += lanes<S>)
        body(
            first, [](const S* from) { return load(from); },
            [](S* to, const Vector<S>& vector) { store(to, vector); });
    if constexpr (rest > 0)
        body(
            whole, [](const S* from) { return load_some(from, rest); },
            [](S* to, const Vector<S>& vector) { store_some(to, vector, rest); });
}

}  // namespace bantam::cpu
