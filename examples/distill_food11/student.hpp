// SPDX-License-Identifier: MIT
// The students of distill_food11 without their types, so that the program is compiled once and each student alone.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/core/network.hpp>
#include <bantam/data/batch.hpp>
#include <bantam/train/device.hpp>
#include <bantam/train/losses.hpp>
#include <bantam/train/metrics.hpp>
#include <bantam/train/options.hpp>

#include <cstdio>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace bantam {

class Communicator;
class EvaluationLoader;
class InferenceLoader;
class PictureBytes;
class Progress;
class TrainingLoader;
struct DeviceOptions;
struct EpochReport;
struct TrainingPosition;

}  // namespace bantam

namespace distill_food11 {

using namespace bantam;

/// What is known of a student at compile time.
struct StudentNetwork {
    const char* name;
    const char* accuracy;  ///< the expected validation accuracy and its data set; "-" where none was measured
    Shape input;
    Index classes;
    Index trainable;
    Index non_trainable;
    Index deployed;  ///< the parameters that stay when branches are folded, which the limit is about
    Index multiply_adds;
    Index activation_bytes;
    const char* summary;  ///< the layer table as text
    std::span<const LayerEntry> layers;
    std::span<const NamedTensor> tensors;          ///< their names, shapes and places
    std::span<const NamedTensor> trained_tensors;  ///< the same while it is trained, of a network around it as well
    Index trained_outputs;                         ///< logits per picture while it is trained

    /// Those that are kept.
    Index parameters() const { return trainable + non_trainable; }
    /// Those while it is trained.
    Index trained_parameters() const;
    /// "mobile-98k, 11 classes, 128x128x3, 98155 parameters"
    std::string text() const;
};

using OnEpoch = std::function<void(const EpochReport&, Progress&)>;
using OnStep = std::function<void(const TrainingPosition&)>;

/// Trains one student on one device. Its members are those of Trainer (train/device.hpp); whole data sets are read from
/// loaders.
class StudentTrainer {
public:
    virtual ~StudentTrainer() = default;

    /// `bantam::fit`.
    virtual void fit(const TrainingLoader& training, const EvaluationLoader& validation, const TrainingPosition& start,
                     std::FILE* stream, const OnEpoch& on_epoch, const OnStep& on_step) = 0;
    /// The figures of a data set.
    virtual Metrics evaluate(const EvaluationLoader& data) = 0;
    /// `bantam::infer`.
    virtual void infer(const InferenceLoader& data, const std::function<void(std::span<const float>)>& on_logits) = 0;

    virtual const TrainingOptions& options() const = 0;
    virtual std::string backend() const = 0;
    virtual Index steps() const = 0;
    virtual std::span<const float> parameters() = 0;
    virtual std::span<const float> statistics() = 0;
    virtual void set_weights(std::span<const float> parameters, std::span<const float> statistics) = 0;
    virtual std::vector<TrainerState> state() = 0;
    virtual void restored(Index steps) = 0;
    virtual void set_communicator(Communicator* communicator) = 0;

    /// What a student that is trained for int8 does before its first step: finds the ranges of its maps on training
    /// pictures, with the weights that were set. Others have no ranges.
    virtual std::vector<float> calibrate(const PictureBytes&) { return {}; }
};

/// A trainer that is given its batches one by one, as on the CPU.
class BatchTrainer : public StudentTrainer {
public:
    virtual LossSums step(const Batch& batch, Index steps_per_epoch) = 0;
    virtual LossSums evaluate(const Batch& batch) = 0;
    virtual std::span<const float> infer(std::span<const float> pixels) = 0;

    void fit(const TrainingLoader& training, const EvaluationLoader& validation, const TrainingPosition& start,
             std::FILE* stream, const OnEpoch& on_epoch, const OnStep& on_step) final;
    Metrics evaluate(const EvaluationLoader& data) final;
    void infer(const InferenceLoader& data, const std::function<void(std::span<const float>)>& on_logits) final;
};

/// Creates a trainer with random weights from the options' seed.
using MakeTrainer = std::unique_ptr<StudentTrainer> (*)(const TrainingOptions&, const DeviceOptions&);

/// Such functions for a network. train_on_cpu.hpp, train_on_cpu_int8.hpp and train_on_gpu.hpp define them; each is
/// instantiated in a file of its own.
template <class Net>
std::unique_ptr<StudentTrainer> train_on_cpu(const TrainingOptions&, const DeviceOptions&);
template <class Net>
std::unique_ptr<StudentTrainer> train_on_cpu_int8(const TrainingOptions&, const DeviceOptions&);
template <class Net>
std::unique_ptr<StudentTrainer> train_on_gpu(const TrainingOptions&, const DeviceOptions&);

/// A student that the program knows.
struct StudentEntry {
    StudentNetwork network;
    MakeTrainer on_cpu;       ///< null where the program was built without this student (BANTAM_STUDENTS)
    MakeTrainer on_cpu_int8;  ///< null where it was built without this student for int8 (BANTAM_INT8_STUDENTS)
    MakeTrainer on_gpu;       ///< null where it was built without CUDA
};

/// All students, one per file in examples/students/, the default first. cmake/students.cmake writes its definition.
const std::vector<StudentEntry>& students();

}  // namespace distill_food11
