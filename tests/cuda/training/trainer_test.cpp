// SPDX-License-Identifier: MIT
// Training on the device matches training on the CPU: the same steps, states that can be exchanged, the same
// refusals.
#define BOOST_TEST_MODULE cuda_trainer
#include <boost/test/unit_test.hpp>

#include <bantam/bantam.hpp>
#include <bantam/cuda/runtime/staged_communicator.hpp>
#include <bantam/cuda/training/trainer.hpp>

#include "cpu/compare_models.hpp"
#include "train/synthetic_pictures.hpp"
#include "train/thread_communicator.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

using namespace bantam_test;
using bantam::Error;
using bantam::LossSums;
using bantam::OptimizerKind;
using bantam::TrainingOptions;

namespace {

using OnDevice = bantam::Trainer<TinyNet, bantam::Cuda>;

/// The largest difference of two buffers, relative to the largest value; NaN where a value is NaN.
double difference(std::span<const float> a, std::span<const float> b) {
    return largest_difference(copied(a), copied(b));
}

/// Calls `same(trainer)` on each of `ranks` threads, each with a trainer that computes a part of every batch, and
/// checks that all return true.
template <class Trainer, class Same>
void ranks_agree(int ranks, const TrainingOptions& options, const Same& same) {
    std::vector<int> found(static_cast<std::size_t>(ranks));
    run_ranks(ranks, [&](ThreadCommunicator& communicator) {
#ifdef _OPENMP
        omp_set_num_threads(1);  // of this rank
#endif
        bantam::cuda::StagedCommunicator staged{communicator};
        Trainer trainer{options};
        trainer.set_communicator(&staged);
        found[static_cast<std::size_t>(communicator.rank().index)] = same(trainer);
    });
    BOOST_TEST(found == std::vector<int>(found.size(), 1), boost::test_tools::per_element());
}

/// Checks that everything the next step depends on agrees within `tolerance`, under the same names.
void same_state(bantam::Trainer<TinyNet>& cpu, OnDevice& device, double tolerance) {
    BOOST_TEST(cpu.steps() == device.steps());
    const auto expected = cpu.state();
    const auto found = device.state();
    BOOST_REQUIRE(expected.size() == found.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        BOOST_TEST(expected[i].name == found[i].name);
        BOOST_TEST(difference(expected[i].values, found[i].values) <= tolerance, expected[i].name);
    }
    BOOST_TEST(difference(cpu.parameters(), device.parameters()) <= tolerance);
    BOOST_TEST(difference(cpu.statistics(), device.statistics()) <= tolerance);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_step_equals_that_of_the_cpu) {
    const SyntheticPictures pictures{9, 9};
    std::vector<TrainingOptions> kinds = every_kind();
    kinds.emplace_back(tiny_options()).clip_norm = 0.1;  // shorter than the gradient
    for (const TrainingOptions& options : kinds) {
        bantam::Trainer<TinyNet> cpu{options};
        OnDevice device{options};
        same_state(cpu, device, 0);
        const LossSums expected = train(cpu, pictures, 0, 1);
        const LossSums found = train(device, pictures, 0, 1);
        BOOST_TEST(found.loss == expected.loss, boost::test_tools::tolerance(1e-5));
        BOOST_TEST(found.cross_entropy == expected.cross_entropy, boost::test_tools::tolerance(1e-5));
        BOOST_TEST(found.distillation == expected.distillation, boost::test_tools::tolerance(1e-5));
        BOOST_TEST(found.weight == expected.weight);
        BOOST_TEST(found.count == expected.count);
        BOOST_TEST(found.labeled == expected.labeled);
        BOOST_TEST(found.correct == expected.correct);
        BOOST_TEST(found.with_teacher == expected.with_teacher);
        BOOST_TEST(found.agree == expected.agree);
        same_state(cpu, device, 1e-4);
    }
}

BOOST_AUTO_TEST_CASE(every_distillation_loss_equals_that_of_the_cpu) {
    const SyntheticPictures pictures{9, 9};
    for (const auto distillation : {bantam::Distillation::reverse_kl, bantam::Distillation::symmetric_kl,
                                    bantam::Distillation::dkd, bantam::Distillation::mse})
        for (const bool standardized : {false, true}) {
            TrainingOptions options = tiny_options();
            options.distillation = distillation;
            options.temperature = 2;
            options.standardize_logits = standardized;
            options.alpha_where_wrong = 0.25;
            bantam::Trainer<TinyNet> cpu{options};
            OnDevice device{options};
            const LossSums expected = train(cpu, pictures, 0, 1);
            const LossSums found = train(device, pictures, 0, 1);
            BOOST_TEST_CONTEXT(name(distillation) << " standardized " << standardized) {
                BOOST_TEST(found.loss == expected.loss, boost::test_tools::tolerance(1e-5));
                BOOST_TEST(found.distillation == expected.distillation, boost::test_tools::tolerance(1e-5));
                BOOST_TEST(found.kl_divergence == expected.kl_divergence, boost::test_tools::tolerance(1e-5));
                same_state(cpu, device, 1e-4);
            }
        }
}

BOOST_AUTO_TEST_CASE(a_short_run_learns_and_stays_close_to_the_cpu) {
    const SyntheticPictures pictures{45, 8};
    for (TrainingOptions options : every_kind()) {
        options.epochs = 40;
        OnDevice device{options};
        const LossSums first = train(device, pictures, 0, 1);
        const LossSums last = train(device, pictures, 1, 40);
        BOOST_TEST(last.loss < 0.5 * first.loss);
        BOOST_TEST(device.steps() == 40 * 6);

        bantam::Trainer<TinyNet> cpu{options};
        train(cpu, pictures, 0, 40);
        LossSums on_cpu, on_device;
        auto batches = pictures.batches();
        while (const auto* batch = batches.next()) {
            on_cpu += cpu.evaluate(*batch);
            on_device += device.evaluate(*batch);
        }
        BOOST_TEST(std::abs(on_device.correct - on_cpu.correct) <= 2);
    }
}

BOOST_AUTO_TEST_CASE(activations_in_bf16_train_float32_weights) {
    const SyntheticPictures pictures{45, 8};
    for (TrainingOptions options : every_kind()) {
        options.epochs = 40;
        bantam::Trainer<TinyNet, bantam::CudaBfloat16> narrow{options};
        OnDevice wide{options};
        const std::vector<float> before = copied(narrow.parameters());
        BOOST_TEST((before == copied(wide.parameters())));
        const LossSums first = train(narrow, pictures, 0, 1);
        BOOST_TEST(first.loss == train(wide, pictures, 0, 1).loss, boost::test_tools::tolerance(0.02));
        // Near float32's weights, but not equal.
        BOOST_TEST(difference(narrow.parameters(), wide.parameters()) <= 0.05);
        BOOST_TEST(difference(narrow.parameters(), wide.parameters()) > 1e-6);
        BOOST_TEST(train(narrow, pictures, 1, 40).loss < 0.5 * first.loss);
        // Every device can continue from its state.
        const auto from = narrow.state();
        const auto to = wide.state();
        BOOST_REQUIRE(from.size() == to.size());
        for (std::size_t i = 0; i < from.size(); ++i) {
            BOOST_TEST(from[i].name == to[i].name);
            BOOST_TEST(from[i].values.size() == to[i].values.size());
        }
    }
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_bits) {
    const SyntheticPictures pictures{22, 7};
    for (const TrainingOptions& options : every_kind()) {
        OnDevice one{options}, other{options};
        BOOST_TEST(train(one, pictures, 0, 3).loss == train(other, pictures, 0, 3).loss);
        BOOST_TEST(copied(one.parameters()) == copied(other.parameters()));
        BOOST_TEST(copied(one.statistics()) == copied(other.statistics()));
    }
}

BOOST_AUTO_TEST_CASE(ranks_that_share_the_batches_give_the_bits_of_one_process) {
    // With batches of 21 and of 1 sample, so that a rank has several chunks, or none.
    const SyntheticPictures pictures{22, 21};
    std::vector<int> all{1, 2, 3, 4};
    for (const TrainingOptions& kind : every_kind()) {
        OnDevice one{kind};
        const LossSums expected = train(one, pictures, 0, 3);
        const double evaluation = one.evaluate(pictures.first_batch()).loss;
        const auto state = bits_of(one);
        for (const int ranks : std::exchange(all, {3}))
            ranks_agree<OnDevice>(ranks, kind, [&](OnDevice& trainer) {
                const LossSums sums = train(trainer, pictures, 0, 3);
                return sums.loss == expected.loss && sums.correct == expected.correct && bits_of(trainer) == state &&
                       trainer.evaluate(pictures.first_batch()).loss == evaluation;
            });
    }
}

BOOST_AUTO_TEST_CASE(ranks_refuse_the_same_step) {
    const SyntheticPictures pictures{9, 9};
    SyntheticBatch batch = pictures.first_batch();
    batch.pixels[5] = std::numeric_limits<float>::quiet_NaN();  // of the first rank
    std::atomic<int> named = 0;
    ranks_agree<OnDevice>(3, tiny_options(), [&](OnDevice& trainer) {
        const auto before = bits_of(trainer);
        try {
            trainer.step(batch, 4);
        } catch (const Error& error) {
            const std::string_view text{error.what()};
            named += text.starts_with("pixel value 5 of sample 0 of the batch is NaN");
            return (text.starts_with("pixel value 5") || text.starts_with("loss is not finite")) &&
                   bits_of(trainer) == before;
        }
        return false;
    });
    BOOST_TEST(named == 1);  // by the rank that has the pixel
}

BOOST_AUTO_TEST_CASE(every_sum_over_the_batch_is_that_of_one_process) {
    using namespace bantam;
    // Norms that are not fused, weights that are used twice, and products on maps, which are cuBLAS's in a process
    // without ranks.
    using Net = Network<Image<6, 8, 3>, Conv2d<6, 3>, LayerNorm, PReLU, ScaledResidual<Scale::body, PointwiseConv2d<6>>,
                        BatchNorm2d, DepthwiseConv2d<3>, GroupNorm<2>, ConvTranspose2d<4, 2, 2>, SqueezeExcite<2>,
                        PointwiseConv2d<6, ConvOptions{.bias = false}>, GlobalAveragePool, Linear<3>>;
    using Repeated = Network<Image<6, 8, 3>, Repeat<3, Conv2d<3, 3>, BatchNorm2d, PReLU>, GlobalAveragePool, Linear<3>>;
    const SyntheticBatch batch = SyntheticPictures{21, 21}.first_batch();
    const auto agree = [&]<class OfNet>(std::type_identity<OfNet>) {
        using OnGpu = Trainer<OfNet, Cuda>;
        std::vector<std::vector<float>> expected;
        run_ranks(1, [&](ThreadCommunicator& communicator) {
            cuda::StagedCommunicator staged{communicator};
            OnGpu one{tiny_options()};
            one.set_communicator(&staged);
            for (int step = 0; step < 2; ++step) one.step(batch, 2);
            expected = bits_of(one);
        });
        ranks_agree<OnGpu>(3, tiny_options(), [&](OnGpu& trainer) {
            for (int step = 0; step < 2; ++step) trainer.step(batch, 2);
            return bits_of(trainer) == expected;
        });
    };
    agree(std::type_identity<Net>{});
    agree(std::type_identity<Repeated>{});
}

BOOST_AUTO_TEST_CASE(a_state_moves_between_devices) {
    const SyntheticPictures pictures{22, 7};
    for (const TrainingOptions& options : every_kind()) {
        bantam::Trainer<TinyNet> cpu{options};
        train(cpu, pictures, 0, 2);
        OnDevice device{options};
        {
            const auto from = cpu.state();
            const auto to = device.state();
            BOOST_REQUIRE(from.size() == to.size());
            for (std::size_t i = 0; i < from.size(); ++i) std::ranges::copy(from[i].values, to[i].values.begin());
            device.restored(cpu.steps());
        }
        same_state(cpu, device, 0);
        train(cpu, pictures, 2, 3);
        train(device, pictures, 2, 3);
        same_state(cpu, device, 1e-3);
    }
}

BOOST_AUTO_TEST_CASE(a_stored_student_has_the_logits_of_the_cpu) {
    bantam::Trainer<TinyNet> cpu{tiny_options()};
    OnDevice device{tiny_options()};
    const SyntheticPictures pictures{9, 9};
    train(cpu, pictures, 0, 3);
    device.set_weights(cpu.parameters(), cpu.statistics());
    auto batches = pictures.batches();
    const auto* batch = batches.next();
    const std::vector<float> expected = copied(cpu.infer(batch->pixels));
    BOOST_TEST(difference(expected, device.infer(batch->pixels)) <= 1e-4);
}

BOOST_AUTO_TEST_CASE(a_batch_that_is_not_finite_is_refused_as_on_the_cpu_and_changes_nothing) {
    const SyntheticPictures pictures{9, 9};
    auto batches = pictures.batches(0);
    const SyntheticBatch good = *batches.next();
    SyntheticBatch nan = good, unknown_label = good, infinite_teacher = good;
    nan.pixels[5] = std::numeric_limits<float>::quiet_NaN();
    unknown_label.labels[0] = 3;
    infinite_teacher.has_teacher[4] = 1;
    infinite_teacher.teacher_logits[4 * 3] = std::numeric_limits<float>::infinity();

    SyntheticBatch foreign_teacher = good;
    foreign_teacher.teacher_logits.resize(foreign_teacher.teacher_logits.size() + 9);

    // Normalizations hide their size from the loss.
    SyntheticBatch too_large = good;
    for (float& pixel : too_large.pixels) pixel *= 1e30F;

    for (const SyntheticBatch& bad : {nan, unknown_label, infinite_teacher, foreign_teacher, too_large}) {
        bantam::Trainer<TinyNet> cpu{tiny_options()};
        OnDevice device{tiny_options()};
        device.step(good, 4);
        const auto before = bits_of(device);
        std::string expected, found;
        try {
            cpu.step(bad, 4);
        } catch (const Error& error) {
            expected = error.what();
        }
        try {
            device.step(bad, 4);
        } catch (const Error& error) {
            found = error.what();
        }
        BOOST_TEST(!found.empty());
        BOOST_TEST(found == expected);
        BOOST_TEST((bits_of(device) == before));
        BOOST_TEST(device.steps() == 1);
    }
}

BOOST_AUTO_TEST_CASE(values_are_learned_as_on_the_cpu) {
    bantam::Batch batch{.count = 5, .pixels = numbers<float>(5 * 144, 1), .targets = numbers<float>(5 * 3, 2)};
    bantam::Trainer<TinyNet, bantam::Cpu, bantam::MeanSquaredError> cpu{tiny_options()};
    bantam::Trainer<TinyNet, bantam::Cuda, bantam::MeanSquaredError> device{tiny_options()};
    for (int i = 0; i < 3; ++i)
        BOOST_TEST(device.step(batch, 3).loss == cpu.step(batch, 3).loss, boost::test_tools::tolerance(1e-4));
    BOOST_TEST(difference(cpu.parameters(), device.parameters()) <= 1e-4);
    BOOST_TEST(device.evaluate(batch).loss == cpu.evaluate(batch).loss, boost::test_tools::tolerance(1e-4));
    const std::vector<float> before = copied(device.parameters());
    batch.targets[7] = std::numeric_limits<float>::infinity();
    BOOST_CHECK_EXCEPTION(device.step(batch, 3), Error, [](const Error& error) {
        return std::string_view{error.what()}.starts_with("loss is not finite: target of sample 2 of the batch");
    });
    BOOST_TEST(copied(device.parameters()) == before);
}

BOOST_AUTO_TEST_CASE(weights_of_another_network_are_refused) {
    OnDevice device{tiny_options()};
    BOOST_CHECK_THROW(device.set_weights(std::vector<float>(10), device.statistics()), Error);
    bantam::cuda::Model<TinyNet> model;
    bantam::cuda::DeviceBuffer<float> values;
    values.reserve(model.input_elements);
    BOOST_CHECK_THROW(model.infer(values.data(), 1, values.data()), Error);
    model.initialize(1);
    BOOST_CHECK_NO_THROW(model.infer(values.data(), 1, values.data()));
    BOOST_CHECK_THROW(model.backward(values.data(), values.data()), Error);
}
