// SPDX-License-Identifier: MIT
// Needs stb_image and xxhash (through data/picture.hpp and io/hash.hpp) and threads.
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/parallel_for.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/data/folders.hpp>
#include <bantam/data/picture.hpp>
#include <bantam/data/picture_bytes.hpp>
#include <bantam/data/picture_files.hpp>
#include <bantam/data/picture_reader.hpp>
#include <bantam/data/resize.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/hash.hpp>
#include <bantam/io/lock_file.hpp>
#include <bantam/io/mapped_file.hpp>
#include <bantam/io/tar_index.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace bantam {

/// What a picture may be used for: testing pictures are for inference alone.
enum class PictureUse : std::uint8_t { training, testing };

/// How open_picture_cache works.
struct PictureCacheOptions {
    /// Compares the contents of all files and pictures with their hashes.
    bool verify = false;
    /// Called where another process writes the cache, with its name, before it is waited for.
    std::function<void(const std::string&)> on_wait = [](const std::string&) {};
};

/// A file of decoded pictures, mapped into memory: a program that opens it decodes nothing, several programs share its
/// pages, and a set that is larger than memory is read from the disk as it is used.
///
/// It has one header, little-endian, and then the pictures, 8-bit RGB, [picture][stored_size][stored_size][3]:
///
///   "bantam-pictures\n"  format version (4 bytes)  stored size (4)  pictures (8)  bytes of the header (8)
///   XXH64 of the header without this field (8)
///   of each picture, in the order of their paths' bytes:
///     size of its file or tar archive (8)  time of its last change, ns (8)  XXH64 of its contents (8)  XXH64 of its
///     pixels (8) problem (1)  use (1)  bytes of its path (2)  path
///
/// The header is filled up with zeros to a multiple of 4,096 bytes. A picture with a problem has black pixels.
class PictureCache {
public:
    static constexpr std::string_view magic = "bantam-pictures\n";
    static constexpr std::uint32_t format_version = 1;
    static constexpr std::size_t fixed_header = 48;
    static constexpr std::size_t fixed_entry = 36;
    static constexpr std::size_t alignment = 4096;

    struct Entry {
        std::string_view path;  ///< relative to the data folder, with '/'
        std::uint64_t file_size = 0;
        std::int64_t file_time = 0;
        std::uint64_t file_hash = 0;   ///< 0 where the picture has a problem
        std::uint64_t pixel_hash = 0;  ///< 0 where the picture has a problem
        PictureProblem problem = PictureProblem::none;
        PictureUse use = PictureUse::training;
    };

    /// Opens a cache as it is. Throws Error where the file is no cache, of another version, cut off or damaged.
    explicit PictureCache(const std::filesystem::path& file);

    const std::filesystem::path& path() const { return file_.path(); }
    int stored_size() const { return stored_size_; }
    std::size_t size() const { return entries_.size(); }
    std::size_t picture_bytes() const {
        return std::size_t{3} * static_cast<std::size_t>(stored_size_) * static_cast<std::size_t>(stored_size_);
    }
    const Entry& entry(std::size_t index) const { return entries_[index]; }
    const std::uint8_t* pixels(std::size_t index) const {
        return file_.bytes().data() + header_bytes_ + index * picture_bytes();
    }
    std::span<const std::uint8_t> picture(std::size_t index) const { return {pixels(index), picture_bytes()}; }

    /// The entry of a picture's path, or null.
    const Entry* find(std::string_view path) const {
        const auto found = std::ranges::lower_bound(entries_, path, {}, &Entry::path);
        return found == entries_.end() || found->path != path ? nullptr : &*found;
    }

    /// The index of a picture's entry. Throws Error where there is none, or where it is for another use.
    std::size_t require(std::string_view path, PictureUse use) const {
        const Entry* const found = find(path);
        if (found == nullptr)
            throw Error{this->path().string() + ": lacks the picture " + printable(path) +
                        "; open the cache with the folders that hold it"};
        if (found->use != use)
            throw Error{this->path().string() + ": its picture " + printable(path) +
                        (use == PictureUse::training ? " is a testing picture, for prediction only"
                                                     : " is a training picture and no testing picture") +
                        "; is the data folder the one that the cache was made of?"};
        return static_cast<std::size_t>(found - entries_.data());
    }

private:
    [[noreturn]] void refuse(const std::string& what) const {
        throw Error{path().string() + ": " + what + "; remove it, and it is made again"};
    }
    void read_entries(std::span<const std::uint8_t> header, std::uint64_t count);

