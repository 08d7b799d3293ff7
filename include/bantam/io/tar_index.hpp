// SPDX-License-Identifier: MIT
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/io/read_file.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bantam {

/// A regular file inside a tar archive.
struct TarEntry {
    std::string name;            ///< with '/', without a leading "./"
    std::uint64_t position = 0;  ///< of its first byte in the archive
    std::uint64_t size = 0;
};

namespace detail {

/// Reads the headers of a tar archive: the old format, ustar, pax and GNU tar.
class TarReader {
public:
    explicit TarReader(InputFile& file) : file_{file} {}

    std::vector<TarEntry> run() {
        std::vector<TarEntry> entries;
        while (next_header()) {
            const char type = header_[156];
            const bool extends = type == 'x' || type == 'g' || type == 'L' || type == 'K';
            const std::uint64_t size = pax_size_ != none && !extends ? pax_size_ : number(124, 12, "size");
            // Links, devices and folders have no contents, whatever their size says.
            const std::uint64_t stored = type >= '1' && type <= '6' ? 0 : size;
            if (stored > file_.size() - position_) refuse("is cut off in '" + printable(name()) + "'; fetch it again");
            if (extends) {
                read_extension(type, stored);
            } else {
                if (type == 'S' || sparse_)
                    refuse("holds '" + printable(name()) + "' as a sparse file; pack it without --sparse");
                if (is_regular(type)) entries.push_back({checked_name(), position_, stored});
                pax_size_ = none;
                long_name_.clear();
            }
            position_ += (stored + block - 1) / block * block;
        }
        require_distinct(entries);
        return entries;
    }

private:
    static constexpr std::uint64_t block = 512;
    static constexpr std::uint64_t none = ~std::uint64_t{0};
    static constexpr std::uint64_t longest_extension = std::uint64_t{1} << 20;

    [[noreturn]] void refuse(const std::string& what) const { throw Error{file_.path().string() + ": " + what}; }

    bool is_regular(char type) const { return (type == '0' || type == '\0' || type == '7') && !name().ends_with('/'); }

    /// Reads the header at `position_` and steps over it; false at the end of the archive.
    bool next_header() {
        if (position_ >= file_.size() || file_.size() - position_ < block)
            refuse(position_ == 0 ? "is no tar archive; name it otherwise, or remove it"
                                  : "is cut off: it lacks the end of an archive; fetch it again");
        file_.read(position_, header_.data(), block);
        if (std::ranges::all_of(header_, [](char byte) { return byte == '\0'; })) {
            require_nothing_more();
            return false;
        }
        if (!has_right_checksum())
            refuse(position_ == 0 ? "is no tar archive, or a compressed one; unpack it with gunzip, or remove it"
                                  : "is damaged at byte " + std::to_string(position_) + "; fetch it again");
        position_ += block;
        return true;
    }

    /// Behind the end of an archive there are zeros alone. Readers would silently leave out anything else.
    void require_nothing_more() const {
        std::array<char, 10240> bytes{};
        for (std::uint64_t at = position_; at < file_.size();) {
            const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), file_.size() - at));
            file_.read(at, bytes.data(), count);
            if (std::any_of(bytes.data(), bytes.data() + count, [](char byte) { return byte != '\0'; }))
                refuse("has contents behind its end, as archives that were joined have; pack all files into one");
            at += count;
        }
    }

    bool has_right_checksum() const {
        std::uint64_t sum = 0;
        std::int64_t signed_sum = 0;  // as some old programs computed it
        for (std::size_t i = 0; i < block; ++i) {
            const char byte = i >= 148 && i < 156 ? ' ' : header_[i];
            sum += static_cast<unsigned char>(byte);
            signed_sum += static_cast<signed char>(byte);
        }
        std::uint64_t stored = 0;
        return parse_octal(148, 8, stored) && (stored == sum || static_cast<std::int64_t>(stored) == signed_sum);
    }

    bool parse_octal(std::size_t position, std::size_t count, std::uint64_t& value) const {
        const std::string_view text = field(position, count);
        const std::size_t first = text.find_first_not_of(' ');
        value = 0;
        if (first == text.npos) return text.empty();
        std::size_t i = first;
        for (; i < text.size() && text[i] >= '0' && text[i] <= '7'; ++i)
            value = value << 3 | static_cast<std::uint64_t>(text[i] - '0');
        return i > first && text.find_first_not_of(' ', i) == text.npos;
    }

    /// A number in octal digits, or for large ones in binary, as GNU tar writes it.
    std::uint64_t number(std::size_t position, std::size_t count, const char* what) const {
        std::uint64_t value = 0;
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(header_[position + i]); };
        if (byte(0) == 0x80) {
            bool fits = true;
            for (std::size_t i = 1; i < count; ++i) {
                fits = fits && value >> 55 == 0;
                value = value << 8 | byte(i);
            }
            if (fits) return value;
        } else if (parse_octal(position, count, value)) {
            return value;
        }
        refuse("has no " + std::string{what} + " for '" + printable(name()) + "'; pack it again");
    }

    /// A text field, which ends at its first zero byte.
    std::string_view field(std::size_t position, std::size_t count) const {
        const std::string_view text{header_.data() + position, count};
        return text.substr(0, text.find('\0'));
    }

    std::string name() const {
        if (!long_name_.empty()) return long_name_;
        std::string result{field(0, 100)};
        const bool ustar = std::memcmp(header_.data() + 257, "ustar\0", 6) == 0;
        if (const std::string_view prefix = field(345, 155); ustar && !prefix.empty())
            result = std::string{prefix} + '/' + result;
        return result;
    }

    /// The name of the next file where it is longer than a header's field, or its size.
    void read_extension(char type, std::uint64_t size) {
        if (size > longest_extension) refuse("has a name of " + std::to_string(size) + " bytes; pack it again");
        std::string text(size, '\0');
        file_.read(position_, text.data(), text.size());
        if (type == 'L') long_name_ = text.substr(0, text.find('\0'));
        if (type == 'x') read_pax(text);
    }

    /// Records "LENGTH KEY=VALUE\n".
    void read_pax(std::string_view text) {
        while (!text.empty() && text[0] != '\0') {
            std::size_t length = 0, digits = 0;
            for (; digits < text.size() && digits < 8 && text[digits] >= '0' && text[digits] <= '9'; ++digits)
                length = length * 10 + static_cast<std::size_t>(text[digits] - '0');
            const bool whole = digits > 0 && length > digits + 1 && length <= text.size() && text[digits] == ' ' &&
                               text[length - 1] == '\n';
            const std::string_view record = whole ? text.substr(digits + 1, length - digits - 2) : std::string_view{};
            const std::size_t equals = record.find('=');
            if (equals == record.npos) refuse("has a damaged extended header; pack it again");
            const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
            if (key == "path") long_name_ = value;
            if (key == "size") pax_size_ = pax_number(value);
            if (key.starts_with("GNU.sparse")) sparse_ = true;
            text.remove_prefix(length);
        }
    }

    std::uint64_t pax_number(std::string_view digits) const {
        std::uint64_t value = 0;
        if (digits.empty() || digits.size() > 18 || digits.find_first_not_of("0123456789") != digits.npos)
            refuse("has a damaged extended header; pack it again");
        for (const char digit : digits) value = value * 10 + static_cast<std::uint64_t>(digit - '0');
        return value;
    }

    /// A name that stays below the archive.
    std::string checked_name() const {
        std::string path = name();
        while (path.starts_with("./")) path.erase(0, 2);
        bool sound = !path.empty() && path.find('\0') == path.npos;
        for (std::size_t first = 0; sound && first <= path.size();) {
            const std::size_t end = std::min(path.find('/', first), path.size());
            const std::string_view part = std::string_view{path}.substr(first, end - first);
            sound = !part.empty() && part != "." && part != "..";
            first = end + 1;
        }
        if (!sound) refuse("holds the path '" + printable(path) + "', which leads out of it; do not trust it");
        if (!is_utf8(path)) refuse("holds the name '" + printable(path) + "', which is not valid UTF-8; rename it");
        return path;
    }

    void require_distinct(const std::vector<TarEntry>& entries) const {
        std::vector<std::string_view> names;
        for (const TarEntry& entry : entries) names.push_back(entry.name);
        std::ranges::sort(names);
        if (const auto twice = std::ranges::adjacent_find(names); twice != names.end())
            refuse("holds '" + printable(*twice) + "' twice; pack it again");
    }

    InputFile& file_;
    std::uint64_t position_ = 0;
    std::array<char, block> header_{};
    std::string long_name_;
    std::uint64_t pax_size_ = none;
    bool sparse_ = false;
};

}  // namespace detail

/// The regular files of a tar archive in their order; links and devices are left out. Throws Error naming the archive
/// where it is damaged, cut off, holds a name twice or one that leads out of it.
inline std::vector<TarEntry> read_tar_index(InputFile& archive) { return detail::TarReader{archive}.run(); }

/// The archive that the path of a file in it leads into, as shard.tar of shard.tar/000123.jpg; empty for other paths.
inline std::filesystem::path archive_of(const std::filesystem::path& path) {
    const std::string text = path.string();
    constexpr std::string_view ending = ".tar";
    for (std::size_t at = text.find(".tar/"); at != text.npos; at = text.find(".tar/", at + 1)) {
        const std::filesystem::path archive = text.substr(0, at + ending.size());
        if (std::filesystem::is_regular_file(file_status(archive))) return archive;
    }
    return {};
}

}  // namespace bantam
