// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev).
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/io/atomic_file.hpp>
#include <bantam/io/read_file.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <set>
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
    else if constexpr (std::same_as<T, Index>)
        return "I64";
    else {
        static_assert(std::same_as<T, std::uint8_t>, "use float, double, int64_t or uint8_t");
        return "U8";
    }
}

/// Bytes of one element, 0 for an unknown type.
constexpr std::size_t safetensors_type_size(std::string_view type) {
    if (type == "F64" || type == "I64" || type == "U64") return 8;
    if (type == "F32" || type == "I32" || type == "U32") return 4;
    if (type == "F16" || type == "BF16" || type == "I16" || type == "U16") return 2;
    if (type == "U8" || type == "I8" || type == "BOOL" || type == "F8_E4M3" || type == "F8_E5M2") return 1;
    return 0;
}

/// "[3, 5]": the extents of a tensor.
inline std::string extents_text(std::span<const Index> extents) {
    std::string text = "[";
    for (const Index extent : extents) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
    return text + "]";
}

using Metadata = std::map<std::string, std::string>;

/// A tensor of an open file: its type, shape and position.
struct TensorEntry {
    std::string name;
    std::string type;            ///< as in the file: "F32", "I64", "BF16", …
    std::vector<Index> shape;    ///< empty for a scalar
    std::uint64_t position = 0;  ///< of its first byte, from the start of the file
    std::uint64_t bytes = 0;
};

/// An open safetensors file. Opening reads and checks the header only; each tensor is read from the disk on
/// request, so that a large file takes no more memory than the tensors that are read.
///
/// Refused, with an Error naming the file: truncated files, headers longer than the file or than
/// 100 MB, JSON that is not a safetensors header, tensors that overlap, leave gaps, lie outside the
/// file or whose bytes do not fit their shape.
class SafetensorsFile {
public:
    static SafetensorsFile open(const std::filesystem::path& path) { return SafetensorsFile{path}; }

    const std::filesystem::path& path() const { return file_.path(); }

    /// All tensors in the order they lie in the file.
    const std::vector<TensorEntry>& tensors() const { return tensors_; }

    const Metadata& metadata() const { return metadata_; }

    bool contains(std::string_view name) const { return find(name) != nullptr; }

    /// Throws Error when the file has no tensor `name`.
    const TensorEntry& entry(std::string_view name) const {
        if (const TensorEntry* found = find(name)) return *found;
        throw Error{path().string() + ": has no tensor '" + std::string{name} + "' among its " +
                    std::to_string(tensors_.size()) + "; is it the right file?"};
    }

    /// Throws Error when the file has no metadata `key`.
    const std::string& metadata(const std::string& key) const {
        const auto found = metadata_.find(key);
        if (found == metadata_.end())
            throw Error{path().string() + ": its metadata lacks '" + key + "'; is it the right file?"};
        return found->second;
    }

    /// The elements of a tensor in row-major order. Throws Error where there is none or its type is not T.
    template <class T>
    std::vector<T> tensor(std::string_view name) {
        const TensorEntry& wanted = checked_entry<T>(name);
        std::vector<T> elements(static_cast<std::size_t>(wanted.bytes / sizeof(T)));
        file_.read(wanted.position, elements.data(), static_cast<std::size_t>(wanted.bytes));
        return elements;
    }

    /// As `tensor`, into existing memory, which must have exactly the tensor's element count.
    template <class T>
    void read(std::string_view name, std::span<T> elements) {
        const TensorEntry& wanted = checked_entry<T>(name);
        if (wanted.bytes != elements.size_bytes())
            throw Error{path().string() + ": tensor '" + wanted.name + "' has " +
                        std::to_string(wanted.bytes / sizeof(T)) + " elements, expected " +
                        std::to_string(elements.size()) + "; is it from another network?"};
        file_.read(wanted.position, elements.data(), elements.size_bytes());
    }

private:
    using Json = nlohmann::json;

    static constexpr std::uint64_t longest_header = 100'000'000;
    static constexpr int deepest_nesting = 4;

