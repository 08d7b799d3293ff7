// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/operation.hpp>

#include <type_traits>

namespace bantam::cuda {

enum class Transposed { no, yes };

/// A row-major matrix in memory, read as it lies or transposed.
template <class S>
struct Factor {
    const S* values;
    Index stride;
    Transposed transposed = Transposed::no;
};

namespace detail {

/// One element of a product, summed in double in order: what the library's products are held against.
template <class S, class Result>
struct ProductElement {
    Factor<S> a, b;
    Index n, k;
    Result* c;
    Index c_stride;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const Index row = i / n, column = i % n;
        double sum = 0;
        for (Index t = 0; t < k; ++t) {
            const S left =
                a.transposed == Transposed::yes ? a.values[t * a.stride + row] : a.values[row * a.stride + t];
            const S right =
                b.transposed == Transposed::yes ? b.values[column * b.stride + t] : b.values[t * b.stride + column];
            sum += static_cast<double>(left) * static_cast<double>(right);
        }
        c[row * c_stride + column] = Result(static_cast<Compute<Result>>(sum));
    }
};

#ifdef __CUDACC__
inline cublasStatus_t gemm(cublasHandle_t blas, cublasOperation_t a_as, cublasOperation_t b_as, int m, int n, int k,
                           const float* one, const float* a, int a_stride, const float* b, int b_stride,
                           const float* keep, float* c, int c_stride) {
    return cublasSgemm(blas, a_as, b_as, m, n, k, one, a, a_stride, b, b_stride, keep, c, c_stride);
}
inline cublasStatus_t gemm(cublasHandle_t blas, cublasOperation_t a_as, cublasOperation_t b_as, int m, int n, int k,
                           const double* one, const double* a, int a_stride, const double* b, int b_stride,
                           const double* keep, double* c, int c_stride) {
    return cublasDgemm(blas, a_as, b_as, m, n, k, one, a, a_stride, b, b_stride, keep, c, c_stride);
}
/// Factors in bf16, summed in float, into either.
template <class Result>
cublasStatus_t gemm(cublasHandle_t blas, cublasOperation_t a_as, cublasOperation_t b_as, int m, int n, int k,
                    const float* one, const Bfloat16* a, int a_stride, const Bfloat16* b, int b_stride,
                    const float* keep, Result* c, int c_stride) {
    constexpr cudaDataType_t result = std::is_same_v<Result, Bfloat16> ? CUDA_R_16BF : CUDA_R_32F;
    return cublasGemmEx(blas, a_as, b_as, m, n, k, one, a, CUDA_R_16BF, a_stride, b, CUDA_R_16BF, b_stride, keep, c,
                        result, c_stride, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
#endif

}  // namespace detail

/// Scratch that `as_factor` needs for so many weights.
template <class S>
constexpr Index factor_scratch(Index weights) {
    return std::is_same_v<S, Compute<S>> ? 0 : weights;
}

/// `count` weights as a product takes them: as they are, or rounded to `S` in `pass.scratch`.
template <class S>
const S* as_factor(const Pass<S>& pass, Index count, const Compute<S>* weights) {
    if constexpr (std::is_same_v<S, Compute<S>>) {
        return weights;
    } else {
        for_each_index(pass, count, Convert<Compute<S>, S>{weights, pass.scratch});
        return pass.scratch;
    }
}

/// The product made element by element, on every device.
template <class S, class Result>
void multiply_by_element(const Pass<S>& pass, Index m, Index n, Index k, const Factor<S>& a, const Factor<S>& b,
                         Result* c, Index c_stride) {
    for_each_index(pass, m * n, detail::ProductElement<S, Result>{a, b, n, k, c, c_stride});
}

/// C[M×N] = A[M×K] · B[K×N], where C holds S or Compute<S>; cuBLAS where there is one.
template <class S, class Result>
void multiply(const Pass<S>& pass, Index m, Index n, Index k, const Factor<S>& a, const Factor<S>& b, Result* c,
              Index c_stride) {
#ifdef __CUDACC__
    // cuBLAS counts by columns: to it our row-major matrices are their transposes, and Cᵀ = Bᵀ · Aᵀ.
    const auto as = [](const Factor<S>& factor) {
        return factor.transposed == Transposed::yes ? CUBLAS_OP_T : CUBLAS_OP_N;
    };
    const Compute<S> one{1}, keep{0};
    BANTAM_CUDA_CHECK(detail::gemm(pass.execution->blas(), as(b), as(a), static_cast<int>(n), static_cast<int>(m),
                                   static_cast<int>(k), &one, b.values, static_cast<int>(b.stride), a.values,
                                   static_cast<int>(a.stride), &keep, c, static_cast<int>(c_stride)));
#else
    multiply_by_element(pass, m, n, k, a, b, c, c_stride);
#endif
}

}  // namespace bantam::cuda
