// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE trainer
#include <boost/test/unit_test.hpp>

#include "bantam/bantam.hpp"
#include "bantam/base/index.hpp"
#include "bantam/base/overlapped_sums.hpp"
#include "bantam/base/random.hpp"
#include "bantam/cpu/trainer.hpp"
#include "bantam/data/batch.hpp"
#include "bantam/layers/deployed.hpp"
#include "bantam/models/ensemble.hpp"
#include "bantam/models/net_aug.hpp"
#include "bantam/quantize/quantized.hpp"
#include "bantam/train/step_traffic.hpp"

#include "io/temporary_folder.hpp"
#include "train/synthetic_pictures.hpp"
#include "train/thread_communicator.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using namespace bantam_test;
using bantam::Error;
using bantam::LossSums;
using bantam::OptimizerKind;
using bantam::TrainingOptions;

BOOST_AUTO_TEST_CASE(the_loss_falls_with_every_optimizer) {
    const SyntheticPictures pictures{45, 8};
    for (TrainingOptions options : every_kind()) {
        options.epochs = 40;
        TinyTrainer trainer{options};
        const LossSums first = train(trainer, pictures, 0, 1);
        const LossSums last = train(trainer, pictures, 1, 40);
        BOOST_TEST(last.loss < 0.5 * first.loss);
        BOOST_TEST(last.count == 45);
        BOOST_TEST(trainer.steps() == 40 * 6);
        LossSums validation;
        auto batches = pictures.batches();
        while (const auto* batch = batches.next()) validation += trainer.evaluate(*batch);
        BOOST_TEST(validation.correct >= validation.labeled * 9 / 10);
    }
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_bits_with_any_number_of_threads) {
    // Batches of one sample up to several samples per thread.
    for (const bantam::Index batch_size : {7, 21}) {
        const SyntheticPictures pictures{22, batch_size};
        for (const TrainingOptions& kind : every_kind()) {
            TinyTrainer one{kind};
            const LossSums sums = train(one, pictures, 0, 3);
            for (const int threads : {1, 2, 3}) {
                TrainingOptions options = kind;
                options.threads = threads;
                TinyTrainer other{options};
                BOOST_TEST(train(other, pictures, 0, 3).loss == sums.loss);
                BOOST_CHECK_MESSAGE(bits_of(other) == bits_of(one), threads << " threads give other bits");
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(training_for_int8_learns_and_resumes_with_the_same_bits) {
    using Int8Trainer = bantam::Trainer<bantam::Quantized<TinyNet>>;
    const SyntheticPictures pictures{22, 7};
    const TrainingOptions options = tiny_options();
    TinyTrainer trained{options};
    train(trained, pictures, 0, 5);
    // Narrow ranges, so that coarse steps and saturated elements show.
    const std::vector<float> ranges(bantam::deploy::map_count<TinyNet>, 2.0F);
    const std::vector<float> statistics = bantam::quantized_statistics<TinyNet>(trained.statistics(), ranges);
    const auto start = [&](int threads) {
        TrainingOptions with = options;
        with.threads = threads;
        Int8Trainer trainer{with};
        trainer.set_weights(trained.parameters(), statistics);
        return trainer;
    };
    Int8Trainer one = start(1);
    const LossSums first = train(one, pictures, 0, 1);
    BOOST_TEST(train(one, pictures, 1, 5).loss < first.loss);
    // Norms and ranges are those of the start.
    BOOST_TEST(copied(one.statistics()) == statistics, boost::test_tools::per_element());
    for (const int threads : {2, 3}) {
        Int8Trainer other = start(threads), resumed = start(threads);
        train(other, pictures, 0, 2);
        carry_over(other, resumed);
        train(resumed, pictures, 2, 5);
        BOOST_CHECK_MESSAGE(bits_of(resumed) == bits_of(one), threads << " threads give other bits");
    }
    std::vector<int> same(2);
    run_ranks(2, [&](ThreadCommunicator& communicator) {
        Int8Trainer shared = start(1);
        shared.set_communicator(&communicator);
        train(shared, pictures, 0, 5);
        same[static_cast<std::size_t>(communicator.rank().index)] = bits_of(shared) == bits_of(one);
    });
    BOOST_TEST(same == std::vector<int>(2, 1), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(ranks_that_share_the_batches_give_the_bits_of_one_process) {
    // With batches of 21 and of 1 sample, so that a rank has several chunks, or none. Three ranks can only block.
    const SyntheticPictures pictures{22, 21};
    for (const TrainingOptions& kind : every_kind()) {
        TinyTrainer one{kind};
        const LossSums expected = train(one, pictures, 0, 3);
        for (const int ranks : {2, 3, 4}) {
            std::vector<int> same(static_cast<std::size_t>(ranks));
            run_ranks(
                ranks,
                [&](ThreadCommunicator& communicator) {
                    TrainingOptions options = kind;
                    options.threads = 1 + communicator.rank().index % 2;
                    TinyTrainer trainer{options};
                    trainer.set_communicator(&communicator);
                    const LossSums sums = train(trainer, pictures, 0, 3);
                    same[static_cast<std::size_t>(communicator.rank().index)] = sums.loss == expected.loss &&
                                                                                sums.correct == expected.correct &&
                                                                                bits_of(trainer) == bits_of(one);
                },
                ranks != 3);
            BOOST_TEST(same == std::vector<int>(same.size(), 1), boost::test_tools::per_element());
        }
    }
}

BOOST_AUTO_TEST_CASE(ranks_add_the_gradients_of_repeated_layers_after_they_have_exchanged_them) {
    using Net = bantam::Network<bantam::Image<4, 4, 3>, bantam::Repeat<3, bantam::Conv2d<3, 3>, bantam::PReLU>,
                                bantam::GlobalAveragePool, bantam::Linear<3>>;
    bantam::Batch batch{.count = 5};
    for (int i = 0; i < 5 * 48; ++i) batch.pixels.push_back(std::sin(static_cast<float>(i)));
    batch.labels = {0, 1, 2, 0, 1};
    bantam::Trainer<Net> one{tiny_options()};
    for (int step = 0; step < 2; ++step) one.step(batch, 1);
    std::vector<int> same(2);
    run_ranks(2, [&](ThreadCommunicator& communicator) {
        bantam::Trainer<Net> trainer{tiny_options()};
        trainer.set_communicator(&communicator);
        for (int step = 0; step < 2; ++step) trainer.step(batch, 1);
        same[static_cast<std::size_t>(communicator.rank().index)] =
            copied(trainer.parameters()) == copied(one.parameters());
    });
    BOOST_TEST(same == std::vector<int>(2, 1), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_rank_needs_the_pixels_of_its_own_samples_alone) {
    const auto batch = SyntheticPictures{21, 21}.first_batch();
    TinyTrainer one{tiny_options()};
    const LossSums step = one.step(batch, 1), evaluation = one.evaluate(batch);
    run_ranks(2, [&](ThreadCommunicator& communicator) {
        auto own = batch;
        const bantam::IndexRange samples = bantam::samples_of_rank(batch.count, communicator.rank());
        const bantam::Index size = bantam::element_count(TinyTrainer::image);
        own.pixels.assign(batch.pixels.begin() + samples.begin * size, batch.pixels.begin() + samples.end * size);
        TinyTrainer trainer{tiny_options()};
        trainer.set_communicator(&communicator);
        const LossSums own_step = trainer.step(own, 1), own_evaluation = trainer.evaluate(own);
        if (communicator.rank().index > 0) return;
        BOOST_TEST(own_step.loss == step.loss);
        BOOST_TEST(own_evaluation.loss == evaluation.loss);
        BOOST_TEST((bits_of(trainer) == bits_of(one)));
    });
}

BOOST_AUTO_TEST_CASE(norms_of_each_rank_have_the_statistics_of_its_samples) {
    // Both halves of the batch are equal, so that their statistics are those of the whole and the gradients, too, but
    // for rounding and for the correction of the running variances.
    auto batch = SyntheticPictures{16, 16, true}.first_batch();
    const auto repeat = [](auto& values) {
        std::copy_n(values.begin(), values.size() / 2, values.begin() + std::ssize(values) / 2);
    };
    repeat(batch.pixels);
    repeat(batch.labels);
    repeat(batch.teacher_logits);
    TrainingOptions options = tiny_options();
    options.averaging_decay = 0;
    using Net = bantam::Network<bantam::Image<6, 8, 3>, bantam::Conv2d<5, 3>, bantam::BatchNorm2d, bantam::ReLU6,
                                bantam::DepthwiseSeparable<9, 2>, bantam::GlobalAveragePool, bantam::Linear<3>>;
    bantam::Trainer<Net> whole{options};
    for (int step = 0; step < 3; ++step) whole.step(batch, 1);
    const std::vector<float> expected = copied(whole.parameters());
    options.norm_ranks = 2;
    std::vector<std::vector<float>> found(2), statistics(2);
    std::vector<std::size_t> received(2);
    run_ranks(2, [&](ThreadCommunicator& communicator) {
        const auto rank = static_cast<std::size_t>(communicator.rank().index);
        bantam::Trainer<Net> trainer{options};
        trainer.set_communicator(&communicator);
        for (int step = 0; step < 3; ++step) trainer.step(batch, 1);
        found[rank] = copied(trainer.parameters());
        statistics[rank] = copied(trainer.statistics());
        received[rank] = communicator.bytes_received;
    });
    BOOST_TEST((found[0] == found[1] && statistics[0] == statistics[1]));
    for (std::size_t i = 0; i < expected.size(); ++i) BOOST_TEST(std::abs(found[0][i] - expected[i]) < 1e-4);
    BOOST_TEST(received[0] == 3 * static_cast<std::size_t>(bantam::step_traffic_of<Net>(16, {0, 2}, true).bytes));
    // Of another number of ranks, and of none.
    bantam::Trainer<Net> alone{options};
    BOOST_CHECK_THROW(alone.step(batch, 1), Error);
    std::vector<int> refused(3);
    run_ranks(3, [&](ThreadCommunicator& communicator) {
        bantam::Trainer<Net> trainer{options};
        try {
            trainer.set_communicator(&communicator);
        } catch (const Error&) {
            refused[static_cast<std::size_t>(communicator.rank().index)] = 1;
        }
    });
    BOOST_TEST(refused == std::vector<int>(3, 1), boost::test_tools::per_element());
    // 20 samples in 16 chunks leave one to the first of 10 ranks.
    options.norm_ranks = 10;
    const auto uneven = SyntheticPictures{20, 20, true}.first_batch();
    refused.assign(10, 0);
    run_ranks(10, [&](ThreadCommunicator& communicator) {
        bantam::Trainer<Net> trainer{options};
        trainer.set_communicator(&communicator);
        try {
            trainer.step(uneven, 1);
        } catch (const Error&) {
            refused[static_cast<std::size_t>(communicator.rank().index)] = 1;
        }
    });
    BOOST_TEST(refused == std::vector<int>(10, 1), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_step_receives_the_bytes_that_its_network_states) {
    // The sums of the first norm are gathered, the 288 of the last one are added from rank to rank.
    using Net = bantam::Network<bantam::Image<4, 4, 3>, bantam::Conv2d<16, 3>, bantam::BatchNorm2d, bantam::ReLU,
                                bantam::DepthwiseSeparable<144>, bantam::GlobalAveragePool, bantam::Linear<3>>;
    bantam::Batch batch{.count = 21};
    batch.pixels.assign(21 * 48, 0.5F);
    batch.labels.assign(21, 1);
    for (const int ranks : {2, 3, 17}) {
        std::vector<bantam::Index> found(static_cast<std::size_t>(ranks)), expected;
        run_ranks(ranks, [&](ThreadCommunicator& communicator) {
            bantam::Trainer<Net> trainer{tiny_options()};
            trainer.set_communicator(&communicator);
            trainer.step(batch, 1);
            found[static_cast<std::size_t>(communicator.rank().index)] =
                static_cast<bantam::Index>(communicator.bytes_received);
        });
        for (int index = 0; index < ranks; ++index)
            expected.push_back(bantam::step_traffic_of<Net>(batch.count, {index, ranks}).bytes);
        BOOST_TEST(found == expected, boost::test_tools::per_element());
    }
    // The logits, the gradients, and two sums of three norms.
    constexpr bantam::StepTraffic traffic = bantam::step_traffic_of<Net>(21, {0, 2});
    BOOST_TEST(traffic.exchanges == 1 + 1 + 2 * 3);
    // A backward pass hides the gradients, and no more; so do the exchanges of the norms.
    const auto blocking = [&](double latency) {
        return traffic.forward.seconds(latency, 1e7) + traffic.backward.seconds(latency, 1e7);
    };
    BOOST_TEST(traffic.forward.messages == traffic.backward.messages + 1);  // the logits
    BOOST_TEST(traffic.seconds(0, 1e7) == blocking(0) + traffic.gradients.seconds(0, 1e7));
    BOOST_TEST(traffic.seconds(1e-5, 1e7) < blocking(1e-5) + traffic.gradients.seconds(1e-5, 1e7));
    for (const auto& [latency, computation] : {std::pair{1e-5, 10.0}, std::pair{1.0, 0.0}})
        BOOST_TEST(traffic.seconds(latency, 1e7, computation) == blocking(latency));
    BOOST_TEST(bantam::step_traffic_of<Net>(21, {}).exchanges == 0);
}

BOOST_AUTO_TEST_CASE(a_batch_that_one_rank_cannot_learn_from_fails_on_all_of_them_and_changes_nothing) {
    auto batch = SyntheticPictures{16, 16}.first_batch();
    batch.pixels.back() = std::numeric_limits<float>::quiet_NaN();
    std::vector<int> refused(2);
    run_ranks(2, [&](ThreadCommunicator& communicator) {
        TinyTrainer trainer{tiny_options()};
        trainer.set_communicator(&communicator);
        const auto before = bits_of(trainer);
        try {
            trainer.step(batch, 1);
        } catch (const Error&) {
            refused[static_cast<std::size_t>(communicator.rank().index)] = bits_of(trainer) == before;
        }
    });
    BOOST_TEST(refused == std::vector<int>(2, 1), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(sums_in_chunk_order_are_those_of_one_process_whatever_their_size) {
    const bantam::Index chunks = bantam::max_chunks, stride = 40'000;
    std::vector<float> partials(static_cast<std::size_t>(chunks * stride));
    bantam::Random random{11, 0};
    for (float& value : partials) value = static_cast<float>(random.uniform(-1, 1));
    // Gathered, and passed on in one segment and in several.
    for (const bantam::Index size : {bantam::Index{5}, bantam::Index{9'000}, stride}) {
        std::vector<float> expected(partials.begin(), partials.begin() + size);
        for (bantam::Index chunk = 1; chunk < chunks; ++chunk)
            for (bantam::Index i = 0; i < size; ++i)
                expected[static_cast<std::size_t>(i)] += partials[static_cast<std::size_t>(chunk * stride + i)];
        for (const int ranks : {1, 2, 3, 5, 17}) {
            std::vector<int> same(static_cast<std::size_t>(ranks));
            run_ranks(ranks, [&](ThreadCommunicator& communicator) {
                const auto [begin, end] = bantam::chunks_of_rank(chunks, communicator.rank());
                std::vector<float> of_rank(partials.begin() + begin * stride, partials.begin() + end * stride);
                of_rank.resize(std::max(of_rank.size(), static_cast<std::size_t>(size)));
                sum_in_order(communicator, chunks, of_rank.data(), stride, size, of_rank.data());  // in place
                of_rank.resize(static_cast<std::size_t>(size));
                same[static_cast<std::size_t>(communicator.rank().index)] = of_rank == expected;
            });
            BOOST_TEST(same == std::vector<int>(same.size(), 1), boost::test_tools::per_element());
        }
    }
}

BOOST_AUTO_TEST_CASE(overlapped_sums_are_those_of_one_process_whatever_their_sizes) {
    // Less than a segment, several segments, and more than fits into the reserved memory.
    const std::vector<bantam::Index> sizes{5, 9'000, 700, 20'000};
    const bantam::Index segment = bantam::Index{bantam::overlapped_segment / sizeof(float)};
    BOOST_TEST((sizes[0] < segment && sizes[1] > 2 * segment));
    bantam::Random random{12, 0};
    for (const bantam::Index chunks : {bantam::Index{1}, bantam::max_chunks}) {
        std::vector<std::vector<float>> partials, expected;
        for (const bantam::Index size : sizes) {
            partials.emplace_back(static_cast<std::size_t>(chunks * size));
            for (float& value : partials.back()) value = static_cast<float>(random.uniform(-1, 1));
            expected.emplace_back(partials.back().begin(), partials.back().begin() + size);
            for (std::size_t i = static_cast<std::size_t>(size); i < partials.back().size(); ++i)
                expected.back()[i % static_cast<std::size_t>(size)] += partials.back()[i];
        }
        // As a kernel that sums in another order than the gradient's.
        for (std::vector<float>& sums : expected) std::ranges::reverse(sums);
        for (const int ranks : {2, 3, 5, 18}) {
            std::vector<int> same(static_cast<std::size_t>(ranks));
            run_ranks(ranks, [&](ThreadCommunicator& communicator) {
                const auto [begin, end] = bantam::chunks_of_rank(chunks, communicator.rank());
                bantam::OverlappedSums<float> overlapped{communicator};
                overlapped.reserve(12'000);
                std::vector<std::vector<float>> found;
                for (const bantam::Index size : sizes) found.emplace_back(static_cast<std::size_t>(size));
                bool equal = true;
                for (int step = 0; step < 2; ++step) {
                    for (std::size_t i = 0; i < sizes.size(); ++i) {
                        std::vector<float> of_rank(partials[i].begin() + begin * sizes[i],
                                                   partials[i].begin() + end * sizes[i]);
                        overlapped.add(
                            chunks, of_rank.data(), sizes[i],
                            [](const float* sums, bantam::Index size, float* to) {
                                std::reverse_copy(sums, sums + size, to);
                            },
                            found[i].data());
                    }
                    overlapped.complete();
                    equal = equal && found == expected;
                }
                same[static_cast<std::size_t>(communicator.rank().index)] = equal;
            });
            BOOST_TEST(same == std::vector<int>(same.size(), 1), boost::test_tools::per_element());
        }
    }
}

BOOST_AUTO_TEST_CASE(another_seed_gives_other_weights) {
    TrainingOptions options = tiny_options();
    TinyTrainer one{options};
    options.seed = 4;
    TinyTrainer other{options};
    BOOST_TEST(copied(one.parameters()) != copied(other.parameters()));
}

BOOST_AUTO_TEST_CASE(a_trainer_with_the_state_of_another_continues_bit_for_bit) {
    const SyntheticPictures pictures{20, 8};
    for (const TrainingOptions& options : every_kind()) {
        TinyTrainer whole{options}, begun{options}, resumed{options};
        train(whole, pictures, 0, 5);
        train(begun, pictures, 0, 2);
        carry_over(begun, resumed);
        train(resumed, pictures, 2, 5);
        BOOST_TEST((bits_of(resumed) == bits_of(whole)));
        BOOST_TEST(resumed.steps() == whole.steps());
        BOOST_TEST(copied(resumed.parameters()) == copied(whole.parameters()));
        BOOST_TEST(copied(resumed.statistics()) == copied(whole.statistics()));
    }
}

BOOST_AUTO_TEST_CASE(the_loss_of_an_evaluation_does_not_depend_on_how_the_weights_were_trained) {
    const auto batch = SyntheticPictures{18, 18}.first_batch();
    const LossSums expected = TinyTrainer{tiny_options()}.evaluate(batch);
    BOOST_TEST(expected.loss > 0);
    TrainingOptions options = tiny_options();
    options.distillation = bantam::Distillation::dkd;
    options.temperature = 2;
    options.standardize_logits = true;
    options.alpha = 0.1;
    options.alpha_where_wrong = 0;
    options.label_smoothing = 0.2;
    options.unlabeled_weight = 3;
    const LossSums found = TinyTrainer{options}.evaluate(batch);
    BOOST_TEST(found.loss == expected.loss);
    BOOST_TEST(found.weight == expected.weight);
    BOOST_TEST(found.cross_entropy == expected.cross_entropy);
    BOOST_TEST(found.distillation == expected.distillation);
    BOOST_TEST(found.kl_divergence == expected.kl_divergence);
}

BOOST_AUTO_TEST_CASE(a_state_that_is_not_restored_changes_the_result) {
    const SyntheticPictures pictures{20, 8};
    TinyTrainer whole{tiny_options()};
    train(whole, pictures, 0, 5);
    const std::size_t buffers = whole.state().size();
    BOOST_TEST(buffers == 5U);
    for (std::size_t forgotten = 0; forgotten < buffers; ++forgotten) {
        TinyTrainer begun{tiny_options()}, resumed{tiny_options()};
        train(begun, pictures, 0, 2);
        const auto source = begun.state();
        const auto target = resumed.state();
        for (std::size_t i = 0; i < buffers; ++i)
            if (i != forgotten) std::ranges::copy(source[i].values, target[i].values.begin());
        resumed.restored(begun.steps());
        train(resumed, pictures, 2, 5);
        BOOST_CHECK_MESSAGE(bits_of(resumed) != bits_of(whole), source[forgotten].name << " does not matter");
    }
}

BOOST_AUTO_TEST_CASE(evaluation_changes_no_weight) {
    const SyntheticPictures pictures{20, 8};
    TinyTrainer trainer{tiny_options()};
    train(trainer, pictures, 0, 1);
    const auto before = bits_of(trainer);
    const SyntheticBatch batch = pictures.first_batch();
    const LossSums first = trainer.evaluate(batch);
    trainer.infer(batch.pixels);
    const LossSums second = trainer.evaluate(batch);
    BOOST_TEST((bits_of(trainer) == before));
    BOOST_TEST(first.loss == second.loss);
    BOOST_TEST(first.count == 8);
}

BOOST_AUTO_TEST_CASE(evaluation_does_not_smooth_labels) {
    const SyntheticPictures pictures{8, 8, true};
    TrainingOptions options = tiny_options();
    TinyTrainer plain{options};
    options.label_smoothing = 0.3;
    TinyTrainer smooth{options};
    BOOST_TEST(plain.evaluate(pictures.first_batch()).cross_entropy ==
               smooth.evaluate(pictures.first_batch()).cross_entropy);
}

BOOST_AUTO_TEST_CASE(the_weights_to_keep_are_the_moving_average_of_the_weights_seen) {
    const SyntheticPictures pictures{24, 8};
    TinyTrainer trainer{tiny_options()};
    std::vector<double> expected(trainer.parameters().begin(), trainer.parameters().end());
    std::vector<double> expected_statistics(trainer.statistics().begin(), trainer.statistics().end());
    bantam::Index updates = 0;
    auto batches = pictures.batches(0);
    while (const auto* batch = batches.next()) {
        trainer.step(*batch, 3);
        const double decay =
            std::min(0.9, (1.0 + static_cast<double>(updates)) / (10.0 + static_cast<double>(updates)));
        ++updates;
        const auto states = trainer.state();
        BOOST_REQUIRE(states[0].name == "model.parameters");
        BOOST_REQUIRE(states[1].name == "model.statistics");
        for (std::size_t i = 0; i < expected.size(); ++i)
            expected[i] = decay * expected[i] + (1 - decay) * static_cast<double>(states[0].values[i]);
        for (std::size_t i = 0; i < expected_statistics.size(); ++i)
            expected_statistics[i] =
                decay * expected_statistics[i] + (1 - decay) * static_cast<double>(states[1].values[i]);
    }
    for (std::size_t i = 0; i < expected.size(); ++i)
        BOOST_TEST(std::abs(static_cast<double>(trainer.parameters()[i]) - expected[i]) < 1e-5);
    for (std::size_t i = 0; i < expected_statistics.size(); ++i)
        BOOST_TEST(std::abs(static_cast<double>(trainer.statistics()[i]) - expected_statistics[i]) < 1e-5);
    BOOST_TEST(copied(trainer.parameters()) != copied(trainer.state()[0].values));
}

BOOST_AUTO_TEST_CASE(without_averaging_the_weights_to_keep_are_the_last_ones) {
    const SyntheticPictures pictures{24, 8};
    TrainingOptions options = tiny_options();
    options.averaging_decay = 0;
    TinyTrainer trainer{options};
    train(trainer, pictures, 0, 1);
    BOOST_TEST(copied(trainer.parameters()) == copied(trainer.state()[0].values));
    BOOST_TEST(copied(trainer.statistics()) == copied(trainer.state()[1].values));
    for (const auto& state : trainer.state()) BOOST_TEST(!state.name.starts_with("average"));
}

BOOST_AUTO_TEST_CASE(weights_that_are_set_are_those_that_infer) {
    const SyntheticPictures pictures{24, 8};
    for (const double decay : {0.0, 0.9}) {
        TrainingOptions options = tiny_options();
        options.averaging_decay = decay;
        TinyTrainer teacher{options}, pupil{options};
        train(teacher, pictures, 0, 2);
        pupil.set_weights(copied(teacher.parameters()), copied(teacher.statistics()));
        const SyntheticBatch batch = pictures.first_batch();
        BOOST_TEST(copied(pupil.infer(batch.pixels)) == copied(teacher.infer(batch.pixels)));
    }
}

BOOST_AUTO_TEST_CASE(a_batch_of_one_sample_is_trained_on) {
    const SyntheticPictures pictures{9, 8};
    for (const int threads : {1, 2}) {
        TrainingOptions options = tiny_options();
        options.threads = threads;
        TinyTrainer trainer{options};
        BOOST_TEST(train(trainer, pictures, 0, 3).count == 9);
        for (const auto& state : trainer.state())
            for (const float value : state.values) BOOST_TEST_REQUIRE(std::isfinite(value));
    }
}

BOOST_AUTO_TEST_CASE(a_pixel_that_is_not_finite_is_refused_and_changes_no_weight) {
    const SyntheticPictures pictures{16, 8};
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        TinyTrainer trainer{tiny_options()};
        train(trainer, pictures, 0, 1);
        const std::vector<float> kept = copied(trainer.parameters()), moved = copied(trainer.state()[0].values);
        SyntheticBatch batch = pictures.first_batch();
        batch.pixels[5] = bad;
        batch.pixels[146] = bad;
        const std::string message = message_of<Error>([&] { trainer.step(batch, 2); });
        BOOST_TEST(message == std::string{"pixel value 5 of sample 0 of the batch is "} +
                                  (std::isnan(bad) ? "NaN" : "inf") + "; check the pictures");
        if (std::isnan(bad)) BOOST_TEST(message_of<Error>([&] { trainer.evaluate(batch); }) == message);
        BOOST_TEST(copied(trainer.parameters()) == kept);
        BOOST_TEST(copied(trainer.state()[0].values) == moved);
        BOOST_TEST(trainer.steps() == 2);
    }
    // Batch norm hides their size from the loss.
    TinyTrainer trainer{tiny_options()};
    const auto before = bits_of(trainer);
    SyntheticBatch batch = pictures.first_batch();
    for (float& pixel : batch.pixels) pixel *= 1e30F;
    const std::string message = message_of<Error>([&] { trainer.step(batch, 2); });
    BOOST_TEST(contains(message, "scale them to about -2..2"), message);
    BOOST_TEST((bits_of(trainer) == before));
}

BOOST_AUTO_TEST_CASE(a_learning_rate_that_explodes_is_reported_in_one_line) {
    const SyntheticPictures pictures{16, 8};
    TrainingOptions options = tiny_options();
    options.learning_rate = 100;
    options.warmup_epochs = 0;
    options.clip_norm = 0;
    options.weight_decay = 10;
    options.epochs = 60;
    TinyTrainer trainer{options};
    const std::string message = message_of<Error>([&] { train(trainer, pictures, 0, 60); });
    BOOST_TEST(contains(message, "not finite"), message);
    BOOST_TEST(contains(message, "lower the learning rate"), message);
    BOOST_TEST(message.find('\n') == std::string::npos);
}

BOOST_AUTO_TEST_CASE(labels_and_logits_that_do_not_fit_are_named) {
    const SyntheticPictures pictures{8, 8, true};
    TinyTrainer trainer{tiny_options()};
    SyntheticBatch batch = pictures.first_batch();
    batch.labels[2] = 3;
    BOOST_TEST(message_of<Error>([&] { trainer.step(batch, 1); }) ==
               "loss: label 3 of sample 2 of the batch is outside 0..2; check the class count of the network");
    batch = pictures.first_batch();
    batch.teacher_logits[4] = std::numeric_limits<float>::quiet_NaN();
    BOOST_TEST(message_of<Error>([&] { trainer.step(batch, 1); }) ==
               "loss is not finite: teacher logit of sample 1 of the batch, class 1, is NaN; write the teacher logits "
               "anew");
}

BOOST_AUTO_TEST_CASE(an_option_out_of_range_is_named_before_anything_is_built) {
    TrainingOptions options = tiny_options();
    options.alpha = 1.5;
    BOOST_TEST(message_of<Error>([&] { TinyTrainer{options}; }) == "alpha is 1.5; it must be in 0..1");
}

BOOST_AUTO_TEST_CASE(a_batch_that_does_not_fit_is_refused_and_changes_nothing) {
    const SyntheticPictures pictures{8, 8, true};
    TinyTrainer trainer{tiny_options()};
    const auto before = bits_of(trainer);
    const auto refusal = [&](auto&& change) {
        SyntheticBatch batch = pictures.first_batch();
        change(batch);
        const std::string message = message_of<Error>([&] { trainer.step(batch, 1); });
        BOOST_TEST(message_of<Error>([&] { trainer.evaluate(batch); }) == message);
        return message;
    };
    BOOST_TEST(refusal([](auto& batch) { batch = {}; }) == "the batch has 0 samples; give at least one");
    BOOST_TEST(refusal([](auto& batch) { batch.count = -8; }) == "the batch has -8 samples; give at least one");
    BOOST_TEST(refusal([](auto& batch) { batch.pixels.resize(7 * 144); }) ==
               "the batch has the pixels of 7 pictures of 6x8x3, its count is 8");
    BOOST_TEST(refusal([](auto& batch) { batch.pixels.pop_back(); }) ==
               "there are 1151 pixel values, no multiple of the 144 of a picture of 6x8x3; give "
               "[count][height][width][channels]");
    BOOST_TEST(refusal([](auto& batch) { batch.labels.resize(2); }) ==
               "loss: labels has 2 elements, expected 8 for this batch");
    BOOST_TEST(refusal([](auto& batch) { batch.labels.push_back(0); }) ==
               "loss: labels has 9 elements, expected 8 for this batch");
    BOOST_TEST(refusal([](auto& batch) { batch.teacher_logits.resize(9); }) ==
               "loss: teacher logits has 9 elements, expected 24 for this batch");
    BOOST_TEST(refusal([](auto& batch) { batch.has_teacher.clear(); }) ==
               "loss: teacher mask has 0 elements, expected 8 for this batch");
    for (const bantam::Index none : {0, -1})
        BOOST_TEST(contains(message_of<Error>([&] { trainer.step(pictures.first_batch(), none); }),
                            " steps; give at least one"));
    BOOST_TEST((bits_of(trainer) == before));
    BOOST_TEST(message_of<Error>([&] {
                   trainer.infer(std::vector<float>(100));
               }).starts_with("there are 100 pixel values, no multiple of the 144 of a picture of 6x8x3"));
}

BOOST_AUTO_TEST_CASE(weights_of_another_network_are_refused) {
    for (const double decay : {0.0, 0.9}) {
        TrainingOptions options = tiny_options();
        options.averaging_decay = decay;
        TinyTrainer trainer{options};
        const auto before = bits_of(trainer);
        const std::vector<float> parameters = copied(trainer.parameters()), statistics = copied(trainer.statistics());
        std::vector<float> more = parameters;
        more.resize(parameters.size() + 1000);
        BOOST_TEST(contains(message_of<Error>([&] { trainer.set_weights(more, statistics); }),
                            "trainable parameters were given, the network has "));
        BOOST_TEST(contains(message_of<Error>([&] { trainer.set_weights(parameters, {}); }),
                            "0 statistics were given, the network has "));
        BOOST_TEST((bits_of(trainer) == before));
    }
}

namespace {

using bantam::Index;
constexpr bantam::ConvOptions unbiased{.bias = false};
template <int First, int Second>
using TwoStages =
    bantam::Network<bantam::Image<6, 8, 3>, bantam::Conv2d<First, 3, 1, unbiased>, bantam::BatchNorm2d, bantam::ReLU6,
                    bantam::DepthwiseSeparable<Second, 2>, bantam::GlobalAveragePool, bantam::Linear<3>>;
using Narrow = TwoStages<5, 9>;
using Wide = TwoStages<11, 20>;
using Augmented = bantam::NetAug<Narrow, Wide>;

static_assert(bantam::parameter_count<bantam::Student<Augmented>> ==
              bantam::parameter_count<Narrow> + bantam::parameter_count<Wide>);
static_assert(bantam::deployed_parameter_count<Augmented> == bantam::parameter_count<Narrow>);
static_assert(std::is_same_v<bantam::Deployed<Augmented>, Narrow>);
static_assert(std::is_same_v<bantam::KeptNetwork<bantam::Student<Augmented>>, Narrow>);

/// Where each parameter of `Narrow` lies among those of `Wide`, by its place along each axis.
std::vector<std::size_t> places_inside() {
    std::vector<std::size_t> places;
    for (std::size_t t = 0; t < bantam::tensor_table<Narrow>.size(); ++t) {
        const auto &inner = bantam::tensor_table<Narrow>[t], &outer = bantam::tensor_table<Wide>[t];
        if (!inner.tensor.trainable) continue;
        std::array<Index, 4> inner_extents{1, 1, 1, 1}, outer_extents{1, 1, 1, 1};
        std::copy_n(inner.tensor.extents.begin(), inner.tensor.rank, inner_extents.begin());
        std::copy_n(outer.tensor.extents.begin(), outer.tensor.rank, outer_extents.begin());
        for (Index a = 0; a < inner_extents[0]; ++a)
            for (Index b = 0; b < inner_extents[1]; ++b)
                for (Index c = 0; c < inner_extents[2]; ++c)
                    for (Index d = 0; d < inner_extents[3]; ++d)
                        places.push_back(static_cast<std::size_t>(
                            outer.offset + ((a * outer_extents[1] + b) * outer_extents[2] + c) * outer_extents[3] + d));
    }
    return places;
}

/// Loss and gradient of one network on a batch.
template <class Net>
std::pair<LossSums, std::vector<float>> gradient_of(std::span<const float> parameters, const SyntheticBatch& batch) {
    bantam::cpu::Model<Net> model;
    model.initialize(1);
    const std::vector<float> statistics = copied(std::as_const(model).statistics());
    model.set_weights(parameters, statistics);
    std::vector<float> logits(static_cast<std::size_t>(batch.count * 3)), slope(logits.size()),
        gradient(static_cast<std::size_t>(bantam::trainable_parameters<Net>));
    model.forward(batch.pixels.data(), batch.count, 0, logits.data());
    const LossSums sums =
        bantam::loss_and_gradient<float>(tiny_options().loss(), 3, logits, bantam::detail::targets_of(batch), slope);
    model.backward(slope.data(), gradient.data());
    return {sums, gradient};
}

TrainingOptions plain_steps() {
    TrainingOptions options = tiny_options();
    options.warmup_epochs = 0;
    options.momentum = 0;
    options.weight_decay = 0;
    options.clip_norm = 0;
    options.averaging_decay = 0;
    return options;
}

}  // namespace

BOOST_AUTO_TEST_CASE(net_aug_minimizes_the_loss_of_the_student_and_that_of_the_network_around_it) {
    const auto batch = SyntheticPictures{16, 16}.first_batch();
    bantam::Trainer<Augmented> trainer{plain_steps()};
    const std::vector<float> before = copied(trainer.state()[0].values);
    constexpr auto narrow = static_cast<std::size_t>(bantam::trainable_parameters<Narrow>);
    const std::span<const float> student = std::span{before}.first(narrow), wide = std::span{before}.subspan(narrow);
    const std::vector<std::size_t> places = places_inside();
    BOOST_REQUIRE(places.size() == narrow);
    for (std::size_t i = 0; i < narrow; ++i) BOOST_REQUIRE(student[i] == wide[places[i]]);

    const auto [student_loss, student_gradient] = gradient_of<Narrow>(student, batch);
    auto [wide_loss, gradient] = gradient_of<Wide>(wide, batch);
    for (std::size_t i = 0; i < narrow; ++i) gradient[places[i]] += student_gradient[i];
    const LossSums sums = trainer.step(batch, 1000);
    BOOST_TEST(sums.loss == student_loss.loss);
    BOOST_TEST(sums.correct == student_loss.correct);
    BOOST_TEST(wide_loss.loss != student_loss.loss);
    const std::span<const float> after = trainer.state()[0].values;
    const auto rate = static_cast<float>(plain_steps().learning_rate);
    for (std::size_t i = 0; i < gradient.size(); ++i)
        BOOST_TEST(std::abs(after[narrow + i] - (wide[i] - rate * gradient[i])) < 1e-6F);
    for (std::size_t i = 0; i < narrow; ++i) BOOST_TEST(after[i] == after[narrow + places[i]]);
}

BOOST_AUTO_TEST_CASE(the_student_of_a_net_aug_is_kept_and_stays_inside) {
    const SyntheticPictures pictures{12, 8};
    const std::vector<std::size_t> places = places_inside();
    TrainingOptions averaged = tiny_options(), muon = averaged;
    muon.averaging_decay = 0;
    muon.optimizer = OptimizerKind::muon;
    for (const TrainingOptions& options : {averaged, muon}) {
        bantam::Trainer<Augmented> whole{options}, begun{options}, resumed{options};
        train(whole, pictures, 0, 2);
        train(begun, pictures, 0, 1);
        carry_over(begun, resumed);
        train(resumed, pictures, 1, 2);
        BOOST_TEST((bits_of(resumed) == bits_of(whole)));
        for (const auto& state : whole.state()) {
            if (!state.name.ends_with(".parameters")) continue;
            for (std::size_t i = 0; i < places.size(); ++i)
                BOOST_REQUIRE(state.values[i] == state.values[places.size() + places[i]]);
        }
        const std::vector<float> parameters = copied(whole.parameters()), statistics = copied(whole.statistics());
        const std::vector<float> pixels = pictures.first_batch().pixels;
        bantam::cpu::Model<Narrow> student;
        student.set_weights(parameters, statistics);
        const std::vector<float> logits = student.infer(pixels);
        BOOST_TEST(copied(whole.infer(pixels)) == logits);

        bantam::Trainer<Augmented> other{options};
        other.set_weights(parameters, statistics);
        BOOST_TEST(copied(other.infer(pixels)) == logits);
        const std::span<const float> all = other.state()[0].values;
        for (std::size_t i = 0; i < places.size(); ++i) BOOST_REQUIRE(all[places.size() + places[i]] == parameters[i]);
    }
}

BOOST_AUTO_TEST_CASE(threads_and_ranks_do_not_change_the_bits_of_a_net_aug) {
    const SyntheticPictures pictures{22, 21};
    bantam::Trainer<Augmented> one{tiny_options()};
    train(one, pictures, 0, 2);
    std::vector<int> same(2);
    run_ranks(2, [&](ThreadCommunicator& communicator) {
        TrainingOptions options = tiny_options();
        options.threads = 1 + communicator.rank().index;
        bantam::Trainer<Augmented> trainer{options};
        trainer.set_communicator(&communicator);
        train(trainer, pictures, 0, 2);
        same[static_cast<std::size_t>(communicator.rank().index)] = bits_of(trainer) == bits_of(one);
    });
    BOOST_TEST(same == std::vector<int>(2, 1), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(members_with_a_loss_each_learn_what_they_learn_alone) {
    using Pair = bantam::Ensemble<Narrow, TwoStages<4, 6>>;
    const SyntheticPictures pictures{24, 8};
    TrainingOptions options = tiny_options();
    options.clip_norm = 0;  // a norm over both would couple them
    bantam::Trainer<bantam::MemberWise<Pair>> both{options};
    bantam::Trainer<Narrow> alone{options};
    const auto first = static_cast<std::size_t>(bantam::trainable_parameters<Narrow>);
    alone.set_weights(both.parameters().first(first),
                      both.statistics().first(static_cast<std::size_t>(bantam::non_trainable_parameters<Narrow>)));
    const LossSums sums = train(both, pictures, 0, 3), expected = train(alone, pictures, 0, 3);
    BOOST_TEST(sums.loss == expected.loss, boost::test_tools::tolerance(1e-6));
    for (std::size_t i = 0; i < first; ++i) BOOST_TEST(std::abs(both.parameters()[i] - alone.parameters()[i]) < 1e-5F);

    bantam::cpu::Model<Pair> pair;
    pair.set_weights(both.parameters(), both.statistics());
    const std::vector<float> pixels = pictures.first_batch().pixels;
    BOOST_TEST(copied(both.infer(pixels)) == pair.infer(pixels));
}

namespace {

/// |output − target|, averaged over the outputs; a loss of one's own with a setting.
struct AbsoluteError {
    float weight = 1;
    double value(bantam::Index outputs, const float* output, const float* target) const {
        double sum = 0;
        for (bantam::Index i = 0; i < outputs; ++i) sum += static_cast<double>(std::abs(output[i] - target[i]));
        return static_cast<double>(weight) * sum / static_cast<double>(outputs);
    }
    void gradient(bantam::Index outputs, const float* output, const float* target, float* gradient) const {
        for (bantam::Index i = 0; i < outputs; ++i)
            gradient[i] = (output[i] > target[i] ? weight : -weight) / static_cast<float>(outputs);
    }
};

/// Pictures of noise, whose targets are the means of their channels.
bantam::Batch means_of_noise(bantam::Index count, std::uint64_t seed) {
    bantam::Batch batch{.count = count};
    bantam::Random random{7, seed};
    for (bantam::Index sample = 0; sample < count; ++sample) {
        std::vector<double> centers;
        for (int i = 0; i < 3; ++i) centers.push_back(random.uniform(-1, 1));
        std::vector<double> sums(3);
        for (std::size_t i = 0; i < 6 * 8 * 3; ++i) {
            batch.pixels.push_back(static_cast<float>(centers[i % 3] + random.uniform(-0.5, 0.5)));
            sums[i % 3] += static_cast<double>(batch.pixels.back()) / 48;
        }
        for (const double sum : sums) batch.targets.push_back(static_cast<float>(sum));
    }
    return batch;
}

template <class Loss>
void learns_values(const Loss& loss) {
    using Net = bantam::Network<bantam::Image<6, 8, 3>, bantam::Conv2d<8, 3>, bantam::BatchNorm2d, bantam::ReLU6,
                                bantam::GlobalAveragePool, bantam::Linear<3>>;
    using Regression = bantam::Trainer<Net, bantam::Cpu, Loss>;
    TrainingOptions options = tiny_options();
    options.epochs = 60;
    options.optimizer = OptimizerKind::adamw;
    options.learning_rate = 0.02;
    std::vector<bantam::Batch> batches;
    for (std::uint64_t i = 0; i < 4; ++i) batches.push_back(means_of_noise(16, i));
    const auto run = [&](Regression& trainer, int first, int last) {
        LossSums sums;
        for (int epoch = first; epoch < last; ++epoch) {
            sums = {};
            for (const bantam::Batch& batch : batches) sums += trainer.step(batch, 4);
        }
        return sums;
    };
    Regression trainer{options, loss}, resumed{options, loss};
    const LossSums first = run(trainer, 0, 1);
    BOOST_TEST(run(trainer, 1, 60).loss < 0.2 * first.loss);
    BOOST_TEST(first.labeled == 0);
    BOOST_TEST(trainer.evaluate(means_of_noise(32, 9)).loss / 32 < 0.2 * first.loss / 64);

    Regression begun{options, loss};
    run(begun, 0, 20);
    const auto from = begun.state(), to = resumed.state();
    for (std::size_t i = 0; i < from.size(); ++i) std::ranges::copy(from[i].values, to[i].values.begin());
    resumed.restored(begun.steps());
    run(resumed, 20, 60);
    BOOST_TEST(copied(resumed.parameters()) == copied(trainer.parameters()));
}

}  // namespace

BOOST_AUTO_TEST_CASE(other_losses_learn_and_resume) {
    learns_values(bantam::MeanSquaredError{});
    learns_values(AbsoluteError{.weight = 0.5F});
}
