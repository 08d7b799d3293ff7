// SPDX-License-Identifier: MIT
// Pictures on the device are cut as on the CPU, and an epoch of them trains as the same batches do when each is
// passed to step().
#define BOOST_TEST_MODULE cuda_picture_data
#include <boost/test/unit_test.hpp>

#include <bantam/base/communicator.hpp>
#include <bantam/base/index.hpp>
#include <bantam/cuda/data/picture_data.hpp>
#include <bantam/cuda/runtime/staged_communicator.hpp>
#include <bantam/cuda/training/trainer.hpp>
#include <bantam/train/fit.hpp>
#ifdef BANTAM_HAS_NCCL
#include <bantam/cuda/runtime/nccl_communicator.hpp>
#endif

#include "cpu/compare_models.hpp"
#include "data/loaded_pictures.hpp"
#include "train/synthetic_pictures.hpp"
#include "train/thread_communicator.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace bantam_test;
using bantam::Batch;
using bantam::EvaluationLoader;
using bantam::Index;
using bantam::InferenceLoader;
using bantam::LossSums;
using bantam::TrainingLoader;
using bantam::TrainingOptions;
using bantam::cuda::BatchMemory;
using bantam::cuda::DeviceBuffer;
using bantam::cuda::EvaluationData;
using bantam::cuda::Execution;
using bantam::cuda::TrainingData;

namespace {

using OnDevice = bantam::Trainer<TinyNet, bantam::Cuda>;

/// Labeled pictures with and without a teacher, unlabeled ones with a teacher.
struct Sets {
    LoadedPictures taught{9, 7};
    LoadedPictures alone{6, 0};