    MappedFile file_;
    int stored_size_ = 0;
    std::size_t header_bytes_ = 0;
    std::vector<Entry> entries_;
};

/// Opens the cache `file` for the pictures of `folders`. Those whose file it does not have, or whose file has another
/// size or time, are decoded and the cache is written anew with the others copied; so is a cache that does not exist.
/// Two processes may do that at once: one waits for the other. Pictures of splits that are left out of `folders` stay
/// in the cache as long as their files stay as they are. Of `options` it takes the stored size, threads, limits and
/// progress. Throws Error where the file is no cache, damaged, or has another stored size, and, where `verify` is set,
/// where pixels differ from their hash.
std::shared_ptr<const PictureCache> open_picture_cache(const std::filesystem::path& file,
                                                       const HomeworkFolders& folders, const PictureOptions& options,
                                                       const PictureCacheOptions& how = {});

inline PictureCache::PictureCache(const std::filesystem::path& file) : file_{file} {
    using detail::little_endian;
    const std::span<const std::uint8_t> bytes = file_.bytes();
    if (bytes.empty() || !detail::starts_with(bytes, magic.substr(0, std::min(magic.size(), bytes.size()))))
        throw Error{path().string() + ": is no cache of pictures; choose another name for the cache"};
    if (bytes.size() < fixed_header) refuse("is cut off");
    const std::uint64_t format = little_endian(bytes, 16, 4), side = little_endian(bytes, 20, 4);
    const std::uint64_t count = little_endian(bytes, 24, 8), header = little_endian(bytes, 32, 8);
    if (format != format_version)
        refuse("is a cache of version " + std::to_string(format) + ", expected " + std::to_string(format_version));
    if (header < fixed_header) refuse("is damaged");
    if (header > bytes.size()) refuse("is cut off");
    header_bytes_ = static_cast<std::size_t>(header);
    Hasher hasher;
    hasher.update(bytes.data(), fixed_header - 8);
    hasher.update(bytes.data() + fixed_header, header_bytes_ - fixed_header);
    if (hasher.value() != little_endian(bytes, fixed_header - 8, 8)) refuse("is damaged: its header has another hash");
    // What follows can only fail for a header that was made by another program.
    if (side < 1 || side > 4096) refuse("is damaged");
    stored_size_ = static_cast<int>(side);
    const std::uint64_t pixel_bytes = bytes.size() - header;
    if (count > pixel_bytes / picture_bytes()) refuse("is cut off");
    if (count * picture_bytes() != pixel_bytes) refuse("is longer than its header says");
    read_entries(bytes.first(header_bytes_), count);
}

inline void PictureCache::read_entries(std::span<const std::uint8_t> header, std::uint64_t count) {
    using detail::little_endian;
    entries_.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(count, header.size() / fixed_entry)));
    std::size_t position = fixed_header;
    for (std::uint64_t index = 0; index < count; ++index) {
        if (header.size() - position < fixed_entry) refuse("is damaged");
        const std::size_t length = little_endian(header, position + 34, 2);
        const std::uint8_t problem = header[position + 32], use = header[position + 33];
        if (length > header.size() - position - fixed_entry || problem >= picture_problem_count || use > 1)
            refuse("is damaged");
        const Entry entry{
            .path = {reinterpret_cast<const char*>(header.data()) + position + fixed_entry, length},
            .file_size = little_endian(header, position, 8),
            .file_time = static_cast<std::int64_t>(little_endian(header, position + 8, 8)),
            .file_hash = little_endian(header, position + 16, 8),
            .pixel_hash = little_endian(header, position + 24, 8),
            .problem = static_cast<PictureProblem>(problem),
            .use = static_cast<PictureUse>(use),
        };
        if (!entries_.empty() && entries_.back().path >= entry.path) refuse("is damaged");
        entries_.push_back(entry);
        position += fixed_entry + length;
    }
}

