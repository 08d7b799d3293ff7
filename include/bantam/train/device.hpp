// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/core/diagnostics.hpp>
#include <bantam/core/layer_mistakes.hpp>
#include <bantam/core/network.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/options.hpp>

#include <span>
#include <string>
#include <type_traits>

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
/// `teacher_logits` [count][classes] or empty, `has_teacher` [count], perhaps `mixed` [count], and for a TargetLoss
/// `targets` [count][outputs].
/// Every trainer has these members:
///
///   Trainer(options, loss)         starts from random weights that follow from options.seed
///   step(batch, steps_per_epoch)   one optimizer step; returns LossSums
///   evaluate(batch)                LossSums of the weights to keep, without training
///   evaluate(batch, on_logits)     the same; calls on_logits(span) with the batch's logits
///   infer(pixels)                  their logits [count][classes], valid until the next call
///   parameters(), statistics()     the weights to keep: averaged ones where averaging is on
///   set_weights(parameters, statistics)   starts from given weights
///   state(), restored(steps)       what a checkpoint keeps, and what to call after it was written back
///   options(), steps()             the options, and the optimizer steps taken
///   backend()                      what computes, as text for build_text (base/build.hpp)
///   image, classes                 the network's input, and the number of its outputs
///
/// The constructor throws Error naming an option that is out of range. `step` throws Error where the loss, the
/// gradient or a running mean or variance is not finite, a label or a buffer's size is wrong, or a sample has no target
/// that the loss reads; nothing has then changed. `evaluate`, `infer` and `set_weights` throw Error for the same faults
/// of their arguments. On a GPU every member throws Error where the device fails or its memory does not suffice.
template <class Net, class Device = Cpu, class Loss = CrossEntropy>
class Trainer;

namespace detail {

template <class Device>
struct NoTrainer {
    static constexpr Sentence sentence = [] {
        Sentence text;
        if constexpr (std::is_same_v<Device, Cpu>)
            return text.append("Trainer<Net, Cpu> is in bantam/cpu/trainer.hpp: include it");
        else if constexpr (std::is_same_v<Device, Cuda> || std::is_same_v<Device, CudaBfloat16>)
            return text.append(
                "a Trainer on a GPU is in bantam/cuda/training/trainer.hpp: include it and compile with nvcc "
                "(docs/gpu.md)");
        else
            return text.append("the second argument of Trainer is Cpu, Cuda or CudaBfloat16");
    }();
    using Facts = compile_error<std::type_identity<Device>{}>;
};

/// What every trainer requires of its network and loss.
template <class Net, class Loss>
struct Trainable {
    static_assert(sizeof(Net) > 0);  // reports the mistakes of the network itself first
    // Variables: the compilers would list how a concept was checked.
    static constexpr bool usable_loss = TrainingLoss<Loss>;
    static constexpr bool one_output_per_class =
        TargetLoss<Loss> || pixel_count(output_shape<Net>) == 1 || std::is_same_v<typename Net::Layers, RefusedLayers>;
    static_assert(usable_loss,
                  "a loss has value(outputs, output, target) and gradient(outputs, output, target, gradient), with a "
                  "`const float* target` or an `Index label` as target: see TargetLoss and LabelLoss");
    static_assert(one_output_per_class,
                  "a classifier has one output per class: end the network with GlobalAveragePool (or Flatten) and "
                  "Linear<classes>");
};

}  // namespace detail

/// A device whose trainer was not included.
template <class Net, class Device, class Loss>
class Trainer : detail::Refusal<detail::NoTrainer<Device>> {
public:
    explicit Trainer(const TrainingOptions&) {}
};

}  // namespace bantam
