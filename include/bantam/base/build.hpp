// SPDX-License-Identifier: MIT
// What the bits of floating-point results depend on besides the source code.
#pragma once

#include <bantam/base/version.hpp>

#include <string>

namespace bantam {

/// "bantam 0.1.0, g++ 12.2.0, x86-64 AVX-512 FMA, <backend>": Bantam, compiler and instruction set of this program.
/// Programs of one text may be expected to give the same bits.
inline std::string build_text(const std::string& backend) {
    std::string text = std::string{"bantam "} + version;
#if defined(__clang__)
    text += ", clang " + std::to_string(__clang_major__) + '.' + std::to_string(__clang_minor__) + '.' +
            std::to_string(__clang_patchlevel__);
#elif defined(__GNUC__)
    text += ", g++ " + std::to_string(__GNUC__) + '.' + std::to_string(__GNUC_MINOR__) + '.' +
            std::to_string(__GNUC_PATCHLEVEL__);
#else
    text += ", unknown compiler";
#endif
#if defined(__CUDACC_VER_MAJOR__)
    text += ", nvcc " + std::to_string(__CUDACC_VER_MAJOR__) + '.' + std::to_string(__CUDACC_VER_MINOR__);
#endif
#if !defined(__OPTIMIZE__)
    text += " not optimizing";
#endif
#if defined(__FAST_MATH__)
    text += " with fast-math";
#endif

#if defined(__x86_64__)
    text += ", x86-64";
#elif defined(__aarch64__)
    text += ", aarch64";
#else
    text += ", other processor";
#endif
#if defined(__AVX512F__)
    text += " AVX-512";
#elif defined(__AVX2__)
    text += " AVX2";
#elif defined(__AVX__)
    text += " AVX";
#elif defined(__SSE4_1__)
    text += " SSE4.1";
#endif
#if defined(__ARM_FEATURE_SVE)
    text += " SVE";
#endif
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    text += " FMA";
#endif
    return text + ", " + backend;
}

}  // namespace bantam
