// SPDX-License-Identifier: MIT
#pragma once

// Without nvcc the same code runs on the processor's threads, which is how it is tested without a GPU: Thrust's
// device is then OpenMP, or plain C++ where OpenMP is off.
#if !defined(__CUDACC__) && !defined(THRUST_DEVICE_SYSTEM)
#ifdef _OPENMP
#define THRUST_DEVICE_SYSTEM 2
#else
#define THRUST_DEVICE_SYSTEM 4
#endif
#endif

#include <bantam/base/chunk.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>

#include <thrust/device_ptr.h>
#include <thrust/device_vector.h>
#include <thrust/execution_policy.h>
#include <thrust/for_each.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/system_error.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef __CUDACC__
#include <cublas_v2.h>
#include <cuda_runtime.h>
#endif

namespace bantam::cuda {

namespace detail {

/// Runs `task`. Rethrows Thrust's exceptions, which carry no source location, as Errors at `where`. std::bad_alloc
/// passes through, since callers handle it.
template <class Task>
void run_at(const std::source_location& where, const Task& task) {
    try {
        task();
    } catch (const thrust::system_error& error) {
        throw Error(std::string(where.file_name()) + ":" + std::to_string(where.line()) + ": Thrust: " + error.what());
    }
}

}  // namespace detail

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

/// Throws Error with the call and its source location if CUDA or cuBLAS reports a failure.
#define BANTAM_CUDA_CHECK(call) ::bantam::cuda::detail::check((call), #call, __FILE__, __LINE__)

namespace detail {

template <class Handle, auto Destroy>
struct HandleDeleter {
    void operator()(Handle handle) const { Destroy(handle); }
};
template <class Handle, auto Destroy>
using UniqueHandle = std::unique_ptr<std::remove_pointer_t<Handle>, HandleDeleter<Handle, Destroy>>;

}  // namespace detail

/// Makes this thread use the GPU of a rank, one of several on its machine: the first rank has the first GPU. Call it
/// before an Execution is made. Throws Error where there are fewer GPUs than ranks.
inline void choose_gpu(Rank on_this_machine) {
    if (on_this_machine.count == 1) return;
    int gpus = 0;
    if (cudaGetDeviceCount(&gpus) != cudaSuccess) gpus = 0;
    static_cast<void>(cudaGetLastError());
    if (gpus < on_this_machine.count)
        throw Error(std::to_string(on_this_machine.count) + " ranks on this machine, where each can use " +
                    std::to_string(gpus) + (gpus == 1 ? " GPU" : " GPUs") +
                    "; start one rank per GPU, all of which see all GPUs");
    BANTAM_CUDA_CHECK(cudaSetDevice(on_this_machine.index));
}

/// A CUDA stream, on which a model runs in order, and a cuBLAS handle for it.
class Execution {
public:
    /// Throws Error if no GPU can be used.
    Execution() {
        int gpus = 0;
        if (const cudaError_t found = cudaGetDeviceCount(&gpus); found != cudaSuccess || gpus == 0)
            throw Error(std::string("no GPU can be used: ") +
                        cudaGetErrorString(found == cudaSuccess ? cudaErrorNoDevice : found) +
                        "; look at nvidia-smi, or work on the CPU");
        cudaStream_t stream{};
        BANTAM_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
        stream_.reset(stream);
        cublasHandle_t blas{};
        BANTAM_CUDA_CHECK(cublasCreate(&blas));
        blas_.reset(blas);
        BANTAM_CUDA_CHECK(cublasSetStream(blas, stream));
        // cuBLAS's default workspace may move, which would break the replay of a recorded product.
        void* workspace{};
        BANTAM_CUDA_CHECK(cudaMalloc(&workspace, workspace_bytes));
        workspace_.reset(workspace);
        BANTAM_CUDA_CHECK(cublasSetWorkspace(blas, workspace, workspace_bytes));
        allow_tf32(false);
    }

    auto policy() const { return thrust::cuda::par_nosync.on(stream()); }
    cudaStream_t stream() const { return stream_.get(); }
    cublasHandle_t blas() const { return blas_.get(); }
    /// Waits until all work is done; failures of that work are reported here.
    void wait() const { BANTAM_CUDA_CHECK(cudaStreamSynchronize(stream())); }

    /// Runs `task`, which launches work; while work is being recorded, CUDA captures it. Throws Error with the caller's
    /// source location if Thrust fails.
    template <class Task>
    void perform(const Task& task, const std::source_location& where = std::source_location::current()) const {
        detail::run_at(where, task);
    }