    Sets() {
        for (auto* labels : {&taught.labeled.labels, &alone.labeled.labels})
            for (int& label : *labels) label %= 3;
    }
    TrainingLoader training(Index batch_size) const {
        TrainingLoader loader{{.input = bantam::input_shape<TinyNet>, .batch_size = batch_size, .seed = 4}};
        loader.add(taught.labeled, {&taught.teacher, 0});
        loader.add(taught.unlabeled, {&taught.teacher, 9});
        loader.add(alone.labeled);
        return loader;
    }
    EvaluationLoader validation() const {
        return {taught.labeled, bantam::input_shape<TinyNet>, 4, {}, {&taught.teacher, 0}};
    }
};

template <class T>
std::vector<T> fetched(const Execution& execution, const DeviceBuffer<T>& buffer, std::size_t count) {
    std::vector<T> values(count);
    bantam::cuda::copy_to_host(execution, buffer.data(), static_cast<Index>(count), values.data());
    return values;
}

/// The batch on the device equals the loader's, to the last bits of a color.
void same_batch(const Execution& execution, const BatchMemory& found, const Batch& expected) {
    BOOST_TEST(largest_difference(fetched(execution, found.pixels, expected.pixels.size()), expected.pixels) <= 1e-6);
    BOOST_TEST(fetched(execution, found.labels, expected.labels.size()) == expected.labels);
    BOOST_TEST(fetched(execution, found.teacher_logits, expected.teacher_logits.size()) == expected.teacher_logits);
    BOOST_TEST(fetched(execution, found.has_teacher, expected.has_teacher.size()) == expected.has_teacher);
    BOOST_TEST(fetched(execution, found.mixed, expected.mixed.size()) == expected.mixed);
}

BatchMemory room(Index count) {
    BatchMemory batch;
    batch.reserve(count, count, element_count(bantam::input_shape<TinyNet>), 3);
    return batch;
}

template <class Trainer, class Data>
LossSums epochs(Trainer& trainer, const Data& data, Index first, Index end) {
    LossSums last;
    for (Index epoch = first; epoch < end; ++epoch)
        last = bantam::detail::train_epoch(
            trainer, data, epoch, [](Index, Index, const LossSums&) {}, [](const bantam::TrainingPosition&) {});
    return last;
}

/// Checks that `ranks` threads, of which `join(communicator)` is each one's DeviceCommunicator, train and evaluate with
/// the bits of one process.
template <class Join>
void ranks_have_the_bits_of_one_process(int ranks, const TrainingOptions& options, const Join& join) {
    const Sets sets;
    const TrainingLoader loader = sets.training(5);
    const EvaluationLoader validation = sets.validation();
    const auto train = [&](OnDevice& trainer) {
        const auto training = on_device(trainer, loader);
        const auto validating = on_device(trainer, validation);
        const double loss = epochs(trainer, training, 0, 3).loss;
        return std::pair{loss, evaluate(trainer, validating).loss};
    };
    OnDevice one{options};
    const auto expected = train(one);
    const auto state = bits_of(one);
    std::vector<int> same(static_cast<std::size_t>(ranks));
    run_ranks(ranks, [&](ThreadCommunicator& communicator) {
#ifdef _OPENMP
        omp_set_num_threads(1);  // of this rank
#endif
        const auto joined = join(communicator);
        OnDevice trainer{options};
        trainer.set_communicator(joined.get());
        const bool agrees = train(trainer) == expected && bits_of(trainer) == state;
        same[static_cast<std::size_t>(communicator.rank().index)] = agrees;
    });
    BOOST_TEST(same == std::vector<int>(same.size(), 1), boost::test_tools::per_element());
}

void batches_of_an_epoch_equal_those_of_the_loader(const TrainingLoader& loader) {
    const Execution execution;
    const TrainingData data{execution, loader};
    BatchMemory batch = room(loader.largest_batch());
    DeviceBuffer<Index> first;
    first.reserve(1);
    BOOST_TEST(data.batch_count() == loader.batch_count());
    BOOST_TEST(data.largest_batch() == loader.largest_batch());
    for (const Index epoch : {0, 1, 2}) {
        data.begin_epoch(execution, epoch);
        const auto order = loader.epoch_order(epoch);
        for (Index index = 0; index < loader.batch_count(); ++index) {
            Batch expected;
            loader.assemble(epoch, order, index, expected);
            const auto range = data.batch_range(index);
            BOOST_REQUIRE(range.count() == expected.count);
            bantam::cuda::copy_to_device(execution, &range.begin, 1, first.data());
            data.fill(execution, first.data(), range.count(), batch);
            same_batch(execution, batch, expected);
        }
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(batches_equal_those_of_the_loader) {
    const Sets sets;
    batches_of_an_epoch_equal_those_of_the_loader(sets.training(5));
}

BOOST_AUTO_TEST_CASE(batches_of_halves_colors_and_mixes_equal_those_of_the_loader) {
    Sets sets;
    mix_last_view(sets.taught.teacher);
    const TrainingLoader loader = sets.training(5);
    Index mixed = 0;
    for (Index sample = 0; sample < loader.sample_count(); ++sample) mixed += loader.plan(0, sample).mixed();
    BOOST_TEST(mixed > 0);
    batches_of_an_epoch_equal_those_of_the_loader(loader);
}

BOOST_AUTO_TEST_CASE(whole_pictures_equal_those_of_the_loader) {
    const Sets sets;
    const Execution execution;
    const EvaluationLoader without_labels{sets.taught.unlabeled, bantam::input_shape<TinyNet>, 3};
    for (const EvaluationLoader& loader : {sets.validation(), without_labels}) {
        const EvaluationData data{execution, loader};
        BatchMemory batch = room(data.largest_batch());
        for (Index index = 0; index < loader.batch_count(); ++index) {
            Batch expected;
            loader.assemble(index, expected);
            data.fill(execution, data.batch_range(index), batch);
            same_batch(execution, batch, expected);
        }
    }
}

BOOST_AUTO_TEST_CASE(an_epoch_on_the_device_equals_that_of_the_cpu) {
    const Sets sets;
    const TrainingLoader loader = sets.training(5);
    const EvaluationLoader validation = sets.validation();
    for (const TrainingOptions& options : every_kind()) {
        bantam::Trainer<TinyNet> cpu{options};
        OnDevice device{options};
        const TrainingData data{device.execution(), loader};
        const EvaluationData validating{device.execution(), validation};
        for (const Index epoch : {0, 1, 2}) {
            const LossSums expected = epochs(cpu, loader, epoch, epoch + 1);
            const LossSums found = epochs(device, data, epoch, epoch + 1);
            BOOST_TEST(found.loss == expected.loss, boost::test_tools::tolerance(1e-4));
            BOOST_TEST(found.distillation == expected.distillation, boost::test_tools::tolerance(1e-4));
            BOOST_TEST(found.count == expected.count);
            BOOST_TEST(found.labeled == expected.labeled);
            BOOST_TEST(found.with_teacher == expected.with_teacher);
            // Between epochs, so that memory moves while steps are recorded.
            BOOST_TEST(evaluate(device, validating).loss.value() == evaluate(cpu, validation).loss.value(),
                       boost::test_tools::tolerance(1e-3));
        }
        BOOST_TEST(device.steps() == cpu.steps());
        const auto expected = bits_of(cpu), found = bits_of(device);
        BOOST_REQUIRE(expected.size() == found.size());
        for (std::size_t i = 0; i < expected.size(); ++i) BOOST_TEST(largest_difference(found[i], expected[i]) <= 1e-3);
    }
}

BOOST_AUTO_TEST_CASE(a_recorded_step_has_the_bits_of_an_unrecorded_one) {
    const Sets sets;
    const TrainingLoader loader = sets.training(100);
    BOOST_REQUIRE(loader.batch_count() == 1);
    for (const TrainingOptions& options : every_kind()) {
        OnDevice recorded{options}, unrecorded{options};
        const TrainingData data{recorded.execution(), loader};
        epochs(recorded, data, 0, 5);
        // The first step on a data set is never recorded.
        for (Index epoch = 0; epoch < 5; ++epoch)
            epochs(unrecorded, TrainingData{unrecorded.execution(), loader}, epoch, epoch + 1);
        BOOST_TEST((bits_of(recorded) == bits_of(unrecorded)));
    }
}

BOOST_AUTO_TEST_CASE(ranks_have_the_bits_of_one_process_through_the_host) {
    for (const int ranks : {2, 3})
        ranks_have_the_bits_of_one_process(ranks, tiny_options(), [](ThreadCommunicator& communicator) {
            return std::make_unique<bantam::cuda::StagedCommunicator>(communicator);
        });
}

#ifdef BANTAM_HAS_NCCL
BOOST_AUTO_TEST_CASE(ranks_have_the_bits_of_one_process_by_nccl) {
    int gpus = 0;
    BANTAM_CUDA_CHECK(cudaGetDeviceCount(&gpus));
    if (std::getenv("BANTAM_TEST_SMALL")) return;  // compute-sanitizer would check NCCL's kernels
    std::printf("NCCL: tested with up to %d ranks, one per GPU\n", std::min(gpus, 4));
    for (int ranks = 1; ranks <= std::min(gpus, 4); ++ranks)
        for (const TrainingOptions& options : every_kind())
            ranks_have_the_bits_of_one_process(ranks, options, [](ThreadCommunicator& communicator) {
                bantam::cuda::choose_gpu(communicator.rank());
                return std::make_unique<bantam::cuda::NcclCommunicator>(communicator);
            });
}
#endif

BOOST_AUTO_TEST_CASE(a_step_that_is_not_finite_ends_the_epoch_with_the_weights_before_it) {
    Sets sets;
    TrainingLoader loader = sets.training(5);
    // The infinite logits are put where the fourth step of the first epoch reads them.
    const auto range = loader.batch_range(3);
    const auto order = loader.epoch_order(0);
    Index broken = -1;
    for (Index slot = range.begin; slot < range.end && broken < 0; ++slot)
        broken = loader.plan(0, order[static_cast<std::size_t>(slot)]).teacher_view;
    BOOST_REQUIRE(broken >= 0);
    OnDevice device{tiny_options()}, good{tiny_options()};
    epochs(good, TrainingData{good.execution(), loader}, 0, 1);
    const auto finite = sets.taught.teacher.logits.floats();
    std::vector<float> logits{finite.begin(), finite.end()};
    logits[static_cast<std::size_t>(3 * broken)] = std::numeric_limits<float>::infinity();
    sets.taught.teacher.logits = std::move(logits);

    const TrainingData data{device.execution(), loader};
    BOOST_CHECK_EXCEPTION(epochs(device, data, 0, 1), bantam::Error, [](const bantam::Error& error) {
        return std::string{error.what()}.starts_with("step 4 of epoch 1 gave a loss or gradient that is not finite");
    });
    BOOST_TEST(device.steps() == 3);

    // The same three steps, one by one.
    OnDevice three{tiny_options()};
    for (Index index = 0; index < 3; ++index) {
        Batch batch;
        loader.assemble(0, order, index, batch);
        three.step(batch, loader.batch_count());
    }
    const auto expected = bits_of(three), found = bits_of(device);
    BOOST_REQUIRE(expected.size() == found.size());
    for (std::size_t i = 0; i < expected.size(); ++i) BOOST_TEST(largest_difference(found[i], expected[i]) <= 1e-5);
    BOOST_TEST(largest_difference(copied(good.parameters()), copied(three.parameters())) > 1e-5);
}

BOOST_AUTO_TEST_CASE(a_run_that_is_stopped_within_an_epoch_continues_with_the_same_bits) {
    const Sets sets;
    TrainingLoader loader = sets.training(1);
    for (int more = 0; more < 9; ++more) loader.add(sets.alone.labeled);
    const auto ignore_batches = [](Index, Index, const LossSums&) {};
    for (const TrainingOptions& options : every_kind()) {
        OnDevice whole{options}, stopped{options}, resumed{options};
        const TrainingData data{whole.execution(), loader};
        const LossSums expected = epochs(whole, data, 0, 1);

        struct Stopped {};
        bantam::TrainingPosition position;
        BOOST_CHECK_THROW(bantam::detail::train_epoch(stopped, data, 0, ignore_batches,
                                                      [&](const bantam::TrainingPosition& reached) {
                                                          position = reached;
                                                          throw Stopped{};
                                                      }),
                          Stopped);
        BOOST_TEST(position.epoch == 0);
        BOOST_TEST(position.batch == stopped.steps());
        BOOST_TEST(position.sums.count == stopped.steps());
        BOOST_TEST((0 < position.batch && position.batch < loader.batch_count()));

        const auto saved = bits_of(stopped);
        auto states = resumed.state();
        BOOST_REQUIRE(states.size() == saved.size());
        for (std::size_t i = 0; i < saved.size(); ++i) std::ranges::copy(saved[i], states[i].values.begin());
        resumed.restored(position.batch);
        const LossSums found = bantam::detail::train_epoch(resumed, data, position, ignore_batches,
                                                           [](const bantam::TrainingPosition&) {});
        BOOST_TEST((bits_of(resumed) == bits_of(whole)));
        BOOST_TEST(resumed.steps() == whole.steps());
        BOOST_TEST(found.loss == expected.loss);
        BOOST_TEST(found.count == expected.count);
    }
}

BOOST_AUTO_TEST_CASE(the_training_loop_takes_data_on_the_device) {
    const Sets sets;
    const TrainingLoader loader = sets.training(5);
    const EvaluationLoader validation = sets.validation();
    TrainingOptions options = tiny_options();
    options.epochs = 3;
    OnDevice device{options};
    const TrainingData data{device.execution(), loader};
    const EvaluationData validating{device.execution(), validation};
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream{std::tmpfile(), std::fclose};
    Index reports = 0;
    bantam::fit(device, data, validating, 0, stream.get(), [&](const bantam::EpochReport& report, bantam::Progress&) {
        ++reports;
        BOOST_TEST(report.training.count == loader.sample_count());
        BOOST_TEST(report.training.loss.has_value());
        BOOST_TEST(report.validation.count == validation.sample_count());
    });
    BOOST_TEST(reports == 3);
    BOOST_TEST(device.steps() == 3 * loader.batch_count());
}

BOOST_AUTO_TEST_CASE(testing_pictures_on_the_device_have_the_logits_of_the_cpu) {
    const Sets sets;
    const InferenceLoader testing{sets.taught.testing, bantam::input_shape<TinyNet>, 3};
    for (const TrainingOptions& options : every_kind()) {
        const auto answers = [&](auto&& trainer) {
            std::vector<float> all;
            bantam::infer(trainer, on_device(trainer, testing),
                          [&](std::span<const float> logits) { all.insert(all.end(), logits.begin(), logits.end()); });
            return all;
        };
        const std::vector<float> expected = answers(bantam::Trainer<TinyNet>{options});
        BOOST_TEST(expected.size() == 7U * 3);
        BOOST_TEST(largest_difference(answers(OnDevice{options}), expected) <= 1e-5);
    }
}

struct IgnoreSteps {
    void operator()(Index, Index) const {}
};
template <class Data>
concept Trainable = requires(OnDevice& trainer, const Data& data) { trainer.train_epoch(data, 0, IgnoreSteps{}); };
static_assert(Trainable<TrainingData> && !Trainable<EvaluationData>);
static_assert(std::same_as<decltype(on_device(std::declval<OnDevice&>(), std::declval<InferenceLoader&>())),
                           bantam::cuda::InferenceData>);

BOOST_AUTO_TEST_CASE(a_teacher_of_other_classes_is_refused) {
    Sets sets;
    sets.taught.teacher.classes.resize(2);
    const TrainingLoader loader = sets.training(5);
    OnDevice device{tiny_options()};
    const TrainingData data{device.execution(), loader};
    BOOST_CHECK_THROW(epochs(device, data, 0, 1), bantam::Error);
}
