// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

namespace bantam {

/// Where a network is trained, as in Trainer<Net, Cuda>.
struct Cpu {};
struct Cuda {};
/// As Cuda, with activations stored in bf16; weights, statistics, sums and loss stay in float32.
struct CudaBfloat16 {};

/// A named buffer that the next training step depends on.
struct TrainerState {
    std::string name;
    std::span<float> values;
};

/// Trains a network on a device. cpu/trainer.hpp defines it for Cpu, cuda/training/trainer.hpp for GPUs. A batch
/// has the members of Batch (data/batch.hpp): `count`, `pixels` [count][H][W][C], `labels` [count] (−1: none),
/// `teacher_logits` [count][classes] or empty, `has_teacher` [count]. Every trainer has these members:
///
///   Trainer(options)               starts from random weights that follow from options.seed
///   step(batch, steps_per_epoch)   one optimizer step; returns LossSums
///   evaluate(batch)                LossSums of the weights to keep, without training
///   infer(pixels, count)           their logits [count][classes], valid until the next call
///   parameters(), statistics()     the weights to keep: averaged ones where averaging is on
///   set_weights(parameters, statistics)   starts from given weights
///   state(), restored(steps)       what a checkpoint keeps, and what to call after it was written back
///   options(), steps()             the options, and the optimizer steps taken
///
/// The constructor throws Error naming an option that is out of range. `step` throws Error where the loss or the
/// gradient is not finite, a label or a buffer's size is wrong, or a sample has neither label nor teacher; no
/// parameter has then changed. `evaluate` throws Error for the same faults of a batch. On a GPU every member
/// throws Error where the device fails or its memory does not suffice.
template <class Net, class Device = Cpu>
class Trainer;

}  // namespace bantam
