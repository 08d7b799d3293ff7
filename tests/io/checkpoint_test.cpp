// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE checkpoint
#include <boost/test/unit_test.hpp>

#include "bantam/bantam.hpp"
#include "bantam/base/index.hpp"
#include "bantam/io/checkpoint.hpp"

#include "io/temporary_folder.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

using namespace bantam;
using namespace bantam_test;

namespace {

template <int Classes>
using Classifier = Network<Image<6, 6, 3>, Conv2d<4, 3, 1, ConvOptions{.bias = false}>, BatchNorm2d, ReLU,
                           GlobalAveragePool, Linear<Classes>>;
using Net = Classifier<5>;

struct Weights {
    std::vector<float> parameters = std::vector<float>(static_cast<std::size_t>(trainable_parameters<Net>));
    std::vector<float> statistics = std::vector<float>(static_cast<std::size_t>(non_trainable_parameters<Net>));

    static Weights random() {
        Weights weights;
        Random random{1, 2};
        for (auto* values : {&weights.parameters, &weights.statistics})
            for (float& value : *values) value = static_cast<float>(random.uniform(-2, 2));
        return weights;
    }
    bool operator==(const Weights&) const = default;
};

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
    std::vector<std::uint32_t> result;
    for (const float value : values) result.push_back(std::bit_cast<std::uint32_t>(value));
    return result;
}

template <class Network = Net>
Weights read(const std::filesystem::path& path) {
    SafetensorsFile file = SafetensorsFile::open(path);
    Weights weights;
    weights.parameters.resize(static_cast<std::size_t>(trainable_parameters<Network>));
    weights.statistics.resize(static_cast<std::size_t>(non_trainable_parameters<Network>));
    read_network<Network>(file, weights.parameters, weights.statistics);
    return weights;
}

/// A tensor with its values, for files that write_network would not write.
struct Loose {
    std::string name;
    std::vector<Index> shape;
    std::vector<float> values;
};

std::vector<Loose> loose_tensors() {
    Weights weights = Weights::random();
    std::vector<Loose> tensors;
    for (const NamedTensor& entry : tensor_table<Net>) {
        const auto values = bantam::detail::tensor_values(entry, std::span<float>{weights.parameters},
                                                          std::span<float>{weights.statistics});
        tensors.push_back({std::string{entry.name.view()},
                           bantam::detail::tensor_shape(entry.tensor),
                           {values.begin(), values.end()}});
    }
    return tensors;
}

void write(const std::filesystem::path& path, const std::vector<Loose>& tensors) {
    std::vector<TensorView> views;
    for (const Loose& tensor : tensors) views.emplace_back(tensor.name, tensor.shape, tensor.values);
    write_safetensors(path, views);
}

Loose& named(std::vector<Loose>& tensors, const std::string& name) {
    return *std::ranges::find(tensors, name, &Loose::name);
}

struct Fixture {
    TemporaryFolder folder;
    std::filesystem::path path = folder.path() / "student.safetensors";

    /// The message of reading, after the path.
    std::string refusal() const {
        const std::string message = message_of<Error>([&] { read(path); });
        BOOST_TEST(message.starts_with(path.string() + ": "), message);
        BOOST_TEST(message.find('\n') == std::string::npos, message);
        return message.substr(std::min(message.size(), path.string().size() + 2));
    }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_network_reads_back_bit_for_bit, Fixture) {
    Weights weights = Weights::random();
    weights.parameters[0] = -0.0F;
    weights.parameters[1] = std::numeric_limits<float>::denorm_min();
    weights.parameters[2] = std::numeric_limits<float>::max();
    write_network<Net>(path, weights.parameters, weights.statistics, {{"classes", "[\"a\"]"}});
    const Weights found = read(path);
    BOOST_TEST(bits(found.parameters) == bits(weights.parameters));
    BOOST_TEST(bits(found.statistics) == bits(weights.statistics));
    BOOST_TEST(entry_count(folder.path()) == 1U);
}

