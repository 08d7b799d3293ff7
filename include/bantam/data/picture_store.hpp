// SPDX-License-Identifier: MIT
// Needs stb_image and xxhash (through data/picture.hpp and io/hash.hpp) and threads.
#pragma once

#include <bantam/base/communicator.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/picture_count.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/picture_cache.hpp>
#include <bantam/data/picture_files.hpp>
#include <bantam/data/resize.hpp>
#include <bantam/io/hash.hpp>
#include <bantam/io/rank_memory.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace bantam {

/// Decoded pictures in memory, or in the mapped memory of a cache file: 8-bit RGB, [stored_size][stored_size][3] each,
/// in the order of their files. Bad files are left out; `source_index` gives the position of a picture's file in the
/// list.
class PictureStore {
public:
    PictureStore() = default;

    /// Reads and decodes `paths` (relative to `root`) with `options.threads` threads; the result
    /// does not depend on their number, nor on that of `options.ranks`, all of which pass the same paths. In strict
    /// mode throws Error naming the first bad file. With `options.cache`
    /// nothing is read or copied; throws Error where the cache lacks a path, or has it for another use.
    PictureStore(const std::filesystem::path& root, const std::vector<std::string>& paths,
                 const PictureOptions& options, PictureUse use = PictureUse::training);

    /// Pictures that are no files: 8-bit RGB, [picture][height][width][3]. They are copied, resized to
    /// `options.stored_size` squared, and named "0", "1", …. Throws Error where the last one is not whole.
    static PictureStore from_memory(std::span<const std::uint8_t> pixels, int height, int width,
                                    const PictureOptions& options);

    std::size_t size() const { return paths_.size(); }
    int stored_size() const { return stored_size_; }
    std::size_t picture_bytes() const {
        return std::size_t{3} * static_cast<std::size_t>(stored_size_) * static_cast<std::size_t>(stored_size_);
    }
    const std::uint8_t* pixels(std::size_t index) const {
        return cache_ ? cache_->pixels(entries_[index]) : pixels_.get() + sources_[index] * picture_bytes();
    }
    /// Whether the pictures lie in a mapped file, where those of the next batches are best read ahead.
    bool is_mapped() const { return cache_ != nullptr; }
    const std::vector<std::string>& paths() const { return paths_; }
    /// One for each picture, or none if they were not asked for.
    const std::vector<std::string>& hashes() const { return hashes_; }
    std::size_t source_index(std::size_t index) const { return sources_[index]; }
    const PictureReport& report() const { return report_; }

private:
    /// Memory of `create(bytes)` for `count` pictures; `from` names them in errors.
    template <class Create>
    void allocate(std::size_t count, int stored_size, const std::string& from, const Create& create);
    void decode(const std::filesystem::path& root, const std::vector<std::string>& paths,
                const PictureOptions& options);
    void take_from_cache(const std::vector<std::string>& paths, const PictureOptions& options, PictureUse use);
    /// Reports `problems`, one per path; throws Error in strict mode.
    void set_report(const std::filesystem::path& root, const std::vector<std::string>& paths,
                    const std::vector<PictureProblem>& problems, const PictureOptions& options);

    int stored_size_ = 0;
    std::shared_ptr<std::uint8_t[]> pixels_;  // of all files, also of bad ones
    std::shared_ptr<const PictureCache> cache_;
    std::vector<std::size_t> entries_;  // of each picture in the cache
    std::vector<std::string> paths_;
    std::vector<std::string> hashes_;
    std::vector<std::size_t> sources_;
    PictureReport report_;
};

/// Decoded pictures with their labels.
struct LabeledPictures {
    PictureStore store;
    std::vector<int> labels;  ///< of each picture of the store
};

namespace detail {

inline void require_labels(const LabeledPictures& pictures) {
    if (pictures.labels.size() != pictures.store.size())
        throw Error{"there are " + std::to_string(pictures.labels.size()) + " labels for " +
                    std::to_string(pictures.store.size()) + " pictures; give one label per picture"};
}

}  // namespace detail

/// Decoded training pictures without labels.
struct UnlabeledPictures {
    PictureStore store;
};

/// Decoded testing pictures, for prediction only.
struct TestPictures {
    PictureStore store;
};