    explicit SafetensorsFile(const std::filesystem::path& path) : file_{path} {
        const std::string text = read_header_text();
        const Json header = parse_header(text);
        const std::uint64_t data_start = 8 + text.size();
        for (const auto& [name, value] : header.items()) {
            if (name == "__metadata__")
                read_metadata(value);
            else
                tensors_.push_back(read_entry(name, value, data_start));
        }
        std::sort(tensors_.begin(), tensors_.end(), [](const auto& left, const auto& right) {
            return std::pair{left.position, left.bytes} < std::pair{right.position, right.bytes};
        });
        std::uint64_t end = data_start;
        for (const TensorEntry& entry : tensors_) {
            if (entry.position < end) refuse("tensor '" + entry.name + "' overlaps another tensor");
            if (entry.position > end) refuse("there is a gap before tensor '" + entry.name + "'");
            end += entry.bytes;
        }
        if (end != file_.size())
            refuse("its tensors end at byte " + std::to_string(end) + ", the file at byte " +
                   std::to_string(file_.size()));
        for (std::size_t index = 0; index < tensors_.size(); ++index) index_of_.emplace(tensors_[index].name, index);
    }

    [[noreturn]] void refuse(const std::string& what) const {
        throw Error{path().string() + ": is not a sound safetensors file: " + what + "; copy or create it again"};
    }

    std::string read_header_text() {
        std::uint64_t length = 0;
        if (file_.size() < sizeof length)
            refuse("it has " + std::to_string(file_.size()) + " bytes, a header needs at least 8");
        file_.read(0, &length, sizeof length);
        if (length > file_.size() - sizeof length)
            refuse("its header should have " + std::to_string(length) + " bytes, the file has " +
                   std::to_string(file_.size()) + " (truncated?)");
        if (length > longest_header)
            refuse("its header has " + std::to_string(length) + " bytes, more than the format's " +
                   std::to_string(longest_header));
        std::string text(static_cast<std::size_t>(length), '\0');
        file_.read(sizeof length, text.data(), text.size());
        return text;
    }

