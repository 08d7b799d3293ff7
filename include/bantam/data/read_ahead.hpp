// SPDX-License-Identifier: MIT
// Needs threads.
#pragma once

#include <bantam/base/index.hpp>
#include <bantam/data/batch.hpp>
#include <bantam/data/batch_queue.hpp>
#include <bantam/io/mapped_file.hpp>

#include <algorithm>
#include <cstdint>
#include <span>

namespace bantam::detail {

/// Batches whose pictures the disk reads while earlier ones are used.
inline constexpr Index batches_read_ahead = 4;

/// `assemble` for a BatchQueue of `count` batches from `first` on whose pictures lie in a MappedFile: the system starts
/// to load the pictures of the next batches before a batch is assembled, and the batch's leave this process's memory
/// after it. `pictures_of(index, use)` calls `use` with the bytes of each picture of a batch.
template <class PicturesOf, class Assemble>
BatchQueue::Assemble with_read_ahead(Index count, Index first, PicturesOf pictures_of, Assemble assemble) {
    return [=, next = first](Index index, Batch& batch) mutable {
        for (; next < std::min(index + 1 + batches_read_ahead, count); ++next)
            pictures_of(next, [](std::span<const std::uint8_t> picture) { read_ahead(picture); });
        assemble(index, batch);
        pictures_of(index, [](std::span<const std::uint8_t> picture) { release_pages(picture); });
    };
}

}  // namespace bantam::detail
