// SPDX-License-Identifier: MIT
// Reads any bytes as teacher logits: what is read fits together, and pictures cut by its views are finite.
#include "memory_file.hpp"

#include <bantam/data/color.hpp>
#include <bantam/data/teacher_logits.hpp>
#include <bantam/data/view.hpp>

#include <algorithm>
#include <cmath>

using namespace bantam;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::MemoryFile memory;
    static const std::vector<std::uint8_t> pixels(16 * 16 * 3, 200);
    static const ExpectedPictures expected{
        {"training/a.jpg", "validation/b.jpg"}, {"0000000000000001", "0000000000000002"}, {"0", "1"}, 16};
    std::vector<float> cut(8 * 8 * 3);
    try {
        const auto path = memory.put(data, size);
        const TeacherLogits teacher = read_teacher_logits(path);
        const auto views = teacher.paths.size() * static_cast<std::size_t>(teacher.view_count);
        fuzz::require(teacher.views.size() == views && teacher.hashes.size() == teacher.paths.size());
        fuzz::require(teacher.logits.size() == views * teacher.classes.size());
        for (const float logit : teacher.logits) fuzz::require(std::isfinite(logit));
        const ColorTransform colors = compose(byte_colors(), normalize(teacher.preprocessing.normalization));
        for (std::size_t view = 0; view < std::min<std::size_t>(views, 64); ++view)
            for (const Index stored : {1, 2, 16}) {
                cut_view(pixels.data(), stored, teacher.views[view], Shape{8, 8, 3}, cut.data(), colors);
                for (const float color : cut) fuzz::require(std::isfinite(color));
            }
        check_teacher_logits(teacher, path, expected);
    } catch (const Error&) {
    }
    return 0;
}
