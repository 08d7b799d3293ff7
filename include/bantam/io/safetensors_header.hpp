// SPDX-License-Identifier: MIT
// Needs nlohmann/json (Debian: nlohmann-json3-dev).
#pragma once

#include <bantam/base/error.hpp>
#include <bantam/base/index.hpp>
#include <bantam/base/printable.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bantam {

/// Bits of one element of a safetensors type such as "F32", 0 for an unknown one.
constexpr std::uint64_t safetensors_type_bits(std::string_view type) {
    constexpr std::pair<std::string_view, std::uint64_t> types[] = {
        {"F32", 32},    {"F64", 64}, {"F16", 16},        {"BF16", 16},      {"I64", 64},    {"I32", 32},
        {"I16", 16},    {"I8", 8},   {"U64", 64},        {"U32", 32},       {"U16", 16},    {"U8", 8},
        {"BOOL", 8},    {"C64", 64}, {"F8_E4M3", 8},     {"F8_E5M2", 8},    {"F8_E8M0", 8}, {"F6_E2M3", 6},
        {"F6_E3M2", 6}, {"F4", 4},   {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}};
    for (const auto& [name, bits] : types)
        if (name == type) return bits;
    return 0;
}

using Metadata = std::map<std::string, std::string>;

/// A tensor of a safetensors file: its type, shape and position.
struct TensorEntry {
    std::string name;
    std::string type;            ///< as in the file: "F32", "I64", "BF16", …
    std::vector<Index> shape;    ///< empty for a scalar
    std::uint64_t position = 0;  ///< of its first byte, from the start of the file
    std::uint64_t bytes = 0;

    std::uint64_t element_count() const { return bytes * 8 / safetensors_type_bits(type); }
};

/// What the header of a safetensors file says.
struct SafetensorsHeader {
    std::vector<TensorEntry> tensors;  ///< in the order they lie in the file
    std::vector<std::size_t> by_name;  ///< positions in `tensors`, in the order of the names
    Metadata metadata;

    const TensorEntry* find(std::string_view name) const {
        const auto found = std::ranges::lower_bound(
            by_name, name, {}, [&](std::size_t index) { return std::string_view{tensors[index].name}; });
        return found != by_name.end() && tensors[*found].name == name ? &tensors[*found] : nullptr;
    }
};

namespace detail {

/// Receives the events of the JSON parser and checks each where it occurs, so that a header is read in one pass
/// and no value is kept that is not needed. Throws Error with the reason alone.
class SafetensorsHeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
public:
    /// `data_bytes`: the size of what follows the header.
    SafetensorsHeaderHandler(SafetensorsHeader& header, std::uint64_t data_bytes)
        : header_{header}, data_bytes_{data_bytes} {}

    bool null() override { return (place_ == Place::header && is_metadata()) || refuse_value(); }
    bool boolean(bool) override { return refuse_value(); }
    bool number_integer(number_integer_t) override { return refuse_value(); }
    bool number_float(number_float_t, const string_t&) override { return refuse_value(); }
    bool binary(binary_t&) override { return refuse_value(); }

    bool number_unsigned(number_unsigned_t value) override {
        if (place_ == Place::shape)
            shape_.push_back(value);
        else if (place_ == Place::offsets)
            offsets_.push_back(value);
        else
            refuse_value();
        return true;
    }

    bool string(string_t& text) override {
        if (place_ == Place::metadata)
            header_.metadata[key_] = std::move(text);
        else if (place_ == Place::tensor && field_ == dtype)
            entry_.type = std::move(text);
        else
            refuse_value();
        return true;
    }

    bool start_object(std::size_t) override {
        enter();
        if (place_ == Place::outside) {
            place_ = Place::header;
        } else if (place_ == Place::header && is_metadata()) {
            place_ = Place::metadata;
        } else if (place_ == Place::header) {
            place_ = Place::tensor;
            found_ = {};
            entry_ = {};
            shape_.clear();
            offsets_.clear();
        } else {
            enter_ignored();
        }
        return true;
    }

