// SPDX-License-Identifier: MIT
#pragma once

// Without nvcc the same arithmetic runs on the processor's threads, which is how it is tested where there
// is no GPU: Thrust's device is then OpenMP, or plain C++ where that is off.
#if !defined(__CUDACC__) && !defined(THRUST_DEVICE_SYSTEM)
#ifdef _OPENMP
#define THRUST_DEVICE_SYSTEM 2
#else
#define THRUST_DEVICE_SYSTEM 4
#endif
#endif

#include <bantam/core/error.hpp>
#include <bantam/core/host_device.hpp>

#include <thrust/copy.h>
#include <thrust/device_ptr.h>
#include <thrust/device_vector.h>
#include <thrust/execution_policy.h>
#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>

#include <cstddef>
#include <cstdint>
#include <string>

#ifdef __CUDACC__
#include <cublas_v2.h>
#include <cuda_runtime.h>
#endif

namespace bantam::cuda {

#ifdef __CUDACC__

namespace detail {

inline void check(cudaError_t status, const char* call, const char* file, int line) {
    if (status != cudaSuccess)
        throw Error(std::string(file) + ":" + std::to_string(line) + ": " + call + ": " + cudaGetErrorString(status));
}
inline void check(cublasStatus_t status, const char* call, const char* file, int line) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw Error(std::string(file) + ":" + std::to_string(line) + ": " + call + ": " +
                    cublasGetStatusString(status));
}

}  // namespace detail

/// Throws Error with the call and its place where CUDA or cuBLAS reports a failure.
#define BANTAM_CUDA_CHECK(call) ::bantam::cuda::detail::check((call), #call, __FILE__, __LINE__)

/// The queue that a model's work goes through, and cuBLAS on it, in full float32.
class Execution {
public:
    Execution() {
        BANTAM_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
        BANTAM_CUDA_CHECK(cublasCreate(&blas_));
        BANTAM_CUDA_CHECK(cublasSetStream(blas_, stream_));
    }
    Execution(const Execution&) = delete;
    Execution& operator=(const Execution&) = delete;
    ~Execution() {
        cublasDestroy(blas_);
        cudaStreamDestroy(stream_);
    }

    auto policy() const { return thrust::cuda::par_nosync.on(stream_); }
    cudaStream_t stream() const { return stream_; }
    cublasHandle_t blas() const { return blas_; }
    /// Waits until all that was asked for is done; a failure on the way there is reported here.
    void wait() const { BANTAM_CUDA_CHECK(cudaStreamSynchronize(stream_)); }

private:
    cudaStream_t stream_{};
    cublasHandle_t blas_{};
};

#else

class Execution {
public:
    Execution() = default;
    Execution(const Execution&) = delete;
    Execution& operator=(const Execution&) = delete;
    auto policy() const { return thrust::device; }
    void wait() const {}
};

#endif

/// Calls `functor(i)` for every i below `count`, in no order.
template <class Functor>
void for_each_index(const Execution& execution, std::int64_t count, Functor functor) {
    thrust::for_each_n(execution.policy(), thrust::counting_iterator<std::int64_t>(0), count, functor);
}

/// Memory on the device. What it holds is lost when it grows.
template <class T>
class DeviceBuffer {
public:
    T* data() { return thrust::raw_pointer_cast(values_.data()); }
    const T* data() const { return thrust::raw_pointer_cast(values_.data()); }
    std::int64_t size() const { return static_cast<std::int64_t>(values_.size()); }

    /// Room for `size` values. Throws std::bad_alloc.
    void reserve(std::int64_t size) {
        if (size <= this->size()) return;
        values_.clear();
        values_.shrink_to_fit();
        values_.resize(static_cast<std::size_t>(size));
    }

private:
    thrust::device_vector<T> values_;
};

/// Copies `count` scalars within the device.
template <class T>
void copy_on_device(const Execution& execution, const T* from, std::int64_t count, T* to) {
    if (count == 0) return;
    thrust::copy_n(execution.policy(), thrust::device_pointer_cast(from), count, thrust::device_pointer_cast(to));
}

/// Copies from the host's memory; the source may be changed afterwards.
template <class T>
void copy_to_device([[maybe_unused]] const Execution& execution, const T* from, std::int64_t count, T* to) {
    if (count == 0) return;
#ifdef __CUDACC__
    BANTAM_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyHostToDevice,
                                      execution.stream()));
    execution.wait();
#else
    thrust::copy_n(from, count, to);
#endif
}

/// Copies to the host's memory, and waits for it.
template <class T>
void copy_to_host([[maybe_unused]] const Execution& execution, const T* from, std::int64_t count, T* to) {
    if (count == 0) return;
#ifdef __CUDACC__
    BANTAM_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyDeviceToHost,
                                      execution.stream()));
    execution.wait();
#else
    thrust::copy_n(from, count, to);
#endif
}

}  // namespace bantam::cuda