namespace detail {

/// A picture that a cache is to have.
struct CachedPicture {
    std::string path;
    PictureUse use = PictureUse::training;
    std::uint64_t file_size = 0;
    std::int64_t file_time = 0;
    const PictureCache::Entry* known = nullptr;  ///< in the older cache, null: to be decoded
};

/// Size and time of a picture's file, or of the archive that holds it; zeros where it does not exist, which decoding
/// reports.
inline void read_stamp(const std::filesystem::path& root, CachedPicture& picture) {
    std::error_code cause;
    const std::filesystem::path archive = archive_of(root / picture.path);
    const std::filesystem::path file = archive.empty() ? root / picture.path : archive;
    picture.file_size = std::filesystem::file_size(file, cause);
    const auto time = std::filesystem::last_write_time(file, cause);
    if (cause) {
        picture.file_size = 0;
        picture.file_time = 0;
        return;
    }
    picture.file_time = std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

inline bool same_file(const CachedPicture& picture, const PictureCache::Entry& entry) {
    return picture.file_size == entry.file_size && picture.file_time == entry.file_time;
}

/// The pictures of `folders` by path, with size and time of their files.
inline std::vector<CachedPicture> list_cached_pictures(const HomeworkFolders& folders, int threads) {
    std::vector<CachedPicture> pictures;
    for (const auto* paths : {&folders.training.paths, &folders.unlabeled.paths, &folders.validation.paths})
        for (const std::string& path : *paths) pictures.push_back({.path = path});
    for (const std::string& path : folders.testing.paths())
        pictures.push_back({.path = path, .use = PictureUse::testing});
    std::ranges::sort(pictures, {}, &CachedPicture::path);
    parallel_for(static_cast<Index>(pictures.size()), threads,
                 [&](Index index, int) { read_stamp(folders.root, pictures[static_cast<std::size_t>(index)]); });
    return pictures;
}

/// Whether a picture's file still has the contents of its entry.
inline bool same_contents(const std::filesystem::path& root, const PictureCache::Entry& entry,
                          const PictureOptions& options, PictureReader& reader) {
    std::vector<std::uint8_t> bytes;
    PictureProblem problem = reader.read(root / entry.path, bytes, options.limits);
    if (problem == PictureProblem::none && entry.problem == PictureProblem::none)
        return XXH64(bytes.data(), bytes.size(), 0) == entry.file_hash;
    Picture picture;
    if (problem == PictureProblem::none)
        problem = decode_picture(std::span<const std::uint8_t>{bytes}, options.limits, picture);
    return problem == entry.problem;
}

/// Compares all pixels of the cache with their hashes, and the contents of the known files; those that differ are no
/// longer known.
inline void verify_pictures(const PictureCache& cache, const std::filesystem::path& root,
                            std::vector<CachedPicture>& pictures, const PictureOptions& options) {
    parallel_for(static_cast<Index>(cache.size()), options.threads, [&](Index index, int) {
        const PictureCache::Entry& entry = cache.entry(static_cast<std::size_t>(index));
        const std::span<const std::uint8_t> pixels = cache.picture(static_cast<std::size_t>(index));
        if (entry.problem == PictureProblem::none && XXH64(pixels.data(), pixels.size(), 0) != entry.pixel_hash)
            throw Error{cache.path().string() + ": is damaged: the pixels of " + printable(entry.path) +
                        " have another hash; remove it, and it is made again"};
        release_pages(pixels);
    });
    std::vector<PictureReader> readers(static_cast<std::size_t>(std::max(options.threads, 1)));
    parallel_for(static_cast<Index>(pictures.size()), options.threads, [&](Index index, int thread) {
        CachedPicture& picture = pictures[static_cast<std::size_t>(index)];
        PictureReader& reader = readers[static_cast<std::size_t>(thread)];
        if (picture.known != nullptr && !same_contents(root, *picture.known, options, reader)) picture.known = nullptr;
    });
}

/// The cache, if there is one, with `pictures` looked up in it. Throws Error where it cannot be used.
inline std::shared_ptr<const PictureCache> look_up_pictures(const std::filesystem::path& file,
                                                            const std::filesystem::path& root,
                                                            std::vector<CachedPicture>& pictures,
                                                            const PictureOptions& options, bool verify) {
    for (CachedPicture& picture : pictures) picture.known = nullptr;
    if (!std::filesystem::exists(file_status(file))) return nullptr;
    auto cache = std::make_shared<const PictureCache>(file);
    const auto size_text = [](int size) { return std::to_string(size) + "x" + std::to_string(size); };
    if (cache->stored_size() != options.stored_size)
        throw Error{file.string() + ": holds pictures of " + size_text(cache->stored_size()) + ", expected " +
                    size_text(options.stored_size) + "; choose another name for the cache, or remove it"};
    for (CachedPicture& picture : pictures) {
        const PictureCache::Entry* const entry = cache->find(picture.path);
        if (entry != nullptr && same_file(picture, *entry) && entry->use == picture.use) picture.known = entry;
    }
    if (verify) verify_pictures(*cache, root, pictures, options);
    return cache;
}

/// Adds the pictures that only the older cache has and whose files are as they were.
inline void keep_other_pictures(const PictureCache& cache, const std::filesystem::path& root,
                                std::vector<CachedPicture>& pictures) {
    std::vector<CachedPicture> others;
    for (std::size_t index = 0; index < cache.size(); ++index) {
        const PictureCache::Entry& entry = cache.entry(index);
        if (std::ranges::binary_search(pictures, entry.path, {}, &CachedPicture::path)) continue;
        CachedPicture other{.path = std::string{entry.path}, .use = entry.use, .known = &entry};
        read_stamp(root, other);
        if (same_file(other, entry) && other.file_size > 0) others.push_back(std::move(other));
    }
    std::ranges::move(others, std::back_inserter(pictures));
    std::ranges::sort(pictures, {}, &CachedPicture::path);
}

inline void require_space(const std::filesystem::path& file, std::uint64_t bytes) {
    std::error_code ignored;
    const auto folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path{"."};
    const std::filesystem::space_info space = std::filesystem::space(folder, ignored);
    if (!ignored && space.available < bytes)
        throw Error{file.string() + ": needs " + std::to_string(bytes >> 20) + " MiB, but its disk has " +
                    std::to_string(space.available >> 20) + " MiB left; free some, or choose another folder"};
}

/// Writes the cache of `pictures`: those that are known are copied from the older cache, the others decoded.
inline void write_pictures(const std::filesystem::path& file, const std::filesystem::path& root,
                           const PictureCache* older, const std::vector<CachedPicture>& pictures,
                           const PictureOptions& options) {
    const std::size_t count = pictures.size();
    const auto side = static_cast<std::size_t>(options.stored_size);
    const std::size_t picture_bytes = 3 * side * side;
    std::size_t header_bytes = PictureCache::fixed_header;
    for (const CachedPicture& picture : pictures) {
        if (picture.path.size() > 65535) throw Error{printable(picture.path) + ": the path is too long; shorten it"};
        header_bytes += PictureCache::fixed_entry + picture.path.size();
    }
    header_bytes = (header_bytes + PictureCache::alignment - 1) / PictureCache::alignment * PictureCache::alignment;
    require_space(file, header_bytes + count * picture_bytes);

    std::vector<PictureCache::Entry> entries(count);
    std::size_t missing = 0, decoded = 0;
    for (std::size_t index = 0; index < count; ++index) {
        const CachedPicture& picture = pictures[index];
        if (picture.known != nullptr) entries[index] = *picture.known;
        entries[index].path = picture.path;
        entries[index].use = picture.use;
        entries[index].file_size = picture.file_size;
        entries[index].file_time = picture.file_time;
        missing += picture.known == nullptr;
    }

    AtomicFile out{file};
    out.write(std::string(header_bytes, '\0'));
    constexpr std::size_t block_bytes = std::size_t{1} << 25;
    const std::size_t block = std::max<std::size_t>(block_bytes / picture_bytes, 1);
    std::vector<std::uint8_t> pixels;
    for (std::size_t first = 0; first < count; first += block) {
        const std::size_t last = std::min(first + block, count);
        pixels.assign((last - first) * picture_bytes, 0);
        const auto pixels_of = [&](std::size_t index) { return pixels.data() + (index - first) * picture_bytes; };
        std::vector<std::string> paths;
        std::vector<std::size_t> indices;
        for (std::size_t index = first; index < last; ++index) {
            if (const PictureCache::Entry* const known = pictures[index].known) {
                const auto picture = older->picture(static_cast<std::size_t>(known - &older->entry(0)));
                std::memcpy(pixels_of(index), picture.data(), picture_bytes);
                release_pages(picture);
            } else {
                paths.push_back(pictures[index].path);
                indices.push_back(index);
            }
        }
        PictureOptions reading = options;
        if (options.progress)
            reading.progress = [&](std::size_t done, std::size_t) { options.progress(decoded + done, missing); };
        const auto problems =
            decode_files(root, std::span<const std::string>{paths}, reading,
                         [&](std::size_t i, const std::vector<std::uint8_t>& bytes, const Picture& picture) {
                             PictureCache::Entry& entry = entries[indices[i]];
                             std::uint8_t* const to = pixels_of(indices[i]);
                             resize_rgb(picture.rgb.data(), picture.height, picture.width, to, options.stored_size,
                                        options.stored_size);
                             entry.file_hash = XXH64(bytes.data(), bytes.size(), 0);
                             entry.pixel_hash = XXH64(to, picture_bytes, 0);
                         });
        for (std::size_t i = 0; i < problems.size(); ++i) entries[indices[i]].problem = problems[i];
        decoded += paths.size();
        out.write(pixels.data(), pixels.size());
    }

    std::vector<std::uint8_t> header;
    header.reserve(header_bytes);
    header.insert(header.end(), PictureCache::magic.begin(), PictureCache::magic.end());
    append_little_endian(header, PictureCache::format_version, 4);
    append_little_endian(header, side, 4);
    append_little_endian(header, count, 8);
    append_little_endian(header, header_bytes, 8);
    append_little_endian(header, 0, 8);
    for (const PictureCache::Entry& entry : entries) {
        append_little_endian(header, entry.file_size, 8);
        append_little_endian(header, static_cast<std::uint64_t>(entry.file_time), 8);
        append_little_endian(header, entry.file_hash, 8);
        append_little_endian(header, entry.pixel_hash, 8);
        append_little_endian(header, static_cast<std::uint64_t>(entry.problem), 1);
        append_little_endian(header, static_cast<std::uint64_t>(entry.use), 1);
        append_little_endian(header, entry.path.size(), 2);
        for (const char letter : entry.path) header.push_back(static_cast<std::uint8_t>(letter));
    }
    header.resize(header_bytes);
    constexpr std::size_t hash_position = PictureCache::fixed_header - 8;
    Hasher hasher;
    hasher.update(header.data(), hash_position);
    hasher.update(header.data() + PictureCache::fixed_header, header_bytes - PictureCache::fixed_header);
    std::vector<std::uint8_t> hash;
    append_little_endian(hash, hasher.value(), 8);
    std::ranges::copy(hash, header.begin() + static_cast<std::ptrdiff_t>(hash_position));
    out.overwrite(0, {reinterpret_cast<const char*>(header.data()), header.size()});
    out.commit();
}

}  // namespace detail

inline std::shared_ptr<const PictureCache> open_picture_cache(const std::filesystem::path& file,
                                                              const HomeworkFolders& folders,
                                                              const PictureOptions& options,
                                                              const PictureCacheOptions& how) {
    detail::require_stored_size(options.stored_size);
    std::vector<detail::CachedPicture> pictures = detail::list_cached_pictures(folders, options.threads);
    const auto complete = [&] {
        return std::ranges::all_of(pictures, [](const auto& picture) { return picture.known != nullptr; });
    };
    const auto look_up = [&] { return detail::look_up_pictures(file, folders.root, pictures, options, how.verify); };
    if (auto cache = look_up(); cache && complete()) return cache;
    std::filesystem::path lock_path = file;
    lock_path += ".lock";
    const LockFile lock{lock_path, how.on_wait};
    // Another process may have written it meanwhile.
    const auto older = look_up();
    if (older && complete()) return older;
    if (older) detail::keep_other_pictures(*older, folders.root, pictures);
    detail::write_pictures(file, folders.root, older.get(), pictures, options);
    return std::make_shared<const PictureCache>(file);
}

}  // namespace bantam
