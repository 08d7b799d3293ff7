// SPDX-License-Identifier: MIT
#pragma once

namespace bantam {

/// Where a network is trained, as in Trainer<Net, Cuda>.
struct Cpu {};
struct Cuda {};
/// As Cuda, with activations in bf16 beside weights, statistics, sums and loss in float32.
struct CudaBfloat16 {};

/// Trains a network on a device. It knows batches, not pictures: a batch has `count`, `pixels`
/// [count][H][W][C], `labels` [count] (−1: none), `teacher_logits` [count][classes] and `has_teacher`
/// [count]. It does not know which layers it trains. cpu/trainer.hpp has the CPU's, cuda/training/trainer.hpp the
/// GPU's.
template <class Net, class Device = Cpu>
class Trainer;

}  // namespace bantam
