// SPDX-License-Identifier: MIT
// Needs nlohmann/json and xxhash (Debian: nlohmann-json3-dev and libxxhash-dev; header only, nothing to link).
#pragma once

#include <bantam/base/bfloat16.hpp>
#include <bantam/base/error.hpp>
#include <bantam/base/float16.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/hash.hpp>
#include <bantam/io/read_file.hpp>
#include <bantam/io/safetensors_header.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bantam {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian and are read without conversion");

/// The safetensors name of a supported element type.
template <class T>
constexpr std::string_view safetensors_type() {
    if constexpr (std::same_as<T, float>)
        return "F32";
    else if constexpr (std::same_as<T, double>)
        return "F64";
    else if constexpr (std::same_as<T, Float16>)
        return "F16";
    else if constexpr (std::same_as<T, Index>)
        return "I64";
    else if constexpr (std::same_as<T, std::int32_t>)
        return "I32";
    else {
        static_assert(std::same_as<T, std::uint8_t>, "use float, double, Float16, int64_t, int32_t or uint8_t");
        return "U8";
    }
}

/// "[3, 5]": the extents of a tensor.
inline std::string extents_text(std::span<const Index> extents) {
    std::string text = "[";
    for (const Index extent : extents) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
    return text + "]";
}

namespace detail {

// Files that Bantam writes carry the metadata entry `bantam-checksum`: a prefix and the XXH64 of the whole file with
// these sixteen digits as zeros. A flipped bit in the key leaves the prefix, and the other way round, so that
// neither can make the checksum look absent.
inline constexpr const char* checksum_key = "bantam-checksum";
inline constexpr std::string_view checksum_prefix = "bantam-xxh64:";
inline constexpr std::size_t checksum_digits = 16;

}  // namespace detail

/// An open safetensors file. Opening checks the header and, where there is one, the checksum over the whole file;
/// each tensor is read from the disk on request, so that a large file takes no more memory than the tensors that
/// are read.
///
/// Refused, with an Error naming the file: truncated files, headers longer than the file or than
/// 100 MB, JSON that is not a safetensors header, tensors that overlap, leave gaps, lie outside the
/// file or whose bytes do not fit their shape, and files that do not match the checksum they carry.
class SafetensorsFile {
public:
    static SafetensorsFile open(const std::filesystem::path& path) { return SafetensorsFile{path}; }

    const std::filesystem::path& path() const { return file_.path(); }

    /// All tensors in the order they lie in the file.
    const std::vector<TensorEntry>& tensors() const { return header_.tensors; }

    /// Without the checksum's entry.
    const Metadata& metadata() const { return header_.metadata; }

    /// Whether the file carries a checksum, as all do that `write_safetensors` writes. Opening has verified it.
    bool has_checksum() const { return has_checksum_; }

    bool contains(std::string_view name) const { return header_.find(name) != nullptr; }

    /// Throws Error when the file has no tensor `name`.
    const TensorEntry& entry(std::string_view name) const {
        if (const TensorEntry* found = header_.find(name)) return *found;
        throw Error{path().string() + ": has no tensor '" + printable(name) + "' among its " +
                    std::to_string(tensors().size()) + "; is it the right file?"};
    }

    /// Throws Error when the file has no metadata `key`.
    const std::string& metadata(const std::string& key) const {
        const auto found = metadata().find(key);
        if (found == metadata().end())
            throw Error{path().string() + ": its metadata lacks '" + key + "'; is it the right file?"};
        return found->second;
    }

    /// The elements of a tensor in row-major order. Where T is float, F16, BF16 and F64 are converted (doubles beyond
    /// float's range become infinite). Throws Error where there is no such tensor or its type does not fit.
    template <class T>
    std::vector<T> tensor(std::string_view name) {
        const TensorEntry& wanted = checked_entry<T>(name);
        std::vector<T> elements(wanted.element_count());
        read_elements(wanted, std::span<T>{elements});
        return elements;
    }