inline LabeledPictures load_pictures(const std::filesystem::path& root, const LabeledSplit& split,
                                     const PictureOptions& options) {
    LabeledPictures pictures{PictureStore{root, split.paths, options}, {}};
    for (std::size_t index = 0; index < pictures.store.size(); ++index)
        pictures.labels.push_back(split.labels[pictures.store.source_index(index)]);
    return pictures;
}

inline UnlabeledPictures load_pictures(const std::filesystem::path& root, const UnlabeledSplit& split,
                                       const PictureOptions& options) {
    return {PictureStore{root, split.paths, options}};
}

inline TestPictures load_pictures(const std::filesystem::path& root, const TestSplit& split,
                                  const PictureOptions& options) {
    return {PictureStore{root, split.paths(), options, PictureUse::testing}};
}

/// Decodes the testing pictures and keeps none of them: what is wrong with them, before a training run whose end
/// needs them all. Of the options it takes `threads`, `limits`, `progress` and `cache`.
inline PictureReport check_pictures(const std::filesystem::path& root, const TestSplit& split,
                                    const PictureOptions& options) {
    if (options.cache) {
        PictureOptions reporting = options;
        reporting.strict = false;
        return load_pictures(root, split, reporting).store.report();
    }
    return detail::picture_report(split.paths(), detail::decode_files(root, std::span<const std::string>{split.paths()},
                                                                      options, [](const auto&...) {}));
}

template <class Create>
void PictureStore::allocate(std::size_t count, int stored_size, const std::string& from, const Create& create) {
    detail::require_stored_size(stored_size);
    stored_size_ = stored_size;
    try {
        pixels_ = create(count * picture_bytes());
    } catch (const std::bad_alloc&) {
        throw Error{from + ": " + std::to_string(count) + " pictures of " + std::to_string(stored_size_) + "x" +
                    std::to_string(stored_size_) + " pixels do not fit into memory; choose a smaller stored size"};
    }
}

inline PictureStore PictureStore::from_memory(std::span<const std::uint8_t> pixels, int height, int width,
                                              const PictureOptions& options) {
    if (height < 1 || width < 1)
        throw Error{"pictures in memory of " + std::to_string(height) + "x" + std::to_string(width) +
                    " have no pixels; name their height and width"};
    const auto count = static_cast<std::size_t>(picture_count(pixels.size(), height, width, 3));
    PictureStore store;
    store.allocate(count, options.stored_size, "memory", std::make_unique_for_overwrite<std::uint8_t[]>);
    const std::size_t bytes = count == 0 ? 0 : pixels.size() / count;
    for (std::size_t index = 0; index < count; ++index) {
        const std::uint8_t* const from = pixels.data() + index * bytes;
        resize_rgb(from, height, width, store.pixels_.get() + index * store.picture_bytes(), options.stored_size,
                   options.stored_size);
        if (options.hash_files) store.hashes_.push_back(hash_bytes(from, bytes));
        store.paths_.push_back(std::to_string(index));
        store.sources_.push_back(index);
    }
    store.report_.files = count;
    store.report_.counts[static_cast<std::size_t>(PictureProblem::none)] = count;
    return store;
}

inline PictureStore::PictureStore(const std::filesystem::path& root, const std::vector<std::string>& paths,
                                  const PictureOptions& options, PictureUse use) {
    if (options.cache)
        take_from_cache(paths, options, use);
    else
        decode(root, paths, options);
}

inline void PictureStore::set_report(const std::filesystem::path& root, const std::vector<std::string>& paths,
                                     const std::vector<PictureProblem>& problems, const PictureOptions& options) {
    report_ = detail::picture_report(paths, problems);
    if (options.strict && report_.bad() > 0)
        throw Error{(root / report_.named.front().first).string() + ": " +
                    std::string{picture_problem_text(report_.named.front().second)} + "; replace or remove the file"};
}