    bool start_array(std::size_t) override {
        enter();
        if (place_ == Place::tensor && field_ == shape)
            place_ = Place::shape;
        else if (place_ == Place::tensor && field_ == data_offsets)
            place_ = Place::offsets;
        else
            enter_ignored();
        return true;
    }

    bool key(string_t& text) override {
        if (place_ == Place::header) {
            name_ = std::move(text);
            if (is_metadata() && std::exchange(has_metadata_, true)) refuse("its header names '__metadata__' twice");
        } else if (place_ == Place::metadata) {
            key_ = std::move(text);
        } else if (place_ == Place::tensor) {
            field_ = static_cast<std::size_t>(std::ranges::find(field_names, text) - field_names.begin());
            if (field_ < ignored_field && std::exchange(found_[field_], true))
                refuse_tensor("has two entries '" + text + "'");
        }
        return true;
    }

    bool end_object() override { return leave(); }
    bool end_array() override { return leave(); }

    bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& problem) override {
        if (dynamic_cast<const nlohmann::json::out_of_range*>(&problem) != nullptr)
            refuse("its header has a number that is out of range");
        refuse("its header is not JSON (at byte " + std::to_string(8 + position) + ")");
    }

private:
    /// Where in the header the parser stands.
    enum class Place { outside, header, metadata, tensor, shape, offsets, ignored };

    enum Field : std::size_t { dtype, shape, data_offsets, ignored_field };
    static constexpr std::array<std::string_view, 3> field_names{"dtype", "shape", "data_offsets"};

    /// As in the reference implementation.
    static constexpr int deepest_nesting = 127;

    [[noreturn]] static void refuse(const std::string& what) { throw Error{what}; }
    [[noreturn]] void refuse_tensor(const std::string& what) const {
        refuse("tensor '" + printable(name_) + "' " + what);
    }

    bool is_metadata() const { return name_ == "__metadata__"; }

    void enter() {
        if (++depth_ > deepest_nesting) refuse("its header is nested too deeply");
    }

    void enter_ignored() {
        refuse_value();
        if (place_ == Place::tensor) {
            place_ = Place::ignored;
            ignored_depth_ = depth_;
        }
    }

    bool leave() {
        --depth_;
        switch (place_) {
            case Place::ignored:
                if (depth_ < ignored_depth_) place_ = Place::tensor;
                break;
            case Place::shape:
            case Place::offsets:
                place_ = Place::tensor;
                break;
            case Place::tensor:
                add_tensor();
                [[fallthrough]];
            case Place::metadata:
                place_ = Place::header;
                break;
            default:
                place_ = Place::outside;
        }
        return true;
    }

    /// Refuses a value of the wrong kind for its place; returns true where any value may stand.
    bool refuse_value() const {
        switch (place_) {
            case Place::outside:
                refuse("its header is not a JSON object");
            case Place::header:
                if (is_metadata()) refuse("__metadata__ is not a JSON object");
                refuse_tensor("is not described by a JSON object");
            case Place::metadata:
                refuse("__metadata__ entry '" + printable(key_) + "' is not a string");
            case Place::shape:
                refuse_tensor("has a shape that is not made of whole numbers");
            case Place::offsets:
                refuse_tensor("has data_offsets that are not whole numbers");
            case Place::tensor:
                if (field_ < ignored_field) refuse_tensor("has a wrong " + std::string{field_names[field_]});
                break;
            case Place::ignored:
                break;
        }
        return true;
    }

    void add_tensor() {
        for (std::size_t field = 0; field < ignored_field; ++field)
            if (!found_[field]) refuse_tensor("has no " + std::string{field_names[field]});
        const std::uint64_t element_bits = safetensors_type_bits(entry_.type);
        if (element_bits == 0) refuse_tensor("has an unknown dtype");
        std::uint64_t bits = 1;
        const auto multiply = [&](std::uint64_t factor) {
            if (factor != 0 && bits > std::numeric_limits<std::uint64_t>::max() / factor)
                refuse_tensor("has a shape larger than the file");
            bits *= factor;
        };
        for (const std::uint64_t extent : shape_) {
            if (extent > static_cast<std::uint64_t>(std::numeric_limits<Index>::max()))
                refuse_tensor("has a shape larger than the file");
            multiply(extent);
            entry_.shape.push_back(static_cast<Index>(extent));
        }
        multiply(element_bits);
        if (bits % 8 != 0) refuse_tensor("does not end at a whole byte");
        entry_.bytes = bits / 8;
        if (offsets_.size() != 2) refuse_tensor("has no pair of data_offsets");
        const std::uint64_t begin = offsets_[0];
        const std::uint64_t end = offsets_[1];
        if (begin > end) refuse_tensor("ends before it begins");
        if (end > data_bytes_)
            refuse_tensor("ends at byte " + std::to_string(end) + " of the data, which has " +
                          std::to_string(data_bytes_) + " (truncated?)");
        if (end - begin != entry_.bytes)
            refuse_tensor("occupies " + std::to_string(end - begin) + " bytes, its shape needs " +
                          std::to_string(entry_.bytes));
        entry_.position = begin;
        entry_.name = name_;
        header_.tensors.push_back(std::move(entry_));
    }

    SafetensorsHeader& header_;
    std::uint64_t data_bytes_;
    Place place_ = Place::outside;
    int depth_ = 0;
    int ignored_depth_ = 0;
    bool has_metadata_ = false;
    std::string name_;  ///< the key in the header
    std::string key_;   ///< the key in __metadata__
    std::size_t field_ = ignored_field;
    std::array<bool, 3> found_{};
    TensorEntry entry_;
    std::vector<std::uint64_t> shape_;
    std::vector<std::uint64_t> offsets_;
};

}  // namespace detail

