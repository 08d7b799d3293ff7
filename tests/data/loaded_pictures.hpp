// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/data/picture_store.hpp>
#include <bantam/data/teacher_logits.hpp>

#include "data/sample_pictures.hpp"
#include "io/temporary_folder.hpp"

#include <cstdint>
#include <string>

namespace bantam_test {

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
        for (int image = 0; image < labeled_count + unlabeled_count; ++image) {
            teacher.paths.push_back(std::to_string(1000 + image) + ".png");
            for (int view = 0; view < 4; ++view) {
                teacher.views.push_back(view == 0 ? bantam::whole_view() : bantam::random_view(random));
                // The logits of a view are the numbers of its image and view.
                teacher.logits.insert(teacher.logits.end(), {float(image), float(view), 0.5F});
            }
        }
    }
};

}  // namespace bantam_test