    /// As `tensor`, into existing memory, which must have exactly the tensor's element count.
    template <class T>
    void read(std::string_view name, std::span<T> elements) {
        const TensorEntry& wanted = checked_entry<T>(name);
        if (wanted.element_count() != elements.size())
            throw Error{path().string() + ": tensor '" + printable(name) + "' has " +
                        std::to_string(wanted.element_count()) + " elements, expected " +
                        std::to_string(elements.size()) + "; is it from another network?"};
        read_elements(wanted, elements);
    }

private:
    static constexpr std::uint64_t longest_header = 100'000'000;

    explicit SafetensorsFile(const std::filesystem::path& path) : file_{path} {
        std::string text = read_header_text();
        try {
            header_ = parse_safetensors_header(text, file_.size());
        } catch (const Error& problem) {
            refuse(problem.what());
        }
        verify_checksum(text);
    }

    [[noreturn]] void refuse(const std::string& what) const {
        throw Error{path().string() + ": is not a sound safetensors file: " + what + "; copy or create it again"};
    }

    std::string read_header_text() {
        std::array<char, 8> start{};
        if (file_.size() < start.size())
            refuse("it has " + std::to_string(file_.size()) + " bytes, a header needs at least 8");
        file_.read(0, start.data(), start.size());
        const auto length = std::bit_cast<std::uint64_t>(start);
        const bool too_long = length > longest_header || length > file_.size() - start.size();
        if (too_long && (std::string_view{start.data(), 4} == "PK\x03\x04" || (start[0] == '\x80' && start[1] <= 5)))
            throw Error{path().string() +
                        ": is a PyTorch file, expected safetensors; convert it with tools/convert_teacher.py " +
                        path().string() + " --output " +
                        std::filesystem::path{path()}.replace_extension(".safetensors").string()};
        if (length > file_.size() - start.size())
            refuse("its header should have " + std::to_string(length) + " bytes, the file has " +
                   std::to_string(file_.size()) + " (truncated?)");
        if (too_long)
            refuse("its header has " + std::to_string(length) + " bytes, more than the format's " +
                   std::to_string(longest_header));
        std::string text(static_cast<std::size_t>(length), '\0');
        file_.read(start.size(), text.data(), text.size());
        return text;
    }

    /// Takes the checksum out of the metadata and compares it with the file whose header is `text`.
    void verify_checksum(std::string& text) {
        Metadata& metadata = header_.metadata;
        const auto found = std::ranges::find_if(metadata, [](const auto& entry) {
            return entry.first == detail::checksum_key || entry.second.starts_with(detail::checksum_prefix);
        });
        if (found == metadata.end()) return;
        const auto& [key, value] = *found;
        const std::size_t digits = text.find(value) + detail::checksum_prefix.size();
        const bool complete = key == detail::checksum_key && value.starts_with(detail::checksum_prefix) &&
                              value.size() == detail::checksum_prefix.size() + detail::checksum_digits &&
                              digits < text.size();
        if (complete) {
            text.replace(digits, detail::checksum_digits, detail::checksum_digits, '0');
            const std::uint64_t length = text.size();
            Hasher hasher;
            hasher.update(&length, sizeof length);
            hasher.update(text);
            hasher.update(file_, sizeof length + length);
            has_checksum_ = value.ends_with(hasher.text());
        }
        if (!has_checksum_)
            refuse(std::string{"its contents do not match its checksum (a damaged file, or one that was changed by a "
                               "program that kept the metadata entry '"} +
                   detail::checksum_key + "')");
        metadata.erase(found);
    }

    template <class T>
    const TensorEntry& checked_entry(std::string_view name) const {
        const TensorEntry& wanted = entry(name);
        const bool converted =
            std::same_as<T, float> && (wanted.type == "F16" || wanted.type == "BF16" || wanted.type == "F64");
        if (wanted.type != safetensors_type<T>() && !converted)
            throw Error{path().string() + ": tensor '" + printable(name) + "' is " + wanted.type + ", expected " +
                        std::string{safetensors_type<T>()} + "; convert the file first"};
        return wanted;
    }

    template <class T>
    void read_elements(const TensorEntry& entry, std::span<T> elements) {
        if constexpr (std::same_as<T, float>) {
            if (entry.type == "F16") return read_converted<Float16>(entry, elements);
            if (entry.type == "BF16") return read_converted<Bfloat16>(entry, elements);
            if (entry.type == "F64") return read_converted<double>(entry, elements);
        }
        file_.read(entry.position, elements.data(), elements.size_bytes());
    }

