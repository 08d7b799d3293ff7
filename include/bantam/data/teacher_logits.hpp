// SPDX-License-Identifier: MIT
// Needs nlohmann/json and xxhash (see io/safetensors.hpp).
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/data/color.hpp>
#include <bantam/data/view.hpp>
#include <bantam/io/safetensors.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
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

/// A teacher's logits for several views of each picture, stored as one safetensors file:
/// `logits` F32 [image, view, class], `views` F32 [image, view, 5] (top, left, height, width, flip)
/// and metadata. View 0 is the whole picture. Logits rather than probabilities, because a stored
/// probability fixes the temperature.
struct TeacherLogits {
    static constexpr const char* format = "bantam-teacher-logits/1";

    std::vector<std::string> paths;   ///< of the images, relative to the data folder, with '/'
    std::vector<std::string> hashes;  ///< XXH64 of each image file's bytes, 16 hexadecimal digits
    std::vector<std::string> classes;
    Index view_count = 0;
    std::vector<View> views;    ///< [image][view]
    std::vector<float> logits;  ///< [image][view][class]
    Preprocessing preprocessing;
    std::string teacher;       ///< XXH64 of the teacher's weights file
    std::string teacher_name;  ///< its file name
    std::uint64_t view_seed = 0;

    Index image_count() const { return static_cast<Index>(paths.size()); }
    Index class_count() const { return static_cast<Index>(classes.size()); }

    const View& view(Index image, Index view_index) const {
        return views[static_cast<std::size_t>(image * view_count + view_index)];
    }
    /// The `class_count()` logits of one view.
    const float* view_logits(Index image, Index view_index) const {
        return logits.data() + (image * view_count + view_index) * class_count();
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

inline constexpr std::size_t view_values = 5;

// The checks of reader and writer: a description of the first fault, empty without one.
inline std::string find_logits_problem(const TeacherLogits& teacher) {
    const auto images = teacher.paths.size();
    const auto view_total = images * static_cast<std::size_t>(teacher.view_count);
    if (teacher.view_count < 1) return "has no views";
    if (teacher.classes.empty()) return "has no classes";
    if (images == 0) return "has no images";
    if (teacher.hashes.size() != images)
        return "has " + std::to_string(teacher.hashes.size()) + " hashes for " + std::to_string(images) + " images";
    if (teacher.views.size() != view_total) return "has the wrong number of views";
    if (teacher.logits.size() != view_total * teacher.classes.size()) return "has the wrong number of logits";
    for (std::size_t index = 0; index < teacher.logits.size(); ++index)
        if (!std::isfinite(teacher.logits[index])) {
            const std::size_t view = index / teacher.classes.size();
            const auto view_count = static_cast<std::size_t>(teacher.view_count);
            return "has a logit that is not finite: image " + std::to_string(view / view_count) + " (" +
                   printable(teacher.paths[view / view_count]) + "), view " + std::to_string(view % view_count) +
                   ", class '" + printable(teacher.classes[index % teacher.classes.size()]) + "'";
        }
    constexpr float slack = 1e-5F;
    for (std::size_t index = 0; index < view_total; ++index) {
        const View& view = teacher.views[index];
        const auto view_count = static_cast<std::size_t>(teacher.view_count);
        const std::string place = "image " + std::to_string(index / view_count) + " (" +
                                  printable(teacher.paths[index / view_count]) + "), view " +
                                  std::to_string(index % view_count);
        const bool inside = view.top >= -slack && view.left >= -slack && view.height > 0 && view.width > 0 &&
                            view.top + view.height <= 1 + slack && view.left + view.width <= 1 + slack;
        if (!inside) return "has a view that is not a box within the picture: " + place;
        if (index % view_count == 0 && view != whole_view())
            return "has a first view that is not the whole picture: " + place;
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
    teacher.views = std::move(views);
    if (teacher.views.empty() && view_count == 1) teacher.views.resize(static_cast<std::size_t>(images), whole_view());
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
    if (const std::string& found = file.metadata("format"); found != TeacherLogits::format)
        refuse("has format '" + printable(found) + "', expected '" + TeacherLogits::format + "'");
    TeacherLogits teacher;
    const auto strings = [&](const std::string& key) {
        return detail::metadata_value<std::vector<std::string>>(file, key, detail::parse_metadata(file, key));
    };
    teacher.paths = strings("paths");
    teacher.hashes = strings("hashes");
    teacher.classes = strings("classes");
    teacher.preprocessing = detail::read_preprocessing(file);
    teacher.teacher = file.metadata("teacher");
    teacher.teacher_name = file.metadata("teacher_name");
    const std::string& seed = file.metadata("view_seed");
    if (const auto parsed = std::from_chars(seed.data(), seed.data() + seed.size(), teacher.view_seed);
        parsed.ec != std::errc{} || parsed.ptr != seed.data() + seed.size())
        refuse("its metadata 'view_seed' is not a whole number");

    const std::vector<Index>& shape = file.entry("logits").shape;
    const std::vector<Index>& views_shape = file.entry("views").shape;
    if (shape.size() != 3 || shape[0] != teacher.image_count() || shape[2] != teacher.class_count())
        refuse("tensor 'logits' has shape " + extents_text(shape) + ", expected [" +
               std::to_string(teacher.image_count()) + ", views, " + std::to_string(teacher.class_count()) + "]");
    teacher.view_count = shape[1];
    const std::vector<Index> expected_views{shape[0], shape[1], Index{detail::view_values}};
    if (views_shape != expected_views)
        refuse("tensor 'views' has shape " + extents_text(views_shape) + ", expected " + extents_text(expected_views));
    teacher.logits = file.tensor<float>("logits");
    const std::vector<float> boxes = file.tensor<float>("views");
    for (std::size_t index = 0; index + detail::view_values <= boxes.size(); index += detail::view_values) {
        const float flip = boxes[index + 4];
        if (flip != 0 && flip != 1) refuse("has a view whose flip is neither 0 nor 1");
        teacher.views.push_back({boxes[index], boxes[index + 1], boxes[index + 2], boxes[index + 3], flip == 1});
    }
    if (const std::string problem = detail::find_logits_problem(teacher); !problem.empty()) refuse(problem);
    return teacher;
}

/// Writes a logits file in one step. Throws Error naming the file, also for logits that are not
/// finite or counts that do not fit together.
inline void write_teacher_logits(const std::filesystem::path& path, const TeacherLogits& teacher) {
    if (const std::string problem = detail::find_logits_problem(teacher); !problem.empty())
        throw Error{path.string() + ": cannot be written: the result " + problem};
    using Json = nlohmann::json;
    std::vector<float> boxes;
    boxes.reserve(teacher.views.size() * detail::view_values);
    for (const View& view : teacher.views)
        boxes.insert(boxes.end(), {view.top, view.left, view.height, view.width, view.flipped ? 1.0F : 0.0F});
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
        throw Error{path.string() + ": cannot be written: a picture's name is not valid UTF-8; rename the picture"};
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
    const Index images = teacher.image_count();
    write_safetensors(path,
                      {TensorView{"logits", {images, teacher.view_count, teacher.class_count()}, teacher.logits},
                       TensorView{"views", {images, teacher.view_count, Index{detail::view_values}}, boxes}},
                      metadata);
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
