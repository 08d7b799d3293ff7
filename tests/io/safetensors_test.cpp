// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE io_safetensors
#include "bantam/io/safetensors.hpp"
#include "bantam/base/index.hpp"

#include "bantam/base/random.hpp"
#include "io/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>

namespace {

using bantam::Index;
using bantam::SafetensorsFile;
using bantam::TensorView;
using bantam_test::contains;
using bantam_test::contents_of;
using bantam_test::message_of;
using bantam_test::TemporaryFolder;

std::string file_text(const std::string& header, const std::string& data) {
    std::string text(8, '\0');
    const std::uint64_t length = header.size();
    std::memcpy(text.data(), &length, 8);
    return text + header + data;
}

std::string refusal(const TemporaryFolder& folder, const std::string& contents) {
    const auto path = folder.write("bad.safetensors", contents);
    const std::string message = message_of<bantam::Error>([&] { SafetensorsFile::open(path); });
    const std::string start = path.string() + ": ";
    BOOST_TEST(message.starts_with(start));
    return message.substr(std::min(start.size(), message.size()));
}

BOOST_AUTO_TEST_CASE(a_written_file_reads_back_unchanged) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.safetensors";
    const std::vector<float> weights{1.5F, -2.25F, 3e-20F, 0.0F, 5.0F, 6.0F};
    const std::vector<double> exact{0.1};
    const std::vector<Index> counts{-1, 1LL << 60};
    const std::vector<std::uint8_t> bytes{0, 127, 255};
    bantam::write_safetensors(
        path,
        {TensorView{"bytes", {3}, bytes}, TensorView{"w", {2, 3}, weights}, TensorView{"scalar", {}, exact},
         TensorView{"n", {2}, counts}, TensorView{"none", {0, 7}, std::vector<float>{}}},
        {{"format", "x/1"}, {"names", "[\"é\"]"}});
    SafetensorsFile file = SafetensorsFile::open(path);
    BOOST_TEST(file.tensors().size() == 5U);
    BOOST_TEST(file.tensor<float>("w") == weights);
    BOOST_TEST(file.tensor<double>("scalar") == exact);
    BOOST_TEST(file.tensor<Index>("n") == counts);
    BOOST_TEST(file.tensor<std::uint8_t>("bytes") == bytes);
    BOOST_TEST(file.tensor<float>("none").empty());
    BOOST_TEST((file.entry("w").shape == std::vector<Index>{2, 3}));
    BOOST_TEST(file.metadata("names") == "[\"é\"]");
    for (const auto& entry : file.tensors())
        BOOST_TEST(entry.position % (bantam::safetensors_type_bits(entry.type) / 8) == 0U);
}

BOOST_AUTO_TEST_CASE(a_known_file_has_exactly_these_bytes) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.safetensors";
    bantam::write_safetensors(path, {TensorView{"a", {1}, std::vector<float>{1.0F}}});
    const auto file = [](const std::string& checksum) {
        const std::string header = R"({"__metadata__":{"bantam-checksum":"bantam-xxh64:)" + checksum +
                                   R"("},"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}})";
        return file_text(header + std::string((8 - header.size() % 8) % 8, ' '), std::string("\0\0\x80\x3f", 4));
    };
    const std::string without = file("0000000000000000");
    BOOST_TEST(contents_of(path) == file(bantam::hash_bytes(without.data(), without.size())));
}

BOOST_AUTO_TEST_CASE(a_wrong_name_type_or_count_is_an_error_that_says_so) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.safetensors";
    bantam::write_safetensors(path, {TensorView{"w", {2}, std::vector<float>{1, 2}}});
    SafetensorsFile file = SafetensorsFile::open(path);
    BOOST_TEST(message_of<bantam::Error>([&] { file.tensor<float>("v"); }) ==
               path.string() + ": has no tensor 'v' among its 1; is it the right file?");
    BOOST_TEST(message_of<bantam::Error>([&] { file.tensor<double>("w"); }) ==
               path.string() + ": tensor 'w' is F32, expected F64; convert the file first");
    std::vector<float> three(3);
    BOOST_TEST(message_of<bantam::Error>([&] { file.read("w", std::span{three}); }) ==
               path.string() + ": tensor 'w' has 2 elements, expected 3; is it from another network?");
    BOOST_TEST(message_of<bantam::Error>([&] { file.metadata("format"); }) ==
               path.string() + ": its metadata lacks 'format'; is it the right file?");
}