    template <class Stored>
    void read_converted(const TensorEntry& entry, std::span<float> elements) {
        std::vector<Stored> stored(elements.size());
        file_.read(entry.position, stored.data(), stored.size() * sizeof(Stored));
        std::ranges::transform(stored, elements.begin(), [](Stored value) { return static_cast<float>(value); });
    }

    InputFile file_;
    SafetensorsHeader header_;
    bool has_checksum_ = false;
};

/// A tensor to be written: a name, a shape and a pointer to elements that must outlive the write.
struct TensorView {
    std::string name;
    std::string_view type;
    std::vector<Index> shape;
    const void* data;
    std::size_t count;

    template <class T>
    TensorView(std::string tensor_name, std::vector<Index> tensor_shape, std::span<const T> elements)
        : name{std::move(tensor_name)},
          type{safetensors_type<T>()},
          shape{std::move(tensor_shape)},
          data{elements.data()},
          count{elements.size()} {}

    template <class T>
    TensorView(std::string tensor_name, std::vector<Index> tensor_shape, const std::vector<T>& elements)
        : TensorView{std::move(tensor_name), std::move(tensor_shape), std::span<const T>{elements}} {}
};

/// Writes a safetensors file in one step (see AtomicFile), with a checksum among its metadata. The data starts at a
/// multiple of eight bytes and wide types come first, so that every tensor lies at a multiple of its element size
/// without the gaps that the format forbids. Throws Error naming the file.
inline void write_safetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                              Metadata metadata = {}) {
    using Json = nlohmann::json;
    const auto refuse = [&](const std::string& what) { throw Error{path.string() + ": cannot be written: " + what}; };
    std::vector<const TensorView*> order;
    for (const TensorView& tensor : tensors) order.push_back(&tensor);
    const auto byte_count = [](const TensorView& tensor) {
        return tensor.count * (safetensors_type_bits(tensor.type) / 8);
    };
    std::ranges::sort(order, [](const TensorView* left, const TensorView* right) {
        const auto left_bits = safetensors_type_bits(left->type);
        const auto right_bits = safetensors_type_bits(right->type);
        return left_bits != right_bits ? left_bits > right_bits : left < right;
    });

    const std::string no_checksum = std::string{detail::checksum_prefix} + std::string(detail::checksum_digits, '0');
    metadata[detail::checksum_key] = no_checksum;
    Json header = {{"__metadata__", std::move(metadata)}};
    std::size_t offset = 0;
    for (const TensorView* tensor : order) {
        std::size_t expected = 1;
        for (const Index extent : tensor->shape) expected *= static_cast<std::size_t>(extent);
        if (expected != tensor->count)
            refuse("tensor '" + tensor->name + "' has " + std::to_string(tensor->count) +
                   " elements, its shape needs " + std::to_string(expected));
        if (tensor->name == "__metadata__") refuse("a tensor may not be named '__metadata__'");
        if (header.contains(tensor->name)) refuse("two tensors are named '" + tensor->name + "'");
        const std::size_t end = offset + byte_count(*tensor);
        header[tensor->name] = {{"dtype", tensor->type}, {"shape", tensor->shape}, {"data_offsets", {offset, end}}};
        offset = end;
    }
    std::string text;
    try {
        text = header.dump();
    } catch (const Json::type_error&) {
        refuse("a name or metadata entry is not valid UTF-8; rename the file it belongs to");
    }
    text.append((8 - text.size() % 8) % 8, ' ');

    const std::uint64_t length = text.size();
    Hasher hasher;
    hasher.update(&length, sizeof length);
    hasher.update(text);
    for (const TensorView* tensor : order) hasher.update(tensor->data, byte_count(*tensor));
    text.replace(text.find(no_checksum) + detail::checksum_prefix.size(), detail::checksum_digits, hasher.text());

    AtomicFile file{path};
    file.write(&length, sizeof length);
    file.write(text);
    for (const TensorView* tensor : order) file.write(tensor->data, byte_count(*tensor));
    file.commit();
}

}  // namespace bantam
