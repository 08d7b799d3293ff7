// SPDX-License-Identifier: MIT
// Needs nlohmann/json and xxhash (see io/safetensors.hpp).
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/float_array.hpp>
#include <bantam/data/stored_view.hpp>
#include <bantam/data/view.hpp>
#include <bantam/io/safetensors.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

namespace bantam {

/// How pictures were turned into the teacher's input.
struct Preprocessing {
    int stored_size = 144;
    int input_height = 128;
    int input_width = 128;
    Normalization normalization{};
    std::string resize = "bilinear";
};

/// A teacher's logits for several views of each picture, stored as one safetensors file: `logits` [image, view, class],
/// `views` [image, view, 8] (top, left, height, width, flip, brightness, contrast, saturation) and metadata; both F16
/// or F32. View 0 is the whole picture in its own colors. Logits rather than probabilities, because a stored
/// probability fixes the temperature.
///
/// The last `mixed_count` views of each picture show a second one, too, and the teacher's logits are its answer to the
/// mix: `partners` I32 [image, mixed] is the second picture's image, `mixes` [image, mixed, 13] how it is shown (the
/// same eight numbers) and mixed in (weight, top, left, height, width). Files without mixed views lack both tensors.
///
/// Format 1, whose views are F32 [image, view, 5] without colors, is read, too.
struct TeacherLogits {
    static constexpr const char* format = "bantam-teacher-logits/2";
    static constexpr const char* first_format = "bantam-teacher-logits/1";

    std::vector<std::string> paths;   ///< of the images, relative to the data folder, with '/'
    std::vector<std::string> hashes;  ///< XXH64 of each image file's bytes, 16 hexadecimal digits
    std::vector<std::string> classes;
    Index view_count = 0;
    Index mixed_count = 0;               ///< the last ones of view_count
    FloatArray views;                    ///< [image][view][8], as `values_of` gives them
    FloatArray logits;                   ///< [image][view][class]
    std::vector<std::int32_t> partners;  ///< [image][mixed]
    FloatArray mixes;                    ///< [image][mixed][13], as `values_of` gives them
    Preprocessing preprocessing;
    /// Side of the larger input whose answers are part of the stored means, together with those to the mirrored view;
    /// 0: the logits are single answers.
    int average_input = 0;
    std::string teacher;       ///< XXH64 of the teacher's weights file
    std::string teacher_name;  ///< its file name
    std::uint64_t view_seed = 0;
    std::string view_ranges;  ///< of which the views were drawn, for readers of the file

    Index image_count() const { return static_cast<Index>(paths.size()); }
    Index class_count() const { return static_cast<Index>(classes.size()); }

    /// What was shown in row image · view_count + view; of a mixed view, the first picture.
    StoredView stored_view(Index row) const {
        ViewValues values;
        views.copy(static_cast<std::size_t>(row) * values.size(), values.size(), values.data());
        return stored_view_of(values);
    }

    bool is_mixed(Index row) const { return row % view_count >= view_count - mixed_count; }

    /// The second picture of a mixed view.
    StoredMix stored_mix(Index row) const {
        const Index first_mixed = view_count - mixed_count;
        const auto place = static_cast<std::size_t>(row / view_count * mixed_count + row % view_count - first_mixed);
        MixValues values;
        mixes.copy(place * values.size(), values.size(), values.data());
        return stored_mix_of(partners[place], values);
    }

    /// The `class_count()` logits of a row.
    std::vector<float> row_logits(Index row) const {
        std::vector<float> values(classes.size());
        copy_logits(row, values.data());
        return values;
    }
    void copy_logits(Index row, float* to) const {
        logits.copy(static_cast<std::size_t>(row) * classes.size(), classes.size(), to);
    }
};

/// Where the teacher's logits of a group of pictures lie: in the images `first_row`, `first_row + 1`, … of a
/// logits file. Without `logits` there are none.
struct TeacherRows {
    const TeacherLogits* logits = nullptr;
    Index first_row = 0;