BOOST_AUTO_TEST_CASE(every_kind_of_invalid_file_is_refused_by_name) {
    const TemporaryFolder folder;
    const auto entry = [](const char* name, const char* shape, const char* offsets) {
        return "\"" + std::string{name} + "\":{\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":" + offsets +
               "}";
    };
    const auto one = [&](const char* shape, const char* offsets, std::size_t data) {
        return refusal(folder, file_text("{" + entry("a", shape, offsets) + "}", std::string(data, '\0')));
    };
    BOOST_TEST(contains(refusal(folder, ""), "it has 0 bytes, a header needs at least 8"));
    BOOST_TEST(contains(refusal(folder, std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10)),
                        "its header should have 18446744073709551615 bytes, the file has 10"));
    BOOST_TEST(contains(refusal(folder, file_text("{\"a\":", "")), "its header is not JSON"));
    BOOST_TEST(contains(refusal(folder, file_text("[1]", "")), "its header is not a JSON object"));
    BOOST_TEST(contains(refusal(folder, file_text("{\"a\":{\"x\":" + std::string(126, '['), "")), "nested too deeply"));
    BOOST_TEST(contains(refusal(folder, file_text("{\"a\":1}", "")), "tensor 'a' is not described"));
    BOOST_TEST(contains(refusal(folder, file_text("{\"__metadata__\":{\"k\":1}}", "")),
                        "__metadata__ entry 'k' is not a string"));
    BOOST_TEST(contains(one("[2]", "[0,8]", 4), "tensor 'a' ends at byte 8 of the data, which has 4"));
    BOOST_TEST(contains(one("[2]", "[8,0]", 8), "ends before it begins"));
    BOOST_TEST(contains(one("[3]", "[0,8]", 8), "occupies 8 bytes, its shape needs 12"));
    BOOST_TEST(contains(one("[2]", "[0,8]", 9), "its tensors end at byte"));
    BOOST_TEST(contains(one("[2]", "[4,12]", 12), "there is a gap before tensor 'a'"));
    BOOST_TEST(contains(one("[-2]", "[0,8]", 8), "not made of whole numbers"));
    BOOST_TEST(contains(one("[4294967296,4294967296,4]", "[0,0]", 0), "a shape larger than the file"));
    BOOST_TEST(contains(one("[1e999]", "[0,4]", 4), "a number that is out of range"));
    BOOST_TEST(contains(one("[1]", "[0]", 4), "has no pair of data_offsets"));
    BOOST_TEST(contains(one("7", "[0,4]", 4), "has a wrong shape"));
    BOOST_TEST(
        contains(refusal(folder, file_text("{" + entry("a", "[2]", "[0,8]") + "," + entry("b", "[2]", "[4,12]") + "}",
                                           std::string(12, '\0'))),
                 "tensor 'b' overlaps another tensor"));
    BOOST_TEST(
        contains(refusal(folder, file_text("{" + entry("a", "[1]", "[0,4]") + "," + entry("a", "[1]", "[0,4]") + "}",
                                           std::string(4, '\0'))),
                 "its header names 'a' twice"));
    BOOST_TEST(contains(refusal(folder, file_text(R"({"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}})", "1234")),
                        "tensor 'a' has an unknown dtype"));
}