BOOST_FIXTURE_TEST_CASE(tensors_have_pytorchs_shapes_and_the_metadata_its_format, Fixture) {
    const Weights weights = Weights::random();
    write_network<Net>(path, weights.parameters, weights.statistics, {{"classes", "[\"a\"]"}});
    const SafetensorsFile file = SafetensorsFile::open(path);
    BOOST_TEST(file.metadata("format") == "bantam-checkpoint/1");
    BOOST_TEST(file.metadata("classes") == "[\"a\"]");
    BOOST_TEST(file.tensors().size() == 7U);
    BOOST_TEST(file.entry("0.weight").shape == (std::vector<Index>{4, 3, 3, 3}));
    BOOST_TEST(file.entry("1.running_var").shape == (std::vector<Index>{4}));
    BOOST_TEST(file.entry("4.weight").shape == (std::vector<Index>{5, 4}));
    for (const TensorEntry& tensor : file.tensors()) BOOST_TEST(tensor.type == "F32");
}

BOOST_FIXTURE_TEST_CASE(the_order_in_the_file_does_not_matter_and_no_format_is_needed, Fixture) {
    std::vector<Loose> tensors = loose_tensors();
    std::ranges::reverse(tensors);
    write(path, tensors);
    BOOST_TEST((read(path) == Weights::random()));
}

BOOST_FIXTURE_TEST_CASE(torchvisions_count_of_batches_is_ignored, Fixture) {
    const std::vector<Loose> tensors = loose_tensors();
    const std::vector<Index> batches{1234};
    std::vector<TensorView> views{{"1.num_batches_tracked", std::vector<Index>{}, batches}};
    for (const Loose& tensor : tensors) views.emplace_back(tensor.name, tensor.shape, tensor.values);
    write_safetensors(path, views);
    BOOST_TEST((read(path) == Weights::random()));
}

BOOST_FIXTURE_TEST_CASE(a_tensor_that_is_missing_is_named, Fixture) {
    std::vector<Loose> tensors = loose_tensors();
    std::erase_if(tensors, [](const Loose& tensor) { return tensor.name == "1.running_var"; });
    write(path, tensors);
    BOOST_TEST(refusal() == "has no tensor '1.running_var'; it is from another network");
}

BOOST_FIXTURE_TEST_CASE(an_extra_tensor_is_named, Fixture) {
    std::vector<Loose> tensors = loose_tensors();
    tensors.push_back({"5.weight", {2}, {1, 2}});
    write(path, tensors);
    BOOST_TEST(refusal() == "has a tensor '5.weight' that the network lacks; it is from another network");
}

BOOST_FIXTURE_TEST_CASE(a_student_of_another_class_count_is_named_with_both_shapes, Fixture) {
    const Weights weights = Weights::random();
    write_network<Net>(path, weights.parameters, weights.statistics);
    BOOST_TEST(message_of<Error>([&] { read<Classifier<7>>(path); }) ==
               path.string() +
                   ": tensor '4.weight' has shape [5, 4], expected [7, 4]; it is from another network or "
                   "class count");
}

BOOST_FIXTURE_TEST_CASE(a_student_of_another_network_is_refused_by_its_first_difference, Fixture) {
    using Other = Network<Image<6, 6, 3>, Conv2d<4, 3>, ReLU, GlobalAveragePool, Linear<5>>;
    const Weights weights = Weights::random();
    write_network<Net>(path, weights.parameters, weights.statistics);
    BOOST_TEST(message_of<Error>([&] { read<Other>(path); }) ==
               path.string() +
                   ": has no tensor '0.bias' (and 2 others), and a tensor '1.weight' (and 5 others) that the network "
                   "lacks; it is from another network");
}

BOOST_FIXTURE_TEST_CASE(a_transposed_tensor_is_refused_though_its_size_fits, Fixture) {
    std::vector<Loose> tensors = loose_tensors();
    named(tensors, "4.weight").shape = {4, 5};
    write(path, tensors);
    BOOST_TEST(refusal() ==
               "tensor '4.weight' has shape [4, 5], expected [5, 4]; it is from another network or class count");
}