/// Reads the JSON header of a safetensors file of `file_bytes` bytes, in time proportional to its length (apart
/// from sorting). It accepts what the reference implementation accepts, with the exceptions that
/// docs/reliability.md lists. Throws Error with the reason, without the file's name.
inline SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t file_bytes) {
    const std::uint64_t data_start = 8 + text.size();
    SafetensorsHeader header;
    // The parser would skip the one and stop at the other.
    if (text.starts_with("\xef\xbb\xbf")) throw Error{"its header begins with a byte order mark"};
    if (text.find('\0') != text.npos) throw Error{"its header holds a NUL character"};
    detail::SafetensorsHeaderHandler handler{header, file_bytes - data_start};
    nlohmann::json::sax_parse(text.begin(), text.end(), &handler);

    std::ranges::sort(header.tensors, [](const TensorEntry& left, const TensorEntry& right) {
        return std::pair{left.position, left.bytes} < std::pair{right.position, right.bytes};
    });
    const auto name = [&](std::size_t index) { return std::string_view{header.tensors[index].name}; };
    header.by_name.resize(header.tensors.size());
    std::iota(header.by_name.begin(), header.by_name.end(), std::size_t{0});
    std::ranges::sort(header.by_name, {}, name);
    const auto twice = std::ranges::adjacent_find(header.by_name, {}, name);
    if (twice != header.by_name.end()) throw Error{"its header names '" + printable(name(*twice)) + "' twice"};

    std::uint64_t end = data_start;
    for (TensorEntry& entry : header.tensors) {
        entry.position += data_start;
        if (entry.position < end) throw Error{"tensor '" + printable(entry.name) + "' overlaps another tensor"};
        if (entry.position > end) throw Error{"there is a gap before tensor '" + printable(entry.name) + "'"};
        end += entry.bytes;
    }
    if (end != file_bytes)
        throw Error{"its tensors end at byte " + std::to_string(end) + ", the file at byte " +
                    std::to_string(file_bytes)};
    return header;
}

}  // namespace bantam
