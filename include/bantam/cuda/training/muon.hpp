// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/host_device.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/runtime/execution.hpp>
#include <bantam/cuda/runtime/thread_block.hpp>
#include <bantam/cuda/training/step_state.hpp>
#include <bantam/train/averaging.hpp>
#include <bantam/train/optimizers/muon.hpp>
#include <bantam/train/optimizers/orthogonalize.hpp>
#include <bantam/train/optimizers/parameter_range.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace bantam::cuda {

namespace detail {

/// A matrix and its places in the buffers of MuonMatrices. X, with at least as many rows as columns, is the matrix or,
/// where that is wide, its transpose.
struct MuonMatrix {
    ParameterMatrix parameters;
    Index rows, columns;  // of X
    Index x_begin;        // its first element of all X
    Index gram_begin;     // that of all XᵀX [columns][columns]

    /// Where element `i` of the matrix lies in X.
    BANTAM_HOST_DEVICE Index in_x(Index i) const {
        const Index row = i / parameters.columns, column = i % parameters.columns;
        return parameters.columns > parameters.rows ? column * columns + row : i;
    }
};

/// Updates the momentum of one element of a matrix, where the step is taken, and writes what is to be orthogonalized.
template <class S>
struct MuonDirection {
    const StepState<S>* state;
    const MuonMatrix* matrices;
    const std::int32_t* matrix_of_x;
    const S* gradient;
    S *momentum, *x;

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (!(state->figures.scale > 0)) return;
        const MuonMatrix& matrix = matrices[matrix_of_x[i]];
        const Index element = i - matrix.x_begin, parameter = matrix.parameters.begin + element;
        const S scaled = static_cast<S>(state->figures.scale) * gradient[parameter];
        x[matrix.x_begin + matrix.in_x(element)] = state->settings.muon.direction(scaled, momentum[parameter]);
    }
};

/// Divides one X per thread block by its Euclidean norm.
template <class S>
struct NormalizeMatrix {
    static constexpr int threads = 256;
    struct Shared {
        double sums[threads];
        S factor;
    };

    const MuonMatrix* matrices;
    S* x;

    template <class Block>
    BANTAM_HOST_DEVICE void operator()(const Block& block, Shared& shared) const {
        const MuonMatrix& matrix = matrices[block.index()];
        S* const values = x + matrix.x_begin;
        const Index size = matrix.rows * matrix.columns;
        block.for_each_thread([&](int thread) {
            double sum = 0;
            for (Index i = thread; i < size; i += threads)
                sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
            shared.sums[thread] = sum;
        });
        block.for_each_thread([&](int thread) {
            if (thread != 0) return;
            double sum = 0;
            for (int i = 0; i < threads; ++i) sum += shared.sums[i];
            shared.factor = static_cast<S>(1 / (std::sqrt(sum) + NewtonSchulz::epsilon));
        });
        block.for_each_thread([&](int thread) {
            for (Index i = thread; i < size; i += threads) values[i] *= shared.factor;
        });
    }
};

/// Element (row, column) of AᵀA for a matrix A [rows][columns].
template <class S>
BANTAM_HOST_DEVICE S gram_element(const S* a, Index rows, Index columns, Index row, Index column) {
    S sum = 0;
    for (Index k = 0; k < rows; ++k) sum += a[k * columns + row] * a[k * columns + column];
    return sum;
}

/// One element of G = XᵀX.
template <class S>
struct MatrixGram {
    const MuonMatrix* matrices;
    const std::int32_t* matrix_of_gram;
    const S* x;
    S* gram;

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const MuonMatrix& matrix = matrices[matrix_of_gram[i]];
        const Index element = i - matrix.gram_begin, row = element / matrix.columns, column = element % matrix.columns;
        gram[i] = gram_element(x + matrix.x_begin, matrix.rows, matrix.columns, row, column);
    }
};

/// One element of b·G + c·G², which is b·G + c·GᵀG.
template <class S>
struct MatrixPolynomial {
    const MuonMatrix* matrices;
    const std::int32_t* matrix_of_gram;
    const S* gram;
    S* polynomial;

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const MuonMatrix& matrix = matrices[matrix_of_gram[i]];
        const Index element = i - matrix.gram_begin, row = element / matrix.columns, column = element % matrix.columns;
        const S square = gram_element(gram + matrix.gram_begin, matrix.columns, matrix.columns, row, column);
        polynomial[i] = static_cast<S>(NewtonSchulz::b) * gram[i] + static_cast<S>(NewtonSchulz::c) * square;
    }
};