BOOST_AUTO_TEST_CASE(verdicts_are_those_of_the_reference_implementation) {
    // Each case: its name, the header with one character per byte, the number of data bytes, whether it is sound.
    const std::vector<std::uint8_t> text = bantam::read_file(BANTAM_SOURCE_DIR "/tests/io/safetensors_headers.json");
    const auto cases = nlohmann::json::parse(text);
    const TemporaryFolder folder;
    for (const auto& one : cases) {
        std::string header;
        // Code points up to U+00FF have one or two bytes in UTF-8.
        const auto coded = one[1].get<std::string>();
        for (std::size_t i = 0; i < coded.size(); ++i)
            if (const auto byte = static_cast<unsigned char>(coded[i]); byte < 0x80)
                header += coded[i];
            else
                header += static_cast<char>((byte & 3) << 6 | (coded[++i] & 0x3f));
        const auto path =
            folder.write("case.safetensors", file_text(header, std::string(one[2].get<std::size_t>(), '\0')));
        const std::string message = message_of<bantam::Error>([&] { SafetensorsFile::open(path); });
        BOOST_TEST((message == "nothing was thrown") == one[3].get<bool>(), one[0].get<std::string>()
                                                                                << ": " << message);
        BOOST_TEST(!contains(message, "\n"));
    }
    BOOST_TEST(cases.size() > 150U);
}

BOOST_AUTO_TEST_CASE(a_header_of_many_tensors_is_read_in_linear_time) {
    const TemporaryFolder folder;
    const auto seconds = [&](int tensors) {
        std::string header = "{";
        for (int i = 0; i < tensors; ++i)
            header += (i == 0 ? "\"t" : ",\"t") + std::to_string(i) +
                      "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
        const auto path = folder.write("many.safetensors", file_text(header + "}", ""));
        const auto start = std::chrono::steady_clock::now();
        BOOST_TEST(SafetensorsFile::open(path).tensors().size() == static_cast<std::size_t>(tensors));
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    seconds(1000);
    // Eight times as many tensors take eight times as long, not 64 times.
    BOOST_TEST(seconds(40'000) < 30 * seconds(5'000) + 0.1);
}

BOOST_AUTO_TEST_CASE(narrow_and_wide_floats_become_float) {
    const TemporaryFolder folder;
    const auto path = folder.write(
        "mixed.safetensors",
        file_text(R"({"h":{"dtype":"F16","shape":[6],"data_offsets":[0,12]},)"
                  R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},)"
                  R"("d":{"dtype":"F64","shape":[1],"data_offsets":[16,24]}})",
                  std::string("\x00\x3c\x00\xc0\x01\x00\xff\x7b\x00\xfc\x00\x80"  // 1, -2, 2^-24, 65504, -inf, -0
                              "\x80\x3f\x49\xc0"                                  // 1, -3.140625
                              "\x9a\x99\x99\x99\x99\x99\xb9\x3f",                 // 0.1
                              24)));
    SafetensorsFile file = SafetensorsFile::open(path);
    const std::vector<float> half{1, -2, 0x1p-24F, 65504, -std::numeric_limits<float>::infinity(), -0.0F};
    BOOST_TEST(file.tensor<float>("h") == half);
    BOOST_TEST(std::signbit(file.tensor<float>("h")[5]));
    BOOST_TEST((file.tensor<float>("b") == std::vector<float>{1, -3.140625F}));
    BOOST_TEST((file.tensor<float>("d") == std::vector<float>{0.1F}));
    std::vector<float> six(6);
    file.read("h", std::span{six});
    BOOST_TEST(six == half);
    BOOST_TEST(contains(message_of<bantam::Error>([&] { file.tensor<double>("h"); }), "is F16, expected F64"));
}

