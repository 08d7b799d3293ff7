// SPDX-License-Identifier: MIT
// Reads any bytes as teacher logits: what is read fits together, and pictures cut by its views are finite.
#include "memory_file.hpp"

#include <bantam/data/color.hpp>
#include <bantam/data/sample_plan.hpp>
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
        fuzz::require(teacher.views.size() == views * 8 && teacher.hashes.size() == teacher.paths.size());
        fuzz::require(teacher.logits.size() == views * teacher.classes.size());
        for (std::size_t i = 0; i < teacher.logits.size(); ++i) fuzz::require(std::isfinite(teacher.logits[i]));
        const auto colors = [&](const ColorFactors& factors) {
            return compose(compose(byte_colors(), change_colors(factors)),
                           normalize(teacher.preprocessing.normalization));
        };
        for (Index row = 0; row < static_cast<Index>(std::min<std::size_t>(views, 64)); ++row) {
            const StoredView shown = teacher.stored_view(row);
            SamplePlan plan{.view = shown.view, .colors = colors(shown.color)};
            if (teacher.is_mixed(row)) {
                const StoredMix mixed = teacher.stored_mix(row);
                fuzz::require(mixed.image >= 0 && mixed.image < teacher.image_count());
                plan.second = {0, mixed.second.view, colors(mixed.second.color), mixed.mix};
            }
            for (const Index stored : {1, 2, 16}) {
                cut_sample([&](Index) { return pixels.data(); }, stored, plan, Shape{8, 8, 3}, cut.data());
                for (const float color : cut) fuzz::require(std::isfinite(color));
            }
        }
        check_teacher_logits(teacher, path, expected);
    } catch (const Error&) {
    }
    return 0;
}
