// SPDX-License-Identifier: MIT
// Needs stb_image (through data/picture.hpp).
#pragma once

#include <bantam/data/picture.hpp>
#include <bantam/data/picture_problem.hpp>
#include <bantam/io/read_file.hpp>
#include <bantam/io/tar_index.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace bantam {

/// Reads the bytes of picture files, also of those in tar archives: shard.tar/000123.jpg is a file in shard.tar. The
/// latest archive stays open, so that pictures are best read archive by archive. One thread at a time may use it.
class PictureReader {
public:
    /// As read_picture_file. Throws Error where an archive is damaged, too.
    PictureProblem read(const std::filesystem::path& path, std::vector<std::uint8_t>& bytes,
                        const PictureLimits& limits = {}) {
        const std::string text = path.string();
        if (!archive_ || !text.starts_with(archive_->start)) {
            const std::filesystem::path archive = archive_of(path);
            if (archive.empty()) return read_picture_file(path, bytes, limits);
            archive_.emplace(archive);
        }
        bytes.clear();
        const std::string name = text.substr(archive_->start.size());
        const auto found = std::ranges::lower_bound(archive_->entries, name, {}, &TarEntry::name);
        if (found == archive_->entries.end() || found->name != name) return PictureProblem::unreadable;
        if (found->size == 0) return PictureProblem::empty;
        if (found->size > limits.bytes) return PictureProblem::too_large;
        bytes.resize(found->size);
        archive_->file.read(found->position, bytes.data(), bytes.size());
        return PictureProblem::none;
    }

private:
    struct Archive {
        explicit Archive(const std::filesystem::path& path)
            : start{path.string() + '/'}, file{path}, entries{read_tar_index(file)} {
            std::ranges::sort(entries, {}, &TarEntry::name);
        }
        std::string start;
        InputFile file;
        std::vector<TarEntry> entries;  // by name
    };

    std::optional<Archive> archive_;
};

}  // namespace bantam