BOOST_AUTO_TEST_CASE(every_flipped_bit_is_noticed) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.safetensors";
    bantam::write_safetensors(
        path,
        {TensorView{"w", {3}, std::vector<float>{1, 2, 3}}, TensorView{"b", {2}, std::vector<std::uint8_t>{7, 8}}},
        {{"format", "x/1"}, {"names", "[\"é\"]"}});
    const std::string sound = contents_of(path);
    BOOST_TEST(SafetensorsFile::open(path).has_checksum());
    BOOST_TEST(SafetensorsFile::open(path).metadata().size() == 2U);
    for (std::size_t bit = 0; bit < 8 * sound.size(); ++bit) {
        std::string damaged = sound;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
        BOOST_TEST(contains(refusal(folder, damaged), "is not a sound safetensors file"),
                   "bit " << bit % 8 << " of byte " << bit / 8);
    }
}

BOOST_AUTO_TEST_CASE(a_file_without_checksum_is_read) {
    const TemporaryFolder folder;
    const auto path =
        folder.write("a.safetensors", file_text(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"));
    BOOST_TEST(!SafetensorsFile::open(path).has_checksum());
}

BOOST_AUTO_TEST_CASE(a_pytorch_file_is_named_with_the_command_that_converts_it) {
    const TemporaryFolder folder;
    for (const std::string& start :
         {std::string("PK\x03\x04\x14\0\0\0\0\0", 10), std::string("\x80\x02\x8a\nl\xfc\x9c\x46\xf9 ")}) {
        const auto path = folder.write("teacher.pth", start + std::string(100, 'x'));
        const std::string message = message_of<bantam::Error>([&] { SafetensorsFile::open(path); });
        BOOST_TEST(message ==
                   path.string() +
                       ": is a PyTorch file, expected safetensors; convert it with tools/convert_teacher.py " +
                       path.string() + " --output " + (folder.path() / "teacher.safetensors").string());
    }
}

BOOST_AUTO_TEST_CASE(files_that_could_not_be_read_are_not_written) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.safetensors";
    const std::vector<float> two{1, 2};
    const auto message = [&](const std::vector<TensorView>& tensors, const bantam::Metadata& metadata = {}) {
        return message_of<bantam::Error>([&] { bantam::write_safetensors(path, tensors, metadata); });
    };
    BOOST_TEST(contains(message({TensorView{"w", {3}, two}}), "has 2 elements, its shape needs 3"));
    BOOST_TEST(contains(message({TensorView{"w", {2}, two}, TensorView{"w", {2}, two}}), "two tensors are named 'w'"));
    BOOST_TEST(contains(message({TensorView{"__metadata__", {2}, two}}), "may not be named '__metadata__'"));
    BOOST_TEST(contains(message({TensorView{"w", {2}, two}}, {{"k", "\xff"}}), "not valid UTF-8"));
    BOOST_TEST(bantam_test::entry_count(folder.path()) == 0U);
}

BOOST_AUTO_TEST_CASE(mutated_files_are_read_or_refused_but_never_crash) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "a.safetensors";
    bantam::write_safetensors(
        path,
        {TensorView{"w", {2, 3}, std::vector<float>(6, 1.0F)}, TensorView{"b", {5}, std::vector<std::uint8_t>(5, 7)}},
        {{"format", "x/1"}});
    const std::string sound = contents_of(path);
    int refused = 0;
    for (std::uint64_t round = 0; round < 4000; ++round) {
        bantam::Random random{7, round};
        std::string mutated = sound;
        for (std::uint64_t change = random.below(4) + 1; change > 0; --change)
            mutated[random.below(mutated.size())] = static_cast<char>(random.below(256));
        if (random.below(4) == 0) mutated.resize(random.below(mutated.size()));
        folder.write("m.safetensors", mutated);
        try {
            SafetensorsFile file = SafetensorsFile::open(folder.path() / "m.safetensors");
            for (const auto& entry : file.tensors())
                if (entry.type == "F32")
                    file.tensor<float>(entry.name);
                else if (entry.type == "U8")
                    file.tensor<std::uint8_t>(entry.name);
        } catch (const bantam::Error& error) {
            ++refused;
            BOOST_REQUIRE(contains(error.what(), "m.safetensors: "));
        }
    }
    BOOST_TEST(refused > 1000);
    BOOST_TEST(refused < 4000);
}

}  // namespace