    /// Throws Error unless the file has `count` images from `first_row` on.
    void require_rows(Index count) const {
        if (first_row < 0 || first_row + count > logits->image_count())
            throw Error{"the teacher logits have " + std::to_string(logits->image_count()) +
                        " images, the pictures need " + std::to_string(first_row + count) +
                        "; check the logits file against the data"};
    }
};

/// The loaded pictures, in the order in which the logits file must have them: labeled training pictures,
/// unlabeled ones, validation ones.
struct ExpectedPictures {
    std::vector<std::string> paths;
    std::vector<std::string> hashes;
    std::vector<std::string> classes;
    int stored_size = 144;
};

namespace detail {

// A description of what is wrong with a stored view, empty without a fault.
inline std::string find_view_problem(const StoredView& stored) {
    constexpr float slack = 1e-5F;
    const auto& [view, color] = stored;
    const bool inside = view.top >= -slack && view.left >= -slack && view.height > 0 && view.width > 0 &&
                        view.top + view.height <= 1 + slack && view.left + view.width <= 1 + slack;
    if (!inside) return "is not a box within the picture";
    constexpr float most = 10;
    for (const float factor : {color.brightness, color.contrast, color.saturation})
        if (!(factor >= 0 && factor <= most)) return "has a change of color that is not from 0 to 10";
    return {};
}

inline std::string find_mix_problem(const StoredMix& mixed, Index image, Index images) {
    if (mixed.image < 0 || mixed.image >= images) return "is mixed with an image that the file lacks";
    if (mixed.image == image) return "is mixed with its own image";
    if (const std::string problem = find_view_problem(mixed.second); !problem.empty())
        return "is mixed with a view that " + problem;
    const auto& [weight, top, left, height, width] = mixed.mix;
    if (!(weight > 0 && weight <= 1)) return "is mixed by a weight that is not above 0 and at most 1";
    if (!find_view_problem({{top, left, height, width, false}, {}}).empty())
        return "is mixed in a box that is not within the picture";
    return {};
}

/// "image 3 (training/0/a.jpg), view 1".
inline std::string place_of(const TeacherLogits& teacher, Index row) {
    const Index image = row / teacher.view_count;
    return "image " + std::to_string(image) + " (" + printable(teacher.paths[static_cast<std::size_t>(image)]) +
           "), view " + std::to_string(row % teacher.view_count);
}

// The checks of reader and writer: a description of the first fault, empty without one.
inline std::string find_logits_problem(const TeacherLogits& teacher) {
    const auto images = teacher.paths.size();
    const auto view_count = static_cast<std::size_t>(teacher.view_count);
    const auto mixed_count = static_cast<std::size_t>(teacher.mixed_count);
    const auto view_total = images * view_count;
    if (teacher.view_count < 1) return "has no views";
    if (teacher.mixed_count < 0 || teacher.mixed_count >= teacher.view_count)
        return "has " + std::to_string(teacher.mixed_count) + " mixed views among its " +
               std::to_string(teacher.view_count);
    if (teacher.classes.empty()) return "has no classes";
    if (images == 0) return "has no images";
    if (teacher.hashes.size() != images)
        return "has " + std::to_string(teacher.hashes.size()) + " hashes for " + std::to_string(images) + " images";
    if (teacher.views.size() != view_total * std::tuple_size_v<ViewValues>) return "has the wrong number of views";
    if (teacher.partners.size() != images * mixed_count ||
        teacher.mixes.size() != images * mixed_count * std::tuple_size_v<MixValues>)
        return "has the wrong number of mixes";
    if (teacher.logits.size() != view_total * teacher.classes.size()) return "has the wrong number of logits";
    for (std::size_t index = 0; index < teacher.logits.size(); ++index)
        if (!std::isfinite(teacher.logits[index]))
            return "has a logit that is not finite: " +
                   place_of(teacher, static_cast<Index>(index / teacher.classes.size())) + ", class '" +
                   printable(teacher.classes[index % teacher.classes.size()]) + "'";
    const auto bad_flip = [](const FloatArray& numbers, std::size_t values) {
        for (std::size_t index = 4; index < numbers.size(); index += values)
            if (numbers[index] != 0 && numbers[index] != 1) return true;
        return false;
    };
    if (bad_flip(teacher.views, std::tuple_size_v<ViewValues>) || bad_flip(teacher.mixes, std::tuple_size_v<MixValues>))
        return "has a view whose flip is neither 0 nor 1";
    for (Index row = 0; row < static_cast<Index>(view_total); ++row) {
        const StoredView stored = teacher.stored_view(row);
        if (const std::string problem = find_view_problem(stored); !problem.empty())
            return "has a view that " + problem + ": " + place_of(teacher, row);
        if (row % teacher.view_count == 0 && stored != StoredView{})
            return "has a first view that is not the whole picture: " + place_of(teacher, row);
        if (!teacher.is_mixed(row)) continue;
        const StoredMix mixed = teacher.stored_mix(row);
        const std::string problem = find_mix_problem(mixed, row / teacher.view_count, teacher.image_count());
        if (!problem.empty()) return "has a view that " + problem + ": " + place_of(teacher, row);
    }
    return {};
}

inline nlohmann::json parse_metadata(const SafetensorsFile& file, const std::string& key) {
    nlohmann::json value = nlohmann::json::parse(file.metadata(key), nullptr, false);
    if (value.is_discarded())
        throw Error{file.path().string() + ": its metadata '" + key + "' is not JSON; create the file again"};
    return value;
}

template <class T>
T metadata_value(const SafetensorsFile& file, const std::string& key, const nlohmann::json& value) {
    try {
        return value.get<T>();
    } catch (const nlohmann::json::exception&) {
        throw Error{file.path().string() + ": its metadata '" + key + "' is not as expected; create the file again"};
    }
}

inline Preprocessing read_preprocessing(const SafetensorsFile& file) {
    const std::string key = "preprocessing";
    const nlohmann::json value = parse_metadata(file, key);
    const auto field = [&](const char* name) {
        if (!value.is_object() || !value.contains(name))
            throw Error{file.path().string() + ": its metadata 'preprocessing' lacks '" + name +
                        "'; create the file again"};
        return value.at(name);
    };
    const auto refuse = [&](const char* name, const nlohmann::json& found, const char* expected) {
        throw Error{file.path().string() + ": its metadata 'preprocessing' has the " + name + " " +
                    printable(found.dump(-1, ' ', true)) + ", expected " + expected + "; create the file again"};
    };
    const auto extent = [&](const char* name, const nlohmann::json& number) {
        const auto size = number.is_number_unsigned() ? number.get<std::uint64_t>() : 0;
        if (size < 1 || size > 65535) refuse(name, number, "1 to 65535");
        return static_cast<int>(size);
    };
    // A picture's colors are finite whatever these numbers are within their range.
    const auto colors = [&](const char* name, double least) {
        const nlohmann::json found = field(name);
        std::array<float, 3> values{};
        bool sound = found.is_array() && found.size() == values.size();
        for (std::size_t channel = 0; sound && channel < values.size(); ++channel) {
            sound = found[channel].is_number() && found[channel].get<double>() >= least &&
                    found[channel].get<double>() <= 1000;
            if (sound) values[channel] = found[channel].get<float>();
        }
        if (!sound) refuse(name, found, least < 0 ? "three numbers from -1000 to 1000" : "three from 0.001 to 1000");
        return values;
    };
    Preprocessing preprocessing;
    preprocessing.stored_size = extent("stored_size", field("stored_size"));
    const nlohmann::json input = field("input");
    if (!input.is_array() || input.size() != 2) refuse("input", input, "height and width");
    preprocessing.input_height = extent("input", input[0]);
    preprocessing.input_width = extent("input", input[1]);
    preprocessing.normalization.mean = colors("mean", -1000);
    preprocessing.normalization.deviation = colors("std", 0.001);
    preprocessing.resize = metadata_value<std::string>(file, key, field("resize"));
    return preprocessing;
}

/// All of a logits file but its tensors.
inline void read_logits_metadata(const SafetensorsFile& file, TeacherLogits& teacher) {
    const auto strings = [&](const std::string& key) {
        return metadata_value<std::vector<std::string>>(file, key, parse_metadata(file, key));
    };
    teacher.paths = strings("paths");
    teacher.hashes = strings("hashes");
    teacher.classes = strings("classes");
    teacher.preprocessing = read_preprocessing(file);
    teacher.teacher = file.metadata("teacher");
    teacher.teacher_name = file.metadata("teacher_name");
    const auto whole_number = [&](const char* key, auto& number) {
        const std::string& text = file.metadata(key);
        if (const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
            parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size())
            throw Error{file.path().string() + ": its metadata '" + key +
                        "' is not a whole number; create the file again with precompute_logits"};
    };
    whole_number("view_seed", teacher.view_seed);
    if (file.metadata().contains("view_ranges")) teacher.view_ranges = file.metadata("view_ranges");
    if (file.metadata().contains("average_input")) whole_number("average_input", teacher.average_input);
    if (teacher.average_input < 0 || teacher.average_input > 65535)
        throw Error{file.path().string() +
                    ": its metadata 'average_input' is not from 0 to 65535; create the file again"};
}

}  // namespace detail

/// Logits of pictures that are no files, [image][view][class], with the views [image][view] for which they were
/// computed; without `views` there is one of each picture, the whole. Throws Error where the sizes do not fit.
inline TeacherLogits teacher_logits_from_memory(std::vector<float> logits, Index classes, std::vector<View> views = {},
                                                Index view_count = 1) {
    TeacherLogits teacher;
    const Index per_image = std::max<Index>(classes, 0) * std::max<Index>(view_count, 0);
    const Index images = per_image > 0 ? static_cast<Index>(logits.size()) / per_image : 0;
    teacher.view_count = view_count;
    teacher.logits = std::move(logits);
    if (views.empty() && view_count == 1) views.resize(static_cast<std::size_t>(images), whole_view());
    std::vector<float> stored;
    for (const View& view : views) std::ranges::copy(values_of(StoredView{view, {}}), std::back_inserter(stored));
    teacher.views = std::move(stored);
    teacher.hashes.resize(static_cast<std::size_t>(images));
    for (Index image = 0; image < images; ++image) teacher.paths.push_back(std::to_string(image));
    for (Index label = 0; label < classes; ++label) teacher.classes.push_back(std::to_string(label));
    if (const std::string problem = detail::find_logits_problem(teacher); !problem.empty())
        throw Error{"the teacher's data in memory " + problem};
    return teacher;
}

/// Reads and validates a logits file: format version, shapes, finite logits, valid views.
/// Throws Error naming the file and the first fault.
inline TeacherLogits read_teacher_logits(const std::filesystem::path& path) {
    SafetensorsFile file = SafetensorsFile::open(path);
    const auto refuse = [&](const std::string& what) {
        throw Error{path.string() + ": " + what + "; create the file again with precompute_logits"};
    };
    const std::string& format = file.metadata("format");
    if (format != TeacherLogits::format && format != TeacherLogits::first_format)
        refuse("has format '" + printable(format) + "', expected '" + TeacherLogits::format + "'");
    TeacherLogits teacher;
    detail::read_logits_metadata(file, teacher);

    const auto require_shape = [&](const char* name, const std::vector<Index>& expected) {
        const std::vector<Index>& shape = file.entry(name).shape;
        if (shape != expected)
            refuse(std::string{"tensor '"} + name + "' has shape " + extents_text(shape) + ", expected " +
                   extents_text(expected));
    };
    const auto numbers = [&](const char* name) -> FloatArray {
        if (file.entry(name).type == "F16") return file.tensor<Float16>(name);
        return file.tensor<float>(name);
    };
    const std::vector<Index>& shape = file.entry("logits").shape;
    if (shape.size() != 3 || shape[0] != teacher.image_count() || shape[2] != teacher.class_count())
        refuse("tensor 'logits' has shape " + extents_text(shape) + ", expected [" +
               std::to_string(teacher.image_count()) + ", views, " + std::to_string(teacher.class_count()) + "]");
    teacher.view_count = shape[1];
    teacher.logits = numbers("logits");
    if (format == TeacherLogits::first_format) {
        constexpr std::size_t values = 5;
        require_shape("views", {shape[0], shape[1], Index{values}});
        const std::vector<float> boxes = file.tensor<float>("views");
        std::vector<float> views;
        for (std::size_t index = 0; index + values <= boxes.size(); index += values) {
            views.insert(views.end(), boxes.data() + index, boxes.data() + index + values);
            views.insert(views.end(), {1, 1, 1});
        }
        teacher.views = std::move(views);
    } else {
        require_shape("views", {shape[0], shape[1], std::tuple_size_v<ViewValues>});
        teacher.views = numbers("views");
        if (file.contains("partners")) {
            const std::vector<Index>& mixed = file.entry("partners").shape;
            teacher.mixed_count = mixed.size() == 2 ? mixed[1] : 0;
            require_shape("partners", {shape[0], teacher.mixed_count});
            require_shape("mixes", {shape[0], teacher.mixed_count, std::tuple_size_v<MixValues>});
            teacher.partners = file.tensor<std::int32_t>("partners");
            teacher.mixes = numbers("mixes");
        }
    }
    if (const std::string problem = detail::find_logits_problem(teacher); !problem.empty()) refuse(problem);
    return teacher;
}

/// The metadata of a logits file. Throws Error where a name is not valid UTF-8.
inline Metadata logits_metadata(const TeacherLogits& teacher) {
    using Json = nlohmann::json;
    const Preprocessing& preprocessing = teacher.preprocessing;
    // Rounded, since a float printed as a double shows digits beyond its precision.
    const auto decimals = [](const std::array<float, 3>& values) {
        Json list = Json::array();
        for (const float value : values) list.push_back(std::round(double{value} * 1e6) / 1e6);
        return list;
    };
    Metadata metadata;
    try {
        metadata["paths"] = Json(teacher.paths).dump();
        metadata["hashes"] = Json(teacher.hashes).dump();
        metadata["classes"] = Json(teacher.classes).dump();
    } catch (const Json::type_error&) {
        throw Error{"a picture's name is not valid UTF-8; rename the picture"};
    }
    metadata["format"] = TeacherLogits::format;
    metadata["preprocessing"] = Json{
        {"stored_size", preprocessing.stored_size},
        {"input", {preprocessing.input_height, preprocessing.input_width}},
        {"mean", decimals(preprocessing.normalization.mean)},
        {"std", decimals(preprocessing.normalization.deviation)},
        {"resize",
         preprocessing.resize}}.dump();
    metadata["teacher"] = teacher.teacher;
    metadata["teacher_name"] = teacher.teacher_name;
    metadata["view_seed"] = std::to_string(teacher.view_seed);
    metadata["view_ranges"] = teacher.view_ranges;
    if (teacher.average_input != 0) metadata["average_input"] = std::to_string(teacher.average_input);
    return metadata;
}

/// Writes a logits file in one step. Throws Error naming the file, also for logits that are not
/// finite or counts that do not fit together.
inline void write_teacher_logits(const std::filesystem::path& path, const TeacherLogits& teacher) {
    if (const std::string problem = detail::find_logits_problem(teacher); !problem.empty())
        throw Error{path.string() + ": cannot be written: the result " + problem};
    Metadata metadata;
    try {
        metadata = logits_metadata(teacher);
    } catch (const Error& problem) {
        throw Error{path.string() + ": cannot be written: " + problem.what()};
    }
    const auto tensor = [](std::string name, std::vector<Index> shape, const FloatArray& numbers) {
        if (numbers.floats().empty()) return TensorView{std::move(name), std::move(shape), numbers.halves()};
        return TensorView{std::move(name), std::move(shape), numbers.floats()};
    };
    const Index images = teacher.image_count(), views = teacher.view_count, mixed = teacher.mixed_count;
    std::vector<TensorView> tensors{
        tensor("logits", {images, views, teacher.class_count()}, teacher.logits),
        tensor("views", {images, views, std::tuple_size_v<ViewValues>}, teacher.views),
    };
    if (mixed > 0) {
        tensors.push_back(TensorView{"partners", {images, mixed}, teacher.partners});
        tensors.push_back(tensor("mixes", {images, mixed, std::tuple_size_v<MixValues>}, teacher.mixes));
    }
    write_safetensors(path, tensors, std::move(metadata));
}

/// Throws Error naming `file` and the first mismatch unless the logits belong to exactly these
/// pictures: same classes, stored size, resize, paths in the same order, same contents.
inline void check_teacher_logits(const TeacherLogits& teacher, const std::filesystem::path& file,
                                 const ExpectedPictures& expected) {
    const auto refuse = [&](const std::string& what) {
        throw Error{file.string() + ": does not match the pictures: " + what +
                    "; create it again with precompute_logits"};
    };
    if (teacher.class_count() != static_cast<Index>(expected.classes.size()))
        refuse("it has " + std::to_string(teacher.class_count()) + " classes, the data has " +
               std::to_string(expected.classes.size()));
    for (std::size_t label = 0; label < expected.classes.size(); ++label)
        if (teacher.classes[label] != expected.classes[label])
            refuse("its class " + std::to_string(label) + " is '" + printable(teacher.classes[label]) +
                   "', in the data it is '" + printable(expected.classes[label]) + "'");
    if (teacher.preprocessing.stored_size != expected.stored_size)
        refuse("its pictures were stored at size " + std::to_string(teacher.preprocessing.stored_size) +
               ", here it is " + std::to_string(expected.stored_size));
    if (teacher.preprocessing.resize != "bilinear")
        refuse("its views were resized by '" + printable(teacher.preprocessing.resize) + "', expected 'bilinear'");
    const std::size_t common = std::min(teacher.paths.size(), expected.paths.size());
    for (std::size_t index = 0; index < common; ++index) {
        if (teacher.paths[index] != expected.paths[index])
            refuse("image " + std::to_string(index) + " is '" + printable(teacher.paths[index]) +
                   "', in the data it is '" + printable(expected.paths[index]) + "'");
        if (teacher.hashes[index] != expected.hashes[index])
            refuse("image " + std::to_string(index) + " (" + printable(teacher.paths[index]) +
                   ") has other content: hash " + printable(teacher.hashes[index]) + ", in the data it is " +
                   expected.hashes[index]);
    }
    if (teacher.paths.size() > common)
        refuse("image " + std::to_string(common) + " (" + printable(teacher.paths[common]) + ") is not in the data");
    if (expected.paths.size() > common)
        refuse("picture " + std::to_string(common) + " of the data (" + printable(expected.paths[common]) +
               ") is missing from it");
}

}  // namespace bantam