    /// TensorFloat-32 in matrix products: faster, with 10 bits of mantissa instead of 23. Off by default.
    void allow_tf32(bool allowed) const {
        allows_tf32_ = allowed;
        // Partial sums of bf16 products are added in float32, too.
        BANTAM_CUDA_CHECK(cublasSetMathMode(
            blas(), static_cast<cublasMath_t>((allowed ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH) |
                                              CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION)));
    }

    bool allows_tf32() const { return allows_tf32_; }

    /// "CUDA 13.0 on NVIDIA H100 80GB HBM3".
    std::string name() const {
        int device = 0;
        cudaDeviceProp properties{};
        BANTAM_CUDA_CHECK(cudaGetDevice(&device));
        BANTAM_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
        return "CUDA " + std::to_string(CUDART_VERSION / 1000) + '.' + std::to_string(CUDART_VERSION % 1000 / 10) +
               " on " + properties.name;
    }

private:
    // The largest size that cuBLAS's manual recommends for any GPU.
    static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

    detail::UniqueHandle<void*, cudaFree> workspace_;
    detail::UniqueHandle<cudaStream_t, cudaStreamDestroy> stream_;
    detail::UniqueHandle<cublasHandle_t, cublasDestroy> blas_;
    mutable bool allows_tf32_ = false;
};

/// Work that is recorded once and replayed with one call: a CUDA graph. It records calls with their arguments, so
/// whatever changes between replays must be in the device's memory.
class RecordedWork {
public:
    /// Records what `work()` launches, without running it.
    template <class Work>
    RecordedWork(const Execution& execution, Work&& work) {
        // Other threads may still allocate.
        BANTAM_CUDA_CHECK(cudaStreamBeginCapture(execution.stream(), cudaStreamCaptureModeThreadLocal));
        cudaGraph_t graph{};
        try {
            work();
        } catch (...) {
            // Report the first failure; ending the broken capture gives a second one.
            if (cudaStreamEndCapture(execution.stream(), &graph) == cudaSuccess) cudaGraphDestroy(graph);
            static_cast<void>(cudaGetLastError());
            throw;
        }
        BANTAM_CUDA_CHECK(cudaStreamEndCapture(execution.stream(), &graph));
        const detail::UniqueHandle<cudaGraph_t, cudaGraphDestroy> graph_guard{graph};
        cudaGraphExec_t executable{};
        BANTAM_CUDA_CHECK(cudaGraphInstantiate(&executable, graph, 0));
        executable_.reset(executable);
    }

    void replay(const Execution& execution) const {
        BANTAM_CUDA_CHECK(cudaGraphLaunch(executable_.get(), execution.stream()));
    }

private:
    detail::UniqueHandle<cudaGraphExec_t, cudaGraphExecDestroy> executable_;
};

#else

inline void choose_gpu(Rank) {}

class RecordedWork;

class Execution {
public:
    Execution() = default;
    Execution(const Execution&) = delete;
    Execution& operator=(const Execution&) = delete;
    auto policy() const { return thrust::device; }
    /// As on a GPU, there is no waiting for, and no copying from, work that is being recorded.
    void wait() const {
        if (recording_) throw Error("recorded work cannot be waited for");
    }
    /// Rounds the operands of tensor-core kernels to TensorFloat-32; `multiply` is exact here.
    void allow_tf32(bool allowed) const { allows_tf32_ = allowed; }
    bool allows_tf32() const { return allows_tf32_; }

    std::string name() const { return "CUDA on the processor's threads"; }

    /// Runs `task`, or records it. Throws Error with the caller's source location if Thrust fails.
    void perform(std::function<void()> task,
                 const std::source_location& where = std::source_location::current()) const {
        if (recording_)
            recording_->push_back([task = std::move(task), where] { detail::run_at(where, task); });
        else
            detail::run_at(where, task);
    }