BOOST_FIXTURE_TEST_CASE(a_number_that_is_not_finite_is_refused_with_its_tensor, Fixture) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        std::vector<Loose> tensors = loose_tensors();
        named(tensors, "1.running_mean").values[3] = bad;
        write(path, tensors);
        BOOST_TEST(refusal() ==
                   "tensor '1.running_mean' holds a number that is not finite; take an earlier checkpoint");
    }
}

BOOST_FIXTURE_TEST_CASE(a_wrappers_prefix_is_named_with_the_program_that_removes_it, Fixture) {
    std::vector<Loose> tensors = loose_tensors();
    for (Loose& tensor : tensors) tensor.name.insert(0, "_orig_mod.module.");
    write(path, tensors);
    BOOST_TEST(refusal() ==
               "its tensors' names begin with '_orig_mod.module.'; remove that with tools/convert_teacher.py");
}

BOOST_FIXTURE_TEST_CASE(doubles_are_rounded_to_float, Fixture) {
    const std::vector<Loose> tensors = loose_tensors();
    std::vector<TensorView> views;
    std::vector<double> wide;
    for (const Loose& tensor : tensors) {
        if (tensor.name == "4.bias") {
            for (const float value : tensor.values) wide.push_back(double{value} * (1 + 1e-12));
            views.emplace_back(tensor.name, tensor.shape, wide);
        } else {
            views.emplace_back(tensor.name, tensor.shape, tensor.values);
        }
    }
    write_safetensors(path, views);
    BOOST_TEST((read(path) == Weights::random()));
    wide.front() = 1e300;
    write_safetensors(path, views);
    BOOST_TEST(contains(refusal(), "tensor '4.bias' holds a number that is not finite"));
}

BOOST_FIXTURE_TEST_CASE(counts_in_metadata_are_whole_and_in_range_or_refused, Fixture) {
    write_safetensors(path, {},
                      {{"epoch", "12"},
                       {"loss", "0.25"},
                       {"nan", "nan"},
                       {"infinite", "inf"},
                       {"negative", "-1"},
                       {"huge", "99999999999999999999"},
                       {"part", "1.5"},
                       {"tail", "3 "},
                       {"empty", ""},
                       {"control", "\x1b[2J"}});
    const SafetensorsFile file = SafetensorsFile::open(path);
    BOOST_TEST(metadata_count(file, "epoch", 0, 12) == 12);
    for (const char* key : {"nan", "infinite", "negative", "huge", "part", "tail", "empty", "control"})
        BOOST_TEST(contains(message_of<Error>([&] { metadata_count(file, key, 0, 1'000'000); }),
                            std::string{"its metadata '"} + key + "' is '"));
    BOOST_TEST(contains(message_of<Error>([&] { metadata_count(file, "epoch", 0, 11); }), "from 0 to 11"));
    BOOST_TEST(contains(message_of<Error>([&] { metadata_count(file, "control", 0, 1); }), "is '\\x1b[2J'"));
    BOOST_TEST(
        contains(message_of<Error>([&] { metadata_count(file, "absent", 0, 1); }), "its metadata lacks 'absent'"));
}

BOOST_FIXTURE_TEST_CASE(every_truncation_is_refused, Fixture) {
    const Weights weights = Weights::random();
    write_network<Net>(path, weights.parameters, weights.statistics);
    const std::string whole = contents_of(path);
    for (std::size_t length = 0; length < whole.size(); length += length < 8 ? 1 : 37) {
        folder.write("student.safetensors", whole.substr(0, length));
        BOOST_TEST(contains(refusal(), "is not a sound safetensors file"));
    }
    folder.write("student.safetensors", whole + "x");
    BOOST_TEST(contains(refusal(), "is not a sound safetensors file"));
}
