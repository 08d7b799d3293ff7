// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/data/picture_store.hpp>
#include <bantam/data/teacher_logits.hpp>

#include "data/sample_pictures.hpp"
#include "io/temporary_folder.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace bantam_test {

/// Halves and colors in place of floats and plain views, and the last view mixed with the next but one of the images.
inline void mix_last_view(bantam::TeacherLogits& teacher) {
    std::vector<bantam::Float16> logits, views, mixes;
    const auto append = [](std::vector<bantam::Float16>& to, const auto& values) {
        for (const float value : values) to.push_back(bantam::Float16{value});
    };
    bantam::Random random{8, 2};
    const bantam::Index images = teacher.image_count();
    teacher.mixed_count = 1;
    for (bantam::Index row = 0; row < images * teacher.view_count; ++row) {
        append(logits, teacher.row_logits(row));
        const bool whole = row % teacher.view_count == 0;
        append(views, values_of(whole ? bantam::StoredView{} : bantam::random_stored_view(random, {})));
        if (!teacher.is_mixed(row)) continue;
        teacher.partners.push_back(static_cast<std::int32_t>((row / teacher.view_count + 2) % images));
        append(mixes, values_of(bantam::random_stored_view(random, {}), bantam::random_mix(random)));
    }
    teacher.logits = std::move(logits);
    teacher.views = std::move(views);
    teacher.mixes = std::move(mixes);
}

/// Small pictures read from files, with a teacher's logits for four views of each.
struct LoadedPictures {
    static constexpr int stored_size = 12;

    TemporaryFolder folder;
    bantam::LabeledPictures labeled;
    bantam::UnlabeledPictures unlabeled;
    bantam::TestPictures testing;
    bantam::TeacherLogits teacher;

    LoadedPictures(int labeled_count, int unlabeled_count) {
        bantam::LabeledSplit labeled_split;
        bantam::UnlabeledSplit unlabeled_split;
        for (int index = 0; index < labeled_count + unlabeled_count; ++index) {
            const std::string name = std::to_string(1000 + index) + ".png";
            folder.write(name, png_of(smooth_pixels(stored_size, stored_size, 3, std::uint64_t(index)), stored_size,
                                      stored_size, 3));
            if (index < labeled_count) {
                labeled_split.paths.push_back(name);
                labeled_split.labels.push_back(index);
            } else {
                unlabeled_split.paths.push_back(name);
            }
        }
        const bantam::PictureOptions options{.stored_size = stored_size, .hash_files = true};
        labeled = load_pictures(folder.path(), labeled_split, options);
        unlabeled = load_pictures(folder.path(), unlabeled_split, options);
        testing = load_pictures(folder.path(), bantam::TestSplit{unlabeled_split.paths}, options);

        bantam::Random random{1, 1};
        teacher.classes = {"0", "1", "2"};
        teacher.view_count = 4;
        std::vector<float> views, logits;
        for (int image = 0; image < labeled_count + unlabeled_count; ++image) {
            teacher.paths.push_back(std::to_string(1000 + image) + ".png");
            for (int view = 0; view < 4; ++view) {
                const bantam::View box = view == 0 ? bantam::whole_view() : bantam::random_view(random);
                std::ranges::copy(values_of(bantam::StoredView{box, {}}), std::back_inserter(views));
                // The logits of a view are the numbers of its image and view.
                logits.insert(logits.end(), {float(image), float(view), 0.5F});
            }
        }
        teacher.views = std::move(views);
        teacher.logits = std::move(logits);
    }
};

}  // namespace bantam_test