    /// Performs `range(first, end)` on ranges that cover 0 … count − 1. One loop of Thrust serves all kernels, since it
    /// takes longer to compile than most of them.
    void perform_ranges(Index count, std::function<void(Index, Index)> range, const std::source_location& where) const {
        constexpr Index most_ranges = 256;
        const Index step = (count + most_ranges - 1) / most_ranges;
        perform(
            [count, step, range = std::move(range), policy = policy()] {
                thrust::for_each_n(policy, thrust::counting_iterator<Index>(0), (count + step - 1) / step,
                                   [&](Index index) { range(index * step, std::min(count, (index + 1) * step)); });
            },
            where);
    }

private:
    friend RecordedWork;
    mutable std::vector<std::function<void()>>* recording_ = nullptr;
    mutable bool allows_tf32_ = false;
};

/// Work that is recorded once and replayed: like a CUDA graph, a list of calls with their arguments.
class RecordedWork {
public:
    template <class Work>
    RecordedWork(const Execution& execution, Work&& work) {
        execution.recording_ = &tasks_;
        try {
            work();
        } catch (...) {
            execution.recording_ = nullptr;
            throw;
        }
        execution.recording_ = nullptr;
    }
    void replay(const Execution&) const {
        for (const auto& task : tasks_) task();
    }

private:
    std::vector<std::function<void()>> tasks_;
};

#endif

/// Calls `functor(i)` for every i below `count`, in any order.
template <class Functor>
void for_each_index(const Execution& execution, Index count, Functor functor,
                    const std::source_location& where = std::source_location::current()) {
    if (count <= 0) return;
#ifdef __CUDACC__
    const auto task = [count, functor, policy = execution.policy()] {
        thrust::for_each_n(policy, thrust::counting_iterator<Index>(0), count, functor);
    };
    execution.perform(task, where);
#else
    const auto range = [functor](Index first, Index end) {
        for (Index index = first; index < end; ++index) functor(index);
    };
    execution.perform_ranges(count, range, where);
#endif
}

#ifndef __CUDACC__
namespace detail {

/// Zero-initialized memory. calloc's pages cost nothing until they are touched, and a pass uses little of its memory in
/// most tests.
template <class T>
class HostMemory {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

public:
    T* data() { return values_.get(); }
    const T* data() const { return values_.get(); }
    std::size_t size() const { return size_; }
    void clear() {
        values_.reset();
        size_ = 0;
    }
    void shrink_to_fit() {}
    void resize(std::size_t size) {
        values_.reset(static_cast<T*>(std::calloc(size, sizeof(T))));
        if (!values_) throw std::bad_alloc{};
        size_ = size;
    }

private:
    struct Free {
        void operator()(T* values) const { std::free(values); }
    };
    std::unique_ptr<T[], Free> values_;
    std::size_t size_ = 0;
};

}  // namespace detail
#endif

/// Memory on the device. Growing it discards its contents.
template <class T>
class DeviceBuffer {
public:
    T* data() { return thrust::raw_pointer_cast(values_.data()); }
    const T* data() const { return thrust::raw_pointer_cast(values_.data()); }
    Index size() const { return static_cast<Index>(values_.size()); }

    /// Reserves memory for at least `size` values; returns true if the memory moved. Throws std::bad_alloc if there is
    /// not enough.
    bool reserve(Index size, const std::source_location& where = std::source_location::current()) {
        if (size <= this->size()) return false;
        detail::run_at(where, [&] {
            values_.clear();
            values_.shrink_to_fit();
            values_.resize(static_cast<std::size_t>(size));
        });
        return true;
    }

private:
#ifdef __CUDACC__
    thrust::device_vector<T> values_;
#else
    detail::HostMemory<T> values_;
#endif
};

/// Copies `count` values within the device.
template <class T>
void copy_on_device(const Execution& execution, const T* from, Index count, T* to) {
    if (count == 0) return;
#ifdef __CUDACC__
    BANTAM_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyDeviceToDevice,
                                      execution.stream()));
#else
    execution.perform([=] { std::copy_n(from, count, to); });
#endif
}

/// Copies from host memory and waits: the source may be changed afterwards.
template <class T>
void copy_to_device(const Execution& execution, const T* from, Index count, T* to) {
    if (count == 0) return;
#ifdef __CUDACC__
    BANTAM_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyHostToDevice,
                                      execution.stream()));
#else
    std::copy_n(from, count, to);
#endif
    execution.wait();
}

/// Copies to host memory and waits.
template <class T>
void copy_to_host(const Execution& execution, const T* from, Index count, T* to) {
    if (count == 0) return;
#ifdef __CUDACC__
    BANTAM_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(count) * sizeof(T), cudaMemcpyDeviceToHost,
                                      execution.stream()));
#else
    std::copy_n(from, count, to);
#endif
    execution.wait();
}

}  // namespace bantam::cuda