namespace detail {

/// Throws Error where a rank lists other pictures than the first one.
inline void require_same_paths(Communicator& ranks, const std::filesystem::path& root,
                               const std::vector<std::string>& paths) {
    Hasher hasher;
    for (const std::string& path : paths) hasher.update(path.c_str(), path.size() + 1);
    const std::uint64_t here = hasher.value();
    std::uint64_t first = here;
    broadcast(ranks, std::span{&first, 1}, 0);
    if (here != first)
        throw Error{root.string() + ": has other pictures than the first rank reads; give all ranks the same files"};
}

/// Sends what each rank has written, the bytes `slice_of(rank)`, to the ranks that hold other memory.
template <class SliceOf>
void exchange_slices(Communicator& ranks, const RankMemory& memory, const SliceOf& slice_of) {
    constexpr Index most_bytes = Index{1} << 26;
    const auto [here, count] = ranks.rank();
    for (int from = 0; from < count; ++from) {
        const IndexRange slice = slice_of(Rank{from, count});
        for (int to = 0; to < count; ++to) {
            if (memory.holder(to) != to || memory.holder(from) == to || (here != from && here != to)) continue;
            for (Index begin = slice.begin; begin < slice.end; begin += most_bytes) {
                const auto size = static_cast<std::size_t>(std::min(most_bytes, slice.end - begin));
                const std::span<std::uint8_t> bytes{memory.bytes().get() + begin, size};
                if (here == from)
                    ranks.send(std::as_bytes(bytes), to);
                else
                    ranks.receive(std::as_writable_bytes(bytes), from);
            }
        }
    }
    ranks.barrier();
}

}  // namespace detail

inline void PictureStore::decode(const std::filesystem::path& root, const std::vector<std::string>& paths,
                                 const PictureOptions& options) {
    const std::size_t count = paths.size();
    const auto files_of = [&](Rank rank) {
        const auto files = static_cast<Index>(count);
        return IndexRange{files * rank.index / rank.count, files * (rank.index + 1) / rank.count};
    };
    Communicator* const ranks = options.ranks && options.ranks->rank().count > 1 ? options.ranks : nullptr;
    std::optional<RankMemory> memory;
    if (ranks) detail::require_same_paths(*ranks, root, paths);
    allocate(count, options.stored_size, root.string(), [&](std::size_t bytes) -> std::shared_ptr<std::uint8_t[]> {
        if (!ranks) return std::make_unique_for_overwrite<std::uint8_t[]>(bytes);
        return memory.emplace(*ranks, bytes, options.share_memory).bytes();
    });

    const IndexRange slice = files_of(ranks ? ranks->rank() : Rank{});
    const auto first = static_cast<std::size_t>(slice.begin);
    PictureOptions reading = options;
    if (options.progress)
        reading.progress = [&](std::size_t done, std::size_t all) {
            options.progress(all == 0 ? count : done * count / all, count);
        };
    std::vector<std::uint64_t> hashes(count);
    std::vector<PictureProblem> problems = detail::decode_files(
        root, std::span<const std::string>{paths}.subspan(first, static_cast<std::size_t>(slice.count())), reading,
        [&](std::size_t index, const std::vector<std::uint8_t>& bytes, const Picture& picture) {
            if (options.hash_files) hashes[first + index] = XXH64(bytes.data(), bytes.size(), 0);
            resize_rgb(picture.rgb.data(), picture.height, picture.width,
                       pixels_.get() + (first + index) * picture_bytes(), stored_size_, stored_size_);
        });
    if (ranks) {
        problems.insert(problems.begin(), first, PictureProblem::none);
        problems.resize(count);
        all_gather(*ranks, std::span{problems}, 1, files_of);
        all_gather(*ranks, std::span{hashes}, 1, files_of);
        const auto bytes = static_cast<Index>(picture_bytes());
        detail::exchange_slices(*ranks, *memory, [&](Rank rank) {
            const IndexRange files = files_of(rank);
            return IndexRange{files.begin * bytes, files.end * bytes};
        });
    }

    set_report(root, paths, problems, options);
    for (std::size_t index = 0; index < count; ++index) {
        if (problems[index] != PictureProblem::none) continue;
        if (options.hash_files) hashes_.push_back(hash_text(hashes[index]));
        paths_.push_back(paths[index]);
        sources_.push_back(index);
    }
}

inline void PictureStore::take_from_cache(const std::vector<std::string>& paths, const PictureOptions& options,
                                          PictureUse use) {
    cache_ = options.cache;
    stored_size_ = cache_->stored_size();
    std::vector<PictureProblem> problems;
    for (std::size_t index = 0; index < paths.size(); ++index) {
        const std::size_t entry = cache_->require(paths[index], use);
        const PictureCache::Entry& found = cache_->entry(entry);
        problems.push_back(found.problem);
        if (found.problem != PictureProblem::none) continue;
        if (options.hash_files) hashes_.push_back(hash_text(found.file_hash));
        paths_.push_back(paths[index]);
        sources_.push_back(index);
        entries_.push_back(entry);
    }
    set_report(cache_->path(), paths, problems, options);
}

}  // namespace bantam