    Json parse_header(const std::string& text) const {
        // The parser alone accepts duplicate keys and unlimited nesting.
        std::set<std::string> names;
        const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
            if (depth > deepest_nesting) refuse("its header is nested too deeply");
            if (depth == 1 && event == Json::parse_event_t::key && !names.insert(parsed.get<std::string>()).second)
                refuse("its header names '" + parsed.get<std::string>() + "' twice");
            return true;
        };
        try {
            Json header = Json::parse(text, watch);
            if (!header.is_object()) refuse("its header is not a JSON object");
            return header;
        } catch (const Json::parse_error& problem) {
            refuse("its header is not JSON (at byte " + std::to_string(8 + problem.byte) + ")");
        } catch (const Json::exception&) {
            refuse("its header has a number that is out of range");
        }
    }

    void read_metadata(const Json& value) {
        if (!value.is_object()) refuse("__metadata__ is not a JSON object");
        for (const auto& [key, text] : value.items()) {
            if (!text.is_string()) refuse("__metadata__ entry '" + key + "' is not a string");
            metadata_.emplace(key, text.template get<std::string>());
        }
    }

    TensorEntry read_entry(const std::string& name, const Json& value, std::uint64_t data_start) const {
        const auto bad = [&](const char* what) { refuse("tensor '" + name + "' " + what); };
        if (!value.is_object()) bad("is not described by a JSON object");
        const auto type = value.find("dtype");
        const auto shape = value.find("shape");
        const auto offsets = value.find("data_offsets");
        if (type == value.end() || !type->is_string()) bad("has no dtype");
        if (shape == value.end() || !shape->is_array()) bad("has no shape");
        if (offsets == value.end() || !offsets->is_array() || offsets->size() != 2 ||
            !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned())
            bad("has no pair of data_offsets");

        TensorEntry entry;
        entry.name = name;
        entry.type = type->template get<std::string>();
        const std::uint64_t element_bytes = safetensors_type_size(entry.type);
        if (element_bytes == 0) bad("has an unknown dtype");
        const std::uint64_t available = file_.size() - data_start;
        std::uint64_t bytes = element_bytes;
        bool empty = false;
        for (const Json& extent : *shape) {
            if (!extent.is_number_unsigned()) bad("has a shape that is not made of whole numbers");
            const auto count = extent.template get<std::uint64_t>();
            if (count > static_cast<std::uint64_t>(std::numeric_limits<Index>::max()))
                bad("has a shape larger than the file");
            entry.shape.push_back(static_cast<Index>(count));
            if (count == 0)
                empty = true;
            else if (bytes > std::numeric_limits<std::uint64_t>::max() / count)
                bad("has a shape larger than the file");
            else
                bytes *= count;
        }
        entry.bytes = empty ? 0 : bytes;

        const auto begin = (*offsets)[0].template get<std::uint64_t>();
        const auto end = (*offsets)[1].template get<std::uint64_t>();
        if (begin > end) bad("ends before it begins");
        if (end > available)
            refuse("tensor '" + name + "' ends at byte " + std::to_string(end) + " of the data, which has " +
                   std::to_string(available) + " (truncated?)");
        if (end - begin != entry.bytes)
            refuse("tensor '" + name + "' occupies " + std::to_string(end - begin) + " bytes, its shape needs " +
                   std::to_string(entry.bytes));
        entry.position = data_start + begin;
        return entry;
    }

    const TensorEntry* find(std::string_view name) const {
        const auto found = index_of_.find(name);
        return found == index_of_.end() ? nullptr : &tensors_[found->second];
    }

    template <class T>
    const TensorEntry& checked_entry(std::string_view name) const {
        const TensorEntry& wanted = entry(name);
        if (wanted.type != safetensors_type<T>())
            throw Error{path().string() + ": tensor '" + wanted.name + "' is " + wanted.type + ", expected " +
                        std::string{safetensors_type<T>()} + "; convert the file first"};
        return wanted;
    }

    InputFile file_;
    std::vector<TensorEntry> tensors_;
    std::map<std::string, std::size_t, std::less<>> index_of_;
    Metadata metadata_;
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

/// Writes a safetensors file in one step (see AtomicFile). The data starts at a multiple of eight
/// bytes and wide types come first, so that every tensor lies at a multiple of its element size
/// without the gaps that the format forbids. Throws Error naming the file.
inline void write_safetensors(const std::filesystem::path& path, const std::vector<TensorView>& tensors,
                              const Metadata& metadata = {}) {
    using Json = nlohmann::json;
    const auto refuse = [&](const std::string& what) { throw Error{path.string() + ": cannot be written: " + what}; };
    std::vector<const TensorView*> order;
    for (const TensorView& tensor : tensors) order.push_back(&tensor);
    std::sort(order.begin(), order.end(), [](const TensorView* left, const TensorView* right) {
        const std::size_t left_size = safetensors_type_size(left->type);
        const std::size_t right_size = safetensors_type_size(right->type);
        return left_size != right_size ? left_size > right_size : left < right;
    });

    Json header = Json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::size_t offset = 0;
    for (const TensorView* tensor : order) {
        std::size_t expected = 1;
        for (const Index extent : tensor->shape) expected *= static_cast<std::size_t>(extent);
        if (expected != tensor->count)
            refuse("tensor '" + tensor->name + "' has " + std::to_string(tensor->count) +
                   " elements, its shape needs " + std::to_string(expected));
        if (header.contains(tensor->name)) refuse("two tensors are named '" + tensor->name + "'");
        const std::size_t end = offset + tensor->count * safetensors_type_size(tensor->type);
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

    AtomicFile file{path};
    const std::uint64_t length = text.size();
    file.write(&length, sizeof length);
    file.write(text);
    for (const TensorView* tensor : order)
        file.write(tensor->data, tensor->count * safetensors_type_size(tensor->type));
    file.commit();
}

}  // namespace bantam