/// One element of a·X + X·polynomial.
template <class S>
struct MatrixUpdate {
    const MuonMatrix* matrices;
    const std::int32_t* matrix_of_x;
    const S *x, *polynomial;
    S* next;

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        const MuonMatrix& matrix = matrices[matrix_of_x[i]];
        const Index element = i - matrix.x_begin, row = element / matrix.columns, column = element % matrix.columns;
        const S* const values = x + matrix.x_begin + row * matrix.columns;
        const S* const factors = polynomial + matrix.gram_begin + column;
        S sum = 0;
        for (Index k = 0; k < matrix.columns; ++k) sum += values[k] * factors[k * matrix.columns];
        next[i] = static_cast<S>(NewtonSchulz::a) * x[i] + sum;
    }
};

/// The step of one element of a matrix, and its average, where the step is taken.
template <class S>
struct MuonStep {
    const StepState<S>* state;
    const MuonMatrix* matrices;
    const std::int32_t* matrix_of_x;
    const S* x;
    S *parameters, *average;  // average may be null

    BANTAM_HOST_DEVICE void operator()(Index i) const {
        if (!(state->figures.scale > 0)) return;
        const StepSettings<S>& settings = state->settings;
        const MuonMatrix& matrix = matrices[matrix_of_x[i]];
        const Index element = i - matrix.x_begin, parameter = matrix.parameters.begin + element;
        const S value = settings.muon(x[matrix.x_begin + matrix.in_x(element)], parameters[parameter],
                                      settings.muon.length(matrix.rows));
        parameters[parameter] = value;
        if (average) average[parameter] = averaged(average[parameter], value, settings.new_weight);
    }
};

}  // namespace detail

/// The matrices of a network that Muon steps, all in the same kernels, since each of them is small.
template <class S>
class MuonMatrices {
public:
    MuonMatrices() = default;
    MuonMatrices(const Execution& execution, std::span<const ParameterMatrix> matrices) {
        std::vector<detail::MuonMatrix> all;
        std::vector<std::int32_t> matrix_of_x, matrix_of_gram;
        for (const ParameterMatrix& matrix : matrices) {
            const Index rows = std::max(matrix.rows, matrix.columns), columns = std::min(matrix.rows, matrix.columns);
            const auto index = static_cast<std::int32_t>(all.size());
            all.push_back({matrix, rows, columns, std::ssize(matrix_of_x), std::ssize(matrix_of_gram)});
            matrix_of_x.insert(matrix_of_x.end(), static_cast<std::size_t>(rows * columns), index);
            matrix_of_gram.insert(matrix_of_gram.end(), static_cast<std::size_t>(columns * columns), index);
        }
        count_ = std::ssize(all);
        x_size_ = std::ssize(matrix_of_x);
        gram_size_ = std::ssize(matrix_of_gram);
        const auto store = [&](const auto& from, auto& buffer) {
            buffer.reserve(std::ssize(from));
            copy_to_device(execution, from.data(), std::ssize(from), buffer.data());
        };
        store(all, matrices_);
        store(matrix_of_x, matrix_of_x_);
        store(matrix_of_gram, matrix_of_gram_);
        for (DeviceBuffer<S>* buffer : {&x_, &next_}) buffer->reserve(x_size_);
        for (DeviceBuffer<S>* buffer : {&gram_, &polynomial_}) buffer->reserve(gram_size_);
    }

    /// One step of all matrices by `state->settings.muon`, where the step is taken. The pointers are to the buffers of
    /// all parameters; `average` may be null.
    void step(const Execution& execution, const StepState<S>* state, const S* gradient, S* momentum, S* parameters,
              S* average) {
        const detail::MuonMatrix* const all = matrices_.data();
        const std::int32_t *const of_x = matrix_of_x_.data(), *const of_gram = matrix_of_gram_.data();
        S *x = x_.data(), *next = next_.data();
        for_each_index(execution, x_size_, detail::MuonDirection<S>{state, all, of_x, gradient, momentum, x});
        run_blocks(execution, count_, detail::NormalizeMatrix<S>{all, x});
        for (int i = 0; i < NewtonSchulz::steps; ++i) {
            for_each_index(execution, gram_size_, detail::MatrixGram<S>{all, of_gram, x, gram_.data()});
            for_each_index(execution, gram_size_,
                           detail::MatrixPolynomial<S>{all, of_gram, gram_.data(), polynomial_.data()});
            for_each_index(execution, x_size_, detail::MatrixUpdate<S>{all, of_x, x, polynomial_.data(), next});
            std::swap(x, next);
        }
        for_each_index(execution, x_size_, detail::MuonStep<S>{state, all, of_x, x, parameters, average});
    }

private:
    Index count_ = 0, x_size_ = 0, gram_size_ = 0;
    DeviceBuffer<detail::MuonMatrix> matrices_;
    DeviceBuffer<std::int32_t> matrix_of_x_, matrix_of_gram_;
    DeviceBuffer<S> x_, next_, gram_, polynomial_;
};

}  // namespace bantam::cuda
