// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/operation.hpp>

#include <type_traits>

namespace bantam::cuda {

enum class Transposed { no, yes };

/// An operand of a matrix product: a row-major matrix in memory, used as it is or transposed.
template <class S>
struct Operand {
    const S* values;
    Index stride;
    Transposed transposed = Transposed::no;
};

namespace detail {

/// One element of a product, summed in double in order of k.
template <class S, class Result>
struct ProductElement {
    Operand<S> a, b;
    Index n, k;
    Result* c;
    Index c_stride;
    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const Index row = i / n, column = i % n;
        double sum = 0;
        for (Index t = 0; t < k; ++t) {
            const S a_value =
                a.transposed == Transposed::yes ? a.values[t * a.stride + row] : a.values[row * a.stride + t];
            const S b_value =
                b.transposed == Transposed::yes ? b.values[column * b.stride + t] : b.values[t * b.stride + column];
            sum += static_cast<double>(a_value) * static_cast<double>(b_value);
        }
        c[row * c_stride + column] = Result(static_cast<Compute<Result>>(sum));
    }
};

#ifdef __CUDACC__
inline cublasStatus_t gemm(cublasHandle_t blas, cublasOperation_t a_as, cublasOperation_t b_as, int m, int n, int k,
                           const float* alpha, const float* a, int a_stride, const float* b, int b_stride,
                           const float* beta, float* c, int c_stride) {
    return cublasSgemm(blas, a_as, b_as, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride);
}
inline cublasStatus_t gemm(cublasHandle_t blas, cublasOperation_t a_as, cublasOperation_t b_as, int m, int n, int k,
                           const double* alpha, const double* a, int a_stride, const double* b, int b_stride,
                           const double* beta, double* c, int c_stride) {
    return cublasDgemm(blas, a_as, b_as, m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride);
}
/// bf16 operands, float accumulators, result in bf16 or float.
template <class Result>
cublasStatus_t gemm(cublasHandle_t blas, cublasOperation_t a_as, cublasOperation_t b_as, int m, int n, int k,
                    const float* alpha, const Bfloat16* a, int a_stride, const Bfloat16* b, int b_stride,
                    const float* beta, Result* c, int c_stride) {
    constexpr cudaDataType_t result = std::is_same_v<Result, Bfloat16> ? CUDA_R_16BF : CUDA_R_32F;
    return cublasGemmEx(blas, a_as, b_as, m, n, k, alpha, a, CUDA_R_16BF, a_stride, b, CUDA_R_16BF, b_stride, beta, c,
                        result, c_stride, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
}
#endif

}  // namespace detail

/// Scratch scalars that `rounded_weights` uses.
template <class S>
constexpr Index rounded_weights_size(Index weights) {
    return std::is_same_v<S, Compute<S>> ? 0 : weights;
}

/// `count` weights as S: where they are, or a rounded copy in pass.scratch.
template <class S>
const S* rounded_weights(const Pass<S>& pass, Index count, const Compute<S>* weights) {
    if constexpr (std::is_same_v<S, Compute<S>>) {
        return weights;
    } else {
        for_each_index(pass, count, Convert<Compute<S>, S>{weights, pass.scratch});
        return pass.scratch;
    }
}

/// C[M×N] = A[M×K] · B[K×N] with one thread per element: the product where there is no cuBLAS.
template <class S, class Result>
void multiply_by_element(const Pass<S>& pass, Index m, Index n, Index k, const Operand<S>& a, const Operand<S>& b,
                         Result* c, Index c_stride) {
    for_each_index(pass, m * n, detail::ProductElement<S, Result>{a, b, n, k, c, c_stride});
}

/// C[M×N] = A[M×K] · B[K×N], with C as S or Compute<S>; by cuBLAS under nvcc.
template <class S, class Result>
void multiply(const Pass<S>& pass, Index m, Index n, Index k, const Operand<S>& a, const Operand<S>& b, Result* c,
              Index c_stride) {
#ifdef __CUDACC__
    // cuBLAS is column-major: it sees row-major matrices as their transposes, so it computes Cᵀ = Bᵀ · Aᵀ.
    const auto as = [](const Operand<S>& operand) {
        return operand.transposed == Transposed::yes ? CUBLAS_OP_T : CUBLAS_OP_N;
    };
    const Compute<S> alpha{1}, beta{0};
    BANTAM_CUDA_CHECK(detail::gemm(pass.execution->blas(), as(b), as(a), static_cast<int>(n), static_cast<int>(m),
                                   static_cast<int>(k), &alpha, b.values, static_cast<int>(b.stride), a.values,
                                   static_cast<int>(a.stride), &beta, c, static_cast<int>(c_stride)));
#else
    multiply_by_element(pass, m, n, k, a, b, c, c_stride);
#endif
}

}  // namespace bantam::cuda
