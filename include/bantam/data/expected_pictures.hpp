// SPDX-License-Identifier: MIT
// Needs what data/picture_store.hpp and data/teacher_logits.hpp need.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/data/picture_store.hpp>
#include <bantam/data/teacher_logits.hpp>

#include <string>
#include <utility>
#include <vector>

namespace bantam {

/// The loaded pictures in the order of a logits file, for check_teacher_logits. Throws Error unless they
/// were loaded with `hash_files`.
inline ExpectedPictures expected_pictures(const LabeledPictures& training, const UnlabeledPictures& unlabeled,
                                          const LabeledPictures& validation, std::vector<std::string> classes) {
    ExpectedPictures expected;
    expected.classes = std::move(classes);
    expected.stored_size = training.store.stored_size();
    for (const PictureStore* store : {&training.store, &unlabeled.store, &validation.store}) {
        if (store->hashes().size() != store->size())
            throw Error{"pictures were loaded without hashes; set PictureOptions::hash_files"};
        expected.paths.insert(expected.paths.end(), store->paths().begin(), store->paths().end());
        expected.hashes.insert(expected.hashes.end(), store->hashes().begin(), store->hashes().end());
    }
    return expected;
}

}  // namespace bantam
